"""What a switch's FRR says of EVPN: the routes it holds, and the VNIs it has."""

from __future__ import annotations

from typing import Any

from closet.observe.vty import ask_json
from closet.plan import Fabric
from closet.records import L3Vni, Type5
from closet.runtime.node import LiveNode


def type5(node: LiveNode, fabric: Fabric) -> frozenset[Type5]:
    """Every EVPN route of the BGP table; one that is no IP prefix route goes by its whole name."""
    return parse_type5(ask_json(node, "bgpd", "show bgp l2vpn evpn json"))


def parse_type5(answer: Any) -> frozenset[Type5]:
    """Routes out of the answer to `type5`'s question.

    A route's name is `[5]:[ethernet tag]:[prefix length]:[prefix]` (FRR bgpd/bgp_evpn.c: bgp_evpn_route2str).
    """
    found = set()
    for rd, routes in answer.items():
        for name, route in routes.items() if isinstance(routes, dict) else ():
            if name == "rd":
                continue
            words = name.strip("[]").split("]:[")
            prefix = f"{words[3]}/{words[2]}" if words[0] == "5" else name
            for path in route["paths"]:
                said = path.get("extendedCommunity", {}).get("string", "").split()
                targets = " ".join(sorted(w[3:] for w in said if w.startswith("RT:")))
                mac = next((w[5:] for w in said if w.startswith("Rmac:")), "")
                found |= {Type5(rd, prefix, targets, mac, hop["ip"]) for hop in path["nexthops"]}
    return frozenset(found)


def l3vnis(node: LiveNode, fabric: Fabric) -> dict[str, L3Vni]:
    """VRF → its L3VNI; an L2VNI, which no routed fabric has, goes by its number."""
    found = parse_l3vnis(ask_json(node, "zebra", "show vrf vni json"))
    for number, vni in ask_json(node, "zebra", "show evpn vni json").items():
        if vni.get("type") == "L2":
            found[f"L2VNI {number}"] = L3Vni(int(number), "is an L2VNI", vni.get("vxlanIf", ""), "", "")
    return found


def parse_l3vnis(answer: Any) -> dict[str, L3Vni]:
    """L3VNIs out of the answer to `show vrf vni json`."""
    return {v["vrf"]: L3Vni(v["vni"], v["state"], v["vxlanIntf"], v["sviIntf"], v["routerMac"]) for v in answer["vrfs"]}
