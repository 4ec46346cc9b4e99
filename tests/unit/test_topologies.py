"""The intents that come with closet."""

from __future__ import annotations

from pathlib import Path

import pytest

from closet.intent import load
from closet.plan import plan

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
SUMMARIES = {
    "guests": "2 spines, 2 leaves, 9 hosts, 16 links, 2 tenants",
    "hyperscale": "4 spines, 62 leaves, 434 hosts, 682 links",
    "p2p-31": "2 spines, 2 leaves, 4 hosts, 8 links",
    "quickstart": "2 spines, 2 leaves, 4 hosts, 8 links",
    "rail-optimised": "2 spines, 8 leaves, 4 hosts, 32 links",
    "roce": "2 spines, 4 leaves, 4 hosts, 16 links",
    "roce-tenants": "2 spines, 2 leaves, 4 hosts, 8 links, 2 tenants",
    "rails-only": "4 leaves, 3 hosts, 12 links",
    "tenants": "2 spines, 4 leaves, 24 hosts, 32 links, 4 tenants",
    "three-tier": "4 superspines, 4 spines, 4 leaves, 4 hosts, 24 links",
}


def test_all_of_them_are_known_here():
    assert {p.stem for p in TOPOLOGIES.glob("*.yaml")} == set(SUMMARIES)


@pytest.mark.parametrize("path", sorted(TOPOLOGIES.glob("*.yaml")), ids=lambda p: p.stem)
def test_a_shipped_intent_is_named_as_its_file_and_says_what_it_is_for(path):
    first, second, *_ = path.read_text().splitlines()
    assert first == "# yaml-language-server: $schema=../docs/intent.schema.json"
    assert second.startswith("# ")
    fabric = plan(load(path))
    assert fabric.name == path.stem
    assert fabric.summary() == SUMMARIES[path.stem]
