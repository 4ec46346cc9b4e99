"""Hosts whose NICs are in several tenants: who has which NIC, and that nobody else has other numbers for it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, infer
from hypothesis import strategies as st

from closet.errors import IntentError
from closet.expect.pairs import allowed, endpoints
from closet.intent import Intent, loads
from closet.plan import DEFAULT_VRF, Fabric, Node, plan

BASE = "name: t\nspines: 2\nleaves: 2\nhosts: {per_pair: 2, nics: 4}\n"
MIXED = BASE + "tenants: {red: {hosts: ['h1-1:eth[12]']}, blue: {hosts: ['h1-1:eth3', h1-2]}}\n"


def fabric(text: str) -> Fabric:
    return plan(loads(text))


def nics(made: Fabric) -> dict[tuple[str, str], str]:
    """(leaf, its port) → the node whose NIC is there."""
    return {(p.peer, p.peer_port): h.name for h in made.hosts for p in h.ports}


def tenants_of(made: Fabric, drawn: dict[tuple[str, str], str]) -> dict[str, dict]:
    """The words that put NICs, as (host, port), where they were drawn."""
    names = sorted({t for t in drawn.values() if t != DEFAULT_VRF})
    return {t: {"hosts": [f"{host}:{port}" for (host, port), its in drawn.items() if its == t]} for t in names}


@given(intent=infer, data=st.data())
def test_every_nic_is_in_one_node_and_nobody_else_has_other_numbers(intent: Intent, data: st.DataObject):
    whole = intent.model_copy(update={"nodes": {}})
    before = plan(whole)
    where = st.sampled_from([DEFAULT_VRF, "red", "blue", "green"])
    drawn = {(h.name, p.name): data.draw(where) for h in before.hosts for p in h.ports}
    told = {"name": "any", **intent.model_dump(exclude_unset=True), "nodes": {}}
    made = plan(Intent.model_validate(told | {"tenants": tenants_of(before, drawn)}))

    split = {h.name for h in before.hosts if len({drawn[h.name, p.name] for p in h.ports}) > 1}
    assert len(made.links) == len(before.links)
    for was, link in zip(before.links, made.links, strict=True):
        assert (was.a, was.a_port, was.b_port) == (link.a, link.a_port, link.b_port)
        upper, lower = made[link.a].port(link.a_port), made[link.b].port(link.b_port)
        assert (upper.peer, upper.peer_port, lower.peer, lower.peer_port) == (link.b, link.b_port, link.a, link.a_port)
        assert upper.mac == before[was.a].port(was.a_port).mac
        assert lower.mac == before[was.b].port(was.b_port).mac
        if before[was.b].is_host:
            assert upper.vrf == lower.vrf == drawn[was.b, was.b_port]
            assert lower.rail == before[was.b].port(was.b_port).rail
            assert (made[link.b].machine or link.b) == was.b
            assert (made[link.b].machine is not None) == (was.b in split)
    assert sum(len(n.ports) for n in made) == 2 * len(made.links)
    for host in made.hosts:
        assert {p.vrf for p in host.ports} == {host.vrf}
    for node in before:
        if node.name in made.nodes:
            assert numbers(made[node.name]) == numbers(node)
            same_leaves = before.multihomed(node) == made.multihomed(made[node.name])
            assert (made[node.name].loopback == node.loopback) or not same_leaves
        else:
            assert node.name in split
    for values in ([n.number for n in made], [a for n in made for a in n.addresses]):
        assert [v for v, times in Counter(values).items() if times > 1] == []


def numbers(node: Node) -> tuple:
    return node.number, node.asn, node.hash_seed, node.block, node.pod, node.group


@given(intent=infer, data=st.data())
def test_a_tenant_that_goes_changes_nothing_of_other_guests(intent: Intent, data: st.DataObject):
    before = plan(intent.model_copy(update={"nodes": {}}))
    where = st.sampled_from(["red", "blue", "green"])
    drawn = {(h.name, p.name): data.draw(where) for h in before.hosts for p in h.ports}
    told = {"name": "any", **intent.model_dump(exclude_unset=True), "nodes": {}}
    words = tenants_of(before, drawn)
    made = plan(Intent.model_validate(told | {"tenants": words}))
    fewer = plan(Intent.model_validate(told | {"tenants": {t: w for t, w in words.items() if t != "green"}}))
    guests = [h for h in made.hosts if h.machine is not None and h.vrf != "green"]
    assert [fewer[h.name] for h in guests] == guests


def test_guests_are_called_by_tenant_and_follow_what_is_left_of_their_machine():
    made = fabric(MIXED)
    assert [(h.name, h.machine, h.vrf, [p.name for p in h.ports]) for h in made.hosts] == [
        ("h1-1", "h1-1", "default", ["eth4"]),
        ("h1-1-red", "h1-1", "red", ["eth1", "eth2"]),
        ("h1-1-blue", "h1-1", "blue", ["eth3"]),
        ("h1-2", None, "blue", ["eth1", "eth2", "eth3", "eth4"]),
    ]
    assert made.tenants["blue"].hosts == ("h1-1-blue", "h1-2")
    assert made.tenants["red"].homes == ("leaf1", "leaf2")
    both = fabric(BASE + "tenants: {red: {subnets: {a: {hosts: ['h1-1:eth[12]']}, b: {hosts: ['h1-?:eth[34]']}}}}")
    assert [h.name for h in both.hosts] == ["h1-1-red-a", "h1-1-red-b", "h1-2", "h1-2-red"]


def test_all_nics_in_one_tenant_make_no_guest():
    named = fabric(BASE + "tenants: {red: {hosts: ['h1-1:eth1', 'h1-1:eth[2-4]']}}")
    assert named == fabric(BASE + "tenants: {red: {hosts: [h1-1]}}")
    assert named["h1-1"].machine is None


def test_numbers_and_addresses_of_guests_are_their_own():
    made = fabric(MIXED)
    left, red, blue = made["h1-1"], made["h1-1-red"], made["h1-1-blue"]
    assert (left.number, left.asn) == (5, 4200100000)
    assert (red.number, red.asn) == (5 + 6, 4200100000 + 2)
    assert (blue.number, blue.asn) == (5 + 3 * 6, 4200100000 + 3 * 2)
    assert str(red.loopback) == "10.192.0.3", "on both leaves: of pools.vips, later than those of hosts"
    assert str(left.loopback) == "10.0.1.126", "on leaf2 alone, over its second NIC: from the end of the lower half"
    assert str(blue.loopback) == "10.0.0.126"
    given = fabric(MIXED.replace("eth3', h1-2]", "eth3', h1-2], prefix: 10.9.0.0/24"))
    assert [str(a) for a in given["h1-1-blue"].addresses] == ["10.9.0.1", "10.9.0.2"]
    assert str(given["h1-2"].loopback) == "10.9.0.3"


def test_guests_of_one_machine_do_not_meet():
    made = fabric(MIXED)
    vips = {e.host: e for e in endpoints(made)[0]}
    meet = {(a, b) for a in vips for b in vips if a != b and allowed(made, vips[a], vips[b])}
    assert meet == {("h1-1-blue", "h1-2"), ("h1-2", "h1-1-blue")}


def test_overrides_of_a_machine_are_those_of_its_guests_but_for_what_is_one_nodes():
    made = fabric(
        MIXED.replace("h1-1:", "box:")
        + "nodes:\n  h1-1: {name: box, loopback: 10.0.1.100, rdma: endpoint, extra: '! all'}\n"
        "  box-red: {name: vm1, asn: 65001, extra: '! red'}\n  '*-blue': {ecmp: {hash: l3}}"
    )
    assert [h.name for h in made.hosts] == ["box", "vm1", "box-blue", "h1-2"]
    assert [h.machine for h in made.hosts] == ["box", "box", "box", None]
    assert [h.rdma for h in made.hosts] == ["endpoint", "endpoint", "endpoint", "none"]
    assert [h.extra for h in made.hosts] == ["! all", "! red", "! all", None]
    assert [h.hash_policy for h in made.hosts] == [1, 1, 0, 1]
    assert str(made["box"].loopback) == "10.0.1.100"
    assert made["vm1"].asn == 65001


REFUSED = {
    "a NIC in two tenants": (
        "tenants: {red: {hosts: [h1-1]}, blue: {hosts: ['h1-*:eth2']}}",
        "tenants.blue.hosts: h1-1:eth2 is in tenants.red already, allowed: one tenant and subnet a NIC",
    ),
    "a NIC in two subnets": (
        "tenants: {red: {subnets: {a: {hosts: ['h1-1:eth1']}, b: {hosts: ['h1-1:eth1']}}}}",
        (
            "tenants.red.subnets.b.hosts: h1-1:eth1 is in tenants.red.subnets.a already, "
            "allowed: one tenant and subnet a NIC"
        ),
    ),
    "no such NIC": (
        "tenants: {red: {hosts: ['h1-2:eth9']}}",
        (
            "tenants.red.hosts[0]: 'h1-2:eth9' matches no NIC, allowed: a name or pattern of those of h1-2: "
            "eth1, eth2, eth3, eth4"
        ),
    ),
    "no NIC at all": (
        "tenants: {red: {hosts: ['h1-2:']}}",
        (
            "tenants.red.hosts[0]: 'h1-2:' matches no NIC, allowed: a name or pattern of those of h1-2: "
            "eth1, eth2, eth3, eth4"
        ),
    ),
    "a NIC of nobody": (
        "tenants: {red: {hosts: ['nope:eth1']}}",
        "tenants.red.hosts[0]: 'nope:eth1' matches no host, allowed: a name or pattern of h1-1 ... h1-2",
    ),
    "a guest called as a host": (
        "tenants: {red: {hosts: ['h1-1:eth1']}}\nnodes: {h1-2: {name: h1-1-red}}",
        (
            "tenants.red.hosts: NICs of h1-1 would make a guest called 'h1-1-red', and there is a host of that name, "
            "allowed: another name for one of them"
        ),
    ),
    "guests of one name": (
        (
            "tenants: {red: {subnets: {a: {hosts: ['h1-1:eth1']}, b: {hosts: ['h1-1:eth2']}}},"
            " red-b: {hosts: ['h1-1:eth3']}}"
        ),
        (
            "tenants.red-b.hosts: NICs of h1-1 would make a guest called 'h1-1-red-b', and there is a host of that "
            "name, allowed: another name for one of them"
        ),
    ),
    "a long name": (
        "tenants: {red: {hosts: ['long*:eth1']}}\nnodes: {h1-1: {name: long-long-long-long-long-long}}",
        (
            "tenants: 'long-long-long-long-long-long-red' would be the name of a guest, allowed: at most 32 characters "
            "(nodes.long-long-long-long-long-long-red.name gives it another)"
        ),
    ),
    "a word for one node": (
        (
            "tenants: {red: {hosts: ['h1-1:eth[12]']}, blue: {hosts: ['h1-1:eth[34]']}}\n"
            "nodes: {h1-1: {loopback: 10.192.0.9}}"
        ),
        "nodes.h1-1.loopback: 2 nodes match, allowed: exactly one",
    ),
    "one AS number": (
        "tenants: {red: {hosts: ['h1-1:eth1']}}\nnodes: {h1-1: {asn: 65001}}",
        "bgp.asns: AS 65001 would be of h1-1-red and of h1-1, allowed: one a node (or a tier in bgp.asns.shared)",
    ),
    "no address left": (
        "tenants: {red: {hosts: ['h1-1:eth[12]'], prefix: 10.9.0.0/30}}",
        "tenants.red.prefix: 10.9.0.0/30 is too small: h1-1-red needs 3 more addresses, one for itself and one a NIC",
    ),
    "no VIP left": (
        "tenants: {red: {hosts: ['h1-1:eth[12]']}}\npools: {vips: 10.192.0.0/30}",
        "pools.vips: 10.192.0.0/30 is too small: address 3 of it is needed, it has 2",
    ),
}


@pytest.mark.parametrize(("words", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_in_one_line(words, said):
    with pytest.raises(IntentError) as e:
        fabric(BASE + words)
    assert str(e.value) == f"t: {said}"


def test_a_block_without_room_for_another_vip_says_so():
    base = "name: t\nleaves: 1\nspines: 0\nhosts: {per_leaf: 6, nics: 2}\npools: {leaf_prefix: 27}\n"
    assert len(fabric(base + "tenants: {red: {hosts: ['h1-5:eth1']}}").hosts) == 7
    with pytest.raises(IntentError) as e:
        fabric(base + "tenants: {red: {hosts: ['h1-5:eth2']}}")
    assert str(e.value) == (
        "t: pools.leaf_prefix: a /27 is too small: half of it, 15 addresses, must hold 16 or more NICs or VIPs of one "
        "leaf (allowed: a shorter prefix)"
    )
