"""The routes of small fabrics, written out by hand, with every link up and with some down."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from closet.expect import expected_fibs, expected_hops, expected_sessions
from closet.expect.reach import Walk
from closet.intent import loads
from closet.plan import plan

QUICKSTART = "name: quickstart\nspines: 2\nleaves: 2\nhosts: {per_leaf: 2}\n"
DUAL_HOMED = "name: dual\nspines: 1\nleaves: 2\nhosts: {per_pair: 2}\n"
RAILS_ONLY = "name: rails\nspines: 0\nrails: 2\nhosts: {per_group: 2}\n"
RAILS = "name: rails\nspines: 1\nrails: 2\nhosts: {per_group: 1}\n"
AGGREGATES = "name: told\nspines: 1\nleaves: 2\nhosts: {per_leaf: 1, routes: aggregates}\n"

SPINE1, SPINE2, LEAF1, LEAF2 = (f"10.255.0.{n}/32" for n in (1, 2, 3, 4))
BLOCK1, BLOCK2, ANY = "10.0.0.0/24", "10.0.1.0/24", "0.0.0.0/0"

TABLES = {
    "quickstart": (
        QUICKSTART,
        [],
        {
            "spine1": {LEAF1: "eth1", LEAF2: "eth2", BLOCK1: "eth1", BLOCK2: "eth2"},
            "leaf1": {
                ANY: "eth1 eth2",
                SPINE1: "eth1",
                SPINE2: "eth2",
                LEAF2: "eth1 eth2",
                BLOCK1: "",
                BLOCK2: "eth1 eth2",
                "10.0.0.1/32": "eth3",
                "10.0.0.129/32": "eth3",
                "10.0.0.2/32": "eth4",
                "10.0.0.130/32": "eth4",
            },
            "h1-1": {ANY: "eth1"},
        },
    ),
    "quickstart, spine1 to leaf1 down": (
        QUICKSTART,
        ["spine1 leaf1"],
        {
            "spine1": {LEAF2: "eth2", BLOCK2: "eth2"},
            "spine2": {LEAF1: "eth1", LEAF2: "eth2", BLOCK1: "eth1", BLOCK2: "eth2"},
            "leaf1": {
                ANY: "eth2",
                SPINE2: "eth2",
                LEAF2: "eth2",
                BLOCK1: "",
                BLOCK2: "eth2",
                "10.0.0.1/32": "eth3",
                "10.0.0.129/32": "eth3",
                "10.0.0.2/32": "eth4",
                "10.0.0.130/32": "eth4",
            },
            "leaf2": {
                ANY: "eth1 eth2",
                SPINE1: "eth1",
                SPINE2: "eth2",
                LEAF1: "eth2",
                BLOCK1: "eth2",
                BLOCK2: "",
                "10.0.1.1/32": "eth3",
                "10.0.1.129/32": "eth3",
                "10.0.1.2/32": "eth4",
                "10.0.1.130/32": "eth4",
            },
            "h1-1": {ANY: "eth1"},
        },
    ),
    "quickstart, leaf1 cut off": (
        QUICKSTART,
        ["spine1 leaf1", "spine2 leaf1"],
        {
            "spine1": {LEAF2: "eth2", BLOCK2: "eth2"},
            "leaf1": {
                BLOCK1: "",
                "10.0.0.1/32": "eth3",
                "10.0.0.129/32": "eth3",
                "10.0.0.2/32": "eth4",
                "10.0.0.130/32": "eth4",
            },
            "h1-1": {},
            "h2-1": {ANY: "eth1"},
        },
    ),
    "quickstart, leaf1 without hosts": (
        QUICKSTART,
        ["leaf1 h1-1", "leaf1 h1-2"],
        {
            "spine1": {LEAF1: "eth1", LEAF2: "eth2", BLOCK2: "eth2"},
            "leaf1": {ANY: "eth1 eth2", SPINE1: "eth1", SPINE2: "eth2", LEAF2: "eth1 eth2", BLOCK2: "eth1 eth2"},
            "h1-1": {},
        },
    ),
    "dual-homed": (
        DUAL_HOMED,
        [],
        {
            "spine1": {
                "10.255.0.2/32": "eth1",
                "10.255.0.3/32": "eth2",
                BLOCK1: "eth1",
                BLOCK2: "eth2",
                "10.192.0.1/32": "eth1 eth2",
                "10.192.0.2/32": "eth1 eth2",
            },
            "leaf1": {
                ANY: "eth1",
                "10.255.0.1/32": "eth1",
                "10.255.0.3/32": "eth1",
                BLOCK1: "",
                BLOCK2: "eth1",
                "10.192.0.1/32": "eth2",
                "10.192.0.2/32": "eth3",
                "10.0.0.129/32": "eth2",
                "10.0.0.130/32": "eth3",
            },
            "h1-1": {ANY: "eth1 eth2"},
        },
    ),
    "dual-homed, leaf1 to h1-1 down": (
        DUAL_HOMED,
        ["leaf1 h1-1"],
        {
            "spine1": {
                "10.255.0.2/32": "eth1",
                "10.255.0.3/32": "eth2",
                BLOCK1: "eth1",
                BLOCK2: "eth2",
                "10.192.0.1/32": "eth2",
                "10.192.0.2/32": "eth1 eth2",
            },
            "leaf1": {
                ANY: "eth1",
                "10.255.0.1/32": "eth1",
                "10.255.0.3/32": "eth1",
                BLOCK1: "",
                BLOCK2: "eth1",
                "10.192.0.1/32": "eth1",
                "10.192.0.2/32": "eth3",
                "10.0.0.130/32": "eth3",
            },
            "h1-1": {ANY: "eth2"},
            "h1-2": {ANY: "eth1 eth2"},
        },
    ),
    "rails": (
        RAILS,
        [],
        {
            "spine1": {
                "10.255.0.2/32": "eth1",
                "10.255.0.3/32": "eth2",
                BLOCK1: "eth1",
                BLOCK2: "eth2",
                "10.192.0.1/32": "eth1 eth2",
            },
            "g1-leaf2": {
                ANY: "eth1",
                "10.255.0.1/32": "eth1",
                "10.255.0.2/32": "eth1",
                BLOCK1: "eth1",
                BLOCK2: "",
                "10.192.0.1/32": "eth2",
                "10.0.1.129/32": "eth2",
            },
            "g1-h1": {ANY: "eth1 eth2"},
        },
    ),
    "rails only": (
        RAILS_ONLY,
        [],
        {
            "g1-leaf1": {
                BLOCK1: "",
                "10.192.0.1/32": "eth1",
                "10.0.0.129/32": "eth1",
                "10.192.0.2/32": "eth2",
                "10.0.0.130/32": "eth2",
            },
            "g1-h1": {BLOCK1: "eth1", BLOCK2: "eth2", "10.192.0.2/32": "eth1 eth2"},
            "g1-h2": {BLOCK1: "eth1", BLOCK2: "eth2", "10.192.0.1/32": "eth1 eth2"},
        },
    ),
    "rails only, rail 1 of g1-h2 down": (
        RAILS_ONLY,
        ["g1-leaf1 g1-h2"],
        {
            "g1-leaf1": {BLOCK1: "", "10.192.0.1/32": "eth1", "10.0.0.129/32": "eth1"},
            "g1-h1": {BLOCK1: "eth1", BLOCK2: "eth2", "10.192.0.2/32": "eth2"},
            "g1-h2": {BLOCK2: "eth2", "10.192.0.1/32": "eth2"},
        },
    ),
    "aggregates under a spine": (
        AGGREGATES,
        [],
        {
            "spine1": {"10.255.0.2/32": "eth1", "10.255.0.3/32": "eth2", BLOCK1: "eth1", BLOCK2: "eth2"},
            "leaf1": {
                "10.255.0.1/32": "eth1",
                "10.255.0.3/32": "eth1",
                BLOCK1: "",
                BLOCK2: "eth1",
                "10.0.0.1/32": "eth2",
                "10.0.0.129/32": "eth2",
            },
            "h1-1": {BLOCK1: "eth1", BLOCK2: "eth1"},
        },
    ),
}


@pytest.mark.parametrize(("text", "down", "tables"), TABLES.values(), ids=TABLES.keys())
def test_routes_are_those_written_by_hand(text, down, tables):
    fabric = plan(loads(text))
    cut = [link for link in fabric.links if f"{link.a} {link.b}" in down]
    assert len(cut) == len(down)
    fibs = expected_fibs(fabric, cut)
    for node, table in tables.items():
        assert fibs[node] == {IPv4Network(prefix): frozenset(ports.split()) for prefix, ports in table.items()}, node


def test_a_session_ends_with_its_link_and_no_other_does():
    fabric = plan(loads(QUICKSTART))
    cut = [link for link in fabric.links if f"{link.a} {link.b}" == "spine1 leaf1"]
    before, after = expected_sessions(fabric), expected_sessions(fabric, cut)
    gone = [(node, key) for node, sessions in before.items() for key in sessions if key not in after[node]]
    assert gone == [("spine1", "eth1"), ("leaf1", "eth1")]
    assert all(session == before[node][key] for node, sessions in after.items() for key, session in sessions.items())


def tables_of(fibs):
    return {name: {"default": fib} for name, fib in fibs.items()}


def hops(text: str, *down: str) -> dict[str, set[int]]:
    fabric = plan(loads(text))
    fibs = expected_fibs(fabric, [link for link in fabric.links if f"{link.a} {link.b}" in down])
    return {f"{a} {b}": set(found) for (a, b), found in expected_hops(fabric, tables_of(fibs)).items()}


def test_rails_without_spines_never_meet():
    assert hops(RAILS_ONLY) == {
        "g1-h1 g1-h2": {1},
        "g1-h2 g1-h1": {1},
        "g1-h1/eth1 g1-h2/eth1": {1},
        "g1-h1/eth1 g1-h2/eth2": set(),
        "g1-h1/eth2 g1-h2/eth1": set(),
        "g1-h1/eth2 g1-h2/eth2": {1},
        "g1-h2/eth1 g1-h1/eth1": {1},
        "g1-h2/eth1 g1-h1/eth2": set(),
        "g1-h2/eth2 g1-h1/eth1": set(),
        "g1-h2/eth2 g1-h1/eth2": {1},
    }


def test_a_dual_homed_host_keeps_its_vip_but_not_the_nic_whose_link_is_down():
    found = hops(DUAL_HOMED, "leaf1 h1-1")
    assert found["h1-2 h1-1"] == {1, 3}  # by leaf2, or by leaf1 and round over the spine
    assert found["h1-1 h1-2"] == {1}
    assert found["h1-2/eth1 h1-1/eth1"] == found["h1-1/eth1 h1-2/eth1"] == set()
    assert found["h1-2/eth1 h1-1/eth2"] == {3}
    assert found["h1-2/eth2 h1-1/eth2"] == {1}
    assert found["h1-1/eth2 h1-2/eth1"] == {3}


def test_what_one_host_lost_is_not_said_of_its_neighbour():
    found = hops(QUICKSTART, "leaf1 h1-1")
    assert found["h2-1 h1-1"] == found["h1-1 h2-1"] == set()
    assert found["h2-1 h1-2"] == found["h1-2 h2-1"] == {3}


def test_a_loop_never_arrives():
    fabric = plan(loads(QUICKSTART))
    fibs = expected_fibs(fabric)
    back = {IPv4Network(ANY): frozenset({"eth1"})}
    (a, *_), (b, *_) = zip(
        *((x, y) for x, y in expected_hops(fabric, tables_of(fibs)) if x.host[1] != y.host[1]), strict=True
    )
    assert Walk(fabric, tables_of(fibs | {"leaf1": back, "spine1": back})).hops(a, b) == frozenset()
