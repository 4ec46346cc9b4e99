"""Whatever happens to `up`, a lab can be taken down completely, and with it nothing that is not its own.

These labs are tiny and their own; the lab under test is not touched.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from closet.intent import loads
from closet.plan import plan

from . import changes
from .lifecycle import INTENT, Closet, Done, children, kill, signal_all, stopped, wait_or_not

KILLS = 20
CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Closet]:
    """The command where another lab runs, whose name begins alike, and a user's own process in a cgroup named alike."""
    made = Closet(tmp_path_factory.mktemp("beside"), pytestconfig.getoption("--closet-runtime"))
    made.up("tiny-b").passed()
    before = made.lab("tiny-b").read()
    cgroup = (CGROUPS / "pids" if (CGROUPS / "pids").is_dir() else CGROUPS) / f"{made.lab().id}x"
    cgroup.mkdir()
    users = subprocess.Popen(["sh", "-c", "read x", "--root", made.home / "tiny-b" / "runc"], stdin=subprocess.PIPE)
    (cgroup / "cgroup.procs").write_text(str(users.pid))
    try:
        yield made
        assert users.poll() is None
        users.communicate(timeout=60)
        assert made.lab("tiny-b").read() == before
        made.run("check", "tiny-b").passed()
        made.run("down", "tiny-b").passed()
        assert made.traces("tiny-b") == []
        assert list(made.home.iterdir()) == []
    finally:
        users.kill()
        users.wait()
        cgroup.rmdir()
        made.down()


@pytest.fixture(scope="module")
def seconds(beside: Closet) -> float:
    """How long `up` takes here."""
    took = []
    for _ in range(2):
        took.append(beside.up().passed().seconds)
        beside.down("tiny")
        assert beside.traces() == []
    return min(took)


@pytest.mark.parametrize("point", range(KILLS))
def test_killed_at_a_random_point(beside: Closet, seconds: float, point: int) -> None:
    """Seeded points spread over all of `up`; with or without its children; `down` follows, or `up` again."""
    process = beside.start_up()
    wait_or_not(process, seconds * (point + random.Random(point).random()) / KILLS)
    kill(process, group=bool(point % 2))
    if point % 4 == 3:
        beside.up().passed()
        assert beside.traces() != []
    beside.down("tiny")
    assert beside.traces() == []


@pytest.mark.parametrize("which", range(1, 5))
def test_killed_while_a_child_runs(beside: Closet, which: int) -> None:
    """At the very moment of its n-th child, and taken down at once: not even a Python start is between."""
    process = beside.start_up()
    seen: set[int] = set()
    while len(seen) < which and process.poll() is None:
        seen.update(children(process.pid))
    process.kill()
    beside.down("tiny")
    assert beside.traces() == []
    process.communicate(timeout=60)


@pytest.mark.parametrize("point", range(3))
def test_down_killed(beside: Closet, point: int) -> None:
    beside.up().passed()
    process = beside.start("down", "tiny")
    wait_or_not(process, 0.15 + 0.1 * (point + random.Random(point).random()))
    process.kill()
    process.communicate(timeout=60)
    beside.down("tiny")
    assert beside.traces() == []


@pytest.mark.parametrize("point", range(5))
def test_interrupted(beside: Closet, seconds: float, point: int) -> None:
    """Ctrl-C, once or twice, or what ends a job: one line, and nothing is left."""
    number, code = (signal.SIGTERM, 143) if point == 2 else (signal.SIGINT, 130)
    delay = seconds * 0.7 * (point + random.Random(point).random()) / 5
    done = _interrupt(beside, number, delay, twice=point % 2 == 1)
    while done.out:  # it was up already: quicker than the ones that were measured
        beside.down("tiny")
        delay /= 2
        done = _interrupt(beside, number, delay, twice=point % 2 == 1)
    assert (done.code, done.out, done.err) == (code, "", "interrupted\n" if code == 130 else "ended by SIGTERM\n")
    assert beside.traces() == []


def _interrupt(closet: Closet, number: int, delay: float, *, twice: bool) -> Done:
    process = closet.start_up()
    changes.eventually(lambda: _assert_there(closet.lab().path))
    wait_or_not(process, delay)
    signal_all(process, number)
    if twice:
        wait_or_not(process, 0.05)
        signal_all(process, number)
    return closet.end(process)


def _assert_there(path: Path) -> None:
    assert path.exists()


def test_one_command_at_a_time(closet: Closet) -> None:
    """While one `up` works, others are refused and harm nothing; its state is whole at any moment, or not there."""
    process = closet.start_up()
    changes.eventually(lambda: _assert_there(closet.lab().path))
    with stopped(process):
        for other in [closet.start("down", "tiny"), closet.start_up()]:
            closet.end(other).refused(2, "tiny", f"pid {process.pid}")
        assert "starting" in closet.run("ls").passed().out
        closet.run("status").refused(2, "tiny", "not up")
    phases = set()
    while process.poll() is None:
        with suppress(FileNotFoundError):
            phases.add(json.loads((closet.lab().path / "lab.json").read_text())["phase"])
    assert closet.end(process).passed().out.startswith("tiny: 1 spine")
    assert phases <= {"starting", "running"}
    closet.run("check").passed()


def test_two_at_once(closet: Closet) -> None:
    """Both ask at the same moment: one makes the lab, the other is refused, or comes late and finds it."""
    ended = [closet.end(p) for p in [closet.start_up(), closet.start_up()]]
    assert sorted(d.code for d in ended) in ([0, 2], [0, 0])
    assert [d.out.startswith("tiny: 1 spine") for d in ended].count(True) == 1
    closet.run("check").passed()


def test_the_name_is_taken(closet: Closet) -> None:
    closet.up().passed()
    before = closet.lab().read()
    assert "nothing to do" in closet.up().passed().out
    assert closet.lab().read() == before, "nothing was done"
    closet.up(intent=closet.other).refused(2, "tiny", "another intent")
    closet.run("check").passed()


def test_side_by_side(closet: Closet) -> None:
    """Two labs of one intent never meet; the end of one is nothing to the other."""
    for process in [closet.start_up("one"), closet.start_up("two")]:
        closet.end(process).passed()
    closet.run("check", "one").passed()
    closet.run("check", "two").passed()
    closet.run("down").refused(2, "several labs run", "one, two")
    closet.run("down", "one").passed()
    assert closet.traces("one") == []
    closet.run("check", "two").passed()


def test_what_dies_is_found(closet: Closet) -> None:
    """A daemon, then a node; a pid that is somebody else's by now is no node; `up` starts anew.

    At last a node is frozen: in version 1 of cgroups not even SIGKILL reaches what is.
    """
    closet.up().passed()
    assert closet.run("exec", "leaf1", "sh", "-c", "exit 7").code == 7
    closet.run("exec", "leaf1", "pkill", "-KILL", "-x", "bgpd").passed()
    found = closet.run("check", "--only", "daemons")
    assert (found.code, "bgpd" in found.out) == (1, True)
    state = closet.lab().read()
    assert state is not None
    os.kill(state.pids["leaf2"], signal.SIGKILL)
    found = closet.run("status")
    assert (found.code, "leaf2" in found.out) == (1, True)
    closet.run("exec", "leaf2", "true").refused(2, "leaf2", "not running")
    state.pids["leaf1"] = os.getpid()
    closet.lab().write(state)
    closet.run("exec", "leaf1", "true").refused(2, "leaf1", "not running")
    assert "nothing to do" not in closet.up().passed().out
    closet.run("check").passed()
    _freeze(closet, "leaf1")
    closet.run("down").passed()
    assert closet.traces() == []


def _freeze(closet: Closet, node: str) -> None:
    state = closet.lab().read()
    assert state is not None
    for line in Path(f"/proc/{state.pids[node]}/cgroup").read_text().splitlines():
        _, controller, path = line.split(":", 2)
        if closet.lab().id not in path:  # version 1 may be there and not be used
            continue
        if controller == "freezer":
            (CGROUPS / controller / path[1:] / "freezer.state").write_text("FROZEN")
        elif not controller and not (CGROUPS / "freezer").is_dir():
            (CGROUPS / path[1:] / "cgroup.freeze").write_text("1")


def test_its_folder_is_deleted(beside: Closet, closet: Closet) -> None:
    """Nobody knows its name any more, and any folder's `closet` finds and ends it; what has a folder is let be."""
    closet.up().passed()
    lab = closet.lab().id
    shutil.rmtree(closet.home)
    listed = json.loads(beside.run("ls", "--json").passed().out)
    assert [(row["runtime"], row["phase"], row["nodes"]) for row in listed if row["lab"] == lab] == [
        (closet.runtime, "stray", sum(1 for _ in plan(loads(INTENT))))
    ]
    assert {row["lab"] for row in listed if row["phase"] != "stray"} == {"tiny-b"}
    assert f"{lab}: down in" in beside.run("down", "--strays").passed().out
    assert closet.traces() == []
    assert lab not in beside.run("ls").passed().out


def test_down_when_there_is_nothing(closet: Closet) -> None:
    for args in ([], ["tiny"], ["--all"]):
        assert "nothing to take down" in closet.run("down", *args).passed().out
    assert not closet.home.exists()
    closet.up().passed()
    closet.run("down").passed()
    assert "nothing to take down" in closet.run("down").passed().out
    assert list(closet.home.iterdir()) == []
