"""Two endpoints without sockets, and a channel between them that can lose, delay, repeat and mark packets."""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable
from ipaddress import IPv4Address

from closet.roce import ports
from closet.roce.assembler import Assembler
from closet.roce.inlet import Inlet
from closet.roce.limits import Limits
from closet.roce.path import Path
from closet.roce.qp import Peer, QueuePair
from closet.roce.region import Regions

ADDRESSES = ("10.0.0.1", "10.0.1.1")
LATENCY = 10e-6
HEAD = struct.Struct(">BBHHHBBH4s4sHHHH")


def ip_packet(path: Path, payload: bytes, ident: int, ecn: int | None = None) -> bytes:
    """The IPv4 packet Linux makes of a UDP payload sent with DF from an unconnected socket."""
    tos = path.tos if ecn is None else path.tos & ~3 | ecn
    source, target = IPv4Address(path.local).packed, IPv4Address(path.remote).packed
    length = len(payload)
    head = HEAD.pack(0x45, tos, 28 + length, ident, 0x4000, 64, 17, 0, source, target, path.sport, 4791, 8 + length, 0)
    return head + payload


class Host:
    def __init__(self, channel: Channel, number: int) -> None:
        self.number = number
        self.regions = Regions()
        self.qps: dict[int, QueuePair] = {}
        self.inlet = Inlet(IPv4Address(ADDRESSES[number]).packed, self.qps)
        self.out = Assembler(lambda path, data, segment: channel.send(self, path, data, segment))


class Channel:
    """`fate(packet number, packet)` says when each packet arrives: seconds from now, several times or never."""

    def __init__(self, fate: Callable[[int, bytes], tuple[float, ...]] | None = None, merge: bool = False) -> None:
        self.now = 0.0
        self.fate = fate or (lambda *_: (LATENCY,))
        self.merge = merge
        self.hosts = (Host(self, 0), Host(self, 1))
        self.sent: list[bytes] = []
        self.count = 0
        self.keep = False
        self._events: list[tuple[float, int, int, bytes, int]] = []

    def connect(self, mtu: int = 256, qpn: int = 0x11, psn: tuple[int, int] = (5, 0xFFFFF0), **more):
        """A queue pair on each host."""
        a, b = self.hosts
        made = []
        for i, me in enumerate((a, b)):
            path = Path(local=ADDRESSES[i], remote=ADDRESSES[1 - i], sport=ports.of_qps(qpn, qpn), tos=0x6A, mtu=mtu)
            peer = Peer(ADDRESSES[1 - i], qpn, psn[1 - i])
            more.setdefault("limits", Limits(window=32, ack_every=16, read_packets=8))
            qp = QueuePair(number=qpn, psn=psn[i], path=path, peer=peer, regions=me.regions, **more)
            me.qps[qpn] = qp
            made.append(qp)
        return made

    def send(self, host: Host, path: Path, data: memoryview, segment: int) -> None:
        if self.merge:
            self._arrive(host, ip_packet(path, bytes(data), 0), segment)
            return
        for number, at in enumerate(range(0, len(data), segment)):
            self._arrive(host, ip_packet(path, bytes(data[at : at + segment]), number), 0)

    def _arrive(self, host: Host, packet: bytes, segment: int) -> None:
        if self.keep:
            self.sent.append(packet)
        for delay in self.fate(self.count, packet):
            # what is on the way together arrives in order
            heapq.heappush(self._events, (self.now + delay, self.count, 1 - host.number, packet, segment))
        self.count += 1

    def run(self, until: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Let time pass until something is true; False if it does not become so."""
        end = self.now + seconds
        while not until():
            self._transmit()
            timers = [
                t
                for h in self.hosts
                for qp in h.qps.values()
                for t in (qp.wants_to_send(self.now), qp.requester.deadline)
            ]
            next_event = self._events[0][0] if self._events else float("inf")
            self.now = max(self.now, min(next_event, *timers))
            if self.now > end:
                return False
            while self._events and self._events[0][0] <= self.now:
                _, _, to, packet, segment = heapq.heappop(self._events)
                self.hosts[to].inlet.take(memoryview(packet), segment, self.now)
            for h in self.hosts:
                h.inlet.flush(self.now)
            for h in self.hosts:
                for qp in h.qps.values():
                    qp.requester.expire(self.now)
        return True

    def _transmit(self) -> None:
        for h in self.hosts:
            for qp in h.qps.values():
                while qp.wants_to_send(self.now) <= self.now:
                    qp.transmit(h.out, self.now)
