"""Who can talk to whom by ICMP, TCP and UDP: every pair tried, and the one that answers says who it is.

TCP and UDP go to the RoCEv2 port. An ICMP or UDP probe counts where it arrives, answered or not: a leak in one
direction is a leak. Each source's answers from those it may reach show that its silence elsewhere means something;
who may reach nobody must get an echo from its leaf.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from closet.errors import ProbeError
from closet.observe.path import last_hop
from closet.plan import Fabric
from closet.records import Outcome, Probe
from closet.runtime.node import LiveNode
from closet.traffic.ping import answered_by_leaf, reach
from closet.traffic.talk import Tcp, Udp

MOST_EXPLAINED = 20
"""Findings whose path is looked up: more say nothing new."""


def matrix(
    fabric: Fabric,
    nodes: Mapping[str, LiveNode],
    expected: Mapping[Probe, frozenset[str]],
    *,
    seconds: float = 3.0,
) -> dict[Probe, Outcome]:
    """Try every probe.

    Args:
        seconds: how long one that should be answered may take.

    Raises:
        ProbeError: an endpoint could not listen or send; or a source's silence proves nothing.
    """
    if not expected:  # no tenants: nobody to ask, nor anything to wait for
        return {}
    endpoints = list(dict.fromkeys(e for p in expected for e in (p.source, p.target)))
    index = {e: i for i, e in enumerate(endpoints)}

    def by(protocol: str, attempt: type[Udp] | type[Tcp]) -> dict[Probe, str]:
        probes = {(index[p.source], index[p.target]): p for p in expected if p.protocol == protocol}
        may = {k for k, p in probes.items() if "answered" in expected[p]}
        what = attempt(nodes, endpoints, seconds).run(may, probes.keys() - may)
        return {p: what.get(k, "silent") for k, p in probes.items()}

    # At once: most of the time of each is spent waiting for what must not come.
    with ThreadPoolExecutor(3) as pool:
        parts = [
            pool.submit(_icmp, fabric, nodes, expected),
            pool.submit(by, "UDP", Udp),
            pool.submit(by, "TCP", Tcp),
        ]
        found = {p: what for part in parts for p, what in part.result().items()}
    _control(fabric, nodes, expected, found)
    wrong = [p for p, what in found.items() if what not in expected[p]][:MOST_EXPLAINED]
    hops = {p: last_hop(fabric, nodes, p.source, p.target) for p in wrong}
    return {p: Outcome(what, hops.get(p, "")) for p, what in found.items()}


def _icmp(fabric: Fabric, nodes: Mapping[str, LiveNode], expected: Mapping[Probe, frozenset[str]]) -> dict[Probe, str]:
    probes = {(p.source, p.target): p for p in expected if p.protocol == "ICMP"}
    some, none = frozenset({1}), frozenset[int]()
    answers = reach(fabric, nodes, {pair: some if "answered" in expected[p] else none for pair, p in probes.items()})
    return {p: "silent" if answers[pair] is None else "answered" for pair, p in probes.items()}


def _control(
    fabric: Fabric, nodes: Mapping[str, LiveNode], expected: Mapping[Probe, frozenset[str]], found: Mapping[Probe, str]
) -> None:
    """Every source was heard, or it may reach nobody and its leaf answers it."""
    heard = {p.source for p, what in found.items() if what == "answered"}
    lonely = {p.source for p in expected} - {p.source for p, may in expected.items() if "answered" in may}
    mute = lonely - heard - answered_by_leaf(fabric, nodes, lonely - heard)
    if mute:
        raise ProbeError(
            f"{min(map(str, mute))}: may reach nobody, and its leaf does not answer it: silence says nothing"
        )
