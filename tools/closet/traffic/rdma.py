"""RDMA from host to host by the userspace endpoint: a process inside either host, and what they say of a transfer."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from closet.errors import DeadlineError, ProbeError
from closet.records import Endpoint
from closet.roce.endpoint import Attributes
from closet.roce.limits import Limits
from closet.roce.work import ATOMICS, Verb
from closet.runtime.node import LiveNode

ANSWER = 10.0
"""Seconds a worker may take for anything but a transfer."""
MEMORY = 256 << 20
"""Bytes of memory a worker registers at most; with more queue pairs than fit, some share theirs."""


def limits(qps: int) -> Limits:
    """Limits for so many queue pairs of one host: what all have on the way fits its buffers, and none times out.

    With one it is 512 packets and 0.5 s, with a thousand 16 packets and 2 s: a process of a busy machine may not be
    awake for the 67 ms that are usual.
    """
    window = max(16, min(512, 4096 // qps))
    return Limits(window=window, ack_every=1 << (window // 4).bit_length() - 1, timeout=17 + qps.bit_length() // 4)


@dataclass(frozen=True, slots=True)
class End:
    """One end of a transfer: a running host, and the address (and NIC) of it to use."""

    node: LiveNode
    endpoint: Endpoint


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
        memory: peak bytes of the processes at the two ends. rate: what DCQCN allowed the slowest queue pair at the end,
            bit/s; None without it.
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


class Worker:
    """A process with a RoCEv2 endpoint inside a host (`closet.roce.worker`); gone with the context.

    Args:
        seed: of the bytes its memory is filled with.

    Raises:
        ProbeError: the host is gone, or does not have the address.
    """

    def __init__(self, end: End, *, qpn: int | None = None, seed: int = 0) -> None:
        self.name = str(end.endpoint)
        argv = [sys.executable, "-m", "closet.roce", str(end.endpoint.address), "--seed", str(seed)]
        argv += ["--device", end.endpoint.port] if end.endpoint.port is not None else []
        argv += ["--qpn", str(qpn)] if qpn is not None else []
        with end.node.netns():  # where a child is born, it stays
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        self._said = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None) -> None:
        process = self._process
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()  # it ends with its standard input
        try:
            process.wait(2.0 if kind is None else 0.2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ready(self) -> None:
        """Wait until its sockets are open.

        Raises:
            ProbeError: it could not open them.
        """
        self.answer(ANSWER)

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Have something done at once.

        Raises:
            ProbeError: see `answer`.
        """
        self.tell(do, **what)
        return self.answer(ANSWER)

    def tell(self, do: str, **what: Any) -> None:
        """Have something done; `answer` then says how it went."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  it was asked for
        try:
            stdin.write(json.dumps({"do": do, **what}).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def answer(self, seconds: float) -> dict[str, Any]:
        """What it says next.

        Raises:
            ProbeError: it says that something is wrong, nothing in time, or it died.
        """
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._said:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise ProbeError(f"{self.name}: the RoCE worker says nothing for {seconds:g} s")
                data = stdout.read1(1 << 16)  # type: ignore[attr-defined]
                if not data:
                    raise self._died()
                self._said += data
        line, _, self._said = self._said.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise ProbeError(f"{self.name}: {found['error']}")
        return found

    def _died(self) -> ProbeError:
        stderr = self._process.stderr
        assert stderr is not None  # noqa: S101
        said = stderr.read().decode(errors="replace").strip().splitlines()
        return ProbeError(f"{self.name}: the RoCE worker died: {said[-1] if said else 'it said nothing'}")


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
    memory = min(max(job.size, 1) * job.qps, max(MEMORY, job.size))
    receives = 2 * job.depth + 2 if job.verb is Verb.SEND else 0
    with ExitStack() as stack:
        a, b = (stack.enter_context(Worker(end, seed=seed)) for seed, end in ((1, source), (2, target)))
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
