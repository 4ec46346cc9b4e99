"""The BGP sessions of the plan: one over every link that is up, seen from both ends, and no other."""

from __future__ import annotations

from collections.abc import Container

from closet.plan import DEFAULT_VRF, Fabric, Link
from closet.records import Session


def neighbour_key(fabric: Fabric, node: str, port: str) -> str:
    """How BGP names the neighbour on a port: the interface, or the address at the other end of a /31."""
    p = fabric[node].port(port)
    address = fabric[p.peer].port(p.peer_port).address
    return p.name if address is None else str(address.ip)


def expected_sessions(fabric: Fabric, down: Container[Link] = ()) -> dict[str, dict[str, Session]]:
    """Node → neighbour → session, for every link that is not in `down`."""
    bfd = "up" if fabric.bfd is not None else ""
    sessions: dict[str, dict[str, Session]] = {n: {} for n in fabric.nodes}
    for link in fabric.links:
        if link in down:
            continue
        for here, port, there in ((link.a, link.a_port, link.b), (link.b, link.b_port, link.a)):
            key = neighbour_key(fabric, here, port)
            # A host has one VRF, whatever its leaf calls it.
            vrf = DEFAULT_VRF if fabric[here].is_host else fabric[here].port(port).vrf
            sessions[here][key] = Session(there, fabric[there].asn, "Established", bfd, vrf)
    return sessions
