"""FRR's configuration of a node, in the words and order of `show running-config`."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address

from closet.plan import DEFAULT_VRF, Fabric, Node, Port, Tenant
from closet.render.environment import TEMPLATES
from closet.render.policy import DIRECT, REMOTE, Policy, policy

LARGE = 100
"""Nodes from which bgpd had better gather changes for a while before it sends them (coalesce-time)."""

AS_PATHS = {DIRECT: "^[0-9]*$", REMOTE: "^[0-9]+ [0-9]+"}
"""Match → the regular expression of the as-path access-list it names."""

PEERING_GATEWAYS = ("169.254.0.1", "169.254.0.2")
"""What the ends of a peering's veth are called as next hops, its first tenant's first: nobody has these addresses,
a permanent neighbour entry says whose MAC they mean."""


@dataclass(slots=True)
class Vrf:
    """A VRF as zebra knows it: its L3VNI, and static routes to what peers export."""

    tenant: Tenant
    routes: list[str] = field(default_factory=list)


def frr_conf(fabric: Fabric, node: Node) -> str:
    """The integrated frr.conf of a node."""
    rules = policy(fabric, node)
    return TEMPLATES.get_template("frr.conf.j2").render(
        fabric=fabric,
        node=node,
        # In the order of `show running-config`, so that a diff with it shows what differs.
        prefix_lists=sorted(rules.lists.items()),
        route_maps=sorted(rules.maps, key=lambda m: m.name),
        as_paths=_as_paths(rules),
        interfaces=_interfaces(node),
        vrfs=[_vrf(fabric, node, tenant) for tenant in fabric.vrfs(node)],
        instances=rules.instances,
        neighbours={p.name: _neighbour(fabric, p) for p in node.ports},
        bfd_peers=_bfd_peers(fabric, node),
        coalesce=0 if len(fabric.nodes) < LARGE else 200,
    )


def _as_paths(rules: Policy) -> list[tuple[str, str]]:
    used = {match for m in rules.maps for match in m.matches}
    return [(match.partition(" ")[2], regex) for match, regex in AS_PATHS.items() if match in used]


def _vrf(fabric: Fabric, node: Node, tenant: Tenant) -> Vrf:
    vrf = Vrf(tenant)
    for peering in fabric.peerings_of(node, tenant):
        port = peering.port(tenant.name)
        gateway = PEERING_GATEWAYS[1 if tenant.name == peering.one else 0]
        vrf.routes += [f"{net} {gateway} {port} onlink" for net in peering.exported(peering.peer(tenant.name))]
    return vrf


def _interfaces(node: Node) -> list[tuple[str, list[str]]]:
    """Each interface that has an IPv4 address, as `interface` takes its name, and its addresses."""
    ports = [(_in_vrf(node, p), [str(p.address)] if p.address else [], p.rail) for p in node.ports]
    found = [(name, [f"{rail}/32", *address] if rail else address) for name, address, rail in ports]
    lo = ("lo", [f"{node.loopback}/32"])
    before = [f for f in found if f[1] and f[0] < "lo"]
    return [*before, lo, *(f for f in found if f[1] and f[0] >= "lo")]


def _in_vrf(node: Node, port: Port) -> str:
    """Of a switch: a host's own ports are in its default VRF, whatever tenant it is in."""
    return port.name if node.is_host or port.vrf == DEFAULT_VRF else f"{port.name} vrf {port.vrf}"


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
