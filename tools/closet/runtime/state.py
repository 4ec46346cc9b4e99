"""The folder of a lab: the one place its state lives, so that it can be taken down after anything."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from closet.errors import UsageError

NAME = re.compile(r"^[a-z][a-z0-9-]{0,31}$")


@dataclass(slots=True)
class LabState:
    """What `lab.json` holds.

    Attributes:
        phase: `starting` until all of it runs, then `running`.
        digest: of the intent: equal digests are equal labs.
        why: why this runtime, in one line.
        pids: node → the first process of the node, as the machine counts.
    """

    name: str
    runtime: str
    phase: str
    digest: str
    why: str = ""
    started: float = 0.0
    pids: dict[str, int] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


def base() -> Path:
    """Where labs live: `.closet` here, or `CLOSET_HOME`."""
    return Path(os.environ.get("CLOSET_HOME", ".closet")).absolute()


class LabFolder:
    """The folder of one lab.

    Raises:
        UsageError: the name could not be a folder's, a host's or a container's.
    """

    def __init__(self, name: str) -> None:
        if not NAME.match(name):
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
        """Whether there is anything of this lab."""
        return self.path.is_dir()

    def read(self) -> LabState | None:
        """The state, or None where an `up` did not get as far as writing it."""
        try:
            return LabState(**json.loads((self.path / "lab.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, state: LabState) -> None:
        """Write the state atomically."""
        write_atomically(self.path / "lab.json", json.dumps(asdict(state), indent=1))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lab: one command at a time may build it or take it down.

        Raises:
            UsageError: another command holds it.
        """
        locks = base()
        locks.mkdir(parents=True, exist_ok=True)
        fd = os.open(locks / f".{self.name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(fd, 20, 0).decode() or "?"
                raise UsageError(
                    f"lab {self.name}: another closet command works on it (pid {holder.strip()})"
                ) from None
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(fd)


def labs() -> list[LabFolder]:
    """Every lab there is anything of, by name."""
    if not base().is_dir():
        return []
    return [LabFolder(p.name) for p in sorted(base().iterdir()) if p.is_dir() and NAME.match(p.name)]


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that nobody ever reads half of it."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
