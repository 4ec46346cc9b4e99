"""RDMA from host to host by the userspace endpoint: what to transfer, and what its two ends say of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace

from closet.errors import DeadlineError
from closet.roce.endpoint import Attributes
from closet.roce.limits import Limits
from closet.roce.work import ATOMICS, Verb
from closet.traffic.worker import ANSWER, End, Worker

MEMORY = 256 << 20
"""Bytes of memory a worker registers at most; with more queue pairs than fit, some share theirs."""


def limits(qps: int) -> Limits:
    """Limits for so many queue pairs of one host: what all have on the way fits its buffers, and none times out.

    With one it is 512 packets and 0.5 s, with a thousand 4 packets and 2 s: a process of a busy machine may not be
    awake for the 67 ms that are usual. READs may have as many on the way: a quarter of that each of four.
    """
    window = max(4, min(512, 4096 // qps))
    quarter = 1 << (window // 4).bit_length() - 1
    return Limits(window=window, ack_every=quarter, read_packets=quarter, timeout=17 + qps.bit_length() // 4)


@dataclass(frozen=True, slots=True)
class Job:
    """What to transfer.

    Attributes:
        size: bytes of a message; atomics have 8. messages: of each queue pair. depth: messages each has under way.
        attributes: what the queue pairs are connected with, at both ends.
        seconds: when to give up.
    """

    verb: Verb = Verb.WRITE
    size: int = 1 << 20
    messages: int = 64
    qps: int = 1
    depth: int = 2
    attributes: Attributes = field(default_factory=lambda: Attributes(limits=limits(1)))
    seconds: float = 30.0

    @property
    def mtu(self) -> int:
        """The path MTU the queue pairs are connected with, in bytes."""
        return self.attributes.mtu

    @property
    def tos(self) -> int:
        """The IPv4 type of service they send with."""
        return self.attributes.tos


@dataclass(frozen=True, slots=True)
class Result:
    """How a transfer went.

    Attributes:
        done: messages that were completed, of `asked`.
        seconds: from the first request to the last completion.
        latency: of a message, from request to completion: quantile → seconds; empty if there was none.
        qpns: the numbers of each queue pair, at the end that asked and at the other.
        ports: the UDP source port of each queue pair: what ECMP tells them apart by.
        sent, received: counters of the end that asked, and of the other (`closet.roce.limits.Counters`,
            `closet.roce.inlet.Drops`; `unsent` and `overrun` are packets the kernels of the ends did not take).
        memory: peak bytes of the processes at the two ends.
        rate: what DCQCN allowed the slowest queue pair at the end, bit/s; None without it. rates: what it allowed the
            first one: (seconds, bit/s). cuts: when a CNP cut that: (seconds, bit/s before, bit/s after).
        failed: the status that ended it, in libibverbs' words; None if none did.
        stalled: the state of queue pairs that were not done, where the time was over or one failed.
        intact: whether memory at the other end holds what was sent; None for verbs of which that cannot be said.
    """

    source: str
    target: str
    verb: str
    size: int
    qps: int
    asked: int
    done: int
    seconds: float
    latency: dict[float, float]
    qpns: tuple[tuple[int, int], ...]
    ports: tuple[int, ...]
    sent: dict[str, int]
    received: dict[str, int]
    memory: tuple[int, int]
    rate: float | None
    rates: tuple[tuple[float, float], ...]
    cuts: tuple[tuple[float, float, float], ...]
    failed: str | None
    stalled: tuple[str, ...]
    intact: bool | None

    @property
    def goodput(self) -> float:
        """Payload that arrived, bit/s."""
        return self.done * self.size * 8 / self.seconds if self.seconds else 0.0

    @property
    def complete(self) -> bool:
        """Whether all of it was transferred, and is what was sent."""
        return self.done == self.asked and self.intact is not False

    @property
    def retransmitted(self) -> int:
        """Packets sent more than once, by either end."""
        return self.sent["retransmitted"] + self.received["retransmitted"]

    @property
    def counted(self) -> str:
        """What the counters of the two ends say of the way, in a few words."""
        cnps = self.sent["cnps_handled"] + self.received["cnps_handled"]
        wrong = ", the memory differs" if self.intact is False else ""
        return f"retransmitted {self.retransmitted}, CNPs {cnps}{wrong}"


@dataclass(frozen=True, slots=True)
class Connection:
    """What two workers agreed on: the target's region, QP numbers (source's, target's) and source ports, by QP."""

    region: dict[str, int]
    qpns: tuple[tuple[int, int], ...]
    ports: tuple[int, ...]


@contextmanager
def connected(source: End, target: End, job: Job) -> Iterator[tuple[Worker, Worker, Connection]]:
    """Workers at both ends with their queue pairs connected: the source's, the target's.

    Raises:
        ProbeError: a host is gone, or refused something.
    """
    piece = max(job.size, 1)
    memory = piece * max(1, min(job.qps, MEMORY // piece))  # whole messages: all of it is compared in the end
    receives = 2 * min(job.depth, job.messages) + 2 if job.verb is Verb.SEND else 0
    with ExitStack() as stack:
        a, b = (stack.enter_context(Worker(end, seed=1 + n, side=n)) for n, end in enumerate((source, target)))
        a.ready()
        b.ready()
        mine = a.ask("open", qps=job.qps, memory=memory)
        theirs = b.ask("open", qps=job.qps, memory=memory, receives=receives, receive_size=job.size)
        attributes = asdict(job.attributes)
        for worker, other in ((b, mine), (a, theirs)):
            peers = [(other["address"], qpn, psn) for qpn, psn in other["qps"]]
            ports = worker.ask("connect", peers=peers, attributes=attributes)["ports"]
        qpns = tuple((one[0], other[0]) for one, other in zip(mine["qps"], theirs["qps"], strict=True))
        yield a, b, Connection(theirs["region"], qpns, tuple(ports))


def transfer(source: End, target: End, job: Job) -> Result:
    """Have `source` do a job with the memory of `target`. One that stalls ends at its deadline, and says where.

    Raises:
        ProbeError: see `connected`.
    """
    if job.verb in ATOMICS:
        job = replace(job, size=8)
    with connected(source, target, job) as (a, b, connection):
        plan = {"verb": job.verb, "size": job.size, "messages": job.messages, "depth": job.depth}
        a.tell("run", **plan, remote=connection.region, seconds=job.seconds)
        ran = a.answer(job.seconds + ANSWER)
        mine, theirs = a.ask("report"), b.ask("report")
    comparable = job.verb in {Verb.WRITE, Verb.READ} and job.size and ran["messages"] == job.messages * job.qps
    return Result(
        source=str(source.endpoint),
        target=str(target.endpoint),
        verb=job.verb,
        size=job.size,
        qps=job.qps,
        asked=job.messages * job.qps,
        done=ran["messages"],
        seconds=ran["seconds"],
        latency=dict(zip((0.0, 0.5, 0.9, 0.99, 1.0), ran["latency"], strict=False)),
        qpns=connection.qpns,
        ports=connection.ports,
        sent=mine["counters"],
        received=theirs["counters"],
        memory=(mine["memory"], theirs["memory"]),
        rate=min(mine["rates"], default=None),
        rates=tuple((at, rate) for at, rate in ran["rates"]),
        cuts=tuple((at, before, after) for at, before, after in ran["cuts"]),
        failed=ran["failed"],
        stalled=tuple(ran["stalled"]),
        intact=mine["digest"] == theirs["digest"] if comparable else None,
    )


def must(result: Result) -> Result:
    """The result, if all of it was transferred.

    Raises:
        DeadlineError: it was not; says where it stands.
    """
    if not result.complete:
        where = "; ".join(result.stalled[:1]) or f"{result.asked - result.done} messages missing"
        why = result.failed or (
            "the memory differs" if result.intact is False else f"over after {result.seconds:.1f} s"
        )
        raise DeadlineError(f"{result.source} to {result.target}: {result.verb}: {why}: {where}")
    return result
