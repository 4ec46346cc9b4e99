"""`closet rdma`: a transfer from one host to another, and what there is to say of it, on one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from closet.cli.options import Number
from closet.cli.show import Spinner, as_json
from closet.cli.transfer import ATOMICS, asking, backend, bytes_, ends, qps_, verbs_job
from closet.errors import UsageError

if TYPE_CHECKING:
    from closet.lab import Lab
    from closet.records import Endpoint
    from closet.roce.work import Verb
    from closet.traffic import rdma as by_endpoint
    from closet.traffic import verbs

    Result = by_endpoint.Result | verbs.Result

STRETCH = 20
"""How much longer round trips are here than in the fabrics that DCQCN's parameters are for."""
BY = ("verbs", "endpoint")
DEEPEST = 15_000
"""Messages of a queue pair under way at most: what perftest takes."""
LARGEST = 1 << 30
"""Bytes of a message of the endpoint, both of whose ends hold it in memory."""
SHOWN = 4
"""Queue pairs whose ports and ways are shown."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to transfer, as the options say it; `rate` is in Gb/s."""

    verb: Verb
    size: int
    messages: int
    depth: int
    qps: int
    tos: int
    rate: float | None
    seconds: float


@click.command()
@asking(size="1M", messages=64, qps=1, most_qps=4096)
@click.option(
    "--depth", type=click.IntRange(1, DEEPEST), default=2, show_default=True, help="Messages under way at once."
)
@click.option("--ecn/--no-ecn", default=True, help="Whether switches may mark packets. Default: they may.")
@click.option("--rate", type=Number(0.01, 10_000), help="Congestion control by DCQCN, from this line rate, Gb/s.")
@click.option("--seconds", type=Number(0.1, 86_400), default=30.0, show_default=True, help="When to give up.")
@click.option("--with", "by", type=click.Choice(BY), help="What speaks RDMA. Default: what SRC and DST have.")
@click.pass_context
def rdma(
    ctx: click.Context,
    source: str,
    target: str,
    lab: str | None,
    verb: str,
    size: int,
    messages: int,
    depth: int,
    qps: int,
    dscp: int,
    ecn: bool,
    rate: float | None,
    seconds: float,
    by: str | None,
    json_: bool,
) -> None:
    """Transfer messages by RDMA from SRC to DST; exit 1 if not all of it arrived.

    SRC and DST are hosts, such as h1-1, or one NIC of a host, such as h1-1/eth2; h1-1/lo is its VIP.
    """
    from closet.lab import open_lab
    from closet.roce.work import Verb

    opened = open_lab(lab)
    a, b, mtu = ends(opened, source, target)
    by = backend(opened, (a, b), by)
    size = ATOMICS.get(verb, size)
    if by == "endpoint" and size > LARGEST:
        raise UsageError(f"--size {size}: the endpoint takes messages of up to {LARGEST} bytes")
    asked = Asked(Verb(verb), size, messages, depth, qps, dscp << 2 | (2 if ecn else 0), rate, seconds)
    spinner = Spinner()
    spinner(f"{a} to {b}: {verb} {messages} x {bytes_(size)} on {qps_(qps)} by {by}")
    try:
        if by == "verbs":
            result: Result = _by_verbs(opened, a, b, asked)
        else:
            result = _by_endpoint(opened, a, b, asked, mtu)
        ways = _ways(opened, a, b, result)
    finally:
        spinner.clear()
    if json_:
        more = {"ports": result.ports, "goodput": result.goodput, "complete": result.complete, "by": by}
        as_json({**asdict(result), **more, "ways": [{"switches": way, "qps": n} for way, n in ways.items()]})
    else:
        click.echo(line(result, by, ways))
        stuck = result.complete or result.failed
        for state in result.stalled or (() if stuck else ("no queue pair was connected",)):
            click.echo(f"  {state}")
        if result.stalled:
            click.echo(f"  where packets are lost: closet wire {result.source} {result.target} --lab {opened.name}")
    ctx.exit(0 if result.complete else 1)


def _by_endpoint(lab: Lab, a: Endpoint, b: Endpoint, asked: Asked, mtu: int) -> Result:
    from closet.roce.dcqcn import Dcqcn
    from closet.roce.endpoint import Attributes
    from closet.roce.wire import path_mtu
    from closet.traffic.rdma import Job, limits, transfer
    from closet.traffic.worker import End

    attributes = Attributes(
        mtu=path_mtu(mtu),
        limits=limits(asked.qps),
        tos=asked.tos,
        dcqcn=Dcqcn(line_rate=asked.rate * 1e9).stretched(STRETCH) if asked.rate is not None else None,
    )
    job = Job(asked.verb, asked.size, asked.messages, asked.qps, asked.depth, attributes, asked.seconds)
    return transfer(End(lab[a.host], a), End(lab[b.host], b), job)


def _by_verbs(lab: Lab, a: Endpoint, b: Endpoint, asked: Asked) -> Result:
    from closet.traffic.verbs import transfer
    from closet.traffic.worker import End

    if asked.rate is not None:
        raise UsageError("--rate: DCQCN is the userspace endpoint's, the kernel's Soft-RoCE has none")
    job = verbs_job(
        (a, b),
        verb=asked.verb,
        size=asked.size,
        messages=asked.messages,
        qps=asked.qps,
        depth=asked.depth,
        tos=asked.tos,
        seconds=asked.seconds,
    )
    return transfer(End(lab[a.host], a), End(lab[b.host], b), job)


def _ways(lab: Lab, a: Endpoint, b: Endpoint, result: Result) -> dict[tuple[str, ...], int]:
    """The ways of the first few queue pairs: the switches → how many go there."""
    from collections import Counter

    from closet.observe.path import way

    return Counter(way(lab.fabric, lab.nodes, a, b, sport) for sport in result.ports[:SHOWN])


def line(r: Result, by: str, ways: Mapping[tuple[str, ...], int]) -> str:
    """All of a result that an engineer looks at first."""
    what = f"{r.source} to {r.target}: {r.verb} {r.done} x {bytes_(r.size)} on {qps_(r.qps)} by {by}"
    parts = [what, _rate(r.goodput)]
    if r.latency:
        parts.append(f"latency p50 {_time(r.latency[0.5])} p99 {_time(r.latency[0.99])}")
    elif r.complete:
        parts.append("latency not measured in time")
    if r.ports:
        more = f" and {len(r.ports) - SHOWN} more" if len(r.ports) > SHOWN else ""
        parts.append(f"UDP source port{'s' if r.qps != 1 else ''} {', '.join(map(str, r.ports[:SHOWN]))}{more}")
    if ways:
        shown = [" ".join(way) + (f" ({qps_(n)})" if len(ways) > 1 else "") for way, n in ways.items()]
        parts.append(f"over {', '.join(shown)}")
    parts.append(r.counted)
    verdict = "ok"
    if not r.complete:
        # perftest does not say how many were done of those it did not end
        done = f"{r.done} of {r.asked} done" if r.done or by == "endpoint" else f"{r.asked} asked for"
        verdict = f"{r.failed or f'not done after {r.seconds:.1f} s'}, {done}"
    return ", ".join(parts) + f": {verdict}"


def _rate(bits: float) -> str:
    return f"{bits / 1e9:.2f} Gb/s" if bits >= 1e8 else f"{bits / 1e6:.2f} Mb/s"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"
