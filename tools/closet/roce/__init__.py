"""RoCEv2 in userspace: reliable connected queue pairs over UDP port 4791, on sockets of a host's namespace.

From the wire up: `wire` (headers and numbers), `icrc` (the checksum), `ports` (source port entropy), `region`
(memory others may reach), `requester` and `responder` (the two halves of a queue pair, without a socket or a
clock of their own), `dcqcn` (congestion control), `qp` (both halves), `endpoint` (sockets, timers, the loop),
`exchange` (how two ends learn of each other) and `worker` (an endpoint as a process inside a host).

Sources: InfiniBand Architecture Specification (IBTA) volume 1 release 1.4, with annex A17 (RoCEv2); Linux
drivers/infiniband/sw/rxe for what it leaves open; Zhu et al., "Congestion Control for Large-Scale RDMA
Deployments", SIGCOMM 2015, for DCQCN.
"""
