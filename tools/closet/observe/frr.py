"""What a node's FRR says: daemons, configuration, BGP sessions, tables and the RIB."""

from __future__ import annotations

import socket
from ipaddress import IPv4Network
from typing import Any

from closet.errors import ProbeError
from closet.observe.vty import ask, ask_json
from closet.plan import Fabric
from closet.records import Fib, Session
from closet.runtime.node import LiveNode


def daemons(node: LiveNode, fabric: Fabric) -> frozenset[str]:
    """Which of FRR's daemons are there and accept a question."""
    alive = set()
    for name in ("mgmtd", "zebra", "bgpd", *(("bfdd",) if fabric.bfd else ())):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            try:
                s.connect(str(node.root / "run" / "frr" / f"{name}.vty"))
            except OSError:
                continue
            alive.add(name)
    return frozenset(alive)


def running_config(node: LiveNode, fabric: Fabric) -> tuple[str, ...]:
    """What FRR runs with, as the lines of `show running-config` without comments and headings."""
    text = node.run("vtysh", "-c", "show running-config").stdout
    return config_lines(text)


def config_lines(text: str) -> tuple[str, ...]:
    """The lines of a configuration that say something."""
    lines = [line.rstrip() for line in text.splitlines()]
    said = (line for line in lines if line and not line.lstrip().startswith("!"))
    return tuple(line for line in said if not line.startswith(("Building ", "Current ", "frr version ", "end")))


def sessions(node: LiveNode, fabric: Fabric) -> dict[str, Session]:
    """The BGP sessions of the default VRF, by neighbour."""
    peers = ask_json(node, "bgpd", "show bgp ipv4 unicast summary json").get("peers", {})
    bfd: dict[str, str] = {}
    if fabric.bfd is not None:
        for peer in ask_json(node, "bfdd", "show bfd peers json"):
            bfd[peer["peer"] if fabric.numbered else peer.get("interface", "")] = peer["status"]
    missing = "down" if fabric.bfd is not None else ""
    return {name: _session(p, bfd.get(name, missing)) for name, p in peers.items()}


def _session(peer: dict[str, Any], bfd: str) -> Session:
    state = peer["state"]
    if state == "Established" and peer.get("peerState", "OK") != "OK":
        state = peer["peerState"]  # up, but no policy lets a route through
    return Session(peer.get("hostname", ""), peer["remoteAs"], state, bfd)


def bgp_table_size(node: LiveNode, fabric: Fabric) -> int:
    """Number of prefixes in the BGP table of the default VRF."""
    table = ask_json(node, "bgpd", "show bgp ipv4 unicast json")
    return len(table.get("routes", {}))


def rib(node: LiveNode, fabric: Fabric) -> Fib:
    """The BGP routes zebra has selected and says it has installed."""
    routes: Fib = {}
    for prefix, candidates in ask_json(node, "zebra", "show ip route bgp json").items():
        for route in candidates:
            if route.get("selected") and route.get("installed"):
                hops = route["nexthops"]
                ports = {h.get("interfaceName") for h in hops if h.get("fib") and not h.get("duplicate")}
                routes[IPv4Network(prefix)] = frozenset(p for p in ports if p)
    return routes


def answer(node: LiveNode, daemon: str, command: str) -> str:
    """The text a daemon answers to one command.

    Raises:
        ProbeError: see `vty.ask`.
    """
    return ask(node, daemon, command)[0]


__all__ = ["ProbeError", "answer", "bgp_table_size", "config_lines", "daemons", "rib", "running_config", "sessions"]
