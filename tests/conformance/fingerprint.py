"""Everything about a node that two labs of one intent must have alike."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from closet.lab import Lab
from closet.observe import frr
from closet.plan import DEFAULT_VRF
from closet.runtime.node import LiveNode

LINK = ("ifname", "mtu", "operstate", "flags", "master", "txqlen", "inet6_addr_gen_mode", "ifalias", "link_netns")
DATA = ("id", "local", "port", "ttl", "tos", "learning", "df", "stp_state", "forward_delay", "flood", "neigh_suppress")
ROUTE = ("dst", "dev", "gateway", "via", "protocol", "prefsrc", "metric", "flags", "type", "table", "nexthops")

NODE = {
    "VRFs": "vtysh -c 'show vrf'",
    "namespaces": "ls /run/netns || true",
    "mounts": "cat /proc/mounts",
}
SPACE = {
    "links": "ip -j -d link",
    "addresses": "ip -j addr",
    "routes": "ip -j route show table all",
    "neighbours": "ip -j neigh",
    "forwarding": "bridge -j fdb",
    "filters": "nft list ruleset",
    # Some cannot be read before they are set. By sysctl(8) this takes most of the time of all.
    "settings": "(cd /proc/sys/net && grep -rs . ipv4/conf ipv6/conf ipv[46]/ip* ipv[46]/fib*) || true",
}
"""What → the command that says it, of a node and of each of its network namespaces."""
MARK = "=== "


def fingerprints(lab: Lab, names: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """Node → what it runs and holds, without what is another in every lab (indexes, ages, processes' numbers).

    Args:
        names: of these nodes; default: of all.
    """
    some = list(lab.nodes if names is None else names)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return dict(zip(some, pool.map(lambda name: _fingerprint(lab, name), some), strict=True))


def _fingerprint(lab: Lab, name: str) -> dict[str, Any]:
    node, plan = lab[name], lab.fabric
    said = _ask(node, NODE)
    found: dict[str, Any] = {
        "running configuration": sorted(frr.running_config(node, plan)),
        "files": {p.name: p.read_text() for p in sorted((node.folder / "frr").iterdir())},
        "daemons": sorted(frr.daemons(node, plan)),
        "VRFs of zebra": sorted(re.findall(r"^vrf (\S+)(?: id \d+)? (.*)", said["VRFs"], re.MULTILINE)),
        "namespaces": sorted(said["namespaces"].split()),
        "mounts": sorted(re.findall(r" (/run/vrfs/\S+) ", said["mounts"])),
    }
    vrfs = [t.name for t in plan.vrfs(plan[name])]
    for vrf in (DEFAULT_VRF, *(v for v in vrfs if node.has_namespace(v))):
        found |= {f"{vrf}: {what}": value for what, value in _space(_ask(node, SPACE, vrf)).items()}
    return found


def _ask(node: LiveNode, questions: Mapping[str, str], vrf: str = DEFAULT_VRF) -> dict[str, str]:
    """All in one visit: to come to a node takes longer than most commands."""
    script = "\n".join(f"echo '{MARK}{what}'; {command}" for what, command in questions.items())
    parts = node.run("sh", "-ec", script, vrf=vrf).stdout.split(MARK)[1:]
    return {what: said for what, _, said in (part.partition("\n") for part in parts)}


def _space(said: Mapping[str, str]) -> dict[str, Any]:
    links, addresses, routes, neighbours, forwarding = (
        json.loads(said[what] or "[]") for what in ("links", "addresses", "routes", "neighbours", "forwarding")
    )
    vxlans = {k["ifname"] for k in links if k.get("linkinfo", {}).get("info_kind") == "vxlan"}
    random = {k["address"] for k in links if k["ifname"] in vxlans}
    settings = sorted(line for line in said["settings"].splitlines() if "/stable_secret:" not in line)
    assert "ipv4/conf/lo/forwarding:1" in settings or "ipv4/conf/lo/forwarding:0" in settings
    return {
        "links": sorted(str(_link(k, random)) for k in links),
        "addresses": sorted((a["ifname"], i["local"], i["prefixlen"]) for a in addresses for i in a["addr_info"]),
        "routes": sorted(_route(r) for r in routes),
        "neighbours": sorted(
            (n["dst"], n["dev"], n.get("lladdr")) for n in neighbours if {"PERMANENT", "NOARP"} & set(n["state"])
        ),
        "forwarding": sorted(
            (f["mac"], f["ifname"], f.get("dst", ""), f["state"]) for f in forwarding if f["mac"] not in random
        ),
        "filters": sorted(re.split(r"^(?=table )", said["filters"], flags=re.MULTILINE)),
        "settings": settings,
    }


def _link(link: dict[str, Any], random: set[str]) -> dict[str, Any]:
    info = link.get("linkinfo", {})
    data = {k: v for part in ("info_data", "info_slave_data") for k, v in info.get(part, {}).items() if k in DATA}
    mac = "any" if link["address"] in random else link["address"]
    return {k: link.get(k) for k in LINK} | {"mac": mac, "kind": info.get("info_kind"), **data}


def _route(route: dict[str, Any]) -> str:
    """A route; its next hops are a set."""
    hops = sorted(str({k: h[k] for k in ROUTE if k in h}) for h in route.get("nexthops", ()))
    return str({k: route[k] for k in ROUTE if k in route} | {"nexthops": hops})
