"""Tenants and peerings with their numbers, and what may meet what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, collapse_addresses
from itertools import combinations
from zlib import crc32

from closet.errors import IntentError
from closet.intent.model import Intent
from closet.intent.tenants import Peering as PeeringWords
from closet.intent.tenants import Tenant as TenantWords
from closet.plan.fabric import DEFAULT_VRF, Node, Role
from closet.plan.members import Seat
from closet.plan.tenant import Peering, Permit, Space, Subnet, Tenant

FIRST_VNI = 10_000
"""VNIs made from names begin here: those below are for people."""
LAST_VNI = (1 << 24) - 1
ROUTE_TARGET_AS = 65000
"""The AS part of route targets that nobody gave: private (RFC 6996), and the same on every leaf."""


def plan_tenants(
    intent: Intent, nodes: dict[str, Node], members: Mapping[Seat, Sequence[str]]
) -> tuple[dict[str, Tenant], tuple[Peering, ...]]:
    """Tenants and peerings, with all their numbers.

    Args:
        members: the hosts in each tenant and subnet.

    Raises:
        IntentError: numbers clash, a peering names an unknown tenant, a prefix is outside or ambiguous.
    """
    tenants = {name: _tenant(intent, name, words, nodes, members) for name, words in intent.tenants.items()}
    _check_numbers(intent, tenants)
    _check_subnets(intent, tenants)
    peerings = _peerings(intent, tenants)
    _check_names(intent, nodes, tenants, peerings)
    _check_routable(intent, tenants, peerings, nodes)
    homes = {name: set(t.homes) for name, t in tenants.items()}
    there = {name: set(h) for name, h in homes.items()}
    for p in peerings:
        there[p.one] |= homes[p.other]
        there[p.other] |= homes[p.one]
    leaves = [n.name for n in nodes.values() if n.role is Role.LEAF]
    placed = {n: replace(t, leaves=tuple(leaf for leaf in leaves if leaf in there[n])) for n, t in tenants.items()}
    return placed, peerings


def vni_of(name: str) -> int:
    """The L3VNI of a tenant that was given none: from its name alone, so no other tenant changes it."""
    return FIRST_VNI + crc32(name.encode()) % (LAST_VNI - FIRST_VNI + 1)


def _tenant(
    intent: Intent, name: str, words: TenantWords, nodes: dict[str, Node], members: Mapping[Seat, Sequence[str]]
) -> Tenant:
    vni = words.vni or vni_of(name)
    subnets = []
    for part, given in words.parts().items():
        hosts = members.get(Seat(name, part), ())
        own = [IPv4Network(a) for h in hosts for a in nodes[h].addresses]
        subnets.append(
            Subnet(
                name=part,
                hosts=tuple(hosts),
                prefix=given.prefix,
                space=(given.prefix,) if given.prefix is not None else tuple(collapse_addresses(own)),
                isolated=words.isolated if given.isolated is None else given.isolated,
                restricted=words.restricted if given.restricted is None else given.restricted,
            )
        )
    homes = {p.peer for s in subnets for h in s.hosts for p in nodes[h].ports}
    return Tenant(
        name=name,
        vni=vni,
        route_target=_number_of(words.route_target) if words.route_target else f"{ROUTE_TARGET_AS}:{vni}",
        subnets=tuple(subnets),
        permit=tuple(frozenset(names) for names in words.permit),
        homes=tuple(n for n in nodes if n in homes),
        leaves=(),
    )


def _number_of(route_target: str) -> str:
    """A route target as everybody writes it: 65000:07 is 65000:7."""
    autonomous, _, number = route_target.partition(":")
    return f"{int(autonomous)}:{int(number)}"


def _check_numbers(intent: Intent, tenants: dict[str, Tenant]) -> None:
    """A VNI, and a route target, are one tenant's."""
    vni_of: dict[int, str] = {}
    target_of: dict[str, str] = {}
    for t in tenants.values():
        if (other := vni_of.setdefault(t.vni, t.name)) != t.name:
            raise IntentError(
                f"{intent.name}: tenants.{t.name}.vni: {t.vni} is also the VNI of {other}, "
                f"allowed: a number no other tenant has"
            )
        autonomous, _, number = t.route_target.partition(":")
        if int(autonomous) > 65535 or int(number) > 4294967295:
            raise IntentError(
                f"{intent.name}: tenants.{t.name}.route_target: {t.route_target} given, "
                f"allowed: at most 65535:4294967295"
            )
        if (other := target_of.setdefault(t.route_target, t.name)) != t.name:
            raise IntentError(
                f"{intent.name}: tenants.{t.name}.route_target: {t.route_target} is also that of {other}: "
                f"each would import the other's routes, allowed: one no other tenant has"
            )


def _check_names(
    intent: Intent, nodes: dict[str, Node], tenants: dict[str, Tenant], peerings: tuple[Peering, ...]
) -> None:
    """No name is of two interfaces: of a VRF, of a port of a leaf, of what an L3VNI or a peering is made of."""
    ports = {"lo", DEFAULT_VRF, "all"} | {p.name for n in nodes.values() if n.role is Role.LEAF for p in n.ports}
    made = {d: f"tenants.{t.name}.vni: {t.vni}" for t in tenants.values() for d in (t.bridge, t.vxlan)}
    made |= {port: f"peerings: {p.one} and {p.other}" for p in peerings for port in p.ports}
    for name, by in made.items():
        if name in ports:
            raise IntentError(
                f"{intent.name}: {by} would have an interface {name!r}, which is also the name of a port of a leaf, "
                f"allowed: another VNI, or other names of ports"
            )
    for name in tenants:
        if name in ports | made.keys():
            raise IntentError(
                f"{intent.name}: tenants.{name}: {name!r} is also the name of an interface, allowed: another name"
            )


def _check_subnets(intent: Intent, tenants: dict[str, Tenant]) -> None:
    for t in tenants.values():
        for a, b in combinations(t.subnets, 2):
            if (clash := _overlap(a.space, b.space)) is not None:
                raise IntentError(
                    f"{intent.name}: tenants.{t.name}.subnets.{b.name}.prefix: {clash[1]} overlaps "
                    f"{a.name} {clash[0]}, allowed: subnets that do not overlap"
                )


def _overlap(a: Space, b: Space) -> tuple[IPv4Network, IPv4Network] | None:
    """Two networks, one of each space, that overlap; None if none do. Spaces are sorted runs: a merge finds it."""
    ours, theirs = sorted(a), sorted(b)
    i = j = 0
    while i < len(ours) and j < len(theirs):
        if ours[i].overlaps(theirs[j]):
            return ours[i], theirs[j]
        if ours[i] < theirs[j]:
            i += 1
        else:
            j += 1
    return None


def _peerings(intent: Intent, tenants: dict[str, Tenant]) -> tuple[Peering, ...]:
    permits: dict[tuple[str, str], list[Permit]] = {}
    one_way = {words.ends() for words in intent.peerings if words.between is None}
    for i, words in enumerate(intent.peerings):
        place = f"peerings[{i}]"
        for name in words.ends():
            if name not in tenants:
                known = ", ".join(tenants) or "none, there are no tenants"
                raise IntentError(f"{intent.name}: {place}: no tenant {name!r}, allowed: {known}")
        one, other = words.ends()
        # Of two tenants the one that opens connections is first, in all that is said of them and wherever it is said.
        if words.between is not None and ((other, one) in one_way or (other, one) in permits):
            one, other = other, one
        permits.setdefault((one, other), []).append(
            Permit(
                _side(intent, place, words, tenants[one], tenants[other]),
                _side(intent, place, words, tenants[other], tenants[one]),
                one_way=words.between is None,
            )
        )
    for shared in (name for name, words in intent.tenants.items() if words.shared):
        for name in tenants:
            if name != shared and (name, shared) not in permits and (shared, name) not in permits:
                permits[name, shared] = [Permit(tenants[name].space, tenants[shared].space)]
    for one, other in permits:
        if (other, one) in permits:
            raise IntentError(
                f"{intent.name}: peerings: {one} and {other} peer one way in both directions, allowed: between them"
            )
    return tuple(
        Peering(one, other, tuple(its), (_end(tenants[one], tenants[other]), _end(tenants[other], tenants[one])))
        for (one, other), its in permits.items()
    )


def _end(here: Tenant, there: Tenant) -> str:
    """Name of a peering's interface: both VNIs in hexadecimal, one's own first (at most 14 characters)."""
    return f"p{here.vni:x}-{there.vni:x}"


def _side(intent: Intent, place: str, words: PeeringWords, tenant: Tenant, peer: Tenant) -> Space:
    """The addresses of a tenant that take part in a peering."""
    known = {s.name: s for s in tenant.subnets}
    chosen = words.subnets.get(tenant.name, tuple(known))
    for name in chosen:
        if name not in known:
            raise IntentError(
                f"{intent.name}: {place}.subnets.{tenant.name}: no subnet {name!r}, allowed: {', '.join(known)}"
            )
    space = tuple(n for name in chosen for n in known[name].space)
    inside = []
    for prefix in words.prefixes:
        # A subnet of hosts' own /32s is a set of them: a prefix that covers some means those.
        part = [prefix] if any(prefix.subnet_of(n) for n in space) else [n for n in space if n.subnet_of(prefix)]
        if not part and not any(prefix.overlaps(n) for n in peer.space):
            raise IntentError(
                f"{intent.name}: {place}.prefixes: {prefix} is outside {words.ends()[0]} and {words.ends()[1]}, "
                f"allowed: a prefix of one of them"
            )
        inside += part
    return tuple(collapse_addresses(inside)) if inside else space


def _check_routable(
    intent: Intent, tenants: dict[str, Tenant], peerings: tuple[Peering, ...], nodes: dict[str, Node]
) -> None:
    """What a tenant hears of from its peers is nothing of its own, and no two peers' at once."""
    heard: dict[str, list[tuple[str, Space]]] = {name: [(name, t.space)] for name, t in tenants.items()}
    for p in peerings:
        heard[p.one].append((p.other, p.exported(p.other)))
        heard[p.other].append((p.one, p.exported(p.one)))
    for name, spaces in heard.items():
        for (a, a_space), (b, b_space) in combinations(spaces, 2):
            if (clash := _overlap(a_space, b_space)) is not None:
                raise IntentError(
                    f"{intent.name}: peerings: {name} and {b}: {b} {clash[1]} overlaps {a} {clash[0]}, "
                    f"allowed: peers whose prefixes do not overlap"
                )
    for p in peerings:
        several = [h for h in tenants[p.other].hosts if len({port.peer for port in nodes[h].ports}) > 1]
        if several and any(permit.one_way for permit in p.permits):
            raise IntentError(
                f"{intent.name}: peerings: from {p.one} to {p.other}: {several[0]} is on several leaves, and only one "
                f"of them would know which connections are open, allowed: between, or hosts on one leaf"
            )
