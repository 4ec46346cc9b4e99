"""Intent → `Fabric`: pure and deterministic; the same intent always gives the same bytes."""

from closet.plan.fabric import Fabric, Link, Node, Port, Role
from closet.plan.planner import plan

__all__ = ["Fabric", "Link", "Node", "Port", "Role", "plan"]
