"""Fabrics whose every node and cable is named."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, infer

from closet.errors import IntentError
from closet.expect import expected_knocks, expected_spread
from closet.intent import Intent, loads
from closet.intent.wiring import Wiring
from closet.plan import Fabric, plan

SPINE_LEAF = """
name: lab
wiring:
  spines: [s1, s2]
  leaves: [l1, l2, l3]
  hosts: [web, db]
  links:
    - [s1:eth1, l1:eth49]
    - [l2, s1]
    - [l2:eth9, s2]
    - [s2, l3:eth50]
    - [s1, l3]
    - [web:enp1s0, l1]
    - [web:enp2s0, l2:eth1]
    - [db, l3]
    - [db, l3]
"""


def _links(fabric: Fabric) -> list[str]:
    return [f"{k.a}:{k.a_port} {k.b}:{k.b_port}" for k in fabric.links]


def test_ports_are_those_given_and_else_the_next_free():
    fabric = plan(loads(SPINE_LEAF))
    assert _links(fabric) == [
        "s1:eth1 l1:eth49",
        "s1:eth2 l2:eth2",
        "s2:eth1 l2:eth9",
        "s2:eth2 l3:eth50",
        "s1:eth3 l3:eth1",
        "l1:eth1 web:enp1s0",
        "l2:eth1 web:enp2s0",
        "l3:eth2 db:eth1",
        "l3:eth3 db:eth2",
    ]
    assert fabric.host_routes == "default"


def test_groups_are_the_leaves_that_share_hosts():
    assert {n.name: n.group for n in plan(loads(SPINE_LEAF)) if n.group} == {
        "l1": 1,
        "l2": 1,
        "l3": 2,
        "web": 1,
        "db": 2,
    }


def test_pods_are_what_superspines_join():
    """Spines of different pods may not share an AS number: routes between them would be loops."""
    text = """
name: lab
wiring:
  superspines: [top]
  spines: [s1, s2, s3]
  leaves: [l1, l2]
  hosts: [h1, h2]
  links: [[top, s1], [top, s2], [top, s3], [s1, l1], [s2, l1], [s3, l2], [l1, h1], [l1, h2], [l2, h2]]
"""
    fabric = plan(loads(text))
    assert {n.name: n.pod for n in fabric} == {
        "top": 0,
        "s1": 1,
        "s2": 1,
        "l1": 1,
        "h1": 1,
        "h2": 1,
        "s3": 2,
        "l2": 2,
    }
    assert fabric["s1"].asn == fabric["s2"].asn != fabric["s3"].asn


def test_leaves_may_be_joined_without_spines():
    """The first leaf of two is the upper end: one end has to wait for the other to connect."""
    text = "name: x\nwiring: {leaves: [b, a], hosts: [h, i], links: [[a, b], [b, a], [a, h], [i, b]]}\n"
    fabric = plan(loads(text))
    assert _links(fabric) == ["b:eth1 a:eth1", "b:eth2 a:eth2", "a:eth3 h:eth1", "b:eth3 i:eth1"]
    assert [p.name for p in fabric.uplinks(fabric["a"])] == ["eth1", "eth2"]
    assert [p.name for p in fabric.downlinks(fabric["b"])] == ["eth3"]
    assert [n for n in "ab" if fabric.leads_up(fabric[n], fabric[n].port("eth1"))] == ["a"]
    assert fabric.host_routes == "aggregates"


def test_nodes_override_by_name():
    text = SPINE_LEAF + "nodes: {s1: {asn: 65100, loopback: 10.255.7.1}, s2: {asn: 65100}}\n"
    fabric = plan(loads(text))
    assert (fabric["s1"].asn, str(fabric["s1"].loopback), fabric["s2"].asn) == (65100, "10.255.7.1", 65100)


def test_hosts_knock_where_every_way_leads_there_and_back():
    """web is on l1 and l2; l1 is not on s2, so a packet to s2 may end at s1."""
    fabric = plan(loads(SPINE_LEAF))
    assert {(k.host, k.switch) for k in expected_knocks(fabric) if "%" not in k.address} == {
        ("web", "l1"),
        ("web", "l2"),
        ("web", "l3"),
        ("web", "s1"),
        ("db", "l3"),
        ("db", "l1"),
        ("db", "s1"),
    }


def test_flows_spread_over_the_ways_there_are():
    """l1 is on both spines, but only one leads to l2."""
    fans = [f for f in expected_spread(plan(loads(SPINE_LEAF))) if f.node.startswith("l")]
    assert [(f.node, f.ports) for f in fans] == [("l2", ("eth2", "eth9"))]
    one_way = SPINE_LEAF.replace("[l2:eth9, s2]", "[l1:eth50, s2]")
    fans = [f for f in expected_spread(plan(loads(one_way))) if f.node.startswith("l")]
    assert [(f.node, f.ports) for f in fans] == [("l3", ("eth50", "eth1"))]


@given(wiring=infer)
def test_every_cable_is_there_once_and_no_port_twice(wiring: Wiring):
    fabric = plan(Intent(name="any", wiring=wiring))
    ends = [frozenset((a.partition(":")[0], b.partition(":")[0])) for a, b in wiring.links]
    assert [frozenset((k.a, k.b)) for k in fabric.links] == ends
    for node in fabric:
        assert len({p.name for p in node.ports}) == len(node.ports)
    named = {end for ends in wiring.links for end in ends if ":" in end}
    assert named <= {f"{n.name}:{p.name}" for n in fabric for p in n.ports}


@given(intent=infer)
def test_a_fabric_of_counts_named_cable_by_cable_is_the_same(intent: Intent):
    fabric = plan(intent)
    assume(all(n.ports for n in fabric))
    roles: dict[str, list[str]] = {}
    for node in fabric:
        plural = "leaves" if node.role == "leaf" else f"{node.role}s"
        roles.setdefault(plural, []).append(node.name)
    links = [(f"{k.a}:{k.a_port}", f"{k.b}:{k.b_port}") for k in fabric.links]
    again = plan(
        Intent(
            name=fabric.name,
            wiring=Wiring.model_validate({**roles, "links": links}),
            pools=intent.pools,
            bgp=intent.bgp,
            nodes={n.name: {"asn": n.asn} for n in fabric},
            hosts={"routes": fabric.host_routes},
            links={"mtu": intent.links.mtu, "addressing": intent.links.addressing},
        )
    )
    assert again.links == fabric.links
    assert [(n.name, n.ports, n.loopback, n.block) for n in again] == [
        (n.name, n.ports, n.loopback, n.block) for n in fabric
    ]


ALLOWED = "superspine to spine, spine to leaf, leaf to host, leaf to another leaf"
ERRORS = {
    "a name in two tiers": (
        "spines: [a], leaves: [b, a], hosts: [c], links: [[a, b]]",
        "wiring.leaves[1]: 'a' is there already, allowed: a name no other node has",
    ),
    "an unknown end": (
        "leaves: [a], hosts: [b], links: [[a, b], [a:eth9, x:eth1]]",
        "wiring.links[1]: x:eth1: no node 'x', allowed: a name of wiring",
    ),
    "a port twice": (
        "leaves: [a], hosts: [b], links: [[a:eth1, b], [b, a:eth1]]",
        "wiring.links[1]: a:eth1 is in links[0] already, allowed: one cable a port",
    ),
    "a port of the kernel's": (
        "leaves: [a], hosts: [b], links: [[a:lo, b]]",
        "wiring.links[0]: a:lo: no port can be called 'lo', allowed: another name",
    ),
    "two spines": (
        "spines: [a, b], leaves: [c], hosts: [d], links: [[a, b]]",
        f"wiring.links[0]: a is a spine and b a spine, allowed: {ALLOWED}",
    ),
    "a host on a spine": (
        "spines: [a], leaves: [c], hosts: [d], links: [[d, a]]",
        f"wiring.links[0]: a is a spine and d a host, allowed: {ALLOWED}",
    ),
    "a host alone": (
        "leaves: [a], hosts: [b, c], links: [[a, b]]",
        "wiring.links: c is on no leaf, allowed: one cable or more",
    ),
    "a leaf without spine": (
        "spines: [s], leaves: [a, b], hosts: [h], links: [[s, a], [b, h]]",
        "wiring.links: b is on no spine, allowed: one cable or more",
    ),
    "a spine without leaf": (
        "spines: [s, t], leaves: [a], hosts: [h], links: [[s, a], [a, h]]",
        "wiring.links: t joins nothing, allowed: one cable or more downwards",
    ),
    "a mesh with a hole": (
        "leaves: [a, b, c], hosts: [h], links: [[a, b], [c, b], [a, h]]",
        "wiring.links: a and c are not joined and meet at no switch above them, allowed: one of both",
    ),
    "a leaf beside a mesh": (
        "leaves: [a, b, c], hosts: [h], links: [[a, b], [c, h]]",
        "wiring.links: b and c are not joined and meet at no switch above them, allowed: one of both",
    ),
    "a leaf on leaves alone": (
        "spines: [s], leaves: [a, b], hosts: [h], links: [[s, a], [a, b], [b, h]]",
        "wiring.links: b is on no spine, allowed: one cable or more",
    ),
    "a cable to itself": (
        "leaves: [a], hosts: [h], links: [[a, a], [a, h]]",
        f"wiring.links[0]: a is a leaf and a a leaf, allowed: {ALLOWED}",
    ),
    "leaves that do not meet": (
        "spines: [s, t], leaves: [a, b], hosts: [h], links: [[s, a], [t, b], [a, h], [b, h]]",
        "wiring.links: a and b are not joined and meet at no switch above them, allowed: one of both",
    ),
    "a leaf alone": (
        "leaves: [a, b], hosts: [h], links: [[a, h]]",
        "wiring.links: b joins nothing, allowed: one cable or more",
    ),
}


@pytest.mark.parametrize(("words", "message"), ERRORS.values(), ids=ERRORS)
def test_what_does_not_fit_together_is_refused_in_one_line(words, message):
    with pytest.raises(IntentError) as caught:
        plan(loads(f"name: lab\nwiring: {{{words}}}\n"))
    assert str(caught.value) == f"lab: {message}"
