"""Intent → Fabric: wiring, then numbers, then what the intent overrides."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from closet.errors import IntentError
from closet.intent.model import Bfd, Ecmp, Intent
from closet.intent.model import Node as Override
from closet.intent.words import Rdma
from closet.plan.addressing import HostBlocks, check_pools, link_address, pick
from closet.plan.checks import check
from closet.plan.fabric import DEFAULT_VRF, VXLAN_OVERHEAD, Fabric, Link, Node, Port, Role
from closet.plan.shape import Draft, Shape
from closet.plan.tenancy import Membership, address, membership, plan_tenants
from closet.plan.wiring import wire

HASH_POLICY = {"l3": 0, "l4": 1}
"""net.ipv4.fib_multipath_hash_policy (Linux Documentation/networking/ip-sysctl.rst)."""

MAX_PORTS = 1 << 16
"""Ports of a node that a MAC address has room for."""


def plan(intent: Intent) -> Fabric:
    """Plan the whole fabric. Pure: no I/O, no clock, no chance.

    Raises:
        IntentError: pools overlap or are too small, names or numbers clash, an override matches nothing.
    """
    check_pools(intent)
    shape = wire(intent)
    overrides = _overrides(intent, [d.name for d in shape.drafts])
    names = _names(intent, shape, overrides)
    blocks = HostBlocks(intent=intent, shape=shape)
    who = membership(intent, [names[i] for i, d in enumerate(shape.drafts) if d.role is Role.HOST])
    nodes: list[Node] = []
    switches = 0
    for i, draft in enumerate(shape.drafts):
        override = overrides[draft.name]
        if draft.role is Role.HOST:
            loopback = blocks.vip[i]
        else:
            loopback = pick(intent, "loopbacks", switches)
            switches += 1
        ecmp = _ecmp(intent.ecmp, override.ecmp)
        node = Node(
            name=names[i],
            role=draft.role,
            number=i + 1,
            asn=override.asn or _asn(intent, draft),
            loopback=loopback,
            ports=_ports(intent, shape, names, blocks, who, i),
            block=blocks.block.get(i),
            pod=draft.pod,
            group=draft.group,
            hash_policy=HASH_POLICY[ecmp.hash],
            hash_seed=ecmp.seed or _seed(i + 1),
            rdma=_rdma(intent, draft, override),
            config=override.config,
            extra=override.extra,
        )
        nodes.append(node)
    by_name = {n.name: n for n in address(intent, nodes, who)}
    for draft, name in zip(shape.drafts, names, strict=True):
        if (given := overrides[draft.name].loopback) is not None:
            by_name[name] = replace(by_name[name], loopback=given)
    tenants, peerings = plan_tenants(intent, by_name, who)
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


def _overrides(intent: Intent, names: list[str]) -> dict[str, Override]:
    """The override of every node: all patterns that match it, in the order of the file, later ones first."""
    merged: dict[str, dict[str, object]] = {n: {} for n in names}
    for pattern, override in intent.nodes.items():
        matched = [n for n in names if fnmatchcase(n, pattern)]
        if not matched:
            raise IntentError(
                f"{intent.name}: nodes.{pattern}: matches no node, allowed: a name or pattern of "
                f"{names[0]} ... {names[-1]}"
            )
        given = {k: getattr(override, k) for k in override.model_fields_set}
        if len(matched) > 1 and (alone := {"name", "loopback", "config"} & given.keys()):
            raise IntentError(
                f"{intent.name}: nodes.{pattern}.{min(alone)}: {len(matched)} nodes match, allowed: exactly one"
            )
        for n in matched:
            before = merged[n].get("ecmp")
            merged[n] |= given
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
    intent: Intent, shape: Shape, names: list[str], blocks: HostBlocks, who: Membership, i: int
) -> tuple[Port, ...]:
    draft = shape.drafts[i]
    if len(draft.cables) > MAX_PORTS:
        raise IntentError(
            f"{intent.name}: {names[i]}: {len(draft.cables)} ports, allowed: at most {MAX_PORTS} on one node"
        )
    ports = []
    for n, (cable, end) in enumerate(draft.cables):
        other = shape.cables[cable][1 - end]
        vrf = who.vrf_of.get(names[i] if draft.role is Role.HOST else names[other], DEFAULT_VRF)
        ports.append(
            Port(
                name=shape.port_name[cable, end],
                mac=f"02:c1:{i + 1 >> 8:02x}:{i + 1 & 255:02x}:{n >> 8:02x}:{n & 255:02x}",
                peer=names[other],
                peer_port=shape.port_name[cable, 1 - end],
                address=link_address(intent, cable, end),
                rail=blocks.rail[cable] if draft.role is Role.HOST else None,
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
