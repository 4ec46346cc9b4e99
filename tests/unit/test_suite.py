"""Running checks: what could not be observed is a finding or an error, and never a pass."""

from __future__ import annotations

from dataclasses import replace
from threading import Barrier

import pytest

from closet.check import CHECKS, NodeCheck, ProbeCheck
from closet.cli.up import findings_lines
from closet.errors import ProbeError, UsageError
from closet.intent import loads
from closet.plan import plan
from closet.records import Finding
from closet.suite import Result, run, run_one, select

ONE_OF_EACH = "name: x\nleaves: 1\nspines: 1\nhosts: {per_leaf: 1}\n"
FABRIC = plan(loads(ONE_OF_EACH))
WITH_TENANT = plan(loads(ONE_OF_EACH + "tenants: {red: {hosts: [h1-1]}}\n"))
NODES = dict.fromkeys(FABRIC.nodes, None)


def node_check(observe) -> NodeCheck:
    """Every node is expected to be well, which counts as two claims."""

    def judge(device, expected, observed):
        if observed != expected:
            yield Finding(device, "state", expected, observed)

    return NodeCheck(
        "wellness", "all are well", observe, lambda fabric: dict.fromkeys(fabric.nodes, "well"), judge, lambda _: 2
    )


def probe_check(observe) -> ProbeCheck:
    def judge(expected, observed):
        if observed != expected["it"]:
            yield Finding("leaf1", "probe", str(expected["it"]), str(observed))

    return ProbeCheck("probe", "it answers", observe, lambda _: {"it": 7}, judge, lambda _: 7)


def raising(error):
    def observe(*_):
        raise error

    return observe


def test_all_well():
    result = run_one(FABRIC, NODES, node_check(lambda *_: "well"))
    assert (result.passed, result.claims, result.findings, result.error) == (True, 6, [], "")
    assert (result.check, result.claim) == ("wellness", "all are well")
    assert run_one(FABRIC, NODES, probe_check(lambda *_: 7)).passed


def test_findings_come_in_order_and_are_no_pass():
    result = run_one(FABRIC, NODES, node_check(lambda *_: "ill"))
    assert [str(f) for f in result.findings] == [
        f"{name}  state  expected well, observed ill" for name in ("h1-1", "leaf1", "spine1")
    ]
    assert not result.passed
    assert not run_one(FABRIC, NODES, probe_check(lambda *_: 8)).passed


def test_a_node_that_could_not_be_looked_at_is_a_finding_and_the_others_are_judged():
    nodes = {name: name for name in FABRIC.nodes}

    def observe(node, fabric):
        if node == "leaf1":
            raise ProbeError("leaf1: bgpd: not running (Connection refused)")
        return "ill" if node == "h1-1" else "well"

    result = run_one(FABRIC, nodes, node_check(observe))
    assert [str(f) for f in result.findings] == [
        "h1-1  state  expected well, observed ill",
        "leaf1  wellness  expected an answer, observed bgpd: not running (Connection refused)",
    ]
    assert (result.passed, result.claims) == (False, 6)


def test_a_probe_that_could_not_run_is_an_error():
    result = run_one(FABRIC, NODES, probe_check(raising(ProbeError("h1-1: cannot send from 10.0.0.1"))))
    assert (result.passed, result.findings, result.error) == (False, [], "h1-1: cannot send from 10.0.0.1")


@pytest.mark.parametrize("make", [node_check, probe_check])
@pytest.mark.parametrize("error", [KeyError("eth1"), OSError(101, "Network is unreachable")])
def test_what_nobody_foresaw_is_no_pass_either(make, error):
    try:
        result = run_one(FABRIC, NODES, make(raising(error)))
    except type(error):
        return
    assert not result.passed


def test_a_node_that_is_not_there_is_no_pass():
    with pytest.raises(KeyError):
        run_one(FABRIC, {"spine1": None}, node_check(lambda *_: "well"))


ABOUT = {"evpn": {"spine1", "leaf1"}, "vnis": {"leaf1"}, "verbs": set()}
"""Checks that do not concern every node."""


@pytest.mark.parametrize("name", [n for n, c in CHECKS.items() if isinstance(c, NodeCheck)])
def test_every_check_of_a_dead_node_finds_it(name, tmp_path):
    """What really happens with a node whose processes are gone: no check takes that for a good answer."""
    from closet.runtime.node import LiveNode

    dead = {n: LiveNode(name=n, pid=2**31 - 1, folder=tmp_path) for n in WITH_TENANT.nodes}
    result = run_one(WITH_TENANT, dead, CHECKS[name])
    assert {f.device for f in result.findings} == ABOUT.get(name, set(WITH_TENANT.nodes))


def test_run_keeps_the_order():
    checks = [probe_check(lambda *_: 7), node_check(lambda *_: "well")]
    assert [r.check for r in run(FABRIC, NODES, checks)] == ["probe", "wellness"]


def test_probes_that_share_the_fabric_go_at_once_and_others_when_it_is_theirs():
    meet, under_way, beside = Barrier(2, timeout=10), [], {}

    def sharing(fabric, nodes, expected):
        under_way.append("it")
        meet.wait()  # breaks, if the other does not begin until this one has ended
        under_way.pop()
        return 7

    def alone(fabric, nodes, expected):
        beside["others"] = len(under_way)
        return 7

    checks = [
        replace(probe_check(alone), name="first"),
        replace(probe_check(sharing), name="one", shares=True),
        replace(probe_check(sharing), name="other", shares=True),
    ]
    begun = []
    results = run(FABRIC, NODES, checks, begin=lambda check: begun.append(check.name))
    assert [(r.check, r.passed) for r in results] == [("first", True), ("one", True), ("other", True)]
    assert beside == {"others": 0}
    assert sorted(begun) == ["first", "one", "other"]


def test_what_counts_packets_on_cables_shares_them_with_nobody():
    assert {name for name, c in CHECKS.items() if isinstance(c, ProbeCheck) and not c.shares} == {"spread"}


def test_select():
    assert select([]) == list(CHECKS.values())
    assert [c.name for c in select(["fib", "rib"])] == ["fib", "rib"]
    with pytest.raises(UsageError) as caught:
        select(["fib", "fibs"])
    assert str(caught.value) == f"check 'fibs', allowed: {', '.join(CHECKS)}"


def test_a_result_passes_only_without_findings_and_without_an_error():
    finding = Finding("leaf1", "x", "y", "z")
    went = [
        Result("c", "claim", 0),
        Result("c", "claim", 1),
        Result("c", "claim", 1, findings=[finding]),
        Result("c", "claim", 1, error="could not look"),
    ]
    assert [(r.passed, r.mark) for r in went] == [(True, "-"), (True, "✓"), (False, "✗"), (False, "?")]


def test_what_could_not_be_judged_is_no_finding_in_what_is_said_either():
    results = [
        Result("fib", "routes are planned", 1, [Finding("leaf1", "x", "y", "z")]),
        Result("reach", "hosts meet", 1, error="cannot send"),
        Result("rib", "routes are there", 1),
    ]
    assert findings_lines(results) == [
        "✗ fib: routes are planned",
        "    leaf1  x  expected y, observed z",
        "? reach: hosts meet",
        "    could not be judged: cannot send",
    ]
