"""Programs in hosts, and hosts that hang: what waits for them ends in time, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from closet.errors import ProbeError
from closet.runtime.guest import GuestNode
from closet.traffic.tool import Tool

SOON = 5.0
"""Seconds that are fewer than what hangs here would take."""
HANGS = ["sleep", "60"]


class Host:
    """A host whose programs run here.

    Args:
        way: what the way into it does first; hangs: nothing is ever answered.
    """

    def __init__(self, way: str = "", *, hangs: bool = False) -> None:
        self.way = way
        self.hangs = hangs
        self.there = True
        self.asked: list[tuple[str, ...]] = []

    def popen(self, *command: str, **kwargs: Any) -> subprocess.Popen[bytes]:
        self.process = subprocess.Popen(["sh", "-c", f'{self.way} exec "$@"', "sh", *command], **kwargs)
        return self.process

    def run(self, *command: str, timeout: float, check: bool) -> None:
        self.asked.append(command)
        if self.hangs:
            raise ProbeError("h1: no answer")
        subprocess.run(command, check=check, timeout=timeout)

    def read(self, path: str, *, timeout: float) -> str:
        if self.hangs:
            threading.Event().wait(timeout)
            raise ProbeError("h1: its microVM does not answer")
        return Path(path).read_text()

    def alive(self) -> bool:
        return self.there

    def gone(self) -> ProbeError:
        return ProbeError("h1: gone")


@pytest.fixture
def clock():
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON


@pytest.mark.usefixtures("clock")
def test_what_a_program_says_is_all_of_it_and_its_number_is_not():
    with Tool(Host(), "sh", "-c", "echo one; echo two >&2; exit 3") as tool:
        said = tool.wait(SOON)
    assert said is not None
    assert (said.text, said.code) == ("one\ntwo\n", 3)


@pytest.mark.usefixtures("clock")
def test_a_way_that_leads_nowhere_says_why():
    with Tool(Host("echo no such namespace; exit 1;"), "true") as tool:
        said = tool.wait(SOON)
    assert said is not None
    assert (said.text, said.code) == ("it did not start: no such namespace\n", 1)


@pytest.mark.usefixtures("clock")
def test_time_is_over_for_one_that_runs_and_for_one_that_never_began(monkeypatch):
    monkeypatch.setattr("closet.traffic.tool.KILL", 0.1)
    for way in ("", "exec sleep 60;"):
        host = Host(way)
        with Tool(host, *HANGS) as tool:
            assert tool.wait(0.2) is None
        assert host.process.returncode is not None
        assert len(host.asked) == (not way), "what never began has no number to end it by"


@pytest.mark.usefixtures("clock")
def test_a_host_that_ended_is_an_error():
    host = Host("exec sleep 60;")
    host.there = False
    with Tool(host, "true") as tool:
        host.process.kill()
        with pytest.raises(ProbeError, match="gone"):
            tool.wait(SOON)


@pytest.mark.usefixtures("clock")
def test_the_way_into_a_host_that_hangs_is_ended():
    host = Host(hangs=True)
    with Tool(host, *HANGS) as tool:
        assert not tool.listens(9, 0.2)
        assert tool.wait(0.2) is None
    assert host.asked[0][:2] == ("kill", "-KILL")
    assert host.process.returncode is not None


def test_to_listen_on_one_that_is_gone_is_an_error():
    host = Host(hangs=True)
    with Tool(host, *HANGS) as tool:
        host.there = False
        with pytest.raises(ProbeError, match="does not answer"):
            tool.listens(9, 0.1)


class Guest(GuestNode):
    """A microVM that is this process; the ways to it are scripts, which get the options of ssh."""

    def __init__(self, folder: Path, script: str) -> None:
        super().__init__(name="h1", pid=os.getpid(), folder=folder, machine=os.getpid())
        self.script = script

    @property
    def root(self) -> Path:
        return self.folder

    def enter(self, command: Any, *, vrf: str = "default") -> list[str]:
        return ["sh", "-c", self.script, "sh", *command]

    def agent(self, timeout: float = 20.0) -> Any:
        return SimpleNamespace(ask=lambda *_, **__: "calls")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("script", ["exec sleep 60", 'case "$*" in *check*) exit 1;; *) exec sleep 60;; esac'])
def test_a_command_ends_in_time_where_ssh_hangs(tmp_path, script):
    """Both where it looks for a connection and where it makes one."""
    with pytest.raises(ProbeError, match="h1: its microVM does not answer"):
        Guest(tmp_path, script).run("true", timeout=0.2)


def test_those_that_come_at_once_share_one_connection(tmp_path):
    script = (
        f'cd {tmp_path}; case "$*" in *check*) test -e made;; *Master=yes*) echo x >>all; sleep 0.1; echo >made;; esac'
    )
    guest = Guest(tmp_path, script)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: guest.argv(["true"]), range(4)))
    assert (tmp_path / "all").read_text() == "x\n"
