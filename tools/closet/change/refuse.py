"""What `apply` changes, and what it leaves to down and up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from closet.errors import UsageError
from closet.intent import Intent
from closet.plan import Fabric

CHANGES = frozenset({"name", "tenants", "peerings"})
"""Words of an intent that may differ; the name is the lab's."""


def refuse_others(lab: str, old: Intent, new: Intent) -> None:
    """See that two intents differ in tenants and peerings only.

    Raises:
        UsageError: they differ in something else; names it, and both values.
    """
    a, b = (i.model_dump(mode="json", exclude=set(CHANGES)) for i in (old, new))
    if (found := _first(a, b)) is not None:
        place, runs, given = found
        raise UsageError(
            f"lab {lab}: apply changes tenants and peerings, and {place} differs: {_short(runs)} runs, "
            f"{_short(given)} given (allowed: `closet down {lab}`, then up)"
        )


def refuse_moved_nics(lab: str, old: Fabric, new: Fabric) -> None:
    """See that every NIC stays with its host: hosts are neither split among tenants, nor put together, while they run.

    Raises:
        UsageError: one would go to another; names it, and both hosts.
    """
    for was, will in zip(old.links, new.links, strict=True):
        if was.b != will.b:
            raise UsageError(
                f"lab {lab}: apply moves no NIC from one host to another, and {will.b_port} of {was.b} would be of "
                f"{will.b} (allowed: `closet down {lab}`, then up)"
            )


def _first(a: Any, b: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """Where two values first differ, and how."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys([*a, *b]):
            inside = f"{place}.{key}" if place else str(key)
            if (found := _first(a.get(key), b.get(key), inside)) is not None:
                return found
        return None
    return None if a == b else (place, a, b)


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
