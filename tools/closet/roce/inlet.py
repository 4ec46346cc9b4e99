"""Packets as they come in: whole IPv4 packets, checked like a NIC does, and handed to their queue pairs."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from struct import Struct

from isal.isal_zlib import crc32

from closet.roce.icrc import DONT_FRAGMENT, IDENT, IDENTS, ident
from closet.roce.path import Seeds
from closet.roce.qp import QueuePair
from closet.roce.wire import ACK_REQUEST, BTH, ICRC, P_KEY, PSN_MASK, UDP_PORT, Op

IPV4 = Struct(">BBHHHxB2x4s4s2xHH2x")
"""IPv4 and UDP header: version and IHL, ToS, length, identification, fragment, protocol, source, destination;
destination port, length. What is left out a router may change, or it is in the flow."""
ONE = Struct(">BBHHHxB2x12sH2xQI")
"""The same of a packet that continues a run, with its BTH: source, destination and both ports are one piece."""
FLOW = slice(12, 22)
"""Where source, destination and source port are."""
SHORTEST = 16
"""BTH and ICRC."""
CE = 3
"""ECN: congestion experienced (RFC 3168)."""
SMALL = frozenset({Op.ACK, Op.ATOMIC_ACK, Op.CNP})
"""Opcodes whose packets make no congestion: a mark on one of them is no reason to slow anybody down."""
RELIABLE = 0
"""The first three bits of an opcode: the reliable connection's (IBTA table 38); all queue pairs here are such."""
MOST_FLOWS = 4096
"""Flows whose seeds are remembered; whoever makes up flows must not fill the memory."""


@dataclass(slots=True)
class Drops:
    """Packets that no queue pair has seen, and why. They are never answered (IBTA 9.6, annex A17.9.2)."""

    malformed: int = 0  # no IPv4 and UDP as RoCEv2 has it, cut short, of another version or transport service
    icrc: int = 0
    unknown: int = 0  # no such queue pair, or it is connected to another address


class Run:
    """Packets that follow each other in the middle of a message: taken without looking twice at anything.

    Attributes:
        word, psn: the BTH that must come next. seeds: the flow's; segment: bytes of UDP payload of each packet.
        memory: where payloads belong, as far as the message goes; at: bytes of it that have come.
        asked: bits of all the BTHs' last words: whether one asked for an acknowledgement.
    """

    __slots__ = ("_like", "asked", "at", "memory", "psn", "qp", "seeds", "segment", "word")

    def __init__(
        self, qp: QueuePair, word: int, psn: int, memory: memoryview, seeds: Seeds, segment: int, flow: bytes
    ) -> None:
        self.qp = qp
        self.word = word
        self.psn = psn
        self.memory = memory
        self.seeds = seeds
        self.segment = segment
        self.at = 0
        self.asked = 0
        ports = flow + UDP_PORT.to_bytes(2, "big")
        self._like = 0x45, 28 + segment, DONT_FRAGMENT, 17, ports, 8 + segment, word

    def one(self, view: memoryview) -> int:
        """Take an IPv4 packet if it continues the run; returns its ECN, or -1 if it was not taken."""
        version, tos, length, number, fragment, protocol, flow, udp, word, last = ONE.unpack_from(view)
        psn, at, size = self.psn, self.at, self.segment - 16
        if (
            (version, length, fragment, protocol, flow, udp, word) != self._like
            or last & PSN_MASK != psn
            or number >= IDENTS
            or length > len(view)
            or at + size > len(self.memory)
        ):
            return -1
        tail = length - 4
        if crc32(view[28:tail], self.seeds[self.segment] ^ IDENT[number]) != ICRC.unpack_from(view, tail)[0]:
            return -1
        self.memory[at : at + size] = view[40:tail]
        self.at = at + size
        self.asked |= last
        self.psn = psn + 1 & PSN_MASK
        ecn: int = tos & 3
        return ecn

    def take(self, view: memoryview, at: int, number: int) -> int:
        """Take what continues the run, from `at` on; returns where something else begins.

        This loop is where the time goes: nothing is made in it, and nothing called but what is written in C.
        """
        unpack, unpack_icrc, crc, idents = BTH.unpack_from, ICRC.unpack_from, crc32, IDENT
        word, psn, memory, done, segment = self.word, self.psn, self.memory, self.at, self.segment
        seed, size, asked = self.seeds[segment], segment - 16, self.asked
        most = at + min((len(memory) - done) // size, (len(view) - at) // segment, IDENTS - number) * segment
        while at < most:
            found, last = unpack(view, at)
            tail = at + segment - 4
            if (
                found != word
                or last & PSN_MASK != psn
                or crc(view[at:tail], seed ^ idents[number]) != unpack_icrc(view, tail)[0]
            ):
                break
            memory[done : done + size] = view[at + 12 : tail]
            done += size
            asked |= last
            psn = psn + 1 & PSN_MASK
            number += 1
            at += segment
        self.psn, self.at, self.asked = psn, done, asked
        return at

    def close(self, now: float) -> None:
        """Tell the queue pair."""
        count = self.at // (self.segment - 16)
        if count:
            self.qp.streamed(self.word, count, bool(self.asked & ACK_REQUEST), now)


class Inlet:
    """Takes packets for one address.

    Args:
        address: this end's IPv4 address, 4 bytes. qps: QPN → queue pair, those there are at any time.

    Attributes:
        touched: the queue pairs that were given something; whoever looks empties it.
    """

    def __init__(self, address: bytes, qps: MutableMapping[int, QueuePair]) -> None:
        self.drops = Drops()
        self.touched: set[QueuePair] = set()
        self._address = address
        self._qps = qps
        self._flows: dict[bytes, Seeds] = {}
        self._run: Run | None = None

    def take(self, view: memoryview, segment: int, now: float) -> None:
        """Take an IPv4 packet, or several that one header stands for.

        Args:
            view: the packet; whatever is behind its end is ignored.
            segment: bytes of UDP payload of each packet it stands for, as virtio_net_hdr's gso_size; 0 for one.
        """
        if len(view) < IPV4.size + SHORTEST:
            self.drops.malformed += 1
            return
        run = self._run
        if run is not None and not segment and (ecn := run.one(view)) >= 0:
            if ecn == CE:
                run.qp.marked(1, now)
            return
        version, tos, length, number, fragment, protocol, _, target, dport, udp = IPV4.unpack_from(view)
        if (
            length > len(view)
            or udp != length - 20
            or target != self._address
            or dport != UDP_PORT
            or version != 0x45
            or protocol != 17
            or fragment & 0x3FFF
        ):
            self.drops.malformed += 1
            return
        flow = bytes(view[FLOW])
        seeds = self._flows.get(flow) if fragment == DONT_FRAGMENT else Seeds(flow, fragment)
        if seeds is None:
            seeds = self._remember(flow)
        segment = segment or length - 28
        view, at = view[28:length], 0
        if run is not None and run.seeds is seeds and run.segment == segment:
            at = run.take(view, at, number)
            if at and tos & 3 == CE:
                run.qp.marked(at // segment, now)
        if at < length - 28:
            self.flush(now)
            self._walk(view, at, segment, (seeds, number), (flow, tos & 3 == CE), now)

    def flush(self, now: float) -> None:
        """Let queue pairs know of all that was taken; to be called when nothing more comes at once."""
        if self._run is not None:
            self._run.close(now)
            self._run = None

    def _remember(self, flow: bytes) -> Seeds:
        if len(self._flows) >= MOST_FLOWS:
            self._flows.clear()
        seeds = self._flows[flow] = Seeds(flow)
        return seeds

    def _walk(
        self, view: memoryview, at: int, segment: int, icrc: tuple[Seeds, int], how: tuple[bytes, bool], now: float
    ) -> None:
        """Take packets one behind the other, and where a run begins, all of it."""
        seeds, first = icrc
        flow, marked = how
        while at < len(view):
            self.flush(now)
            to = min(at + segment, len(view))
            if to - at < SHORTEST:
                self.drops.malformed += 1
                return
            number = first + at // segment
            word, psn = BTH.unpack_from(view, at)
            qp = self._qps.get(word & 0xFFFFFF)
            if qp is not None and qp.source != flow[:4]:
                qp = None
            before = at
            memory = qp.stream(word, psn & PSN_MASK) if qp is not None and segment == qp.path.mtu + 16 else None
            if qp is not None and memory is not None:
                self._run = Run(qp, word, psn & PSN_MASK, memory, seeds, segment, flow)
                at = self._run.take(view, at, number)
            if at == before:
                taken = self._one(qp, view[at:to], seeds[to - at], number & 0xFFFF, now)
                at += segment
            else:
                taken = True
            if taken and qp is not None:
                self.touched.add(qp)
                if marked and word >> 56 not in SMALL:
                    qp.marked((at - before) // segment, now)

    def _one(self, qp: QueuePair | None, packet: memoryview, seed: int, number: int, now: float) -> bool:
        """Take one packet, whatever it is; returns whether it went to a queue pair."""
        word, psn = BTH.unpack_from(packet)
        body = _unmarked(packet[:-4]) if word >> 24 & 0xFF else packet[:-4]
        if crc32(body, seed ^ ident(number)) != ICRC.unpack_from(packet, len(packet) - 4)[0]:
            self.drops.icrc += 1
        elif word >> 48 & 0xF or (word >> 32 ^ P_KEY) & 0x7FFF or (word >> 61 != RELIABLE and word >> 56 != Op.CNP):
            self.drops.malformed += 1
        elif qp is None:
            self.drops.unknown += 1
        else:
            qp.take(word, psn, packet[12:-4], now)
            return True
        return False


def _unmarked(body: memoryview) -> bytearray:
    """A copy in which FECN, BECN and what is reserved beside them are zero, as the seeds have it."""
    copy = bytearray(body)
    copy[4] = 0
    return copy
