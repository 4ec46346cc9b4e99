"""The way of each queue pair's packets, put together from where they were seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from closet.expect.way import Way
from closet.traffic.sightings import Sighting

Stop = tuple[str, str, bool]
"""Node, port, and whether leaving by it."""


@dataclass(slots=True)
class Trail:
    """One direction of a queue pair.

    Attributes:
        qpn: where the packets go. sport: their UDP source port. host: where they come from.
        stops: what was seen at each end of each cable on the way, in order.
        forks: nodes that sent packets by several ports, with those. strays: sightings that are not on the way.
        arrives: whether the way ends at the host it should.
    """

    qpn: int
    sport: int
    host: str
    stops: list[list[Sighting]] = field(default_factory=list)
    forks: list[tuple[str, list[str]]] = field(default_factory=list)
    strays: list[Sighting] = field(default_factory=list)
    arrives: bool = False


def trails(way: Way, sightings: Sequence[Sighting]) -> list[Trail]:
    """Follow every flow (addresses, source port, QPN) from its host on, cable by cable."""
    flows: dict[bytes, dict[Stop, list[Sighting]]] = {}
    for s in sightings:
        stop = s.place.node, s.place.port, s.leaving
        flows.setdefault(s.packet[12:22] + s.packet[33:36], {}).setdefault(stop, []).append(s)
    return [_follow(way, flow, seen) for flow, seen in flows.items()]


def _follow(way: Way, flow: bytes, seen: dict[Stop, list[Sighting]]) -> Trail:
    hosts = {way.source.address: way.source.host, way.target.address: way.target.host}
    start, end = hosts.get(IPv4Address(flow[:4]), ""), hosts.get(IPv4Address(flow[4:8]), "")
    trail = Trail(qpn=int.from_bytes(flow[10:13], "big"), sport=int.from_bytes(flow[8:10], "big"), host=start)
    left = dict(seen)
    node = start
    while node != end:
        out = [stop for stop in left if stop[0] == node and stop[2]]
        if len(out) > 1:
            trail.forks.append((node, sorted(port for _, port, _ in out)))
        if not out:
            break
        going = max(out, key=lambda stop: len(left[stop]))
        trail.stops.append(left.pop(going))
        for other in out:
            left.pop(other, None)
        there, port = way.peers[going[:2]]
        if (there, port, False) not in left:
            break
        trail.stops.append(left.pop((there, port, False)))
        node = there
    trail.arrives = bool(trail.stops) and node == end
    trail.strays = [s for its in left.values() for s in its] if trail.arrives and not trail.forks else []
    return trail


@dataclass(slots=True)
class Aligned:
    """What came by at one place, beside what came by at the next.

    Attributes:
        pairs: a packet here and there. lost: not there. late: there after one that was behind it here.
        extra: more often there than here.
    """

    pairs: list[tuple[Sighting, Sighting]] = field(default_factory=list)
    lost: list[Sighting] = field(default_factory=list)
    late: list[Sighting] = field(default_factory=list)
    extra: list[Sighting] = field(default_factory=list)


def align(before: Sequence[Sighting], after: Sequence[Sighting]) -> Aligned:
    """Find each packet again, by opcode and PSN; one that was sent twice is alike, so the next in order is taken."""
    places: dict[bytes, list[int]] = {}
    for i, s in enumerate(before):
        places.setdefault(_word(s), []).append(i)
    found = Aligned()
    at = -1
    for s in after:
        its = places.get(_word(s), [])
        following = next((i for i in its if i > at), None)
        if following is not None:
            at = following
            its.remove(at)
            found.pairs.append((before[at], s))
        elif its:
            found.pairs.append((before[its.pop(0)], s))
            found.late.append(s)
        else:
            found.extra.append(s)
    found.lost = [before[i] for i in sorted(i for its in places.values() for i in its)]
    return found


def _word(s: Sighting) -> bytes:
    return s.packet[28:29] + s.packet[37:40]
