"""How far the routes that kernels really have lead: asked hop by hop, from the source on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from closet.errors import ProbeError
from closet.plan import DEFAULT_VRF, Fabric, Node
from closet.records import Endpoint
from closet.roce.wire import UDP_PORT
from closet.runtime.node import LiveNode

MOST_HOPS = 16
"""Longer than any way through a planned fabric: a loop."""


def last_hop(fabric: Fabric, nodes: Mapping[str, LiveNode], source: Endpoint, target: Endpoint) -> str:
    """Where a packet's way ends by the routes: who has no more, or who hands it to which host. Filters it does not see.

    Raises:
        ProbeError: a node is gone.
    """
    return _walk(fabric, nodes, source, target)[1]


def way(
    fabric: Fabric, nodes: Mapping[str, LiveNode], source: Endpoint, target: Endpoint, sport: int
) -> tuple[str, ...]:
    """The switches RoCEv2 packets with this UDP source port pass, by the kernels' own choice among equal paths.

    What VXLAN carries has another source port in the underlay: between two VTEPs no spine is named.

    Raises:
        ProbeError: a node is gone.
    """
    passed, _ = _walk(fabric, nodes, source, target, ("ipproto", "udp", "sport", str(sport), "dport", str(UDP_PORT)))
    return tuple(name for name in passed if not fabric[name].is_host)


def _walk(
    fabric: Fabric, nodes: Mapping[str, LiveNode], source: Endpoint, target: Endpoint, flow: tuple[str, ...] = ()
) -> tuple[list[str], str]:
    """The nodes a packet passes, and where its way ends.

    Args:
        flow: words of `ip route get` that say more of the packet than its addresses.
    """
    vteps = {str(n.loopback): n for n in fabric.switches}
    peerings = {port: p for p in fabric.peerings for port in p.ports}
    node, vrf, came_in = fabric[source.host], DEFAULT_VRF, ""
    passed: list[str] = []
    for _ in range(MOST_HOPS):
        here = node.name if vrf == DEFAULT_VRF else f"{node.name} VRF {vrf}"
        passed += [node.name] if node.name not in passed[-1:] else []
        how = ["iif", came_in] if came_in else ["oif", source.port] if source.port else []
        route = _route(nodes[node.name], vrf, source, target, [*how, *flow])
        if route is None:
            return passed, f"last hop {here}, which has no route"
        out, gateway = str(route.get("dev")), str(route.get("gateway"))
        if gateway in vteps and out.startswith("br"):
            node, came_in = vteps[gateway], fabric.tenants[vrf].bridge
        elif out in peerings:
            vrf = peerings[out].peer(vrf)
            came_in = peerings[out].port(vrf)
        else:
            port = next((p for p in node.ports if p.name == out), None)
            if port is None:
                return passed, f"last hop {here}, which keeps it ({out})"
            if fabric[port.peer].is_host:
                return passed, f"last hop {here}, which hands it to {port.peer}"
            node, vrf, came_in = fabric[port.peer], _vrf_there(fabric, node, port.peer_port, port.peer), port.peer_port
    return passed, "it goes in circles"


def _vrf_there(fabric: Fabric, node: Node, port: str, peer: str) -> str:
    return fabric[peer].port(port).vrf if node.is_host else DEFAULT_VRF


def _route(node: LiveNode, vrf: str, source: Endpoint, target: Endpoint, how: list[str]) -> dict[str, Any] | None:
    """What the kernel would do with the packet; None where it has no route."""
    to = str(target.address), "from", str(source.address)
    asked = node.run("ip", "-j", "route", "get", *to, *how, check=False, vrf=vrf)
    if asked.returncode != 0:
        return None
    try:
        route: dict[str, Any] = json.loads(asked.stdout)[0]
    except (ValueError, IndexError):
        raise ProbeError(f"{node.name}: ip route get: no JSON: {asked.stdout[:80]!r}") from None
    return None if route.get("type") in {"unreachable", "blackhole", "prohibit"} else route
