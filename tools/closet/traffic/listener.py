"""The RoCEv2 port of an endpoint, whoever has it: where hosts speak RDMA by the kernel, Soft-RoCE does."""

from __future__ import annotations

import errno
import socket
import struct

from closet.errors import ProbeError
from closet.records import Endpoint
from closet.roce.wire import UDP_PORT
from closet.runtime.node import LiveNode

HEADER = struct.Struct("!HHHH")
"""Of UDP (RFC 768): source port, destination port, length, and no checksum."""
MOST = 128
"""Bytes of a packet, its headers included."""


def bound(node: LiveNode, endpoint: Endpoint, kind: int, port: int, protocol: int = 0) -> socket.socket:
    """A socket of an endpoint, which does not block.

    Raises:
        OSError: the port is taken, or the address is not there.
    """
    s = node.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if endpoint.port is not None:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, endpoint.port.encode())
        s.bind((str(endpoint.address), port))
    except OSError:
        s.close()
        raise
    return s


class Listener:
    """Hears datagrams to UDP 4791 of an endpoint, and answers from there.

    Where that is taken it does so by a raw socket, which hears all datagrams to its address before anybody else does
    (Linux net/ipv4/ip_input.c: raw_local_deliver).

    Raises:
        ProbeError: the address is not there.
    """

    def __init__(self, node: LiveNode, endpoint: Endpoint) -> None:
        self._raw = False
        try:
            try:
                self._socket = bound(node, endpoint, socket.SOCK_DGRAM, UDP_PORT)
            except OSError as e:
                if e.errno != errno.EADDRINUSE:
                    raise
                self._raw = True
                self._socket = bound(node, endpoint, socket.SOCK_RAW, 0, socket.IPPROTO_UDP)
        except OSError as e:
            raise ProbeError(f"{endpoint}: {endpoint.address} port {UDP_PORT}: {e.strerror}") from None

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def receive(self) -> tuple[bytes, tuple[str, int]]:
        """The next datagram, and whose it is; empty if it was to another port.

        Raises:
            BlockingIOError: there is none. OSError: what an ICMP error says of one that was sent.
        """
        data, sender = self._socket.recvfrom(MOST)
        return parse(data, sender[0]) if self._raw else (data, sender)

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        """Send a datagram from UDP 4791.

        Raises:
            OSError: the kernel would not.
        """
        if self._raw:
            self._socket.sendto(HEADER.pack(UDP_PORT, to[1], HEADER.size + len(data), 0) + data, (to[0], 0))
        else:
            self._socket.sendto(data, to)

    def close(self) -> None:
        """Give it back."""
        self._socket.close()


def parse(packet: bytes, sender: str) -> tuple[bytes, tuple[str, int]]:
    """What an IPv4 packet (RFC 791) with UDP carries to UDP 4791; nothing, if it is to another port or cut short."""
    start = (packet[0] & 15) * 4 if packet else 0
    if len(packet) < start + HEADER.size:
        return b"", (sender, 0)
    source, target, length, _ = HEADER.unpack_from(packet, start)
    data = packet[start + HEADER.size : start + length]
    return (data if target == UDP_PORT else b""), (sender, source)
