"""RoCEv2 in userspace: reliable connected queue pairs over UDP port 4791, on sockets of a host's namespace.

From the wire up: `wire` (headers and numbers), `icrc` (the checksum), `ports` (source port entropy), `path` (what all
packets of a queue pair have in common), `assembler` (packets on their way out), `sockets` (how they leave a host and
come in), `inlet` (those that come in, checked), `region` (memory others may reach), `work` (what is asked and what
became of it), `limits` (what is allowed, and counted), `requests` and `requester`, `replies` and `responder` (the two
halves of a queue pair, without a socket or a clock of their own), `dcqcn` (congestion control), `qp` (both halves),
`endpoint` (timers, the loop), `worker` (an endpoint as a process inside a host) and `pingpong` (one that meets
rdma-core's).

Sources: InfiniBand Architecture Specification (IBTA) volume 1 release 1.4, with annex A17 (RoCEv2); Linux
drivers/infiniband/sw/rxe for what it leaves open; Zhu et al., "Congestion Control for Large-Scale RDMA
Deployments", SIGCOMM 2015, for DCQCN.
"""
