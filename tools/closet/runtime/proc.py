"""Files of /proc that each network namespace has its own of, as the calling thread sees them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

NET = "/proc/sys/net"
"""Each network namespace has its own, and to find it Linux asks all of them (fs/proc/proc_sysctl.c: proc_sys_compare):
once for many files is enough."""
MOST = 1 << 12
"""Bytes of a setting."""


def read(path: str) -> str:
    """A file below /proc/net or /proc/sys/net.

    Raises:
        OSError: there is no such file.
    """
    return Path(path.replace("/proc/net/", "/proc/thread-self/net/")).read_text(encoding="utf-8")


def read_all(paths: Iterable[str]) -> dict[str, str]:
    """Many files, most of them below /proc/sys/net, and small ones; path → text.

    Raises:
        OSError: there is no such file.
    """
    net = os.open(NET, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return {path: _text(path, net) for path in paths}
    finally:
        os.close(net)


def _text(path: str, net: int) -> str:
    """A small file; `net` is NET, open. Not by pathlib, which takes four times as long."""
    fd = os.open(path.removeprefix(f"{NET}/"), os.O_RDONLY | os.O_CLOEXEC, dir_fd=net)
    try:
        return os.read(fd, MOST).decode()
    finally:
        os.close(fd)
