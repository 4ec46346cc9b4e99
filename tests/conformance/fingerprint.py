"""Everything about a node that two labs of one intent must have alike."""

from __future__ import annotations

import json
import re
from typing import Any

from closet.lab import Lab
from closet.observe import frr
from closet.plan import DEFAULT_VRF
from closet.runtime.node import LiveNode

LINK = ("ifname", "mtu", "operstate", "flags", "master", "txqlen", "inet6_addr_gen_mode", "ifalias", "link_netns")
DATA = ("id", "local", "port", "ttl", "tos", "learning", "df", "stp_state", "forward_delay", "flood", "neigh_suppress")
ROUTE = ("dst", "dev", "gateway", "via", "protocol", "prefsrc", "metric", "flags", "type", "table", "nexthops")


def fingerprint(lab: Lab, name: str) -> dict[str, Any]:
    """What a node runs and holds, without what is another in every lab (indexes, ages, processes' numbers)."""
    node, plan = lab[name], lab.fabric
    vrfs = [t.name for t in plan.vrfs(plan[name])]
    found: dict[str, Any] = {
        "running configuration": sorted(frr.running_config(node, plan)),
        "files": {p.name: p.read_text() for p in sorted((node.folder / "frr").iterdir())},
        "daemons": sorted(frr.daemons(node, plan)),
        "VRFs of zebra": sorted(re.findall(r"^vrf (\S+)(?: id \d+)? (.*)", node.vtysh("show vrf"), re.MULTILINE)),
        "namespaces": sorted(node.run("ls", "/run/netns", check=False).stdout.split()),
        "mounts": sorted(re.findall(r" (/run/vrfs/\S+) ", node.run("cat", "/proc/mounts").stdout)),
    }
    for vrf in (DEFAULT_VRF, *(v for v in vrfs if node.has_namespace(v))):
        found |= {f"{vrf}: {what}": value for what, value in _space(node, vrf).items()}
    return found


def _space(node: LiveNode, vrf: str) -> dict[str, Any]:
    enter = ("ip", "netns", "exec", vrf) if vrf != DEFAULT_VRF else ()

    def ask(*command: str) -> Any:
        return json.loads(node.run(*enter, *command).stdout or "[]")

    links = ask("ip", "-j", "-d", "link")
    vxlans = {k["ifname"] for k in links if k.get("linkinfo", {}).get("info_kind") == "vxlan"}
    random = {k["address"] for k in links if k["ifname"] in vxlans}
    tables = node.run(*enter, "nft", "list", "tables").stdout.splitlines()
    return {
        "links": sorted(str(_link(k, random)) for k in links),
        "addresses": sorted(
            (a["ifname"], i["local"], i["prefixlen"]) for a in ask("ip", "-j", "addr") for i in a["addr_info"]
        ),
        "routes": sorted(_route(r) for r in ask("ip", "-j", "route", "show", "table", "all")),
        "neighbours": sorted(
            (n["dst"], n["dev"], n.get("lladdr"))
            for n in ask("ip", "-j", "neigh")
            if {"PERMANENT", "NOARP"} & set(n["state"])
        ),
        "forwarding": sorted(
            (f["mac"], f["ifname"], f.get("dst", ""), f["state"])
            for f in ask("bridge", "-j", "fdb")
            if f["mac"] not in random
        ),
        "filters": {t: node.run(*enter, "nft", "list", *t.split()).stdout for t in sorted(tables)},
        "settings": sorted(
            line
            for line in node.run(*enter, "sysctl", "-a", "-r", r"^net\.ipv[46]\.(conf|ip|fib)").stdout.splitlines()
            if ".stable_secret" not in line
        ),
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
