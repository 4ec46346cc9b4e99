"""What a node's kernel holds: routes, ports, settings, counters, and any layer 2 state."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Any

from closet.observe import netlink
from closet.plan import Fabric
from closet.records import Fib, Port
from closet.render.host import sysctls
from closet.runtime.node import LiveNode

RTPROT_BGP = 186
"""include/uapi/linux/rtnetlink.h"""
RT_TABLE_MAIN = 254
IFF_UP = 1
IFF_LOWER_UP = 1 << 16
NUD_PERMANENT_OR_NOARP = 0x80 | 0x40
"""Neighbour entries that nobody learned (include/uapi/linux/neighbour.h)."""


def fib(node: LiveNode, fabric: Fabric) -> Fib:
    """The BGP routes in the node's main table.

    Raises:
        ProbeError: the node is gone.
    """
    routes: Fib = {}
    names = _names(netlink.links(node))
    for route in netlink.routes(node, socket.AF_INET):
        if route.get_attr("RTA_TABLE") != RT_TABLE_MAIN or route["proto"] != RTPROT_BGP:
            continue
        prefix = IPv4Network((route.get_attr("RTA_DST") or "0.0.0.0", route["dst_len"]))  # noqa: S104  the default
        several, one = route.get_attr("RTA_MULTIPATH"), route.get_attr("RTA_OIF")
        if several:
            ports = frozenset(names[hop["oif"]] for hop in several)
        else:
            ports = frozenset({names[one]} if one in names and names[one] != "lo" else ())
        routes[prefix] = ports
    return routes


def _names(links: Iterable[Any]) -> dict[int, str]:
    return {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}


def ports(node: LiveNode, fabric: Fabric) -> dict[str, Port]:
    """Every interface but `lo`.

    Raises:
        ProbeError: the node is gone.
    """
    found = {}
    for link in netlink.links(node):
        up = link["flags"] & IFF_UP and link["flags"] & IFF_LOWER_UP
        found[link.get_attr("IFLA_IFNAME")] = Port(link.get_attr("IFLA_ADDRESS"), link.get_attr("IFLA_MTU"), bool(up))
    found.pop("lo", None)
    return found


def settings(node: LiveNode, fabric: Fabric) -> dict[str, int]:
    """The kernel settings the plan gives a value, as they are.

    Raises:
        ProbeError: the node is gone.
    """
    return {name: int(node.read("/proc/sys/" + name.replace(".", "/"))) for name in sysctls(fabric[node.name])}


def layer2(node: LiveNode, fabric: Fabric) -> frozenset[str]:
    """Any state a routed fabric must not have: switching devices, forwarding entries, learned ARP.

    Raises:
        ProbeError: the node is gone.
    """
    found = set()
    links = netlink.links(node)
    names = _names(links)
    for link in links:
        info = link.get_attr("IFLA_LINKINFO")
        kind = info.get_attr("IFLA_INFO_KIND") if info is not None else None
        if kind not in {None, "veth"}:
            found.add(f"{kind} {link.get_attr('IFLA_IFNAME')}")
    for entry in netlink.neighbours(node, socket.AF_BRIDGE):
        if not entry["state"] & NUD_PERMANENT_OR_NOARP:
            found.add(f"MAC {entry.get_attr('NDA_LLADDR')} learned on {names.get(entry['ifindex'])}")
    if not fabric.numbered:
        for entry in netlink.neighbours(node, socket.AF_INET):
            # One without an address is a question nobody answered, and no state of anybody's.
            if not entry["state"] & NUD_PERMANENT_OR_NOARP and entry.get_attr("NDA_LLADDR"):
                found.add(f"ARP {entry.get_attr('NDA_DST')} on {names.get(entry['ifindex'])}")
    return frozenset(found)


def sent_bytes(node: LiveNode) -> dict[str, int]:
    """Port → bytes sent, from the node's /proc/net/dev.

    Raises:
        ProbeError: the node is gone.
    """
    lines = node.read("/proc/net/dev").splitlines()[2:]
    return {line.partition(":")[0].strip(): int(line.partition(":")[2].split()[8]) for line in lines}
