"""Whether there is a Docker engine to work with: told from its socket alone, by an engine that only pretends."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from closet.errors import EnvironmentFault, UsageError
from closet.runtime import choose as choose_module
from closet.runtime import engine
from closet.runtime.choose import choose, named, probe_containerlab
from closet.runtime.containerlab import ContainerlabRuntime
from closet.runtime.state import LabFolder

PONG = b"HTTP/1.0 200 OK\r\nApi-Version: 1.45\r\nServer: Docker/26.1.5 (linux)\r\n\r\nOK"


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """An engine that gives one answer to everything."""
    servers = []

    def start(answer: bytes | None) -> None:
        server = socket.socket(socket.AF_UNIX)
        servers.append(server)
        server.bind(str(tmp_path / "s"))
        server.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 's'}")
        if answer is not None:
            threading.Thread(target=serve, args=(server, answer), daemon=True).start()

    def serve(server: socket.socket, answer: bytes) -> None:
        while True:
            try:
                with server.accept()[0] as s:
                    s.recv(4096)
                    s.sendall(answer)
            except OSError:
                return

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def test_an_engine_that_answers_is_one(pretend):
    pretend(PONG)
    assert engine.version() == "26.1.5"
    assert engine.why_not() is None


@pytest.mark.parametrize("answer", [b"", b"hello", b"HTTP/1.0 500 No\r\n\r\n", None])
def test_an_engine_that_does_not_answer_is_none(pretend, tmp_path, answer):
    pretend(answer)
    assert engine.why_not(0.05) == f"the Docker engine at {tmp_path / 's'} does not answer"


def test_no_socket_is_no_engine_and_costs_nothing_to_see(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'none'}")
    took = []
    for _ in range(10):
        begin = time.perf_counter()
        runtime, why = choose("auto")
        took.append(time.perf_counter() - begin)
        assert (runtime.name, why) == ("oci", "oci runtime (no Docker engine here)")
    assert min(took) < 0.03, "the least of them is not that of a machine which does other things"


def test_an_engine_elsewhere_cannot_be_used(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://far:2375")
    assert engine.why_not() == "DOCKER_HOST=tcp://far:2375 is no engine on this machine"
    with pytest.raises(EnvironmentFault, match=r"far:2375 .*--runtime oci"):
        engine.Engine()


def test_an_engine_without_containerlab_is_not_enough(pretend, monkeypatch):
    pretend(PONG)
    monkeypatch.setenv("PATH", "/nowhere")
    assert probe_containerlab() == "containerlab is not installed"


@pytest.mark.parametrize(("script", "reason"), [("exit 0", None), ("exit 1", "containerlab does not run")])
def test_a_containerlab_that_runs_is_taken(pretend, tmp_path, monkeypatch, script, reason):
    pretend(PONG)
    (tmp_path / "containerlab").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "containerlab").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert probe_containerlab() == reason
    assert choose("auto")[0].name == ("oci" if reason else "containerlab")


def test_who_asks_for_a_runtime_gets_it():
    for name in choose_module.RUNTIMES:
        runtime, why = choose(name)
        assert (runtime.name, why) == (name, f"{name} runtime (asked for)")
        assert [r.name for r in named(name)] == [name]
    assert {r.name for r in named(None)} == set(choose_module.RUNTIMES)


def test_a_runtime_nobody_knows_is_a_usage_error():
    with pytest.raises(UsageError, match="runtime 'podman', allowed: auto, oci, containerlab"):
        choose("podman")


def test_an_engine_that_does_not_say_is_not_taken_for_one_without_the_image(pretend):
    pretend(b"HTTP/1.0 500 No\r\n\r\n")
    with pytest.raises(EnvironmentFault, match="does not say whether it has closet-node"):
        engine._has_image("closet-node:1")


def test_a_lab_containerlab_never_made_is_down_without_an_engine(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'none'}")
    monkeypatch.setenv("CLOSET_HOME", str(tmp_path))
    ContainerlabRuntime().destroy(LabFolder("any"))


def test_containers_nobody_can_remove_are_not_forgotten(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'none'}")
    monkeypatch.setenv("CLOSET_HOME", str(tmp_path))
    folder = LabFolder("any")
    (folder.path / f"clab-{folder.id}").mkdir(parents=True)
    with pytest.raises(EnvironmentFault, match=r"lab any: no Docker engine here, .* `closet down any` again"):
        ContainerlabRuntime().destroy(folder)
