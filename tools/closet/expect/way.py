"""What the plan says of the way between two endpoints: its length, its sizes, what VXLAN adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from closet.expect.overlay import expected_tables
from closet.expect.pairs import allowed
from closet.expect.reach import Walk
from closet.plan import DEFAULT_VRF, Fabric
from closet.records import Endpoint


@dataclass(frozen=True, slots=True)
class Way:
    """The way from one endpoint to another.

    Attributes:
        routers: numbers of routers a packet may cross on it; empty where the two must not meet.
        vnis: of the VXLAN it may be inside of between leaves; empty in the underlay. vteps: host → the loopbacks of
            its leaves.
        mtus: (node, port) → IP MTU there, in bytes.
        peers: (node, port) → (node, port) at the other end of its cable.
    """

    source: Endpoint
    target: Endpoint
    routers: frozenset[int]
    vnis: frozenset[int]
    vteps: Mapping[str, frozenset[IPv4Address]]
    mtus: Mapping[tuple[str, str], int]
    peers: Mapping[tuple[str, str], tuple[str, str]]


def expected_way(fabric: Fabric, source: Endpoint, target: Endpoint) -> Way:
    """The way of RoCEv2 packets between two NICs or VIPs, there and back."""
    walk = Walk(fabric, expected_tables(fabric))
    ends = (fabric[source.host], fabric[target.host])
    return Way(
        source=source,
        target=target,
        routers=walk.hops(source, target) | walk.hops(target, source)
        if allowed(fabric, source, target)
        else frozenset(),
        vnis=frozenset(fabric.tenants[h.vrf].vni for h in ends if h.vrf != DEFAULT_VRF),
        vteps={h.name: frozenset(fabric[p.peer].loopback for p in h.ports) for h in ends},
        mtus={(n.name, p.name): p.mtu for n in fabric for p in n.ports},
        peers={(n.name, p.name): (p.peer, p.peer_port) for n in fabric for p in n.ports},
    )
