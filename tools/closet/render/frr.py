"""FRR's configuration of a node: who its neighbours are, and what may cross each session (RFC 8212)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address

from closet.plan import Fabric, Node, Port, Role
from closet.render.host import TEMPLATES

LARGE = 100
"""Nodes from which bgpd had better gather changes for a while before it sends them (coalesce-time)."""


@dataclass(slots=True)
class Group:
    """A BGP peer-group: neighbours that get the same policy.

    Attributes:
        accept, announce: names of the prefix lists of what may come in and go out; `..._by_port` where
            every neighbour has its own.
        passive: wait for the neighbour to connect. One end of every link does (the upper one): where both
            connect, and a link rises at both ends at the same moment, each closes the other's connection, and
            they try again together, for ever.
        max_prefixes: the session closes when a neighbour gets more prefixes than this past the filter.
    """

    name: str
    ports: list[Port]
    accept: str | None = None
    announce: str | None = None
    accept_by_port: dict[str, str] = field(default_factory=dict)
    announce_by_port: dict[str, str] = field(default_factory=dict)
    originate_default: bool = False
    passive: bool = False
    as_override: bool = False
    max_prefixes: int | None = None


def frr_conf(fabric: Fabric, node: Node) -> str:
    """The integrated frr.conf of a node, in the words and order of `show running-config`."""
    groups, prefix_lists = _host_policy(fabric, node) if node.is_host else _switch_policy(fabric, node)
    neighbours = {p.name: _neighbour(fabric, p) for p in node.ports}
    return TEMPLATES.get_template("frr.conf.j2").render(
        fabric=fabric,
        node=node,
        # In the order of `show running-config`, so that a diff with it shows what differs.
        groups=sorted((g for g in groups if g.ports), key=lambda g: g.name),
        prefix_lists=sorted(prefix_lists.items()),
        route_maps=sorted(_route_maps(fabric, node, prefix_lists)),
        direct=_shares_hosts(fabric, node),
        interfaces=_interfaces(node),
        neighbours=neighbours,
        bfd_peers=_bfd_peers(fabric, node),
        networks=sorted(node.addresses),
        aggregate=node.block,
        coalesce=0 if len(fabric.nodes) < LARGE else 200,
    )


def _route_maps(
    fabric: Fabric, node: Node, prefix_lists: dict[str, list[str]]
) -> list[tuple[str, list[str], list[str]]]:
    """(name, matches, sets): one for each prefix list, and the source of a host's packets.

    A leaf that shares hosts with others hears their VIPs from the spines too. Those it must not tell on as its
    own, or it becomes a way between spines when links fail: what is its own has at most a host's AS in the path.
    """
    maps: list[tuple[str, list[str], list[str]]] = [
        (name, [f"ip address prefix-list {name}"], []) for name in prefix_lists
    ]
    if _shares_hosts(fabric, node):
        maps = [(name, ["as-path DIRECT", *m] if name == "OWN" else m, sets) for name, m, sets in maps]
    return [*maps, ("SOURCE", [], [f"src {node.loopback}"])] if node.is_host else maps


def _shares_hosts(fabric: Fabric, node: Node) -> bool:
    """Whether this is a leaf under spines with a host that is on other leaves too."""
    below_spines = node.role is Role.LEAF and fabric.uplinks(node)
    return bool(below_spines) and any(fabric.multihomed(fabric[p.peer]) for p in fabric.downlinks(node))


def _interfaces(node: Node) -> list[tuple[str, list[str]]]:
    """Each interface that has an IPv4 address, and its addresses."""
    ports = [(p.name, [str(p.address)] if p.address else [], p.rail) for p in node.ports]
    found = [(name, [f"{rail}/32", *address] if rail else address) for name, address, rail in ports]
    lo = ("lo", [f"{node.loopback}/32"])
    before = [f for f in found if f[1] and f[0] < "lo"]
    return [*before, lo, *(f for f in found if f[1] and f[0] >= "lo")]


def _neighbour(fabric: Fabric, port: Port) -> str:
    """How BGP calls the neighbour on a port: the interface, or the address at the other end."""
    if not fabric.numbered:
        return port.name
    there = fabric[port.peer].port(port.peer_port).address
    return str(there.ip) if there is not None else port.name


def _bfd_peers(fabric: Fabric, node: Node) -> list[tuple[Port, IPv6Address]]:
    """(port, link-local address at the other end): the BFD sessions that bfdd must know without bgpd.

    bgpd asks for a session once BGP is up, and withdraws it when a port that has an IPv4 address comes back: that
    address is news while the neighbour's link-local one is not yet known (FRR 10.3 bgpd/bgp_nexthop.c:
    bgp_connected_add). The other end's BFD then stays down, and while it does its bgpd takes no connection
    (bgpd/bgpd.c: peer_active).
    """
    if fabric.bfd is None or fabric.numbered:
        return []
    return [(p, fabric[p.peer].port(p.peer_port).link_local) for p in node.ports if p.rail is not None]


def _fabric_space(fabric: Fabric) -> list[str]:
    """What switches tell one another: loopbacks, leaf blocks, and the VIPs no leaf can summarise."""
    pools = fabric.pools
    entries = [f"{pools.loopbacks} ge 32", f"{pools.hosts} ge {pools.leaf_prefix} le {pools.leaf_prefix}"]
    if fabric.any_multihomed:
        entries.append(f"{pools.vips} ge 32")
    return entries


def _switch_policy(fabric: Fabric, node: Node) -> tuple[list[Group], dict[str, list[str]]]:
    fabric_space = _fabric_space(fabric)
    lists = {"FABRIC": fabric_space}
    with_default = fabric.host_routes == "default"
    down_list = "FABRIC"
    if with_default:
        lists["FABRIC-AND-DEFAULT"] = [*fabric_space, "0.0.0.0/0"]
        down_list = "FABRIC-AND-DEFAULT"
    up, down = fabric.uplinks(node), fabric.downlinks(node)
    if node.role is not Role.LEAF:
        top = node.role is fabric.top
        return [
            Group("UP", up, accept=down_list, announce="FABRIC"),
            Group(
                "DOWN",
                down,
                accept="FABRIC",
                announce=down_list,
                originate_default=with_default and top,
                passive=True,
            ),
        ], lists

    hosts = [fabric[p.peer] for p in down]
    own = [f"{node.loopback}/32"] + ([str(node.block)] if node.block else [])
    own += [f"{h.loopback}/32" for h in _once(hosts) if fabric.multihomed(h)]
    lists = {down_list: lists[down_list], "OWN": own}
    lists["TO-HOST"] = ["0.0.0.0/0"] if with_default else fabric_space[1:]
    by_port = {}
    for port, host in zip(down, hosts, strict=True):
        rail = host.port(port.peer_port).rail
        by_port[port.name] = f"FROM-{port.name}"
        lists[by_port[port.name]] = [f"{host.loopback}/32", f"{rail}/32"]
    return [
        Group("UP", up, accept=down_list, announce="OWN"),
        Group(
            "HOSTS",
            down,
            accept_by_port=by_port,
            announce="TO-HOST",
            # Hosts with one AS number between them would take each other's /32s for loops.
            as_override=fabric.shared_host_asn and not with_default,
            passive=True,
            max_prefixes=2,
        ),
    ], lists


def _once(hosts: list[Node]) -> list[Node]:
    return list({h.name: h for h in hosts}.values())


def _host_policy(fabric: Fabric, node: Node) -> tuple[list[Group], dict[str, list[str]]]:
    lists = {"FROM-LEAF": ["0.0.0.0/0"] if fabric.host_routes == "default" else _fabric_space(fabric)[1:]}
    by_port = {}
    for port in node.ports:
        by_port[port.name] = f"TO-{port.name}"
        lists[by_port[port.name]] = [f"{node.loopback}/32", f"{port.rail}/32"]
    return [Group("LEAVES", list(node.ports), accept="FROM-LEAF", announce_by_port=by_port)], lists
