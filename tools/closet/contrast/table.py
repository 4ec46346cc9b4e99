"""Two fabrics, side by side."""

from __future__ import annotations

from collections.abc import Iterator

from closet.contrast.asics import ASICS, endpoints_that_fill
from closet.contrast.results import Growth, Side

HEADINGS = ("", "routed", "stretched")
ASIC_HEADINGS = ("MAC table", "entries", "full at, routed", "full at, stretched", "source")


def rows(routed: Side, stretched: Side) -> Iterator[tuple[str, ...]]:
    """The lines of the comparison."""
    sides = (routed, stretched)
    for points in zip(routed.growth, stretched.growth, strict=True):
        head = f"{points[0].endpoints} endpoints: MAC entries of a leaf / of all switches / EVPN routes of a spine"
        yield head, *(f"{p.leaf} / {p.total} / {p.evpn}" for p in points)
    yield (
        "a broadcast: links between switches crossed by its copies",
        *(f"{s.copies.crossings / s.copies.frames:g}" for s in sides),
    )
    yield "a broadcast: other hosts that get it", *(f"{s.copies.deliveries / s.copies.frames:g}" for s in sides)
    yield "a storm: Mb/s that one host broadcasts", *(f"{s.storm.offered:.1f}" for s in sides)
    yield (
        "Mb/s on all links between switches, without it → in it",
        *(f"{s.quiet.fabric:.1f} → {s.storm.fabric:.1f}" for s in sides),
    )
    yield (
        "Mb/s that every other host of its tenant gets, without it → in it",
        *(f"{s.quiet.unasked:.1f} → {s.storm.unasked:.1f}" for s in sides),
    )
    for who, loads in (
        ("the same tenant", [(s.quiet.same, s.storm.same) for s in sides]),
        ("another tenant", [(s.quiet.other, s.storm.other) for s in sides]),
    ):
        yield f"pings of {who} answered", *(f"{a.delivered:.1f} → {b.delivered:.1f} %" for a, b in loads)
        yield (
            f"round trips of {who}, on average (at worst)",
            *(f"{a.average:.2f} → {b.average:.2f} ms ({b.worst:.1f})" for a, b in loads),
        )


def asic_rows(routed: Side, stretched: Side) -> Iterator[tuple[str, ...]]:
    """At how many endpoints the MAC tables of real switches would be full."""
    for asic in ASICS:
        filled = (endpoints_that_fill(asic.mac, _leaf(side.growth)) for side in (routed, stretched))
        yield asic.name, f"{asic.mac:,}", *("never" if n is None else f"{n:,} endpoints" for n in filled), asic.source


def _leaf(growth: tuple[Growth, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((g.endpoints, g.leaf) for g in growth)
