"""Attacks from hosts, each with controls that prove it was one. Importing this registers all of them."""

from closet.attack import announce, doors, fragment, link, source, storm, ttl, vxlan
from closet.attack.registry import ATTACKS, Attack, select

__all__ = ["ATTACKS", "Attack", "announce", "doors", "fragment", "link", "select", "source", "storm", "ttl", "vxlan"]
