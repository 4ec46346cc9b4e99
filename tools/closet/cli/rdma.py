"""`closet rdma`: a transfer from one host to another, and what there is to say of it, on one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from closet.cli.show import as_json
from closet.errors import UsageError

if TYPE_CHECKING:
    from closet.lab import Lab
    from closet.traffic.rdma import Result
    from closet.traffic.worker import End

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
STRETCH = 20
"""How much longer round trips are here than in the fabrics that DCQCN's parameters are for."""
VERBS = ("write", "read", "send", "cas", "faa")


class Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes: a number, or one with K, M or G behind it."""

    name = "bytes"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes of `64K` and the like."""
        if isinstance(value, int):
            return value
        number = value.upper().rstrip("KMG")
        unit = value.upper()[len(number) :]
        if not number.isdecimal() or unit not in UNITS:
            self.fail(f"{value!r}: allowed are numbers like 64, 64K, 16M, 1G", param, ctx)
        return int(number) * UNITS[unit]


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("--lab", help="Which lab, if several run.")
@click.option("--verb", type=click.Choice(VERBS), default="write", show_default=True, help="What to do.")
@click.option("--size", type=Size(), default=1 << 20, help="Bytes of a message, such as 64K. Default: 1M.")
@click.option("--messages", type=click.IntRange(1), default=64, show_default=True, help="Messages of each queue pair.")
@click.option("--depth", type=click.IntRange(1), default=2, show_default=True, help="Messages under way at once.")
@click.option("--qps", type=click.IntRange(1, 4096), default=1, show_default=True, help="Queue pairs.")
@click.option("--dscp", type=click.IntRange(0, 63), default=26, show_default=True, help="Service class.")
@click.option("--ecn/--no-ecn", default=True, help="Whether switches may mark packets. Default: they may.")
@click.option("--rate", type=click.FloatRange(0.01), help="Congestion control by DCQCN, from this line rate, Gb/s.")
@click.option("--seconds", type=click.FloatRange(0.1), default=30.0, show_default=True, help="When to give up.")
@click.option("--with", "by", type=click.Choice(["endpoint"]), default="endpoint", help="What speaks RDMA.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
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
    by: str,
    json_: bool,
) -> None:
    """Transfer messages by RDMA from SRC to DST; exit 1 if not all of it arrived.

    SRC and DST are hosts, such as h1-1, or one NIC of a host, such as h1-1/eth2; h1-1/lo is its VIP.
    """
    from closet.lab import open_lab
    from closet.roce.dcqcn import Dcqcn
    from closet.roce.endpoint import Attributes
    from closet.roce.wire import path_mtu
    from closet.roce.work import Verb
    from closet.traffic.rdma import Job, limits, transfer

    opened = open_lab(lab)
    (a, a_mtu), (b, b_mtu) = endpoint(opened, source), endpoint(opened, target)
    if a.endpoint.host == b.endpoint.host:
        raise UsageError(f"{source} {target}: that is one host, allowed are two")
    attributes = Attributes(
        mtu=path_mtu(min(a_mtu, b_mtu)),
        limits=limits(qps),
        tos=dscp << 2 | (2 if ecn else 0),
        dcqcn=Dcqcn(line_rate=rate * 1e9).stretched(STRETCH) if rate is not None else None,
    )
    job = Job(
        verb=Verb(verb), size=size, messages=messages, qps=qps, depth=depth, attributes=attributes, seconds=seconds
    )
    result = transfer(a, b, job)
    if json_:
        from dataclasses import asdict

        as_json({**asdict(result), "goodput": result.goodput, "complete": result.complete, "by": by})
    else:
        click.echo(line(result))
        for state in result.stalled:
            click.echo(f"  {state}")
    ctx.exit(0 if result.complete else 1)


def endpoint(lab: Lab, word: str) -> tuple[End, int]:
    """A host and the address meant by a word, and the IP MTU there."""
    from closet.records import Endpoint
    from closet.traffic.worker import End

    name, _, port = word.partition("/")
    node = lab[name]
    host = lab.fabric[name]
    nics = {p.name: p for p in host.ports if p.rail is not None}
    if not host.is_host:
        raise UsageError(f"{name}: a {host.role} has no RDMA, allowed are hosts")
    if port == "lo" or not nics:
        return End(node, Endpoint(name, host.loopback)), min(p.mtu for p in host.ports)
    if port and port not in nics:
        raise UsageError(f"{word}: {name} has no such NIC, it has: {', '.join(nics)}, lo")
    nic = nics[port] if port else next(iter(nics.values()))
    assert nic.rail is not None  # noqa: S101  these are
    return End(node, Endpoint(name, nic.rail, nic.name)), nic.mtu


def line(r: Result) -> str:
    """All of a result that an engineer looks at first."""
    qps = f"{r.qps} QPs" if r.qps != 1 else "1 QP"
    what = f"{r.source} to {r.target}: {r.verb} {r.done} x {_bytes(r.size)} on {qps}"
    shown = ", ".join(map(str, r.ports[:4])) + (f" and {len(r.ports) - 4} more" if len(r.ports) > 4 else "")
    parts = [what, _rate(r.goodput)]
    if r.latency:
        parts.append(f"latency p50 {_time(r.latency[0.5])} p99 {_time(r.latency[0.99])}")
    parts.append(f"UDP source port{'s' if r.qps != 1 else ''} {shown}")
    parts.append(f"retransmitted {r.retransmitted}, CNPs {r.sent['cnps_handled'] + r.received['cnps_handled']}")
    verdict = "ok"
    if not r.complete:
        verdict = r.failed or ("the memory differs" if r.intact is False else f"stalled after {r.seconds:.1f} s")
        verdict += f", {r.done} of {r.asked} done"
    return ", ".join(parts) + f": {verdict}"


def _bytes(n: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n >= factor and n % factor == 0:
            return f"{n // factor} {unit}"
    return f"{n} B"


def _rate(bits: float) -> str:
    return f"{bits / 1e9:.2f} Gb/s" if bits >= 1e8 else f"{bits / 1e6:.2f} Mb/s"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"
