"""Hosts that are microVMs, and what can go wrong with them: said in one line, found by checks, nothing left behind.

These labs are tiny and their own; the lab under test is not touched.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from closet.runtime import microvm, rdma

from . import changes
from .lifecycle import Closet, kill, signal_all, wait_or_not

INTENT = "name: tiny\nspines: 1\nleaves: 1\nhosts: {per_leaf: 2, rdma: verbs}\n"
KILLS = 8


@pytest.fixture(autouse=True, scope="module")
def where_verbs_need_them() -> None:
    if rdma.soft_roce() is None:
        pytest.skip("Soft-RoCE works in network namespaces here: no host is a microVM")


@pytest.fixture
def machines(closet: Closet) -> Closet:
    """The command, and an intent whose hosts are microVMs."""
    closet.intent.write_text(INTENT)
    return closet


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[tuple[Closet, float]]:
    """A closet whose lab of microVMs came up once, was killed a machine, and went down; and how long `up` took."""
    made = Closet(tmp_path_factory.mktemp("machines"), pytestconfig.getoption("--closet-runtime"))
    made.intent.write_text(INTENT)
    try:
        took = made.up().passed().seconds
        _command_ends_with_its_caller(made, "leaf1", "exec sleep 1002")
        _command_ends_with_its_caller(made, "h1-1", "sleep 1002; exec sleep 1003")
        _killed_machine_is_found(made)
        _panicked_machine_is_found(made)
        made.run("down", "tiny").passed()
        assert made.traces() == []
        yield made, took
    finally:
        made.down()


def _command_ends_with_its_caller(closet: Closet, node: str, command: str) -> None:
    """However that ends; beyond SSH with what it began. What was left in the background by one that is over goes on."""
    closet.run("exec", node, "sh", "-c", "nohup sleep 1001 </dev/null >/dev/null 2>&1 &").passed()
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = closet.start("exec", node, "sh", "-c", f"echo it runs; {command}")
        assert process.stdout is not None
        assert process.stdout.readline() == "it runs\n"
        changes.eventually(lambda: _assert_running(closet, node, {"1001", "1002"}))
        process.send_signal(number)
        changes.eventually(lambda: _assert_running(closet, node, {"1001"}))
        process.communicate(timeout=20)


def _assert_running(closet: Closet, node: str, expected: set[str]) -> None:
    assert _running(closet, node) == expected


def _running(closet: Closet, node: str) -> set[str]:
    """For how long those in a node sleep that do."""
    said = closet.run("exec", node, "pgrep", "-xa", "sleep").out
    return {line.split()[-1] for line in said.splitlines()} - {"infinity"}


def _killed_machine_is_found(closet: Closet) -> None:
    """By every check that asks it, with the last words of its console; the rest of the fabric is judged as ever."""
    state = closet.lab().read()
    assert state is not None
    assert sorted(state.machines) == ["h1-1", "h1-2"]
    closet.run("exec", "h1-1", "sh", "-c", "echo a last word >/dev/console").passed()
    os.kill(state.machines["h1-1"], signal.SIGKILL)
    changes.eventually(lambda: _assert_gone(state.machines["h1-1"]))
    found = closet.run("check", "--only", "daemons", "--only", "verbs")
    assert found.code == 1
    lines = [line for line in found.out.splitlines() if "its microVM ended; last on its console: " in line]
    assert len(lines) == 2
    assert all("h1-1" in line and "a last word" in line for line in lines)
    assert "h1-2" not in found.out
    closet.run("exec", "h1-1", "true").refused(2, "h1-1", "its microVM ended")
    closet.run("rdma", "h1-1", "h1-2").refused(3, "h1-1", "its microVM ended")


def _panicked_machine_is_found(closet: Closet) -> None:
    """A kernel that goes wrong ends its microVM, and what it said of why is the finding."""
    state = closet.lab().read()
    assert state is not None
    crash = "(sleep 0.2; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &"
    closet.run("exec", "h1-2", "sh", "-c", crash).passed()
    changes.eventually(lambda: _assert_gone(state.machines["h1-2"]))
    found = closet.run("check", "--only", "daemons")
    assert found.code == 1
    (line,) = (line for line in found.out.splitlines() if "h1-2" in line)
    assert "its microVM ended; last on its console: " in line
    assert "Kernel panic - not syncing: sysrq triggered crash" in line


def _assert_gone(pid: int) -> None:
    with suppress(FileNotFoundError):
        assert ") Z " in Path(f"/proc/{pid}/stat").read_text()


@pytest.mark.parametrize("point", range(KILLS))
def test_killed_while_they_boot(whole: tuple[Closet, float], point: int) -> None:
    """Seeded points spread over all of `up`; with or without its children; `down` follows."""
    closet, seconds = whole
    process = closet.start_up()
    wait_or_not(process, seconds * (point + random.Random(point).random()) / KILLS)
    kill(process, group=bool(point % 2))
    closet.down("tiny")
    assert closet.traces() == []


def test_interrupted_while_they_boot(whole: tuple[Closet, float]) -> None:
    closet, seconds = whole
    process = closet.start_up()
    wait_or_not(process, seconds / 2)
    signal_all(process, signal.SIGINT)
    done = closet.end(process)
    assert (done.code, done.out, done.err) == (130, "", "interrupted\n")
    assert closet.traces() == []


def test_one_that_dies_at_boot(machines: Closet) -> None:
    """`up` ends with a line that has its last words, rather than wait for it."""
    process = machines.start_up()
    pid = changes.eventually(lambda: _a_machine(machines))
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    machines.end(process).refused(3, "its microVM ended", "console")
    assert time.monotonic() - began < 30
    assert machines.traces() == []


def _a_machine(closet: Closet) -> int:
    """A QEMU of the lab's."""
    mark = str(closet.lab().path).encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = path.read_bytes()
            if line.startswith(microvm.QEMU.encode()) and mark in line:
                return int(path.parent.name)
    raise AssertionError("no microVM yet")


def test_no_qemu(machines: Closet) -> None:
    """Everything but QEMU is found in a folder of links."""
    env = {"PATH": str(_tools_without(machines.folder / "bin", microvm.QEMU))}
    machines.up(env=env).refused(3, "verbs", f"{microvm.QEMU} is not installed", "closet doctor --install")
    assert machines.traces() == []
    said = machines.run("doctor", env=env)
    assert f"{microvm.QEMU} is not installed" in " ".join(said.out.split())


def test_no_kernel_for_them(machines: Closet) -> None:
    """It is not built, and what would build it is not there; or the build fails, because a module is missing, say."""
    env = {"PATH": str(_tools_without(machines.folder / "bin", "mksquashfs"))}
    env["CLOSET_CACHE"] = str(machines.folder / "cache")
    machines.up(env=env).refused(3, "verbs", "mksquashfs not installed", "closet doctor --install")
    tool = machines.folder / "bin" / "mmdebstrap"
    tool.unlink()
    tool.write_text("#!/bin/sh\necho no such mirror >&2\nexit 1\n")
    tool.chmod(0o755)
    (machines.folder / "bin" / "mksquashfs").symlink_to("/bin/true")
    machines.up(env=env).refused(3, "no such mirror")
    assert machines.traces() == []


def _tools_without(folder: Path, missing: str) -> Path:
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(":")):
        for tool in Path(place).glob("*"):
            if tool.name != missing:
                (folder / tool.name).unlink(missing_ok=True)
                (folder / tool.name).symlink_to(tool)
    return folder
