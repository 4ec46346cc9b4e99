"""The requesting half of a queue pair: sends requests, takes answers, and goes back when one is missing.

IBTA 9.7.5 and 9.7.8; go-back-N as in Linux rxe_req.c and rxe_comp.c. No socket and no clock: time comes in as
seconds, packets go out through an assembler. Sequence numbers in here do not wrap; only those on the wire do.
"""

from __future__ import annotations

from collections import deque

from closet.roce.assembler import Assembler, most
from closet.roce.limits import FOREVER, Counters, Limits
from closet.roce.path import Path
from closet.roce.requests import Requests
from closet.roce.wire import (
    PSN_MASK,
    RNR_SECONDS,
    Syndrome,
    ahead,
    timeout_seconds,
)
from closet.roce.work import ANSWERED, FATAL, Status, Verb, Work

NEVER = float("inf")


class Requester:
    """Requests on their way.

    Args:
        path: where packets go. qpn: of the other end. psn: the first, 24 bits.
        ended: takes every work request that has ended, in the order they were posted.

    Attributes:
        deadline: when `expire` wants to be called, in seconds.
        not_before: when it may send again, by RNR or by its rate.
    """

    def __init__(self, path: Path, qpn: int, psn: int, limits: Limits, counters: Counters, ended: deque[Work]) -> None:
        self.path = path
        self.limits = limits
        self.counters = counters
        self.failed: Status | None = None
        self.deadline = NEVER
        self.not_before = 0.0
        self._ended = ended
        self._requests = Requests(path, qpn)
        self._psn = psn
        self._to_send: deque[Work] = deque()
        self._sent: deque[Work] = deque()
        self._reads: deque[int] = deque()
        self._next = 0  # the first packet of the next work request
        self._cursor = 0  # the next packet to send
        self._oldest = 0  # the oldest unacknowledged
        self._furthest = 0  # the first packet never sent
        self._timeout = timeout_seconds(limits.timeout)
        self._retries = limits.retries
        self._rnr_retries = limits.rnr_retries
        self._burst = most(path.mtu)
        self._asked = 0.0  # when an acknowledgement was last asked for out of turn, or one came
        self._missed = -1  # what was asked for again because its answer was skipped

    @property
    def idle(self) -> bool:
        """Whether nothing is pending."""
        return not self._to_send and not self._sent

    @property
    def unacknowledged(self) -> int:
        """Packets on their way."""
        return self._cursor - self._oldest

    def state(self) -> str:
        """One line for whoever wonders why nothing moves."""
        pending = len(self._to_send) + len(self._sent)
        return (
            f"{self.failed or 'ready to send'}, {pending} requests pending, next PSN {self._wire(self._cursor)}, "
            f"oldest unacknowledged {self._wire(self._oldest)}, retries left {self._retries}"
        )

    def post(self, work: Work, now: float) -> None:
        """Ask for something; it ends in `ended`, at once if the queue pair has failed."""
        work.posted = now
        work.first = self._next
        work.count = max(1, -(-work.length // self.path.mtu))
        if self.failed is not None:
            self._end(work, Status.FLUSHED, now)
            return
        self._next += work.count
        self._to_send.append(work)

    def _wire(self, sequence: int) -> int:
        return self._psn + sequence & PSN_MASK

    # sending

    @property
    def ready(self) -> bool:
        """Whether there is something that may be sent, rates and RNR apart."""
        if not self._to_send:
            return False
        if self._to_send[0].verb in ANSWERED:
            return len(self._reads) < self.limits.reads
        return self.unacknowledged < self.limits.window

    def transmit(self, out: Assembler, now: float, most_packets: int = 64) -> int:
        """Send one packet, or as many of a message as one call can; returns their bytes. Needs `ready`."""
        work = self._to_send[0]
        at, psn = self._cursor - work.first, self._wire(self._cursor)
        if work.verb in ANSWERED:
            sent, length = self._requests.ask(work, at, psn, self.limits.read_packets, out)
            self._reads.append(self._cursor + sent)
        else:
            room = self.limits.window - self.unacknowledged
            every = self.limits.ack_every
            if now - self._asked > self._timeout / 8:  # a slow sender must not run into its own timeout
                every, self._asked = 1, now
            sent, length = self._requests.tell(work, at, psn, min(room, self._burst, most_packets), every, out)
        again = min(sent, self._furthest - self._cursor)
        self._cursor += sent
        if again > 0:
            self.counters.retransmitted += again
        self._furthest = max(self._furthest, self._cursor)
        self.counters.sent += sent
        if self._cursor > work.last:
            self._sent.append(self._to_send.popleft())
        if self.deadline == NEVER:
            self.deadline = now + self._timeout
        return length

    # what comes back

    def acknowledge(self, psn: int, syndrome: int, now: float) -> None:
        """Take an ACK or NAK."""
        at = self._oldest + ahead(psn, self._wire(self._oldest))
        if self.failed is not None or not self._oldest - 1 <= at < self._furthest:
            return  # a ghost: of the past, or of what was never sent
        kind = syndrome >> 5
        if kind == 0:
            self._advance(at + 1, now)
            if self._oldest <= at:  # it is behind a READ or an atomic whose answer was lost
                self._miss(now)
        elif at < self._oldest:
            return
        elif kind == 1:
            self._advance(at, now)
            self._not_ready(syndrome & 0x1F, now)
        elif syndrome == Syndrome.SEQUENCE:
            self.counters.rcvd_seq_err += 1
            self._advance(at, now)
            self._go_back(now)
        elif syndrome in FATAL:
            self._advance(at, now)
            self.fail(FATAL[syndrome], now)

    def response(self, psn: int, payload: memoryview, now: float) -> bool:
        """Take a packet of a READ's answer; returns whether it was the next one."""
        at = self._oldest + ahead(psn, self._wire(self._oldest))
        if self.failed is not None or not self._oldest <= at < self._furthest:
            return False
        work = self._answered_by(at, now)
        if work is None:
            return False
        if work.verb is not Verb.READ:
            return False
        begin = (at - work.first) * self.path.mtu
        end = min(begin + self.path.mtu, work.length)
        if len(payload) != end - begin:
            self._advance(work.first, now)
            self.fail(Status.LENGTH, now)
            return False
        work.memory[begin:end] = payload
        work.done += 1
        self._advance(at + 1, now)
        return True

    def stream(self, psn: int) -> memoryview | None:
        """Where the payload of this middle packet of a READ and of those after it belong; None if it is not the next.

        The last packet of the READ is never among them.
        """
        queue = self._sent or self._to_send
        if not queue or psn != self._wire(self._oldest) or self._oldest >= self._furthest:
            return None  # another one, or one that nobody has asked for
        work = queue[0]
        if work.verb is not Verb.READ or work.first + work.done != self._oldest:
            return None
        mtu = self.path.mtu
        return work.memory[work.done * mtu : min(work.count - 1, self._furthest - work.first) * mtu]

    def streamed(self, count: int, now: float) -> None:
        """So many of its packets came there."""
        (self._sent or self._to_send)[0].done += count
        self._advance(self._oldest + count, now)

    def atomic(self, psn: int, value: memoryview, now: float) -> None:
        """Take an atomic's answer."""
        at = self._oldest + ahead(psn, self._wire(self._oldest))
        if self.failed is not None or not self._oldest <= at < self._furthest:
            return
        work = self._answered_by(at, now)
        if work is None or work.verb in {Verb.READ, Verb.SEND, Verb.WRITE}:
            return
        work.memory[:] = value
        work.done = 1
        self._advance(at + 1, now)

    def _answered_by(self, at: int, now: float) -> Work | None:
        """The request that waits for the answer with this number; None if one before it was missed."""
        self._advance(at, now)
        if self._oldest != at:
            self._miss(now)
            return None
        work = self._sent[0] if self._sent else self._to_send[0]
        return work if work.first <= at <= work.last else None

    def _advance(self, to: int, now: float) -> None:
        """Everything before `to` has arrived, as far as it needs no answer of its own; end what is complete."""
        before = self._oldest
        while self._oldest < to:
            queue = self._sent or self._to_send
            if not queue:
                break
            work = queue[0]
            if work.verb in ANSWERED:
                self._oldest = min(to, work.first + work.done)
                if work.done < work.count:
                    break
            else:
                self._oldest = min(to, work.first + work.count)
            if self._oldest <= work.last:
                break
            queue.popleft()
            self._end(work, Status.SUCCESS, now)
        if self._oldest == before:
            return
        self._asked = now
        self._cursor = max(self._cursor, self._oldest)
        while self._reads and self._reads[0] <= self._oldest:
            self._reads.popleft()
        self._retries = self.limits.retries
        self._rnr_retries = self.limits.rnr_retries
        self.deadline = now + self._timeout if self._oldest < self._cursor else NEVER

    def _miss(self, now: float) -> None:
        """An answer was skipped: ask again, once; whatever comes before the answer to that says nothing new."""
        if self._missed != self._oldest:
            self._missed = self._oldest
            self.counters.missed_responses += 1
            self._go_back(now)

    def _go_back(self, now: float) -> None:
        """Send again, from the oldest that was not acknowledged on."""
        self._cursor = self._oldest
        while self._sent and self._sent[-1].last >= self._cursor:
            self._to_send.appendleft(self._sent.pop())
        while self._reads and self._reads[-1] > self._cursor:
            self._reads.pop()
        self.deadline = now + self._timeout

    def _not_ready(self, timer: int, now: float) -> None:
        self.counters.rcvd_rnr_err += 1
        if self.limits.rnr_retries != FOREVER:
            if self._rnr_retries == 0:
                self.fail(Status.RNR_EXCEEDED, now)
                return
            self._rnr_retries -= 1
        self._go_back(now)
        self.not_before = max(self.not_before, now + RNR_SECONDS[timer])
        self.deadline = NEVER

    def expire(self, now: float) -> None:
        """The deadline has passed."""
        if now < self.deadline:
            return
        self.counters.timeouts += 1
        if self._retries == 0:
            self.fail(Status.RETRY_EXCEEDED, now)
            return
        self._retries -= 1
        self._go_back(now)

    def fail(self, status: Status, now: float) -> None:
        """Enter the error state: the oldest request ends with `status`, all others are flushed."""
        if self.failed is not None:
            return
        self.failed = status
        self.deadline = NEVER
        pending = [*self._sent, *self._to_send]
        self._sent.clear()
        self._to_send.clear()
        self._reads.clear()
        for work in pending:
            self._end(work, status, now)
            status = Status.FLUSHED

    def _end(self, work: Work, status: Status, now: float) -> None:
        work.status = status
        work.ended = now
        self._ended.append(work)
