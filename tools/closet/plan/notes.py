"""What an intent asks for, and may not have meant: no error, but worth a line to who reads the plan."""

from __future__ import annotations

from collections.abc import Iterator

from closet.plan.fabric import Fabric, Role


def notes(fabric: Fabric) -> Iterator[str]:
    """One line each."""
    several = [h.name for h in fabric.hosts if fabric.multihomed(h)]
    if fabric.host_routes == "aggregates" and fabric.top is not Role.LEAF and several:
        who = f"{several[0]} and others are" if len(several) > 1 else f"{several[0]} is"
        yield (
            f"hosts.routes: aggregates: {who} on several leaves, and what is behind one of them answers the NIC on it "
            "alone: an RDMA queue pair of another NIC does not reach it"
        )
