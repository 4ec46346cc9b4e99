"""RDMA by verbs: every verb between hosts, on one rail and across, on one leaf and across; nothing is ever resent."""

from __future__ import annotations

import pytest

from closet.check import CHECKS
from closet.lab import Lab
from closet.records import Endpoint
from closet.suite import run_one
from closet.traffic.verbs import Nic, Verb, bandwidth, latency, rping


def nics(lab: Lab) -> list[Nic]:
    """Every NIC with a device of the kernel's."""
    hosts = [h for h in lab.fabric.hosts if lab[h.name].rdma in {"microvm", "soft-roce"}]
    return [Nic(lab[h.name], Endpoint(h.name, p.rail, p.name)) for h in hosts for p in h.ports if p.rail]


@pytest.fixture(scope="module")
def pairs(lab: Lab) -> list[tuple[Nic, Nic]]:
    """From the first NIC of every host to one of every other, the same and another rail in turn."""
    there = nics(lab)
    if len({n.endpoint.host for n in there}) < 2:
        pytest.skip("no two hosts of this fabric speak RDMA by verbs: `hosts: {rdma: verbs}` asks for it")
    of_host: dict[str, list[Nic]] = {}
    for nic in there:
        of_host.setdefault(nic.endpoint.host, []).append(nic)
    found = []
    for i, (a, mine) in enumerate(of_host.items()):
        for j, (b, theirs) in enumerate(of_host.items()):
            if a != b:
                found.append((mine[0], theirs[(i + j) % len(theirs)]))
    return found


@pytest.mark.parametrize("verb", list(Verb))
def test_every_pair(lab: Lab, pairs: list[tuple[Nic, Nic]], verb: Verb) -> None:
    for a, b in pairs:
        got = bandwidth(lab.fabric, a, b, verb, size=4096, messages=50)
        assert (got.messages, got.size) == (50, 4096)
        assert got.goodput > 0


@pytest.mark.parametrize("verb", list(Verb))
def test_latency(lab: Lab, pairs: list[tuple[Nic, Nic]], verb: Verb) -> None:
    a, b = pairs[-1]
    got = latency(lab.fabric, a, b, verb, messages=100)
    assert 0 < got.least <= got.typical <= got.p99


def test_several_queue_pairs(lab: Lab, pairs: list[tuple[Nic, Nic]]) -> None:
    a, b = pairs[0]
    assert bandwidth(lab.fabric, a, b, Verb.WRITE, messages=20, qps=4).messages == 80


def test_the_connection_manager(pairs: list[tuple[Nic, Nic]]) -> None:
    for a, b in (pairs[0], pairs[-1]):
        rping(a, b)


def test_nothing_was_sent_again(lab: Lab, pairs: list[tuple[Nic, Nic]]) -> None:
    """After all of the above."""
    result = run_one(lab.fabric, lab.nodes, CHECKS["verbs"])
    assert not result.error
    assert [str(f) for f in result.findings] == []
    assert result.claims > 0
