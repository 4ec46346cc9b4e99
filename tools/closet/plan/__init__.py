"""Intent → `Fabric`: pure and deterministic; the same intent always gives the same bytes."""

from closet.plan.fabric import DEFAULT_VRF, Fabric, Link, Node, Port, Role
from closet.plan.notes import notes
from closet.plan.planner import plan
from closet.plan.tenant import Peering, Permit, Subnet, Tenant

__all__ = [
    "DEFAULT_VRF",
    "Fabric",
    "Link",
    "Node",
    "Peering",
    "Permit",
    "Port",
    "Role",
    "Subnet",
    "Tenant",
    "notes",
    "plan",
]
