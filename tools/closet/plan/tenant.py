"""Planned tenants: their VRFs' numbers, who is in them, and what they share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

Space = tuple[IPv4Network, ...]
"""A set of addresses, as networks that do not overlap, in order."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """Hosts of a tenant that are treated alike.

    Attributes:
        hosts: names, in the fabric's order.
        prefix: where their addresses are from; None if they keep those of their leaf's block.
        space: the prefix or, where there is none, the /32s of its hosts, summarised.
        isolated: whether they reach none of the tenant's other subnets; restricted: nor one another.
    """

    name: str
    hosts: tuple[str, ...]
    prefix: IPv4Network | None
    space: Space
    isolated: bool
    restricted: bool


@dataclass(frozen=True)
class Tenant:
    """A VRF, and the L3VNI that joins its parts on the leaves.

    Attributes:
        route_target: imported and exported by the VRF on every leaf, `AS:number` (RFC 4360).
        permit: sets of subnets that reach one another whatever `isolated` and `restricted` say.
        homes: the leaves with hosts of it. leaves: those that have its VRF: also where a peer has hosts.
    """

    name: str
    vni: int
    route_target: str
    subnets: tuple[Subnet, ...]
    permit: tuple[frozenset[str], ...]
    homes: tuple[str, ...]
    leaves: tuple[str, ...]

    @property
    def bridge(self) -> str:
        """The L3VNI's interface in the VRF, which has the leaf's router MAC."""
        return f"br{self.vni}"

    @property
    def vxlan(self) -> str:
        """The VXLAN device below that bridge."""
        return f"vx{self.vni}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of its hosts."""
        return tuple(h for s in self.subnets for h in s.hosts)

    @property
    def space(self) -> Space:
        """All of its addresses."""
        return tuple(n for s in self.subnets for n in s.space)

    @cached_property
    def _subnet_of(self) -> dict[str, Subnet]:
        return {h: s for s in self.subnets for h in s.hosts}

    def subnet_of(self, host: str) -> Subnet:
        """The subnet a host is in; KeyError if it is not of this tenant."""
        return self._subnet_of[host]

    def joins(self, a: Subnet, b: Subnet) -> bool:
        """Whether hosts of one subnet reach those of another, or of the same."""
        if any({a.name, b.name} == names or (a is not b and {a.name, b.name} <= names) for names in self.permit):
            return True
        return not a.restricted if a is b else not (a.isolated or b.isolated)


@dataclass(frozen=True, slots=True)
class Permit:
    """Addresses of two peers that meet; `one_way`: only the first's may open connections."""

    one: Space
    other: Space
    one_way: bool = False


@dataclass(frozen=True, slots=True)
class Peering:
    """Two tenants whose hosts may meet: a veth pair between their VRFs on every leaf either has hosts on.

    Attributes:
        one, other: names of the tenants; of a one-way permit, `one` may open connections.
        permits: alternatives, each enough.
        ports: the veth's ends in the VRF of `one` and of `other`.
    """

    one: str
    other: str
    permits: tuple[Permit, ...]
    ports: tuple[str, str]

    def port(self, tenant: str) -> str:
        """The veth's end in a tenant's VRF."""
        return self.ports[0] if tenant == self.one else self.ports[1]

    def peer(self, tenant: str) -> str:
        """The other tenant."""
        return self.other if tenant == self.one else self.one

    def exported(self, tenant: str) -> Space:
        """The addresses of a tenant that its peer has routes to."""
        spaces = [p.one if tenant == self.one else p.other for p in self.permits]
        return tuple(dict.fromkeys(n for s in spaces for n in s))

    def passes(self, tenant: str, source: IPv4Address, target: IPv4Address) -> bool:
        """Whether a host of `tenant` at `source` may open a connection to the peer's host at `target`."""
        first = tenant == self.one
        a, b = (source, target) if first else (target, source)
        return any(_holds(p.one, a) and _holds(p.other, b) and (first or not p.one_way) for p in self.permits)

    def sides(self, tenant: str, address: IPv4Address) -> tuple[bool, ...]:
        """For each permit, whether it holds an address of `tenant`."""
        return tuple(_holds(p.one if tenant == self.one else p.other, address) for p in self.permits)


def _holds(space: Space, address: IPv4Address) -> bool:
    return any(address in n for n in space)
