"""The reaction point against the paper's equations, worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closet.roce.dcqcn import Dcqcn, ReactionPoint
from closet.roce.limits import Limits
from closet.roce.work import Verb, Work

from .channel import Channel

P = Dcqcn(line_rate=40e9, minimum=10e6)


def test_it_begins_at_line_rate_and_stays_there():
    rp = ReactionPoint(P)
    rp.advance(10.0)
    assert rp.sent(10**9, 11.0) == 40e9
    assert rp.alpha == 1


def test_a_cnp_cuts():
    """Equation 1: R_T = R_C, R_C = R_C (1 - alpha/2), alpha = (1 - g) alpha + g."""
    rp = ReactionPoint(P)
    rp.notified(0.0)
    assert (rp.target, rp.rate, rp.alpha) == (40e9, 20e9, 1.0)
    rp.notified(50e-6)
    assert (rp.target, rp.rate) == (20e9, 10e9)


def test_alpha_decays_without_cnps():
    """Equation 2: every K without a CNP, alpha = (1 - g) alpha."""
    rp = ReactionPoint(P)
    rp.notified(0.0)
    rp.advance(100 * 55e-6 + 1e-9)
    assert rp.alpha == pytest.approx((1 - P.g) ** 100)
    before = rp.rate
    rp.notified(100 * 55e-6 + 1e-6)
    assert rp.rate == pytest.approx(before * (1 - (1 - P.g) ** 100 / 2))


def test_five_rounds_of_fast_recovery_then_additive():
    """Equations 3 and 4, by the timer alone."""
    rp = ReactionPoint(Dcqcn(line_rate=40e9, minimum=10e6, timer=300e-6, alpha_timer=1.0))
    rp.notified(0.0)
    rp.notified(0.0)
    rates = []
    for n in range(1, 8):
        rp.advance(n * 300e-6 + 1e-9)
        rates.append((rp.target, rp.rate))
    gap = 10e9
    for n in range(5):
        assert rates[n] == (20e9, pytest.approx(20e9 - gap / 2 ** (n + 1)))
    assert rates[5][0] == 20e9 + 40e6
    assert rates[6][0] == 20e9 + 80e6
    assert rates[6][1] == pytest.approx((rates[6][0] + rates[5][1]) / 2)


def test_both_counters_beyond_is_hyper_increase():
    rp = ReactionPoint(Dcqcn(line_rate=40e9, byte_counter=1000, timer=1e-3, alpha_timer=1.0))
    rp.notified(0.0)
    rp.notified(0.0)
    rp.advance(6e-3 + 1e-9)
    assert rp.target == pytest.approx(20e9 + 40e6)
    rp.sent(5000, 6e-3 + 2e-9)
    additive = rp.target
    assert additive == pytest.approx(20e9 + 6 * 40e6)
    rp.sent(1000, 6e-3 + 3e-9)
    assert rp.target - additive == pytest.approx(200e6)


@given(st.lists(st.tuples(st.floats(0, 1e-3), st.booleans(), st.integers(0, 10**7)), max_size=60))
def test_it_keeps_within_its_bounds(events):
    rp = ReactionPoint(P)
    now = 0.0
    for after, cnp, length in events:
        now += after
        if cnp:
            rp.notified(now)
        rp.sent(length, now)
        assert P.minimum <= rp.rate <= rp.target <= P.line_rate
        assert 0 < rp.alpha <= 1


def test_it_recovers_in_the_end():
    rp = ReactionPoint(P)
    for n in range(100):
        rp.notified(n * 50e-6)
    assert rp.rate < 1e9
    rp.advance(1.0)
    assert rp.rate == pytest.approx(40e9)


def test_marks_make_cnps_one_an_interval_and_the_sender_slows():
    """The whole loop: a switch marks everything between two instants; CNPs come back; the rate falls, then rises."""
    marking = [0.001, 0.002]
    line = 1e9

    channel = Channel()
    a, b = channel.connect(mtu=1024, limits=Limits(window=64, ack_every=16), dcqcn=Dcqcn(line_rate=line))
    arrive = channel._arrive

    def switch(host, packet, segment):
        if packet[1] & 3 == 2 and marking[0] <= channel.now < marking[1]:
            packet = packet[:1] + bytes([packet[1] | 3]) + packet[2:]
        channel.keep = packet[28] == 0x81
        arrive(host, packet, segment)

    channel._arrive = switch
    there = bytearray(1 << 20)
    region = channel.hosts[1].regions.register(there)
    a.post(Work(Verb.WRITE, memoryview(bytes(1 << 20)), address=region.address, rkey=region.rkey), 0.0)
    rates = []

    def watch() -> bool:
        if a.reaction is not None and (not rates or channel.now - rates[-1][0] > 1e-4):
            rates.append((channel.now, a.reaction.rate))
        return bool(a.ended)

    assert channel.run(watch)
    assert a.counters.cnps_handled == b.counters.cnps_sent == len(channel.sent)
    assert 10 <= b.counters.cnps_sent <= 20  # a millisecond of marks, at most one CNP in 50 µs
    assert b.counters.ce_marked > b.counters.cnps_sent
    assert all(r == line for t, r in rates if t < marking[0])
    assert min(r for _, r in rates) < line / 20
    assert rates[-1][1] > 10 * min(r for _, r in rates)
    assert channel.now > 8 * 2**20 / line + 1e-3  # at line rate, and what was lost
    assert {p[1] for p in channel.sent} == {48 << 2}


def test_a_mark_within_the_interval_is_told_at_its_end():
    channel = Channel()
    a, b = channel.connect(dcqcn=P)
    every = b.notify_every

    def cnps(now: float) -> int:
        while b.wants_to_send(now) <= now:
            b.transmit(channel.hosts[1].out, now)
        return b.counters.cnps_sent

    b.marked(1, 1.0)
    assert (cnps(1.0), b.wants_to_send(1.0)) == (1, float("inf"))
    b.marked(1, 1.0 + 0.4 * every)
    b.marked(1, 1.0 + 0.6 * every)
    assert (cnps(1.0 + 0.9 * every), b.wants_to_send(1.0 + 0.9 * every)) == (1, 1.0 + every)
    assert (cnps(1.0 + every), b.wants_to_send(1.0 + every)) == (2, float("inf"))
    assert (cnps(2.0), a.counters.cnps_sent, b.counters.ce_marked) == (2, 0, 3)
    b.marked(1, 2.0)
    assert cnps(2.0) == 3
