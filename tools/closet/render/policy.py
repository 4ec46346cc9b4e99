"""What may cross each BGP session of a node: peer-groups, prefix lists and route-maps (RFC 8212)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network

from closet.plan import DEFAULT_VRF, Fabric, Node, Port, Role, Tenant

DEFAULT = "0.0.0.0/0"
DIRECT = "as-path DIRECT"
"""Matches a path with at most one AS in it: what is a leaf's own, or of a host of its."""
TYPE_5 = "evpn route-type prefix"
"""IP prefix routes (RFC 9136), and no MACs."""
REMOTE = "as-path REMOTE"
"""Matches a path with two AS numbers or more: what came through the fabric."""


@dataclass(slots=True)
class Group:
    """A BGP peer-group: neighbours that get the same policy.

    Attributes:
        accept, announce: names of the prefix lists of what may come in and go out; `..._by_port` where
            every neighbour has its own.
        passive: wait for the neighbour to connect. One end of every link does (the upper one): where both
            connect, and a link rises at both ends at the same moment, each closes the other's connection, and
            they try again together, for ever.
        originate_default: announce a default route, `always` or while a route passes the route-map of that name.
        evpn: route-maps in and out of the l2vpn evpn address family; None where it is not spoken. Switches speak it
            before there is a tenant: FRR 10.3 ends a session that gets another address family, whatever the other
            end could do with that (bgpd/bgpd.c: peer_activate_af).
        max_prefixes: the session closes when a neighbour gets more prefixes than this past the filter.
    """

    name: str
    ports: list[Port]
    accept: str | None = None
    announce: str | None = None
    accept_by_port: dict[str, str] = field(default_factory=dict)
    announce_by_port: dict[str, str] = field(default_factory=dict)
    originate_default: str = ""
    evpn: tuple[str, str] | None = None
    passive: bool = False
    as_override: bool = False
    max_prefixes: int | None = None


@dataclass(slots=True)
class RouteMap:
    """A route-map of one entry that permits what it matches."""

    name: str
    matches: list[str]
    sets: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Instance:
    """A BGP instance: the one of the underlay, or a tenant's.

    Attributes:
        networks: /32s it originates. aggregate: what it summarises.
        own: on a tenant's, the route-map of what it exports to EVPN.
    """

    groups: list[Group]
    tenant: Tenant | None = None
    networks: list[str] = field(default_factory=list)
    aggregate: IPv4Network | None = None
    own: str = ""


@dataclass(slots=True)
class Policy:
    """All instances of a node, and what they refer to by name."""

    instances: list[Instance]
    lists: dict[str, list[str]] = field(default_factory=dict)
    maps: list[RouteMap] = field(default_factory=list)


def policy(fabric: Fabric, node: Node) -> Policy:
    """The policy of a node."""
    if node.is_host:
        return _of_host(fabric, node)
    if node.role is Role.LEAF:
        return _of_leaf(fabric, node)
    return _of_spine(fabric, node)


def _fabric_space(fabric: Fabric) -> list[str]:
    """What switches tell one another: loopbacks, leaf blocks, and the VIPs no leaf can summarise."""
    pools = fabric.pools
    entries = [f"{pools.loopbacks} ge 32", f"{pools.hosts} ge {pools.leaf_prefix} le {pools.leaf_prefix}"]
    if fabric.any_multihomed:
        entries.append(f"{pools.vips} ge 32")
    return entries


def _downwards(fabric: Fabric) -> tuple[str, list[str]]:
    """Name and entries of what goes down from switch to switch."""
    if fabric.host_routes == "default":
        return "FABRIC-AND-DEFAULT", [*_fabric_space(fabric), DEFAULT]
    return "FABRIC", _fabric_space(fabric)


def _maps(lists: dict[str, list[str]]) -> list[RouteMap]:
    """A route-map for each prefix list, of its name."""
    return [RouteMap(name, [f"ip address prefix-list {name}"]) for name in lists]


def _of_spine(fabric: Fabric, node: Node) -> Policy:
    down_list, entries = _downwards(fabric)
    lists = {"FABRIC": _fabric_space(fabric), down_list: entries}
    top = node.role is fabric.top
    groups = [
        Group("UP", fabric.uplinks(node), accept=down_list, announce="FABRIC"),
        Group(
            "DOWN",
            fabric.downlinks(node),
            accept="FABRIC",
            announce=down_list,
            originate_default="always" if fabric.host_routes == "default" and top else "",
            passive=True,
        ),
    ]
    for group in groups:
        group.evpn = ("EVPN", "EVPN")
    maps = [*_maps(lists), RouteMap("EVPN", [TYPE_5])]
    return Policy([Instance(groups, networks=[f"{node.loopback}/32"])], lists, maps)


def _of_leaf(fabric: Fabric, node: Node) -> Policy:
    down_list, entries = _downwards(fabric)
    with_default = fabric.host_routes == "default"
    down = [p for p in fabric.downlinks(node) if p.vrf == DEFAULT_VRF]
    shared = [h for h in _hosts(fabric, down) if fabric.multihomed(h)]
    lists = {
        down_list: entries,
        "OWN": [
            f"{node.loopback}/32",
            *([str(node.block)] if node.block else []),
            *(f"{h.loopback}/32" for h in shared),
        ],
        "TO-HOST": [DEFAULT] if with_default else _fabric_space(fabric)[1:],
    }
    ups = fabric.uplinks(node)
    up = [
        Group("UP", [p for p in ups if fabric.leads_up(node, p)], accept=down_list, announce="OWN"),
        Group("MESH", [p for p in ups if not fabric.leads_up(node, p)], accept=down_list, announce="OWN", passive=True),
    ]
    hosts = _group_of_hosts(fabric, down, lists)
    hosts.announce = "TO-HOST"
    # Hosts with one AS number between them would take each other's /32s for loops.
    hosts.as_override = fabric.shared_host_asn and not with_default
    underlay = Instance([*up, hosts], networks=[f"{node.loopback}/32"], aggregate=node.block)
    tenants = [_tenant(fabric, node, tenant, lists) for tenant in fabric.vrfs(node)]
    maps = _maps(lists)
    if shared and ups:
        # Of VIPs it shares, a leaf hears from the spines too. Those it must not tell on as its own, or it becomes
        # a way between spines when links fail.
        next(m for m in maps if m.name == "OWN").matches.insert(0, DIRECT)
    for group in up:
        group.evpn = ("EVPN", "EVPN-OWN")
    maps += [RouteMap("EVPN", [TYPE_5]), RouteMap("EVPN-OWN", [DIRECT, TYPE_5])] if ups else []
    if any(g.originate_default == "REMOTE" for t in tenants for g in t.groups):
        maps.append(RouteMap("REMOTE", [REMOTE]))
    return Policy([underlay, *tenants], lists, maps)


def _tenant(fabric: Fabric, node: Node, tenant: Tenant, lists: dict[str, list[str]]) -> Instance:
    """A tenant's VRF on a leaf: its hosts get a default route, and other leaves what its hosts announce."""
    down = [p for p in fabric.downlinks(node) if p.vrf == tenant.name]
    hosts = _group_of_hosts(fabric, down, lists)
    hosts.announce = "TO-TENANT"
    if down:
        lists["TO-TENANT"] = [DEFAULT]
    hosts.originate_default = "REMOTE" if fabric.default_while_remote(node, tenant) else "always"
    own = f"OWN-{tenant.name}"
    lists[own] = [entry for name in hosts.accept_by_port.values() for entry in lists[name]]
    lists[own] = list(dict.fromkeys(lists[own]))
    if not lists[own]:
        del lists[own]
    return Instance([hosts], tenant=tenant, own=own if down else "")


def _group_of_hosts(fabric: Fabric, ports: list[Port], lists: dict[str, list[str]]) -> Group:
    """Hosts announce their own /32s and nothing else, each over the ports it has."""
    by_port = {}
    for port in ports:
        host = fabric[port.peer]
        by_port[port.name] = f"FROM-{port.name}"
        lists[by_port[port.name]] = [f"{host.loopback}/32", f"{host.port(port.peer_port).rail}/32"]
    return Group("HOSTS", ports, accept_by_port=by_port, passive=True, max_prefixes=2)


def _hosts(fabric: Fabric, ports: list[Port]) -> list[Node]:
    return list({p.peer: fabric[p.peer] for p in ports}.values())


def _of_host(fabric: Fabric, node: Node) -> Policy:
    by_default = fabric.host_routes == "default" or node.vrf != DEFAULT_VRF
    lists = {"FROM-LEAF": [DEFAULT] if by_default else _fabric_space(fabric)[1:]}
    by_port = {}
    for port in node.ports:
        by_port[port.name] = f"TO-{port.name}"
        lists[by_port[port.name]] = [f"{node.loopback}/32", f"{port.rail}/32"]
    group = Group("LEAVES", list(node.ports), accept="FROM-LEAF", announce_by_port=by_port)
    # Packets that are not bound to a NIC come from the VIP.
    source = RouteMap("SOURCE", [], [f"src {node.loopback}"])
    instance = Instance([group], networks=[f"{a}/32" for a in sorted(node.addresses)])
    return Policy([instance], lists, [*_maps(lists), source])
