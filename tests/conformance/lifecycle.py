"""The `closet` command as a person or a script meets it, and all that a lab could leave on the machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from closet.intent import loads
from closet.plan import plan
from closet.runtime.state import LabFolder, labs
from closet.takedown import down

INTENT = "name: tiny\nspines: 1\nleaves: 2\nhosts: {per_leaf: 1}\n"
OTHER = INTENT + "links: {mtu: 9000}\n"
MACS = {port.mac for node in plan(loads(INTENT)) for port in node.ports}

HEARING = ("/usr/bin/env", "--default-signal=INT")
"""Before a command that is to be interrupted: the tests may be a job in the background, which is deaf to SIGINT."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float

    def refused(self, code: int, *words: str) -> None:
        """It ended with this code, and said why in one line, these words among it."""
        assert (self.code, len(self.err.splitlines())) == (code, 1), (self.code, self.out, self.err)
        assert self.err.startswith("closet: ")
        for word in words:
            assert word in self.err

    def passed(self) -> Done:
        assert (self.code, self.err) == (0, ""), (self.code, self.out, self.err)
        return self


class Closet:
    """The `closet` command in a folder of its own."""

    def __init__(self, folder: Path, runtime: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.runtime = runtime
        self.intent = folder / "tiny.yaml"
        self.intent.write_text(INTENT)
        self.other = folder / "other.yaml"
        self.other.write_text(OTHER)

    def start(self, *args: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start it in a session of its own, so that a test can signal it as a terminal does."""
        return subprocess.Popen(
            [*HEARING, sys.executable, "-m", "closet", *map(str, args)],
            cwd=cwd or self.folder,
            env={**os.environ, "CLOSET_HOME": str(self.home), "PYTHONSAFEPATH": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start_up(self, name: str = "tiny") -> subprocess.Popen[str]:
        return self.start("up", self.intent, "--name", name, "--runtime", self.runtime)

    def run(self, *args: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> Done:
        began = time.monotonic()
        return self.end(self.start(*args, env=env, cwd=cwd), began)

    def up(self, name: str = "tiny", intent: Path | None = None, **more: dict[str, str]) -> Done:
        return self.run("up", intent or self.intent, "--name", name, "--runtime", self.runtime, **more)

    def down(self, *names: str) -> None:
        """Take labs down, or all, from here: a Python start less, and at once."""
        with environment(CLOSET_HOME=str(self.home)):
            for name in names or [lab.name for lab in labs()]:
                down(name)

    def end(self, process: subprocess.Popen[str], began: float = 0.0) -> Done:
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in out + err, out + err
        code = process.returncode
        # As a shell says it: Python may choose to die by SIGINT itself.
        return Done(code if code >= 0 else 128 - code, out, err, time.monotonic() - began)

    def lab(self, name: str = "tiny") -> LabFolder:
        with environment(CLOSET_HOME=str(self.home)):
            return LabFolder(name)

    def traces(self, name: str = "tiny") -> list[str]:
        """All there is on this machine of a lab; of a bystander with a longer name, nothing."""
        lab = self.lab(name)
        mark = re.compile(rf"{re.escape(str(lab.path))}(?![\w-])|{re.escape(lab.id)}(?!\w)")
        found = [*_processes(mark), *_machine(lab, mark)]
        if self.runtime != "oci" and shutil.which("docker"):
            listing = ["docker", "ps", "--all", "--filter", f"name={lab.id}", "--format", "container {{.Names}}"]
            found += subprocess.run(listing, capture_output=True, text=True, check=False).stdout.splitlines()
        return found


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _processes(mark: re.Pattern[str]) -> Iterator[str]:
    """By command line, cgroup, working folder and mount namespace: what a node mounts is below the lab's folder."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if path.name == str(os.getpid()) or ") Z " in (path / "stat").read_text():
                continue
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = [str((path / link).readlink()) for link in ("cwd", "root")]
            where += [(path / file).read_text() for file in ("cgroup", "mountinfo")]
            if mark.search("\n".join([words, *where])):
                yield f"process {path.name}: {words or (path / 'comm').read_text()}"


def _machine(lab: LabFolder, mark: re.Pattern[str]) -> Iterator[str]:
    yield from (f"mount {m}" for m in Path("/proc/self/mountinfo").read_text().splitlines() if mark.search(m))
    for port in Path("/sys/class/net").iterdir():
        with contextlib.suppress(OSError):
            if (port / "address").read_text().strip() in MACS:
                yield f"link {port.name}"
    for folder in ("/run/netns", "/etc/ssh/ssh_config.d", "/tmp"):
        yield from (f"{folder}: {p.name}" for p in Path(folder).glob("*") if mark.search(p.name))
    yield from (f"/etc/hosts: {line}" for line in Path("/etc/hosts").read_text().splitlines() if mark.search(line))
    yield from (f"cgroup {d}" for d, _, _ in os.walk("/sys/fs/cgroup") if d.rpartition("/")[2] == lab.id)
    yield from (str(p) for p in (lab.path, lab.path.parent / f".{lab.name}.lock") if p.exists())


def children(pid: int) -> list[int]:
    """The children of all threads of a process."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found


def wait_or_not(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether it ended within so many seconds."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def signal_all(process: subprocess.Popen[str], number: int) -> None:
    """Signal it and its children, as a terminal does."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def kill(process: subprocess.Popen[str], *, group: bool) -> None:
    """End it by SIGKILL, alone or with its children."""
    if group:
        signal_all(process, signal.SIGKILL)
    else:
        process.kill()
    process.communicate(timeout=60)


@contextlib.contextmanager
def stopped(process: subprocess.Popen[str]) -> Iterator[None]:
    """It stands still meanwhile."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of that size at `folder`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "closet-test", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
