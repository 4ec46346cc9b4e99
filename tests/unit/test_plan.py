"""What holds for every plan, whatever valid intent it is of."""

from __future__ import annotations

from collections import Counter
from itertools import chain, pairwise

import pytest
from hypothesis import given, infer

from closet.intent import Intent, loads
from closet.plan import Fabric, Role, notes, plan
from closet.plan.fabric import TIER


@given(intent=infer)
def test_the_same_intent_gives_the_same_plan(intent: Intent):
    assert repr(plan(intent)) == repr(plan(intent))


@given(fabric=infer)
def test_names_numbers_macs_and_addresses_are_unique(fabric: Fabric):
    ports = [p for n in fabric for p in n.ports]
    links = [p.address.ip for p in ports if p.address]
    for values in (
        [n.name for n in fabric],
        [n.number for n in fabric],
        [p.mac for p in ports],
        [*links, *chain.from_iterable(n.addresses for n in fabric)],
    ):
        assert [v for v, times in Counter(values).items() if times > 1] == []
    assert list(fabric.nodes) == [n.name for n in fabric]
    assert all(int(p.mac[:2], 16) & 3 == 2 and len(p.mac) == 17 for p in ports)  # locally administered, no group


@given(fabric=infer)
def test_both_ends_of_every_link_agree(fabric: Fabric):
    ends = []
    for node in fabric:
        assert len({p.name for p in node.ports}) == len(node.ports)
        for port in node.ports:
            there = fabric[port.peer].port(port.peer_port)
            assert (there.peer, there.peer_port) == (node.name, port.name)
            ends.append((node.name, port.name))
    of_links = [end for link in fabric.links for end in ((link.a, link.a_port), (link.b, link.b_port))]
    assert sorted(of_links) == sorted(ends)
    assert all(TIER[fabric[link.a].role] == TIER[fabric[link.b].role] + 1 for link in fabric.links)


@given(fabric=infer)
def test_a_numbered_link_has_one_slash_31_and_an_unnumbered_one_none(fabric: Fabric):
    for link in fabric.links:
        a, b = fabric[link.a].port(link.a_port).address, fabric[link.b].port(link.b_port).address
        if not fabric.numbered:
            assert a is b is None
            continue
        assert a.network == b.network
        assert a.network.prefixlen == 31
        assert a.network.subnet_of(fabric.pools.links)
        assert a.ip < b.ip


@given(fabric=infer)
def test_addresses_lie_where_their_summary_covers_them(fabric: Fabric):
    for switch in fabric.switches:
        assert switch.loopback in fabric.pools.loopbacks
        assert (switch.block is not None) == (switch.role is Role.LEAF)
    for host in fabric.hosts:
        for port in host.ports:
            assert port.rail in fabric[port.peer].block
        blocks = {fabric[p.peer].block for p in host.ports}
        assert fabric.multihomed(host) == (len(blocks) > 1)
        assert host.loopback in (fabric.pools.vips if len(blocks) > 1 else blocks.pop())
    blocks = sorted(n.block for n in fabric.role(Role.LEAF))
    assert all(block.subnet_of(fabric.pools.hosts) for block in blocks)
    assert not any(a.overlaps(b) for a, b in pairwise(blocks))


@given(intent=infer)
def test_as_numbers_are_shared_as_asked_and_not_otherwise(intent: Intent):
    owners: dict[int, set[str]] = {}
    for node in plan(intent):
        shared = f"{node.role}s" in intent.bgp.asns.shared
        tier = f"{node.role} of pod {node.pod}" if node.role is Role.SPINE else node.role
        owners.setdefault(node.asn, set()).add(tier if shared else node.name)
    assert all(len(names) == 1 for names in owners.values()), owners
    groups = [name for names in owners.values() for name in names]
    assert len(set(groups)) == len(groups)


@given(intent=infer)
def test_the_shape_is_the_one_asked_for(intent: Intent):
    fabric = plan(intent)
    assert (len(fabric.switches), len(fabric.hosts)) == intent.node_count()
    joined = Counter((link.a, link.b) for link in fabric.links)
    spines, tops = fabric.role(Role.SPINE), fabric.role(Role.SUPERSPINE)
    for leaf in fabric.role(Role.LEAF):
        mine = {s.name for s in spines if s.pod == leaf.pod}
        assert {p.peer for p in fabric.uplinks(leaf)} == mine
        assert all(joined[spine, leaf.name] == intent.links.parallel for spine in mine)
    width = len(tops) // intent.spines if intent.planes else len(tops)
    for n, spine in enumerate(spines):
        first = n % intent.spines * width if intent.planes else 0
        mine = {s.name for s in tops[first : first + width]}
        assert {p.peer for p in fabric.uplinks(spine)} == mine
        assert all(joined[top, spine.name] == intent.links.parallel for top in mine)


@given(intent=infer)
def test_nic_i_of_a_host_is_on_leaf_i_of_its_group(intent: Intent):
    fabric = plan(intent)
    groups: dict[tuple[int, int], list[str]] = {}
    for leaf in fabric.role(Role.LEAF):
        groups.setdefault((leaf.pod, leaf.group), []).append(leaf.name)
    for host in fabric.hosts:
        leaves = groups[host.pod, host.group]
        nics = intent.hosts.nics or len(leaves)
        assert [p.peer for p in host.ports] == [leaves[i % len(leaves)] for i in range(nics)]


@given(fabric=infer)
def test_ports_upwards_come_before_ports_downwards(fabric: Fabric):
    for node in fabric:
        assert list(node.ports) == fabric.uplinks(node) + fabric.downlinks(node)


def test_growing_downwards_renames_and_renumbers_no_switch_port():
    small = plan(loads("name: pod\nspines: 2\nleaves: 2\nhosts: {per_leaf: 1}\n"))
    large = plan(loads("name: pod\nspines: 2\nleaves: 2\nhosts: {per_leaf: 3}\n"))
    for node in small.switches:
        there = large[node.name]
        assert (there.loopback, there.asn, there.block, there.hash_seed) == (
            node.loopback,
            node.asn,
            node.block,
            node.hash_seed,
        )
        assert [(p.name, p.mac, p.peer) for p in there.ports[: len(node.ports)]] == [
            (p.name, p.mac, p.peer) for p in node.ports
        ]


OVERRIDDEN = """\
name: overridden
spines: 1
leaves: 2
hosts: {per_leaf: 1}
ecmp: {seed: 5}
nodes:
  leaf*: {asn: null, ecmp: {hash: l3}, extra: "debug bgp updates"}
  leaf2: {name: tor, asn: 65002, loopback: 10.255.9.9, ecmp: {seed: 6}}
  h2-1: {name: storage, loopback: 10.0.1.77}
"""


def test_overrides_change_what_they_say_and_only_there():
    fabric = plan(loads(OVERRIDDEN))
    assert list(fabric.nodes) == ["spine1", "leaf1", "tor", "h1-1", "storage"]
    leaf1, tor, storage = fabric["leaf1"], fabric["tor"], fabric["storage"]
    assert (tor.asn, str(tor.loopback), tor.extra) == (65002, "10.255.9.9", "debug bgp updates")
    assert (leaf1.asn, str(leaf1.loopback), leaf1.extra) == (4200001000, "10.255.0.2", "debug bgp updates")
    assert [(n.hash_policy, n.hash_seed) for n in fabric] == [(1, 5), (0, 5), (0, 6), (1, 5), (1, 5)]
    assert (str(storage.loopback), storage.ports[0].peer) == ("10.0.1.77", "tor")
    assert [p.peer for p in fabric["spine1"].ports] == ["leaf1", "tor"]


def test_hash_seeds_differ_from_node_to_node_unless_one_is_asked_for():
    fabric = plan(loads("name: pod\nleaves: 4\n"))
    assert len({n.hash_seed for n in fabric}) == len(fabric.nodes)
    assert {n.hash_seed for n in plan(loads("name: pod\nleaves: 4\necmp: {seed: 3}\n"))} == {3}


def test_a_thousand_switches_are_planned_at_once():
    fabric = plan(loads("name: big\nspines: 24\nleaves: 1000\nhosts: {per_leaf: 1}\n"))
    assert fabric.summary() == "24 spines, 1000 leaves, 1000 hosts, 25000 links"


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("leaves: 1\nspines: 0\nhosts: {per_leaf: 1}", "1 leaf, 1 host, 1 link"),
        ("leaves: 2", "2 spines, 2 leaves, 4 hosts, 8 links"),
        (
            "leaves: 2\nspines: 1\nsuperspines: 1\nhosts: {per_pair: 1}",
            "1 superspine, 1 spine, 2 leaves, 1 host, 5 links",
        ),
    ],
)
def test_the_summary_counts_in_english(text, summary):
    assert plan(loads(f"name: x\n{text}\n")).summary() == summary


def test_rdma_is_wished_for_hosts_and_differs_where_a_node_says_so():
    text = "name: x\nleaves: 2\nhosts: {per_leaf: 2, rdma: verbs}\nnodes: {h2-*: {rdma: endpoint}, h2-2: {rdma: none}}"
    fabric = plan(loads(text))
    assert [h.rdma for h in fabric.hosts] == ["verbs", "verbs", "endpoint", "none"]
    assert {s.rdma for s in fabric.switches} == {"none"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rails: 2\nhosts: {per_group: 2, routes: aggregates}", "g1-h1 and others are on several leaves, "),
        ("leaves: 2\nhosts: {per_pair: 1, routes: aggregates}", "h1-1 is on several leaves, "),
        ("rails: 2\nhosts: {per_group: 2}", None),
        ("spines: 0\nrails: 2\nhosts: {per_group: 2}", None),
        ("leaves: 2\nhosts: {per_leaf: 2, routes: aggregates}", None),
    ],
)
def test_nics_that_reach_less_than_one_may_think_are_noted(words: str, said: str | None):
    noted = list(notes(plan(loads(f"name: x\n{words}\n"))))
    assert [said in note for note in noted] == ([True] if said else [])
