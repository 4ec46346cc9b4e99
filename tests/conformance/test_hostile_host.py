"""A host that announces what is not its own harms no one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from closet.expect.sessions import neighbour_key
from closet.lab import Lab
from closet.plan import Node
from closet.records import Finding

from . import changes

pytestmark = pytest.mark.usefixtures("settled")


@contextmanager
def announcing(lab: Lab, host: Node, prefixes: list[str]) -> Iterator[None]:
    """The host drops its own policy and announces these prefixes over every link."""
    bgp = f"router bgp {host.asn}"
    out = {neighbour_key(lab.fabric, host.name, p.name): f"TO-{p.name}" for p in host.ports}
    family = "address-family ipv4 unicast"
    change = [bgp, "no bgp network import-check", "no bgp ebgp-requires-policy", family]
    change += [f"no neighbor {n} route-map {m} out" for n, m in out.items()]
    change += [f"network {p}" for p in prefixes]
    revert = [bgp, family, *(f"no network {p}" for p in prefixes)]
    revert += [f"neighbor {n} route-map {m} out" for n, m in out.items()]
    revert += ["exit-address-family", "bgp network import-check", "bgp ebgp-requires-policy"]
    with changes.vtysh(lab, host.name, change, revert):
        yield


def foreign(lab: Lab, host: Node) -> list[str]:
    """Another host's addresses: those of the furthest that has none of its own, as one of another tenant may."""
    other = [h for h in lab.fabric.hosts if not {*h.addresses} & {*host.addresses}][-1]
    return [f"{a}/32" for a in other.addresses]


STORM = [f"198.18.{n // 250}.{n % 250 + 1}/32" for n in range(1000)]


@pytest.mark.parametrize("what", ["foreign", "default", "storm"])
def test_host_announces(lab: Lab, what: str) -> None:
    host = lab.fabric.hosts[0]
    prefixes = {"foreign": foreign(lab, host), "default": ["0.0.0.0/0"], "storm": STORM}[what]
    leaf = lab.fabric[host.ports[0].peer]
    neighbour = neighbour_key(lab.fabric, leaf.name, host.ports[0].peer_port)
    vrf = changes.vrf_of(lab, leaf.name, host.ports[0].peer_port)

    def filtered() -> int:
        answer = lab[leaf.name].vtysh_json(f"show bgp vrf {vrf} neighbors {neighbour} json")[neighbour]
        return int(answer["prefixStats"]["inboundFiltered"])

    before = filtered()
    with announcing(lab, host, prefixes):
        # The control: all of it left the host and reached the leaf, whose filter took it.
        changes.eventually(lambda: _assert_at_least(filtered() - before, len(prefixes)))
        found = [f for r in lab.check("sessions", "rib", "fib", "reach") for f in r.findings]
        assert [str(f) for f in found if not _concerns(f, host)] == []


def _concerns(finding: Finding, host: Node) -> bool:
    """Whether a finding is about the hostile host itself: it may well cut itself off."""
    return finding.device.split("/")[0] == host.name or any(f" {a}" in f" {finding.subject}" for a in host.addresses)


def _assert_at_least(got: int, wanted: int) -> None:
    assert got >= wanted
