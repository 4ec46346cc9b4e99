"""Limits of the machine and of this process that a large lab would run into."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

NEIGHBOURS = {
    "/proc/sys/net/ipv6/neigh/default/gc_thresh1": 16384,
    "/proc/sys/net/ipv6/neigh/default/gc_thresh2": 32768,
    "/proc/sys/net/ipv6/neigh/default/gc_thresh3": 65536,
}
"""The kernel's neighbour table is one for all network namespaces: its default of 1024 entries overflows near
300 nodes, and sends then fail with EINVAL (Linux Documentation/networking/ip-sysctl.rst)."""

LARGE = 150
"""Nodes from which the neighbour table needs to be larger."""


def low() -> dict[str, int]:
    """The machine's settings that are too low for a large lab, and their values now."""
    now = {name: int(Path(name).read_text(encoding="ascii")) for name in NEIGHBOURS}
    return {name: value for name, value in now.items() if value < NEIGHBOURS[name]}


def lift(settings: dict[str, int]) -> None:
    """Raise these settings of the machine, and the open files of this process, which may hold some a node."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for name in settings.keys() & NEIGHBOURS.keys():
        Path(name).write_text(str(NEIGHBOURS[name]), encoding="ascii")


def restore(settings: dict[str, int]) -> None:
    """Set these settings of the machine back to what they were; one that is gone stays gone."""
    for name in settings.keys() & NEIGHBOURS.keys():
        with suppress(OSError):
            Path(name).write_text(str(settings[name]), encoding="ascii")
