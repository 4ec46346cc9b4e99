"""The connectivity matrix: to whom every endpoint may open a connection; what it does not say is denied."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from itertools import chain

from closet.expect.lazy import Lazy
from closet.expect.pairs import allowed, endpoints
from closet.expect.reach import planned_hops
from closet.plan import DEFAULT_VRF, Fabric
from closet.records import Endpoint, Pair, Probe

PROTOCOLS = ("ICMP", "TCP", "UDP")
ALLOWED = frozenset({"answered"})
DENIED = frozenset({"silent"})
TAKEN = frozenset({"silent", "another answered"})
"""Of an address that another endpoint has, too, which the source may well reach."""


def expected_matrix(fabric: Fabric) -> Mapping[Probe, frozenset[str]]:
    """Probe → what may become of it; empty for a fabric without tenants, which keeps nobody apart."""
    if not fabric.tenants:
        return {}
    hops = planned_hops(fabric)
    having: dict[IPv4Address, list[Endpoint]] = {}
    for endpoint in chain(*endpoints(fabric)):
        having.setdefault(endpoint.address, []).append(endpoint)
    places = {h.name: place_of(fabric, h.name) for h in fabric.hosts}

    def outcome(probe: Probe) -> frozenset[str]:
        pair = (probe.source, probe.target)
        if hops[pair]:
            return ALLOWED
        return TAKEN if _taken(fabric, pair, having[probe.target.address]) else DENIED

    between = {(a, b): a if a == b else f"{a} to {b}" for a in places.values() for b in places.values()}
    probes = (
        Probe(protocol, a, b, there)
        for a, b in hops
        for there in [between[places[a.host], places[b.host]]]
        for protocol in PROTOCOLS
    )
    return Lazy(probes, outcome)


def _taken(fabric: Fabric, pair: Pair, having: list[Endpoint]) -> bool:
    """Whether another one has the target's address, as VIP or NIC: the source itself, or one it may talk to."""
    source, target = pair
    others = (e for e in having if e.host != target.host)
    return any(e.host == source.host or allowed(fabric, source, e) for e in others)


def place_of(fabric: Fabric, name: str) -> str:
    """The tenant a host is in, and its subnet where there are several, as a person would say it."""
    host = fabric[name]
    if host.vrf == DEFAULT_VRF:
        return "underlay"
    tenant = fabric.tenants[host.vrf]
    subnet = tenant.subnet_of(host.name).name
    return tenant.name if len(tenant.subnets) == 1 else f"{tenant.name}/{subnet}"
