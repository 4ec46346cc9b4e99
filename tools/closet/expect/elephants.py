"""How a few large flows may fall on equal-cost paths: an ideal hash puts each on any path with the same probability.

Few flows do not even out, however many packets each has: the busiest path decides. It is n balls in m bins, counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from math import exp, sqrt
from operator import mul

from closet.expect.overlay import expected_tables
from closet.expect.spread import even, ways_to
from closet.plan import DEFAULT_VRF, Fabric, Node
from closet.records import Endpoint, Fan


def expected_fans(fabric: Fabric, source: Endpoint, target: Endpoint) -> list[Fan]:
    """The equal-cost sets on the way from one endpoint to another, the nearest first, but those meant to be uneven.

    In a tenant the target is a NIC: to a VIP there may be ways by several VTEPs.
    """
    tables = expected_tables(fabric)
    host, vrf = fabric[source.host], fabric[source.host].vrf
    if vrf != DEFAULT_VRF and target.port is None:
        return []
    last = {p.peer for p in fabric[target.host].ports if target.port in (None, p.name)}
    fans = []
    before: list[Node] = []
    tier = {host.name: (source.port,) if source.port is not None else ways_to(fabric, tables, host, target)}
    seen = set(last)
    while tier:
        seen |= tier.keys()
        fans += [
            Fan(name, ports, vrf=vrf) for name, ports in tier.items() if len(ports) > 1 and even(fabric[name], before)
        ]
        before += [fabric[name] for name, ports in tier.items() if len(ports) > 1]
        peers = dict.fromkeys(fabric[name].port(port).peer for name, ports in tier.items() for port in ports)
        tier = {name: ways_to(fabric, tables, fabric[name], target) for name in peers if name not in seen}
    return fans


CERTAIN = 1 - 1e-12
"""Probability from which on there is nothing left to add."""


@dataclass(frozen=True, slots=True)
class Ideal:
    """What an ideal hash makes of n flows on m paths.

    Attributes:
        busiest: flows on the busiest path, on average; deviation: their standard deviation.
        empty: paths without any, on average.
        efficiency: average of mean load over largest load: what is left of the bandwidth if all flows want the same.
    """

    busiest: float
    deviation: float
    empty: float
    efficiency: float


@cache
def at_most(n: int, m: int, k: int) -> float:
    """The probability that no path has more than k of n flows on m paths; n up to 700.

    That of m independent Poisson numbers of mean n/m, none above k, to be n together, where they are n together.
    """
    if m * k < n:
        return 0.0
    if k >= n:
        return 1.0
    one = _poisson(n / m, k)
    some = one
    for bit in bin(m)[3:]:  # to the power of m, by squares
        some = _product(some, some, n)
        if bit == "1":
            some = _product(some, one, n)
    return min(1.0, some[n] / _poisson(n, n)[n])


def _poisson(mean: float, most: int) -> list[float]:
    """The probabilities of 0 to `most`."""
    return list(accumulate(range(1, most + 1), lambda chance, i: chance * mean / i, initial=exp(-mean)))


def _product(a: Sequence[float], b: Sequence[float], most: int) -> list[float]:
    """The probabilities of the sum of two numbers, to `most`."""
    back = b[::-1]
    last = len(back) - 1
    return [
        sum(map(mul, a[max(0, i - last) :], back[max(0, last - i) :])) for i in range(min(most, len(a) + last - 1) + 1)
    ]


@cache
def ideal(n: int, m: int) -> Ideal:
    """See `Ideal`; n up to 700."""
    chance = []
    before = 0.0
    for k in range(n + 1):
        below = at_most(n, m, k)
        chance.append(below - before)
        before = below
        if below > CERTAIN:
            break
    busiest = sum(k * p for k, p in enumerate(chance))
    spread = sum(k * k * p for k, p in enumerate(chance)) - busiest**2
    efficiency = sum(p * n / m / k for k, p in enumerate(chance) if k)
    return Ideal(busiest, sqrt(max(0.0, spread)), m * (1 - 1 / m) ** n, efficiency)
