"""Forged VXLAN: a host that poses as a VTEP, to speak inside a tenant it is not in."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from closet.attack.attacker import Attacker, attacker, attackers, token
from closet.attack.registry import packets
from closet.attack.shot import Shot, Twin
from closet.expect.pairs import allowed
from closet.plan import Fabric, Role, Tenant
from closet.roce.wire import UDP_PORT
from closet.traffic.wire import Place, far_end

VXLAN = 4789
"""UDP port of VXLAN (RFC 7348)."""


@packets(
    "a VXLAN packet of a host's making reaches no tenant, whatever VNI and sender it names",
    protection="VRFs have no way to VTEPs; leaves take VXLAN on uplinks only, from VTEPs only; source filter",
)
def vxlan(fabric: Fabric) -> Iterator[Shot]:
    """Every VNI, to a VTEP elsewhere and to the host's own leaf; from the host's own address and from a VTEP's."""
    for a in attackers(fabric):
        for tenant in fabric.tenants.values():
            for victim in _victims(fabric, a, tenant):
                # Another leaf's, rather than that of a spine on the way: who sees his own address come in, drops it.
                others = [*fabric.role(Role.LEAF), *fabric.switches]
                vtep = next(n for n in others if n not in (victim.leaf, a.leaf))
                for whose, src in (("its own address", a.address), (f"{vtep.name}'s", vtep.loopback)):
                    yield _shot(a, tenant, victim, whose, src)


def _victims(fabric: Fabric, a: Attacker, tenant: Tenant) -> Iterator[Attacker]:
    """A host of a tenant behind the attacker's own leaf, and one elsewhere. Only where there are other VTEPs."""
    if len(tenant.leaves) < 2 or not fabric.uplinks(a.leaf):
        return
    others = [attacker(fabric, fabric[h]) for h in tenant.hosts if h != a.host.name]
    others = [v for v in others if _inside(v, tenant) is not None]
    yield from [v for v in others if v.leaf is a.leaf][:1]
    yield from [v for v in others if v.leaf is not a.leaf][:1]


def _shot(a: Attacker, tenant: Tenant, victim: Attacker, whose: str, src: IPv4Address) -> Shot:
    mark = token("vxlan", a, tenant.name, victim, src)
    frame = a.frame(forged(a, victim, tenant, src, mark))
    # From a tenant nothing leaves the leaf; in the underlay VTEPs can be reached, but take nothing from a host.
    never = dict.fromkeys((*(a.beyond() if a.in_tenant else ()), victim.place))
    what = f"{a}: VXLAN with VNI {tenant.vni} of {tenant.name} to {victim.leaf.name}, from {whose}, for {victim}"
    return Shot(what, a.place, (frame,), (mark,), tuple(never), _twin(victim, tenant))


def forged(a: Attacker, victim: Attacker, tenant: Tenant, src: IPv4Address, mark: bytes) -> object:
    """A packet to a host of a tenant as its VTEP would get it from another."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether
    from scapy.layers.vxlan import VXLAN as VXLAN_HEADER

    inner = (
        Ether(src=a.leaf.router_mac, dst=victim.leaf.router_mac)
        / IP(src=str(_inside(victim, tenant)), dst=str(victim.address))
        / UDP(sport=UDP_PORT, dport=UDP_PORT)
        / (mark * 4)
    )
    outer = IP(src=str(src), dst=str(victim.leaf.loopback)) / UDP(sport=0xC105, dport=VXLAN, chksum=0)
    return outer / VXLAN_HEADER(flags=8, vni=tenant.vni) / inner


def _inside(victim: Attacker, tenant: Tenant) -> IPv4Address | None:
    """An address in the tenant that may talk to the victim: its own, if the tenant has no other host."""
    others = [attacker(victim.fabric, victim.fabric[h]).endpoint for h in tenant.hosts if h != victim.host.name]
    if not others:
        return victim.host.loopback
    return next((e.address for e in others if allowed(victim.fabric, e, victim.endpoint)), None)


def _twin(victim: Attacker, tenant: Tenant) -> Twin:
    """The same from a VTEP, put on its cable to a spine: it arrives, so the packet is as it has to be."""
    fabric = victim.fabric
    vtep = next(n for n in map(fabric.__getitem__, tenant.leaves) if n is not victim.leaf)
    uplink = fabric.uplinks(vtep)[0]
    spine = far_end(fabric, Place(vtep.name, uplink.name))
    as_vtep = Attacker(fabric, vtep, uplink, vtep, fabric[spine.node].port(spine.port))
    mark = token("vxlan", "twin", victim, tenant.name)
    packet = forged(as_vtep, victim, tenant, vtep.loopback, mark)
    return Twin(as_vtep.place, (as_vtep.frame(packet),), mark, (victim.place,))
