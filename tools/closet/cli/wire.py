"""`closet wire`: a transfer watched at both ends of every cable, and what is not as it should be of its packets."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from closet.cli.options import Destination
from closet.cli.show import Spinner, as_json, table
from closet.cli.transfer import ATOMICS, asking, backend, bytes_, ends, qps_, verbs_job
from closet.errors import UsageError

if TYPE_CHECKING:
    from closet.traffic import rdma
    from closet.traffic.sightings import Watched

MOST = 32 << 20
"""Bytes of a transfer of which every packet can be kept at every place."""


@click.command()
@asking(size="64K", messages=5, qps=16, most_qps=512)
@click.option("--svg", type=Destination(), help="Draw how the bytes fell on equal-cost paths, too.")
@click.option("--pcap", type=Destination(), help="Keep what was seen. Without it: only after a finding.")
@click.pass_context
def wire(
    ctx: click.Context,
    source: str,
    target: str,
    lab: str | None,
    verb: str,
    size: int,
    messages: int,
    qps: int,
    dscp: int,
    svg: Path | None,
    pcap: Path | None,
    json_: bool,
) -> None:
    """Transfer by RDMA from SRC to DST while watching all cables; exit 1 if packets are not as they should be anywhere.

    SRC and DST are as in `closet rdma`. Of every packet, at every hop: headers, ICRC, marks, sizes, path and order.
    """
    from closet.check.elephants import elephants, loads
    from closet.check.wire import claims
    from closet.check.wire import wire as judge
    from closet.expect.elephants import expected_fans
    from closet.expect.way import expected_way
    from closet.lab import open_lab
    from closet.report import loads as report
    from closet.roce.wire import path_mtu
    from closet.roce.work import Verb
    from closet.traffic.sightings import watch

    size = ATOMICS.get(verb, size)
    if size * messages * qps > MOST:
        raise UsageError(f"--size, --messages, --qps: {size * messages * qps} bytes in all, allowed are {MOST}")
    opened = open_lab(lab)
    fabric = opened.fabric
    a, b, ip_mtu = ends(opened, source, target)
    way = expected_way(fabric, a, b)
    if not way.routers:
        raise UsageError(f"{source} {target}: these must not meet, allowed are hosts that the design lets talk")
    what = {"verb": Verb(verb), "size": size, "messages": messages, "qps": qps}
    marked = {"mtu": path_mtu(ip_mtu), "tos": dscp << 2 | 2}
    job = verbs_job((a, b), **what, **marked) if backend(opened, (a, b)) == "verbs" else _endpoint_job(what, marked)
    spinner = Spinner()
    title = f"{a} to {b}: {verb} {messages} x {bytes_(size)} on {qps_(qps)}"
    spinner(f"{title}, watched at every hop")
    try:
        seen = watch(fabric, opened.nodes, a, b, job)
    finally:
        spinner.clear()
    fans = expected_fans(fabric, a, b)
    carried = loads(fabric, fans, seen)
    findings = [*judge(way, seen), *elephants(fans, carried)]
    pcap = pcap or (opened.folder.path / "wire.pcapng" if findings else None)
    if pcap is not None:
        seen.save(pcap)
    if svg is not None:
        svg.write_text(report.svg(title, carried), encoding="utf-8")
    if json_:
        ports = [asdict(load) for its in carried.values() for load in its]
        said = {"findings": [asdict(f) for f in findings], "loads": ports, "claims": claims(seen), "pcap": pcap}
        as_json({**said, "complete": seen.result.complete})
    else:
        table(report.HEADINGS, report.rows(carried))
        for line in (*report.facts(carried), *map(str, findings)):
            click.echo(line)
        click.echo(f"{title}: {_summary(seen)}, {claims(seen)} claims, {len(findings)} findings")
        click.echo(f"all of it: {pcap}" if pcap is not None else "", nl=pcap is not None)
    ctx.exit(0 if not findings and seen.result.complete else 1)


def _endpoint_job(what: dict[str, Any], attributes: dict[str, Any]) -> rdma.Job:
    from closet.roce.endpoint import Attributes
    from closet.traffic.rdma import Job, limits

    return Job(**what, attributes=Attributes(limits=limits(what["qps"]), **attributes))


def _summary(seen: Watched) -> str:
    packets = sum(1 for s in seen.sightings if s.leaving and s.place.node in {seen.source.host, seen.target.host})
    places = len({(s.place, s.leaving) for s in seen.sightings})
    state = "" if seen.result.complete else "not complete, "
    return f"{state}{packets} packets seen at {places} places"
