"""What congestion points have counted, port by port."""

from __future__ import annotations

import json

from closet.errors import ProbeError
from closet.observe.kernel import places
from closet.plan import Fabric, Node
from closet.records import Marks
from closet.runtime.node import LiveNode

TABLE = "closet-ecn"
"""The nftables table of a switch that is a congestion point (`closet.traffic.marking`)."""


def counter(what: str, switch: Node, port: str) -> str:
    """The name of a port's counter there: its number, since names of ports may have what nftables does not allow."""
    return f"{what}{[p.name for p in switch.ports].index(port)}"


def marks(node: LiveNode, fabric: Fabric) -> dict[str, Marks]:
    """Port → packets beyond its threshold, and those it marked.

    Raises:
        ProbeError: the node is gone, or is no congestion point.
    """
    switch = fabric[node.name]
    counts: dict[str, int] = {}
    for vrf in places(node, fabric):
        said = node.run("nft", "-j", "list", "table", "inet", TABLE, vrf=vrf).stdout
        try:
            items = json.loads(said)["nftables"]
        except (ValueError, KeyError):
            raise ProbeError(f"{node.name}: nft gave no JSON: {said.strip()[:80]!r}") from None
        for its in (item["counter"] for item in items if "counter" in item):
            counts[its["name"]] = counts.get(its["name"], 0) + its["packets"]
    ports = [p.name for p in switch.ports]
    return {p: Marks(counts[counter("beyond", switch, p)], counts[counter("marked", switch, p)]) for p in ports}
