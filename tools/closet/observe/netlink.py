"""rtnetlink (RFC 3549) over a socket of the node's own: pyroute2's messages, whichever kernel answers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

from closet.errors import ProbeError
from closet.plan import DEFAULT_VRF
from closet.runtime.node import LiveNode

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
"""include/uapi/linux/netlink.h"""
RTM_GETLINK, RTM_GETROUTE, RTM_GETNEIGH = 18, 26, 30
"""include/uapi/linux/rtnetlink.h"""
LONGEST = 1 << 18
"""Bytes of an answer read at once: more than the kernel ever puts into one."""
TIMEOUT = 20.0
"""Seconds for a part of an answer."""


def links(node: LiveNode, vrf: str = DEFAULT_VRF) -> list[Any]:
    """Every network interface (pyroute2's ifinfmsg)."""
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    return list(_dump(node, vrf, RTM_GETLINK, ifinfmsg()))


def routes(node: LiveNode, family: int, vrf: str = DEFAULT_VRF) -> list[Any]:
    """Every route of a family, of all tables (pyroute2's rtmsg)."""
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    message = rtmsg()
    message["family"] = family
    return list(_dump(node, vrf, RTM_GETROUTE, message))


def neighbours(node: LiveNode, family: int, vrf: str = DEFAULT_VRF) -> list[Any]:
    """Every entry of a neighbour table, or for AF_BRIDGE the forwarding database (pyroute2's ndmsg)."""
    from pyroute2.netlink.rtnl.ndmsg import ndmsg

    message = ndmsg()
    message["family"] = family
    return list(_dump(node, vrf, RTM_GETNEIGH, message))


def _dump(node: LiveNode, vrf: str, kind: int, request: Any) -> Iterator[Any]:
    """All the kernel of a node has of something, where the devices of a VRF are.

    Raises:
        ProbeError: it refuses, or the node is gone.
    """
    from pyroute2.netlink.rtnl.marshal import MarshalRtnl

    request["header"]["type"] = kind
    request["header"]["flags"] = NLM_F_REQUEST | NLM_F_DUMP
    request["header"]["sequence_number"] = 1
    request.encode()
    marshal = MarshalRtnl()
    with node.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE, vrf=vrf) as s:
        s.settimeout(TIMEOUT)
        s.send(bytes(request.data))
        while True:
            for message in marshal.parse(s.recv(LONGEST)):
                if message["header"]["type"] == NLMSG_DONE:
                    return
                if message["header"]["type"] == NLMSG_ERROR:
                    raise ProbeError(f"{node.name}: netlink: {os.strerror(abs(message['error']))}")
                yield message
