"""Raising links, so that both ends of each know each other before either connects."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress

from closet.errors import RuntimeFault
from closet.plan import DEFAULT_VRF, Fabric, Node, Port
from closet.runtime.node import LiveNode

RTM_NEWLINK, RTM_NEWQDISC, RTM_DELQDISC = 16, 36, 37
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 0x1, 0x4, 0x400
IFF_UP = 0x1
TC_H_ROOT = 0xFFFFFFFF
BLACKHOLE = struct.pack("=HH", 14, 1) + b"blackhole\0".ljust(12, b"\0")
"""TCA_KIND, of sch_blackhole: drops all that would go out. Every kernel with traffic control has it."""


def raise_links(fabric: Fabric, nodes: Mapping[str, LiveNode]) -> None:
    """Set the end of every cable up; the upper ends of unnumbered links only listen until `let_speak`.

    Raises:
        RuntimeFault: a kernel refuses; names node and port.
    """
    for node, port, s, index in _ports(fabric, nodes):
        if listens_first(fabric, node, port):
            _request(s, RTM_NEWQDISC, NLM_F_CREATE, _qdisc(index) + BLACKHOLE, node, port)
        up = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, IFF_UP, IFF_UP)  # struct ifinfomsg
        _request(s, RTM_NEWLINK, 0, up, node, port)


def let_speak(fabric: Fabric, nodes: Mapping[str, LiveNode]) -> None:
    """Let the upper ends send.

    Raises:
        RuntimeFault: as `raise_links`.
    """
    for node, port, s, index in _ports(fabric, nodes):
        if listens_first(fabric, node, port):
            _request(s, RTM_DELQDISC, 0, _qdisc(index), node, port)


def listens_first(fabric: Fabric, node: Node, port: Port) -> bool:
    """Whether a port, when its link rises, hears who is at the other end before that hears of it."""
    return not fabric.numbered and not fabric.leads_up(node, port)


def by_vrf(fabric: Fabric, node: Node) -> dict[str, list[Port]]:
    """VRF → the ports a node has in it; a host has all of its in one, its own."""
    found: dict[str, list[Port]] = {}
    for port in node.ports:
        found.setdefault(DEFAULT_VRF if node.is_host else port.vrf, []).append(port)
    return found


def _ports(fabric: Fabric, nodes: Mapping[str, LiveNode]) -> Iterator[tuple[Node, Port, socket.socket, int]]:
    """Every port, with an rtnetlink socket where it is, and its index there."""
    for node in fabric:
        for vrf, ports in by_vrf(fabric, node).items():
            with (
                nodes[node.name].netns(vrf),
                socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as s,
            ):
                for port in ports:
                    yield node, port, s, socket.if_nametoindex(port.name)


def _qdisc(index: int) -> bytes:
    """The root queue of a device, as a struct tcmsg (include/uapi/linux/rtnetlink.h)."""
    return struct.pack("=BxxxiIII", socket.AF_UNSPEC, index, 0, TC_H_ROOT, 0)


def _request(s: socket.socket, kind: int, flags: int, body: bytes, node: Node, port: Port) -> None:
    """Ask the kernel, and wait for its answer. By hand: pyroute2 takes a millisecond for each."""
    s.send(struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_ACK | flags, 0, 0) + body)
    error: int = struct.unpack_from("=i", s.recv(1 << 12), 16)[0]  # struct nlmsgerr
    if error != 0:
        raise RuntimeFault(f"{node.name}: {port.name}: cannot be raised: {os.strerror(-error)}")


class Advertiser:
    """Sends router advertisements (RFC 4861) out of every port that can send.

    zebra sends its own at most once a second; unnumbered BGP does not begin before it has heard one.
    """

    MESSAGE = bytes([134, 0, 0, 0, 64, 0]) + bytes(10)
    """Type, code, checksum (the kernel's), hop limit 64, no flags, lifetime 0, no reachable or retransmit time."""

    def __init__(self, fabric: Fabric, nodes: Mapping[str, LiveNode]) -> None:
        self._lower: list[tuple[socket.socket, int]] = []
        self._upper: list[tuple[socket.socket, int]] = []
        self._sockets: list[socket.socket] = []
        for node in fabric:
            for vrf, ports in by_vrf(fabric, node).items():
                self._open(fabric, nodes[node.name], vrf, ports)

    def _open(self, fabric: Fabric, node: LiveNode, vrf: str, ports: list[Port]) -> None:
        s = node.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6, vrf=vrf)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        # Else zebra hears it too and takes it for a neighbour's.
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        self._sockets.append(s)
        for port in ports:
            ends = self._lower if fabric.leads_up(fabric[node.name], port) else self._upper
            ends.append((s, node.index(port.name, vrf=vrf)))

    def send(self, *, lower: bool = True, upper: bool = True) -> None:
        """Send one out of every port that is the lower, or upper, end of its link.

        A port without carrier or link-local address is left for the next time.
        """
        for s, index in (self._lower if lower else []) + (self._upper if upper else []):
            with suppress(OSError):
                s.sendto(self.MESSAGE, ("ff02::1", 0, 0, index))

    def close(self) -> None:
        """Close its sockets."""
        for s in self._sockets:
            s.close()
