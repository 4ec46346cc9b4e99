"""The lines from one configuration to another: a model of FRR takes them, and ends with the new one."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from closet.change.delta import HOLD, RELEASE, delta
from closet.change.step import steps, way_back
from closet.intent import loads
from closet.observe.frr import config_paths
from closet.plan import plan
from closet.render import render_node


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
def tenancies(draw, links):
    """Any two or three tenants of a small fabric with links like these, and their peerings."""
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
    text = f"name: any\nspines: 2\nleaves: 3\nhosts: {{per_leaf: 3}}\nlinks: {links}\n"
    text += "tenants:\n" + "\n".join(lines) + "\n" if lines else ""
    return plan(loads(text + ("peerings:\n" + "\n".join(peerings) + "\n" if peerings else "")))


LINKS = st.sampled_from(["{addressing: unnumbered}", "{addressing: numbered}"])
CHANGES = LINKS.flatmap(lambda links: st.tuples(tenancies(links), tenancies(links)))


@given(change=CHANGES)
def test_frr_ends_with_the_new_configuration(change):
    old, new = change
    for name in new.nodes:
        assert walk(old, new, name) == set(config_paths(render_node(new, new[name])["frr.conf"])), name


@given(change=CHANGES, at=st.integers(0, 4))
def test_the_way_back_is_found_from_anywhere(change, at):
    """FRR has taken some of the parts of a step when the rest fails; back it goes to what it ran before."""
    old, new = change
    for name, step in steps(old, new).items():
        frr = Frr(config_paths(step.before["frr.conf"]))
        frr.known = {p for f in (step.before, step.after) for p in config_paths(f["frr.conf"]) if p[-1][:3] == "no "}
        for part in parts(step.delta)[:at]:
            frr.say(part)
        back = way_back(step, old, new, sorted(frr.paths))
        for part in parts(back.delta):
            frr.say(part)
        assert set(frr.paths) == set(config_paths(step.before["frr.conf"])), name


@given(fabric=LINKS.flatmap(tenancies))
def test_the_same_plan_has_no_step(fabric):
    assert steps(fabric, fabric) == {}


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
