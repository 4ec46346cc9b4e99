"""Packets that run out on their way: who says so, and how far they got."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from closet.attack.attacker import Attacker, Neighbourhood, attacker, attackers, token
from closet.attack.doors import EPHEMERAL, said, switches
from closet.attack.registry import packets
from closet.attack.shot import Shot, Twin
from closet.plan import Fabric
from closet.records import Endpoint

TRACEROUTE = 33_434
"""The first UDP port of traceroute(8)."""
LONGEST = 8
"""More routers than any path has."""


@packets(
    "a packet whose TTL runs out tells no tenant an address of the fabric, and no TTL is worth more than planned",
    protection="VRFs hold no address of a switch; VXLAN has a TTL of its own, and every VRF takes one",
)
def ttl(fabric: Fabric) -> Iterator[Shot]:
    """Every TTL, to VTEPs and to a host one may talk to; up to the number of routers on the way none arrives."""
    hood = Neighbourhood(fabric)
    for a in (x for x in attackers(fabric) if x.in_tenant):
        told = tuple(said(n.loopback, a.address) for n in fabric.switches)
        mate = hood.mate(a)
        for address in [n.loopback for n in switches(a)] + ([mate.address] if mate is not None else []):
            for n in range(LONGEST):
                mark = token("ttl", a, address, n)
                what = f"{a}: TTL {n} to {address}, and who answers"
                yield Shot(what, a.place, (_frame(a, address, n, mark),), told, a.home)
        if mate is not None:
            yield from _too_short(a, mate, min(hood.hops(a.endpoint, mate)))


def _too_short(a: Attacker, mate: Endpoint, routers: int) -> Iterator[Shot]:
    """A TTL of the number of routers ends at the last of them, one more arrives."""
    there = attacker(a.fabric, a.fabric[mate.host]).place
    arriving = token("ttl", a, "twin")
    twin = Twin(a.place, (_frame(a, mate.address, routers + 1, arriving),), arriving, (there,))
    for n in range(routers + 1):
        mark = token("ttl", a, "short", n)
        what = f"{a}: TTL {n} to {mate.address} over {routers} routers"
        yield Shot(what, a.place, (_frame(a, mate.address, n, mark),), (mark,), (there,), twin)


def _frame(a: Attacker, to: IPv4Address, n: int, mark: bytes) -> bytes:
    from scapy.layers.inet import IP, UDP

    return a.frame(IP(src=str(a.address), dst=str(to), ttl=n) / UDP(sport=EPHEMERAL, dport=TRACEROUTE) / (mark * 4))
