"""Requests as packets: which opcode, which headers, which bytes (IBTA 9.4, table 38)."""

from __future__ import annotations

from closet.roce.assembler import Assembler
from closet.roce.path import Path
from closet.roce.wire import ACK_REQUEST, ATOMIC, IMMEDIATE, RETH, Op, word
from closet.roce.work import Verb, Work

FIRST = {Verb.SEND: Op.SEND_FIRST, Verb.WRITE: Op.WRITE_FIRST}


class Requests:
    """Puts the packets of work requests together, for the queue pair `qpn` at the end of a path."""

    __slots__ = ("_path", "_qpn")

    def __init__(self, path: Path, qpn: int) -> None:
        self._path = path
        self._qpn = qpn

    def tell(self, work: Work, at: int, psn: int, room: int, every: int, out: Assembler) -> tuple[int, int]:
        """Packets of a SEND or WRITE, from number `at` on: (packets, bytes)."""
        count, mtu = work.count, self._path.mtu
        op = FIRST[work.verb]
        last_op = Op.SEND_LAST if op == Op.SEND_FIRST else Op.WRITE_LAST
        last = word(last_op, self._qpn, -work.length & 3)
        alone = at == count - 1 and (at == 0 or work.immediate is not None)
        if alone or (at == 0 and op == Op.WRITE_FIRST):
            return 1, self._headed(work, at, psn, every, out)
        to = min(count - (work.immediate is not None), at + room)
        if at == 0:  # a SEND's first: as long as those in the middle, but with another opcode
            ask = ACK_REQUEST if psn & every - 1 == every - 1 else 0
            return 1, out.packet(self._path, word(op, self._qpn), psn | ask, b"", work.memory[:mtu])
        middle = word(op + 1, self._qpn)
        data = work.memory[at * mtu : to * mtu]
        return to - at, out.series(self._path, middle, last if to == count else middle, psn, data, to - at, every)

    def _headed(self, work: Work, at: int, psn: int, every: int, out: Assembler) -> int:
        """A packet with headers of its own: the first of a WRITE, the only one, or a last one with an immediate."""
        mtu, only, last = self._path.mtu, work.count == 1, at == work.count - 1
        op = FIRST[work.verb] + (4 if only else 2 if last else 0)
        # WRITE_ONLY follows WRITE_LAST_IMM, as SEND_ONLY does SEND_LAST_IMM (IBTA table 38)
        extended = RETH.pack(work.address, work.rkey, work.length) if work.verb is Verb.WRITE and at == 0 else b""
        if last and work.immediate is not None:
            op += 1
            extended += IMMEDIATE.pack(work.immediate)
        payload = work.memory[at * mtu : at * mtu + mtu]
        ask = ACK_REQUEST if last or psn & every - 1 == every - 1 else 0
        return out.packet(self._path, word(op, self._qpn, -len(payload) & 3), psn | ask, extended, payload)

    def ask(self, work: Work, at: int, psn: int, most: int, out: Assembler) -> tuple[int, int]:
        """A READ request for some of the packets that are missing, or an atomic one: (packets, bytes)."""
        psn |= ACK_REQUEST
        if work.verb is Verb.READ:
            skip = at * self._path.mtu
            # What is asked for again must end where it did the first time (rxe_resp.c: duplicate_request).
            count = min(work.count - at, most - at % most)
            length = min(work.length - skip, count * self._path.mtu)
            request = word(Op.READ_REQUEST, self._qpn), psn, RETH.pack(work.address + skip, work.rkey, length)
        else:
            count = 1
            op = Op.COMPARE_SWAP if work.verb is Verb.COMPARE_SWAP else Op.FETCH_ADD
            request = word(op, self._qpn), psn, ATOMIC.pack(work.address, work.rkey, work.swap, work.compare)
        return count, out.packet(self._path, *request)
