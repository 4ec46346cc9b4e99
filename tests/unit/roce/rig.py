"""Two connected hosts, and memory with guards around it."""

from __future__ import annotations

import random

from closet.roce.limits import Limits
from closet.roce.region import Access

from .channel import Channel

LIMITS = Limits(timeout=8, window=32, ack_every=16, read_packets=8)


def memory(size: int, seed: int = 1) -> bytearray:
    return bytearray(random.Random(seed).randbytes(size))


def rig(fate=None, size: int = 8192, access: Access = Access.ALL, **more):
    """Two connected hosts; the second has registered memory with guards around it."""
    channel = Channel(fate, more.pop("merge", False))
    more.setdefault("limits", LIMITS)
    a, b = channel.connect(**more)
    whole = bytearray(b"\xee" * (size + 512))
    region = channel.hosts[1].regions.register(memoryview(whole)[256:-256], access)
    return channel, a, b, whole, region
