"""How queue pairs fall on equal-cost paths, against what an ideal hash makes of so few flows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from closet.check.data import FALSE_ALARM
from closet.expect.elephants import at_most
from closet.plan import Fabric
from closet.records import Fan, Finding, Load
from closet.traffic.sightings import ETHERNET, Sighting, Watched


def loads(fabric: Fabric, fans: Sequence[Fan], observed: Watched) -> dict[Fan, list[Load]]:
    """What every port of these equal-cost sets carried from the source to the target, CNPs and answers, too. Pure."""
    source = observed.source.address.packed
    seen: dict[tuple[str, str], list[Sighting]] = {}
    for s in observed.sightings:
        if s.leaving and s.packet[12:16] == source:
            seen.setdefault((s.place.node, s.place.port), []).append(s)
    return {fan: [_load(fabric, fan.node, port, seen.get((fan.node, port), [])) for port in fan.ports] for fan in fans}


def _load(fabric: Fabric, node: str, port: str, its: Sequence[Sighting]) -> Load:
    size = sum((len(s.outer) + ETHERNET if s.outer else 0) + ETHERNET + len(s.packet) for s in its)
    qps = {s.packet[33:36] for s in its}
    return Load(node, port, fabric[node].port(port).peer, len(qps), len(its), size)


def elephants(expected: Sequence[Fan], observed: Mapping[Fan, Sequence[Load]]) -> Iterator[Finding]:
    """A set on which queue pairs gather as an ideal hash would make them do once in a million times."""
    for fan in expected:
        its = observed[fan]
        n, m, busiest = qps_over(its), len(its), max(load.qps for load in its)
        told = " ".join(f"{load.port}:{load.qps}" for load in its)
        if busiest and 1 - at_most(n, m, busiest - 1) < FALSE_ALARM:
            yield Finding(fan.node, "ECMP of queue pairs", f"{n} of them spread over {m} ports", told)


def qps_over(its: Sequence[Load]) -> int:
    """Queue pairs a set has carried, each on one path; `wire` finds those on several."""
    return sum(load.qps for load in its)
