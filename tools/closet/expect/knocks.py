"""Which doors of the switches hosts must find closed."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from closet.expect.routes import expected_fibs
from closet.plan import Fabric, Node, Port, Role
from closet.records import Fib, Knock

TCP = (22, 179, 2601, 2605, 2623)
"""SSH, BGP, and the terminals of zebra, bgpd and mgmtd (FRR tools/etc/frr, `services`)."""
UDP = (3784, 4784, 4789)
"""BFD over one hop and over several (RFC 5881, RFC 5883), and VXLAN (RFC 7348)."""
NEIGHBOURLY = {("TCP", 179), ("UDP", 3784)}
"""What a switch does talk with the neighbour on a link itself."""


def expected_knocks(fabric: Fabric) -> dict[Knock, str]:
    """One host of each leaf knocks at its own leaf, at a remote one and at the top; nobody may answer.

    It knocks where its ping arrives and is answered whichever way packets go: not every leaf need be on every spine.
    At its own leaf it tries the link-local address, too. Without a default route (rails-only) that is the only
    address of a switch that a host can reach.
    """
    leaves = fabric.role(Role.LEAF)
    tops = fabric.role(fabric.top)
    first: dict[str, tuple[Node, Port]] = {}
    for host in fabric.hosts:
        for port in host.ports:
            first.setdefault(port.peer, (host, port))
    knocks = {}
    fibs = expected_fibs(fabric)
    for i, leaf in enumerate(leaves):
        if leaf.name not in first:
            continue
        host, port = first[leaf.name]
        local = f"{link_local(leaf.port(port.peer_port).mac)}%{port.name}"
        doors = [(leaf.name, local, door) for door in _doors() if door not in NEIGHBOURLY]
        if fabric.host_routes == "default":
            far = dict.fromkeys((leaf.name, leaves[(i + 1) % len(leaves)].name, tops[i % len(tops)].name))
            answering = [
                name
                for name in far
                if _arrives(fabric, fibs, host, fabric[name]) and _arrives(fabric, fibs, fabric[name], host)
            ]
            doors += [(name, str(fabric[name].loopback), door) for name in answering for door in _doors()]
        for switch, address, (protocol, number) in doors:
            knocks[Knock(host.name, switch, address, protocol, number)] = "silent"
    return knocks


def _arrives(fabric: Fabric, fibs: Mapping[str, Fib], source: Node, target: Node) -> bool:
    """Whether a packet to a node's loopback arrives there whichever equal-cost path it takes."""
    if source is target:
        return True
    ports = _next_hops(fibs[source.name], target.loopback)
    return bool(ports) and all(_arrives(fabric, fibs, fabric[source.port(p).peer], target) for p in ports)


def _next_hops(fib: Fib, address: IPv4Address) -> frozenset[str]:
    """The ports of the longest prefix that holds an address; none where there is none."""
    lengths = sorted({prefix.prefixlen for prefix in fib}, reverse=True)
    nets = (IPv4Network((int(address) >> (32 - n) << (32 - n), n)) for n in lengths)
    return next((fib[net] for net in nets if net in fib), frozenset())


def _doors() -> list[tuple[str, int]]:
    return [("TCP", n) for n in TCP] + [("UDP", n) for n in UDP]


def link_local(mac: str) -> IPv6Address:
    """The IPv6 link-local address the kernel makes from a MAC (RFC 4291 appendix A)."""
    b = bytes.fromhex(mac.replace(":", ""))
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes([b[0] ^ 2]) + b[1:3] + b"\xff\xfe" + b[3:])
