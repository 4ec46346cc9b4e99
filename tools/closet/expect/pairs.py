"""Which endpoints there are, who of them may talk to whom, and which pairs are asked whether they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from itertools import chain

from closet.plan import DEFAULT_VRF, Fabric, Peering
from closet.records import Endpoint, Pair

MOST_PAIRS = 50_000
"""Ordered pairs of VIPs, or of NICs, that are asked one by one; of more than these a sample is."""
Relation = tuple[bool, bool, bool, bool, bool]
"""What one endpoint is to another; see `_relation`."""


def endpoints(fabric: Fabric) -> tuple[list[Endpoint], list[Endpoint]]:
    """The VIP of every host, and every NIC of every host."""
    vips = [Endpoint(h.name, h.loopback) for h in fabric.hosts]
    nics = [Endpoint(h.name, p.rail, p.name) for h in fabric.hosts for p in h.ports if p.rail is not None]
    return vips, nics


def leaves_of(fabric: Fabric, endpoint: Endpoint) -> tuple[str, ...]:
    """The leaves an endpoint's address is behind."""
    host = fabric[endpoint.host]
    return (host.port(endpoint.port).peer,) if endpoint.port else tuple(sorted({p.peer for p in host.ports}))


def allowed(fabric: Fabric, source: Endpoint, target: Endpoint) -> bool:
    """Whether the design lets a host open a connection to another; what it says nothing of, it does not."""
    a, b = fabric[source.host], fabric[target.host]
    if a.vrf == b.vrf:
        tenant = fabric.tenants.get(a.vrf)
        return tenant is None or tenant.joins(tenant.subnet_of(a.name), tenant.subnet_of(b.name))
    peering = fabric.peering(a.vrf, b.vrf)
    return peering is not None and peering.passes(a.vrf, source.address, target.address)


def pairs(fabric: Fabric, most: int = MOST_PAIRS) -> Iterator[Pair]:
    """Ordered pairs of hosts' VIPs, then of NICs of different hosts: all of them, up to `most` of each.

    Beyond that every endpoint asks, of those behind each leaf (or set of leaves), one of every `_relation` that it has
    to some: whoever it may talk to and whoever it may not, for each reason there is. It is one that was asked least,
    so that each is asked. Their number grows with endpoints times leaves, not with the square of endpoints.
    """
    for some in endpoints(fabric):
        if _many(some, most):
            yield from _sample(fabric, some)
        else:
            yield from ((a, b) for a in some for b in some if a.host != b.host)


def sampled(fabric: Fabric) -> bool:
    """Whether `pairs` leaves any out."""
    return any(_many(some, MOST_PAIRS) for some in endpoints(fabric))


def _many(some: list[Endpoint], most: int) -> bool:
    return len(some) * (len(some) - 1) > most


def _sample(fabric: Fabric, some: list[Endpoint]) -> Iterator[Pair]:
    behind: dict[tuple[str, ...], list[int]] = {}
    for i, e in enumerate(some):
        behind.setdefault(leaves_of(fabric, e), []).append(i)
    having = _having(fabric)
    groups = _groups(fabric, some, having)
    hosts = [e.host for e in some]
    first = dict(zip(reversed(groups), reversed(some), strict=True))
    choices: dict[int, list[list[int]]] = {}
    asked = [0] * len(some)
    between = {group: dict.fromkeys(first, 0) for group in first}

    def choose(group: int) -> Iterator[list[int]]:
        """Whom those of a group may ask: behind each set of leaves, by what they are to it."""
        relation = {other: _relation(fabric, first[group], e, having) for other, e in first.items()}
        for there in behind.values():
            found: dict[Relation, list[int]] = {}
            for j in there:
                found.setdefault(relation[groups[j]], []).append(j)
            yield from found.values()

    for i, a in enumerate(some):
        group = groups[i]
        if group not in choices:
            choices[group] = list(choose(group))
        row = between[group]
        for its in choices[group]:
            others = [j for j in its if hosts[j] != a.host]
            if others:
                j = min(others, key=lambda j: (asked[j], row[groups[j]]))
                asked[j] += 1
                row[groups[j]] += 1
                yield a, some[j]


def _relation(fabric: Fabric, a: Endpoint, b: Endpoint, having: Mapping[IPv4Address, frozenset[str]]) -> Relation:
    """Whether they are in one VRF, and one subnet; else whether those peer; whether `a` may talk to `b`.

    And whether another endpoint, in the VRF of `a`, has the address of `b`.
    """
    here, there = fabric[a.host].vrf, fabric[b.host].vrf
    if here == there:
        return True, _subnet(fabric, a) == _subnet(fabric, b), False, allowed(fabric, a, b), False
    peers = fabric.peering(here, there) is not None
    return False, False, peers, peers and allowed(fabric, a, b), here in having[b.address]


def _subnet(fabric: Fabric, endpoint: Endpoint) -> str:
    host = fabric[endpoint.host]
    return "" if host.vrf == DEFAULT_VRF else fabric.tenants[host.vrf].subnet_of(host.name).name


def _having(fabric: Fabric) -> dict[IPv4Address, frozenset[str]]:
    """Address → the VRFs it is in."""
    found: dict[IPv4Address, set[str]] = {}
    for e in chain(*endpoints(fabric)):
        found.setdefault(e.address, set()).add(fabric[e.host].vrf)
    return {address: frozenset(vrfs) for address, vrfs in found.items()}


def _groups(fabric: Fabric, some: list[Endpoint], having: Mapping[IPv4Address, frozenset[str]]) -> list[int]:
    """For each endpoint, a number that it shares with those that are the same to everybody, and everybody to them."""
    peerings: dict[str, list[Peering]] = {}
    for p in fabric.peerings:
        for vrf in (p.one, p.other):
            peerings.setdefault(vrf, []).append(p)
    numbers: dict[object, int] = {}

    def of(e: Endpoint) -> int:
        vrf = fabric[e.host].vrf
        permits = tuple(p.sides(vrf, e.address) for p in peerings.get(vrf, ()))
        return numbers.setdefault((vrf, _subnet(fabric, e), permits, having[e.address]), len(numbers))

    return [of(e) for e in some]
