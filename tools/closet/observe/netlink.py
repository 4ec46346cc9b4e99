"""rtnetlink (RFC 3549) over a socket of the node's own, whichever kernel answers.

By hand: pyroute2 takes half a millisecond for a message, and a look at a fabric has thousands of them.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

from closet.errors import ProbeError
from closet.plan import DEFAULT_VRF
from closet.runtime.node import LiveNode

HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port (include/uapi/linux/netlink.h)."""
ATTRIBUTE = struct.Struct("=HH")
"""struct nlattr: length, type."""
ERROR = struct.Struct("=i")
"""What struct nlmsgerr begins with."""
NUMBER = struct.Struct("=I")
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
KIND = 0x3FFF
"""The bits of an attribute's type that say which it is."""
RTM_GETLINK, RTM_GETROUTE, RTM_GETNEIGH = 18, 26, 30
"""include/uapi/linux/rtnetlink.h"""
IFINFOMSG = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, device type, index, flags, change mask; the attributes below: linux/if_link.h."""
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_EXT_MASK = 1, 3, 4, 10, 18, 29
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND = 1, 2, 4
IFLA_VRF_TABLE = 1
RTEXT_FILTER_SKIP_STATS = 8
RTMSG = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, destination's length, source's, TOS, table, protocol, scope, type, flags."""
RTM_F_CLONED = 0x200
"""include/uapi/linux/rtnetlink.h"""
RTNEXTHOP = struct.Struct("=HBBi")
"""struct rtnexthop: length with its attributes, flags, weight, index of the interface."""
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH, RTA_TABLE = 1, 4, 5, 9, 15
NDMSG = struct.Struct("=BxxxiHBB")
"""struct ndmsg: family, index of the interface, state, flags, type (include/uapi/linux/neighbour.h)."""
NDA_DST, NDA_LLADDR = 1, 2
NOTHING, ANYWHERE = memoryview(b""), memoryview(bytes(4))
LONGEST = 1 << 18
"""Bytes of an answer read at once: more than the kernel ever puts into one."""
TIMEOUT = 20.0
"""Seconds for a part of an answer."""


@dataclass(frozen=True, slots=True)
class Device:
    """A network interface.

    Attributes:
        flags: IFF_* (linux/if.h). mtu: bytes.
        kind: what it is: "veth", "bridge", "vxlan", "vrf"; "" if it is none that is made.
        master: the index of the device it is in, else 0. slave_kind: what that is.
        vrf_table: of a VRF's device, its routing table.
    """

    index: int
    name: str
    flags: int
    mac: str
    mtu: int
    kind: str
    master: int
    slave_kind: str
    vrf_table: int


@dataclass(frozen=True, slots=True)
class Route:
    """An IPv4 route.

    Attributes:
        table: the routing table it is in. protocol: who made it, RTPROT_* (linux/rtnetlink.h).
        hops: its next hops: (index of the interface, IPv4 gateway or None).
    """

    prefix: IPv4Network
    table: int
    protocol: int
    hops: tuple[tuple[int, IPv4Address | None], ...]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry of a neighbour table or, of AF_BRIDGE, of a forwarding database.

    Attributes:
        address: whose MAC it is; of a forwarding entry, the VTEP behind which that is; None if it says none.
        mac: "" while it is not known. state, flags: NUD_* and NTF_* (linux/neighbour.h).
    """

    index: int
    address: IPv4Address | IPv6Address | None
    mac: str
    state: int
    flags: int


def links(node: LiveNode, vrf: str = DEFAULT_VRF) -> list[Device]:
    """Every network interface where the devices of a VRF are.

    Raises:
        ProbeError: the kernel refuses, or the node is gone.
    """
    plain = struct.pack("=HHI", 8, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    return [parse_link(m) for m in _dump(node, vrf, RTM_GETLINK, bytes(IFINFOMSG.size) + plain)]


def routes(node: LiveNode, vrf: str = DEFAULT_VRF) -> list[Route]:
    """Every IPv4 route, of all tables; but not what the kernel remembers of single addresses, such as a path MTU.

    Raises:
        ProbeError: see `links`.
    """
    asked = bytes([socket.AF_INET]).ljust(RTMSG.size, b"\0")
    return [parse_route(m) for m in _dump(node, vrf, RTM_GETROUTE, asked) if not remembered(m)]


def neighbours(node: LiveNode, family: int, vrf: str = DEFAULT_VRF) -> list[Neighbour]:
    """Every entry of a neighbour table, or for AF_BRIDGE the forwarding database.

    Raises:
        ProbeError: see `links`.
    """
    asked = bytes([family]).ljust(NDMSG.size, b"\0")
    return [parse_neighbour(m) for m in _dump(node, vrf, RTM_GETNEIGH, asked)]


def _dump(node: LiveNode, vrf: str, kind: int, asked: bytes) -> Iterator[memoryview]:
    """What the kernel of a node has of something, without the headers."""
    with node.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE, vrf=vrf) as s:
        s.settimeout(TIMEOUT)
        s.send(HEADER.pack(HEADER.size + len(asked), kind, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + asked)
        while True:
            for kind, message in messages(s.recv(LONGEST)):
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    (error,) = ERROR.unpack_from(message)
                    raise ProbeError(f"{node.name}: netlink: {os.strerror(-error)}")
                yield message


def messages(data: bytes) -> Iterator[tuple[int, memoryview]]:
    """The messages of a datagram: type, and what follows the header."""
    view, at = memoryview(data), 0
    while at + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, at)
        yield kind, view[at + HEADER.size : at + length]
        at += max(length + 3 & ~3, HEADER.size)


def _attributes(data: memoryview) -> dict[int, memoryview]:
    found, at = {}, 0
    while at + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, at)
        found[kind & KIND] = data[at + ATTRIBUTE.size : at + length]
        at += max(length + 3 & ~3, ATTRIBUTE.size)
    return found


def parse_link(message: memoryview) -> Device:
    """An interface out of a message of RTM_NEWLINK."""
    _, _, index, flags, _ = IFINFOMSG.unpack_from(message)
    its = _attributes(message[IFINFOMSG.size :])
    info = _attributes(its.get(IFLA_LINKINFO, NOTHING))
    kind = _text(info.get(IFLA_INFO_KIND, NOTHING))
    return Device(
        index,
        _text(its[IFLA_IFNAME]),
        flags,
        its.get(IFLA_ADDRESS, NOTHING).hex(":"),
        _number(its, IFLA_MTU),
        kind,
        _number(its, IFLA_MASTER),
        _text(info.get(IFLA_INFO_SLAVE_KIND, NOTHING)),
        _number(_attributes(info.get(IFLA_INFO_DATA, NOTHING)), IFLA_VRF_TABLE) if kind == "vrf" else 0,
    )


def parse_route(message: memoryview) -> Route:
    """A route out of a message of RTM_NEWROUTE."""
    _, length, _, _, table, protocol, *_ = RTMSG.unpack_from(message)
    its = _attributes(message[RTMSG.size :])
    hops = [(_number(its, RTA_OIF), _gateway(its))] if RTA_OIF in its else []
    several, at = its.get(RTA_MULTIPATH, NOTHING), 0
    while at + RTNEXTHOP.size <= len(several):
        size, _, _, index = RTNEXTHOP.unpack_from(several, at)
        hops.append((index, _gateway(_attributes(several[at + RTNEXTHOP.size : at + size]))))
        at += max(size + 3 & ~3, RTNEXTHOP.size)
    prefix = _network(bytes(its.get(RTA_DST, ANYWHERE)), length)
    return Route(prefix, _number(its, RTA_TABLE) or table, protocol, tuple(hops))


def remembered(message: memoryview) -> bool:
    """Whether a message of RTM_NEWROUTE is an exception to a route (net/ipv4/route.c: `fnhe_dump_bucket`)."""
    return bool(RTMSG.unpack_from(message)[-1] & RTM_F_CLONED)


def parse_neighbour(message: memoryview) -> Neighbour:
    """A neighbour, or a forwarding entry, out of a message of RTM_NEWNEIGH."""
    _, index, state, flags, _ = NDMSG.unpack_from(message)
    its = _attributes(message[NDMSG.size :])
    address = ip_address(bytes(its[NDA_DST])) if NDA_DST in its else None
    return Neighbour(index, address, its.get(NDA_LLADDR, NOTHING).hex(":"), state, flags)


def _gateway(its: dict[int, memoryview]) -> IPv4Address | None:
    return IPv4Address(bytes(its[RTA_GATEWAY])) if RTA_GATEWAY in its else None


@lru_cache(1 << 16)  # the same prefixes are in the tables of many nodes
def _network(address: bytes, length: int) -> IPv4Network:
    return IPv4Network((address, length))


def _text(data: memoryview) -> str:
    return bytes(data).rstrip(b"\0").decode()


def _number(its: dict[int, memoryview], kind: int) -> int:
    """An attribute of 32 bits; 0 where it is not there."""
    return int(NUMBER.unpack_from(its[kind])[0]) if kind in its else 0
