"""The typed records that observers make, expectations state and checks compare."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One line an engineer can act on."""

    device: str
    subject: str
    expected: str
    observed: str

    def __str__(self) -> str:
        return f"{self.device}  {self.subject}  expected {self.expected}, observed {self.observed}"


@dataclass(frozen=True, slots=True)
class Session:
    """A BGP session as one end sees it.

    Attributes:
        neighbour: host name the other end announced (draft-walton-bgp-hostname-capability), "" if none yet.
        state: RFC 4271 section 8.2.2, or why it carries no routes ("Policy", "PfxCt").
        bfd: "up", "down" or "" where BFD is not in use.
    """

    neighbour: str
    asn: int
    state: str
    bfd: str = ""

    def __str__(self) -> str:
        return f"{self.state} with {self.neighbour or 'nobody'} AS {self.asn}" + (
            f", BFD {self.bfd}" if self.bfd else ""
        )


Fib = dict[IPv4Network, frozenset[str]]
"""Prefix → outgoing ports of its next hops; the empty set is a blackhole."""


@dataclass(frozen=True, slots=True)
class Port:
    """An interface: MTU in bytes, and whether it is up with carrier."""

    mac: str
    mtu: int
    up: bool

    def __str__(self) -> str:
        return f"{self.mac} mtu {self.mtu} {'up' if self.up else 'down'}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host address. With a port, traffic from it leaves by that port (RDMA binds a QP to its NIC)."""

    host: str
    address: IPv4Address
    port: str | None = None

    def __str__(self) -> str:
        return f"{self.host}/{self.port}" if self.port else self.host


Pair = tuple[Endpoint, Endpoint]
"""(source, destination)."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Flows from one endpoint to another: UDP to the RoCEv2 port, a source port each, one packet each."""

    source: Endpoint
    target: Endpoint
    flows: int


@dataclass(frozen=True, slots=True)
class Round:
    """Streams that are sent together."""

    streams: tuple[Stream, ...]


@dataclass(frozen=True, slots=True)
class Fan:
    """An equal-cost set that flows must spread over.

    Attributes:
        flows: how many must leave by all ports together; None where that depends on the tier below.
    """

    node: str
    ports: tuple[str, ...]
    flows: int | None = None


@dataclass(frozen=True, slots=True)
class Knock:
    """A port of a switch that a host tries.

    Attributes:
        address: IPv4, or IPv6 link-local with the host's port after a %.
        protocol: "TCP" or "UDP".
    """

    host: str
    switch: str
    address: str
    protocol: str
    port: int

    def __str__(self) -> str:
        return f"{self.protocol} {self.port} from {self.host} to {self.address}"
