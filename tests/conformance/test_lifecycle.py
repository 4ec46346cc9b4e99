"""Whatever happens to `up`, a lab can be taken down completely, and with it nothing that is not its own.

These labs are tiny and their own; the lab under test is not touched.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from closet.lab import down

from . import changes
from .lifecycle import Closet, Done, children, environment, signal_all, small_disk, stopped, wait_or_not

KILLS = 20
CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def closet(tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[Closet]:
    """The command, in a folder of its own; its labs are gone with the test."""
    made = Closet(tmp_path, pytestconfig.getoption("--closet-runtime"))
    yield made
    made.run("down", "--all").passed()


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
    yield made
    assert users.poll() is None
    users.communicate()
    cgroup.rmdir()
    assert made.lab("tiny-b").read() == before
    made.run("check", "tiny-b").passed()
    made.run("down", "tiny-b").passed()
    assert made.traces("tiny-b") == []
    assert list(made.home.iterdir()) == []


@pytest.fixture(scope="module")
def seconds(beside: Closet) -> float:
    """How long `up` takes here."""
    took = []
    for _ in range(2):
        took.append(beside.up().passed().seconds)
        beside.run("down", "tiny").passed()
        assert beside.traces() == []
    return min(took)


@pytest.mark.parametrize("point", range(KILLS))
def test_killed_at_a_random_point(beside: Closet, seconds: float, point: int) -> None:
    """Seeded points spread over all of `up`; with or without its children; `down` follows, or `up` again."""
    process = beside.start_up()
    wait_or_not(process, seconds * (point + random.Random(point).random()) / KILLS)
    if point % 2:
        signal_all(process, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()
    if point % 4 == 3:
        beside.up().passed()
        assert beside.traces() != []
    beside.run("down", "tiny").passed()
    assert beside.traces() == []


@pytest.mark.parametrize("which", range(1, 5))
def test_killed_while_a_child_runs(beside: Closet, which: int) -> None:
    """At the very moment of its n-th child, and taken down at once: not even a Python start is between."""
    process = beside.start_up()
    seen: set[int] = set()
    while len(seen) < which and process.poll() is None:
        seen.update(children(process.pid))
    process.kill()
    with environment(CLOSET_HOME=str(beside.home)):
        down("tiny")
    assert beside.traces() == []
    process.communicate()


@pytest.mark.parametrize("point", range(3))
def test_down_killed(beside: Closet, point: int) -> None:
    beside.up().passed()
    process = beside.start("down", "tiny")
    wait_or_not(process, 0.15 + 0.1 * (point + random.Random(point).random()))
    process.kill()
    process.communicate()
    beside.run("down", "tiny").passed()
    assert beside.traces() == []


@pytest.mark.parametrize("point", range(5))
def test_interrupted(beside: Closet, seconds: float, point: int) -> None:
    """Ctrl-C, once or twice, or what ends a job: one line, and nothing is left."""
    number, code = (signal.SIGTERM, 143) if point == 2 else (signal.SIGINT, 130)
    delay = seconds * 0.7 * (point + random.Random(point).random()) / 5
    done = _interrupt(beside, number, delay, twice=point % 2 == 1)
    while done.code == 0:  # it was quicker than the ones that were measured
        beside.run("down", "tiny").passed()
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
        closet.run("down", "tiny").refused(2, "tiny", f"pid {process.pid}")
        closet.up().refused(2, "tiny", f"pid {process.pid}")
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
    again = closet.up().passed()
    assert "nothing to do" in again.out
    assert again.seconds < 1.0
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
    """A daemon, then a node; a pid that is somebody else's by now is no node; `up` starts anew."""
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


def test_frozen(closet: Closet) -> None:
    """Where processes are frozen, not even SIGKILL reaches them."""
    closet.up().passed()
    state = closet.lab().read()
    assert state is not None
    for line in Path(f"/proc/{state.pids['leaf1']}/cgroup").read_text().splitlines():
        _, controller, path = line.split(":", 2)
        folder = CGROUPS / (controller or "unified") / path[1:]
        if controller == "freezer":
            (folder / "freezer.state").write_text("FROZEN")
        elif not controller and not (CGROUPS / "freezer").is_dir():
            (CGROUPS / path[1:] / "cgroup.freeze").write_text("1")
    closet.run("down").passed()
    assert closet.traces() == []


@pytest.mark.parametrize("size", ["4k", "24k", "112k", "208k", "416k"])
def test_full_disk(closet: Closet, size: str) -> None:
    """Rendering, runc's state and what daemons write fail, in turn: a line, and nothing is left."""
    with small_disk(closet.home, size):
        done = closet.up()
        if done.code != 0:  # where the engine keeps what nodes write elsewhere, the largest are enough
            done.refused(3, "no space left")
        else:
            assert (closet.runtime, int(size[:-1]) > 64) != ("oci", True)
            closet.run("down").passed()
        assert closet.traces() == []


def test_disk_filled_later(closet: Closet) -> None:
    with small_disk(closet.home, "4m"):
        closet.up().passed()
        with suppress(OSError), (closet.home / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        closet.run("down").passed()
        assert closet.traces() == []


def test_missing_tool(closet: Closet) -> None:
    done = closet.up(env={"PATH": str(closet.folder)})
    done.refused(3, "is not installed", "closet doctor")
    assert closet.traces() == []


@pytest.mark.parametrize("home", ["tiny.yaml", "tiny.yaml/below", "/proc/nowhere", "a,b", "tiny.yaml\nx"])
def test_no_place_for_labs(closet: Closet, home: str) -> None:
    env = {"CLOSET_HOME": str(closet.folder / home)}
    code = 2 if "," in home or "\n" in home else 3
    closet.up(env=env).refused(code, home.partition("\n")[0])
    if home in {"tiny.yaml", "a,b"}:
        closet.run("ls", env=env).refused(code, home)
        closet.run("down", "tiny", env=env).refused(code, home)
    else:
        closet.run("ls", env=env)


def test_the_current_folder_is_gone(closet: Closet) -> None:
    for command in (["ls"], ["down", "tiny"], ["up", closet.intent]):
        gone = closet.folder / "gone"
        gone.mkdir()
        process = closet.start(*command, env={"CLOSET_HOME": ""}, cwd=gone)
        gone.rmdir()
        closet.end(process).refused(3, "current folder")


def test_not_ours(closet: Closet) -> None:
    """A folder where a lab would be, but not a lab's, is left alone."""
    theirs = closet.home / "tiny" / "work"
    theirs.mkdir(parents=True)
    closet.up().refused(2, "tiny", "no lab")
    closet.run("down", "tiny").refused(2, "tiny", "no lab")
    assert "no labs" in closet.run("ls").passed().out
    assert "nothing to take down" in closet.run("down", "--all").passed().out
    assert list(closet.home.rglob("*")) == [closet.home / "tiny", theirs]


DAMAGES = {
    "lab.json": ["", '{"name": "tiny", "runt', "\0\1\2", "[]", '{"name": 1}', None],
    "intent.json": ["{", '{"name": "tiny"}', None],
}


def test_damaged_files(closet: Closet) -> None:
    closet.up().passed()
    for file, contents in DAMAGES.items():
        path = closet.lab().path / file
        whole = path.read_text()
        for content in contents:
            path.unlink() if content is None else path.write_text(content)
            assert "tiny" in closet.run("ls").passed().out
            closet.run("status").refused(2, "tiny", "closet down tiny")
            path.write_text(whole)
    closet.run("check").passed()
    (closet.lab().path / "lab.json").write_text("{")
    closet.run("down").passed()
    assert closet.traces() == []


def test_down_when_there_is_nothing(closet: Closet) -> None:
    for args in ([], ["tiny"], ["--all"]):
        assert "nothing to take down" in closet.run("down", *args).passed().out
    assert not closet.home.exists()
    closet.up().passed()
    closet.run("down").passed()
    assert "nothing to take down" in closet.run("down").passed().out
    assert list(closet.home.iterdir()) == []
