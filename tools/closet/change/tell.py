"""A difference in words, a line each."""

from __future__ import annotations

from collections.abc import Iterator

from closet.plan import DEFAULT_VRF, Fabric, Node, Peering, Tenant


def changes(old: Fabric, new: Fabric) -> list[str]:
    """What differs between two plans of one fabric: tenants, peerings, and the hosts that move."""
    return [*_tenants(old, new), *_peerings(old, new), *_hosts(old, new)]


def _tenants(old: Fabric, new: Fabric) -> Iterator[str]:
    for name in dict.fromkeys([*old.tenants, *new.tenants]):
        was, will = old.tenants.get(name), new.tenants.get(name)
        if was is None and will is not None:
            yield f"+ tenant {name}, VNI {will.vni}: {_where(will)}"
        elif will is None and was is not None:
            yield f"- tenant {name}, VNI {was.vni}: {_where(was)}"
        elif was != will and was is not None and will is not None:
            yield f"~ tenant {name}, VNI {will.vni}: {_where(will)}"


def _where(tenant: Tenant) -> str:
    hosts = f"{len(tenant.hosts)} host{'s' if len(tenant.hosts) != 1 else ''}"
    return f"{hosts} on {' '.join(tenant.homes)}"


def _peerings(old: Fabric, new: Fabric) -> Iterator[str]:
    was, will = ({frozenset((p.one, p.other)): p for p in f.peerings} for f in (old, new))
    for ends in dict.fromkeys([*was, *will]):
        if ends not in was:
            yield f"+ peering {_ends(will[ends])}"
        elif ends not in will:
            yield f"- peering {_ends(was[ends])}"
        elif was[ends] != will[ends]:
            yield f"~ peering {_ends(will[ends])}"


def _ends(peering: Peering) -> str:
    return f"{peering.one} and {peering.other}"


def _hosts(old: Fabric, new: Fabric) -> Iterator[str]:
    for host in new.hosts:
        was = old[host.name]
        if was.vrf != host.vrf:
            yield f"~ {host.name}: from {_vrf(was.vrf)} to {_vrf(host.vrf)}{_moved(was, host)}"
        elif was.addresses != host.addresses:
            yield f"~ {host.name}: {was.loopback} becomes {host.loopback}"


def _moved(was: Node, host: Node) -> str:
    return f", {was.loopback} becomes {host.loopback}" if was.loopback != host.loopback else ""


def _vrf(name: str) -> str:
    return "the underlay" if name == DEFAULT_VRF else name
