"""A switch's own ports: SSH, BGP, BFD, terminals and VXLAN, tried with every trick that might open them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from closet.attack.attacker import Attacker, attackers, token
from closet.attack.registry import packets
from closet.attack.shot import Shot, Twin
from closet.expect.knocks import NEIGHBOURLY, TCP, UDP
from closet.plan import Fabric, Node, Role

PROTOCOLS = {4: "IPv4 in IPv4", 47: "GRE", 89: "OSPF", 112: "VRRP", 253: "protocol 253"}
"""IANA protocol numbers: what some switch somewhere does listen to."""
BGP = 179
EPHEMERAL = 50_179
STRANGE = IPv6Address("fe80::bad:c105:e7")
"""A link-local address that is nobody's."""


@packets(
    "no port of a switch answers a host on the link-local address it has for it",
    protection="control-plane filter: BGP and BFD with hop limit 255 from the one at the other end (RFC 5082), ICMP",
)
def local_doors(fabric: Fabric) -> Iterator[Shot]:
    """Each port, from the host's own address and a strange one, with hop limit 64 and 255, as question and answer."""
    for a in attackers(fabric):
        echo = _echo_local(a)
        for src in (a.port.link_local, STRANGE):
            for hops in (255, 64):
                for kind, number, words in _kinds():
                    if (kind.replace("answer", "TCP"), number) in NEIGHBOURLY and src != STRANGE and hops == 255:
                        continue  # that is what it is there for
                    yield _local(a, src, hops, kind, number, words, echo)


def _kinds() -> Iterator[tuple[str, int, str]]:
    """What to try: (protocol, port, in words)."""
    for port in TCP:
        yield "TCP", port, f"TCP {port}"
        yield "answer", port, f"TCP {port} from port {BGP}, as an answer"
    for port in UDP:
        yield "UDP", port, f"UDP {port}"
    for number, name in PROTOCOLS.items():
        yield "IP", number, name


def _local(a: Attacker, src: IPv6Address, hops: int, kind: str, number: int, words: str, echo: Twin) -> Shot:
    from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6

    here = a.door.link_local
    mark = token("local", a, src, hops, kind, number)
    payload, traces = _payload(kind, number, mark)
    ip = IPv6(src=str(src), dst=str(here), hlim=hops)
    if kind == "IP":
        ip.nh = number
    # So that the leaf knows where an answer to that address goes.
    ask = IPv6(src=str(src), dst=str(here), hlim=255) / ICMPv6ND_NS(tgt=str(here))
    frames = (a.frame(ask / ICMPv6NDOptSrcLLAddr(lladdr=a.port.mac)), a.frame(ip / payload))
    return Shot(f"{a}: {words} from {src} hop limit {hops} to {here}", a.place, frames, traces, a.home, echo)


def _payload(kind: str, number: int, mark: bytes) -> tuple[Any, tuple[bytes, ...]]:
    """What is sent, and what an answer to it has in it: the number a TCP acknowledges or, in an error, all of it."""
    from scapy.layers.inet import TCP as TCP_HEADER
    from scapy.layers.inet import UDP as UDP_HEADER
    from scapy.packet import Raw

    if kind == "IP":
        return Raw(mark * 4), (mark,)
    if kind == "UDP":
        return UDP_HEADER(sport=EPHEMERAL, dport=number) / Raw(mark * 4), (mark,)
    seq = int.from_bytes(mark[:4]) & 0x7FFFFFFF
    acked = seq + 1
    traces = (seq.to_bytes(4), acked.to_bytes(4))
    if kind == "answer":  # a reset of it would have the acknowledged number as its own
        return TCP_HEADER(sport=BGP, dport=number, flags="A", seq=seq, ack=acked), traces
    return TCP_HEADER(sport=EPHEMERAL, dport=number, flags="S", seq=seq), traces


def _echo_local(a: Attacker) -> Twin:
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

    mark = token("local", a, "echo")
    echo = IPv6(src=str(a.port.link_local), dst=str(a.door.link_local)) / ICMPv6EchoRequest(data=mark * 2)
    return Twin(a.place, (a.frame(echo),), mark, (a.place,))


@packets(
    "no IPv4 address of a switch answers a host of a tenant at all, nor one of the underlay but to a ping, as does the "
    "other end of any host's own numbered link",
    protection="VRFs have no way to the underlay; control-plane filter",
)
def addresses(fabric: Fabric) -> Iterator[Shot]:
    """Each port and a ping, with TTL 64 and 255, at the host's own leaf, at another and at the top."""
    from scapy.layers.inet import ICMP, IP
    from scapy.packet import Raw

    for a in attackers(fabric):
        for name, address, near in _addresses(a):
            pings = near or not a.in_tenant
            # The near one also says what it has no way to, to whoever asks the others.
            source, its_other = (a.host.loopback, a.address) if near else (a.address, a.host.loopback)
            twin = _echo(a, its_other, address) if pings else None
            told = said(address, source)
            for ttl in (255, 64):
                ip = IP(src=str(source), dst=str(address), ttl=ttl)
                for kind, number, words in _kinds():
                    mark = token("loopback", a, address, ttl, kind, number)
                    packet = ip.copy() / _payload(kind, number, mark)[0]
                    if kind == "IP":
                        packet.proto = number
                    what = f"{a}: {words} TTL {ttl} to {name} {address}"
                    yield Shot(what, a.place, (a.frame(packet),), (told,), a.home, twin)
                if not pings:
                    mark = token("loopback", a, address, ttl, "echo")
                    frame = a.frame(ip.copy() / ICMP() / Raw(mark * 4))
                    yield Shot(f"{a}: ping TTL {ttl} to {name} {address}", a.place, (frame,), (told,), a.home)


def _addresses(a: Attacker) -> list[tuple[str, IPv4Address, bool]]:
    """Whose, which, and whether it is near: loopbacks and, of a numbered link, the other end's."""
    near = [(a.leaf.name, a.door.address.ip, True)] if a.door.address is not None else []
    return near + [(n.name, n.loopback, not a.in_tenant) for n in switches(a)]


def switches(a: Attacker) -> list[Node]:
    """The attacker's own leaf, another, and one of the top, where there is a way to them from the underlay."""
    fabric = a.fabric
    if fabric.host_routes != "default" and not a.in_tenant:
        return []
    other = next((n for n in fabric.role(Role.LEAF) if n is not a.leaf), a.leaf)
    return list({n.name: n for n in (a.leaf, other, fabric.role(fabric.top)[0])}.values())


def said(switch: IPv4Address, host: IPv4Address) -> bytes:
    """What is in the header of every packet from one to the other (RFC 791)."""
    return switch.packed + host.packed


def _echo(a: Attacker, source: IPv4Address, address: IPv4Address) -> Twin:
    """A ping from the host's other address, so that its answer is not taken for an answer to anything else.

    From its VIP, which is the same on all its NICs, the answer comes by the cable nearest to the switch, or any.
    """
    from scapy.layers.inet import ICMP, IP
    from scapy.packet import Raw

    mark = token("loopback", a, address, "twin")
    echo = IP(src=str(source), dst=str(address)) / ICMP() / Raw(mark * 4)
    return Twin(a.place, (a.frame(echo),), mark, a.home)
