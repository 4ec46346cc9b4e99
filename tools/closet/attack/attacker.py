"""A host that means harm: where it is, whom it may talk to, and who would be its victims. All from the plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from ipaddress import IPv4Address
from typing import Any

from closet.expect import expected_tables
from closet.expect.pairs import allowed
from closet.expect.reach import Walk
from closet.plan import DEFAULT_VRF, Fabric, Node, Port
from closet.records import Endpoint
from closet.traffic.wire import Place, far_end


def token(*words: object) -> bytes:
    """Eight bytes that occur nowhere else: a packet that carries them is known again wherever it arrives."""
    return blake2b(" ".join(map(str, words)).encode(), digest_size=8).digest()


@dataclass(frozen=True, slots=True, eq=False)
class Attacker:
    """A host, by one of its ports.

    Attributes:
        leaf, door: the switch at the other end of that port's cable, and its port there.
    """

    fabric: Fabric
    host: Node
    port: Port
    leaf: Node
    door: Port

    def __str__(self) -> str:
        return self.host.name

    @property
    def vrf(self) -> str:
        """The VRF it is in."""
        return self.host.vrf

    @property
    def in_tenant(self) -> bool:
        """Whether it is a tenant's."""
        return self.vrf != DEFAULT_VRF

    @property
    def place(self) -> Place:
        """Its end of the cable."""
        return Place(self.host.name, self.port.name)

    @property
    def home(self) -> tuple[Place, ...]:
        """Its ends of all its cables: an answer to it may come by any of them."""
        return tuple(Place(self.host.name, p.name) for p in self.host.ports)

    @property
    def endpoint(self) -> Endpoint:
        """Its NIC."""
        return Endpoint(self.host.name, self.address, self.port.name)

    @property
    def address(self) -> IPv4Address:
        """Its NIC's address."""
        return self.port.rail or self.host.loopback

    def frame(self, packet: Any, *, to: str | None = None) -> bytes:
        """A packet (scapy's) in Ethernet from its MAC to the leaf's, or to another."""
        from scapy.layers.l2 import Ether

        return bytes(Ether(src=self.port.mac, dst=to or self.door.mac) / packet)

    def beyond(self) -> tuple[Place, ...]:
        """The far ends of all other cables of its leaf: what comes there got through the leaf."""
        ends = (Place(self.leaf.name, p.name) for p in self.leaf.ports if p.name != self.door.name)
        return tuple(far_end(self.fabric, end) for end in ends)


def attackers(fabric: Fabric) -> list[Attacker]:
    """One host of each VRF: of the underlay, and of every tenant."""
    first: dict[str, Node] = {}
    for host in fabric.hosts:
        first.setdefault(host.vrf, host)
    return [attacker(fabric, host) for host in first.values()]


def attacker(fabric: Fabric, host: Node) -> Attacker:
    """A host, by its first port."""
    port = host.ports[0]
    leaf = fabric[port.peer]
    return Attacker(fabric, host, port, leaf, leaf.port(port.peer_port))


class Neighbourhood:
    """Who meets whom, by the expected routes."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric

    @cached_property
    def _walk(self) -> Walk:
        return Walk(self._fabric, expected_tables(self._fabric))

    def hops(self, a: Endpoint, b: Endpoint) -> frozenset[int]:
        """The numbers of routers between two endpoints, whether or not they may meet; empty if there is no way."""
        return self._walk.hops(a, b)

    def mate(self, a: Attacker) -> Endpoint | None:
        """A NIC the attacker may talk to, behind another leaf if there is one; None if it may talk to nobody."""
        may = [e for e in _nics(self._fabric, a) if allowed(self._fabric, a.endpoint, e) and self.hops(a.endpoint, e)]
        far = [e for e in may if self._fabric[e.host].ports[0].peer != a.leaf.name]
        return next(iter(far or may), None)

    def forbidden(self, a: Attacker) -> Iterator[Endpoint]:
        """NICs there is a way to, but only a filter in between: one in each other subnet, peer and subnet of it."""
        seen = set()
        for e in _nics(self._fabric, a):
            where = self._fabric[e.host].vrf, _subnet(self._fabric, e.host)
            if where not in seen and not allowed(self._fabric, a.endpoint, e) and self.hops(a.endpoint, e):
                seen.add(where)
                yield e


def _nics(fabric: Fabric, a: Attacker) -> Iterable[Endpoint]:
    """The first NIC of every other host."""
    for host in fabric.hosts:
        if host.name != a.host.name:
            other = attacker(fabric, host)
            yield other.endpoint


def _subnet(fabric: Fabric, host: str) -> str:
    tenant = fabric.tenants.get(fabric[host].vrf)
    return tenant.subnet_of(host).name if tenant is not None else ""
