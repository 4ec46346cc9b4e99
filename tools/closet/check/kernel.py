"""Claims about what every node stands on: its links, its kernel's settings, and what its kernel must not have."""

from __future__ import annotations

from collections.abc import Iterator

from closet.check.registry import differences, node_check
from closet.expect import expected_settings
from closet.observe import kernel
from closet.plan import DEFAULT_VRF, Fabric
from closet.records import Finding, Port, Settings


def _ports(fabric: Fabric) -> dict[str, dict[str, Port]]:
    return {n.name: {p.name: Port(p.mac, p.mtu, up=True) for p in n.ports} for n in fabric}


def _layer2(fabric: Fabric) -> dict[str, frozenset[str]]:
    return {
        n.name: frozenset(
            what
            for t in fabric.vrfs(n)
            for what in (f"bridge {t.bridge}", f"vxlan {t.vxlan}", f"{t.vxlan} in {t.bridge}")
        )
        for n in fabric
    }


@node_check("every link is up with its MAC and MTU, and there is no other", observe=kernel.ports, expect=_ports)
def links(device: str, expected: dict[str, Port], observed: dict[str, Port]) -> Iterator[Finding]:
    """A port that is down, missing, or not as planned."""
    yield from differences(device, expected, observed, lambda name: f"port {name}")


@node_check(
    "kernel settings are as planned: layer 4 hash, one seed a node, forwarding on switches only",
    observe=kernel.settings,
    expect=expected_settings,
    count=lambda expected: len(expected[DEFAULT_VRF]),
)
def settings(device: str, expected: Settings, observed: Settings) -> Iterator[Finding]:
    """A setting that has another value."""
    for vrf, here in observed.items():
        where = "" if vrf == DEFAULT_VRF else f" VRF {vrf}"
        yield from differences(device, expected[DEFAULT_VRF], here, lambda name: f"{name}{where}")  # noqa: B023


@node_check(
    "there is no layer 2 state: no bridge but that of an L3VNI, no learned MAC, no flooding, no ARP",
    observe=kernel.layer2,
    expect=_layer2,
    count=lambda _: 1,
)
def layer2(device: str, expected: frozenset[str], observed: frozenset[str]) -> Iterator[Finding]:
    """State that only switching needs."""
    for what in sorted(observed - expected):
        yield Finding(device, "layer 2", "none", what)
    for what in sorted(expected - observed):
        yield Finding(device, "L3VNI", what, "none")
