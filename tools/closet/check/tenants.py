"""Claims about tenants: what EVPN carries for them, and who of them can talk to whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from closet.check.registry import differences, node_check, probe_check
from closet.expect import expected_l3vnis, expected_matrix, expected_type5
from closet.observe import evpn as observe
from closet.records import Finding, L3Vni, Outcome, Probe, Type5
from closet.traffic.matrix import matrix as try_all


@node_check(
    "EVPN carries IP prefix routes only: each with the planned RD, route target, router MAC and VTEP, and no other",
    observe=observe.type5,
    expect=expected_type5,
)
def evpn(device: str, expected: frozenset[Type5], observed: frozenset[Type5]) -> Iterator[Finding]:
    """A Type-5 route that is missing or has a wrong number, or a route of another type."""
    at = {(r.rd, r.prefix): r for r in expected}
    for route in sorted(observed - expected):
        want = at.get((route.rd, route.prefix))
        yield Finding(device, f"EVPN {route.prefix} RD {route.rd}", str(want) if want else "none", str(route))
    seen = {(r.rd, r.prefix) for r in observed}
    for route in sorted(expected):
        if (route.rd, route.prefix) not in seen:
            yield Finding(device, f"EVPN {route.prefix} RD {route.rd}", str(route), "none")


@node_check(
    "every planned L3VNI is up over its own devices with the leaf's router MAC, and there is no L2VNI",
    observe=observe.l3vnis,
    expect=expected_l3vnis,
)
def vnis(device: str, expected: dict[str, L3Vni], observed: dict[str, L3Vni]) -> Iterator[Finding]:
    """An L3VNI that is down or has another number, device or MAC; any L2VNI."""
    yield from differences(device, expected, observed, lambda vrf: f"VRF {vrf}")


@probe_check(
    "endpoints talk by ICMP, TCP and UDP 4791 to whom their tenant, its subnets and peerings allow, and to nobody else"
    " (of more than 50,000 pairs a sample that has every leaf and reason)",
    observe=try_all,
    expect=expected_matrix,
    shares=True,
)
def matrix(expected: Mapping[Probe, frozenset[str]], observed: dict[Probe, Outcome]) -> Iterator[Finding]:
    """A pair that must talk and does not, or a leak."""
    for probe, may in expected.items():
        got = observed[probe]
        if got.what not in may:
            yield Finding(str(probe.source), str(probe), "an answer" if "answered" in may else "silence", str(got))
