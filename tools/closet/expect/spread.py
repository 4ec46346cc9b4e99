"""Which flows to send so that every equal-cost set on the way up is used, and which sets those are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from closet.expect.overlay import expected_tables
from closet.expect.pairs import allowed
from closet.expect.routes import next_hops
from closet.plan import DEFAULT_VRF, Fabric, Node, Role
from closet.records import Endpoint, Fan, Pair, Round, Stream, Tables

FLOWS_A_PATH = 256
"""Flows for each path of a set: with these, a healthy hash stays well within the bound that is judged by."""
MOST_TENANTS = 4
"""Tenants beyond which one leaf sends in each, rather than all of them."""
MOST_SOURCES = 32
"""Leaves or hosts that send in one round: as many as tell about a fabric of any size."""
PORTS_TOO = 1
"""The `Node.hash_policy` by which flows between two addresses differ."""


def expected_spread(fabric: Fabric) -> dict[Fan, Round]:
    """Fan → the round of streams that must spread over it: in the underlay, and in every tenant."""
    rounds: dict[Fan, Round] = {}
    tables = expected_tables(fabric)
    for vrf in (DEFAULT_VRF, *fabric.tenants):
        rounds |= {**_switches(fabric, tables, vrf), **_hosts(fabric, tables, vrf)}
    return rounds


def even(node: Node, before: Iterable[Node] = ()) -> bool:
    """Whether the intent has a node spread flows evenly that these nodes have chosen between before.

    It may ask for the opposite: a hash of addresses alone, or the seed of the tier before, which then has left of
    all flows only those that choose the same here.
    """
    return node.hash_policy == PORTS_TOO and all(
        n.hash_policy == PORTS_TOO and n.hash_seed != node.hash_seed for n in before
    )


def _switches(fabric: Fabric, tables: Mapping[str, Tables], vrf: str) -> dict[Fan, Round]:
    """From leaves, to a leaf half the fabric away (in another pod, where there is one), over every tier.

    Each stream leaves its host by one NIC, as a QP does, so all of it reaches that NIC's leaf.
    """
    above = max((len(fabric.uplinks(n)) for n in fabric.role(Role.SPINE)), default=0)
    streams = []
    fans = []
    pairs = list(_far_pairs(fabric, tables, vrf))
    choosers = []
    # Where tenants are many, one leaf for each and fewer flows tell as much of them.
    many = vrf != DEFAULT_VRF and len(fabric.tenants) > MOST_TENANTS
    for source, target in pairs[: 1 if many else None]:
        leaf = fabric[fabric[source.host].port(source.port or "").peer]
        ports = ways_to(fabric, tables, leaf, target)
        flows = (FLOWS_A_PATH // 4 if many else FLOWS_A_PATH * max(above // 2, 1)) * len(ports)
        if len(ports) > 1:
            streams.append(Stream(source, target, flows))
            choosers.append(leaf)
            if even(leaf):
                fans.append(Fan(leaf.name, ports, flows, vrf))
    for spine in fabric.role(Role.SPINE):
        ports = tuple(p.name for p in fabric.uplinks(spine))
        taken = {ways_to(fabric, tables, spine, s.target) for s in streams}
        upwards = {ways for ways in taken if set(ways) & set(ports)}
        if len(ports) > 1 and upwards == {ports} and len(streams) == len(pairs) and even(spine, choosers):
            fans.append(Fan(spine.name, ports, vrf=vrf))
    return dict.fromkeys(fans, Round(tuple(streams)))


def ways_to(fabric: Fabric, tables: Mapping[str, Tables], node: Node, target: Endpoint) -> tuple[str, ...]:
    """The ports a node sends by to an endpoint: to its address or, from a switch in a tenant, to its leaf's VTEP."""
    host = fabric[target.host]
    address = target.address
    if not node.is_host and host.vrf != DEFAULT_VRF:
        address = fabric[host.port(target.port or "").peer].loopback
    ways = next_hops(tables[node.name][DEFAULT_VRF], address)
    return tuple(p.name for p in node.ports if p.name in ways)


def _hosts(fabric: Fabric, tables: Mapping[str, Tables], vrf: str) -> dict[Fan, Round]:
    """From hosts with several NICs, by whichever the host chooses, to the first from half of them away where it may."""
    several = [_vip(h) for h in fabric.hosts if len(h.ports) > 1 and h.vrf == vrf]
    streams = []
    fans = []
    for i, source in enumerate(several[:MOST_SOURCES]):
        host = fabric[source.host]
        half = i + len(several) // 2
        for target in (several[n % len(several)] for n in range(half, half + len(several))):
            if target.host == source.host or not allowed(fabric, source, target):
                continue
            ports = ways_to(fabric, tables, host, target)
            if len(ports) > 1 and even(host):
                flows = FLOWS_A_PATH * len(ports)
                streams.append(Stream(source, target, flows))
                fans.append(Fan(host.name, ports, flows, vrf))
                break
    return dict.fromkeys(fans, Round(tuple(streams)))


def _vip(host: Node) -> Endpoint:
    return Endpoint(host.name, host.loopback)


def _far_pairs(fabric: Fabric, tables: Mapping[str, Tables], vrf: str) -> Iterator[Pair]:
    """One NIC of each leaf, with one of the same VRF on the leaf half the fabric away that it has a way to, and may."""
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
            if (
                target.host != source.host
                and allowed(fabric, source, target)
                and source.port in ways_to(fabric, tables, fabric[source.host], target)
            ):
                yield source, target
                break
