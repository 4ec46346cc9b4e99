"""Hostile packets, as many as fit into a second; `fuzz` sends as many as one likes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closet.roce import icrc
from closet.roce.wire import ICRC, Op

from .fuzz import Target, fuzz


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_raised_and_nothing_changes(seed):
    assert fuzz(2000, seed) > 400


@given(packet=st.binary(max_size=200), segment=st.integers(0, 300))
def test_any_bytes(packet, segment):
    target = Target(random.Random(1))
    before = bytes(target.memory), bytes(target.given), bytes(target.mine)
    for host in target.channel.hosts:
        host.inlet.take(memoryview(packet), segment, 0.0)
        host.inlet.flush(0.0)
    assert (bytes(target.memory), bytes(target.given), bytes(target.mine)) == before


def test_a_guard_that_changes_is_noticed():
    target = Target(random.Random(1))
    target.memory[8192] ^= 1
    with pytest.raises(AssertionError, match="between the regions"):
        target.check()


@pytest.mark.parametrize(
    "what", ["ICRC", "queue pair", "source", "destination", "port", "fragment", "partition", "version"]
)
def test_who_drops_it_and_why(what):
    target = Target(random.Random(1))
    inlet = target.channel.hosts[1].inlet
    good = next(p for p in target.channel.sent if p[28] == Op.WRITE_ONLY_IMM)
    p = bytearray(good)
    place = {
        "queue pair": 35,
        "source": 15,
        "destination": 19,
        "port": 23,
        "fragment": 6,
        "partition": 31,
        "version": 29,
    }
    if what == "ICRC":
        p[-1] ^= 1
    else:
        p[place[what]] ^= 0x21
    if what != "ICRC":
        p[-4:] = ICRC.pack(icrc.of_packet(bytes(p)))
    before, memory = inlet.drops.malformed + inlet.drops.icrc + inlet.drops.unknown, bytes(target.memory)
    inlet.take(memoryview(p), 0, 0.0)
    drops = inlet.drops
    assert drops.malformed + drops.icrc + drops.unknown == before + 1
    assert {"ICRC": drops.icrc, "queue pair": drops.unknown, "source": drops.unknown}.get(what, drops.malformed) == 1
    assert target.memory == memory
    assert not target.b.responder.replies.ready
