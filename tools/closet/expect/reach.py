"""Which host address reaches which, and over how many routers: a walk of the expected routes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from ipaddress import IPv4Network

from closet.expect.lazy import Lazy
from closet.expect.overlay import expected_tables
from closet.expect.pairs import allowed, leaves_of, pairs
from closet.plan import DEFAULT_VRF, Fabric, Node, Role
from closet.records import Endpoint, Pair, Tables


class Walk:
    """How many routers lie between two endpoints, if the routes are as given: switches, and VRFs of a switch."""

    def __init__(self, fabric: Fabric, tables: Mapping[str, Tables]) -> None:
        self._fabric = fabric
        self._tables = tables
        self._known: dict[tuple[str, str, str | None, object], frozenset[int]] = {}
        self._attached_to: dict[Endpoint, frozenset[str]] = {}
        self._vtep = {str(n.loopback): n for n in fabric.role(Role.LEAF)}
        self._peering = {port: p for p in fabric.peerings for port in p.ports}

    def hops(self, src: Endpoint, dst: Endpoint) -> frozenset[int]:
        """The numbers of routers a packet may cross; empty where it does not arrive."""
        return self._from(self._fabric[src.host], DEFAULT_VRF, src.port, dst)

    def _from(self, node: Node, vrf: str, port: str | None, dst: Endpoint) -> frozenset[int]:
        # Seen from elsewhere, all addresses behind the same leaves are alike while their links to those are up. In a
        # tenant each has a route of its own.
        behind = leaves_of(self._fabric, dst)
        alike = node.name not in behind and self._fabric[dst.host].vrf == DEFAULT_VRF
        key = (node.name, vrf, port, (behind, self._attached(dst)) if alike else dst)
        if key not in self._known:
            self._known[key] = frozenset()  # a loop never arrives
            self._known[key] = self._walk(node, vrf, port, dst)
        return self._known[key]

    def _attached(self, dst: Endpoint) -> frozenset[str]:
        """The leaves that have a route to an endpoint's address straight down to its host."""
        if dst not in self._attached_to:
            prefix, host = IPv4Network(dst.address), self._fabric[dst.host]
            self._attached_to[dst] = frozenset(
                p.peer for p in host.ports if p.peer_port in self._tables[p.peer][p.vrf].get(prefix, ())
            )
        return self._attached_to[dst]

    def _walk(self, node: Node, vrf: str, port: str | None, dst: Endpoint) -> frozenset[int]:
        fib = self._lookup[node.name, vrf]
        for length in sorted(fib, reverse=True):
            ways = fib[length].get(int(dst.address) >> (32 - length))
            if ways is None or (port is not None and port not in ways):
                continue
            found: set[int] = set()
            step = 0 if node.is_host else 1
            for way in (port,) if port is not None else ways:
                found |= {hops + step for hops in self._over(node, vrf, way, dst)}
            return frozenset(found)
        return frozenset()

    def _over(self, node: Node, vrf: str, way: str, dst: Endpoint) -> frozenset[int]:
        """Routers that follow on one way out of a node: by a port, through VXLAN, or into a peer's VRF."""
        if way in self._vtep:
            return self._from(self._vtep[way], vrf, None, dst)
        if way in self._peering:
            return self._from(node, self._peering[way].peer(vrf), None, dst)
        out = node.port(way)
        peer = self._fabric[out.peer]
        if peer.name == dst.host:
            return frozenset({0})
        return frozenset() if peer.is_host else self._from(peer, out.vrf, None, dst)

    @cached_property
    def _lookup(self) -> dict[tuple[str, str], dict[int, dict[int, frozenset[str]]]]:
        """Node and VRF → prefix length → leading bits → ways out: longest prefix match without a trie."""
        lookup: dict[tuple[str, str], dict[int, dict[int, frozenset[str]]]] = {}
        for name, tables in self._tables.items():
            for vrf, fib in tables.items():
                table: dict[int, dict[int, frozenset[str]]] = {}
                for prefix, ways in fib.items():
                    table.setdefault(prefix.prefixlen, {})[_bits(prefix)] = ways
                lookup[name, vrf] = table
        return lookup


def _bits(prefix: IPv4Network) -> int:
    return int(prefix.network_address) >> (32 - prefix.prefixlen)


def expected_hops(fabric: Fabric, tables: Mapping[str, Tables]) -> Mapping[Pair, frozenset[int]]:
    """Every pair of `pairs` → the numbers of routers between them; empty where they must not meet."""
    walk = Walk(fabric, tables)
    return Lazy(pairs(fabric), lambda pair: walk.hops(*pair) if allowed(fabric, *pair) else frozenset())


@lru_cache(maxsize=2)
def planned_hops(fabric: Fabric) -> Mapping[Pair, frozenset[int]]:
    """The same with all links up; kept, since two checks ask for it."""
    return expected_hops(fabric, expected_tables(fabric))
