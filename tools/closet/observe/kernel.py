"""What a node's kernel holds: routes, ports, settings, counters, and any layer 2 state."""

from __future__ import annotations

import socket
from collections.abc import Container, Iterable, Iterator, Mapping
from ipaddress import IPv4Network

from closet.expect import expected_settings
from closet.observe import netlink
from closet.plan import DEFAULT_VRF, Fabric
from closet.records import Fib, Port, Settings, Tables
from closet.runtime.node import LiveNode

RTPROT_KERNEL, RTPROT_BOOT = 2, 3
RTPROT_BGP = 186
RTPROT_ZSTATIC = 196
"""include/uapi/linux/rtnetlink.h"""
MAKERS = {1: "redirect", RTPROT_BOOT: "hand", 4: "hand", 11: "zebra", 16: "DHCP", RTPROT_ZSTATIC: "staticd"}
"""RTPROT_* → who makes such routes; `ip route add` says `boot`."""
ANYWHERE = IPv4Network("0.0.0.0/0")
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
    """The routes of every VRF, whoever made them, but those that come with an address.

    Static routes count where the plan has such: in a tenant's VRF, to its peers. In the underlay they are the user's
    own where the intent gives configuration for this node, and are left out.

    Raises:
        ProbeError: the node is gone.
    """
    planned = fabric[node.name]
    own = {RTPROT_KERNEL} | ({RTPROT_ZSTATIC} if planned.config is not None or planned.extra is not None else set())
    found = {DEFAULT_VRF: _fib(node, DEFAULT_VRF, "", {RTPROT_BGP}, own)}
    for tenant in fabric.vrfs(planned):
        found[tenant.name] = _fib(node, tenant.name, tenant.bridge, {RTPROT_BGP, RTPROT_ZSTATIC}, {RTPROT_KERNEL})
    return found


def _fib(node: LiveNode, vrf: str, bridge: str, ours: Container[int], own: Container[int]) -> Fib:
    names = node.ports(vrf=vrf)
    table = RT_TABLE_MAIN if vrf == DEFAULT_VRF or node.has_namespace(vrf) else _table(netlink.links(node), vrf)
    its = [r for r in netlink.routes(node, vrf) if r.table == table and r.protocol not in own]
    return fib_of(its, names, bridge=bridge, ours=ours)


def fib_of(routes: Iterable[netlink.Route], names: Mapping[int, str], *, bridge: str, ours: Container[int]) -> Fib:
    """Routes of one table as prefix → ways out; a way that none of `ours` made says who did.

    Args:
        names: of interfaces, by index. bridge: next hops on it are told by the VTEP behind it.
        ours: protocols (RTPROT_*) that the design uses.
    """
    found: Fib = {}
    for route in routes:
        ways = {str(gateway) if names[i] == bridge else names[i] for i, gateway in route.hops if i in names} - {"lo"}
        if route.protocol not in ours:
            if route.table != RT_TABLE_MAIN and (route.prefix, route.hops) == (ANYWHERE, ()):
                continue  # the end of a VRF's table, beyond which there would be the main one (vrfs.sh)
            by = MAKERS.get(route.protocol, f"protocol {route.protocol}")
            ways = {f"{way} (by {by})" for way in ways or {"blackhole"}}
        found[route.prefix] = found.get(route.prefix, frozenset()) | ways
    return found


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
    for vrf in places(node, fabric):
        for link in netlink.links(node, vrf):
            up = link.flags & IFF_UP and link.flags & IFF_LOWER_UP
            found[link.name] = Port(link.mac, link.mtu, bool(up))
    return {name: port for name, port in found.items() if name not in plumbing}


def places(node: LiveNode, fabric: Fabric) -> list[str]:
    """The underlay, and each VRF that is a namespace of its own: together they have every device of a node."""
    return [DEFAULT_VRF, *(t.name for t in fabric.vrfs(fabric[node.name]) if node.has_namespace(t.name))]


def settings(node: LiveNode, fabric: Fabric) -> Settings:
    """The kernel settings the design needs, as they are in every VRF that has its own.

    Raises:
        ProbeError: the node is gone.
    """
    names = expected_settings(fabric)[node.name][DEFAULT_VRF]
    files = ["/proc/sys/" + name.replace(".", "/") for name in names]
    return {
        vrf: dict(zip(names, map(int, node.read_all(files, vrf=vrf).values()), strict=True))
        for vrf in places(node, fabric)
    }


def layer2(node: LiveNode, fabric: Fabric) -> frozenset[str]:
    """Any state a routed fabric must not have, and what L3VNIs are made of.

    Switching devices, forwarding entries, flooding, learned ARP.

    Raises:
        ProbeError: the node is gone.
    """
    found: set[str] = set()
    for vrf in places(node, fabric):
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
