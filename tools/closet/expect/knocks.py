"""Which doors of the switches hosts must find closed."""

from __future__ import annotations

from closet.plan import Fabric, Node, Role
from closet.records import Knock

DOORS = (22, 179, 2601, 2605)
"""SSH, BGP, and the terminals of zebra and bgpd (FRR lib/route_types, `services`)."""


def expected_knocks(fabric: Fabric) -> dict[Knock, str]:
    """One host of each leaf knocks at its own leaf, at a remote one and at the top; nobody may answer.

    Without a default route (rails-only) hosts reach no switch address at all, and there is no door to try.
    """
    if fabric.host_routes != "default":
        return {}
    leaves = fabric.role(Role.LEAF)
    tops = fabric.role(fabric.top)
    first: dict[str, Node] = {}
    for host in fabric.hosts:
        for port in host.ports:
            first.setdefault(port.peer, host)
    knocks = {}
    for i, leaf in enumerate(leaves):
        if leaf.name not in first:
            continue
        host = first[leaf.name]
        for switch in dict.fromkeys((leaf.name, leaves[(i + 1) % len(leaves)].name, tops[i % len(tops)].name)):
            for door in DOORS:
                knocks[Knock(host.name, switch, str(fabric[switch].loopback), door)] = "silent"
    return knocks
