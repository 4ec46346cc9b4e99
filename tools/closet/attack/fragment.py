"""Fragments: pieces of a packet that a filter may take for harmless, or not understand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from closet.attack.attacker import Attacker, Neighbourhood, attacker, attackers, token
from closet.attack.doors import EPHEMERAL
from closet.attack.registry import packets
from closet.attack.shot import Shot, Twin
from closet.attack.source import spoofed
from closet.plan import Fabric, Node
from closet.records import Endpoint
from closet.roce.wire import UDP_PORT
from closet.traffic.wire import Place

Pieces = list[tuple[int, int, bytes]]
"""(offset in bytes, whether more follow, what) of each fragment."""
SSH = 22


def _tiny(data: bytes) -> Pieces:
    """Eight bytes each: no fragment has both a port and anything else (RFC 1858 section 3)."""
    return [(at, int(at + 8 < len(data)), data[at : at + 8]) for at in range(0, len(data), 8)]


def _rest(data: bytes) -> Pieces:
    """All but the first: no fragment has a port."""
    return _tiny(data)[1:]


def _backwards(data: bytes) -> Pieces:
    """The last first: whoever judges by the first that comes knows nothing."""
    return _tiny(data)[::-1]


def _overlapping(data: bytes) -> Pieces:
    """A harmless beginning that a later fragment overwrites (RFC 1858 section 4)."""
    return [(0, 1, bytes(16)), (0, 1, data[:8]), (8, 0, data[8:])]


TRICKS: dict[str, Callable[[bytes], Pieces]] = {
    "tiny": _tiny,
    "no first": _rest,
    "backwards": _backwards,
    "overlapping": _overlapping,
}


@packets(
    "no fragment goes where its packet may not",
    protection="filters of addresses, which every fragment bears; where state is kept, on whole packets",
)
def fragments(fabric: Fabric) -> Iterator[Shot]:
    """To whom a filter keeps one from, and from others' addresses to whom one may talk to; in pieces of every kind."""
    hood = Neighbourhood(fabric)
    for a in _everyone(fabric):
        mate = hood.mate(a)
        twin = _twin(a, mate) if mate is not None else None
        for target in hood.forbidden(a):
            yield from _shots(a, a.address, target, f"{target}, which it may not meet", twin)
        if mate is not None:
            whose, address = next(iter(spoofed(a)))
            yield from _shots(a, address, mate, f"{mate}, from {whose}", twin)


def _everyone(fabric: Fabric) -> list[Attacker]:
    """One host of each subnet, and one of the underlay."""
    first: dict[tuple[str, str], Node] = {}
    for host in fabric.hosts:
        tenant = fabric.tenants.get(host.vrf)
        first.setdefault((host.vrf, tenant.subnet_of(host.name).name if tenant else ""), host)
    return [attacker(fabric, host) for host in first.values()]


def _shots(a: Attacker, src: IPv4Address, to: Endpoint, whom: str, twin: Twin | None) -> Iterator[Shot]:
    for trick, cut in TRICKS.items():
        mark = token("fragment", a, src, to, trick)
        frames = _frames(a, src, to.address, mark, cut)
        yield Shot(f"{a}: {trick} fragments to {whom}", a.place, frames, (mark,), a.beyond(), twin)


def _twin(a: Attacker, mate: Endpoint) -> Twin:
    mark = token("fragment", "twin", a)
    frames = _frames(a, a.address, mate.address, mark, _tiny)
    return Twin(a.place, frames, mark, (Place(mate.host, mate.port or a.port.name),))


def _frames(
    a: Attacker, src: IPv4Address, dst: IPv4Address, mark: bytes, cut: Callable[[bytes], Pieces]
) -> tuple[bytes, ...]:
    """A UDP packet in IPv4 fragments; every eight bytes of it after the header are the mark."""
    from scapy.layers.inet import IP, UDP
    from scapy.packet import Raw

    ip = IP(src=str(src), dst=str(dst), proto=17, id=int.from_bytes(mark[:2]))
    udp = bytes(IP(src=str(src), dst=str(dst)) / UDP(sport=UDP_PORT, dport=UDP_PORT) / Raw(mark * 5))[20:]
    return tuple(
        a.frame(IP(src=ip.src, dst=ip.dst, proto=17, id=ip.id, frag=at // 8, flags=more) / Raw(data))
        for at, more, data in cut(udp)
    )


@packets(
    "no port of a switch answers a host that asks in fragments",
    protection="control-plane filter: a fragment shows no port it lets in",
)
def fragmented_doors(fabric: Fabric) -> Iterator[Shot]:
    """SSH, in IPv6 fragments to the leaf's link-local address: tiny, behind other headers, called ICMPv6."""
    for a in attackers(fabric):
        mark = token("fragmented ping", a)
        echo = Twin(a.place, _ping(a, mark), mark, (a.place,))
        for trick, (first, then) in {
            "tiny": (6, 6),
            "called ICMPv6 from the second on": (6, 58),
            "called ICMPv6": (58, 58),
            "behind an option header": (60, 6),
            "behind an option header and called ICMPv6": (60, 58),
        }.items():
            mark = token("fragmented door", a, trick)
            seq = int.from_bytes(mark[:4]) & 0x7FFFFFFF
            traces = (seq.to_bytes(4), (seq + 1).to_bytes(4))
            frames = _knock(a, seq, first, then)
            what = f"{a}: TCP {SSH} in fragments, {trick}, to {a.door.link_local}"
            yield Shot(what, a.place, frames, traces, a.home, echo)


def _knock(a: Attacker, seq: int, first: int, then: int) -> tuple[bytes, ...]:
    """A TCP SYN in fragments of eight bytes; `first` and `then`: what their headers say follows."""
    from scapy.layers.inet import TCP

    head = bytes([6, 0, 1, 4, 0, 0, 0, 0]) if first == 60 else b""  # an option header of padding, then TCP
    tcp = _with_checksum(a, TCP(sport=EPHEMERAL, dport=SSH, flags="S", seq=seq))
    return _in_pieces(a, head + tcp, seq, first, then)


def _ping(a: Attacker, mark: bytes) -> tuple[bytes, ...]:
    from scapy.layers.inet6 import ICMPv6EchoRequest

    return _in_pieces(a, _with_checksum(a, ICMPv6EchoRequest(data=mark * 4)), int.from_bytes(mark[:4]), 58, 58)


def _with_checksum(a: Attacker, packet: Any) -> bytes:
    """The bytes of what goes into IPv6, with the checksum over its pseudo-header."""
    from scapy.layers.inet6 import IPv6

    return bytes(IPv6(src=str(a.port.link_local), dst=str(a.door.link_local)) / packet)[40:]


def _in_pieces(a: Attacker, data: bytes, number: int, first: int, then: int) -> tuple[bytes, ...]:
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
    from scapy.packet import Raw

    def address(port: IPv6Address) -> str:
        return str(port)

    return tuple(
        a.frame(
            IPv6(src=address(a.port.link_local), dst=address(a.door.link_local), hlim=255, nh=44)
            / IPv6ExtHdrFragment(nh=then if at else first, offset=at // 8, m=more, id=number)
            / Raw(piece)
        )
        for at, more, piece in _tiny(data)
    )
