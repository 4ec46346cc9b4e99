"""A reliable connected queue pair: both of its halves, and its congestion control (IBTA 9.7, 10.3)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from ipaddress import IPv4Address

from closet.roce.assembler import Assembler
from closet.roce.dcqcn import Dcqcn, ReactionPoint
from closet.roce.limits import Counters, Limits
from closet.roce.path import Path
from closet.roce.region import Regions
from closet.roce.requester import NEVER, Requester
from closet.roce.responder import Responder
from closet.roce.wire import AETH, ATOMIC_ACK, BECN, CNP_PADDING, RESPONSES, Op, word
from closet.roce.work import Received, Work

CNP_TOS = 48 << 2
"""DSCP 48, not ECN-capable: what must slow a sender down must not be marked itself."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What one end must know of the other: exchanged by other means before any packet.

    Attributes:
        address: IPv4. qpn: 24 bits. psn: the first one that end sends, 24 bits.
    """

    address: str
    qpn: int
    psn: int


class QueuePair:
    """A connected queue pair.

    Args:
        number: its QPN. psn: the first it sends. path: to the other end. peer: that end.
        dcqcn: congestion control's parameters, or None for none.

    Attributes:
        ended: work requests that have ended, in order. received: messages that have arrived.
        not_before: when it may send data again, in seconds, by the rate it is allowed.
    """

    def __init__(
        self,
        *,
        number: int,
        psn: int,
        path: Path,
        peer: Peer,
        regions: Regions,
        limits: Limits | None = None,
        rnr_timer: int = 12,
        dcqcn: Dcqcn | None = None,
    ) -> None:
        self.number = number
        self.path = path
        self.peer = peer
        self.source = IPv4Address(peer.address).packed
        self.counters = Counters()
        self.ended: deque[Work] = deque()
        self.requester = Requester(path, peer.qpn, psn, limits or Limits(), self.counters, self.ended)
        self.responder = Responder(path, peer.qpn, peer.psn, regions, self.counters, rnr_timer)
        self.reaction = ReactionPoint(dcqcn) if dcqcn else None
        self.notify_every = (dcqcn or Dcqcn()).cnp_interval
        self.not_before = 0.0
        self._notified = float("-inf")
        self._notify_at = NEVER
        self._cnp_path: Path | None = None
        self._read_middle = word(Op.READ_MIDDLE, number)
        self._middles = {word(Op.SEND_MIDDLE, number), word(Op.WRITE_MIDDLE, number)}

    def __repr__(self) -> str:
        return f"QueuePair({self.number}, {self.state()})"

    def state(self) -> str:
        """One line: both halves."""
        who = f"QP {self.number} to QP {self.peer.qpn} at {self.peer.address}"
        return f"{who}: {self.requester.state()}; as responder {self.responder.state()}"

    @property
    def received(self) -> deque[Received]:
        """Messages that have arrived."""
        return self.responder.received

    def post(self, work: Work, now: float) -> None:
        """Ask for something (ibv_post_send)."""
        self.requester.post(work, now)

    def post_receive(self, memory: memoryview) -> None:
        """Give memory for a message (ibv_post_recv)."""
        self.responder.post(memory)

    def take(self, word_: int, psn: int, packet: memoryview, now: float) -> None:
        """Take a packet that is for this queue pair and whose ICRC is right.

        Args:
            word_, psn: its BTH, as two words. packet: what is behind it, without the ICRC.
        """
        op = word_ >> 56
        pad = word_ >> 52 & 3
        if op in RESPONSES:
            self._answer(op, psn & 0xFFFFFF, packet, pad, now)
        elif op == Op.CNP:
            self.counters.cnps_handled += 1
            if self.reaction is not None:
                self.reaction.notified(now)
        else:
            self.responder.request(op, psn, packet, pad)

    def _answer(self, op: int, psn: int, packet: memoryview, pad: int, now: float) -> None:
        skip = 0 if op == Op.READ_MIDDLE else AETH.size
        if len(packet) < skip + pad:
            return
        if op == Op.ACK:
            self.requester.acknowledge(psn, packet[0], now)
        elif op == Op.ATOMIC_ACK:
            if len(packet) == skip + ATOMIC_ACK.size:
                self.requester.atomic(psn, packet[skip:], now)
        else:
            self.requester.response(psn, packet[skip : len(packet) - pad], now)

    def stream(self, word_: int, psn: int) -> memoryview | None:
        """Where the payload of this packet and of those after it belong, if it is the next in the middle of a message.

        `streamed` then says how many there were. Anything else about a packet is for `take`.
        """
        if word_ == self._read_middle:
            return self.requester.stream(psn)
        if word_ in self._middles:
            return self.responder.stream(word_ >> 56, psn)
        return None

    def streamed(self, word_: int, count: int, ask: bool, now: float) -> None:
        """So many packets came where `stream` said, in order; `ask`: one of them wants to be acknowledged."""
        if word_ == self._read_middle:
            self.requester.streamed(count, now)
        else:
            self.responder.streamed(count, ask)

    def marked(self, packets: int, now: float) -> None:
        """Packets came with congestion experienced: notify the other end, at once or when an interval has passed.

        That is DCQCN's notification point (Zhu 2015, 3.1): of an interval with marks there is one CNP, at its end.
        """
        self.counters.ce_marked += packets
        self._notify_at = min(self._notify_at, max(now, self._notified + self.notify_every))

    # what goes out

    def wants_to_send(self, now: float) -> float:
        """When it wants to: `now` or earlier if at once, infinity if there is nothing."""
        if self._notify_at <= now:
            return now
        at = self._notify_at
        if self.responder.replies.ready:
            at = min(at, self.not_before) if self.responder.replies.bulk else now
        if self.requester.ready:
            at = min(at, max(self.not_before, self.requester.not_before))
        return at

    def transmit(self, out: Assembler, now: float) -> None:
        """Send what is due, one send of it; answers go before requests."""
        if self._notify_at <= now:
            self._notified, self._notify_at = now, NEVER
            self.counters.cnps_sent += 1
            if self._cnp_path is None:
                self._cnp_path = self.path.with_tos(CNP_TOS)
            out.packet(self._cnp_path, word(Op.CNP, self.peer.qpn) | BECN, 0, CNP_PADDING)
        elif self.responder.replies.ready and (self.not_before <= now or not self.responder.replies.bulk):
            self._count(self.responder.replies.transmit(out, self._most()), now)
        elif self.requester.ready and max(self.not_before, self.requester.not_before) <= now:
            self._count(self.requester.transmit(out, now, self._most()), now)

    def _most(self) -> int:
        """Packets to send at once: all that fit, or, at a low rate, those of a tenth of a millisecond."""
        if self.reaction is None:
            return 64
        return max(1, int(self.reaction.rate * 1e-4 / 8 / self.path.mtu))

    def _count(self, length: int, now: float) -> None:
        if self.reaction is not None:
            rate = self.reaction.sent(length, now)
            self.not_before = max(self.not_before, now - 1e-3) + length * 8 / rate
