"""Requests that cannot be done: each ends with the status IBTA has for it, and touches nothing."""

from __future__ import annotations

import pytest

from closet.roce.limits import Limits
from closet.roce.region import Access
from closet.roce.work import Status, Verb, Work

from .rig import memory, rig


def test_silence_ends_after_the_retries():
    channel, a, _, _, region = rig(lambda *_: ())
    works = [Work(Verb.WRITE, memoryview(bytearray(10)), address=region.address, rkey=region.rkey) for _ in range(3)]
    for work in works:
        a.post(work, 0.0)
    assert channel.run(lambda: len(a.ended) == 3)
    assert [w.status for w in works] == [Status.RETRY_EXCEEDED, Status.FLUSHED, Status.FLUSHED]
    assert channel.now == pytest.approx(8 * 4.096e-6 * 256)
    assert a.counters.timeouts == 8
    late = Work(Verb.WRITE, memoryview(bytearray(1)))
    a.post(late, channel.now)
    assert late.status is Status.FLUSHED


def test_not_ready_is_waited_for():
    channel, a, b, _, _ = rig(rnr_timer=14)
    work = Work(Verb.SEND, memoryview(memory(1000)))
    a.post(work, 0.0)
    assert not channel.run(lambda: bool(a.ended), 0.01)
    assert a.counters.rcvd_rnr_err == b.counters.send_rnr_err >= 7
    given_ = bytearray(1000)
    b.post_receive(memoryview(given_))
    assert channel.run(lambda: work.status is Status.SUCCESS, 0.01)
    assert given_ == memory(1000)


def test_not_ready_for_ever_is_an_error():
    channel, a, _, _, _ = rig(limits=Limits(rnr_retries=3), rnr_timer=14)
    work = Work(Verb.SEND, memoryview(bytearray(1000)))
    a.post(work, 0.0)
    assert channel.run(lambda: bool(a.ended))
    assert work.status is Status.RNR_EXCEEDED
    assert a.counters.rcvd_rnr_err == 4


READ, WRITE, ATOMIC = Access.READ, Access.WRITE, Access.ATOMIC


@pytest.mark.parametrize(
    ("verb", "size", "access", "at", "key"),
    [
        (Verb.WRITE, 100, Access.ALL, 8093, 0),
        (Verb.WRITE, 100, Access.ALL, -1, 0),
        (Verb.WRITE, 8193, Access.ALL, 0, 0),
        (Verb.WRITE, 100, Access.ALL, 0, 1),
        (Verb.WRITE, 1, READ | ATOMIC, 0, 0),
        (Verb.READ, 100, Access.ALL, 8093, 0),
        (Verb.READ, 5000, Access.ALL, 5000, 0),
        (Verb.READ, 1, WRITE | ATOMIC, 0, 0),
        (Verb.READ, 1, Access.ALL, 0, 1),
        (Verb.FETCH_ADD, 8, READ | WRITE, 0, 0),
        (Verb.COMPARE_SWAP, 8, Access.ALL, 8192, 0),
        (Verb.COMPARE_SWAP, 8, Access.NONE, 0, 0),
    ],
)
def test_what_is_not_allowed_is_refused_and_touches_nothing(verb, size, access, at, key):
    channel, a, b, whole, region = rig(access=access)
    work = Work(
        verb, memoryview(bytearray(size)), address=region.address + at, rkey=region.rkey ^ key, swap=1, compare=0
    )
    after = Work(Verb.SEND, memoryview(bytearray(1)))
    a.post(work, 0.0)
    a.post(after, 0.0)
    assert channel.run(lambda: len(a.ended) == 2)
    assert (work.status, after.status) == (Status.REMOTE_ACCESS, Status.FLUSHED)
    assert whole == b"\xee" * len(whole)
    assert b.counters.naks == 1
    assert b.responder.failed


def test_a_misaligned_atomic_is_invalid():
    channel, a, _, whole, region = rig()
    work = Work(Verb.FETCH_ADD, memoryview(bytearray(8)), address=region.address + 4, rkey=region.rkey, swap=1)
    a.post(work, 0.0)
    assert channel.run(lambda: bool(a.ended))
    assert work.status is Status.INVALID_REQUEST
    assert whole == b"\xee" * len(whole)


def test_a_message_too_long_for_what_was_posted_is_invalid():
    channel, a, b, _, _ = rig()
    small = bytearray(300)
    b.post_receive(memoryview(small))
    work = Work(Verb.SEND, memoryview(memory(1000)))
    a.post(work, 0.0)
    assert channel.run(lambda: bool(a.ended))
    assert work.status is Status.INVALID_REQUEST
