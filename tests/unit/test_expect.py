"""What holds for every expectation, whatever the fabric and whichever links are down."""

from __future__ import annotations

from hypothesis import given, infer
from hypothesis import strategies as st

from closet.expect import (
    endpoints,
    expected_fibs,
    expected_hops,
    expected_knocks,
    expected_sessions,
    expected_table_bounds,
    expected_tables,
)
from closet.expect.knocks import NEIGHBOURLY, TCP, UDP
from closet.expect.reach import Walk
from closet.intent import loads
from closet.plan import Fabric, Role, plan


@given(fabric=infer)
def test_every_next_hop_is_a_port_and_every_prefix_is_planned(fabric: Fabric):
    planned = {f"{a}/32" for n in fabric for a in n.addresses} | {str(n.block) for n in fabric.role(Role.LEAF)}
    for name, fib in expected_fibs(fabric).items():
        node = fabric[name]
        ports = {p.name for p in node.ports}
        for prefix, next_hops in fib.items():
            assert next_hops <= ports
            assert bool(next_hops) == (prefix != node.block)  # a leaf drops what its summary covers and nobody has
            assert str(prefix) in planned | {"0.0.0.0/0"}
        assert not any(f"{a}/32" in map(str, fib) for a in node.addresses)


@given(fabric=infer)
def test_tables_are_bounded_and_a_hosts_is_tiny(fabric: Fabric):
    fibs, bounds = expected_fibs(fabric), expected_table_bounds(fabric)
    assert fibs.keys() == bounds.keys() == fabric.nodes.keys()
    for node in fabric:
        assert len(fibs[node.name]) <= bounds[node.name]
        if node.is_host and fabric.host_routes == "default":
            assert list(map(str, fibs[node.name])) == ["0.0.0.0/0"]


@given(fabric=infer)
def test_a_switch_reaches_every_switch_where_there_is_a_top_to_go_over(fabric: Fabric):
    fibs = expected_fibs(fabric)
    for leaf in fabric.role(Role.LEAF):
        reached = {str(p) for p in fibs[leaf.name]}
        others = {f"{s.loopback}/32" for s in fabric.role(Role.LEAF) if s is not leaf}
        assert others <= reached or fabric.top is Role.LEAF


@given(fabric=infer, data=st.data())
def test_sessions_are_mutual_and_there_is_one_a_link(fabric: Fabric, data):
    down = data.draw(st.lists(st.sampled_from(fabric.links), max_size=4))
    sessions = expected_sessions(fabric, down)
    assert sum(map(len, sessions.values())) == 2 * (len(fabric.links) - len(set(down)))
    for name, mine in sessions.items():
        for session in mine.values():
            assert session.asn == fabric[session.neighbour].asn
            assert session.state == "Established"
            assert bool(session.bfd) == (fabric.bfd is not None)
            back = [s for s in sessions[session.neighbour].values() if s.neighbour == name]
            assert len(back) == len([s for s in mine.values() if s.neighbour == session.neighbour])


def test_a_numbered_link_has_a_door_that_an_unnumbered_one_has_not():
    numbered, plain = (
        plan(loads(f"name: x\nleaves: 2\nlinks: {{addressing: {word}}}\n")) for word in ("numbered", "unnumbered")
    )
    beyond = expected_knocks(numbered).keys() - expected_knocks(plain).keys()
    near = {str(numbered[leaf].port("eth3").address.ip) for leaf in ("leaf1", "leaf2")}
    assert {k.address for k in beyond} == near
    doors = {("TCP", n) for n in TCP} | {("UDP", n) for n in UDP}
    assert {(k.protocol, k.port) for k in beyond} == doors - NEIGHBOURLY


def _leaves(fabric: Fabric, endpoint) -> set[str]:
    host = fabric[endpoint.host]
    return {host.port(endpoint.port).peer} if endpoint.port else {p.peer for p in host.ports}


@given(fabric=infer)
def test_over_spines_every_pair_meets_at_one_distance(fabric: Fabric):
    if fabric.top is Role.LEAF:
        return
    for (a, b), found in expected_hops(fabric, expected_tables(fabric)).items():
        near = _leaves(fabric, a) & _leaves(fabric, b)
        beside = {p.peer for p in fabric[a.host].ports} & _leaves(fabric, b)
        if fabric.host_routes == "aggregates" and a.port and beside and not near:
            assert not found  # the host has the leaf of b at another NIC, and so no way to it from this one
        else:
            assert found == ({1} if near else {3} if fabric[a.host].pod == fabric[b.host].pod else {5})


@given(fabric=infer)
def test_without_spines_only_what_shares_a_leaf_meets(fabric: Fabric):
    if fabric.top is not Role.LEAF:
        return
    for (a, b), found in expected_hops(fabric, expected_tables(fabric)).items():
        assert found == ({1} if _leaves(fabric, a) & _leaves(fabric, b) else set())


@given(fabric=infer, data=st.data())
def test_what_the_walk_remembers_is_what_it_would_find_again(fabric: Fabric, data):
    down = data.draw(st.lists(st.sampled_from(fabric.links), max_size=4))
    tables = expected_tables(fabric, down)
    hops = list(expected_hops(fabric, tables).items())
    for (a, b), found in data.draw(st.lists(st.sampled_from(hops), max_size=8)) if hops else ():
        assert Walk(fabric, tables).hops(a, b) == found


@given(fabric=infer)
def test_endpoints_are_the_vip_and_the_nics_of_every_host(fabric: Fabric):
    vips, nics = endpoints(fabric)
    assert [(e.host, e.address) for e in vips] == [(h.name, h.loopback) for h in fabric.hosts]
    assert [(e.host, e.port) for e in nics] == [(h.name, p.name) for h in fabric.hosts for p in h.ports]
