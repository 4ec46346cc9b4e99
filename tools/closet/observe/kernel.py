"""What a node's kernel holds: routes, ports, settings, counters, and any layer 2 state."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

from closet.observe import netlink
from closet.plan import DEFAULT_VRF, Fabric
from closet.records import Fib, Port, Tables
from closet.render.host import sysctls
from closet.runtime.node import LiveNode

RTPROT_BGP = 186
RTPROT_ZSTATIC = 196
"""include/uapi/linux/rtnetlink.h"""
RT_TABLE_MAIN = 254
IFF_UP = 1
IFF_LOWER_UP = 1 << 16
NUD_PERMANENT_OR_NOARP = 0x80 | 0x40
"""Neighbour entries that nobody learned (include/uapi/linux/neighbour.h)."""
NTF_EXT_LEARNED = 0x10
"""One the control plane put there (include/uapi/linux/neighbour.h)."""
FLOOD = "00:00:00:00:00:00"
"""The forwarding entry of a VXLAN device that stands for all it does not know."""


def tables(node: LiveNode, fabric: Fabric) -> Tables:
    """The routes of every VRF: of the underlay those of BGP, of a tenant the static ones to its peers, too.

    Raises:
        ProbeError: the node is gone.
    """
    found = {DEFAULT_VRF: fib(node)}
    for tenant in fabric.vrfs(fabric[node.name]):
        found[tenant.name] = fib(node, tenant.name, bridge=tenant.bridge)
    return found


def fib(node: LiveNode, vrf: str = DEFAULT_VRF, *, bridge: str = "") -> Fib:
    """The routes of a VRF; next hops on `bridge` by the VTEP behind it. Without that VRF, none.

    Raises:
        ProbeError: the node is gone.
    """
    routes: Fib = {}
    names = node.ports(vrf=vrf)
    table = RT_TABLE_MAIN if vrf == DEFAULT_VRF or node.has_namespace(vrf) else _table(netlink.links(node), vrf)
    protocols = {RTPROT_BGP} if vrf == DEFAULT_VRF else {RTPROT_BGP, RTPROT_ZSTATIC}
    for route in netlink.routes(node, vrf):
        if route.table != table or route.protocol not in protocols:
            continue
        ways = {str(gateway) if names[i] == bridge else names[i] for i, gateway in route.hops if i in names}
        routes[route.prefix] = frozenset(ways - {"lo"})
    return routes


def _table(links: Iterable[netlink.Device], vrf: str) -> int:
    """A VRF's routing table: that of its device, or the main one of its namespace."""
    return next((link.vrf_table for link in links if link.name == vrf), RT_TABLE_MAIN)


def ports(node: LiveNode, fabric: Fabric) -> dict[str, Port]:
    """Every interface but `lo` and what makes VRFs, in whichever VRF it is.

    Raises:
        ProbeError: the node is gone.
    """
    found = {}
    planned = fabric.vrfs(fabric[node.name])
    plumbing = {"lo", *(name for t in planned for name in (t.name, t.bridge, t.vxlan))}
    plumbing |= {p.port(t.name) for t in planned for p in fabric.peerings_of(fabric[node.name], t)}
    for vrf in _places(node, fabric):
        for link in netlink.links(node, vrf):
            up = link.flags & IFF_UP and link.flags & IFF_LOWER_UP
            found[link.name] = Port(link.mac, link.mtu, bool(up))
    return {name: port for name, port in found.items() if name not in plumbing}


def _places(node: LiveNode, fabric: Fabric) -> list[str]:
    """The underlay, and each VRF that is a namespace of its own: together they have every device of a node."""
    return [DEFAULT_VRF, *(t.name for t in fabric.vrfs(fabric[node.name]) if node.has_namespace(t.name))]


def settings(node: LiveNode, fabric: Fabric) -> dict[str, int]:
    """The kernel settings the plan gives a value, as they are; where VRFs differ, by the last that does.

    Raises:
        ProbeError: the node is gone.
    """
    planned = sysctls(fabric[node.name])
    files = ["/proc/sys/" + name.replace(".", "/") for name in planned]
    found: dict[str, int] = {}
    for vrf in _places(node, fabric):
        here = dict(zip(planned, map(int, node.read_all(files, vrf=vrf).values()), strict=True))
        found |= {name: value for name, value in here.items() if value != planned[name] or name not in found}
    return found


def layer2(node: LiveNode, fabric: Fabric) -> frozenset[str]:
    """Any state a routed fabric must not have, and what L3VNIs are made of.

    Switching devices, forwarding entries, flooding, learned ARP.

    Raises:
        ProbeError: the node is gone.
    """
    found: set[str] = set()
    for vrf in _places(node, fabric):
        found |= set(_layer2_here(node, vrf, arp=not fabric.numbered))
    return frozenset(found)


def _layer2_here(node: LiveNode, vrf: str, *, arp: bool) -> Iterator[str]:
    links = netlink.links(node, vrf)
    names = {link.index: link.name for link in links}
    for link in links:
        if link.kind not in {"", "veth", "vrf"}:
            yield f"{link.kind} {link.name}"
        if link.slave_kind == "bridge":
            yield f"{link.name} in {names.get(link.master)}"
    for entry in netlink.neighbours(node, socket.AF_BRIDGE, vrf):
        where = names.get(entry.index)
        if entry.mac == FLOOD:
            yield f"flooding on {where} to {entry.address}"
        elif not entry.state & NUD_PERMANENT_OR_NOARP and not entry.flags & NTF_EXT_LEARNED:
            yield f"MAC {entry.mac} learned on {where}"
    for entry in netlink.neighbours(node, socket.AF_INET, vrf) if arp else ():
        # One without a MAC is a question nobody answered, and no state of anybody's.
        if not entry.state & NUD_PERMANENT_OR_NOARP and entry.mac:
            yield f"ARP {entry.address} on {names.get(entry.index)}"


def sent_bytes(node: LiveNode) -> dict[str, int]:
    """Port → bytes sent, from the node's /proc/net/dev.

    Raises:
        ProbeError: the node is gone.
    """
    lines = node.read("/proc/net/dev").splitlines()[2:]
    return {line.partition(":")[0].strip(): int(line.partition(":")[2].split()[8]) for line in lines}
