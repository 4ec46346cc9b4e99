"""What a node's FRR says: daemons, configuration, BGP sessions, tables and the RIB."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Network
from typing import Any

from closet.observe.vty import ask, ask_json
from closet.plan import DEFAULT_VRF, Fabric
from closet.records import Fib, Session, Tables
from closet.runtime.node import LiveNode

DAEMONS = ("mgmtd", "zebra", "bgpd", "bfdd", "staticd")
"""Those a node may run; which it must is the plan's to say."""


def daemons(node: LiveNode, fabric: Fabric) -> frozenset[str]:
    """Which of FRR's daemons are there and accept a question."""
    alive = set()
    for name in DAEMONS:
        with suppress(OSError):
            node.connect(f"/run/frr/{name}.vty", 5.0).close()
            alive.add(name)
    return frozenset(alive)


def running_config(node: LiveNode, fabric: Fabric) -> frozenset[str]:
    """What FRR runs with: the lines of every daemon's `show running-config`, each with the blocks it is in."""
    lines: set[str] = set()
    for daemon in daemons(node, fabric):
        lines |= config_lines(ask(node, daemon, "show running-config")[0])
    its = fabric[node.name]
    vrfs = {p.name: p.vrf for p in its.ports if not its.is_host and not node.has_namespace(p.vrf)}
    return frozenset(_in_vrf(line, vrfs) for line in lines)


def _in_vrf(line: str, vrfs: Mapping[str, str]) -> str:
    """A line with the VRF of the interface it is about: FRR leaves it out where VRFs are devices (lib/if.c).

    Args:
        vrfs: port → VRF, of those that are devices.
    """
    heading, slash, rest = line.partition(" / ")
    words = heading.split()
    vrf = vrfs.get(words[1], DEFAULT_VRF) if len(words) == 2 and words[0] == "interface" else DEFAULT_VRF
    return line if vrf == DEFAULT_VRF else f"{heading} vrf {vrf}{slash}{rest}"


def config_lines(text: str) -> frozenset[str]:
    """The lines of a configuration that say something, each behind the headings of the blocks it is in."""
    return frozenset(" / ".join(path) for path in config_paths(text))


def config_paths(text: str) -> list[tuple[str, ...]]:
    """The same in their order, as tuples: headings of the blocks a line is in, then the line."""
    found: dict[tuple[str, ...], None] = {}
    above: list[tuple[int, str]] = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith(("!", "exit", "Building ", "Current ", "frr version ", "service ", "end")):
            continue
        indent = len(raw) - len(raw.lstrip())
        while above and above[-1][0] >= indent:
            above.pop()
        found[*(words for _, words in above), line] = None
        above.append((indent, line))
    return list(found)


def sessions(node: LiveNode, fabric: Fabric) -> dict[str, Session]:
    """The BGP sessions of all VRFs, by neighbour: a port, or an address, is in one VRF only."""
    found: dict[str, Session] = {}
    for vrf in (DEFAULT_VRF, *(t.name for t in fabric.vrfs(fabric[node.name]))):
        where = "" if vrf == DEFAULT_VRF else f"vrf {vrf} "
        summary = ask_json(node, "bgpd", f"show bgp {where}ipv4 unicast summary json")
        bfd_peers = ask_json(node, "bfdd", f"show bfd {where}peers json") if fabric.bfd is not None else None
        found |= parse_sessions(summary, bfd_peers, numbered=fabric.numbered, vrf=vrf)
    return found


def parse_sessions(
    summary: Any, bfd_peers: Any | None, *, numbered: bool, vrf: str = DEFAULT_VRF
) -> dict[str, Session]:
    """Sessions out of the answers to `sessions`' questions; `bfd_peers` is None where BFD is not in use."""
    bfd: dict[str, str] = {}
    for peer in bfd_peers or ():
        bfd[peer["peer"] if numbered else peer.get("interface", "")] = peer["status"]
    missing = "" if bfd_peers is None else "down"
    return {name: _session(p, bfd.get(name, missing), vrf) for name, p in summary.get("peers", {}).items()}


def _session(peer: dict[str, Any], bfd: str, vrf: str) -> Session:
    state = peer["state"]
    # "Passive" says who connects, not whether it works.
    if state == "Established" and peer.get("peerState", "OK") not in {"OK", "Passive"}:
        state = peer["peerState"]  # up, but no policy lets a route through
    return Session(peer.get("hostname", ""), peer["remoteAs"], state, bfd, vrf)


def bgp_table_size(node: LiveNode, fabric: Fabric) -> int:
    """Number of prefixes in the BGP table of the default VRF."""
    table = ask_json(node, "bgpd", "show bgp ipv4 unicast json")
    return len(table.get("routes", {}))


def ribs(node: LiveNode, fabric: Fabric) -> Tables:
    """The routes zebra has selected and says it has installed: BGP's and, of a tenant, the static ones to peers."""
    found = {DEFAULT_VRF: parse_rib(ask_json(node, "zebra", "show ip route bgp json"))}
    for tenant in fabric.vrfs(fabric[node.name]):
        answer = ask_json(node, "zebra", f"show ip route vrf {tenant.name} json")
        wanted = {p: [r for r in its if r["protocol"] in {"bgp", "static"}] for p, its in answer.items()}
        found[tenant.name] = parse_rib(wanted, bridge=tenant.bridge)
    return found


def parse_rib(answer: Any, *, bridge: str = "") -> Fib:
    """Routes out of the answer to `ribs`' question; next hops on `bridge` by the VTEP behind it."""
    routes: Fib = {}
    for prefix, candidates in answer.items():
        for route in candidates:
            if route.get("selected") and route.get("installed"):
                hops = [h for h in route["nexthops"] if _used(h, over_bridge=h.get("interfaceName") == bridge)]
                ways = {h.get("ip" if h.get("interfaceName") == bridge else "interfaceName") for h in hops}
                routes[IPv4Network(prefix)] = frozenset(w for w in ways if w)
    return routes


def _used(hop: dict[str, Any], *, over_bridge: bool) -> bool:
    """Whether a next hop forwards.

    FRR 10.3 leaves `fib` set on one whose link is down, and unsets `active`; of several VTEPs behind one bridge it
    sets `fib` on the first only.
    """
    return bool((hop.get("fib") or over_bridge) and hop.get("active") and not hop.get("duplicate"))
