"""How queue pairs fall on equal-cost paths: what an ideal hash would do, the verdict, and the report."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import pytest

from closet.check.elephants import elephants, loads
from closet.expect.elephants import at_most, expected_fans, ideal
from closet.records import Endpoint, Load
from closet.report import loads as report

from .journey import MTU, Journey, fabric_of, nic


@pytest.fixture
def underlay() -> Journey:
    return Journey(fabric_of("quickstart"), "h1-1", "h2-1")


@pytest.mark.parametrize(
    ("n", "m", "busiest", "empty", "efficiency"),
    [
        (4, 4, 2.12, 1.27, 0.513),
        (8, 4, 3.54, 0.40, 0.592),
        (16, 4, 6.14, 0.04, 0.671),
        (8, 8, 2.60, 2.75, 0.410),
        (64, 8, 12.2, 0.002, 0.664),
        (2, 2, 1.51, 0.5, 0.747),
        (16, 2, 9.57, 0.0, 0.849),
        (16, 16, 3.08, 5.70, 0.344),
    ],
)
def test_the_ideal_hash_is_what_others_simulated(
    n: int, m: int, busiest: float, empty: float, efficiency: float
) -> None:
    got = ideal(n, m)
    assert got.busiest == pytest.approx(busiest, abs=0.05)
    assert got.empty == pytest.approx(empty, abs=0.01)
    assert got.efficiency == pytest.approx(efficiency, abs=0.005)


def test_no_collision_is_as_likely_as_counting_says() -> None:
    assert at_most(4, 4, 1) == pytest.approx(24 / 256)
    assert at_most(8, 8, 1) == pytest.approx(0.0024, abs=1e-4)
    assert at_most(5, 1, 5) == 1
    assert at_most(512, 2, 270) == pytest.approx(sum(comb(512, i) for i in range(242, 271)) / 2**512, rel=1e-12)
    assert at_most(5, 1, 4) == 0


def test_loads_and_their_verdict(underlay: Journey) -> None:
    fans = expected_fans(underlay.fabric, underlay.source, underlay.target)
    assert [(f.node, len(f.ports)) for f in fans] == [("leaf1", 2)]
    carried = loads(underlay.fabric, fans, underlay.watched())
    ((one, other),) = carried.values()
    assert (one.qps, one.packets, other.qps) == (2, 6, 2)
    assert one.size == 2 * (3 * (14 + 28 + 16) + 16 + 2 * MTU + 8)
    assert list(elephants(fans, carried)) == []


def test_a_layer_3_hash_is_found() -> None:
    fabric = fabric_of("quickstart")
    (fan,) = expected_fans(fabric, nic(fabric, "h1-1"), nic(fabric, "h2-1"))
    for n, found in ((20, 0), (21, 1), (64, 1)):
        its = [Load("leaf1", fan.ports[0], "spine1", n, n, n), Load("leaf1", fan.ports[1], "spine2", 0, 0, 0)]
        assert len(list(elephants([fan], {fan: its}))) == found
    assert list(elephants([fan], {fan: [replace(its[0], qps=0), its[1]]})) == []


def test_fans_in_other_fabrics() -> None:
    fabric = fabric_of("three-tier")
    far = fabric.hosts[-1].name
    vip = Endpoint("p1-h1-1", fabric["p1-h1-1"].loopback) if "p1-h1-1" in fabric.nodes else None
    fans = expected_fans(fabric, nic(fabric, fabric.hosts[0].name), nic(fabric, far))
    assert {fabric[f.node].role for f in fans} == {"leaf", "spine"}
    source = vip or Endpoint(fabric.hosts[0].name, fabric.hosts[0].loopback)
    assert expected_fans(fabric, source, nic(fabric, far))[0].node == source.host
    tenants = fabric_of("tenants")
    (fan,) = expected_fans(tenants, nic(tenants, "h1-1"), nic(tenants, "h2-1"))
    assert (fan.node, fan.vrf, len(fan.ports)) == ("leaf1", "red", 2)


def test_the_report_of_loads(underlay: Journey) -> None:
    import xml.etree.ElementTree as ET

    fans = expected_fans(underlay.fabric, underlay.source, underlay.target)
    carried = loads(underlay.fabric, fans, underlay.watched())
    shown = list(report.rows(carried))
    assert [row[:4] for row in shown] == [("leaf1", "eth1", "spine1", 2), ("leaf1", "eth2", "spine2", 2)]
    assert all(row[6] == "50%" and len(str(row[7])) == 15 for row in shown)
    (fact,) = report.facts(carried)
    assert fact.startswith("leaf1: 4 QPs over 2 paths: 2 on the busiest (an ideal hash: 2.75 ± 0.66)")
    assert ET.fromstring(report.svg("a <b>", carried)).tag.endswith("svg")
    assert report.bar(0.0) == ""
    assert report.bar(1.0) == "█" * 30
