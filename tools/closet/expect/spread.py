"""Which flows to send so that every equal-cost set on the way up is used, and which sets those are."""

from __future__ import annotations

from collections.abc import Iterator

from closet.plan import Fabric, Node, Role
from closet.records import Endpoint, Fan, Pair, Round, Stream

FLOWS_A_PATH = 256
"""Flows for each path of a set: with these, a healthy hash stays well within the bound that is judged by."""
MOST_SOURCES = 32
"""Leaves or hosts that send in one round: as many as tell about a fabric of any size."""


def expected_spread(fabric: Fabric) -> dict[Fan, Round]:
    """Fan → the round of streams that must spread over it."""
    return {**_switches(fabric), **_hosts(fabric)}


def _switches(fabric: Fabric) -> dict[Fan, Round]:
    """From leaves, to a leaf half the fabric away (in another pod, where there is one), over every tier.

    Each stream leaves its host by one NIC, as a QP does, so all of it reaches that NIC's leaf.
    """
    above = max((len(fabric.uplinks(n)) for n in fabric.role(Role.SPINE)), default=0)
    streams = []
    fans = []
    for source, target in _far_pairs(fabric):
        leaf = fabric[fabric[source.host].port(source.port or "").peer]
        ports = tuple(p.name for p in fabric.uplinks(leaf))
        flows = FLOWS_A_PATH * len(ports) * max(above // 2, 1)
        if len(ports) > 1:
            streams.append(Stream(source, target, flows))
            fans.append(Fan(leaf.name, ports, flows))
    for spine in fabric.role(Role.SPINE):
        ports = tuple(p.name for p in fabric.uplinks(spine))
        if len(ports) > 1 and streams:
            fans.append(Fan(spine.name, ports))
    return dict.fromkeys(fans, Round(tuple(streams)))


def _hosts(fabric: Fabric) -> dict[Fan, Round]:
    """From hosts with several NICs, by whichever the host chooses."""
    several = [h for h in fabric.hosts if len(h.ports) > 1]
    streams = []
    fans = []
    for i, host in enumerate(several[:MOST_SOURCES]):
        target = several[(i + len(several) // 2) % len(several)]
        if target is host:
            continue
        flows = FLOWS_A_PATH * len(host.ports)
        streams.append(Stream(_vip(host), _vip(target), flows))
        fans.append(Fan(host.name, tuple(p.name for p in host.ports), flows))
    return dict.fromkeys(fans, Round(tuple(streams)))


def _vip(host: Node) -> Endpoint:
    return Endpoint(host.name, host.loopback)


def _far_pairs(fabric: Fabric) -> Iterator[Pair]:
    """One NIC of each leaf, with a NIC on the leaf half the fabric away."""
    nics: dict[str, Endpoint] = {}
    for host in fabric.hosts:
        for port in host.ports:
            if port.rail is not None:
                nics.setdefault(port.peer, Endpoint(host.name, port.rail, port.name))
    leaves = list(nics.values())
    for i, source in enumerate(leaves[:MOST_SOURCES]):
        target = leaves[(i + len(leaves) // 2) % len(leaves)]
        if target.host != source.host:
            yield source, target
