"""Ethernet frames that hosts send: an endpoint that says it is there, and broadcast that nobody asked for."""

from __future__ import annotations

import socket
import struct

BROADCAST = b"\xff" * 6
MARK = b"closet compare "
"""What a broadcast carries, so that it is known again wherever it comes by."""
ARP, IPV4 = 0x0806, 0x0800
TOS = 26 << 2
"""DSCP 26, as RoCEv2 traffic has: with a TOS that is not 0, VXLAN chooses a path for each flow."""


def endpoint_mac(host: int, number: int) -> bytes:
    """The MAC of endpoint `number` on host number `host`: locally administered, no other node's."""
    return b"\x02\xe0" + struct.pack("!HH", host, number)


def announcement(mac: bytes) -> bytes:
    """A gratuitous ARP request (RFC 5227 section 3), for an address that is nobody's (RFC 5737)."""
    address = socket.inet_aton("192.0.2.1")
    arp = struct.pack("!HHBBH6s4s6s4s", 1, IPV4, 6, 4, 1, mac, address, bytes(6), address)
    return (BROADCAST + mac + struct.pack("!H", ARP) + arp).ljust(60, b"\0")


def broadcast(mac: bytes, flow: int, size: int) -> bytes:
    """A marked UDP broadcast of `size` bytes, Ethernet header included; `flow` is its source port."""
    payload = MARK.ljust(size - 42, b".")
    udp = struct.pack("!HHHH", flow, 9, 8 + len(payload), 0)
    ends = socket.inet_aton("192.0.2.1") + socket.inet_aton("255.255.255.255")
    ip = struct.pack("!BBHHHBBH", 0x45, TOS, 28 + len(payload), 0, 0, 64, socket.IPPROTO_UDP, 0) + ends
    ip = ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:]
    return BROADCAST + mac + struct.pack("!H", IPV4) + ip + udp + payload


def _checksum(header: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
