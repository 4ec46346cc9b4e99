"""The responding half of a queue pair: takes requests in order, touches memory where it may, and answers.

IBTA 9.7.4 and 9.7.5; what is left open there as in Linux rxe_resp.c. No socket and no clock: packets come in as
bytes whose ICRC has been checked, answers go out through an assembler, in the order of the requests.
"""

from __future__ import annotations

import struct
from collections import OrderedDict, deque

from closet.roce.limits import Counters
from closet.roce.path import Path
from closet.roce.region import Access, Regions
from closet.roce.replies import EMPTY, Replies, Reply
from closet.roce.wire import (
    ACK_REQUEST,
    ATOMIC,
    ATOMIC_ACK,
    IMMEDIATE,
    PSN_MASK,
    RETH,
    Op,
    Syndrome,
    ahead,
)
from closet.roce.work import Received

REPLAYS = 128
"""Answers to atomics that are kept for requests that come again (IBTA 9.7.5.1.3; rxe has as many as it is told)."""
NATIVE = struct.Struct("=Q")
NONE, SEND, WRITE = 0, 1, 2
"""What message is under way."""
STARTS: dict[int, int] = {
    **dict.fromkeys((Op.SEND_FIRST, Op.SEND_ONLY, Op.SEND_ONLY_IMM), SEND),
    **dict.fromkeys((Op.WRITE_FIRST, Op.WRITE_ONLY, Op.WRITE_ONLY_IMM), WRITE),
}
CONTINUES: dict[int, int] = {
    **dict.fromkeys((Op.SEND_MIDDLE, Op.SEND_LAST, Op.SEND_LAST_IMM), SEND),
    **dict.fromkeys((Op.WRITE_MIDDLE, Op.WRITE_LAST, Op.WRITE_LAST_IMM), WRITE),
}
FULL = frozenset({Op.SEND_FIRST, Op.SEND_MIDDLE, Op.WRITE_FIRST, Op.WRITE_MIDDLE})
"""Opcodes of packets with more to follow: as long as the path's MTU."""
LASTS = frozenset({Op.SEND_LAST, Op.SEND_LAST_IMM, Op.WRITE_LAST, Op.WRITE_LAST_IMM})
IMMEDIATES = frozenset({Op.SEND_LAST_IMM, Op.SEND_ONLY_IMM, Op.WRITE_LAST_IMM, Op.WRITE_ONLY_IMM})


class Refusal(Exception):
    """A request that is answered by a fatal NAK of this syndrome."""

    def __init__(self, syndrome: Syndrome) -> None:
        super().__init__(syndrome)
        self.syndrome = syndrome


class Responder:
    """Requests as they come.

    Args:
        qpn: of the other end. psn: the first to expect. rnr_timer: code of the time to wait when no receive request
            is posted.

    Attributes:
        received: what arrived in receive requests.
        expected: the PSN that must come next.
        replies: what it answers.
    """

    def __init__(
        self, path: Path, qpn: int, psn: int, regions: Regions, counters: Counters, rnr_timer: int = 12
    ) -> None:
        self.path = path
        self.counters = counters
        self.expected = psn
        self.msn = 0
        self.failed = False
        self.received: deque[Received] = deque()
        self._posted: deque[memoryview] = deque()
        self._regions = regions
        self._rnr_timer = rnr_timer
        self.replies = Replies(path, qpn)
        self._atomics: OrderedDict[int, memoryview] = OrderedDict()
        self._told = False  # a NAK or RNR for the expected PSN is out: silence until it comes
        self._kind = NONE
        self._memory = EMPTY  # of the message under way
        self._at = 0

    def state(self) -> str:
        """One line for whoever wonders why nothing moves."""
        what = "failed" if self.failed else ("ready", "inside a SEND", "inside a WRITE")[self._kind]
        return f"{what}, expects PSN {self.expected}, MSN {self.msn}, {len(self._posted)} receive requests posted"

    def post(self, memory: memoryview) -> None:
        """Give memory for one incoming SEND, or for the immediate of a WRITE."""
        self._posted.append(memory)

    def request(self, op: int, psn: int, packet: memoryview, pad: int) -> None:
        """Take a request.

        Args:
            psn: the last word of the BTH. packet: all behind the BTH, without the ICRC. pad: its pad count, bytes.
        """
        if self.failed:
            return
        ask = psn & ACK_REQUEST
        psn &= PSN_MASK
        gap = ahead(psn, self.expected)
        if gap > 0:
            if not self._told:
                self.counters.out_of_seq_request += 1
                self._told = True
                self.replies.add(Reply(Op.ACK, self.expected, Syndrome.SEQUENCE, self.msn))
            return
        try:
            if gap < 0:
                self._duplicate(op, psn, packet)
            else:
                self._take(op, psn, packet, pad)
                if ask and not self._told and (op in STARTS or op in CONTINUES):
                    self.replies.acknowledge(psn, self.msn)
        except Refusal as e:
            self._refuse(psn, e.syndrome)
        except struct.error:  # headers cut short
            self._refuse(psn, Syndrome.INVALID_REQUEST)

    def _take(self, op: int, psn: int, packet: memoryview, pad: int) -> None:
        """The request that was to come next."""
        if op in STARTS or op in CONTINUES:
            self._message(op, psn, packet, pad)
        elif self._kind != NONE:
            raise Refusal(Syndrome.INVALID_REQUEST)
        elif op == Op.READ_REQUEST:
            self._read(psn, packet)
        elif op in {Op.COMPARE_SWAP, Op.FETCH_ADD}:
            self._atomic(op, psn, packet)
        else:
            raise Refusal(Syndrome.INVALID_REQUEST)

    def stream(self, op: int, psn: int) -> memoryview | None:
        """Where the payload of this middle packet and of those after it belong; None if it is not the next."""
        if psn != self.expected or self.failed or CONTINUES[op] != self._kind:
            return None
        return self._memory[self._at :]

    def streamed(self, count: int, ask: bool) -> None:
        """So many middle packets came there; `ask`: one of them wants to be acknowledged."""
        self._at += count * self.path.mtu
        self._told = False
        last = self.expected + count - 1 & PSN_MASK
        self.expected = last + 1 & PSN_MASK
        if ask:
            self.replies.acknowledge(last, self.msn)

    def _refuse(self, psn: int, syndrome: Syndrome) -> None:
        self.counters.naks += 1
        self.failed = True
        self.replies.add(Reply(Op.ACK, psn, syndrome, self.msn))

    def _message(self, op: int, psn: int, packet: memoryview, pad: int) -> None:
        """A packet of a SEND or WRITE. Without a receive request for it: RNR, and all stays as it is."""
        kind = STARTS.get(op, NONE)
        if (kind and self._kind) or (not kind and CONTINUES[op] != self._kind):
            raise Refusal(Syndrome.INVALID_REQUEST)
        address, rkey, length = RETH.unpack_from(packet) if kind == WRITE else (0, 0, 0)
        at = RETH.size if kind == WRITE else 0
        immediate = None
        if op in IMMEDIATES:
            (immediate,) = IMMEDIATE.unpack_from(packet, at)
            at += IMMEDIATE.size
        size = len(packet) - at - pad
        least = self.path.mtu if op in FULL else 1 if op in LASTS else 0
        if not least <= size <= self.path.mtu:
            raise Refusal(Syndrome.INVALID_REQUEST)
        if kind == WRITE and (length <= size if op in FULL else length != size):
            raise Refusal(Syndrome.INVALID_REQUEST)
        sends = SEND in {kind, self._kind}
        if not self._posted and (kind == SEND or (immediate is not None and not sends)):
            self._told = True
            self.counters.send_rnr_err += 1
            self.replies.add(Reply(Op.ACK, psn, Syndrome.RNR | self._rnr_timer, self.msn))
            return
        if kind:
            self._begin(kind, address, rkey, length)
        if size > len(self._memory) - self._at:
            raise Refusal(Syndrome.INVALID_REQUEST)
        self._memory[self._at : self._at + size] = packet[at : at + size]
        self._at += size
        if op not in FULL:
            self._complete(immediate)
        self._told = False
        self.expected = psn + 1 & PSN_MASK

    def _begin(self, kind: int, address: int, rkey: int, length: int) -> None:
        if kind == SEND:
            memory: memoryview | None = self._posted.popleft()
        else:
            memory = self._regions.reach(rkey, address, length, Access.WRITE)
        if memory is None:
            raise Refusal(Syndrome.REMOTE_ACCESS)
        self._kind, self._memory, self._at = kind, memory, 0

    def _complete(self, immediate: int | None) -> None:
        if self._kind == WRITE and self._at != len(self._memory):
            raise Refusal(Syndrome.INVALID_REQUEST)
        if self._kind == SEND:
            self.received.append(Received(self._memory, self._at, immediate))
        elif immediate is not None:
            self.received.append(Received(self._posted.popleft(), self._at, immediate))
        self.msn = self.msn + 1 & PSN_MASK
        self._kind, self._memory = NONE, EMPTY

    def _read(self, psn: int, packet: memoryview) -> None:
        address, rkey, length = RETH.unpack_from(packet)
        memory = self._regions.reach(rkey, address, length, Access.READ)
        if memory is None:
            raise Refusal(Syndrome.REMOTE_ACCESS)
        if len(packet) != RETH.size or self.replies.full:
            raise Refusal(Syndrome.INVALID_REQUEST)
        count = max(1, -(-length // self.path.mtu))
        self._told = False
        self.expected = psn + count & PSN_MASK
        self.msn = self.msn + 1 & PSN_MASK
        self.replies.add(Reply(Op.READ_FIRST, psn, Syndrome.ACK, self.msn, memory, count))

    def _atomic(self, op: int, psn: int, packet: memoryview) -> None:
        address, rkey, swap, compare = ATOMIC.unpack_from(packet)
        if address % 8 or len(packet) != ATOMIC.size or self.replies.full:
            raise Refusal(Syndrome.INVALID_REQUEST)
        memory = self._regions.reach(rkey, address, 8, Access.ATOMIC)
        if memory is None:
            raise Refusal(Syndrome.REMOTE_ACCESS)
        (before,) = NATIVE.unpack(memory)
        if op == Op.FETCH_ADD:
            NATIVE.pack_into(memory, 0, before + swap & (1 << 64) - 1)
        elif before == compare:
            NATIVE.pack_into(memory, 0, swap)
        self._told = False
        self.expected = psn + 1 & PSN_MASK
        self.msn = self.msn + 1 & PSN_MASK
        answer = memoryview(ATOMIC_ACK.pack(before))
        self._atomics[psn] = answer
        if len(self._atomics) > REPLAYS:
            self._atomics.popitem(last=False)
        self.replies.add(Reply(Op.ATOMIC_ACK, psn, Syndrome.ACK, self.msn, answer))

    def _duplicate(self, op: int, psn: int, packet: memoryview) -> None:
        """A request that was taken before (IBTA 9.7.5.1.3, 9.7.5.1.6).

        SEND and WRITE are acknowledged, a READ is done again, an atomic's answer is sent again; all else is ignored.
        """
        self.counters.duplicate_request += 1
        if op in STARTS or op in CONTINUES:
            self.replies.acknowledge(self.expected - 1 & PSN_MASK, self.msn)
        elif self.replies.full:
            return
        elif op == Op.READ_REQUEST and len(packet) == RETH.size:
            address, rkey, length = RETH.unpack_from(packet)
            memory = self._regions.reach(rkey, address, length, Access.READ)
            count = max(1, -(-length // self.path.mtu))
            if memory is None or ahead(psn + count & PSN_MASK, self.expected) > 0:
                return
            self.replies.again(Reply(Op.READ_FIRST, psn, Syndrome.ACK, self.msn, memory, count))
        elif psn in self._atomics:
            self.replies.add(Reply(Op.ATOMIC_ACK, psn, Syndrome.ACK, self.msn, self._atomics[psn]))
