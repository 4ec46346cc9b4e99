"""The invariant CRC of RoCEv2 (IBTA annex A17.3.3, Linux rxe_icrc.c): CRC-32 over all that a router may not change.

What a router may change counts as all ones: the InfiniBand header that is not there, the IPv4 type of service,
TTL and checksum, the IPv6 class, flow label and hop limit, the UDP checksum, and the byte of the BTH with FECN
and BECN.

A CRC is linear, which is used twice here. Another identification in the IPv4 header changes it by a constant
for that difference; and so does the mask over the BTH's byte, wherever it is applied: here it is in the
seed. So the checksum of a packet is one call over its bytes as they are on the wire:

    crc32(datagram[:-4], seed(...) ^ ident(...))

It is ISA-L's crc32: zlib's function, and three times as fast.
"""

from __future__ import annotations

import struct

from isal.isal_zlib import crc32

from closet.roce.wire import ICRC, UDP_PORT

LRH = crc32(b"\xff" * 8)
DONT_FRAGMENT = 0x4000
BTH_MASK = 0x0F6A70D9
"""What a seed changes by to make the fifth byte that follows count as ones instead of zeros."""
IDENTS = 128
"""As many packets as one segmented send can have (Linux include/linux/udp.h: UDP_MAX_SEGMENTS)."""
_IPV4 = struct.Struct(">BBHHHBBH8sHHHH")


def seed(flow: bytes, length: int, fragment: int = DONT_FRAGMENT) -> int:
    """The CRC before the BTH, for identification 0 and a BTH without FECN and BECN.

    Args:
        flow: source address, destination address (4 bytes each), UDP source port (2 bytes).
        length: bytes of UDP payload, ICRC included.
        fragment: the IPv4 header's flags and fragment offset.
    """
    sport = flow[8] << 8 | flow[9]
    head = _IPV4.pack(
        *(0x45, 0xFF, 28 + length, 0, fragment, 0xFF, 17, 0xFFFF, flow[:8], sport, UDP_PORT, 8 + length, 0xFFFF)
    )
    return crc32(head, LRH) ^ BTH_MASK


def _difference(ident: int) -> int:
    tail = bytes(22)  # from behind the identification to the end of the UDP header
    return crc32(tail, crc32(ident.to_bytes(2, "big"))) ^ crc32(tail, crc32(bytes(2)))


_LOW = [_difference(i) for i in range(256)]
_HIGH = [_difference(i << 8) for i in range(256)]
IDENT = _LOW[:IDENTS]
"""What a seed changes by for a small identification: segment n of a send has n (net/ipv4/af_inet.c)."""


def ident(value: int) -> int:
    """What a seed changes by for any IPv4 identification."""
    return _LOW[value & 0xFF] ^ _HIGH[value >> 8]


def of_packet(packet: bytes) -> int:
    """The ICRC a whole IPv4 or IPv6 packet should have; its last four bytes are not looked at.

    Raises:
        ValueError: this is no UDP over IP, or too short for a BTH.
    """
    p = bytearray(packet)
    if len(p) >= 44 and p[0] == 0x45 and p[9] == 17:
        p[1] = p[8] = p[10] = p[11] = 0xFF
        udp = 20
    elif len(p) >= 64 and p[0] >> 4 == 6 and p[6] == 17:
        p[0:4] = b"\x6f\xff\xff\xff"
        p[7] = 0xFF
        udp = 40
    else:
        raise ValueError(f"no RoCEv2 packet: {bytes(p[:20]).hex()}")
    p[udp + 6] = p[udp + 7] = p[udp + 12] = 0xFF
    return crc32(p[:-4], LRH)


def matches(packet: bytes) -> bool:
    """Whether the last four bytes of an IP packet are its ICRC.

    Raises:
        ValueError: see `of_packet`.
    """
    (found,) = ICRC.unpack(packet[-4:])
    return bool(of_packet(packet) == found)
