"""The way from one plan to another: only what differs is said, and a model of FRR ends with the new configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closet.change.delta import HOLD, RELEASE, delta
from closet.change.refuse import refuse_moved_nics, refuse_others
from closet.change.scope import scope
from closet.change.step import rising, steps, way_back
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


class Frr:
    """What vtysh lines do to a configuration, as far as `delta` relies on it; it refuses what FRR would."""

    def __init__(self, paths):
        self.paths = dict.fromkeys(paths)
        self.inside = ()

    def say(self, lines):
        for line in lines:
            if line == "exit":
                assert self.inside, "exit from nowhere"
                self.inside = self.inside[:-1]
            elif line.startswith("no ") and (*self.inside, line) not in self.known:
                self._remove(line[3:])
            else:
                self._add(line)
        assert self.inside == ()

    known = frozenset()
    """Lines that begin with `no` and are settings."""

    def _remove(self, line):
        path = (*self.inside, line)
        words = line.split()
        if words[0] == "neighbor" and ("peer-group" in words or len(words) == 2):
            assert any(p[:-1] == self.inside and p[-1].split()[:2] == words[:2] for p in self.paths), path
            gone = {words[1]} | {
                p[-1].split()[1] for p in self.paths if p[0] == path[0] and p[-1].endswith(f"peer-group {words[1]}")
            }
            self._drop(lambda p: p[0] == path[0] and p[-1].startswith("neighbor ") and p[-1].split()[1] in gone)
            return
        assert path in self.paths, path
        if words[0] == "vrf":
            assert not any(p[0].endswith(f" vrf {words[1]}") for p in self.paths), "the instance is still there"
        if words[:2] == ["router", "bgp"]:
            vrf = words[4]
            assert not any(p[0] == f"vrf {vrf}" and p[-1].startswith("vni ") for p in self.paths), "unconfigure l3vni"
            assert not any(p[0] == line and " interface " in p[-1] for p in self.paths), "neighbours go first"
        self._drop(lambda p: p[: len(path)] == path)

    def _drop(self, which):
        self.paths = {p: None for p in self.paths if not which(p)}
        empty = {p for p in self.paths if p[-1].startswith("address-family ")} - {p[:-1] for p in self.paths}
        self.paths = {p: None for p in self.paths if p not in empty}  # which FRR does not show

    def _add(self, line):
        path = (*self.inside, line)
        if match := re.match(r"(ip prefix-list \S+) seq \d+ (.*)", line):
            same = [p for p in self.paths if p[0].startswith(f"{match[1]} seq ") and p[0].endswith(f" {match[2]}")]
            assert same in ([], [path]), "FRR ignores an entry that is in the list already"
            self._drop(lambda p: p[0].startswith(line.split(" permit ")[0] + " "))
        if line in (HOLD, RELEASE):
            self._drop(lambda p: p[0].startswith("bgp route-map delay-timer"))
        for pattern in (r"bgp router-id", r"neighbor \S+ default-originate", r"set src", r"advertise ipv4 unicast"):
            if re.match(pattern, line):
                self._drop(lambda p, pattern=pattern: p[:-1] == self.inside and self._same(pattern, p[-1], line))
        for pattern in (r"neighbor \S+ route-map \S+ (in|out)", r"neighbor \S+ maximum-prefix"):
            if re.match(pattern, line):
                self._drop(
                    lambda p: (
                        p[:-1] == self.inside
                        and p[-1].split()[:3] == line.split()[:3]
                        and (p[-1].split()[-1] == line.split()[-1] or "route-map" not in line)
                    )
                )
        self.paths[path] = None
        if line.startswith(("route-map ", "vrf ", "interface ", "router bgp ", "address-family ", "bfd")):
            self.inside = path

    @staticmethod
    def _same(pattern, a, b):
        return bool(re.match(pattern, a)) and re.match(pattern, a)[0] == re.match(pattern, b)[0]


def parts(found):
    return (found.leave, found.drop, found.forget, found.arrive)


def walk(old, new, name):
    """Have the model take a node's step; what it runs at the end."""
    step = steps(old, new, [name]).get(name)
    frr = Frr(config_paths(render_node(old, old[name])["frr.conf"]))
    if step is not None:
        frr.known = {p for p in config_paths(step.after["frr.conf"]) if p[-1].startswith("no ")}
        for part in parts(step.delta):
            frr.say(part)
    return set(frr.paths)


@st.composite
def tenancies(draw):
    """Any two or three tenants of a small fabric, and their peerings."""
    hosts = [f"h{i}-{n}" for i in (1, 2, 3) for n in (1, 2, 3)]
    owner = draw(st.fixed_dictionaries({h: st.sampled_from(["", "red", "blue", "gold"]) for h in hosts}))
    lines = []
    there = [t for t in ("red", "blue", "gold") if t in owner.values()]
    for i, t in enumerate(there):
        mine = ", ".join(h for h in hosts if owner[h] == t)
        prefix = draw(st.sampled_from(["", f", prefix: 10.6{i}.0.0/24"]))
        vni = draw(st.sampled_from(["", f", vni: {100 + i}"]))
        lines.append(f"  {t}: {{hosts: [{mine}]{prefix}{vni}}}")
    peerings = [
        f"  - {{between: [{a}, {b}]}}" for i, a in enumerate(there) for b in there[i + 1 :] if draw(st.booleans())
    ]
    text = "name: any\nspines: 2\nleaves: 3\nhosts: {per_leaf: 3}\n"
    text += "tenants:\n" + "\n".join(lines) + "\n" if lines else ""
    return plan(loads(text + ("peerings:\n" + "\n".join(peerings) + "\n" if peerings else "")))


@given(old=tenancies(), new=tenancies())
def test_frr_ends_with_the_new_configuration(old, new):
    for name in new.nodes:
        assert walk(old, new, name) == set(config_paths(render_node(new, new[name])["frr.conf"])), name


@given(old=tenancies(), new=tenancies(), at=st.integers(0, 4))
def test_the_way_back_is_found_from_anywhere(old, new, at):
    """FRR has taken some of the parts of a step when the rest fails; back it goes to what it ran before."""
    for name, step in steps(old, new).items():
        frr = Frr(config_paths(step.before["frr.conf"]))
        frr.known = {p for f in (step.before, step.after) for p in config_paths(f["frr.conf"]) if p[-1][:3] == "no "}
        for part in parts(step.delta)[:at]:
            frr.say(part)
        back = way_back(step, old, new, sorted(frr.paths))
        for part in parts(back.delta):
            frr.say(part)
        assert set(frr.paths) == set(config_paths(step.before["frr.conf"])), name


@given(fabric=tenancies())
def test_the_same_plan_has_no_step(fabric):
    assert steps(fabric, fabric) == {}


def test_only_devices_of_the_tenant_change():
    old, new = plan(loads(TENANTS)), plan(loads(GOLD))
    todo = steps(old, new)
    assert sorted(todo) == ["h1-6", "h4-6", "leaf1", "leaf4"]
    for leaf in ("leaf1", "leaf4"):
        wires = todo[leaf].rewire
        assert ([t.name for t in wires.make], wires.drop, wires.cut) == (["gold"], (), ())
        assert [v.ends for v in wires.lay] == [(("gold", "pb419d1-4494a9"), ("services", "p4494a9-b419d1"))]
        assert wires.place == (("eth8", "gold"),)
        # The filter before the control plane has lost a host, in whichever VRF it is loaded; one of a VRF has a peer.
        assert {f for f in wires.filters if f[1] != "closet"} == {("services", "vrf_services", "vrf-services.nft")}
        for vrf in ("red", "blue", "green"):
            assert not [line for part in parts(todo[leaf].delta) for line in part if vrf in line]
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
    assert (step.rewire.leave(), step.rewire.arrive(new), parts(step.delta)) == ("", "", ([], [], [], []))


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


def test_entries_that_move_within_a_list_go_first():
    """FRR takes no entry that a list has already under another number, and says nothing of it."""
    have = [("ip prefix-list A seq 5 permit 10.0.0.1/32",), ("ip prefix-list A seq 10 permit 10.0.0.2/32",)]
    want = [("ip prefix-list A seq 5 permit 10.0.0.2/32",)]
    assert delta(have, want).arrive == [
        HOLD,
        "no ip prefix-list A seq 5 permit 10.0.0.1/32",
        "no ip prefix-list A seq 10 permit 10.0.0.2/32",
        "ip prefix-list A seq 5 permit 10.0.0.2/32",
        RELEASE,
    ]
