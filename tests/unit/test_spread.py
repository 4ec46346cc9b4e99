"""Which flows are sent, and which equal-cost sets they must fill: those of the planned routes, and none else."""

from __future__ import annotations

from closet.expect import expected_spread
from closet.expect.elephants import expected_fans
from closet.intent import loads
from closet.plan import plan
from closet.records import Endpoint

TWO_TIERS = "name: pods\npods: 2\nspines: 2\nsuperspines: 2\nleaves: 2\nhosts: {per_leaf: 1}\n"
FLAT = "name: flat\nspines: 2\nleaves: 2\nhosts: {per_leaf: 2}\n"


def fans(text: str) -> dict[str, tuple[str, ...]]:
    return {fan.node: fan.ports for fan in expected_spread(plan(loads(text)))}


def test_of_hosts_that_do_not_meet_nothing_is_sent():
    assert fans("name: rails\nspines: 0\ngroups: 2\nrails: 2\nhosts: {per_group: 2}\n") == {
        f"g{group}-h{host}": ("eth1", "eth2") for group in (1, 2) for host in (1, 2)
    }


def test_a_host_is_judged_by_the_ways_it_has_to_another():
    """In a mesh of leaves a host whose leaf the other is on, too, is nearer by that one NIC than by its others."""
    mesh = """
name: mesh
wiring:
  leaves: [l1, l2, l3, l4]
  hosts: [a, b, c]
  links: [[l1, l2], [l1, l3], [l1, l4], [l2, l3], [l2, l4], [l3, l4],
          [a, l1], [a, l2], [b, l2], [b, l3], [c, l3], [c, l4]]
"""
    spread = expected_spread(plan(loads(mesh)))
    told = {
        fan.node: (fan.ports, [s.target.host for s in its.streams if s.source.host == fan.node])
        for fan, its in spread.items()
    }
    # a and b share l2, b and c share l3: what is left is a to c, and c to a
    assert told == {"a": (("eth1", "eth2"), ["c"]), "c": (("eth1", "eth2"), ["a"])}


def test_what_hashes_addresses_alone_is_not_claimed_to_spread():
    assert set(fans(FLAT)) == {"leaf1", "leaf2"}
    assert set(fans(FLAT + "nodes: {leaf1: {ecmp: {hash: l3}}}\n")) == {"leaf2"}
    assert fans(FLAT + "ecmp: {hash: l3}\n") == {}


def test_nor_is_a_tier_with_the_seed_of_the_one_before():
    every = set(fans(TWO_TIERS))
    assert {n for n in every if "spine" in n} == {f"p{pod}-spine{n}" for pod in (1, 2) for n in (1, 2)}
    assert set(fans(TWO_TIERS + "ecmp: {seed: 7}\n")) == {n for n in every if "leaf" in n}
    assert set(fans(TWO_TIERS + "nodes: {p1-leaf1: {ecmp: {hash: l3}}}\n")) == {
        n for n in every if "leaf" in n and n != "p1-leaf1"
    }


def test_the_way_of_queue_pairs_leaves_out_the_same():
    def on_the_way(more: str) -> list[str]:
        fabric = plan(loads(TWO_TIERS + more))
        a, b = fabric["p1-h1-1"], fabric["p2-h1-1"]
        source, target = (Endpoint(h.name, h.ports[0].rail, h.ports[0].name) for h in (a, b))
        return [fan.node for fan in expected_fans(fabric, source, target)]

    assert on_the_way("") == ["p1-leaf1", "p1-spine1", "p1-spine2", "superspine1", "superspine2"]
    assert on_the_way("ecmp: {seed: 7}\n") == ["p1-leaf1"]
    assert on_the_way("ecmp: {hash: l3}\n") == []
