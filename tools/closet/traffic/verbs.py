"""RDMA transfers by the kernel's verbs: perftest between two hosts, and what their devices counted meanwhile."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from closet.observe.rdma import FAULTS, counters
from closet.roce.ports import of_qps
from closet.runtime.rdma import device
from closet.traffic.measure import LEAST, Job, measured
from closet.traffic.perftest import Latency, parse_bandwidth, parse_latency
from closet.traffic.worker import End

__all__ = ["Job", "Result", "transfer"]

SAMPLES, SAMPLED = 100, 8 << 20
"""Messages, and bytes, that are enough to tell latency by."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a transfer went; the words are those of `closet.traffic.rdma.Result`.

    Attributes:
        goodput: bit/s, of the transfer alone. seconds: of all of it, latency and preparations included.
        latency: of single messages, one after another: quantile → seconds; half a round trip, of READ and atomics a
            whole one; empty if time was over first.
        qpns: the numbers of each queue pair, at the end that asked and at the other.
        sent, received: by how much the counters of the two devices rose (hw_counters of rdma_rxe).
    """

    source: str
    target: str
    verb: str
    size: int
    qps: int
    asked: int
    done: int
    goodput: float
    seconds: float
    latency: dict[float, float]
    qpns: tuple[tuple[int, int], ...]
    sent: Mapping[str, int]
    received: Mapping[str, int]
    failed: str | None
    stalled: tuple[str, ...]

    @property
    def ports(self) -> tuple[int, ...]:
        """The UDP source port of each queue pair."""
        return tuple(of_qps(*qp) for qp in self.qpns)

    @property
    def complete(self) -> bool:
        """Whether all of it was transferred."""
        return self.done == self.asked and self.failed is None and not self.stalled

    @property
    def counted(self) -> str:
        """What the counters of the two ends say of lost packets, in a few words."""
        both = {name: self.sent.get(name, 0) + self.received.get(name, 0) for name in FAULTS}
        return ", ".join(f"{name} {count}" for name, count in both.items() if count) or "retransmitted 0"


def transfer(source: End, target: End, job: Job, *, timed: bool = True) -> Result:
    """Have `source` do a job with the memory of `target`. One that stalls ends at its deadline, and says where.

    Args:
        timed: afterwards time single messages, which is a transfer of its own.

    Raises:
        ProbeError: a host is gone, or has no such device.
    """
    began = time.monotonic()
    before = [counters(n.node, device(n.endpoint.port or "")) for n in (source, target)]
    run, ran = measured(source, target, "bw", job, parse_bandwidth)
    one: Latency | None = None
    if ran is not None and timed:
        left = max(1.0, job.seconds - (time.monotonic() - began))
        few = max(LEAST, min(job.messages, SAMPLES, SAMPLED // max(job.bytes, 1)))
        single = replace(job, messages=few, qps=1, depth=None, seconds=left)
        last, one = measured(source, target, "lat", single, parse_latency)
        if last.said is not None:  # one that only lacked time takes nothing from what was transferred
            run = last
    after = [counters(n.node, device(n.endpoint.port or "")) for n in (source, target)]
    qps = ran.qps if ran is not None else [(qp.number, qp.peer) for nic, qp in run.stuck if nic is source and qp.peer]
    return Result(
        source=str(source.endpoint),
        target=str(target.endpoint),
        verb=job.verb,
        size=job.bytes,
        qps=job.qps,
        asked=job.messages * job.qps,
        done=ran.messages if ran is not None else 0,
        goodput=ran.goodput if ran is not None else 0.0,
        seconds=time.monotonic() - began,
        latency={0.0: one.least, 0.5: one.typical, 0.99: one.p99, 1.0: one.most} if one is not None else {},
        qpns=tuple(qps),
        sent=_rise(before[0], after[0]),
        received=_rise(before[1], after[1]),
        failed=run.failed,
        stalled=run.stalled,
    )


def _rise(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in after.items()}
