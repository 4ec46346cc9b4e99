"""Which runtime: the one asked for, or the best that really works here."""

from __future__ import annotations

import os
import shutil
import subprocess

from closet.errors import UsageError
from closet.runtime import engine
from closet.runtime.protocol import Runtime

RUNTIMES = ("oci", "containerlab")


def _runtime(name: str) -> Runtime:
    """One by its name: only then it is imported, for who takes down a lab of one needs nothing of the other."""
    if name == "oci":
        from closet.runtime.oci import OciRuntime

        return OciRuntime()
    from closet.runtime.containerlab import ContainerlabRuntime

    return ContainerlabRuntime()


def choose(wanted: str) -> tuple[Runtime, str]:
    """The runtime for a new lab, and one line that says which and why.

    Args:
        wanted: `oci`, `containerlab`, or `auto`: containerlab where it works, else oci.

    Raises:
        UsageError: there is no runtime of that name.
    """
    if wanted == "auto":
        reason = probe_containerlab()
        if reason is not None:
            return _runtime("oci"), f"oci runtime ({reason})"
        return _runtime("containerlab"), f"containerlab runtime (Docker engine {engine.version()} answers)"
    if wanted not in RUNTIMES:
        raise UsageError(f"runtime {wanted!r}, allowed: auto, {', '.join(RUNTIMES)}")
    return _runtime(wanted), f"{wanted} runtime (asked for)"


def named(name: str | None) -> list[Runtime]:
    """The runtime of that name; all of them where nobody knows any more which one made a lab."""
    return [_runtime(each) for each in ([name] if name in RUNTIMES else RUNTIMES)]


def probe_containerlab() -> str | None:
    """Why containerlab cannot run labs here, in a few words; None if it can. Costs nothing where there is no engine."""
    if (reason := engine.why_not()) is not None:
        return reason
    if shutil.which("containerlab") is None:
        return "containerlab is not installed"
    settings = os.environ | {"CLAB_VERSION_CHECK": "disable"}
    try:
        done = subprocess.run(["containerlab", "version"], capture_output=True, env=settings, timeout=5.0, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "containerlab does not run"
    return None if done.returncode == 0 else "containerlab does not run"
