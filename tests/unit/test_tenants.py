"""Tenants on paper: who is in them, their numbers, whom they may meet, and the routes that follow."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closet.check import CHECKS
from closet.expect import (
    endpoints,
    expected_hops,
    expected_l3vnis,
    expected_matrix,
    expected_spread,
    expected_tables,
    expected_type5,
)
from closet.expect.pairs import allowed
from closet.intent import loads
from closet.plan import Fabric, plan
from closet.plan.tenancy import FIRST_VNI, LAST_VNI, vni_of
from closet.records import Endpoint, L3Vni, Outcome, Probe, Type5

BASE = "name: t\nspines: 2\nleaves: 2\nhosts: {per_leaf: 4}\n"
RED_BLUE = BASE + "tenants: {red: {hosts: [h?-1], vni: 11}, blue: {hosts: [h?-2], vni: 12}}\n"
OVERLAP = (
    BASE + "tenants: {red: {hosts: [h?-1], prefix: 10.1.0.0/24}, blue: {hosts: [h?-2], prefix: 10.1.0.0/24},"
    " out: {hosts: [h1-3], prefix: 10.2.0.0/24}}\n"
)


def fabric(text: str) -> Fabric:
    return plan(loads(text))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_peerings_mean_the_same_in_any_order(order):
    said = ["{between: [red, blue], prefixes: [10.0.0.1/32]}", "{from: blue, to: red}", "{between: [blue, red]}"]
    (peering,) = fabric(RED_BLUE + f"peerings: [{', '.join(said[i] for i in order)}]\n").peerings
    assert (peering.one, peering.other) == ("blue", "red")
    assert sorted(permit.one_way for permit in peering.permits) == [False, False, True]


NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,7}", fullmatch=True), min_size=1, max_size=4, unique=True)


@given(names=NAMES, new=st.from_regex(r"zz[a-z0-9]{0,7}", fullmatch=True), at=st.integers(0, 4))
def test_a_new_tenant_changes_nothing_of_the_others(names, new, at):
    def numbers(order: list[str]) -> dict[str, tuple]:
        hosts = {name: f"h1-{i + 1}" for i, name in enumerate(names)} | {new: "h2-1"}
        tenants = ", ".join(f"{name}: {{hosts: [{hosts[name]}]}}" for name in order)
        made = fabric(BASE + f"tenants: {{{tenants}}}")
        return {
            t.name: (t.vni, t.route_target, t.space, [made[leaf].rd(t) for leaf in t.leaves])
            for t in made.tenants.values()
        }

    names = [n for n in names if n not in {"all", "lo", "default"}]
    before, after = numbers(names), numbers([*names[:at], new, *names[at:]])
    assert {n: after[n] for n in names} == before


@given(name=st.text(min_size=1, max_size=15))
def test_a_vni_from_a_name_is_one(name):
    assert FIRST_VNI <= vni_of(name) <= LAST_VNI


def meets(made: Fabric) -> dict[str, set[str]]:
    """Host → the hosts it may open a connection to, by the design alone."""
    vips, _ = endpoints(made)
    return {a.host: {b.host for b in vips if a.host != b.host and allowed(made, a, b)} for a in vips}


SUBNETS = "tenants: {red: {%s, subnets: {a: {hosts: [h?-1]%s}, b: {hosts: [h?-2]}, c: {hosts: [h?-3]}}}}"


@pytest.mark.parametrize(
    ("tenant", "subnet", "first", "second"),
    [
        ("vni: 5", "", {"h2-1", "h1-2", "h2-2", "h1-3", "h2-3"}, {"h1-1", "h2-1", "h2-2", "h1-3", "h2-3"}),
        ("isolated: true", "", {"h2-1"}, {"h2-2"}),
        ("vni: 5", ", isolated: true", {"h2-1"}, {"h2-2", "h1-3", "h2-3"}),
        ("isolated: true", ", isolated: false", {"h2-1"}, {"h2-2"}),
        ("restricted: true", "", {"h1-2", "h2-2", "h1-3", "h2-3"}, {"h1-1", "h2-1", "h1-3", "h2-3"}),
        ("vni: 5", ", restricted: true", {"h1-2", "h2-2", "h1-3", "h2-3"}, {"h1-1", "h2-1", "h2-2", "h1-3", "h2-3"}),
        ("isolated: true, permit: [[a, b]]", "", {"h2-1", "h1-2", "h2-2"}, {"h1-1", "h2-1", "h2-2"}),
        (
            "restricted: true, permit: [[a]]",
            "",
            {"h2-1", "h1-2", "h2-2", "h1-3", "h2-3"},
            {"h1-1", "h2-1", "h1-3", "h2-3"},
        ),
    ],
)
def test_isolated_restricted_and_permit_mean_what_they_say(tenant, subnet, first, second):
    found = meets(fabric(BASE + SUBNETS % (tenant, subnet)))
    assert (found["h1-1"], found["h1-2"]) == (first, second)
    assert found["h1-4"] == {"h2-4"}, "the underlay's hosts are on their own"


def test_absent_means_denied_and_peerings_allow():
    assert meets(fabric(RED_BLUE))["h1-1"] == {"h2-1"}
    assert meets(fabric(RED_BLUE + "peerings: [{between: [red, blue]}]"))["h1-1"] == {"h2-1", "h1-2", "h2-2"}
    one_way = meets(fabric(RED_BLUE + "peerings: [{from: red, to: blue}]"))
    assert one_way["h1-1"] == {"h2-1", "h1-2", "h2-2"}
    assert one_way["h1-2"] == {"h2-2"}
    some = meets(fabric(RED_BLUE + "peerings: [{between: [red, blue], prefixes: [10.0.1.2/32]}]"))
    assert some["h1-1"] == {"h2-1", "h2-2"}
    assert some["h1-2"] == {"h2-2"}
    assert some["h2-2"] == {"h1-2", "h1-1", "h2-1"}


def test_shared_services_peer_with_everybody_and_join_nobody():
    words = "tenants: {red: {hosts: [h?-1]}, blue: {hosts: [h?-2]}, svc: {hosts: [h2-3], shared: true}}"
    found = meets(fabric(BASE + words))
    assert found["h2-3"] == {"h1-1", "h2-1", "h1-2", "h2-2"}
    assert found["h1-1"] == {"h2-1", "h2-3"}


def test_overlapping_addresses_are_two_endpoints():
    made = fabric(OVERLAP)
    assert made["h1-1"].loopback == made["h1-2"].loopback
    probes = {(p.source.host, p.target.host): may for p, may in expected_matrix(made).items() if p.protocol == "TCP"}
    assert probes["h1-1", "h2-1"] == {"answered"}
    assert probes["h1-1", "h2-2"] == {"silent", "another answered"}, "h2-1 has that address, and may answer"
    assert probes["h1-3", "h2-2"] == {"silent"}
    assert probes["h1-4", "h2-2"] == {"silent"}


def test_an_address_is_taken_by_a_vip_of_one_tenant_and_a_nic_of_another():
    """A tenant whose hosts have fewer NICs has other addresses for them: blue's VIP is a NIC of red's, or its own."""
    words = "tenants: {red: {hosts: [h?-1], prefix: 10.1.0.0/24}, blue: {hosts: [h?-2:eth1], prefix: 10.1.0.0/24}}"
    made = fabric(BASE.replace("per_leaf: 4", "per_leaf: 2, nics: 2") + words)
    red, blue = made["h1-1"], made["h2-2-blue"]
    assert blue.loopback in {p.rail for p in red.ports}
    may = {(str(p.source), str(p.target)): may for p, may in expected_matrix(made).items() if p.protocol == "TCP"}
    assert may["h2-1", "h2-2-blue"] == {"silent", "another answered"}, "the NIC of h1-1, which it may reach"
    assert may["h1-1", "h2-2-blue"] == {"silent", "another answered"}, "its own NIC"
    assert may["h1-2", "h2-2-blue"] == {"silent"}, "what is left of h1-2 may reach neither"


def table(text: str, node: str, vrf: str, *down: str) -> dict[str, set[str]]:
    made = fabric(text)
    cut = [link for link in made.links if f"{link.a} {link.b}" in down]
    return {str(p): set(ways) for p, ways in expected_tables(made, cut)[node][vrf].items()}


def test_the_routes_of_a_vrf():
    assert table(RED_BLUE, "leaf1", "red") == {
        "10.0.0.1/32": {"eth3"},
        "10.0.0.129/32": {"eth3"},
        "10.0.1.1/32": {"10.255.0.4"},
        "10.0.1.129/32": {"10.255.0.4"},
    }
    assert table(RED_BLUE, "h1-1", "default") == {"0.0.0.0/0": {"eth1"}}
    assert "10.0.0.0/24" in table(RED_BLUE, "leaf2", "default"), "the underlay's hosts are still summarised"


def test_a_tenant_on_one_leaf_spreads_nothing_over_its_uplinks():
    words = "tenants: {red: {hosts: [h1-1, h1-2]}, blue: {hosts: [h1-3, h2-3]}}"
    assert {(fan.vrf, fan.node) for fan in expected_spread(fabric(BASE + words))} == {
        *((vrf, leaf) for vrf in ("default", "blue") for leaf in ("leaf1", "leaf2"))
    }


def test_a_leaf_without_uplinks_has_its_own_hosts_only():
    assert set(table(RED_BLUE, "leaf1", "red", "spine1 leaf1", "spine2 leaf1")) == {"10.0.0.1/32", "10.0.0.129/32"}


def test_peers_are_reached_over_the_veth_of_every_leaf():
    text = RED_BLUE.replace("blue: {hosts: [h?-2]", "blue: {hosts: [h2-2]") + "peerings: [{between: [red, blue]}]\n"
    made = fabric(text)
    assert made.tenants["blue"].leaves == ("leaf1", "leaf2"), "where a peer has hosts, too"
    ours = table(text, "leaf1", "red")
    assert ours["10.0.1.2/32"] == ours["10.0.1.130/32"] == {"pb-c"}
    assert table(text, "leaf1", "blue")["10.0.0.1/32"] == {"pc-b"}
    hops = {(a.host, b.host): n for (a, b), n in expected_hops(made, expected_tables(made)).items() if a.port is None}
    assert hops["h1-1", "h2-1"] == {2}
    assert hops["h1-1", "h2-2"] == {3}, "a leaf routes twice from VRF to VRF"
    assert hops["h2-1", "h2-2"] == {2}


DUAL = "name: t\nspines: 2\nleaves: 4\nhosts: {per_pair: 2}\ntenants: {red: {hosts: ['h?-1'], vni: 11}}\n"


def test_a_dual_homed_host_keeps_a_default_route_only_where_it_leads_somewhere():
    assert table(DUAL, "h1-1", "default") == {"0.0.0.0/0": {"eth1", "eth2"}}
    cut = ("spine1 leaf1", "spine2 leaf1")
    assert table(DUAL, "h1-1", "default", *cut) == {"0.0.0.0/0": {"eth2"}}
    assert table(DUAL, "leaf3", "red")["10.192.0.1/32"] == {"10.255.0.3", "10.255.0.4"}, "ECMP over both VTEPs"
    assert table(DUAL, "leaf3", "red", *cut)["10.192.0.1/32"] == {"10.255.0.4"}
    assert table(DUAL, "leaf3", "red", "leaf1 h1-1")["10.192.0.1/32"] == {"10.255.0.4"}


def test_evpn_routes_and_vnis():
    made = fabric(RED_BLUE)
    routes = expected_type5(made)
    mine = Type5("3:11", "10.0.0.1/32", "65000:11", "02:c2:00:03:00:00", "10.255.0.3")
    assert routes["leaf1"] == routes["leaf2"] == routes["spine1"]
    assert mine in routes["spine2"]
    assert len(routes["leaf1"]) == 8
    assert expected_l3vnis(made)["leaf2"]["blue"] == L3Vni(12, "Up", "vx12", "br12", "02:c2:00:04:00:00")
    assert set(expected_l3vnis(made)) == {"leaf1", "leaf2"}
    assert set(expected_type5(fabric(BASE)).values()) == {frozenset()}
    assert expected_l3vnis(fabric(BASE)) == {}


def said(check: str, *args: object) -> list[str]:
    return [str(f) for f in CHECKS[check].judge(*args)]


def test_what_is_said_of_evpn():
    good = Type5("3:11", "10.0.0.1/32", "65000:11", "02:c2:00:03:00:00", "10.255.0.3")
    leaked = Type5("3:11", "10.0.0.1/32", "65000:12", "02:c2:00:03:00:00", "10.255.0.3")
    mac = Type5("3:11", "[2]:[0]:[48]:[02:00:00:00:00:01]", "65000:11", "", "10.255.0.3")
    assert said("evpn", "leaf1", frozenset({good}), frozenset({good})) == []
    assert said("evpn", "leaf1", frozenset({good}), frozenset()) == [
        f"leaf1  EVPN 10.0.0.1/32 RD 3:11  expected {good}, observed none"
    ]
    assert said("evpn", "leaf1", frozenset({good}), frozenset({leaked})) == [
        f"leaf1  EVPN 10.0.0.1/32 RD 3:11  expected {good}, observed {leaked}"
    ]
    assert "expected none" in said("evpn", "leaf1", frozenset({good}), frozenset({good, mac}))[0]


def test_what_is_said_of_a_leak_and_of_a_black_hole():
    a, b = (Endpoint(h, IPv4Network(f"10.0.0.{n}/32").network_address) for n, h in enumerate(("h1-1", "h1-2"), 1))
    leak, hole = Probe("UDP", a, b, "red to blue"), Probe("TCP", b, a, "blue")
    expected = {leak: frozenset({"silent"}), hole: frozenset({"answered"})}
    assert said("matrix", expected, {leak: Outcome("silent"), hole: Outcome("answered")}) == []
    observed = {leak: Outcome("answered", "last hop leaf1 VRF red"), hole: Outcome("silent", "last hop leaf1")}
    assert said("matrix", expected, observed) == [
        "h1-1  UDP to h1-2 10.0.0.2 (red to blue)  expected silence, observed answered; last hop leaf1 VRF red",
        "h1-2  TCP to h1-1 10.0.0.1 (blue)  expected an answer, observed silent; last hop leaf1",
    ]
