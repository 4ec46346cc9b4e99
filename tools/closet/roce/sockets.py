"""The kernel's side: how packets leave a host, and how they come in.

They leave through ordinary UDP sockets, one a source port and service class, unconnected and with DF: then Linux
writes identification 0 into the IPv4 header, and n into segment n of a segmented send (UDP_SEGMENT), so that the
ICRC can be known beforehand. They come in through a packet socket, since the ICRC covers that identification and a
UDP socket does not tell it; and, like a NIC, before any firewall of the host. A UDP socket that takes nothing holds
port 4791, or the kernel would answer with ICMP.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from ipaddress import IPv4Address

from closet.errors import EnvironmentFault
from closet.roce.inlet import Inlet
from closet.roce.path import Path
from closet.roce.wire import UDP_PORT

IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
UDP_SEGMENT, UDP_GRO = 103, 104
SOL_PACKET, PACKET_STATISTICS, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 6, 15, 23
ETH_P_IP = 0x0800
SO_ATTACH_FILTER, SO_SNDBUFFORCE, SO_RCVBUFFORCE = 26, 32, 33
"""Linux include/uapi; Python's socket module has no names for them."""
VNET = struct.Struct("=BBHHHH")
"""virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset."""
GSO_UDP_L4 = 5
IP_AT = VNET.size + 14
"""Where the IPv4 header begins in what a packet socket gives: behind virtio_net_hdr and the Ethernet header."""
BUFFER = 32 << 20
"""Bytes a socket may hold: more than all queue pairs of a transfer have in flight."""
LARGEST = IP_AT + 65535
LOST = frozenset(
    (errno.EAGAIN, errno.ENOBUFS, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EPERM, errno.ENODEV)
)
"""What send says when a packet is lost on its first inch: routes and links come and go, and go-back-N sees to it."""


class Sockets:
    """All sockets of an endpoint, in the network namespace it was made in.

    Args:
        address: IPv4, of this host. device: the interface packets leave by; without it, the one routing chooses.

    Attributes:
        unsent: packets and segmented sends that the kernel did not take.

    Raises:
        EnvironmentFault: the address is not this host's, or a capability is missing.
    """

    def __init__(self, address: str, device: str | None = None) -> None:
        self.address = address
        self.unsent = 0
        self._device = device
        self._senders: dict[tuple[int, int], socket.socket] = {}
        self._buffer = bytearray(LARGEST)
        self._view = memoryview(self._buffer)
        self._dropped = 0
        try:
            self._holder = _holder(address)
            self._packets = _packets(address)
        except OSError as e:
            raise EnvironmentFault(f"RoCE endpoint on {address}: {e.strerror}") from None

    def fileno(self) -> int:
        """Readable when something has come."""
        return self._packets.fileno()

    def close(self) -> None:
        """Close all of them."""
        for s in (self._holder, self._packets, *self._senders.values()):
            s.close()

    def send(self, path: Path, data: memoryview, segment: int) -> None:
        """Send UDP payloads; see `assembler.Send`.

        Raises:
            EnvironmentFault: the packets are larger than the path's first link takes.
        """
        sender = self._senders.get((path.sport, path.tos)) or self._sender(path)
        to = (path.remote, UDP_PORT)
        try:
            if len(data) <= segment:
                sender.sendto(data, to)
            else:
                sender.sendmsg((data,), ((socket.IPPROTO_UDP, UDP_SEGMENT, segment.to_bytes(2, "little")),), 0, to)
        except OSError as e:
            if e.errno in LOST:
                self.unsent += 1
            elif e.errno in {errno.EMSGSIZE, errno.EINVAL}:
                raise EnvironmentFault(f"{path}: a link's IP MTU is less than {segment + 28} bytes") from None
            else:
                raise EnvironmentFault(f"{path}: {e.strerror}") from None

    def _sender(self, path: Path) -> socket.socket:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
        s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, path.tos)
        if self._device is not None:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._device.encode())
        s.bind((path.local, path.sport))
        self._senders[path.sport, path.tos] = s
        return s

    def receive(self, inlet: Inlet, most: int, now: float) -> int:
        """Give what has come to an inlet, at most so many packets or super-packets; returns how many there were."""
        receive, buffer, view, unpack, take = (
            self._packets.recv_into,
            self._buffer,
            self._view,
            VNET.unpack_from,
            inlet.take,
        )
        for n in range(most):
            try:
                length = receive(buffer)
            except BlockingIOError:
                most = n
                break
            except OSError as e:  # an interface went down: it says so once
                if e.errno not in {errno.ENETDOWN, errno.ENODEV}:
                    raise EnvironmentFault(f"RoCE endpoint on {self.address}: {e.strerror}") from None
                continue
            _, kind, _, segment, _, _ = unpack(buffer)
            take(view[IP_AT:length], segment if kind == GSO_UDP_L4 else 0, now)
        inlet.flush(now)
        return most

    def dropped(self) -> int:
        """Packets the kernel has dropped because the socket was full."""
        _, drops = struct.unpack("=II", self._packets.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self._dropped += drops  # reading it sets it to zero
        return self._dropped


def _filter(s: socket.socket, *program: tuple[int, int, int, int]) -> None:
    """Attach a classic BPF program (Linux Documentation/networking/filter.rst)."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    s.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(code)))


def _holder(address: str) -> socket.socket:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    _filter(s, (0x06, 0, 0, 0))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)  # or the kernel would take super-packets apart for it
    s.bind((address, UDP_PORT))
    return s


def _packets(address: str) -> socket.socket:
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_IP))
    net = 0xFFF00000  # SKF_NET_OFF: offsets count from the IPv4 header
    load_byte, load_half, load_word, equal, give = 0x30, 0x28, 0x20, 0x15, 0x06
    _filter(
        s,
        (load_byte, 0, 0, net + 9),
        (equal, 0, 5, socket.IPPROTO_UDP),
        (load_word, 0, 0, net + 16),
        (equal, 0, 3, int(IPv4Address(address))),
        (load_half, 0, 0, net + 22),
        (equal, 0, 1, UDP_PORT),
        (give, 0, 0, 0xFFFFFFFF),
        (give, 0, 0, 0),
    )
    s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    try:
        while True:  # what came before the filter was there
            s.recv(VNET.size)  # less is an error (net/packet/af_packet.c: packet_recvmsg)
    except BlockingIOError:
        return s
