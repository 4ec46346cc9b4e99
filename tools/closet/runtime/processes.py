"""Finding and ending the processes of a lab, and no others."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from closet.errors import RuntimeFault

CGROUPS = Path("/sys/fs/cgroup")


def _pids() -> list[int]:
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]  # noqa: PTH208  thousands of entries, names only


def processes_with(*arguments: str) -> list[int]:
    """Processes whose command line holds these arguments, one after another."""
    needle = b"\0" + b"\0".join(a.encode() for a in arguments) + b"\0"
    found = []
    for pid in _pids():
        with suppress(OSError):
            if needle in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def processes_in_cgroup(name: str) -> list[int]:
    """Processes in the cgroup `/name` or below it, in any hierarchy; zombies are nobody's any more."""
    needle = f":/{name}/".encode()
    found = []
    for pid in _pids():
        with suppress(OSError):
            if (
                needle in Path(f"/proc/{pid}/cgroup").read_bytes()
                and b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
            ):
                found.append(pid)
    return found


def cgroup_folders(name: str) -> list[Path]:
    """The folders of the cgroup `/name` in every hierarchy, deepest first: the order to remove them in."""
    roots = [CGROUPS, *(p for p in CGROUPS.iterdir() if p.is_dir())]
    tops = [r / name for r in roots if (r / name).is_dir()]
    return [p for top in tops for p in (*(Path(d) for d, _, _ in os.walk(top, topdown=False)),)]


def kill_all(find: Callable[[], list[int]], *, what: str, seconds: float = 20.0) -> None:
    """Kill what `find` finds until it finds nothing: a process may start another before it dies.

    Raises:
        RuntimeFault: something is still there after `seconds`.
    """

    def once() -> list[int]:
        pids = find()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pids

    try:
        Retrying(stop=stop_after_delay(seconds), wait=wait_fixed(0.02), retry=retry_if_result(bool))(once)
    except RetryError as e:
        raise RuntimeFault(f"{what}: processes that would not end: {e.last_attempt.result()}") from None
