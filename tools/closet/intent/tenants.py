"""The words about tenants: who is in which VRF, what is kept apart inside it, and what tenants share."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from closet.intent.words import IFNAMSIZ, Bool, Int, Name, Network, Words

VrfName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=IFNAMSIZ)]
"""A tenant's name is that of its VRF, which is a Linux interface (or namespace)."""

Members = tuple[Annotated[str, StringConstraints(min_length=1, max_length=64)], ...]
"""Names or patterns of hosts (`h1-1`, `g2-*`), or of some of their NICs (`h1-1:eth2`, `g2-*:eth[12]`)."""

Vni = Annotated[Int, Field(ge=1, le=16777215)]
"""A VXLAN network identifier (RFC 7348: 24 bits)."""

RouteTarget = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}:[0-9]{1,10}$")]
"""A route target as `AS:number` (RFC 4360: a two-octet AS number, a four-octet number)."""


class Subnet(Words):
    """Hosts of a tenant that are treated alike."""

    hosts: Members
    """Who is in it: names or patterns of hosts with all their NICs, or of single NICs (`h1-1:eth2`)."""
    prefix: Network | None = None
    """Where the addresses of its hosts come from; another tenant may use the same. Default: they keep those of
    their leaf's block."""
    isolated: Bool | None = None
    """Whether its hosts reach none of the tenant's other subnets; default: the tenant's word."""
    restricted: Bool | None = None
    """Whether its hosts do not reach one another; default: the tenant's word."""


class Tenant(Words):
    """A VPC: one VRF on every leaf it is on, one L3VNI between them (EVPN Type-5, RFC 9136)."""

    hosts: Members = ()
    """Who is in it, where it has no `subnets`: names or patterns of hosts with all their NICs, or of single NICs
    (`h1-1:eth2`, `g2-*:eth[12]`)."""
    prefix: Network | None = None
    """Where their addresses come from; another tenant may use the same. Default: those of their leaf's block."""
    subnets: dict[Name, Subnet] = Field(default_factory=dict)
    """Instead of `hosts` and `prefix`: several sets of hosts."""
    isolated: Bool = False
    """Whether the hosts of a subnet reach none of the other subnets."""
    restricted: Bool = False
    """Whether the hosts of a subnet do not reach one another."""
    permit: tuple[tuple[Name, ...], ...] = ()
    """Sets of subnets that do reach one another, isolated or not; and the hosts of a set of one, restricted or not."""
    shared: Bool = False
    """Shared services: every other tenant peers with it, as if `peerings` said so."""
    vni: Vni | None = None
    """The L3VNI. Default: made from the name, so it stays when other tenants come and go."""
    route_target: RouteTarget | None = None
    """Imported and exported on every leaf. Default: 65000 and the VNI."""

    @model_validator(mode="after")
    def _hosts_or_subnets(self) -> Self:
        if bool(self.hosts) == bool(self.subnets):
            got = "both" if self.hosts else "neither"
            msg = f"exactly one of hosts and subnets is needed, got {got}"
            raise ValueError(msg)
        if self.subnets and self.prefix is not None:
            msg = f"prefix goes with hosts; with subnets each has its own, got {self.prefix}"
            raise ValueError(msg)
        known = self.subnets or {"default"}
        for i, together in enumerate(self.permit):
            for name in together:
                if name not in known:
                    msg = f"permit[{i}] names {name!r}, allowed: {', '.join(known)}"
                    raise ValueError(msg)
        return self

    def parts(self) -> dict[str, Subnet]:
        """Its subnets by name; `hosts` alone are one, called `default`."""
        return dict(self.subnets) or {"default": Subnet(hosts=self.hosts, prefix=self.prefix)}


class Peering(Words):
    """Two tenants whose hosts meet, all or some of them.

    Exactly one of `between` (each may open a connection to the other) and `from` with `to` (the first may).
    """

    between: tuple[VrfName, VrfName] | None = None
    """Both ways."""
    from_: VrfName | None = Field(default=None, alias="from")
    """One way: who may open connections. What answers to them passes."""
    to: VrfName | None = None
    """One way: who is connected to."""
    prefixes: tuple[IPv4Network, ...] = ()
    """The only addresses that take part, on each side that has any of them; default: all."""
    subnets: dict[VrfName, tuple[Name, ...]] = Field(default_factory=dict)
    """Tenant → the only subnets of it that take part; default: all."""

    @model_validator(mode="after")
    def _two_tenants(self) -> Self:
        if (self.between is None) == (self.from_ is None) or (self.from_ is None) != (self.to is None):
            msg = "exactly one of between: [a, b] and from: a with to: b is needed"
            raise ValueError(msg)
        a, b = self.ends()
        if a == b:
            msg = f"a tenant does not peer with itself, got {a} twice"
            raise ValueError(msg)
        for name in self.subnets:
            if name not in (a, b):
                msg = f"subnets names {name!r}, allowed: {a}, {b}"
                raise ValueError(msg)
        return self

    def ends(self) -> tuple[str, str]:
        """The two tenants; with `from` that one first."""
        return self.between or (self.from_ or "", self.to or "")
