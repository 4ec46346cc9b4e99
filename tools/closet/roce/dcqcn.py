"""DCQCN: how a sender slows down and recovers (Zhu et al., SIGCOMM 2015, sections 3.1 and 5.1; names are theirs).

The congestion point is a switch that marks; the notification point is the receiver, which answers a marked packet
with a CNP, one each `cnp_interval` and queue pair (see `qp`); this is the reaction point.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

CUTS = 4096
"""Cuts that are remembered."""


@dataclass(frozen=True, slots=True)
class Dcqcn:
    """The parameters; defaults are the paper's, of figure 14.

    Attributes:
        line_rate: where a flow begins and what it never exceeds, bit/s. minimum: what it never falls below, bit/s.
        g: the weight of a new observation in alpha.
        cnp_interval: N, seconds: at most one CNP in it. alpha_timer: K, seconds without a CNP after which alpha decays.
        timer: T, seconds, and byte_counter: B, bytes: each begins a new round of increase.
        fast_rounds: F: rounds of recovery before the target rises.
        additive: R_AI, bit/s; hyper: R_HAI, bit/s.
    """

    line_rate: float = 10e9
    minimum: float = 10e6
    g: float = 1 / 256
    cnp_interval: float = 50e-6
    alpha_timer: float = 55e-6
    timer: float = 55e-6
    byte_counter: int = 10_000_000
    fast_rounds: int = 5
    additive: float = 40e6
    hyper: float = 200e6

    def stretched(self, times: float) -> Dcqcn:
        """The same with all times so much longer: for a fabric whose round trips are that much longer.

        The paper's are for round trips of microseconds; here they take hundreds, and a host is awake in turns.
        """
        return replace(
            self,
            cnp_interval=self.cnp_interval * times,
            alpha_timer=self.alpha_timer * times,
            timer=self.timer * times,
        )


class ReactionPoint:
    """One flow's rate.

    Attributes:
        rate: R_C, bit/s. target: R_T, bit/s. alpha: the estimate of congestion, 0 to 1.
        cuts: the last ones: when, and the rate before and after.
    """

    __slots__ = ("_alpha_at", "_by_bytes", "_by_time", "_bytes", "_p", "_timer_at", "alpha", "cuts", "rate", "target")

    def __init__(self, parameters: Dcqcn) -> None:
        self._p = parameters
        self.rate = parameters.line_rate
        self.target = parameters.line_rate
        self.alpha = 1.0
        self.cuts: deque[tuple[float, float, float]] = deque(maxlen=CUTS)
        self._alpha_at = self._timer_at = float("inf")  # nothing runs before the first CNP
        self._bytes = self._by_bytes = self._by_time = 0

    def notified(self, now: float) -> None:
        """A CNP has come: cut the rate (equation 1) and begin to recover anew."""
        self.advance(now)
        p = self._p
        self.target = self.rate
        self.rate = max(p.minimum, self.rate * (1 - self.alpha / 2))
        self.cuts.append((now, self.target, self.rate))
        self.alpha = (1 - p.g) * self.alpha + p.g
        self._alpha_at = now + p.alpha_timer
        self._timer_at = now + p.timer
        self._bytes = self._by_bytes = self._by_time = 0

    def sent(self, length: int, now: float) -> float:
        """Count bytes that were sent; returns the rate, bit/s."""
        self.advance(now)
        if self.rate < self._p.line_rate:
            self._bytes += length
            while self._bytes >= self._p.byte_counter:
                self._bytes -= self._p.byte_counter
                self._by_bytes += 1
                self._increase()
        return self.rate

    def advance(self, now: float) -> None:
        """Let the timers run up to `now`, in the order they expire."""
        while min(self._alpha_at, self._timer_at) <= now:
            if self._alpha_at <= self._timer_at:
                self.alpha *= 1 - self._p.g  # equation 2
                self._alpha_at += self._p.alpha_timer
            else:
                self._timer_at += self._p.timer
                self._by_time += 1
                self._increase()
            if self.rate >= self._p.line_rate and self.alpha < 1e-6:
                self._alpha_at = self._timer_at = float("inf")

    def _increase(self) -> None:
        """One round: fast recovery, additive or hyper increase (equations 3 and 4, figure 7)."""
        p = self._p
        beyond = min(self._by_time, self._by_bytes) - p.fast_rounds
        if beyond > 0:
            self.target += beyond * p.hyper
        elif max(self._by_time, self._by_bytes) > p.fast_rounds:
            self.target += p.additive
        self.target = min(self.target, p.line_rate)
        self.rate = min((self.target + self.rate) / 2, p.line_rate)
