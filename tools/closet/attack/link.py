"""What a host says on its own cable of who it is, where the way goes, and who has which address."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from closet.attack.attacker import Attacker, Neighbourhood, attackers, token
from closet.attack.doors import STRANGE
from closet.attack.registry import packets
from closet.attack.shot import Look, Shot
from closet.attack.source import NOBODY, spoofed
from closet.plan import Fabric
from closet.render.frr import PEERING_GATEWAYS

ALL_NODES = "ff02::1"
BROADCAST = "ff:ff:ff:ff:ff:ff"
NETWORK_REDIRECT, HOST_REDIRECT = 0, 1
"""Codes of an ICMP redirect (RFC 792)."""


@packets(
    "a router advertisement from a host gives its leaf no route, no address and no setting",
    protection="accept_ra 0; IPv6 only from the host's own link-local address",
)
def advert(fabric: Fabric) -> Iterator[Shot]:
    """A default router, prefix, route, MTU and hop limit; from the host's own address and a strange one."""
    from scapy.layers.inet6 import (
        ICMPv6ND_RA,
        ICMPv6NDOptMTU,
        ICMPv6NDOptPrefixInfo,
        ICMPv6NDOptRouteInfo,
        ICMPv6NDOptSrcLLAddr,
        IPv6,
    )

    for a in attackers(fabric):
        for src in (a.port.link_local, STRANGE):
            mark = token("advert", a, src)
            prefix = str(IPv6Address(bytes.fromhex("20010db8") + mark[:4] + bytes(8)))
            said = (
                IPv6(src=str(src), dst=ALL_NODES, hlim=255)
                / ICMPv6ND_RA(chlim=1, routerlifetime=1800)
                / ICMPv6NDOptSrcLLAddr(lladdr=a.port.mac)
                / ICMPv6NDOptMTU(mtu=1280)
                / ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=64)
                / ICMPv6NDOptRouteInfo(prefix=prefix, plen=48, rtlifetime=1800)
            )
            what = f"{a}: router advertisement of {prefix}/64 from {src}"
            yield Shot(what, a.place, (a.frame(said),), (mark[:4],), a.beyond(), looks=_routing(a))


def _routing(a: Attacker) -> tuple[Look, ...]:
    """What of a leaf a router advertisement could change (Linux net/ipv6/ndisc.c: ndisc_router_discovery)."""
    settings = f"/proc/sys/net/ipv6/conf/{a.door.name}"
    return (
        Look(a.leaf.name, a.vrf, ("ip", "-6", "route", "show", "table", "all", "dev", a.door.name)),
        Look(a.leaf.name, a.vrf, ("ip", "-6", "address", "show", "dev", a.door.name)),
        Look(a.leaf.name, a.vrf, ("cat", f"{settings}/mtu", f"{settings}/hop_limit")),
    )


@packets(
    "a host that claims others' addresses by ARP or neighbour discovery is not believed, nor told who has them",
    protection="unnumbered links: no address is asked for by ARP; arp_accept 0, arp_ignore 1; link-local filter",
)
def arp(fabric: Fabric) -> Iterator[Shot]:
    """Gratuitous ARP, as question and answer, of hosts', switches' and gateways' addresses; who-has; and by IPv6."""
    for a in attackers(fabric):
        gateways = [(f"the gateway {g}", IPv4Address(g)) for g in PEERING_GATEWAYS]
        claims = [*spoofed(a), *gateways]
        for whose, address in claims:
            mac = _evil(a, address)
            frames = tuple(_gratuitous(a, address, mac.hex(":"), op) for op in (1, 2))
            look = _neighbour(a, address)
            yield Shot(f"{a}: ARP claim of {address}, {whose}", a.place, frames, (mac,), a.beyond(), looks=(look,))
        for address in dict.fromkeys(address for _, address in claims):
            yield _who_has(a, address)
        yield _advertised(a)


def _neighbour(a: Attacker, address: object) -> Look:
    """Who the leaf thinks has an address: entries with a MAC, not questions nobody has answered."""
    known = (word for state in ("permanent", "reachable", "stale", "delay", "probe") for word in ("nud", state))
    return Look(a.leaf.name, a.vrf, ("ip", "neigh", "show", *known, "dev", a.door.name), str(address))


def _evil(a: Attacker, address: object) -> bytes:
    """A MAC that is nobody's, another for each claim."""
    return b"\x02" + token("MAC", a, address)[:5]


def _gratuitous(a: Attacker, address: IPv4Address, mac: str, op: int) -> bytes:
    from scapy.layers.l2 import ARP

    return a.frame(ARP(op=op, hwsrc=mac, psrc=str(address), hwdst=BROADCAST, pdst=str(address)), to=BROADCAST)


def _who_has(a: Attacker, address: IPv4Address) -> Shot:
    """A question for another's address; an answer has that address, and who asked, in a row (RFC 826)."""
    from scapy.layers.l2 import ARP

    mine = bytes.fromhex(a.port.mac.replace(":", "")) + a.address.packed
    ask = ARP(op=1, hwsrc=a.port.mac, psrc=str(a.address), pdst=str(address))
    look = _neighbour(a, a.address)
    traces = (address.packed + mine,)
    frames = (a.frame(ask, to=BROADCAST),)
    return Shot(f"{a}: ARP who has {address}", a.place, frames, traces, a.home, looks=(look,))


def _advertised(a: Attacker) -> Shot:
    """An unsolicited neighbour advertisement, and a solicitation, from an address that is not the host's."""
    from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6

    here, mac = str(a.door.link_local), _evil(a, STRANGE)
    ip = IPv6(src=str(STRANGE), dst=here, hlim=255)
    claim = ip / ICMPv6ND_NA(R=1, S=0, O=1, tgt=str(STRANGE)) / ICMPv6NDOptDstLLAddr(lladdr=mac.hex(":"))
    ask = ip / ICMPv6ND_NS(tgt=here) / ICMPv6NDOptSrcLLAddr(lladdr=mac.hex(":"))
    look = _neighbour(a, STRANGE)
    traces = (mac,)
    frames = (a.frame(claim), a.frame(ask))
    return Shot(f"{a}: neighbour discovery from {STRANGE}", a.place, frames, traces, a.beyond(), looks=(look,))


@packets(
    "no ICMP redirect changes a route of a leaf, or passes it",
    protection="accept_redirects 0; source filter: a redirect is only believed from the gateway's address",
)
def redirect(fabric: Fabric) -> Iterator[Shot]:
    """To the leaf and to a host one may talk to; from the addresses gateways have, and from the host's own."""
    hood = Neighbourhood(fabric)
    for a in attackers(fabric):
        mate = hood.mate(a)
        if mate is None:
            continue
        look = Look(a.leaf.name, a.vrf, ("ip", "route", "show", "cache"))
        for src in (IPv4Address(PEERING_GATEWAYS[0]), IPv4Address(PEERING_GATEWAYS[1]), a.address):
            for code in (NETWORK_REDIRECT, HOST_REDIRECT):
                mark = token("redirect", a, src, code)
                frames = tuple(
                    a.frame(_redirect(src, to, who, a.address, code, mark))
                    for to, who in ((a.leaf.loopback, NOBODY), (mate.address, a.address))
                )
                # The host's own, to somebody it may talk to, arrives, and is nothing: not from his gateway.
                never = a.beyond() if src != a.address else ()
                what = f"{a}: ICMP redirect {code} from {src}"
                yield Shot(what, a.place, frames, (mark,), never, looks=(look,))


def _redirect(src: IPv4Address, to: IPv4Address, who: IPv4Address, gateway: IPv4Address, code: int, mark: bytes) -> Any:
    """A redirect about an echo reply: Linux takes those up at once (net/ipv4/icmp.c: icmp_err)."""
    from scapy.layers.inet import ICMP, IP
    from scapy.packet import Raw

    inner = IP(src=str(to), dst=str(who)) / ICMP(type=0) / Raw(mark * 2)
    return IP(src=str(src), dst=str(to)) / ICMP(type=5, code=code, gw=str(gateway)) / inner
