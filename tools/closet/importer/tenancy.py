"""VPCs, attachments and peerings → tenants and peerings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from itertools import pairwise
from typing import Any

from closet.importer.cabling import End
from closet.importer.diagram import Diagram
from closet.importer.hedgehog import (
    VPC,
    Connection,
    IPv4Namespace,
    Subnet,
    Switch,
    VLANNamespace,
    VPCAttachment,
    VPCPeering,
)
from closet.importer.leftovers import Leftovers
from closet.importer.objects import Object
from closet.intent.text import Place
from closet.intent.words import IFNAMSIZ

VRF_NAME = re.compile(rf"[a-z][a-z0-9-]{{0,{IFNAMSIZ - 1}}}")
SUBNET_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
DEFAULT = "default"
"""The namespace that is there unless files say what it holds."""

Words = dict[str, Any]
"""A part of an intent, as YAML has it."""


@dataclass(slots=True)
class Membership:
    """Who is where.

    Attributes:
        subnet_of: connection → the VPC and subnet it is in.
        dropped: connections that carry nothing: of a server that is attached over others.
        hosts: VPC and subnet → who is in it, as an intent says it: servers, or single NICs of them.
        servers: those that are attached.
    """

    subnet_of: dict[str, tuple[str, str]] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    hosts: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    servers: set[str] = field(default_factory=set)


def members(diagram: Diagram, left: Leftovers, server_of: dict[str, End]) -> Membership:
    """Who is in which subnet: a server over all its connections, or each of its NICs over its own.

    Args:
        server_of: connection → server and NIC, of the connections that are cables.

    Raises:
        IntentError: an attachment names a VPC, subnet or connection that is not there.
    """
    found = Membership()
    for obj, attachment in diagram.all(VPCAttachment):
        vpc, _, subnet = attachment.subnet.partition("/")
        subnet = subnet or DEFAULT
        words = diagram.need(VPC, vpc, obj, ("subnet",))
        if subnet not in words.subnets:
            raise obj.wrong(("subnet",), f"no subnet {subnet!r} in VPC {vpc}, allowed: {', '.join(words.subnets)}")
        diagram.need(Connection, attachment.connection, obj, ("connection",))
        end = server_of.get(attachment.connection)
        if end is None:
            left.leave(obj, ("connection",), why=f"{attachment.connection} is no cable to a server here")
        elif found.subnet_of.setdefault(attachment.connection, (vpc, subnet)) != (vpc, subnet):
            already = "/".join(found.subnet_of[attachment.connection])
            why = f"{attachment.connection} is in {already}, a link is in one subnet here"
            left.leave(obj, ("subnet",), attachment.subnet, why)
    places: dict[str, set[tuple[str, str]]] = {}
    for name, there in found.subnet_of.items():
        places.setdefault(server_of[name].device, set()).add(there)
    for name, there in found.subnet_of.items():
        end = server_of[name]
        word = end.device if len(places[end.device]) == 1 else f"{end.device}:{end.port}"
        if word not in (words_of := found.hosts.setdefault(there, [])):
            words_of.append(word)
    found.servers = set(places)
    for obj, _ in diagram.all(Connection):
        end = server_of.get(obj.name)
        if end is not None and end.device in places and obj.name not in found.subnet_of:
            found.dropped.add(obj.name)
            left.note(f"{obj.where()}: {end.device} is in a VPC, but not over this link, which is left out")
    return found


def tenants(diagram: Diagram, left: Leftovers, hosts: dict[tuple[str, str], list[str]]) -> dict[str, Words]:
    """The tenants that VPCs become.

    Raises:
        IntentError: a name no VRF can have, a subnet outside its namespace, or over another of it.
    """
    _Namespaces(diagram).check()
    made: dict[str, Words] = {}
    for obj, vpc in diagram.all(VPC):
        if not VRF_NAME.fullmatch(obj.name):
            raise obj.wrong((), f"no VRF can be called that, allowed: at most {IFNAMSIZ} of a-z, 0-9 and -, a-z first")
        if vpc.mode != "l3vni":
            left.leave(obj, ("mode",), vpc.mode, "runs as l3vni here: the same hosts meet, but nothing is bridged")
        for i, together in enumerate(vpc.permit):
            for name in together:
                if name not in vpc.subnets:
                    raise obj.wrong(("permit", i), f"no subnet {name!r}, allowed: {', '.join(vpc.subnets)}")
        made[obj.name] = _tenant(obj, vpc, hosts)
    return made


def _tenant(obj: Object, vpc: VPC, hosts: dict[tuple[str, str], list[str]]) -> Words:
    words: Words = {k: True for k in ("isolated", "restricted") if getattr(vpc, k)}
    if vpc.permit:
        words["permit"] = [list(names) for names in vpc.permit]
    words["subnets"] = {}
    for name, subnet in vpc.subnets.items():
        if not SUBNET_NAME.fullmatch(name):
            raise obj.wrong(("subnets", name), "allowed: a name of at most 32 of a-z, 0-9 and -, a-z first")
        flags = {k: getattr(subnet, k) for k in ("isolated", "restricted") if getattr(subnet, k) is not None}
        words["subnets"][name] = {
            "hosts": hosts.get((obj.name, name), []),
            "prefix": str(subnet.subnet.network),
            **flags,
        }
    return words


def peerings(diagram: Diagram) -> list[Words]:
    """The peerings that VPC peerings become: each of its alternatives is one.

    Raises:
        IntentError: it names what is not there, three VPCs, or VPCs of different namespaces.
    """
    made = []
    for obj, peering in diagram.all(VPCPeering):
        one, other = sorted(peering.permit[0])
        for i, permit in enumerate(peering.permit):
            at: Place = ("permit", i)
            if sorted(permit) != [one, other]:
                raise obj.wrong(at, f"{' and '.join(permit)} given, allowed: {one} and {other} as before")
            for name, peer in permit.items():
                vpc = diagram.need(VPC, name, obj, (*at, name))
                for subnet in peer.subnets:
                    if subnet not in vpc.subnets:
                        why = f"no subnet {subnet!r} in VPC {name}, allowed: {', '.join(vpc.subnets)}"
                        raise obj.wrong((*at, name, "subnets"), why)
            subnets = {name: list(peer.subnets) for name, peer in permit.items() if peer.subnets}
            made.append({"between": [one, other]} | ({"subnets": subnets} if subnets else {}))
        spaces = {name: diagram.need(VPC, name, obj, ()).ipv4_namespace for name in (one, other)}
        if len(set(spaces.values())) > 1:
            given = " and ".join(f"{name} is in {space}" for name, space in spaces.items())
            raise obj.wrong((), f"{given}, allowed: VPCs of one IPv4Namespace")
    return made


class _Namespaces:
    """Where the addresses and VLANs of VPCs may come from."""

    def __init__(self, diagram: Diagram) -> None:
        self._diagram = diagram

    def check(self) -> None:
        """Every subnet is inside its namespace, and over no other of it."""
        for obj, _ in self._diagram.all(IPv4Namespace):
            self._check_apart(obj)
        taken: dict[str, list[tuple[IPv4Network, Object, str]]] = {}
        for obj, vpc in self._diagram.all(VPC):
            for name, subnet in vpc.subnets.items():
                self._check_inside(obj, vpc, name, subnet)
                taken.setdefault(vpc.ipv4_namespace, []).append((subnet.subnet.network, obj, name))
        for spaces in taken.values():
            spaces.sort(key=lambda space: space[0])  # then, if any overlap, two neighbours do
            for (one, first, its), (other, obj, name) in pairwise(spaces):
                if one.overlaps(other):
                    why = f"{other} overlaps {first.name}/{its} {one}, allowed: subnets of a namespace apart"
                    raise obj.wrong(("subnets", name, "subnet"), why)
        for obj, switch in self._diagram.all(Switch):
            for i, space in enumerate(switch.vlan_namespaces):
                self._vlans(space, obj, ("vlanNamespaces", i))

    def _check_apart(self, obj: Object) -> None:
        space = self._diagram.need(IPv4Namespace, obj.name, obj, ())
        nets = [given.network for given in space.subnets]
        for one, other in pairwise(sorted(nets)):
            if one.overlaps(other):
                raise obj.wrong(("subnets",), f"{other} overlaps {one}, allowed: ranges apart")

    def _check_inside(self, obj: Object, vpc: VPC, name: str, subnet: Subnet) -> None:
        at: Place = ("subnets", name)
        net = subnet.subnet.network
        if vpc.ipv4_namespace != DEFAULT or self._diagram.get(IPv4Namespace, DEFAULT):
            space = self._diagram.need(IPv4Namespace, vpc.ipv4_namespace, obj, ("ipv4Namespace",))
            ranges = [given.network for given in space.subnets]
            if not any(net.subnet_of(r) for r in ranges):
                allowed = ", ".join(map(str, ranges))
                why = f"{net} is outside IPv4Namespace {vpc.ipv4_namespace}, allowed: inside {allowed}"
                raise obj.wrong((*at, "subnet"), why)
        vlans = self._vlans(vpc.vlan_namespace, obj, ("vlanNamespace",))
        if subnet.vlan and vlans and not any(r.first <= subnet.vlan <= r.last for r in vlans.ranges):
            allowed = ", ".join(f"{r.first} to {r.last}" for r in vlans.ranges)
            why = f"{subnet.vlan} is outside VLANNamespace {vpc.vlan_namespace}, allowed: {allowed}"
            raise obj.wrong((*at, "vlan"), why)

    def _vlans(self, name: str, by: Object, at: Place) -> VLANNamespace | None:
        if name == DEFAULT:
            return self._diagram.get(VLANNamespace, name)
        return self._diagram.need(VLANNamespace, name, by, at)
