"""Each protection taken away, in turn, is found by the check that claims it: no check here cannot fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from closet.attack.attacker import attackers
from closet.lab import Lab
from closet.plan import Node, Role
from closet.records import Finding

from . import changes, mutations

Findings = Callable[..., list[Finding]]
pytestmark = pytest.mark.usefixtures("settled")


def a_leaf(lab: Lab) -> Node:
    return lab.fabric.role(Role.LEAF)[0]


def chooser(lab: Lab) -> Node:
    """A node that chooses among paths: a leaf with several uplinks or, without spines, a host with several NICs."""
    leaf = a_leaf(lab)
    return leaf if len(lab.fabric.uplinks(leaf)) > 1 else lab.fabric.hosts[0]


def test_layer3_hash_is_caught(lab: Lab, findings: Findings) -> None:
    node = chooser(lab)
    with changes.setting(lab, node.name, "net.ipv4.fib_multipath_hash_policy", 0):
        assert node.name in {f.device for f in findings("spread")}
        assert node.name in {f.device for f in findings("settings")}


def test_polarisation_is_caught(lab: Lab, findings: Findings) -> None:
    """One seed on leaves and spines: what a leaf sent up one way, its spine sends up one way again."""
    spines = [n for n in lab.fabric.role(Role.SPINE) if len(lab.fabric.uplinks(n)) > 1]
    name = "net.ipv4.fib_multipath_hash_seed"
    if not spines:  # one tier chooses: a shared seed is caught as a setting
        with changes.setting(lab, chooser(lab).name, name, 7):
            assert chooser(lab).name in {f.device for f in findings("settings")}
        return
    from contextlib import ExitStack

    with ExitStack() as stack:
        for node in [*lab.fabric.role(Role.LEAF), *spines]:
            stack.enter_context(changes.setting(lab, node.name, name, 7))
        assert {f.device for f in findings("spread")} & {n.name for n in spines}


def test_small_mtu_is_caught(lab: Lab, findings: Findings) -> None:
    leaf = a_leaf(lab)
    port = leaf.ports[0].name
    lab[leaf.name].run("ip", "link", "set", port, "mtu", "1500")
    try:
        assert (leaf.name, f"port {port}") in {(f.device, f.subject) for f in findings("links")}
        assert findings("reach")
    finally:
        lab[leaf.name].run("ip", "link", "set", port, "mtu", str(lab.fabric.mtu))
        for node in lab.nodes.values():  # who was told of a narrow path remembers it for ten minutes
            node.run("ip", "route", "flush", "cache")


def test_a_dead_daemon_is_a_finding(lab: Lab, findings: Findings) -> None:
    leaf = a_leaf(lab)
    with changes.daemon_killed(lab, leaf.name, "bgpd"):
        changes.eventually(lambda: _assert_dead(findings("daemons"), leaf.name))
        changes.eventually(lambda: _assert_sees(findings("sessions"), leaf.ports[0].peer))


def _assert_dead(found: list[Finding], device: str) -> None:
    assert [(f.device, f.subject) for f in found] == [(device, "daemon bgpd")]


def _assert_sees(found: list[Finding], device: str) -> None:
    assert device in {f.device for f in found}


def test_an_open_control_plane_is_caught(lab: Lab, findings: Findings) -> None:
    """Without the filter, the kernel or bgpd answers a host: so silence with it is the filter's work.

    A tenant's host and one of the underlay, whichever there are.
    """
    for a in {a.in_tenant: a for a in attackers(lab.fabric)}.values():
        with mutations.doors_changed(lab, a.leaf.name, a.vrf, "delete table inet closet"):
            found = [f.subject for f in findings("doors") if f.device == a.leaf.name]
        assert any(f" from {a.host.name} to " in subject for subject in found)


def test_a_changed_configuration_is_a_finding(lab: Lab, findings: Findings) -> None:
    leaf = a_leaf(lab)
    line = "ip prefix-list STRANGE seq 5 permit 192.0.2.0/24"
    with changes.vtysh(lab, leaf.name, [line], ["no " + line]):
        assert any("STRANGE" in f.observed for f in findings("config") if f.device == leaf.name)


def test_a_route_nobody_planned_is_a_finding(lab: Lab, findings: Findings) -> None:
    """No daemon knows of it, and packets need not meet it: it is the kernel's word that counts."""
    leaf = a_leaf(lab)
    # Of a NIC on another leaf it has a summary, a default or nothing: no route of this prefix.
    route = next(f"{p.rail}/32" for h in lab.fabric.hosts for p in h.ports if p.rail and p.peer != leaf.name)
    lab[leaf.name].run("ip", "route", "add", "blackhole", route, "metric", "1")
    try:
        found = [(f.device, f.subject, f.observed) for f in findings("fib")]
        assert found == [(leaf.name, f"FIB {route}", "blackhole (by hand)")]
        assert findings("rib") == []
    finally:
        lab[leaf.name].run("ip", "route", "del", "blackhole", route, "metric", "1")


def test_layer2_is_caught(lab: Lab, findings: Findings) -> None:
    leaf = a_leaf(lab)
    lab[leaf.name].run("ip", "link", "add", "br0", "type", "bridge")
    try:
        assert [f.device for f in findings("layer2")] == [leaf.name]
    finally:
        lab[leaf.name].run("ip", "link", "del", "br0")
