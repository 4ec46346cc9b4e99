"""Intents in, files out, byte for byte: what a change of the renderer does to real nodes.

`pytest tests/unit/test_golden.py --regenerate-golden` writes the files anew; the diff is then the review.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from closet.intent import load
from closet.plan import plan
from closet.render import render_node

ROOT = Path(__file__).parents[2]
NODES = {
    "guests": ["leaf1", "h1-1-blue", "h1-3"],
    "quickstart": ["spine1", "leaf1", "h1-1"],
    "p2p-31": ["leaf1"],
    "rails-only": ["g1-leaf1", "g1-h1"],
    "tenants": ["spine1", "leaf4", "h1-1"],
    "three-tier": ["superspine1", "p1-spine1", "p1-leaf1", "p1-h1-1"],
}


@pytest.mark.parametrize(("name", "node"), [(name, node) for name, nodes in NODES.items() for node in nodes])
def test_a_node_renders_as_it_did(golden, name, node):
    fabric = plan(load(ROOT / "topologies" / f"{name}.yaml"))
    golden(f"{name}/{node}", render_node(fabric, fabric[node]))


def test_no_golden_file_is_left_that_nothing_compares():
    there = {str(p.parent.relative_to(ROOT / "tests/unit/golden")) for p in ROOT.glob("tests/unit/golden/*/*/*")}
    assert there == {f"{name}/{node}" for name, nodes in NODES.items() for node in nodes}
