"""What a change of plan does to which device, what is proven of it anew, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from closet.change.delta import HOLD, RELEASE, Delta
from closet.change.refuse import refuse_moved_nics, refuse_others
from closet.change.scope import scope
from closet.change.step import rising, steps
from closet.change.tell import changes
from closet.errors import UsageError
from closet.expect import expected_knocks, expected_matrix, expected_spread, expected_tables
from closet.intent import loads
from closet.observe.frr import config_paths
from closet.plan import plan
from closet.render import render_node
from closet.runtime.boot import phases

TENANTS = (Path(__file__).parents[2] / "topologies" / "tenants.yaml").read_text()
GOLD = TENANTS.replace(
    "peerings:",
    "  gold:\n    hosts: [h1-6, h4-6]\n    prefix: 10.99.0.0/16\npeerings:\n  - {between: [gold, services]}",
)


def test_only_devices_of_the_tenant_change():
    old, new = plan(loads(TENANTS)), plan(loads(GOLD))
    todo = steps(old, new)
    assert sorted(todo) == ["h1-6", "h4-6", "leaf1", "leaf4"]
    for leaf in ("leaf1", "leaf4"):
        wires, said = todo[leaf].rewire, todo[leaf].delta
        assert ([t.name for t in wires.make], wires.drop, wires.cut) == (["gold"], (), ())
        assert [v.ends for v in wires.lay] == [(("gold", "pb419d1-4494a9"), ("services", "p4494a9-b419d1"))]
        assert wires.place == (("eth8", "gold"),)
        # The filter before the control plane has lost a host, in whichever VRF it is loaded; one of a VRF has a peer.
        assert {f for f in wires.filters if f[1] != "closet"} == {("services", "vrf_services", "vrf-services.nft")}
        for vrf in ("red", "blue", "green"):
            assert not [line for line in (*said.leave, *said.drop, *said.forget, *said.arrive) if vrf in line]
    part = rising(new, todo.values())
    assert {(n.name, p.name) for n in part for p in n.ports} == {
        ("leaf1", "eth8"), ("h1-6", "eth1"), ("leaf4", "eth8"), ("h4-6", "eth1"),
    }  # fmt: skip


def test_what_changed_is_proven_anew():
    """Gold against everybody, and those beside it among one another; of the rest, what each switch says of it."""
    old, new = plan(loads(TENANTS)), plan(loads(GOLD))
    covers = scope(old, new, steps(old, new)).covers
    fibs, probes, knocks, fans = (
        expect(new) for expect in (expected_tables, expected_matrix, expected_knocks, expected_spread)
    )
    assert {n for n in fibs if covers("links", n)} == set(steps(old, new))
    assert {n for n in fibs if covers("fib", n)} == {n.name for n in new.switches} | {"h1-6", "h4-6", "h4-5"}
    pairs = {(p.source.host, p.target.host) for p in probes if covers("matrix", p)}
    moved = {"h1-6", "h4-6", "h4-5"}
    beside = {f"h{leaf}-{n}" for leaf in (1, 4) for n in range(1, 7)}
    for a, b in {(p.source.host, p.target.host) for p in probes}:
        assert ((a, b) in pairs) == bool({a, b} & moved or {a, b} <= beside)
    assert {k.host for k in knocks if covers("doors", k)} <= beside
    elsewhere = {k for k in knocks if covers("doors", k) and k.switch not in steps(old, new)}
    assert {k.host for k in elsewhere} <= moved
    assert {f.vrf for f in fans if covers("spread", f)} == {"gold", "services"} & {f.vrf for f in fans}


def test_a_filter_is_looked_at_when_all_of_it_is_there():
    old, new = plan(loads(TENANTS)), plan(loads(GOLD))
    arrive = steps(old, new)["leaf1"].delta.arrive
    assert (arrive[0], arrive[-1]) == (HOLD, RELEASE)
    assert config_paths(render_node(new, new["leaf1"])["frr.conf"]).count((RELEASE,)) == 1  # and that is how it was


def test_another_vni_is_another_vrf():
    old, new = plan(loads(TENANTS)), plan(loads(TENANTS.replace("  blue:\n", "  blue:\n    vni: 77\n")))
    step = steps(old, new)["leaf2"]
    assert [t.vni for t in step.rewire.drop] == [old.tenants["blue"].vni]
    assert [t.vni for t in step.rewire.make] == [77]
    assert step.rewire.place == (("eth5", "blue"),)
    assert step.delta.forget == ["no vrf blue"]
    assert "vrf blue" in step.delta.arrive


def test_a_host_with_another_address_goes_down_and_comes_up():
    old, new = plan(loads(TENANTS)), plan(loads(TENANTS.replace("10.96.0.0/24", "10.97.0.0/24")))
    todo = steps(old, new)
    assert [p.name for p in todo["h4-5"].rewire.ports] == ["eth1"]
    assert "ip link set eth1 down" in todo["h4-5"].rewire.leave()
    assert todo["leaf4"].rewire.ports == ()  # the port stays where it is
    assert "bgp router-id 10.97.0.1" in todo["h4-5"].delta.arrive


def test_a_filter_is_replaced_in_one_transaction():
    new = plan(loads(TENANTS.replace("restricted: true", "restricted: false")))
    step = steps(plan(loads(TENANTS)), new)["leaf1"]
    assert step.rewire.reload().splitlines()[-1] == "in_vrf green vrf_green vrf-green.nft"
    assert (step.rewire.leave(), step.rewire.arrive(new), step.delta) == ("", "", Delta())


def test_a_leaf_without_tenants_starts_so_that_it_can_get_some():
    """The first tenant and the last change what FRR runs, and nothing that its daemons learn at their start."""
    without = plan(loads("name: a\nspines: 2\nleaves: 2\nhosts: {per_leaf: 2}\n"))
    with_one = plan(loads("name: a\nspines: 2\nleaves: 2\nhosts: {per_leaf: 2}\ntenants: {red: {hosts: [h1-1]}}\n"))
    for leaf in ("leaf1", "leaf2"):
        assert phases(without, without[leaf]) == phases(with_one, with_one[leaf])
        assert render_node(without, without[leaf])["daemons"] == render_node(with_one, with_one[leaf])["daemons"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("mtu: 9000", ["links.mtu differs: 9216 runs, 9000 given"]),
        ("", []),
    ],
)
def test_what_is_refused(change, words):
    old, new = loads(TENANTS), loads(TENANTS + (f"links: {{{change}}}\n" if change else ""))
    if not words:
        refuse_others("lab", old, loads(GOLD))
        return
    with pytest.raises(UsageError) as e:
        refuse_others("lab", old, new)
    for word in words:
        assert word in str(e.value)
    assert "\n" not in str(e.value)


def test_other_words_are_refused_by_their_place():
    old = loads(TENANTS)
    for more, place in (
        ("bgp: {timers: {hold: 30, keepalive: 10}}", "bgp.timers.keepalive"),
        ("nodes: {leaf1: {loopback: 10.255.9.9}}", "nodes.leaf1"),
    ):
        with pytest.raises(UsageError, match=re.escape(place)):
            refuse_others("lab", old, loads(TENANTS + more + "\n"))
    with pytest.raises(UsageError, match="leaves differs: 4 runs, 5 given"):
        refuse_others("lab", old, loads(TENANTS.replace("leaves: 4", "leaves: 5")))


GUESTS = (
    "name: t\nspines: 1\nleaves: 2\nhosts: {per_leaf: 2, nics: 2}\n"
    "tenants: {red: {hosts: ['h1-1:eth1']}, blue: {hosts: [h2-1]}"
)


def test_a_nic_that_would_go_to_another_host_is_refused():
    old = plan(loads(GUESTS + "}"))
    refuse_moved_nics("lab", old, plan(loads(GUESTS + ", gold: {hosts: [h1-2]}}")))
    for more, said in (
        (", gold: {hosts: ['h1-2:eth2']}}", "eth2 of h1-2 would be of h1-2-gold"),
        (", gold: {hosts: ['h1-1:eth2']}}", "eth2 of h1-1 would be of h1-1-gold"),
    ):
        with pytest.raises(UsageError) as e:
            refuse_moved_nics("lab", old, plan(loads(GUESTS + more)))
        assert str(e.value) == (
            f"lab lab: apply moves no NIC from one host to another, and {said} (allowed: `closet down lab`, then up)"
        )


def test_another_tenant_leaves_guests_alone():
    old, new = plan(loads(GUESTS + "}")), plan(loads(GUESTS + ", gold: {hosts: [h1-2], shared: true}}"))
    assert old["h1-1-red"] == new["h1-1-red"]
    assert set(steps(old, new)) == {"leaf1", "leaf2", "h1-2"}


def test_the_difference_in_words():
    old, new = plan(loads(TENANTS)), plan(loads(GOLD))
    assert changes(old, new) == [
        "+ tenant gold, VNI 11803089: 2 hosts on leaf1 leaf4",
        "+ peering gold and services",
        "~ h1-6: from the underlay to gold, 10.0.0.6 becomes 10.99.0.1",
        "~ h4-6: from the underlay to gold, 10.0.3.6 becomes 10.99.0.3",
    ]
