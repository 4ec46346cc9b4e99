"""The planned fabric: every name, number and address that anything later renders, starts or expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address

from closet.intent.model import Bfd, Pools, Timers
from closet.intent.words import Rdma
from closet.plan.tenant import Peering, Tenant

DEFAULT_VRF = "default"
"""What FRR calls the VRF of the underlay."""

VXLAN_OVERHEAD = 50
"""Bytes a VXLAN packet has beside the one it carries: Ethernet 14, VXLAN 8, UDP 8, IPv4 20 (RFC 7348)."""


class Role(StrEnum):
    """What a node is; the order is the order of tiers from the top."""

    SUPERSPINE = "superspine"
    SPINE = "spine"
    LEAF = "leaf"
    HOST = "host"


TIER = {Role.SUPERSPINE: 3, Role.SPINE: 2, Role.LEAF: 1, Role.HOST: 0}
"""Height above the hosts."""


@dataclass(frozen=True, slots=True)
class Port:
    """One end of a link.

    Attributes:
        name: the interface, `eth1` and up.
        mac: locally administered, unique in the lab.
        peer: name of the node at the other end; `peer_port` its interface there.
        address: the /31 of a numbered link, else None.
        rail: on a host, the NIC's own /32, announced over this link alone; else None.
        mtu: IP MTU in bytes; a tenant's leaves room for VXLAN.
        vrf: the VRF it is in on the leaf; a host's ports say the same.
    """

    name: str
    mac: str
    peer: str
    peer_port: str
    address: IPv4Interface | None = None
    rail: IPv4Address | None = None
    mtu: int = 9216
    vrf: str = DEFAULT_VRF

    @property
    def link_local(self) -> IPv6Address:
        """The address the kernel makes of the MAC (RFC 4291 appendix A, modified EUI-64)."""
        octets = bytes.fromhex(self.mac.replace(":", ""))
        return IPv6Address(bytes([0xFE, 0x80, *bytes(6), octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]]))


@dataclass(frozen=True, slots=True)
class Node:
    """A switch or host.

    Attributes:
        number: unique in the lab, from 1: the base of the hash seed and, on a switch, of MACs and route distinguishers.
        loopback: a switch's router id and VTEP, a host's VIP: the /32 on `lo`.
        block: a leaf's summary: the /32s of its hosts that only this leaf reaches; else None.
        pod: the pod, from 1 (0: superspine). group: the leaves a host attaches to, from 1 in its pod.
        rdma: what a host's NICs speak RDMA by, as the intent wishes it: `none`, `auto`, `verbs` or `endpoint`.
        machine: the host it is a part of, where the NICs of that are in several VRFs; else None.
        hash_policy: net.ipv4.fib_multipath_hash_policy: 0 layer 3, 1 layer 4.
        config: the user's own frr.conf in place of the generated one. extra: lines to append to it.
    """

    name: str
    role: Role
    number: int
    asn: int
    loopback: IPv4Address
    ports: tuple[Port, ...]
    block: IPv4Network | None
    pod: int
    group: int
    hash_policy: int
    hash_seed: int
    rdma: Rdma = "none"
    machine: str | None = None
    config: str | None = None
    extra: str | None = None

    @property
    def is_host(self) -> bool:
        """Whether this is a host: the end of the network, never transit."""
        return self.role is Role.HOST

    @property
    def addresses(self) -> tuple[IPv4Address, ...]:
        """The /32s this node announces: its loopback and, on a host, one a NIC."""
        return (self.loopback, *(p.rail for p in self.ports if p.rail is not None))

    @property
    def vrf(self) -> str:
        """On a host, the VRF all its ports are in."""
        return self.ports[0].vrf if self.is_host and self.ports else DEFAULT_VRF

    @property
    def router_mac(self) -> str:
        """On a leaf, the MAC of every L3VNI (RFC 9135 section 4.2): one, so that no next hop can have two."""
        return f"02:c2:{self.number >> 8:02x}:{self.number & 255:02x}:00:00"

    def rd(self, tenant: Tenant) -> str:
        """The route distinguisher of a tenant's VRF on this leaf (RFC 4364, type 0): node number and VNI."""
        return f"{self.number}:{tenant.vni}"

    def port(self, name: str) -> Port:
        """The port of that name; KeyError if there is none."""
        for p in self.ports:
            if p.name == name:
                return p
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Link:
    """A cable: (node, port) at each end; the upper node is `a`."""

    a: str
    a_port: str
    b: str
    b_port: str


@dataclass(frozen=True)
class Fabric:
    """The whole plan. Nodes are in tier order, superspines first, hosts last.

    Attributes:
        mtu: IP MTU of every link, in bytes.
        numbered: whether every link has a /31, rather than BGP over IPv6 link-local addresses.
        host_routes: what leaves announce to hosts: `default` or `aggregates`.
        shared_host_asn: whether all hosts have one AS number.
    """

    name: str
    nodes: Mapping[str, Node]
    links: tuple[Link, ...]
    mtu: int
    numbered: bool
    host_routes: str
    shared_host_asn: bool
    pools: Pools
    bfd: Bfd | None
    timers: Timers
    max_paths: int
    tenants: Mapping[str, Tenant] = field(default_factory=dict)
    peerings: tuple[Peering, ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)  # what follows from a plan can be kept with it

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def role(self, *roles: Role) -> list[Node]:
        """The nodes of these roles, in order."""
        return [n for n in self if n.role in roles]

    @cached_property
    def hosts(self) -> list[Node]:
        """The hosts, in order."""
        return self.role(Role.HOST)

    @cached_property
    def switches(self) -> list[Node]:
        """All that are not hosts, in order."""
        return [n for n in self if not n.is_host]

    @cached_property
    def top(self) -> Role:
        """The highest tier there is: where default routes come from."""
        return next(iter(self)).role

    @property
    def tenant_mtu(self) -> int:
        """IP MTU of everything in a VRF, in bytes: what still fits a link inside VXLAN."""
        return self.mtu - VXLAN_OVERHEAD

    @cached_property
    def any_multihomed(self) -> bool:
        """Whether any host of the underlay is on several leaves."""
        return any(self.multihomed(h) for h in self.hosts if h.vrf == DEFAULT_VRF)

    @cached_property
    def _vrfs(self) -> dict[str, list[Tenant]]:
        found: dict[str, list[Tenant]] = {}
        for tenant in self.tenants.values():
            for leaf in tenant.leaves:
                found.setdefault(leaf, []).append(tenant)
        return found

    def vrfs(self, node: Node) -> list[Tenant]:
        """The tenants whose VRF a node has, in order; none but leaves have any."""
        return self._vrfs.get(node.name, [])

    def default_while_remote(self, leaf: Node, tenant: Tenant) -> bool:
        """Whether a leaf gives a tenant's hosts a default route only while it hears of hosts behind other leaves.

        It does where a host has another leaf to go by: otherwise it would go on drawing what it cannot deliver.
        """
        its = [self[p.peer] for p in self.downlinks(leaf) if p.vrf == tenant.name]
        return bool(self.uplinks(leaf)) and any(self.multihomed(h) for h in its)

    @cached_property
    def _peering(self) -> dict[frozenset[str], Peering]:
        return {frozenset((p.one, p.other)): p for p in self.peerings}

    def peering(self, one: str, other: str) -> Peering | None:
        """The peering of two tenants; None where there is none."""
        return self._peering.get(frozenset((one, other)))

    def peerings_of(self, node: Node, tenant: Tenant) -> list[Peering]:
        """The peerings of a tenant; each has its veth on every leaf that has the VRF of both."""
        return [p for p in self.peerings if tenant.name in (p.one, p.other) and self._has_both(node, p)]

    def _has_both(self, node: Node, peering: Peering) -> bool:
        names = {t.name for t in self.vrfs(node)}
        return peering.one in names and peering.other in names

    def multihomed(self, host: Node) -> bool:
        """Whether a host is on several leaves, so that none of them can summarise its VIP."""
        return len({p.peer for p in host.ports}) > 1

    def leads_up(self, node: Node, port: Port) -> bool:
        """Whether a port is the lower end of its link; between two leaves that is the later one's."""
        peer = self[port.peer]
        return (TIER[peer.role], -peer.number) > (TIER[node.role], -node.number)

    def downlinks(self, node: Node) -> list[Port]:
        """Ports towards the hosts, in order."""
        return [p for p in node.ports if TIER[self[p.peer].role] < TIER[node.role]]

    def uplinks(self, node: Node) -> list[Port]:
        """Ports towards the top and, in a mesh, to other leaves: all that leads away from the hosts below."""
        return [p for p in node.ports if TIER[self[p.peer].role] >= TIER[node.role]]

    def summary(self) -> str:
        """One line: what is in it."""
        counts = [(len(self.role(r)), r) for r in Role]
        words = [
            f"{n} {r + ('s' if n != 1 else '') if r != 'leaf' else 'leaves' if n != 1 else 'leaf'}"
            for n, r in counts
            if n
        ]
        words.append(f"{len(self.links)} link{'s' if len(self.links) != 1 else ''}")
        if self.tenants:
            words.append(f"{len(self.tenants)} tenant{'s' if len(self.tenants) != 1 else ''}")
        return ", ".join(words)
