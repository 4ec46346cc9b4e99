"""Which doors of the switches hosts must find closed."""

from __future__ import annotations

from collections.abc import Mapping

from closet.expect.overlay import expected_tables
from closet.expect.routes import next_hops
from closet.plan import DEFAULT_VRF, Fabric, Node, Port, Role
from closet.records import Fib, Knock

TCP = (22, 179, 2601, 2605, 2623)
"""SSH, BGP, and the terminals of zebra, bgpd and mgmtd (FRR tools/etc/frr, `services`)."""
UDP = (3784, 4784, 4789)
"""BFD over one hop and over several (RFC 5881, RFC 5883), and VXLAN (RFC 7348)."""
NEIGHBOURLY = {("TCP", 179), ("UDP", 3784)}
"""What a switch does talk with the neighbour on a link itself."""


def expected_knocks(fabric: Fabric) -> dict[Knock, str]:
    """One host of each VRF of each leaf knocks at its own leaf, at a remote one and at the top; nobody may answer.

    It knocks where its ping arrives and is answered whichever way packets go: not every leaf need be on every spine.
    At its own leaf it tries the addresses of the link's other end, too: the link-local one and, where links of the
    underlay are numbered, that of the /31. Without a default route (rails-only) a host can reach no other of a switch.
    From inside a tenant even a ping of a loopback must get no answer.
    """
    first: dict[tuple[str, str], tuple[Node, Port]] = {}
    for host in fabric.hosts:
        for port in host.ports:
            first.setdefault((port.peer, port.vrf), (host, port))
    leaves = fabric.role(Role.LEAF)
    place = {leaf.name: i for i, leaf in enumerate(leaves)}
    tops = fabric.role(fabric.top)
    tables = expected_tables(fabric)
    fibs = {name: its[DEFAULT_VRF] for name, its in tables.items()}
    knocks: dict[Knock, str] = {}
    for (name, vrf), (host, port) in sorted(first.items(), key=lambda it: place[it[0][0]]):
        leaf, i = fabric[name], place[name]
        near = leaf.port(port.peer_port)
        its = [f"{near.link_local}%{port.name}"]
        if near.address is not None and vrf == DEFAULT_VRF:
            its.append(str(near.address.ip))
        closed = [d for d in _doors() if d not in NEIGHBOURLY]
        knocks |= {Knock(host.name, leaf.name, address, *d): "silent" for address in its for d in closed}
        far = dict.fromkeys((leaf.name, leaves[(i + 1) % len(leaves)].name, tops[i % len(tops)].name))
        for switch in (fabric[n] for n in far):
            if vrf != DEFAULT_VRF:
                knocks |= {Knock(host.name, switch.name, str(switch.loopback), *d): "no ping" for d in _doors()}
            elif fabric.host_routes == "default" and _meet(fabric, fibs, host, switch):
                knocks |= {Knock(host.name, switch.name, str(switch.loopback), *d): "silent" for d in _doors()}
    return knocks


def _meet(fabric: Fabric, fibs: Mapping[str, Fib], a: Node, b: Node) -> bool:
    return _arrives(fabric, fibs, a, b) and _arrives(fabric, fibs, b, a)


def _arrives(fabric: Fabric, fibs: Mapping[str, Fib], source: Node, target: Node) -> bool:
    """Whether a packet to a node's loopback arrives there whichever equal-cost path it takes."""
    if source is target:
        return True
    ports = next_hops(fibs[source.name], target.loopback)
    return bool(ports) and all(_arrives(fabric, fibs, fabric[source.port(p).peer], target) for p in ports)


def _doors() -> list[tuple[str, int]]:
    return [("TCP", n) for n in TCP] + [("UDP", n) for n in UDP]
