"""Intents with many tenants, for the benches: as text, each made by rule."""

from __future__ import annotations


def pairs(*, spines: int, leaves: int, per_leaf: int, tenants: int) -> str:
    """Tenants of two hosts each, half the fabric apart."""
    hosts = [f"h{leaf}-{n}" for leaf in range(1, leaves + 1) for n in range(1, per_leaf + 1)]
    half = len(hosts) // 2
    lines = [f"  t{i + 1}: {{hosts: [{hosts[i]}, {hosts[i + half]}]}}" for i in range(tenants)]
    return "\n".join([f"spines: {spines}", f"leaves: {leaves}", f"hosts: {{per_leaf: {per_leaf}}}", "tenants:", *lines])
