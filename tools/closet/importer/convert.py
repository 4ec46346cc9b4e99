"""Hedgehog's objects → what an intent says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from closet.errors import IntentError
from closet.importer.cabling import Cable, Cabling
from closet.importer.diagram import Diagram, read_diagram
from closet.importer.hedgehog import Connection, Server, Switch
from closet.importer.leftovers import Leftovers
from closet.importer.objects import Object, read_objects
from closet.importer.tenancy import Words, members, peerings, tenants
from closet.intent.model import Pools
from closet.plan.fabric import VXLAN_OVERHEAD

NODE_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
HOST_ASN = 64999
"""Hosts have one AS number between them unless they are given others (githedgehog/fabric, `pkg/hhfctl` of HostBGP)."""
HOST_MTU = 9036
"""Hedgehog's default towards servers, in bytes: 9000 of payload and room for RoCEv2."""
OTHER_POOLS = (("100.64.0.0/11", "100.96.0.0/12"), ("10.0.0.0/9", "10.192.0.0/12"), ("172.16.0.0/13", "172.24.0.0/14"))
"""Pools of hosts and VIPs, where loopbacks are in the way of those closet would take."""


@dataclass(slots=True)
class Imported:
    """What an intent will say, and what is said beside it.

    Attributes:
        loopbacks: the pool of loopbacks; None for closet's own.
        pools: pools of hosts and of VIPs, where they cannot be closet's own.
        numbers: switch → its AS number and loopback, as far as they are given.
    """

    name: str
    sources: list[str]
    spines: list[str]
    leaves: list[str]
    hosts: list[str]
    cables: list[Cable]
    mtu: int
    loopbacks: IPv4Network | None = None
    pools: tuple[str, str] | None = None
    numbers: dict[str, Words] = field(default_factory=dict)
    tenants: dict[str, Words] = field(default_factory=dict)
    peerings: list[Words] = field(default_factory=list)
    left: Leftovers = field(default_factory=lambda: Leftovers(skip=False))


def convert(paths: Sequence[Path], *, name: str, skip: bool = False) -> Imported:
    """What files of Hedgehog's objects say, as an intent says it.

    Args:
        name: of the fabric.
        skip: leave out and list what closet has no counterpart to, rather than refuse it.

    Raises:
        IntentError: a file is no such, does not fit together, or asks for what closet has no counterpart to.
    """
    left = Leftovers(skip)
    diagram = read_diagram(read_objects(paths), left)
    _check_names(diagram)
    cabling = Cabling(diagram, left)
    found = members(diagram, left, cabling.of_servers())
    made_tenants = tenants(diagram, left, found.hosts)
    made_peerings = peerings(diagram)
    cables = [c for c in cabling.cables if c.connection not in found.dropped]
    mtu = _mtu(diagram, cables, left)
    left.settle()
    joined = {end.device for c in cables for end in (c.upper, c.lower)}
    servers = [obj.name for obj, _ in diagram.all(Server)]
    for obj, _ in (*diagram.all(Switch), *diagram.all(Server)):
        if obj.name not in joined:
            left.note(f"{obj.where()}: on no link, left out")
    if diagram.objects.get("VPC"):
        for server in servers:
            if server in joined and server not in found.servers:
                left.note(f"Server {server}: in no VPC; here it is in the underlay with all that are in none")
    made = Imported(
        name=name,
        sources=[str(p) for p in paths],
        spines=[n for n in diagram.spines() if n in joined],
        leaves=[n for n in diagram.leaves() if n in joined],
        hosts=[n for n in servers if n in joined],
        cables=cables,
        mtu=mtu,
        tenants=made_tenants,
        peerings=made_peerings,
        left=left,
    )
    for what, names in (("leaf", made.leaves), ("server", made.hosts)):
        if not names:
            raise IntentError(f"{', '.join(made.sources)}: no {what} with a link, allowed: one or more")
    _number(diagram, made)
    return made


def _check_names(diagram: Diagram) -> None:
    """A device is called the same here."""
    seen: dict[str, Object] = {}
    for obj, _ in (*diagram.all(Switch), *diagram.all(Server)):
        if not NODE_NAME.fullmatch(obj.name):
            raise obj.wrong((), "no node can be called that, allowed: at most 32 of a-z, 0-9 and -, a-z first")
        if (first := seen.setdefault(obj.name, obj)) is not obj:
            raise obj.wrong((), f"is also the name of {first.where()}, allowed: a name no other device has")


def _mtu(diagram: Diagram, cables: list[Cable], left: Leftovers) -> int:
    """The MTU of the fabric's links, such that what is in a tenant has that of most links to servers."""
    given = {c.connection: c.mtu or HOST_MTU for c in cables if diagram.get(Server, c.lower.device)}
    usual = Counter(given.values()).most_common(1)[0][0] if given else HOST_MTU
    for obj, connection in diagram.all(Connection):
        if connection.unbundled is not None and given.get(obj.name, usual) != usual:
            why = f"{usual} on most links to servers, and one MTU for all here"
            left.leave(obj, ("unbundled", "mtu"), given[obj.name], why)
    return usual + VXLAN_OVERHEAD


def _number(diagram: Diagram, made: Imported) -> None:
    """AS numbers and loopbacks as they are given; a leaf's loopback is its VTEP."""
    given: dict[str, IPv4Address] = {}
    for obj, switch in diagram.all(Switch):
        if obj.name not in {*made.spines, *made.leaves}:
            continue
        made.numbers[obj.name] = {"asn": switch.asn} if switch.asn else {}
        loopback = switch.vtep_ip if switch.role != "spine" and switch.vtep_ip else switch.protocol_ip
        if loopback is not None:
            if loopback.network.prefixlen != 32:
                raise obj.wrong((), f"{loopback} given as a loopback, allowed: a /32")
            given[obj.name] = loopback.ip
    if not given:
        return
    made.loopbacks = _around(list(given.values()), len(made.numbers))
    made.pools = _pools_beside(made.loopbacks)
    taken = set(given.values())
    free = (a for a in made.loopbacks.hosts() if a not in taken)
    for name, words in made.numbers.items():
        if name not in given:
            given[name] = next(free)
            made.left.note(f"Switch {name}: no vtepIP or protocolIP; its loopback here is {given[name]}")
        words["loopback"] = str(given[name])


def _around(addresses: list[IPv4Address], count: int) -> IPv4Network:
    """The smallest network, of a /24 or more, that holds all addresses and has room for so many, these among them."""
    net = IPv4Network((addresses[0], 24), strict=False)
    # Two may be its first and its last address, and be given all the same.
    while net.num_addresses - 2 < count or not all(a in net for a in addresses):
        net = net.supernet()
    return net


def _pools_beside(loopbacks: IPv4Network) -> tuple[str, str] | None:
    """Pools of hosts and VIPs that do not overlap that of loopbacks; None where closet's own do not."""
    usual = Pools()
    if not loopbacks.overlaps(usual.hosts) and not loopbacks.overlaps(usual.vips):
        return None
    for pools in OTHER_POOLS:
        if not any(loopbacks.overlaps(IPv4Network(p)) for p in pools):
            return pools
    raise IntentError(f"the loopbacks of the switches are as far apart as {loopbacks}, allowed: closer together")
