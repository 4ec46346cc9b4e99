"""Which host address reaches which, and over how many switches: a walk of the expected routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from closet.plan import Fabric, Node
from closet.records import Fib


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host address. With a port, traffic from it leaves by that port (RDMA binds a QP to its NIC)."""

    host: str
    address: IPv4Address
    port: str | None = None

    def __str__(self) -> str:
        return f"{self.host}/{self.port}" if self.port else self.host


def endpoints(fabric: Fabric) -> tuple[list[Endpoint], list[Endpoint]]:
    """The VIP of every host, and every NIC of every host."""
    vips = [Endpoint(h.name, h.loopback) for h in fabric.hosts]
    nics = [Endpoint(h.name, p.rail, p.name) for h in fabric.hosts for p in h.ports if p.rail is not None]
    return vips, nics


def pairs(fabric: Fabric) -> Iterator[tuple[Endpoint, Endpoint]]:
    """Every ordered pair of hosts' VIPs, and every ordered pair of NICs of different hosts."""
    for kind in endpoints(fabric):
        for a in kind:
            for b in kind:
                if a.host != b.host:
                    yield a, b


class Walk:
    """How many switches lie between two endpoints, if the routes are as given."""

    def __init__(self, fabric: Fabric, fibs: Mapping[str, Fib]) -> None:
        self._fabric = fabric
        self._fibs = fibs
        self._known: dict[tuple[str, str | None, object], frozenset[int]] = {}

    def hops(self, src: Endpoint, dst: Endpoint) -> frozenset[int]:
        """The numbers of switches a packet may cross; empty where it does not arrive."""
        return self._from(self._fabric[src.host], src.port, dst)

    def _from(self, node: Node, port: str | None, dst: Endpoint) -> frozenset[int]:
        # Seen from elsewhere, all addresses behind the same leaves are alike.
        target = self._fabric[dst.host]
        behind = target.port(dst.port).peer if dst.port else tuple(sorted({p.peer for p in target.ports}))
        near = dst.address if node.name in behind or node.name == behind else behind
        key = (node.name, port, near)
        if key not in self._known:
            self._known[key] = frozenset()  # a loop never arrives
            self._known[key] = self._walk(node, port, dst)
        return self._known[key]

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


def expected_hops(fabric: Fabric, fibs: Mapping[str, Fib]) -> dict[tuple[Endpoint, Endpoint], frozenset[int]]:
    """Every pair of `pairs` → the numbers of switches between them; empty where they must not meet."""
    walk = Walk(fabric, fibs)
    return {(a, b): walk.hops(a, b) for a, b in pairs(fabric)}
