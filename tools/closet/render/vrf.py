"""A leaf's VRFs as Linux has them: the devices of each, and the filter inside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from closet.plan import Fabric, Node, Peering, Role, Tenant
from closet.plan.tenant import Space
from closet.render.environment import TEMPLATES
from closet.render.frr import PEERING_GATEWAYS
from closet.render.host import host_ports

SCRIPT = "vrfs.sh"
"""Makes all VRFs of a node before FRR starts: as kernel devices or, where the kernel has none, as namespaces."""

NETNS_OPTION = "[ ! -d /run/netns ] || echo -w"
"""A shell command that says the option every daemon of FRR 10.3 needs where VRFs are network namespaces."""

SPACES = "run/vrfs"
"""Where a VRF that is a namespace is mounted; its name below /run/netns, which zebra watches, is a link to there."""

FIRST_TABLE = 1 << 24
"""Routing tables of VRF devices: this and the VNI, away from those that have a meaning of their own."""


@dataclass(frozen=True, slots=True)
class Veth:
    """A peering's cable between two VRFs of a leaf."""

    peering: Peering
    macs: tuple[str, str]

    @property
    def ends(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """(VRF, interface) at each end: equal ones are the same cable, whatever may pass it."""
        p = self.peering
        return (p.one, p.ports[0]), (p.other, p.ports[1])


@dataclass(frozen=True, slots=True)
class Crossing:
    """A peering as the filter of one of its VRFs sees it: what may go out to the peer, and come in."""

    port: str
    leaves: list[str]
    enters: list[str]


def takes_vrfs(node: Node) -> bool:
    """Whether VRFs can come to a running node: its daemons learn at their start, and only then, how they are made."""
    return node.role is Role.LEAF


def vrf_files(fabric: Fabric, node: Node) -> dict[str, str]:
    """The files that make a leaf's VRFs, be it none yet."""
    if not takes_vrfs(node):
        return {}
    tenants = fabric.vrfs(node)
    ports = [(p.name, t.name) for t in tenants for p in fabric.downlinks(node) if p.vrf == t.name]
    script = vrfs_script(fabric, node, tenants, ports, veths(fabric, node))
    return {nft_file(t): _nft(fabric, node, t) for t in tenants} | {SCRIPT: script}


def vrfs_script(
    fabric: Fabric, node: Node, tenants: Iterable[Tenant], ports: Iterable[tuple[str, str]], cables: Iterable[Veth]
) -> str:
    """The script that makes VRFs of a node.

    Args:
        ports: (port, VRF): those to put into one. cables: the peerings to lay; their ends may be in VRFs there are.
    """
    cables = list(cables)
    veth_ends: dict[str, list[tuple[str, str, str]]] = {}
    for v in cables:
        for here, (vrf, port) in enumerate(v.ends):
            veth_ends.setdefault(vrf, []).append((port, PEERING_GATEWAYS[1 - here], v.macs[1 - here]))
    return TEMPLATES.get_template("vrfs.sh.j2").render(
        node=node,
        tenants=list(tenants),
        ports=list(ports),
        veths=cables,
        veth_ends=list(veth_ends.items()),
        mtu=fabric.tenant_mtu,
        first_table=FIRST_TABLE,
        spaces=SPACES,
    )


def veths(fabric: Fabric, node: Node) -> list[Veth]:
    """The cables between VRFs of a leaf, one a peering."""
    macs = peering_macs(node)
    return [Veth(p, macs) for p in fabric.peerings if p in fabric.peerings_of(node, fabric.tenants[p.one])]


def nft_file(tenant: Tenant) -> str:
    """The file with the filter of a tenant's VRF."""
    return f"vrf-{tenant.name}.nft"


def nft_table(tenant: Tenant) -> str:
    """The nftables table with that filter."""
    return f"vrf_{tenant.name}"


def peering_macs(node: Node) -> tuple[str, str]:
    """MACs of the ends of every peering's veth on a leaf, its first tenant's first."""
    leaf = f"{node.number >> 8:02x}:{node.number & 255:02x}"
    return f"02:c3:{leaf}:00:01", f"02:c3:{leaf}:00:02"


def _nft(fabric: Fabric, node: Node, tenant: Tenant) -> str:
    peerings = fabric.peerings_of(node, tenant)
    its = host_ports(fabric, node, tenant.name)
    sets = {f"s-{s.name}": s.space for s in tenant.subnets}
    crossings = []
    for peering in peerings:
        crossing, its_sets = _crossing(peering, tenant.name)
        crossings.append(crossing)
        sets |= its_sets
    apart = [(a, b) for a in tenant.subnets for b in tenant.subnets if not tenant.joins(a, b)]
    used = {f"s-{s.name}" for pair in apart for s in pair} | {n for n in sets if n.startswith("p")}
    return TEMPLATES.get_template("vrf.nft.j2").render(
        tenant=tenant,
        table=nft_table(tenant),
        ports=[name for name, _, _ in its] + [tenant.bridge] + [p.port(tenant.name) for p in peerings],
        host_ports=its,
        sets=[(name, space) for name, space in sets.items() if name in used],
        peerings=crossings,
        apart=[(f"s-{a.name}", f"s-{b.name}") for a, b in apart],
    )


def _crossing(peering: Peering, tenant: str) -> tuple[Crossing, dict[str, Space]]:
    """What a tenant's filter says of a peering, and the sets of addresses it refers to.

    Of a one-way permit the answers pass: they belong to a connection this leaf has seen opened. It has, since the
    host that answers is on this leaf alone.
    """
    sets: dict[str, Space] = {}
    port = peering.port(tenant)
    crossing = Crossing(port, [], [])
    for i, permit in enumerate(peering.permits):
        ours, theirs = (permit.one, permit.other) if tenant == peering.one else (permit.other, permit.one)
        here, there = f"{port}-{i}-ours", f"{port}-{i}-theirs"
        sets |= {here: ours, there: theirs}
        answers_only = permit.one_way and tenant != peering.one
        crossing.leaves.append(
            f"ip saddr @{here} ip daddr @{there}" + (" ct state established,related" if answers_only else "")
        )
        crossing.enters.append(f"ip saddr @{there} ip daddr @{here}")
    return crossing, sets
