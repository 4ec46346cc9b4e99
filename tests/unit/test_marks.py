"""Congestion points: their rules, what they count, and whose counters accuse them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from closet.check.marks import marking as judge
from closet.errors import ProbeError
from closet.intent import Intent
from closet.observe.marks import marks
from closet.plan import plan
from closet.records import Marks
from closet.traffic.marking import ruleset

FABRIC = plan(Intent(name="m", spines=1, leaves=2, hosts={"per_leaf": 1}))  # type: ignore[arg-type]


def node(said: str) -> Any:
    def run(*argv: str, vrf: str) -> SimpleNamespace:
        assert (argv[:2], vrf) == (("nft", "-j"), "default")
        return SimpleNamespace(stdout=said)

    return SimpleNamespace(name="leaf1", run=run, has_namespace=lambda _: False)


def test_every_port_has_its_queue():
    rules = ruleset(FABRIC, FABRIC["leaf1"], 400e6, 4e9, 65536, marks=True)
    assert rules.count("limit rate over 50000000 bytes/second burst 65536 bytes") == 1
    assert rules.count("limit rate over 500000000 bytes/second burst 65536 bytes") == 1
    assert rules.count("ip ecn set ce counter name marked") == 2
    off = ruleset(FABRIC, FABRIC["leaf1"], 400e6, 4e9, 65536, marks=False)
    assert "set ce" not in off
    assert off.count("counter name beyond") == 2


def test_what_is_counted():
    counters = {"beyond0": 0, "marked0": 0, "beyond1": 7, "marked1": 7}
    items = [{"metainfo": {}}, *({"counter": {"name": k, "packets": v}} for k, v in counters.items())]
    found = marks(node(json.dumps({"nftables": items})), FABRIC)
    assert found == {"eth1": Marks(0, 0), "eth2": Marks(7, 7)}
    with pytest.raises(ProbeError, match="leaf1: nft gave no JSON"):
        marks(node("Error: No such file"), FABRIC)


def test_who_is_named():
    healthy = {"leaf1": {"eth1": Marks(5, 5), "eth2": Marks(0, 0)}}
    assert list(judge(healthy)) == []
    (only,) = judge({**healthy, "leaf2": {"eth2": Marks(9, 0)}})
    assert str(only) == "leaf2  ECN on eth2  expected 9 packets marked, observed 0"
