"""What keeps tenants apart and together, taken away piece by piece: each loss is found, by traffic where it matters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from closet.lab import Lab
from closet.plan import Node, Peering, Tenant
from closet.records import Finding
from closet.render.frr import PEERING_GATEWAYS
from closet.render.vrf import nft_file, peering_macs

from . import changes

Findings = Callable[..., list[Finding]]
pytestmark = pytest.mark.usefixtures("settled")


@pytest.fixture(autouse=True)
def with_tenants(lab: Lab) -> None:
    if len(lab.fabric.tenants) < 2:
        pytest.skip("an intent without tenants has nothing of this to test")


def two(lab: Lab) -> tuple[Node, Tenant, Tenant]:
    """A leaf with hosts of a tenant that has some elsewhere, too; and another tenant with hosts elsewhere.

    Such as do not peer, if there are any: then nothing of the other is where the first is.
    """
    found = [
        (lab.fabric.peering(a.name, b.name) is not None, lab.fabric[leaf], a, b)
        for a in lab.fabric.tenants.values()
        for leaf in a.homes
        for b in lab.fabric.tenants.values()
        if a is not b and len(a.homes) > 1 and set(b.homes) - {leaf}
    ]
    assert found, "no tenant with hosts on several leaves beside another"
    return min(found, key=lambda f: f[0])[1:]


def instance(leaf: Node, tenant: Tenant) -> list[str]:
    return [f"router bgp {leaf.asn} vrf {tenant.name}", "address-family l2vpn evpn"]


def subjects(found: list[Finding], device: str) -> list[str]:
    return [f.subject for f in found if f.device == device]


def test_a_missing_route_target_is_a_black_hole(lab: Lab, findings: Findings) -> None:
    leaf, tenant, _ = two(lab)
    line = f"route-target import {tenant.route_target}"
    other = "route-target import 65000:1"  # without any, FRR would make one up
    with changes.vtysh(
        lab, leaf.name, [*instance(leaf, tenant), other, f"no {line}"], [*instance(leaf, tenant), line, f"no {other}"]
    ):
        found = changes.eventually(lambda: _some(findings("fib"), leaf.name, f"FIB {tenant.name} "))
        assert all(f.observed == "none" for f in found)
        cut_off = {h for h in tenant.hosts if any(p.peer == leaf.name for p in lab.fabric[h].ports)}
        assert {f.device.split("/")[0] for f in findings("matrix")} & cut_off
        assert findings("config")


def test_a_foreign_route_target_is_a_leak(lab: Lab, findings: Findings) -> None:
    """One line too many, and a VRF imports another tenant's routes: found in RIB and FIB, prefix by prefix."""
    leaf, tenant, other = two(lab)
    line = f"route-target import {other.route_target}"
    with changes.vtysh(lab, leaf.name, [*instance(leaf, tenant), line], [*instance(leaf, tenant), f"no {line}"]):
        assert changes.eventually(lambda: _some(findings("rib", "fib", "config"), leaf.name, ""))


def test_routes_exported_with_another_target_are_found_on_every_switch(lab: Lab, findings: Findings) -> None:
    leaf, tenant, other = two(lab)
    line = f"route-target export {other.route_target}"
    with changes.vtysh(lab, leaf.name, [*instance(leaf, tenant), line], [*instance(leaf, tenant), f"no {line}"]):
        far = next(n.name for n in lab.fabric.switches if n.name != leaf.name and lab.fabric.vrfs(n))
        changes.eventually(lambda: _some(findings("evpn"), far, "EVPN "))


def _some(found: list[Finding], device: str, subject: str) -> list[Finding]:
    its = [f for f in found if f.device == device and f.subject.startswith(subject)]
    assert its
    return its


@contextmanager
def without_filter(lab: Lab, leaf: Node, tenant: Tenant) -> Iterator[None]:
    """A tenant's VRF without its filter on one leaf."""
    vrf = tenant.name if lab[leaf.name].has_namespace(tenant.name) else "default"
    lab[leaf.name].run("nft", "delete", "table", "inet", f"vrf_{tenant.name}", vrf=vrf)
    try:
        yield
    finally:
        lab[leaf.name].run("nft", "-f", f"/etc/frr/{nft_file(tenant)}", vrf=vrf)


def apart(lab: Lab) -> tuple[Tenant, list[Node]]:
    """A tenant with subnets kept apart, and the leaves it is on."""
    for tenant in lab.fabric.tenants.values():
        if any(not tenant.joins(a, b) for a in tenant.subnets for b in tenant.subnets):
            return tenant, [lab.fabric[name] for name in tenant.leaves]
    pytest.skip("an intent whose tenants keep no subnets apart")


def test_subnets_are_kept_apart_by_the_filter_alone(lab: Lab, findings: Findings) -> None:
    """Without it they meet: so silence with it is its work, by ICMP, TCP and UDP."""
    from contextlib import ExitStack

    tenant, leaves = apart(lab)
    with ExitStack() as stack:
        for leaf in leaves:
            stack.enter_context(without_filter(lab, leaf, tenant))
        found = findings("reach", "matrix")
        inside = [f for f in found if f.device.split("/")[0] in tenant.hosts]
        assert {f.subject.split()[0] for f in inside} == {"reach", "ICMP", "TCP", "UDP"}
        assert any("last hop" in f.observed for f in inside)


def peered(lab: Lab) -> Peering:
    if not lab.fabric.peerings:
        pytest.skip("an intent whose tenants do not peer")
    return lab.fabric.peerings[0]


def test_a_peering_without_its_cable_is_found_by_traffic(lab: Lab, findings: Findings) -> None:
    peering = peered(lab)
    tenant = lab.fabric.tenants[peering.one]
    leaf = lab.fabric[tenant.homes[0]]
    port = peering.port(peering.one)
    lab[leaf.name].run("ip", "link", "set", port, "down", vrf=peering.one)
    try:
        here = {h for h in tenant.hosts if any(p.peer == leaf.name for p in lab.fabric[h].ports)}
        found = changes.eventually(lambda: _between(findings("matrix"), f"{peering.one} to {peering.other}", here))
        assert all("silent" in f.observed for f in found)
    finally:
        lab[leaf.name].run("ip", "link", "set", port, "up", vrf=peering.one)
        # Linux forgets a neighbour of a link that went down, even a permanent one.
        there, mac = PEERING_GATEWAYS[1], peering_macs(leaf)[1]
        entry = (there, "lladdr", mac, "dev", port, "nud", "permanent")
        lab[leaf.name].run("ip", "neigh", "replace", *entry, vrf=peering.one)


def _between(found: list[Finding], tenants: str, hosts: set[str]) -> list[Finding]:
    its = [f for f in found if f"({tenants}" in f.subject and f.device.split("/")[0] in hosts]
    assert its
    return its


def test_another_router_mac_is_found(lab: Lab, findings: Findings) -> None:
    leaf, tenant, _ = two(lab)
    lab[leaf.name].run("ip", "link", "set", tenant.bridge, "address", "02:c2:ff:ff:00:00", vrf=tenant.name)
    try:
        changes.eventually(lambda: _some(findings("vnis"), leaf.name, f"VRF {tenant.name}"))
    finally:
        lab[leaf.name].run("ip", "link", "set", tenant.bridge, "address", leaf.router_mac, vrf=tenant.name)


@contextmanager
def on_one_core() -> Iterator[None]:
    """All packets go out on one core: Linux remembers a VTEP's path on each, and two may differ by chance."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def test_one_path_for_all_flows_in_a_tunnel_is_found(lab: Lab, findings: Findings) -> None:
    """Without the mark, Linux sends all that goes to a VTEP one way: the overlay's ECMP is gone, and nobody says so."""
    leaf, tenant, _ = two(lab)
    if len(lab.fabric.uplinks(leaf)) < 2:
        pytest.skip("an intent whose leaves have one uplink")
    with without_filter(lab, leaf, tenant), on_one_core():
        assert f"ECMP {tenant.name}" in subjects(findings("spread"), leaf.name)
