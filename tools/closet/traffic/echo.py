"""ICMP echoes that are known again: several probes may ask at once, and each hears only its own."""

from __future__ import annotations

import itertools
import secrets
import socket
import struct

HEADER = struct.Struct("!BBHI")
"""Type, code, checksum, token."""
TYPES = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
"""Family → ICMP types of echo request and reply (RFC 792, RFC 4443)."""
_tokens = itertools.count(secrets.randbits(32))


class Echo:
    """The echo requests of one probe, and the replies to them.

    They carry a token no other probe of this process has, and hardly any of another process: as identifier and sequence
    number, which who answers sends back as they are (RFC 792, RFC 4443 section 4.2).
    """

    def __init__(self, family: int = socket.AF_INET) -> None:
        self._v4 = family == socket.AF_INET
        self._request, self._reply = TYPES[socket.AddressFamily(family)]
        self._token = next(_tokens) & 0xFFFFFFFF

    def request(self, data: bytes = b"") -> bytes:
        """A request as raw sockets take it; zeros may follow, which change no checksum.

        Args:
            data: what it carries, an even number of bytes.
        """
        checksum = 0  # of ICMPv6 the kernel makes it (RFC 3542 section 3.1)
        if self._v4:
            words = HEADER.pack(self._request, 0, 0, self._token) + data
            total = sum(struct.unpack(f"!{len(words) // 2}H", words))
            total = (total & 0xFFFF) + (total >> 16)
            checksum = ~(total + (total >> 16)) & 0xFFFF
        return HEADER.pack(self._request, 0, checksum, self._token) + data

    def asked(self, packet: bytes) -> bytes | None:
        """What one of these requests carries, of a packet as a raw socket receives it; None if it is none."""
        return self._carried(packet, self._request)

    def answered(self, packet: bytes) -> bytes | None:
        """What a reply to one of these requests carries; None if it is none."""
        return self._carried(packet, self._reply)

    def _carried(self, packet: bytes, wanted: int) -> bytes | None:
        start = (packet[0] & 15) * 4 if self._v4 and packet else 0  # RFC 791; of IPv6 no header is received
        if len(packet) < start + HEADER.size:
            return None
        kind, _, _, token = HEADER.unpack_from(packet, start)
        return packet[start + HEADER.size :] if (kind, token) == (wanted, self._token) else None
