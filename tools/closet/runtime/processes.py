"""Finding and ending the processes of a lab, and no others."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed

from closet.errors import RuntimeFault

CGROUPS = Path("/sys/fs/cgroup")
THAWED = {"freezer.state": "THAWED", "cgroup.freeze": "0"}
"""How a cgroup is thawed, in version 1 and 2."""


def born(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 if it is gone. A pid is used again, the pair never is."""
    try:
        fields = _read(pid, "stat").rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in {b"Z", b"X"} else int(fields[19])  # proc(5): state, and starttime


def _read(pid: int, file: str) -> bytes:
    """What /proc says of a process. Not by pathlib, which takes twice as long: of thousands, several times."""
    with open(f"/proc/{pid}/{file}", "rb", buffering=0) as f:  # noqa: PTH123
        return f.read()


def _pids() -> list[int]:
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]  # noqa: PTH208  thousands of entries, names only


def at_work(program: str, folder: Path) -> list[int]:
    """Every process of a program that works in a folder, or below it.

    That includes what has only begun: in the middle of execve(2) it has a working folder, and no command line yet.
    """
    name = program.encode() + b"\0"
    found = []
    for pid in _pids():
        with suppress(OSError):
            line = _read(pid, "cmdline")
            if (not line or line.startswith(name)) and Path(f"/proc/{pid}/cwd").readlink().is_relative_to(folder):
                found.append(pid)
    return found


def processes_in_cgroup(name: str) -> list[int]:
    """Processes in a cgroup `name` or below it, in any hierarchy; zombies are nobody's any more."""
    # What is above it is no root where closet runs in a container.
    needle = f"/{name}/".encode()
    found = []
    for pid in _pids():
        with suppress(OSError):
            if needle in _read(pid, "cgroup") and born(pid):
                found.append(pid)
    return found


def in_cgroups_of(name: re.Pattern[str]) -> dict[str, dict[str, int]]:
    """Cgroups at the top whose names match → cgroups in them → one process of each."""
    path = re.compile(rf"/({name.pattern})/([^/\n]+)")
    found: dict[str, dict[str, int]] = {}
    for pid in _pids():
        with suppress(OSError):
            there = path.search(_read(pid, "cgroup").decode())
            if there and born(pid):
                found.setdefault(there[1], {}).setdefault(there[2], pid)
    return found


def mounted_from_nowhere(pid: int, where: str) -> bool:
    """Whether the folder that a process has at `where` is deleted (Linux fs/d_path.c appends it to what was there)."""
    with suppress(OSError):
        for line in _read(pid, "mountinfo").decode().splitlines():
            _, _, _, source, at, *_ = line.split(" ")  # proc(5): root, and mount point
            if at == where:
                return source.endswith("//deleted")
    return False


def cgroup_folders(name: str) -> list[Path]:
    """The folders of the cgroup `/name` in every hierarchy, deepest first: the order to remove them in."""
    # By what they really are: `cpu` is often another name of `cpu,cpuacct`.
    there = sorted({p.resolve() for p in CGROUPS.iterdir() if p.is_dir()}) if CGROUPS.is_dir() else []
    tops = [r / name for r in (CGROUPS, *there) if (r / name).is_dir()]
    return [Path(d) for top in tops for d, _, _ in os.walk(top, topdown=False)]


def cgroup_files(pid: int) -> list[Path]:
    """Where to write a pid that is to be in the cgroups of this one."""
    found = []
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        top = CGROUPS / controllers.removeprefix("name=") if controllers else CGROUPS
        file = top / path.lstrip("/") / "cgroup.procs"
        found += [file] if file.exists() else []
    return found


def thaw(name: str) -> None:
    """Let the frozen processes of a cgroup run: where they are frozen by version 1, not even SIGKILL reaches them."""
    for folder in cgroup_folders(name):
        for file, value in THAWED.items():
            with suppress(OSError):  # version 1 has the one, version 2 the other
                (folder / file).write_text(value, encoding="ascii")


def remove_cgroups(name: str, seconds: float = 10.0) -> None:
    """Remove the cgroup `/name`, empty of processes, from every hierarchy.

    Raises:
        RuntimeFault: one would not go.
    """

    def once() -> None:
        for path in cgroup_folders(name):
            with suppress(FileNotFoundError):
                path.rmdir()

    # A process that has just died may still be counted.
    again = Retrying(stop=stop_after_delay(seconds), wait=wait_fixed(0.02), retry=retry_if_exception_type(OSError))
    try:
        again(once)
    except RetryError as e:
        raise RuntimeFault(f"a cgroup that would not go: {e.last_attempt.exception()}") from None


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
