"""What a node's kernel holds: routes, links, neighbours and counters."""

from __future__ import annotations

import socket
from ipaddress import IPv4Network
from pathlib import Path

from closet.errors import ProbeError
from closet.records import Fib
from closet.runtime.node import LiveNode

RTPROT_BGP = 186
"""include/uapi/linux/rtnetlink.h"""
RT_TABLE_MAIN = 254


def fib(node: LiveNode) -> Fib:
    """The BGP routes in the node's main table.

    Raises:
        ProbeError: the node is gone.
    """
    from pyroute2 import IPRoute

    routes: Fib = {}
    with node.netns(), IPRoute() as ipr:
        names = dict(socket.if_nameindex())
        for route in ipr.get_routes(family=socket.AF_INET, table=RT_TABLE_MAIN, proto=RTPROT_BGP):
            prefix = IPv4Network((route.get_attr("RTA_DST") or "0.0.0.0", route["dst_len"]))  # noqa: S104  the default
            several, one = route.get_attr("RTA_MULTIPATH"), route.get_attr("RTA_OIF")
            if several:
                ports = frozenset(names[hop["oif"]] for hop in several)
            else:
                ports = frozenset({names[one]} if one in names and names[one] != "lo" else ())
            routes[prefix] = ports
    return routes


def counters(node: LiveNode) -> dict[str, tuple[int, int]]:
    """Port → packets (received, sent), from the node's /proc/net/dev.

    Raises:
        ProbeError: the node is gone.
    """
    try:
        lines = Path(f"/proc/{node.pid}/net/dev").read_text(encoding="utf-8").splitlines()[2:]
    except OSError:
        raise ProbeError(f"{node.name}: not running (pid {node.pid} is gone)") from None
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        values = rest.split()
        found[name.strip()] = int(values[1]), int(values[9])
    return found
