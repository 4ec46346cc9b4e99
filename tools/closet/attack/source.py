"""Packets from addresses that are not the sender's."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from closet.attack.attacker import Attacker, Neighbourhood, attacker, attackers, token
from closet.attack.registry import packets
from closet.attack.shot import Shot, Twin
from closet.plan import DEFAULT_VRF, Fabric, Role
from closet.records import Endpoint
from closet.roce.wire import UDP_PORT
from closet.traffic.wire import Place

NOBODY = IPv4Address("198.51.100.7")
"""For documentation (RFC 5737): nobody's."""
LEFT_BEHIND = "2001:db8:c105:e7::1"
"""Where IPv6 goes that nobody planned; a route to it may be left behind anywhere."""


@packets(
    "a packet from an address that is not its host's ends at the leaf, whosever address it is",
    protection="source filter on every host port (RFC 2827): its /32s only",
)
def source(fabric: Fabric) -> Iterator[Shot]:
    """Another tenant's host, one's own tenant's, a VTEP, nobody's; to somebody the host may talk to."""
    hood = Neighbourhood(fabric)
    for a in attackers(fabric):
        mate = hood.mate(a)
        if mate is None:
            continue
        twin = twin_to(a, mate)
        for whose, address in spoofed(a):
            mark = token("source", a, whose)
            what = f"{a}: UDP from {address}, {whose}, to {mate.address}"
            yield Shot(what, a.place, (a.frame(_udp(address, mate, mark)),), (mark,), a.beyond(), twin)


def twin_to(a: Attacker, mate: Endpoint) -> Twin:
    """What the attacker may send to somebody it may talk to."""
    mark = token("twin", a, mate)
    frame = a.frame(_udp(a.address, mate, mark))
    return Twin(a.place, (frame,), mark, (Place(mate.host, mate.port or a.port.name),))


def _udp(address: IPv4Address, target: Endpoint, mark: bytes) -> Any:
    from scapy.layers.inet import IP, UDP

    return IP(src=str(address), dst=str(target.address)) / UDP(sport=UDP_PORT, dport=UDP_PORT) / (mark * 4)


def spoofed(a: Attacker) -> Iterator[tuple[str, IPv4Address]]:
    """Addresses that are not the attacker's, each with whose it is."""
    found: dict[str, IPv4Address] = {}
    for host in a.fabric.hosts:
        other = attacker(a.fabric, host)
        if other.address not in a.host.addresses and host is not a.host:
            near = "on its own leaf" if other.leaf is a.leaf else "elsewhere"
            found.setdefault(f"a host's of {_where(host.vrf)} {near}", other.address)
    others = [*a.fabric.role(Role.LEAF), *a.fabric.switches]
    vtep = next((n for n in others if n is not a.leaf), a.leaf)
    yield from found.items()
    yield f"{vtep.name}'s", vtep.loopback
    yield f"{a.leaf.name}'s", a.leaf.loopback
    yield "nobody's", NOBODY


def _where(vrf: str) -> str:
    return "the underlay" if vrf == DEFAULT_VRF else vrf


@packets(
    "IPv6 goes from a host to its leaf and no further, whatever addresses it bears and routes are left behind",
    protection="IPv6 only from the host's own link-local address; none is forwarded in a VRF",
)
def ipv6(fabric: Fabric) -> Iterator[Shot]:
    """Global, unique-local and link-local sources; to a global address, a multicast group, a host's link-local."""
    from scapy.layers.inet import UDP
    from scapy.layers.inet6 import IPv6

    for a in attackers(fabric):
        other = next((attacker(fabric, h) for h in fabric.hosts if h is not a.host), a)
        sources = ("2001:db8:c105:e7:a::1", "fd00::1", str(a.port.link_local), str(other.port.link_local))
        for n, (src, dst) in enumerate(
            (src, dst) for src in sources for dst in (LEFT_BEHIND, "ff0e::1", str(other.port.link_local))
        ):
            mark = token("ipv6", a, n)
            packet = IPv6(src=src, dst=dst, hlim=255) / UDP(sport=UDP_PORT, dport=UDP_PORT) / (mark * 4)
            yield Shot(f"{a}: IPv6 UDP from {src} to {dst}", a.place, (a.frame(packet),), (mark,), a.beyond())
