"""Work requests: what a queue pair is asked to do, and what became of it (IBTA 10.7)."""

from __future__ import annotations

from enum import StrEnum

from closet.roce.wire import Syndrome


class Verb(StrEnum):
    """What can be asked for."""

    SEND = "send"
    WRITE = "write"
    READ = "read"
    COMPARE_SWAP = "cas"
    FETCH_ADD = "faa"


ATOMICS = frozenset({Verb.COMPARE_SWAP, Verb.FETCH_ADD})
ANSWERED = frozenset({Verb.READ, *ATOMICS})
"""Verbs that bring something back; an acknowledgement alone does not complete them."""


class Status(StrEnum):
    """How a work request ended (IBTA 10.10.3; the words are libibverbs')."""

    SUCCESS = "success"
    INVALID_REQUEST = "remote invalid request error"
    REMOTE_ACCESS = "remote access error"
    REMOTE_OPERATION = "remote operation error"
    RETRY_EXCEEDED = "transport retry counter exceeded"
    RNR_EXCEEDED = "RNR retry counter exceeded"
    LENGTH = "local length error"
    FLUSHED = "work request flushed"


FATAL: dict[int, Status] = {
    Syndrome.INVALID_REQUEST: Status.INVALID_REQUEST,
    Syndrome.REMOTE_ACCESS: Status.REMOTE_ACCESS,
    Syndrome.REMOTE_OPERATION: Status.REMOTE_OPERATION,
}
"""How a request ends that is refused by such a NAK."""


class Work:
    """One work request.

    Args:
        verb: what to do.
        memory: where the bytes are, or go to. For atomics 8 bytes: the value that was there before, big-endian as
            it came over the wire.
        address, rkey: the memory at the other end; not for SEND.
        immediate: 32 bits to go with a SEND or WRITE.
        swap: the value to put there or to add. compare: the value to find there first.

    Attributes:
        first, count: its packets, in sequence numbers that do not wrap; set when it is posted.
        done: packets of a READ that have come.
        status: None until it has ended.
        posted, ended: seconds on the queue pair's clock.
    """

    __slots__ = (
        *("address", "compare", "count", "done", "ended", "first", "immediate", "length", "memory", "posted"),
        *("rkey", "status", "swap", "verb"),
    )

    def __init__(
        self,
        verb: Verb,
        memory: memoryview,
        *,
        address: int = 0,
        rkey: int = 0,
        immediate: int | None = None,
        swap: int = 0,
        compare: int = 0,
    ) -> None:
        if verb in ATOMICS and len(memory) != 8:
            raise ValueError(f"{verb}: takes 8 bytes of memory, not {len(memory)}")
        if immediate is not None and verb not in {Verb.SEND, Verb.WRITE}:
            raise ValueError(f"{verb}: takes no immediate")
        self.verb = verb
        self.memory = memory
        self.length = len(memory)
        self.address = address
        self.rkey = rkey
        self.immediate = immediate
        self.swap = swap
        self.compare = compare
        self.first = 0
        self.count = 1
        self.done = 0
        self.status: Status | None = None
        self.posted = 0.0
        self.ended = 0.0

    @property
    def last(self) -> int:
        """The last of its packets."""
        return self.first + self.count - 1

    def __repr__(self) -> str:
        return f"Work({self.verb}, {self.length} bytes, {self.status or 'pending'})"


class Received:
    """What arrived by a SEND, or a WRITE with immediate, in a receive request.

    Attributes:
        memory: the whole of the receive request's. length: bytes of the message.
    """

    __slots__ = ("immediate", "length", "memory")

    def __init__(self, memory: memoryview, length: int, immediate: int | None) -> None:
        self.memory = memory
        self.length = length
        self.immediate = immediate
