"""Queue pairs through a channel that loses, delays and repeats: what arrives is what was sent, once and in order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closet.roce.dcqcn import Dcqcn
from closet.roce.limits import Limits
from closet.roce.wire import Op, word
from closet.roce.work import Status, Verb, Work

from .channel import LATENCY
from .rig import LIMITS, memory, rig


def lossy(seed: int, loss: float, late: float = 0.0, again: float = 0.0):
    rng = random.Random(seed)

    def fate(number: int, packet: bytes) -> tuple[float, ...]:
        if rng.random() < loss:
            return ()
        delay = LATENCY + (rng.random() * 5 * LATENCY if rng.random() < late else 0)
        return (delay, delay + 3 * LATENCY) if rng.random() < again else (delay,)

    return fate


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("size", [0, 1, 3, 255, 256, 257, 512, 1000, 5000, 8192])
@pytest.mark.parametrize("verb", [Verb.WRITE, Verb.READ, Verb.SEND])
@pytest.mark.parametrize("immediate", [None, 0xDEADBEEF])
def test_a_message_of_any_length(verb, size, immediate, merge):
    if verb is Verb.READ and immediate:
        return
    channel, a, b, whole, region = rig(merge=merge)
    mine, given_ = memory(size), bytearray(size + 7)
    b.post_receive(memoryview(given_))
    whole[256:-256] = there = memory(8192, 2)
    work = Work(verb, memoryview(mine), address=region.address, rkey=region.rkey, immediate=immediate)
    a.post(work, channel.now)
    assert channel.run(lambda: bool(a.ended))
    assert (work.status, list(a.ended)) == (Status.SUCCESS, [work])
    assert whole[:256] == whole[-256:] == b"\xee" * 256
    if verb is Verb.READ:
        assert mine == there[:size]
    elif verb is Verb.WRITE:
        assert whole[256 : 256 + size] == mine
        assert whole[256 + size : -256] == there[size:]
    got = [(r.length, r.immediate) for r in b.received]
    assert got == ([(size, immediate)] if verb is Verb.SEND or immediate is not None else [])
    assert given_[:size] == (mine if verb is Verb.SEND else bytes(size))
    assert a.counters.retransmitted == b.counters.duplicate_request == b.counters.out_of_seq_request == 0
    assert b.responder.msn == (max(1, -(-size // (8 * 256))) if verb is Verb.READ else 1)


def test_atomics():
    channel, a, _, whole, region = rig()
    before = bytearray(8)
    view = memoryview(before)
    for work, found in (
        (Work(Verb.FETCH_ADD, view, address=region.address, rkey=region.rkey, swap=5), 0xEEEEEEEEEEEEEEEE),
        (Work(Verb.FETCH_ADD, view, address=region.address, rkey=region.rkey, swap=2**64 - 1), None),
        (Work(Verb.COMPARE_SWAP, view, address=region.address, rkey=region.rkey, compare=1, swap=9), None),
    ):
        was = int.from_bytes(whole[256:264], "little")
        a.post(work, channel.now)
        assert channel.run(lambda w=work: w.status is not None)
        assert work.status is Status.SUCCESS
        assert int.from_bytes(before, "big") == was
        assert found in {None, was}
        now = int.from_bytes(whole[256:264], "little")
        if work.verb is Verb.FETCH_ADD:
            assert now == (was + work.swap) % 2**64
        else:
            assert now == was
    swap = Work(Verb.COMPARE_SWAP, view, address=region.address, rkey=region.rkey, compare=now, swap=9)
    a.post(swap, channel.now)
    assert channel.run(lambda: swap.status is not None)
    assert whole[256:264] == (9).to_bytes(8, "little")


actions = st.lists(
    st.tuples(st.sampled_from([*Verb]), st.integers(0, 3000), st.none() | st.integers(0, 2**32 - 1)), max_size=12
)


@given(
    actions=actions,
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0, 0.02, 0.2]),
    late=st.sampled_from([0, 0.1]),
    again=st.sampled_from([0, 0.1]),
    psn=st.sampled_from([(5, 6), (0xFFFFFE, 0xFFFFFF), (0x7FFFFF, 0)]),
    merge=st.booleans(),
)
def test_anything_over_a_bad_channel(actions, seed, loss, late, again, psn, merge):
    """Every request ends well and in order; memory is as if they had been done one by one."""
    channel, a, b, whole, region = rig(
        lossy(seed, loss, late, again),
        psn=psn,
        merge=merge,
        limits=Limits(timeout=8, window=32, ack_every=16, read_packets=4),
    )
    rng = random.Random(seed)
    model = bytearray(whole)
    works, checks, sends = [], [], []
    for verb, size, immediate in actions:
        if verb in {Verb.COMPARE_SWAP, Verb.FETCH_ADD}:
            at = 256 + rng.randrange(0, 1000) * 8
            was = int.from_bytes(model[at : at + 8], "little")
            compare, swap = rng.choice([was, 3]), rng.randrange(2**64)
            new = (was + swap) % 2**64 if verb is Verb.FETCH_ADD else swap if compare == was else was
            model[at : at + 8] = new.to_bytes(8, "little")
            mine = bytearray(8)
            works.append(
                Work(
                    verb,
                    memoryview(mine),
                    address=region.address + at - 256,
                    rkey=region.rkey,
                    swap=swap,
                    compare=compare,
                )
            )
            checks.append((mine, was.to_bytes(8, "big")))
            continue
        at = rng.randrange(256, 256 + 8192 - size + 1)
        mine = bytearray(rng.randbytes(size))
        where = {"address": region.address + at - 256, "rkey": region.rkey}
        if verb is Verb.READ:
            checks.append((mine, bytes(model[at : at + size])))
            works.append(Work(verb, memoryview(mine), **where))
            continue
        if verb is Verb.WRITE:
            model[at : at + size] = mine
        if verb is Verb.SEND or immediate is not None:
            given_ = bytearray(3000)
            b.post_receive(memoryview(given_))
            sends.append((size, immediate, bytes(mine) if verb is Verb.SEND else b"", given_))
        works.append(Work(verb, memoryview(mine), immediate=immediate, **where))
    for n, work in enumerate(works):
        if n and works[n - 1].verb is Verb.READ:  # what follows a READ needs a fence (IBTA table 76)
            assert channel.run(lambda n=n: len(a.ended) == n, 600), f"{a}\n{b}"
        a.post(work, channel.now)
    assert channel.run(lambda: len(a.ended) == len(works), 600), f"{a}\n{b}"
    assert [w.status for w in works] == [Status.SUCCESS] * len(works), works
    assert list(a.ended) == works
    assert whole == model
    for mine, expected in checks:
        assert mine == expected
    assert [(r.length, r.immediate) for r in b.received] == [(s, i) for s, i, _, _ in sends]
    for _, _, content, given_ in sends:
        assert given_[: len(content)] == content


def test_one_gap_one_nak_and_back_to_it():
    """IBTA 9.7.5.2.8: the NAK carries the expected PSN; the requester sends again from there, and nothing before it."""
    channel, a, b, whole, region = rig(lambda n, _: () if n == 7 else (LATENCY,))
    mine = memory(8192)
    work = Work(Verb.WRITE, memoryview(mine), address=region.address, rkey=region.rkey)
    a.post(work, 0.0)
    assert channel.run(lambda: work.status is not None)
    assert whole[256:-256] == mine
    assert (b.counters.out_of_seq_request, a.counters.rcvd_seq_err, a.counters.timeouts) == (1, 1, 0)
    assert a.counters.retransmitted == 32 - 7


def test_both_ways_at_once_with_loss():
    channel, a, b, _, _ = rig(lossy(3, 0.05))
    mine = {}
    for qp, host in ((a, 1), (b, 0)):
        there = bytearray(20000)
        region = channel.hosts[host].regions.register(there)
        data = memory(20000, host)
        mine[qp] = (data, there)
        qp.post(Work(Verb.WRITE, memoryview(data), address=region.address, rkey=region.rkey), 0.0)
    assert channel.run(lambda: bool(a.ended and b.ended))
    for data, there in mine.values():
        assert data == there


def test_the_state_says_where_it_stands():
    channel, a, b, _, region = rig(lambda *_: ())
    a.post(Work(Verb.WRITE, memoryview(bytearray(10)), address=region.address, rkey=region.rkey), 0.0)
    channel.run(lambda: False, 1e-6)
    assert repr(a) == (
        "QueuePair(17, QP 17 to QP 17 at 10.0.1.1: ready to send, 1 requests pending, next PSN 6, oldest "
        "unacknowledged 5, retries left 7; as responder ready, expects PSN 16777200, MSN 0, 0 receive requests posted)"
    )
    assert "expects PSN 5" in repr(b)


def test_a_slow_sender_does_not_time_out():
    """At a low rate it asks to be acknowledged more often than every so many packets."""
    slow = Dcqcn(line_rate=1e6)
    channel, a, b, whole, region = rig(limits=Limits(timeout=12, window=512, ack_every=256), dcqcn=slow)
    mine = memory(8192)
    a.post(Work(Verb.WRITE, memoryview(mine), address=region.address, rkey=region.rkey), 0.0)
    assert channel.run(lambda: bool(a.ended))
    assert whole[256:-256] == mine
    assert channel.now > 8192 * 8 / 1e6 > 3 * 4.096e-6 * 2**12
    assert a.counters.timeouts == b.counters.duplicate_request == 0


def test_an_answer_that_nobody_asked_for_yet_is_not_taken():
    """The middle of a READ, from whoever guesses its number, before the request has left: not a byte is written."""
    channel, a, _, _, region = rig()
    got = bytearray(8192)
    a.post(Work(Verb.READ, memoryview(got), address=region.address, rkey=region.rkey), channel.now)
    first = a.requester._wire(0)
    assert a.stream(word(Op.READ_MIDDLE, a.number), first) is None
    channel._transmit()  # as many as may be asked for at once
    room = a.stream(word(Op.READ_MIDDLE, a.number), first)
    assert room is not None
    assert len(room) == min(LIMITS.reads * LIMITS.read_packets, 8192 // 256 - 1) * 256
    assert got == bytes(8192)
