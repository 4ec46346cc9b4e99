"""How large a BGP table may be: a bound from the counts of the intent, whatever the routes are."""

from __future__ import annotations

from closet.plan import Fabric, Role


def expected_table_bounds(fabric: Fabric) -> dict[str, int]:
    """Node → most prefixes its BGP table may hold.

    A switch: one loopback a switch, one summary a leaf, the VIPs no leaf can summarise, a default; a leaf
    beside that the /32s of its own hosts. A host: its own /32s, and a default or the summaries and such VIPs.
    """
    leaves = len(fabric.role(Role.LEAF))
    vips = sum(1 for h in fabric.hosts if fabric.multihomed(h))
    switch = len(fabric.switches) + leaves + vips + 1
    bounds = {}
    for node in fabric:
        if node.is_host:
            bounds[node.name] = len(node.addresses) + (1 if fabric.host_routes == "default" else leaves + vips)
        elif node.role is Role.LEAF:
            bounds[node.name] = switch + sum(1 + len(fabric[p.peer].ports) for p in fabric.downlinks(node))
        else:
            bounds[node.name] = switch
    return bounds
