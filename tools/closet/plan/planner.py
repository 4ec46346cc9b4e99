"""Intent → Fabric: wiring, then numbers, then what the intent overrides."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address

from closet.errors import IntentError
from closet.intent.model import Bfd, Ecmp, Intent
from closet.intent.model import Node as Override
from closet.intent.words import NAME_MAX, Rdma
from closet.plan.addressing import HostBlocks, check_pools, link_address, pick
from closet.plan.checks import check
from closet.plan.fabric import DEFAULT_VRF, VXLAN_OVERHEAD, Fabric, Link, Node, Port, Role
from closet.plan.guests import split
from closet.plan.members import Seat, Seats, given_addresses, seats
from closet.plan.shape import Draft, Shape
from closet.plan.tenancy import plan_tenants
from closet.plan.wiring import wire

HASH_POLICY = {"l3": 0, "l4": 1}
"""net.ipv4.fib_multipath_hash_policy (Linux Documentation/networking/ip-sysctl.rst)."""

ALONE = frozenset({"name", "loopback", "config"})
"""Words about one node."""

MAX_PORTS = 1 << 16
"""Ports of a node that a MAC address has room for."""


def plan(intent: Intent) -> Fabric:
    """Plan the whole fabric. Pure: no I/O, no clock, no chance.

    Raises:
        IntentError: pools overlap or are too small, names or numbers clash, an override matches nothing.
    """
    check_pools(intent)
    shape = wire(intent)
    blocks = HostBlocks(intent=intent, shape=shape)
    called = _called(intent, shape)
    where = seats(intent, shape, called)
    shape = split(intent, shape, called, where)
    overrides = _overrides(intent, shape.drafts)
    names = _names(intent, shape, overrides)
    given = given_addresses(intent, shape, names, where)
    members: dict[Seat, list[str]] = {}
    by_name: dict[str, Node] = {}
    switches = 0
    for i, (draft, name) in enumerate(zip(shape.drafts, names, strict=True)):
        override = overrides[draft.name]
        rails: Sequence[IPv4Address | None] = [None] * len(draft.cables)
        if draft.role is Role.HOST:
            loopback, *rails = given.get(name) or (blocks.vip(draft), *(blocks.rail[c] for c, _ in draft.cables))
            if (seat := where.get(draft.cables[0][0])) is not None:
                members.setdefault(seat, []).append(name)
        else:
            loopback = pick(intent, "loopbacks", switches)
            switches += 1
        ecmp = _ecmp(intent.ecmp, override.ecmp)
        by_name[name] = Node(
            name=name,
            role=draft.role,
            number=draft.number,
            asn=override.asn or _asn(intent, draft),
            loopback=override.loopback or loopback,
            ports=_ports(intent, shape, names, rails, where, i),
            block=blocks.block.get(i),
            pod=draft.pod,
            group=draft.group,
            hash_policy=HASH_POLICY[ecmp.hash],
            hash_seed=ecmp.seed or _seed(draft.number),
            rdma=_rdma(intent, draft, override),
            machine=called[draft.machine.number - 1] if draft.machine is not None else None,
            config=override.config,
            extra=override.extra,
        )
    tenants, peerings = plan_tenants(intent, by_name, members)
    fabric = Fabric(
        name=intent.name,
        nodes=by_name,
        links=_links(shape, names),
        mtu=intent.links.mtu,
        numbered=intent.links.addressing == "numbered",
        host_routes=intent.hosts.routes or ("default" if intent.has_spines else "aggregates"),
        shared_host_asn="hosts" in intent.bgp.asns.shared,
        pools=intent.pools,
        bfd=_bfd(intent),
        timers=intent.bgp.timers,
        max_paths=intent.bgp.max_paths,
        tenants=tenants,
        peerings=peerings,
    )
    check(intent, fabric)
    return fabric


def _called(intent: Intent, shape: Shape) -> list[str]:
    """What the nodes are called before any is split: as `nodes` says, where that is sound."""
    names = {d.name: d.name for d in shape.drafts}
    for pattern, override in intent.nodes.items():
        if override.name is not None:
            names |= {n: override.name for n in names if fnmatchcase(n, pattern)}
    return list(names.values())


def _overrides(intent: Intent, drafts: Sequence[Draft]) -> dict[str, Override]:
    """The override of every node: all patterns that match it, in the order of the file, later ones first.

    What matches a host that is split means its guests, too, but for words that are one node's.
    """
    merged: dict[str, dict[str, object]] = {d.name: {} for d in drafts}
    for pattern, override in intent.nodes.items():
        own = [d.name for d in drafts if fnmatchcase(d.name, pattern)]
        guests = [d.name for d in drafts if d.machine is not None and fnmatchcase(d.machine.name, pattern)]
        one = own or guests
        if not one:
            raise IntentError(
                f"{intent.name}: nodes.{pattern}: matches no node, allowed: a name or pattern of "
                f"{drafts[0].name} ... {drafts[-1].name}"
            )
        given = {k: getattr(override, k) for k in override.model_fields_set}
        alone = ALONE & given.keys()
        if len(one) > 1 and alone:
            raise IntentError(
                f"{intent.name}: nodes.{pattern}.{min(alone)}: {len(one)} nodes match, allowed: exactly one"
            )
        for n in dict.fromkeys([*own, *guests]):
            before = merged[n].get("ecmp")
            merged[n] |= given if n in one else {k: v for k, v in given.items() if k not in ALONE}
            if isinstance(before, Ecmp):
                merged[n]["ecmp"] = _ecmp(before, override.ecmp)
    return {n: Override.model_construct(**{**Override().__dict__, **given}) for n, given in merged.items()}


def _ecmp(base: Ecmp, override: Ecmp | None) -> Ecmp:
    """What the override says, and the rest as it was."""
    if override is None:
        return base
    return base.model_copy(update={k: getattr(override, k) for k in override.model_fields_set})


def _names(intent: Intent, shape: Shape, overrides: dict[str, Override]) -> list[str]:
    names = [overrides[d.name].name or d.name for d in shape.drafts]
    seen: dict[str, str] = {}
    for draft, name in zip(shape.drafts, names, strict=True):
        if name in seen:
            raise IntentError(
                f"{intent.name}: nodes.{draft.name}.name: {name!r} is also the name of {seen[name]}, "
                f"allowed: a name no other node has"
            )
        if len(name) > NAME_MAX:
            raise IntentError(
                f"{intent.name}: tenants: {name!r} would be the name of a guest, allowed: at most {NAME_MAX} "
                f"characters (nodes.{draft.name}.name gives it another)"
            )
        seen[name] = draft.name
    return names


def _asn(intent: Intent, draft: Draft) -> int:
    asns = intent.bgp.asns
    if draft.role is Role.SUPERSPINE:
        return asns.superspines + (0 if "superspines" in asns.shared else draft.index)
    if draft.role is Role.SPINE:
        return asns.spines + (draft.pod - 1 if "spines" in asns.shared else draft.index)
    if draft.role is Role.LEAF:
        return asns.leaves + draft.index
    return asns.hosts + (0 if "hosts" in asns.shared else draft.index)


def _rdma(intent: Intent, draft: Draft, override: Override) -> Rdma:
    if draft.role is Role.HOST:
        return override.rdma or intent.hosts.rdma
    if override.rdma is not None:
        raise IntentError(
            f"{intent.name}: nodes.{draft.name}.rdma: {override.rdma!r} on a {draft.role}, allowed: on hosts only"
        )
    return "none"


def _seed(number: int) -> int:
    """A hash seed a node, spread over 32 bits (Knuth's multiplicative hash) and never 0, the kernel's "random"."""
    return number * 2654435761 % 2**32 or 1


def _ports(
    intent: Intent, shape: Shape, names: list[str], rails: Sequence[IPv4Address | None], where: Seats, i: int
) -> tuple[Port, ...]:
    draft = shape.drafts[i]
    whole = draft.machine or draft  # guests have its NICs, and so their MACs
    place = {end: n for n, end in enumerate(whole.cables)}
    if len(draft.cables) > MAX_PORTS:
        raise IntentError(
            f"{intent.name}: {names[i]}: {len(draft.cables)} ports, allowed: at most {MAX_PORTS} on one node"
        )
    ports = []
    for (cable, end), rail in zip(draft.cables, rails, strict=True):
        n = place[cable, end]
        other = shape.cables[cable][1 - end]
        vrf = where[cable].tenant if cable in where else DEFAULT_VRF
        ports.append(
            Port(
                name=shape.port_name[cable, end],
                mac=f"02:c1:{whole.number >> 8:02x}:{whole.number & 255:02x}:{n >> 8:02x}:{n & 255:02x}",
                peer=names[other],
                peer_port=shape.port_name[cable, 1 - end],
                address=link_address(intent, cable, end),
                rail=rail,
                mtu=intent.links.mtu - (VXLAN_OVERHEAD if vrf != DEFAULT_VRF else 0),
                vrf=vrf,
            )
        )
    return tuple(ports)


def _links(shape: Shape, names: list[str]) -> tuple[Link, ...]:
    port = shape.port_name
    return tuple(Link(names[a], port[c, 0], names[b], port[c, 1]) for c, (a, b) in enumerate(shape.cables))


def _bfd(intent: Intent) -> Bfd | None:
    bfd = intent.bgp.bfd
    return (Bfd() if bfd else None) if isinstance(bfd, bool) else bfd
