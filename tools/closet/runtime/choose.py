"""Which runtime: the one asked for, or the best that really works here."""

from __future__ import annotations

from closet.errors import UsageError
from closet.runtime.oci import OciRuntime
from closet.runtime.protocol import Runtime


def choose(wanted: str) -> tuple[Runtime, str]:
    if wanted not in {"auto", "oci"}:
        raise UsageError(f"runtime {wanted!r}, allowed: auto, oci, containerlab")
    return OciRuntime(), "oci runtime"


def named(name: str | None) -> list[Runtime]:
    return [OciRuntime()]
