"""Claims about RDMA as the kernels of hosts have it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from closet.check.registry import NothingHere, node_check
from closet.observe.rdma import FAULTS, devices
from closet.plan import Fabric
from closet.records import Finding, RdmaDevice
from closet.roce.wire import path_mtu
from closet.runtime.node import LiveNode

Nics = dict[str, tuple[IPv4Address | None, int]]
"""Port → its /32 and the MTU of an RDMA device there."""


def _nics(fabric: Fabric) -> dict[str, Nics]:
    hosts = [h for h in fabric.hosts if h.rdma in {"verbs", "auto"}]
    return {h.name: {p.name: (p.rail, path_mtu(p.mtu)) for p in h.ports} for h in hosts}


def _look(node: LiveNode, fabric: Fabric) -> dict[str, RdmaDevice]:
    """Its devices; a host that was given the userspace endpoint, as `rdma: auto` allows, has none."""
    if node.rdma == "endpoint":
        raise NothingHere
    return devices(node, fabric)


@node_check(
    "every RDMA NIC has an active device whose GID is its /32, at the largest MTU, and nothing was ever sent again",
    observe=_look,
    expect=_nics,
)
def verbs(device: str, expected: Nics, observed: dict[str, RdmaDevice]) -> Iterator[Finding]:
    """A device that is not there, not as planned, or whose counters say that packets were lost."""
    for port, (address, mtu) in expected.items():
        found = observed.get(port)
        if found is None:
            yield Finding(device, f"RDMA on {port}", "a device", "none")
            continue
        if found.state != "ACTIVE":
            yield Finding(device, f"RDMA {found.name}", "ACTIVE", found.state)
        if address is not None and address not in found.gids:
            shown = " ".join(map(str, found.gids)) or "none"
            yield Finding(device, f"RDMA {found.name} GIDs", f"{address} among them", shown)
        if found.mtu != mtu:
            yield Finding(device, f"RDMA {found.name} MTU", str(mtu), str(found.mtu))
        for name in FAULTS:
            if count := found.counters.get(name, 0):
                yield Finding(device, f"RDMA {found.name} {name}", "0", str(count))
