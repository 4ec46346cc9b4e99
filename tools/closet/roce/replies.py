"""Answers on their way out, in the order of the requests (IBTA 9.7.5)."""

from __future__ import annotations

from collections import deque

from closet.roce.assembler import Assembler, most
from closet.roce.path import Path
from closet.roce.wire import AETH, PSN_MASK, Op, Syndrome, ahead, word

EMPTY = memoryview(bytearray())
MOST_REPLIES = 256
"""Answers that may wait to be sent; a peer that asks for more at once breaks its promise (max_dest_rd_atomic)."""


class Reply:
    """An answer that has to be sent: an acknowledgement, an atomic's, or a READ's, of which it knows how far it is."""

    __slots__ = ("at", "count", "memory", "msn", "op", "psn", "syndrome")

    def __init__(self, op: Op, psn: int, syndrome: int, msn: int, memory: memoryview = EMPTY, count: int = 1) -> None:
        self.op = op
        self.psn = psn
        self.syndrome = syndrome
        self.msn = msn
        self.memory = memory
        self.count = count
        self.at = 0


class Replies:
    """The answers to the queue pair `qpn` at the end of a path."""

    def __init__(self, path: Path, qpn: int) -> None:
        self._path = path
        self._qpn = qpn
        self._queue: deque[Reply] = deque()
        self._burst = most(path.mtu)

    @property
    def ready(self) -> bool:
        """Whether there is something to send."""
        return bool(self._queue)

    @property
    def bulk(self) -> bool:
        """Whether what is to be sent next is a READ's data: that goes at the rate that is allowed."""
        return bool(self._queue) and self._queue[0].op == Op.READ_FIRST

    @property
    def full(self) -> bool:
        """Whether no more may wait."""
        return len(self._queue) >= MOST_REPLIES

    def add(self, reply: Reply) -> None:
        """Answer this after all others."""
        self._queue.append(reply)

    def acknowledge(self, psn: int, msn: int) -> None:
        """Acknowledge all up to a PSN; one acknowledgement that still waits says it for all before."""
        last = self._queue[-1] if self._queue else None
        if last is not None and last.op == Op.ACK and last.syndrome == Syndrome.ACK:
            last.psn, last.msn = psn, msn
        else:
            self._queue.append(Reply(Op.ACK, psn, Syndrome.ACK, msn))

    def again(self, reply: Reply) -> None:
        """Answer a READ that was asked for again: the requester went back, and asks for all that followed, too."""
        stale = [r for r in self._queue if r.op == Op.READ_FIRST and ahead(r.psn + r.at & PSN_MASK, reply.psn) >= 0]
        for old in stale:
            self._queue.remove(old)
        self._queue.append(reply)

    def transmit(self, out: Assembler, most_packets: int = 64) -> int:
        """Send one answer, or as much of a READ's as one call can; returns its bytes. Needs `ready`."""
        reply = self._queue[0]
        aeth = AETH.pack(reply.syndrome << 24 | reply.msn)
        if reply.op != Op.READ_FIRST:
            self._queue.popleft()
            return out.packet(self._path, word(reply.op, self._qpn), reply.psn, aeth + bytes(reply.memory))
        at, count, mtu = reply.at, reply.count, self._path.mtu
        psn = reply.psn + at & PSN_MASK
        if 0 < at < count - 1:
            to = min(count - 1, at + min(self._burst, most_packets))
            middle = word(Op.READ_MIDDLE, self._qpn)
            reply.at = to
            return out.series(self._path, middle, middle, psn, reply.memory[at * mtu : to * mtu], to - at, 0)
        last = at == count - 1
        op = (Op.READ_ONLY if at == 0 else Op.READ_LAST) if last else Op.READ_FIRST
        payload = reply.memory[at * mtu : (at + 1) * mtu]
        reply.at += 1
        if last:
            self._queue.popleft()
        return out.packet(self._path, word(op, self._qpn, -len(payload) & 3), psn, aeth, payload)
