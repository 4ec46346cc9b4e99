"""The routes of every VRF: the underlay's, and the tenants' over EVPN Type-5 (RFC 9136), played on the plan."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network

from closet.expect.routes import DEFAULT, expected_fibs
from closet.plan import DEFAULT_VRF, Fabric, Link, Node, Tenant
from closet.records import Fib, L3Vni, Tables, Type5

Local = dict[str, dict[str, Fib]]
"""Tenant → leaf → the /32s its hosts announce there, by port."""


def expected_tables(fabric: Fabric, down: Container[Link] = ()) -> Mapping[str, Tables]:
    """Node → VRF → the routes its kernel must hold, and none else, when the links in `down` are down."""
    return _all_up(fabric) if down == () else _tables(fabric, down)


@lru_cache(maxsize=4)
def _all_up(fabric: Fabric) -> Mapping[str, Tables]:
    """Every other check asks for it, and an apply of two plans."""
    return _tables(fabric, ())


def _tables(fabric: Fabric, down: Container[Link]) -> Mapping[str, Tables]:
    fibs = _underlay(fabric, down)
    tables: dict[str, Tables] = {n: {DEFAULT_VRF: fibs[n]} for n in fabric.nodes}
    local = _local(fabric, down)
    for tenant in fabric.tenants.values():
        for name in tenant.leaves:
            tables[name][tenant.name] = _vrf(fabric, fabric[name], tenant, local[tenant.name], fibs[name])
    for host in fabric.hosts:
        if host.vrf != DEFAULT_VRF:
            tables[host.name][DEFAULT_VRF] = _of_host(fabric, host, tables, local[host.vrf], down)
    return tables


def expected_type5(fabric: Fabric, down: Container[Link] = ()) -> dict[str, frozenset[Type5]]:
    """Switch → the EVPN routes it must hold: every leaf's, where its VTEP can be reached from there."""
    fibs, local = _underlay(fabric, down), _local(fabric, down)
    all_routes: dict[str, set[Type5]] = {}
    for tenant in fabric.tenants.values():
        for leaf, routes in local[tenant.name].items():
            node = fabric[leaf]
            all_routes.setdefault(leaf, set()).update(
                Type5(node.rd(tenant), str(prefix), tenant.route_target, node.router_mac, str(node.loopback))
                for prefix in routes
            )
    return {
        switch.name: frozenset(
            r
            for leaf, routes in all_routes.items()
            if leaf == switch.name or _reaches(fabric, fibs, switch, leaf)
            for r in routes
        )
        for switch in fabric.switches
    }


def expected_l3vnis(fabric: Fabric) -> dict[str, dict[str, L3Vni]]:
    """Leaf → VRF → its L3VNI; leaves without any are left out."""
    return {
        n.name: {t.name: L3Vni(t.vni, "Up", t.vxlan, t.bridge, n.router_mac) for t in fabric.vrfs(n)}
        for n in fabric.switches
        if fabric.vrfs(n)
    }


def _underlay(fabric: Fabric, down: Container[Link]) -> dict[str, Fib]:
    """Routes of the default VRF: links to hosts of tenants are not in it."""
    return expected_fibs(fabric, _Either(down, frozenset(link for link in fabric.links if _of_tenant(fabric, link))))


@dataclass(frozen=True, slots=True)
class _Either:
    """Links in one collection or the other."""

    one: Container[Link]
    other: Container[Link]

    def __contains__(self, link: object) -> bool:
        return link in self.one or link in self.other


def _of_tenant(fabric: Fabric, link: Link) -> bool:
    return fabric[link.a].port(link.a_port).vrf != DEFAULT_VRF


def _local(fabric: Fabric, down: Container[Link]) -> Local:
    """What the hosts of each tenant announce to each leaf over the links that are up."""
    local: Local = {t: {} for t in fabric.tenants}
    for link in fabric.links:
        port = fabric[link.a].port(link.a_port)
        if port.vrf == DEFAULT_VRF or link in down:
            continue
        host = fabric[link.b]
        fib = local[port.vrf].setdefault(link.a, {})
        vip = IPv4Network(host.loopback)
        fib[vip] = fib.get(vip, frozenset()) | {port.name}
        rail = host.port(link.b_port).rail
        if rail is not None:
            fib[IPv4Network(rail)] = frozenset({port.name})
    return local


def _vrf(fabric: Fabric, leaf: Node, tenant: Tenant, local: Mapping[str, Fib], underlay: Fib) -> Fib:
    """A tenant's routes on a leaf: its own hosts, those behind other VTEPs, and what peers export."""
    routes: Fib = {}
    for other, theirs in local.items():
        vtep = fabric[other].loopback
        if other != leaf.name and IPv4Network(vtep) in underlay:
            for prefix in theirs:
                routes[prefix] = routes.get(prefix, frozenset()) | {str(vtep)}
    routes |= local.get(leaf.name, {})  # a path of one AS wins over any through the fabric
    for peering in fabric.peerings_of(leaf, tenant):
        for net in peering.exported(peering.peer(tenant.name)):
            routes[net] = frozenset({peering.port(tenant.name)})
    return routes


def _of_host(
    fabric: Fabric, host: Node, tables: Mapping[str, Tables], local: Mapping[str, Fib], down: Container[Link]
) -> Fib:
    """A tenant's host has a default route over every leaf that gives it one."""
    tenant = fabric.tenants[host.vrf]
    up = {(link.b, link.b_port) for link in fabric.links if link.b == host.name and link not in down}
    ports = set()
    for port in host.ports:
        leaf = fabric[port.peer]
        far = tables[leaf.name][tenant.name].keys() - local.get(leaf.name, {}).keys()
        heard = any(_over_evpn(fabric, tables[leaf.name][tenant.name][p]) for p in far)
        if (host.name, port.name) in up and (heard or not fabric.default_while_remote(leaf, tenant)):
            ports.add(port.name)
    return {DEFAULT: frozenset(ports)} if ports else {}


def _over_evpn(fabric: Fabric, hops: frozenset[str]) -> bool:
    vteps = {str(n.loopback) for n in fabric.switches}
    return bool(hops & vteps)


def _reaches(fabric: Fabric, fibs: Mapping[str, Fib], switch: Node, leaf: str) -> bool:
    return IPv4Network(fabric[leaf].loopback) in fibs[switch.name]
