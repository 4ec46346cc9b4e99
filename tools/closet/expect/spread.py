"""Which flows to send so that every equal-cost set on the way up is used, and which sets those are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from closet.expect.reach import allowed
from closet.expect.routes import expected_fibs, next_hops
from closet.plan import DEFAULT_VRF, Fabric, Node, Role
from closet.records import Endpoint, Fan, Fib, Pair, Round, Stream

FLOWS_A_PATH = 256
"""Flows for each path of a set: with these, a healthy hash stays well within the bound that is judged by."""
MOST_TENANTS = 4
"""Tenants beyond which one leaf sends in each, rather than all of them."""
MOST_SOURCES = 32
"""Leaves or hosts that send in one round: as many as tell about a fabric of any size."""


def expected_spread(fabric: Fabric) -> dict[Fan, Round]:
    """Fan → the round of streams that must spread over it: in the underlay, and in every tenant."""
    rounds: dict[Fan, Round] = {}
    fibs = expected_fibs(fabric)
    for vrf in (DEFAULT_VRF, *fabric.tenants):
        rounds |= {**_switches(fabric, fibs, vrf), **_hosts(fabric, vrf)}
    return rounds


def _switches(fabric: Fabric, fibs: Mapping[str, Fib], vrf: str) -> dict[Fan, Round]:
    """From leaves, to a leaf half the fabric away (in another pod, where there is one), over every tier.

    Each stream leaves its host by one NIC, as a QP does, so all of it reaches that NIC's leaf.
    """
    above = max((len(fabric.uplinks(n)) for n in fabric.role(Role.SPINE)), default=0)
    streams = []
    fans = []
    pairs = list(_far_pairs(fabric, vrf))
    # Where tenants are many, one leaf for each and fewer flows tell as much of them.
    many = vrf != DEFAULT_VRF and len(fabric.tenants) > MOST_TENANTS
    for source, target in pairs[: 1 if many else None]:
        leaf = fabric[fabric[source.host].port(source.port or "").peer]
        ports = ways_to(fabric, fibs, leaf, target)
        flows = (FLOWS_A_PATH // 4 if many else FLOWS_A_PATH * max(above // 2, 1)) * len(ports)
        if len(ports) > 1:
            streams.append(Stream(source, target, flows))
            fans.append(Fan(leaf.name, ports, flows, vrf))
    for spine in fabric.role(Role.SPINE):
        ports = tuple(p.name for p in fabric.uplinks(spine))
        taken = {ways_to(fabric, fibs, spine, s.target) for s in streams}
        upwards = {ways for ways in taken if set(ways) & set(ports)}
        if len(ports) > 1 and upwards == {ports} and len(streams) == len(pairs):
            fans.append(Fan(spine.name, ports, vrf=vrf))
    return dict.fromkeys(fans, Round(tuple(streams)))


def ways_to(fabric: Fabric, fibs: Mapping[str, Fib], switch: Node, target: Endpoint) -> tuple[str, ...]:
    """The ports a switch sends by to a NIC: to its address or, in a tenant, to the VTEP of its leaf."""
    host = fabric[target.host]
    address = target.address if host.vrf == DEFAULT_VRF else fabric[host.port(target.port or "").peer].loopback
    ways = next_hops(fibs[switch.name], address)
    return tuple(p.name for p in switch.ports if p.name in ways)


def _hosts(fabric: Fabric, vrf: str) -> dict[Fan, Round]:
    """From hosts with several NICs, by whichever the host chooses."""
    several = [_vip(h) for h in fabric.hosts if len(h.ports) > 1 and h.vrf == vrf]
    streams = []
    fans = []
    for i, source in enumerate(several[:MOST_SOURCES]):
        target = several[(i + len(several) // 2) % len(several)]
        if target.host == source.host or not allowed(fabric, source, target):
            continue
        host = fabric[source.host]
        flows = FLOWS_A_PATH * len(host.ports)
        streams.append(Stream(source, target, flows))
        fans.append(Fan(host.name, tuple(p.name for p in host.ports), flows, vrf))
    return dict.fromkeys(fans, Round(tuple(streams)))


def _vip(host: Node) -> Endpoint:
    return Endpoint(host.name, host.loopback)


def _far_pairs(fabric: Fabric, vrf: str) -> Iterator[Pair]:
    """One NIC of each leaf, with one of the same VRF on the leaf half the fabric away that it may talk to."""
    nics: dict[str, list[Endpoint]] = {}
    for host in (h for h in fabric.hosts if h.vrf == vrf):
        for port in host.ports:
            if port.rail is not None:
                nics.setdefault(port.peer, []).append(Endpoint(host.name, port.rail, port.name))
    leaves = list(nics.values())
    for i, sources in enumerate(leaves[:MOST_SOURCES]):
        targets = leaves[(i + len(leaves) // 2) % len(leaves)]
        if targets is sources:
            continue  # there is no other leaf to send to
        for source, target in ((s, t) for s in sources for t in targets):
            if target.host != source.host and allowed(fabric, source, target):
                yield source, target
                break
