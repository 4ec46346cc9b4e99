"""Claims about the data plane, judged by packets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import log, sqrt

from closet.check.registry import probe_check
from closet.expect import expected_knocks, expected_spread, planned_hops
from closet.records import Fan, Finding, Knock, Pair, Round
from closet.traffic.flows import spread as send_flows
from closet.traffic.knock import knock as knock_at
from closet.traffic.ping import reach as ping

FALSE_ALARM = 1e-6
"""Probability that a perfect hash is called uneven."""


@probe_check(
    "every host pair that should meet does, at full MTU with DF, over the right number of routers, and no other"
    " (of more than 50,000 pairs a sample that has every leaf and reason)",
    observe=ping,
    expect=planned_hops,
    shares=True,
)
def reach(expected: Mapping[Pair, frozenset[int]], observed: dict[Pair, int | None]) -> Iterator[Finding]:
    """A pair that does not meet, meets by a longer way, or meets though it must not."""
    sources = {a for (a, _), hops in observed.items() if hops is not None}
    for pair, want in expected.items():
        source, target = pair
        got = observed.get(pair)
        subject = f"reach {target} {target.address}"
        if got is not None and got not in want:
            yield Finding(str(source), subject, _hops(want), f"an answer over {got} switches")
        elif got is None and want:
            yield Finding(str(source), subject, _hops(want), "no answer")
        elif not want and source not in sources:
            yield Finding(str(source), subject, "silence from a source that is heard elsewhere", "no answer at all")


def _hops(want: frozenset[int]) -> str:
    return f"an answer over {' or '.join(map(str, sorted(want)))} switches" if want else "no answer"


@probe_check("flows spread over all equal-cost paths, at every tier", observe=send_flows, expect=expected_spread)
def spread(expected: dict[Fan, Round], observed: dict[Fan, dict[str, int]]) -> Iterator[Finding]:
    """An equal-cost set used unevenly, or not at all.

    The bound: with n flows over m ports, the share of a port is further from 1/m than
    sqrt(ln(2m/p) / 2n) with a probability of at most p (Hoeffding 1963, over all ports).
    """
    for fan in expected:
        counts = observed[fan]
        subject = "ECMP" if fan.vrf == "default" else f"ECMP {fan.vrf}"
        n, m = sum(counts.values()), len(counts)
        told = " ".join(f"{port}:{count}" for port, count in counts.items())
        if n < 64 * m or (fan.flows is not None and n < 0.99 * fan.flows):
            yield Finding(fan.node, subject, f"{fan.flows or 64 * m} flows over {m} ports", f"{n}: {told}")
            continue
        bound = sqrt(log(2 * m / FALSE_ALARM) / (2 * n))
        low, high = (1 / m - bound) * n, (1 / m + bound) * n
        if any(not low <= count <= high or count == 0 for count in counts.values()):
            yield Finding(fan.node, subject, f"{max(low, 0):.0f} to {high:.0f} of {n} flows on each of {m} ports", told)


@probe_check("no switch answers a host on its control plane", observe=knock_at, expect=expected_knocks, shares=True)
def doors(expected: dict[Knock, str], observed: dict[Knock, str]) -> Iterator[Finding]:
    """A port of a switch that answers a host, or a probe whose control failed."""
    for k, want in expected.items():
        if observed[k] != want:
            yield Finding(k.switch, str(k), want, observed[k])
