"""Which host address reaches which, and over how many switches: a walk of the expected routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from ipaddress import IPv4Network

from closet.plan import Fabric, Node
from closet.records import Endpoint, Fib, Pair


def endpoints(fabric: Fabric) -> tuple[list[Endpoint], list[Endpoint]]:
    """The VIP of every host, and every NIC of every host."""
    vips = [Endpoint(h.name, h.loopback) for h in fabric.hosts]
    nics = [Endpoint(h.name, p.rail, p.name) for h in fabric.hosts for p in h.ports if p.rail is not None]
    return vips, nics


MOST_PAIRS = 50_000
"""Pairs asked one by one; a larger fabric is sampled so that every host asks a host on every leaf."""


def pairs(fabric: Fabric, most: int = MOST_PAIRS) -> Iterator[Pair]:
    """Ordered pairs of hosts' VIPs, then of NICs of different hosts: all of them, up to `most` of each kind.

    Beyond that, every endpoint with one on each leaf (or set of leaves), chosen in turn so that all are asked.
    """
    for kind in endpoints(fabric):
        if len(kind) * (len(kind) - 1) <= most:
            yield from ((a, b) for a in kind for b in kind if a.host != b.host)
            continue
        behind: dict[tuple[str, ...], list[Endpoint]] = {}
        for e in kind:
            behind.setdefault(_leaves(fabric, e), []).append(e)
        for i, a in enumerate(kind):
            chosen = (_another(a, there, i) for there in behind.values())
            yield from ((a, b) for b in chosen if a.host != b.host)


def _another(a: Endpoint, there: list[Endpoint], i: int) -> Endpoint:
    """The i-th, round and round, or on the leaf of `a` itself the next one."""
    b = there[i % len(there)]
    return b if b.host != a.host else there[(i + 1) % len(there)]


def _leaves(fabric: Fabric, endpoint: Endpoint) -> tuple[str, ...]:
    """The leaves an endpoint's address is behind."""
    host = fabric[endpoint.host]
    return (host.port(endpoint.port).peer,) if endpoint.port else tuple(sorted({p.peer for p in host.ports}))


class Walk:
    """How many switches lie between two endpoints, if the routes are as given."""

    def __init__(self, fabric: Fabric, fibs: Mapping[str, Fib]) -> None:
        self._fabric = fabric
        self._fibs = fibs
        self._known: dict[tuple[str, str | None, object], frozenset[int]] = {}
        self._attached_to: dict[Endpoint, frozenset[str]] = {}

    def hops(self, src: Endpoint, dst: Endpoint) -> frozenset[int]:
        """The numbers of switches a packet may cross; empty where it does not arrive."""
        return self._from(self._fabric[src.host], src.port, dst)

    def _from(self, node: Node, port: str | None, dst: Endpoint) -> frozenset[int]:
        # Seen from elsewhere, all addresses behind the same leaves are alike while their links to those are up.
        behind = _leaves(self._fabric, dst)
        near = dst.address if node.name in behind else (behind, self._attached(dst))
        key = (node.name, port, near)
        if key not in self._known:
            self._known[key] = frozenset()  # a loop never arrives
            self._known[key] = self._walk(node, port, dst)
        return self._known[key]

    def _attached(self, dst: Endpoint) -> frozenset[str]:
        """The leaves that have a route to an endpoint's address straight down to its host."""
        if dst not in self._attached_to:
            prefix, host = IPv4Network(dst.address), self._fabric[dst.host]
            self._attached_to[dst] = frozenset(
                p.peer for p in host.ports if p.peer_port in self._fibs[p.peer].get(prefix, ())
            )
        return self._attached_to[dst]

    def _walk(self, node: Node, port: str | None, dst: Endpoint) -> frozenset[int]:
        fib = self._lookup[node.name]
        for length in sorted(fib, reverse=True):
            ports = fib[length].get(int(dst.address) >> (32 - length))
            if ports is None or (port is not None and port not in ports):
                continue
            found: set[int] = set()
            for name in (port,) if port is not None else ports:
                peer = self._fabric[node.port(name).peer]
                step = 0 if node.is_host else 1
                if peer.name == dst.host:
                    found.add(step)
                elif not peer.is_host:
                    found |= {h + step for h in self._from(peer, None, dst)}
            return frozenset(found)
        return frozenset()

    @cached_property
    def _lookup(self) -> dict[str, dict[int, dict[int, frozenset[str]]]]:
        """Node → prefix length → leading bits → ports: longest prefix match without a trie."""
        tables: dict[str, dict[int, dict[int, frozenset[str]]]] = {}
        for name, fib in self._fibs.items():
            table: dict[int, dict[int, frozenset[str]]] = {}
            for prefix, ports in fib.items():
                table.setdefault(prefix.prefixlen, {})[_bits(prefix)] = ports
            tables[name] = table
        return tables


def _bits(prefix: IPv4Network) -> int:
    return int(prefix.network_address) >> (32 - prefix.prefixlen)


def expected_hops(fabric: Fabric, fibs: Mapping[str, Fib]) -> dict[Pair, frozenset[int]]:
    """Every pair of `pairs` → the numbers of switches between them; empty where they must not meet."""
    walk = Walk(fabric, fibs)
    return {(a, b): walk.hops(a, b) for a, b in pairs(fabric)}
