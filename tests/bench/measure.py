"""How each figure is measured: whole commands from outside, as a user would feel them."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLOSET = [sys.executable, "-m", "closet"]
HERE = Path(__file__).parents[2]


def median(action: Callable[[], float], times: int) -> float:
    """The median of several runs."""
    return statistics.median(action() for _ in range(times))


def timed(*argv: str, env: dict[str, str] | None = None, ok: tuple[int, ...] = (0,)) -> float:
    """Wall seconds of a command, which must succeed."""
    began = time.monotonic()
    output(*argv, env=env, ok=ok)
    return time.monotonic() - began


def output(*argv: str, env: dict[str, str] | None = None, ok: tuple[int, ...] = (0,)) -> str:
    """What a command says, which must succeed."""
    around = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # no user compiles closet anew
    done = subprocess.run(argv, capture_output=True, text=True, env=around | (env or {}), check=False, cwd=HERE)
    if done.returncode not in ok:
        raise SystemExit(f"{' '.join(argv)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Up:
    """A lab, up for as long as the context lasts.

    Attributes:
        seconds: the command took, from outside. timings: mark → seconds after its start, as it says itself.
    """

    def __init__(self, intent: Path, runtime: str = "oci") -> None:
        self._home = tempfile.TemporaryDirectory()
        self.env = {"CLOSET_HOME": self._home.name}
        began = time.monotonic()
        said = output(*CLOSET, "up", str(intent), "--runtime", runtime, "--json", env=self.env)
        self.seconds = time.monotonic() - began
        self.timings: dict[str, float] = json.loads(said)["timings"]
        self.down = 0.0

    def __enter__(self) -> Up:
        return self

    def __exit__(self, *_: object) -> None:
        self.down = timed(*CLOSET, "down", env=self.env)
        self._home.cleanup()

    def pids(self) -> list[int]:
        """The first process of every node."""
        return list(self.state()["pids"].values())

    def state(self) -> dict[str, Any]:
        """lab.json."""
        (path,) = Path(self._home.name).glob("*/lab.json")
        data: dict[str, Any] = json.loads(path.read_text())
        return data


class Floor:
    """The floor, up for as long as the context lasts."""

    def __init__(self, intent: Path) -> None:
        argv = [sys.executable, "-m", "tests.bench.floor", str(intent)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the floor did not come up: {argv}")
        self._said = json.loads(line)
        if self._said["late"]:
            raise SystemExit(f"the floor did not converge: {self._said['late'][:5]}")
        self.seconds: float = self._said["seconds"]

    def __enter__(self) -> Floor:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("")

    def pids(self) -> list[int]:
        """The first process of every node."""
        return list(self._said["pids"])


def _all_of(pids: list[int]) -> list[int]:
    """Every process in the pid namespaces of these."""
    spaces = {os.readlink(f"/proc/{pid}/ns/pid") for pid in pids}
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/pid") in spaces:
                found.append(int(entry))
        except OSError:
            continue
    return found


def memory_a_node(pids: list[int]) -> float:
    """MiB of proportional set size a node (Linux Documentation/filesystems/proc.rst, smaps_rollup)."""
    total = 0
    for pid in _all_of(pids):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024 / len(pids)


def idle_cpu(pids: list[int], seconds: float = 20.0) -> float:
    """Percent of the machine that all processes of the nodes use while nothing happens."""
    tick = os.sysconf("SC_CLK_TCK")

    def used() -> float:
        total = 0.0
        for pid in _all_of(pids):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / tick
        return total

    before, began = used(), time.monotonic()
    wait_until(began + seconds)
    return 100 * (used() - before) / (time.monotonic() - began) / (os.cpu_count() or 1)


def wait_until(when: float) -> None:
    """Let time pass: here it is what is measured."""
    while (left := when - time.monotonic()) > 0:
        time.sleep(left)


def plan_and_render(intent: Path) -> tuple[float, float]:
    """Seconds, and peak MiB, of `closet render`."""
    with tempfile.TemporaryDirectory() as folder:
        took = timed(*CLOSET, "render", str(intent), "-o", f"{folder}/out")
    return took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
