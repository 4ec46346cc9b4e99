"""Single measurements by the kernel's verbs: a tool of perftest, or rping, run at both ends.

The tools meet over TCP, in the fabric as well; times are measured by the one that asks, and never across two clocks.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from closet.errors import DeadlineError, ProbeError
from closet.observe.rdma import queue_pairs
from closet.records import QueuePair
from closet.roce.work import Verb
from closet.runtime.rdma import device
from closet.traffic.perftest import Bandwidth, Latency, Unclocked, parse_bandwidth, parse_latency, parse_rping, why
from closet.traffic.tool import Said, Tool
from closet.traffic.worker import End

FIRST_PORT, PORTS = 18515, 4096
"""TCP ports for the tools to meet on: perftest's own, and those after it."""
TIMEOUT = 18
"""QP timeout, as 4.096 us * 2^n (IBTA section 9.7.6.1.3): 1 s: without KVM a guest may stand still for a while."""
LEAST = 5
"""Messages perftest sends at least."""
LONGEST = 8 << 20
"""Bytes of a message that Soft-RoCE takes (RXE_PORT_MAX_MSG_SZ in drivers/infiniband/sw/rxe/rxe_param.h)."""
TOOLS: dict[Verb, tuple[str, ...]] = {
    Verb.WRITE: ("write",),
    Verb.READ: ("read",),
    Verb.SEND: ("send",),
    Verb.COMPARE_SWAP: ("atomic", "-A", "CMP_AND_SWAP"),
    Verb.FETCH_ADD: ("atomic", "-A", "FETCH_AND_ADD"),
}
"""Verb → the middle of perftest's name for it, and what else to give."""
ATOMIC = 8
"""Bytes of an atomic operation."""
T = TypeVar("T")
_ports = itertools.count(os.getpid() % PORTS)


@dataclass(frozen=True, slots=True)
class Job:
    """What to transfer.

    Attributes:
        size: bytes of a message, at most `LONGEST`; atomics have 8. messages: of each queue pair, at least `LEAST`.
        depth: messages each has under way; perftest's own choice if None. tos: the IPv4 type of service.
        mtu: bytes of a packet's payload at most; 0: what the devices have.
        seconds: when to give up.
    """

    verb: Verb = Verb.WRITE
    size: int = 1 << 16
    messages: int = 200
    qps: int = 1
    depth: int | None = None
    tos: int = 0
    mtu: int = 0
    seconds: float = 60.0

    @property
    def bytes(self) -> int:
        """Of a message."""
        return ATOMIC if TOOLS[self.verb][0] == "atomic" else self.size


@dataclass(frozen=True, slots=True)
class Ran:
    """How a tool ended.

    Attributes:
        said: None where closet ended it, at the deadline. stuck: then, the queue pairs of each NIC.
    """

    tool: str
    said: Said | None
    stuck: tuple[tuple[End, QueuePair], ...] = ()

    @property
    def text(self) -> str | None:
        """What it printed, if it ended well."""
        return self.said.text if self.said is not None and self.said.code == 0 else None

    @property
    def failed(self) -> str | None:
        """Why it failed, if it did."""
        return f"{self.tool}: {why(self.said.text)}" if self.said is not None and self.said.code else None

    @property
    def stalled(self) -> tuple[str, ...]:
        """The state of queue pairs that were not done."""
        return tuple(f"{nic.endpoint}: {qp}" for nic, qp in self.stuck)


def bandwidth(source: End, target: End, job: Job) -> Bandwidth:
    """Move the messages of a job.

    Raises:
        ProbeError: it did not work; says what the tool said. DeadlineError: it did not end in time.
    """
    run, found = measured(source, target, "bw", job, parse_bandwidth)
    return found or parse_bandwidth(_must(source, target, run, job.seconds))


def latency(source: End, target: End, job: Job) -> Latency:
    """Time single messages, one after another.

    Raises:
        ProbeError, DeadlineError: see `bandwidth`.
    """
    run, found = measured(source, target, "lat", job, parse_latency)
    return found or parse_latency(_must(source, target, run, job.seconds))


def rping(source: End, target: End, *, count: int = 10, seconds: float = 20.0) -> int:
    """Connect by the RDMA connection manager, and exchange validated messages; returns how many.

    All of it is RoCE: nothing meets over TCP.

    Raises:
        ProbeError, DeadlineError: see `bandwidth`.
    """
    deadline = time.monotonic() + seconds
    common = ["-a", str(target.endpoint.address), "-p", str(_port()), "-C", str(count), "-V"]
    client = ["rping", "-c", *common, "-v", "-I", str(source.endpoint.address)]
    # It listens by the connection manager, which no file shows: the client is refused until then.
    with Tool(target.node, "rping", "-s", *common):
        while True:
            with Tool(source.node, *client) as tool:
                run = Ran("rping", tool.wait(deadline - time.monotonic()))
            if run.said is None or run.said.code == 0 or "REJECTED" not in run.said.text:
                return parse_rping(_must(source, target, run, seconds))


def _must(source: End, target: End, run: Ran, seconds: float) -> str:
    if run.said is None:
        where = "; ".join(run.stalled) or "no queue pair is connected"
        raise DeadlineError(f"{source.endpoint} to {target.endpoint}: {run.tool}: over after {seconds:g} s: {where}")
    if run.text is None:
        raise ProbeError(f"{source.endpoint} to {target.endpoint}: {run.failed}")
    return run.text


def _port() -> int:
    return FIRST_PORT + next(_ports) % PORTS


def measured(source: End, target: End, kind: str, job: Job, parse: Callable[[str], T]) -> tuple[Ran, T | None]:
    """Run a tool of perftest, again where it could not time itself; its result, if it ended well."""
    deadline = time.monotonic() + job.seconds
    while True:
        run = _perftest(source, target, kind, replace(job, seconds=max(1.0, deadline - time.monotonic())))
        if run.text is None:
            return run, None
        try:
            return run, parse(run.text)
        except Unclocked:
            if time.monotonic() > deadline:
                raise


def _perftest(source: End, target: End, kind: str, job: Job) -> Ran:
    """Run a tool of perftest at both ends: kind "bw" or "lat"."""
    deadline = time.monotonic() + job.seconds
    port = _port()
    verb, *more = TOOLS[job.verb]
    name = f"ib_{verb}_{kind}"
    common = [name, "-F", "-p", str(port), "-n", str(job.messages), "-u", str(TIMEOUT), *more]
    common += ["-s", str(job.size)] if verb != "atomic" else []
    common += ["--tclass", str(job.tos)] if job.tos else []
    common += ["-m", str(job.mtu)] if job.mtu else []
    if kind == "bw":
        common += ["--report_gbits", "-q", str(job.qps)]
        common += ["-t", str(job.depth)] if job.depth is not None else []
    client = [*common, *_device(source), str(target.endpoint.address)]
    with Tool(target.node, *common, *_device(target)) as server:
        if not server.listens(port, deadline - time.monotonic()):
            return Ran(name, server.wait(0.0) if not server.running else None)
        with Tool(source.node, *client) as tool:
            said = tool.wait(deadline - time.monotonic())
            return Ran(name, said, _queue_pairs(source, target) if said is None else ())


def _queue_pairs(*nics: End) -> tuple[tuple[End, QueuePair], ...]:
    """The connected queue pairs of some NICs, as they stand."""
    return tuple((n, qp) for n in nics for qp in queue_pairs(n.node) if qp.device == device(n.endpoint.port or ""))


def _device(nic: End) -> list[str]:
    """The device and GID index of a NIC: as many GIDs as addresses, the IPv4 one is looked for."""
    name, gids = device(nic.endpoint.port or ""), {}
    for index in range(8):
        try:
            gids[nic.node.read(f"/sys/class/infiniband/{name}/ports/1/gids/{index}").strip()] = index
        except OSError:
            break
    words = f"{int(nic.endpoint.address):08x}"
    wanted = f"0000:0000:0000:0000:0000:ffff:{words[:4]}:{words[4:]}"
    if wanted not in gids:
        raise ProbeError(f"{nic.endpoint}: no RDMA device with the GID {nic.endpoint.address}")
    return ["-d", name, "-x", str(gids[wanted])]
