"""Waiting until every kernel forwards as planned: by events, with a deadline, and no polling of daemons."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Network
from types import TracebackType

from closet.errors import ProbeError
from closet.expect import expected_tables
from closet.observe import kernel
from closet.observe.events import RouteMonitor
from closet.observe.vty import ask
from closet.plan import Fabric, Node
from closet.runtime.boot import Advertiser
from closet.runtime.node import LiveNode

QUIET = 10.0
"""Seconds without any route change after which more waiting tells nothing new."""
FIRST_REPEAT = 0.05
"""Seconds after which router advertisements are repeated, then after twice as long each time."""


class Convergence:
    """Watches a fabric from before its links rise until its routes are as planned."""

    def __init__(self, fabric: Fabric, nodes: Mapping[str, LiveNode]) -> None:
        self._fabric = fabric
        self._nodes = nodes
        self._expected = expected_tables(fabric)
        self._monitor = RouteMonitor()
        self._routes: dict[str, int] = {}
        """Least number of changes that could bring a node to its planned routes; static ones may be there already."""
        for node in fabric:
            statics = 0
            for vrf in self._expected[node.name]:
                self._monitor.watch(nodes[node.name], vrf)
                statics += len(self._expected[node.name][vrf].keys() & _static(fabric, node, vrf))
            self._routes[node.name] = sum(map(len, self._expected[node.name].values())) - statics

    def __enter__(self) -> Convergence:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._monitor.close()

    def wait(self) -> set[str]:
        """Names of the nodes whose routes are not as planned when nothing changes any more; empty if all are."""
        advertiser = Advertiser(self._fabric, self._nodes) if not self._fabric.numbered else None
        try:
            return self._wait(advertiser)
        finally:
            if advertiser is not None:
                advertiser.close()

    def _wait(self, advertiser: Advertiser | None) -> set[str]:
        todo = set(self._nodes)
        interesting = set(todo)
        last_change = repeat_at = time.monotonic()
        repeat = FIRST_REPEAT
        if advertiser is not None:
            self._introduce(advertiser)
        while todo and time.monotonic() - last_change < QUIET:
            if advertiser is not None and time.monotonic() >= repeat_at:
                advertiser.send()
                repeat_at, repeat = time.monotonic() + repeat, repeat * 2
            for name in interesting & todo:
                if self._monitor.added[name] >= self._routes[name] and self._converged(name):
                    todo.discard(name)
            interesting = self._monitor.wait(max(min(repeat_at - time.monotonic(), 1.0), 0.001)) if todo else set()
            if interesting:
                last_change = time.monotonic()
        return todo

    def _introduce(self, advertiser: Advertiser) -> None:
        """Let every upper end know the lower one before that connects: else it refuses, and a second is lost.

        A daemon answers a question after what had reached it before: zebra has then passed on whom it heard,
        and bgpd has taken note.
        """
        advertiser.send(upper=False)
        for daemon in ("zebra", "bgpd"):
            for switch in self._fabric.switches:
                with suppress(ProbeError):  # a daemon that is not there is a check's finding
                    ask(self._nodes[switch.name], daemon, "show version")

    def _converged(self, name: str) -> bool:
        try:
            return kernel.tables(self._nodes[name], self._fabric) == self._expected[name]
        except ProbeError:
            return False


def _static(fabric: Fabric, node: Node, vrf: str) -> set[IPv4Network]:
    """What a VRF has static routes to: its peers."""
    if vrf not in fabric.tenants:
        return set()
    peerings = fabric.peerings_of(node, fabric.tenants[vrf])
    return {net for p in peerings for net in p.exported(p.peer(vrf))}
