"""Memory that the other end may reach, and the only way to reach it (IBTA 10.6, 9.4.5)."""

from __future__ import annotations

import secrets
from enum import IntFlag

PAGE = 4096


class Access(IntFlag):
    """What the other end may do to a region."""

    NONE = 0
    WRITE = 1
    READ = 2
    ATOMIC = 4
    ALL = 7


class Region:
    """A registered piece of memory.

    Attributes:
        rkey: 32 bits, by which the other end names it.
        address: where it begins, in the other end's terms. length: bytes.
        view: the memory itself.
    """

    __slots__ = ("access", "address", "length", "rkey", "view")

    def __init__(self, rkey: int, address: int, view: memoryview, access: Access) -> None:
        self.rkey = rkey
        self.address = address
        self.view = view
        self.length = len(view)
        self.access = access

    def __repr__(self) -> str:
        return f"Region({self.address:#x}+{self.length}, {self.access!r})"  # an rkey is a secret


class Regions:
    """A protection domain: the regions the queue pairs of an endpoint give access to."""

    def __init__(self) -> None:
        self._regions: dict[int, Region] = {}
        self._next = 1 << 32

    def register(self, memory: bytearray | memoryview, access: Access = Access.ALL) -> Region:
        """Let the other end reach this memory; regions are a page or more apart, so that no overrun hits another.

        Raises:
            ValueError: it is read-only, or no plain bytes.
        """
        view = memoryview(memory)
        if view.readonly or view.format != "B" or view.ndim != 1 or not view.contiguous:
            raise ValueError("a region needs plain, writable bytes")
        rkey = secrets.randbits(32)
        while rkey in self._regions:
            rkey = secrets.randbits(32)
        region = self._regions[rkey] = Region(rkey, self._next, view, access)
        self._next += (len(view) // PAGE + 2) * PAGE
        return region

    def reach(self, rkey: int, address: int, length: int, right: Access) -> memoryview | None:
        """The memory a request may touch, or None if the key, a bound or a right says no.

        A request of no bytes touches none and needs no key (IBTA C9-88).
        """
        if length == 0:
            return memoryview(bytearray())
        region = self._regions.get(rkey)
        if region is None or not region.access & right:
            return None
        at = address - region.address
        if at < 0 or at + length > region.length:
            return None
        return region.view[at : at + length]
