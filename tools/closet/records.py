"""The typed records that observers make, expectations state and checks compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address


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
        vrf: the VRF it is in.
    """

    neighbour: str
    asn: int
    state: str
    bfd: str = ""
    vrf: str = "default"

    def __str__(self) -> str:
        where = f", VRF {self.vrf}" if self.vrf != "default" else ""
        bfd = f", BFD {self.bfd}" if self.bfd else ""
        return f"{self.state} with {self.neighbour or 'nobody'} AS {self.asn}{where}{bfd}"


Fib = dict[IPv4Network, frozenset[str]]
"""Prefix → outgoing ports of its next hops, or the VTEPs across an L3VNI; the empty set is a blackhole."""

Tables = dict[str, Fib]
"""VRF → its routes."""


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

    def __hash__(self) -> int:
        return hash((self.host, self.port))  # an address takes ten times as long

    def __str__(self) -> str:
        return f"{self.host}/{self.port}" if self.port else self.host


Settings = dict[str, dict[str, int]]
"""VRF → kernel setting by dotted name → its value."""

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
        vrf: the VRF whose hosts send.
    """

    node: str
    ports: tuple[str, ...]
    flows: int | None = None
    vrf: str = "default"


@dataclass(frozen=True, slots=True)
class Load:
    """What one port of an equal-cost set carried of a transfer.

    Attributes:
        qps: queue pairs whose packets left by it. packets, size: how many those were, and bytes of Ethernet.
    """

    node: str
    port: str
    peer: str
    qps: int
    packets: int
    size: int


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


@dataclass(frozen=True, slots=True, order=True)
class Type5:
    """An EVPN IP prefix route (RFC 9136) as a switch holds it.

    Attributes:
        rd: route distinguisher. targets: its route targets, with a blank between them.
        router_mac: the MAC packets to it carry inside VXLAN (RFC 9135). vtep: its next hop.
    """

    rd: str
    prefix: str
    targets: str
    router_mac: str
    vtep: str

    def __str__(self) -> str:
        return f"{self.prefix} RD {self.rd} RT {self.targets} router MAC {self.router_mac} VTEP {self.vtep}"


@dataclass(frozen=True, slots=True)
class L3Vni:
    """An L3VNI as zebra sees it: whether it works, over which devices, with which router MAC."""

    vni: int
    state: str
    vxlan: str
    bridge: str
    router_mac: str

    def __str__(self) -> str:
        return f"L3VNI {self.vni} {self.state} over {self.vxlan} and {self.bridge}, router MAC {self.router_mac}"


@dataclass(frozen=True, slots=True)
class Probe:
    """One endpoint that tries to talk to another: by "ICMP", or by "TCP" or "UDP" to the RoCEv2 port.

    Attributes:
        between: the VRFs of source and target, as a person would say it.
    """

    protocol: str
    source: Endpoint
    target: Endpoint
    between: str

    def __str__(self) -> str:
        return f"{self.protocol} to {self.target} {self.target.address} ({self.between})"


def about(key: object) -> tuple[str, ...]:
    """The nodes where a claim is looked at, by the key it has in what its check expects.

    Raises:
        TypeError: no check has keys of this kind.
    """
    if isinstance(key, Probe):  # by far the most
        return key.source.host, key.target.host
    if isinstance(key, tuple):
        return key[0].host, key[1].host
    if isinstance(key, str):
        return (key,)
    if isinstance(key, Fan):
        return (key.node,)
    if isinstance(key, Knock):
        return (key.host,)
    raise TypeError(f"{key!r} is no claim's key")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a probe.

    Attributes:
        what: "answered", "another answered" (who has the same address), "refused" or "silent".
        last_hop: of one that did not end as planned, how far the routes lead; else "".
    """

    what: str
    last_hop: str = ""

    def __str__(self) -> str:
        return f"{self.what}; {self.last_hop}" if self.last_hop else self.what


@dataclass(frozen=True, slots=True)
class RdmaDevice:
    """An RDMA device on a NIC.

    Attributes:
        state: ACTIVE where it can be used.
        mtu: the largest payload of a packet, in bytes: what fits the NIC's MTU of 256, 512, 1024, 2048 and 4096.
        gids: its addresses, by index.
        counters: hw_counters by name, since it was made.
    """

    name: str
    state: str
    mtu: int
    gids: tuple[IPv4Address | IPv6Address, ...]
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Marks:
    """What a congestion point has counted: packets beyond its threshold, and those it marked for it."""

    beyond: int
    marked: int


@dataclass(frozen=True, slots=True)
class QueuePair:
    """A reliable connected queue pair of an RDMA device, as the kernel has it.

    Attributes:
        number: its own. peer: of the other end's.
        state: RESET, INIT, RTR, RTS, SQD, SQE or ERR (IBTA section 10.3.1).
        send_psn, receive_psn: the packet sequence numbers it began with, or has come to, as the driver has it.
    """

    device: str
    number: int
    peer: int
    state: str
    send_psn: int
    receive_psn: int

    def __str__(self) -> str:
        psns = f"send PSN {self.send_psn}, receive PSN {self.receive_psn}"
        return f"QP {self.number} to {self.peer}: {self.state}, {psns}"
