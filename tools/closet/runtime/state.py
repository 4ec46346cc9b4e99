"""The folder of a lab: the one place its state lives, so that it can be taken down after anything."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from closet.errors import EnvironmentFault, UsageError

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
ID = re.compile(rf"closet-{NAME.pattern}-[0-9a-f]{{6}}")
"""A lab's id, see `LabFolder.id`."""
NOT_IN_PATHS = re.compile(r"[,:\\\n]")
"""What separates the options of an overlay mount, or the two sides of a container's volume."""
STATE, INTENT, NEXT = "lab.json", "intent.json", "next.json"
"""Files of a lab: its state, its intent, and while that changes the one it is to have."""
CHANGING = "changing"
"""The phase of a lab between two plans: what an interrupted `apply` leaves."""
FULL = 1 << 16
"""Bytes left on a disk that count as none: nothing of use fits."""


@dataclass(slots=True)
class LabState:
    """What `lab.json` holds.

    Attributes:
        phase: `starting` until all of it runs, then `running`; `changing` while it gets other tenants.
        digest: of the intent: equal digests are equal labs.
        why: why this runtime, in one line.
        pids: node → the first process of the node, as the machine counts.
        lifted: settings of the machine that were raised for it, and their values before.
        backends: host → what it speaks RDMA by (see `runtime.rdma`).
        machines: node that is a microVM → QEMU, as the machine counts; machines_born: when that process began.
        born: node → when that process began: a pid alone may be somebody else's by now.
    """

    name: str
    runtime: str
    phase: str
    digest: str
    why: str = ""
    started: float = 0.0
    pids: dict[str, int] = field(default_factory=dict)
    born: dict[str, int] = field(default_factory=dict)
    lifted: dict[str, int] = field(default_factory=dict)
    backends: dict[str, str] = field(default_factory=dict)
    machines: dict[str, int] = field(default_factory=dict)
    machines_born: dict[str, int] = field(default_factory=dict)

    def well_formed(self) -> bool:
        """Whether everything is what it should be; json.loads() does not ask."""
        words = (self.name, self.runtime, self.phase, self.digest, self.why)
        numbers = (self.pids, self.born, self.lifted, self.machines, self.machines_born)
        return (
            all(isinstance(w, str) for w in words)
            and isinstance(self.started, int | float)
            and all(isinstance(n, dict) and all(isinstance(v, int) for v in n.values()) for n in numbers)
            and isinstance(self.backends, dict)
            and self.pids.keys() == self.born.keys()
            and self.machines.keys() == self.machines_born.keys() <= self.pids.keys()
        )


def base() -> Path:
    """Where labs live: `.closet` here, or `CLOSET_HOME`.

    Raises:
        EnvironmentFault: there can be no such folder. UsageError: its name would not work in a mount or volume.
    """
    try:
        path = Path(os.environ.get("CLOSET_HOME") or ".closet").absolute()
    except FileNotFoundError:
        raise EnvironmentFault("the current folder is gone: change to one that exists, or set CLOSET_HOME") from None
    if NOT_IN_PATHS.search(str(path)):
        raise UsageError(f"{str(path)!r}: labs cannot live there (CLOSET_HOME), allowed: a path without , : \\ in it")
    if path.exists() and not path.is_dir():
        raise EnvironmentFault(f"{path}: labs live there (CLOSET_HOME), and it is no folder")
    return path


class LabFolder:
    """The folder of one lab.

    Raises:
        UsageError: the name could not be a folder's, a host's or a container's.
    """

    def __init__(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise UsageError(f"lab name {name!r}, allowed: a-z, 0-9 and -, a letter first, at most 32 characters")
        self.name = name
        self.path = base() / name

    @property
    def id(self) -> str:
        """Unique on this machine: labs of one name in two folders never meet."""
        return f"closet-{self.name}-{hashlib.sha256(str(self.path).encode()).hexdigest()[:6]}"

    def node(self, name: str) -> Path:
        """The folder of a node."""
        return self.path / "nodes" / name

    def exists(self) -> bool:
        """Whether there is anything of this lab.

        Raises:
            UsageError: there is a folder that is no lab's; it is never touched.
        """
        if not self.path.exists():
            return False
        # Killed before it wrote its state, an `up` leaves an empty folder, or what was to become the state; and what
        # it had just begun may come late to a folder that is gone.
        if self.path.is_symlink() or not (_is_lab(self.path) or all(_unfinished(p) for p in self.path.iterdir())):
            raise UsageError(f"{self.path}: no lab of closet's, so it is left alone (allowed: another --name)")
        return True

    def full(self) -> bool:
        """Whether the disk under it is."""
        try:
            return self.free() < FULL
        except OSError:
            return False

    def free(self) -> int:
        """Bytes left on the disk under it; none where it takes no more files.

        Raises:
            OSError: there is no such folder.
        """
        disk = os.statvfs(self.path)
        return 0 if disk.f_files > 0 and disk.f_favail == 0 else disk.f_bavail * disk.f_frsize

    def read(self) -> LabState | None:
        """The state, or None where an `up` did not get as far as writing it, or somebody spoilt it."""
        try:
            state = LabState(**json.loads((self.path / STATE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        return state if state.well_formed() else None

    def write(self, state: LabState) -> None:
        """Write the state atomically."""
        write_atomically(self.path / STATE, json.dumps(asdict(state), indent=1))

    def remove(self) -> None:
        """Remove it; the state last, so that whatever is left of it is known as a lab's."""
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != STATE:
                path.unlink()
        (self.path / STATE).unlink(missing_ok=True)
        self.path.rmdir()

    @contextmanager
    def locked(self, seconds: float = 1.0) -> Iterator[None]:
        """Hold the lab: one command at a time may build it or take it down. The lock lives as long as the lab.

        Args:
            seconds: how long to wait for a holder to end: one that was killed takes a moment to die, and what it
                had just begun holds on for a moment more.

        Raises:
            UsageError: another command holds it.
        """
        base().mkdir(parents=True, exist_ok=True)
        path = base() / f".{self.name}.lock"
        again = Retrying(stop=stop_after_delay(seconds), wait=wait_fixed(0.02), retry=retry_if_result(lambda r: r < 0))
        try:
            fd: int = again(_lock, path)
        except RetryError:
            holder = path.read_text(encoding="ascii", errors="replace") if path.exists() else ""
            raise UsageError(f"lab {self.name}: another closet command works on it (pid {holder or '?'})") from None
        try:
            yield
        finally:
            if not _is_lab(self.path):
                path.unlink(missing_ok=True)
            os.close(fd)


def _lock(path: Path) -> int:
    """A descriptor that holds the lock, or -1 where somebody else has it."""
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), path.stat()):
            with suppress(OSError):  # a full disk: `down` is what makes room, and this only says who
                os.ftruncate(fd, 0)
                os.pwrite(fd, str(os.getpid()).encode(), 0)
            return fd
    except (BlockingIOError, FileNotFoundError):  # held; or its holder has just removed it with the lab
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return -1


def _is_lab(path: Path) -> bool:
    return (path / STATE).exists() or (path / INTENT).exists()


def _unfinished(path: Path) -> bool:
    return path.name.startswith(f".{STATE}.") or path.name in {"nodes", "runc"}


def labs() -> list[LabFolder]:
    """Every lab there is anything of, by name."""
    home = base()
    if not home.is_dir():
        return []
    names = sorted(p.name for p in home.iterdir() if NAME.fullmatch(p.name) and not p.is_symlink() and _is_lab(p))
    return [LabFolder(name) for name in names]


def lifted() -> dict[str, int]:
    """The settings of the machine that labs have raised, and their values before the first of them."""
    states = [folder.read() for folder in labs()]
    found: dict[str, int] = {}
    for name, value in (pair for s in states if s is not None for pair in s.lifted.items()):
        found[name] = min(value, found.get(name, value))
    return found


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that nobody ever reads half of it."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
