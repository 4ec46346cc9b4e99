"""Waiting until every kernel forwards as planned: by events, with a deadline, and no polling of daemons."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Mapping
from ipaddress import IPv4Network
from types import TracebackType

from closet.errors import ProbeError
from closet.expect import expected_tables
from closet.observe import kernel
from closet.observe.events import RouteMonitor
from closet.observe.vty import ask_json
from closet.plan import Fabric, Node
from closet.runtime.cables import Advertiser, let_speak, listens_first
from closet.runtime.node import LiveNode

QUIET = 10.0
"""Seconds without any route change after which more waiting tells nothing new."""
HEARD_BY = 2.0
"""Seconds for the upper ends of links to hear the lower ones."""
FIRST_REPEAT = 0.05
"""Seconds after which router advertisements are repeated, then after twice as long each time."""


class Convergence:
    """Watches a fabric from before its links rise until its routes are as planned.

    Args:
        names: of a fabric that runs already, the nodes whose routes change; default: all of them, from none at all.
        rising: the part of the fabric whose links rise; default: all of it.
    """

    def __init__(
        self,
        fabric: Fabric,
        nodes: Mapping[str, LiveNode],
        *,
        names: Collection[str] | None = None,
        rising: Fabric | None = None,
    ) -> None:
        self._fabric = fabric
        self._rising = rising if rising is not None else fabric
        self._nodes = nodes
        self._expected = expected_tables(fabric)
        self._monitor = RouteMonitor()
        self._routes: dict[str, int] = {}
        """Least number of changes that could bring a node to its planned routes; static ones may be there already."""
        for node in (n for n in fabric if names is None or n.name in names):
            statics = 0
            for vrf in self._expected[node.name]:
                self._monitor.watch(nodes[node.name], vrf)
                statics += len(self._expected[node.name][vrf].keys() & _static(fabric, node, vrf))
            least = sum(map(len, self._expected[node.name].values())) - statics
            self._routes[node.name] = least if names is None else -sys.maxsize

    def __enter__(self) -> Convergence:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._monitor.close()

    def wait(self) -> set[str]:
        """Names of the nodes whose routes are not as planned when nothing changes any more; empty if all are."""
        advertiser = Advertiser(self._rising, self._nodes) if not self._fabric.numbered else None
        try:
            return self._wait(advertiser)
        finally:
            if advertiser is not None:
                advertiser.close()

    def _wait(self, advertiser: Advertiser | None) -> set[str]:
        todo = set(self._routes)
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

        The upper ends only listen so far (`raise_links`); they speak when all of them know, or after `HEARD_BY`.
        """
        deaf = {
            node.name: names
            for node in self._rising.switches
            if (names := {p.name for p in node.ports if listens_first(self._rising, node, p)})
        }
        deadline = time.monotonic() + HEARD_BY
        while deaf and time.monotonic() < deadline:
            advertiser.send(upper=False)
            deaf = {name: left for name, ports in deaf.items() if (left := self._unknown(name, ports))}
        let_speak(self._rising, self._nodes)

    def _unknown(self, name: str, ports: set[str]) -> set[str]:
        """Those of a node's ports whose neighbour bgpd does not know: it is Idle until it does."""
        try:
            vrfs = ask_json(self._nodes[name], "bgpd", "show bgp vrf all summary json")
        except ProbeError:  # a daemon that is not there is a check's finding
            return set()
        idle = {
            peer
            for vrf in vrfs.values()
            for family in vrf.values()
            if isinstance(family, dict)
            for peer, told in family.get("peers", {}).items()
            if told["state"] == "Idle"
        }
        return ports & idle

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
