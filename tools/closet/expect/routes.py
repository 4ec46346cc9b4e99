"""The routes BGP must install on every node: the design's propagation rules, played on the plan.

Independent of what is rendered: this walks the plan as RFC 4271 would (shortest AS path, equal ones all
used, no route through one's own AS) under the design's policy: hosts announce their own /32s, leaves
announce upwards their own, spines announce what they know, a default comes from the top and goes down only.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from closet.plan import Fabric, Link, Node, Role
from closet.plan.fabric import TIER
from closet.records import Fib

DEFAULT = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True, slots=True)
class _Edge:
    """A session as the receiver sees it: routes come from `sender` over the receiver's `port`."""

    sender: str
    port: str


def expected_fibs(fabric: Fabric, down: Container[Link] = ()) -> dict[str, Fib]:
    """Node → the BGP routes its kernel must hold, and none else, when the links in `down` are down."""
    up = [link for link in fabric.links if link not in down]
    edges: dict[str, dict[str, list[_Edge]]] = {n: {} for n in fabric.nodes}
    for link in up:  # receiver → sender's edges, both ways
        edges[link.a].setdefault(link.b, []).append(_Edge(link.b, link.a_port))
        edges[link.b].setdefault(link.a, []).append(_Edge(link.a, link.b_port))
    fibs: dict[str, Fib] = {n: {} for n in fabric.nodes}
    senders = {n: list(by_sender) for n, by_sender in edges.items()}
    receivers: dict[str, list[str]] = {n: [] for n in fabric.nodes}
    for n, names in senders.items():
        for s in names:
            receivers[s].append(n)

    spread = _Spread(fabric, edges, receivers, fibs)
    for node in fabric.switches:
        spread.own(node)
    for host in fabric.hosts:
        spread.host(host)
    if fabric.host_routes == "default":
        spread.default()
    return fibs


class _Spread:
    """Plays the propagation of one origin's prefixes at a time into the tables."""

    def __init__(
        self,
        fabric: Fabric,
        edges: dict[str, dict[str, list[_Edge]]],
        receivers: dict[str, list[str]],
        fibs: dict[str, Fib],
    ) -> None:
        self._fabric = fabric
        self._edges = edges
        self._receivers = receivers
        self._fibs = fibs

    def own(self, switch: Node) -> None:
        """A switch's loopback and, on a leaf that has hosts, its block."""
        loopback, block = IPv4Network(switch.loopback), switch.block
        attached = any(self._fabric[s].is_host for s in self._edges[switch.name])
        if block is None or not attached:
            self._flood([loopback], {switch.name: frozenset()})
            return
        self._fibs[switch.name][block] = frozenset()
        self._flood([loopback, block], {switch.name: frozenset()})

    def host(self, host: Node) -> None:
        """A host's VIP, over every link it has, and each NIC's /32, over that link alone."""
        vip = IPv4Network(host.loopback)
        leaves: dict[str, frozenset[int]] = {}
        for port in host.ports:
            arrivals = [e for e in self._edges[port.peer].get(host.name, []) if e.port == port.peer_port]
            for edge in arrivals:
                fib = self._fibs[port.peer]
                fib[vip] = fib.get(vip, frozenset()) | {edge.port}
                if port.rail is not None:
                    fib[IPv4Network(port.rail)] = frozenset({edge.port})
                leaves[port.peer] = frozenset({host.asn})
        if self._fabric.multihomed(host):
            self._flood([vip], leaves | {host.name: frozenset()})

    def default(self) -> None:
        """The default route: from every node of the top tier, downwards only."""
        for node in self._fabric:
            edges = [
                e
                for sender, es in self._edges[node.name].items()
                for e in es
                if TIER[self._fabric[sender].role] > TIER[node.role]
                and (self._fabric[sender].role is self._fabric.top or DEFAULT in self._fibs[sender])
            ]
            if edges:
                self._fibs[node.name][DEFAULT] = frozenset(e.port for e in edges)

    def _flood(self, prefixes: list[IPv4Network], origins: dict[str, frozenset[int]]) -> None:
        """Spread prefixes in rings of equal AS path length; aggregates and VIPs also to hosts, if those get them.

        Args:
            origins: nodes that have the prefixes, with the AS numbers already in the path there.
        """
        for_hosts = [p for p in prefixes if not p.subnet_of(self._fabric.pools.loopbacks)]
        path: dict[str, frozenset[int]] = dict(origins)
        ring = dict(origins)
        while ring:
            arrived: dict[str, list[str]] = {}
            for sender in ring:
                as_path = path[sender] | {self._fabric[sender].asn}
                for receiver in self._receivers[sender]:
                    if receiver not in path and self._passes(sender, receiver, as_path, sender in origins):
                        arrived.setdefault(receiver, []).append(sender)
            for receiver, senders in arrived.items():
                ports = frozenset(e.port for s in senders for e in self._edges[receiver][s])
                for prefix in for_hosts if self._fabric[receiver].is_host else prefixes:
                    self._fibs[receiver][prefix] = ports
            ring = {r: path[s[0]] | {self._fabric[s[0]].asn} for r, s in arrived.items()}
            path |= ring

    def _passes(self, sender: str, receiver: str, as_path: frozenset[int], origin: bool) -> bool:
        """Whether the receiver takes it: a host what its leaf knows, a switch nothing with its own AS in it.

        Hosts announce nothing here; a leaf announces upwards only what is its own, the others all they know.
        """
        by, to = self._fabric[sender], self._fabric[receiver]
        if by.is_host:
            return False
        if to.is_host:  # a shared AS number is no loop: the leaf overrides it
            return self._fabric.host_routes == "aggregates"
        return (origin or by.role is not Role.LEAF) and to.asn not in as_path


def next_hops(fib: Fib, address: IPv4Address) -> frozenset[str]:
    """The ways out by the longest prefix that holds an address; none where there is none."""
    lengths = sorted({prefix.prefixlen for prefix in fib}, reverse=True)
    nets = (IPv4Network((int(address) >> (32 - n) << (32 - n), n)) for n in lengths)
    return next((fib[net] for net in nets if net in fib), frozenset())
