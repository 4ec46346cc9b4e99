"""Attacks as they are planned: what is sent, where it is looked for, and how what was seen is judged."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from hypothesis import given, infer

from closet.attack import ATTACKS, announce, select
from closet.attack.attacker import Neighbourhood, attacker, attackers, token
from closet.attack.fragment import TRICKS
from closet.attack.registry import NOTHING, judge
from closet.attack.shot import Look, Missing, Shot, Twin, achieved
from closet.attack.source import spoofed
from closet.cli.group import cli
from closet.errors import UsageError
from closet.intent import load
from closet.plan import Fabric, plan
from closet.records import Finding
from closet.suite import Result
from closet.traffic.wire import Place, far_end

ROOT = Path(__file__).parents[2]
HERE, THERE = Place("h1", "eth1"), Place("leaf1", "eth3")
SHOT = Shot("h1: a packet", HERE, (b"frame with mark",), (b"mark",), (THERE,))


@pytest.fixture(scope="module")
def tenants() -> Fabric:
    return plan(load(ROOT / "topologies" / "tenants.yaml"))


def shots(fabric: Fabric, name: str) -> list[Shot]:
    return list(ATTACKS[name].check.expect(fabric))


def packet(frame: bytes):
    from scapy.layers import inet6, vxlan  # noqa: F401  so that they are taken apart
    from scapy.layers.l2 import Ether

    return Ether(frame)


def test_one_host_of_each_vrf_attacks(tenants):
    assert [a.vrf for a in attackers(tenants)] == ["red", "blue", "green", "default", "services"]


@pytest.mark.parametrize("name", ["source", "ipv6", "fragments", "storm", "vxlan"])
def test_what_is_looked_for_is_in_what_is_sent(tenants, name):
    for shot in shots(tenants, name):
        assert any(t in frame for t in shot.traces for frame in shot.frames), shot.what
        assert shot.twin is None or any(shot.twin.trace in frame for frame in shot.twin.frames)


@pytest.mark.parametrize("name", [n for n in ATTACKS if n not in {"hijack", "attract", "flood"}])
def test_shots_differ_and_leave_by_a_host_towards_its_leaf(tenants, name):
    its = shots(tenants, name)
    assert len({(s.what, s.frames, s.traces) for s in its}) == len(its) > 0
    for shot in its:
        host = tenants[shot.start.node]
        door = far_end(tenants, shot.start)
        assert host.is_host
        assert door not in shot.never
        assert all(packet(f).src == host.port(shot.start.port).mac for f in shot.frames)
        assert len(max(shot.frames, key=len)) <= tenants.tenant_mtu


def test_spoofed_addresses_are_of_everybody_but_the_attacker(tenants):
    for a in attackers(tenants):
        whose = dict(spoofed(a))
        assert not set(whose.values()) & set(a.host.addresses)
        assert any(a.vrf in who for who in whose if a.in_tenant and len(tenants.tenants[a.vrf].hosts) > 1) or not (
            a.in_tenant and len(tenants.tenants[a.vrf].hosts) > 1
        )
        assert len(whose) >= 5


def test_the_source_of_every_spoof_is_foreign(tenants):
    from scapy.layers.inet import IP

    for shot in shots(tenants, "source"):
        host = tenants[shot.start.node]
        assert all(IPv4Address(packet(f)[IP].src) not in host.addresses for f in shot.frames)
        assert shot.twin is not None
        assert all(IPv4Address(packet(f)[IP].src) in host.addresses for f in shot.twin.frames)


def test_forged_vxlan_is_what_a_vtep_would_send(tenants):
    from scapy.layers.inet import IP
    from scapy.layers.vxlan import VXLAN

    vni = {t.vni: t for t in tenants.tenants.values()}
    seen = set()
    for shot in shots(tenants, "vxlan"):
        outer = packet(shot.frames[0])
        tenant = vni[outer[VXLAN].vni]
        inner = outer[VXLAN].payload
        leaf = next(n for n in tenants.switches if str(n.loopback) == outer[IP].dst)
        assert inner.dst == leaf.router_mac
        victims = [n for n in tenants.hosts if n.vrf == tenant.name and IPv4Address(inner[IP].dst) in n.addresses]
        assert [v.ports[0].peer for v in victims] == [leaf.name]
        seen.add((tenants[shot.start.node].vrf, tenant.name))
    assert {t for v, t in seen if v == "default"} == set(tenants.tenants)
    assert ("red", "blue") in seen


def test_who_may_not_meet_is_asked_in_fragments_too(tenants):
    hood = Neighbourhood(tenants)
    web, db = attacker(tenants, tenants["h1-4"]), attacker(tenants, tenants["h1-5"])
    assert {e.host for e in hood.forbidden(web)} == {"h1-5"}  # it may open connections to services, and meet its cache
    assert {e.host for e in hood.forbidden(db)} == {"h1-4", "h2-5", "h3-5", "h4-5"}
    assert hood.mate(db) is None


@pytest.mark.parametrize("trick", ["tiny", "backwards"])
def test_fragments_are_all_of_a_packet(trick):
    data = bytes(range(60))
    pieces = TRICKS[trick](data)
    assert b"".join(piece for _, _, piece in sorted(pieces)) == data
    assert [more for at, more, _ in sorted(pieces)] == [1] * (len(pieces) - 1) + [0]


def test_no_first_fragment_and_overlap_are_what_they_say():
    data = bytes(range(60))
    assert min(at for at, _, _ in TRICKS["no first"](data)) == 8
    ends = [(at, at + len(piece)) for at, _, piece in TRICKS["overlapping"](data)]
    assert any(a < d and c < b for i, (a, b) in enumerate(ends) for c, d in ends[:i])


@given(fabric=infer)
def test_any_fabric_can_be_attacked(fabric: Fabric):
    for one in ATTACKS.values():
        tries = one.check.expect(fabric)
        assert all(t.what.partition(": ")[0] in fabric.nodes for t in tries)


def test_a_shot_that_is_seen_where_it_must_not_be_has_achieved_something():
    assert achieved(SHOT, {THERE: {b"other": 3, b"a mark b": 1, b"mark": 2}}, {}, {}) == ["3 frames at leaf1 eth3"]
    assert achieved(SHOT, {THERE: {b"other": 1}, HERE: {b"mark": 1}}, {}, {}) == []


def test_a_changed_table_is_an_achievement():
    look = Look("leaf1", "red", ("ip", "neigh"))
    shot = Shot("h1: ARP", HERE, (), (), (), looks=(look,))
    assert achieved(shot, {}, {look: ["a", "b"]}, {look: ["b", "c"]}) == ["leaf1: ip neigh (VRF red): + c; - a"]
    assert achieved(shot, {}, {look: ["a"]}, {look: ["a"]}) == []


def test_controls_are_missing_until_every_frame_and_twin_was_seen():
    elsewhere = Place("leaf2", "eth3")
    twin = Twin(HERE, (b"fine",), b"fine", (THERE, elsewhere))
    missing = Missing({SHOT: THERE}, [twin])
    seen: dict[Place, list[bytes]] = {HERE: [b"fine"], THERE: [], elsewhere: []}
    assert not missing.none(seen)
    seen[THERE].append(b"only a mark")
    assert not missing.none(seen)
    assert "h1: a packet: not seen at leaf1 eth3" in missing.words()
    seen[THERE].append(b"frame with mark")
    assert not missing.none(seen)
    assert "twin from h1 eth1: not seen at leaf1 eth3 or leaf2 eth3" in missing.words()
    seen[elsewhere].append(b"a fine one")
    assert missing.none(seen)


def test_an_answer_may_come_home_by_any_cable():
    """To a host with several: that the twin's came by another is no reason to doubt; nor must the attack's."""
    fabric = plan(load(ROOT / "topologies/rail-optimised.yaml"))
    for shot in shots(fabric, "addresses"):
        ends = {Place(shot.start.node, p.name) for p in fabric[shot.start.node].ports}
        assert len(ends) == 4
        assert shot.twin is not None
        assert ends == set(shot.twin.arrives) == set(shot.never)


def test_a_finding_names_who_attacked_whom_and_what_came_of_it():
    assert list(judge({SHOT: NOTHING}, {SHOT: ["2 frames at leaf1 eth3"]})) == [
        Finding("h1", "a packet", NOTHING, "2 frames at leaf1 eth3")
    ]
    assert list(judge({SHOT: NOTHING}, {SHOT: []})) == []


def test_findings_go_to_who_announced_their_prefix(tenants):
    one, two = attackers(tenants)[:2]
    first = announce.Announcement("h1-1: a", one, ("192.0.2.0/25",))
    second = announce.Announcement("h1-3: b", two, ("192.0.2.128/25",))
    found = ["fib: leaf1  FIB red 192.0.2.128/25  expected none, observed eth3", "sessions: spine1  BGP eth1 ..."]
    assert announce.attribute([first, second], found) == {first: found[1:], second: found}


def test_an_attacker_may_cut_itself_off(tenants):
    a = attackers(tenants)[0]
    own = [
        Finding("h1-1", "FIB 0.0.0.0/0", "eth1", "none"),
        Finding("h1-1/eth1", "reach h1-2", "an answer", "no answer"),
        Finding("leaf3", f"RIB red {a.address}/32", "10.255.0.3", "none"),
        Finding("leaf1", f"BGP {a.door.name}", "Established", "Idle"),
    ]
    others = [
        Finding("leaf1", "BGP eth4", "Established", "Idle"),
        Finding("leaf2", f"BGP {a.door.name}", "Established", "Idle"),
        Finding("leaf1", "FIB red 10.64.0.6/32", "10.255.0.4", "eth3"),
    ]
    assert all(announce.concerns(f, a) for f in own)
    assert not any(announce.concerns(f, a) for f in others)


def test_tokens_differ():
    assert len({token("a", 1), token("a", 2), token("b", 1)}) == 3


def test_an_unknown_attack_is_a_usage_error():
    with pytest.raises(UsageError, match="attack 'nuke', allowed: source, ipv6"):
        select(["nuke"])


def test_every_attack_is_on_the_page_with_a_mutation_that_exists():
    page = (ROOT / "docs" / "attacks.md").read_text()
    known = set(re.findall(r"^def (\w+)", (ROOT / "tests/conformance/mutations.py").read_text(), re.MULTILINE))
    rows = {row.split("|")[1].strip(" `"): row for row in page.splitlines() if row.startswith("| `")}
    assert set(rows) == set(ATTACKS)
    for name, row in rows.items():
        cells = [c.strip() for c in row.split("|")]
        assert cells[2] == ATTACKS[name].check.claim
        assert set(re.findall(r"`(\w+)`", cells[4])) <= known
        assert re.findall(r"`(\w+)`", cells[4])


def test_an_attack_with_nothing_to_try_did_not_fail(monkeypatch, tenants):
    went = [Result("storm", "it ends", 0), Result("ttl", "it ends", 3, error="unseen"), Result("doors", "it ends", 3)]
    lab = SimpleNamespace(name="t", fabric=tenants, nodes={})
    monkeypatch.setattr("closet.lab.open_lab", lambda _: lab)
    monkeypatch.setattr("closet.attack.select", lambda _: [ATTACKS["storm"]] * 3)
    monkeypatch.setattr("closet.suite.run_one", lambda *_: went.pop(0))
    done = CliRunner().invoke(cli, ["attack"])
    rows = [line.split() for line in done.output.splitlines()]
    assert [(row[0], row[1]) for row in rows if row[-2:] == ["it", "ends"] and len(row) > 4] == [
        ("-", "storm"),
        ("?", "ttl"),
        ("✓", "doors"),
    ]
    assert "? ttl: it ends" in done.output
    assert done.exit_code == 1
