"""What a machine can lack, and what can be in the way: a line that says so, the exit code, and nothing left behind."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from . import changes
from .lifecycle import Closet, small_disk


@pytest.mark.parametrize("size", ["4k", "24k", "112k", "256k", "416k"])
def test_full_disk(closet: Closet, size: str) -> None:
    """Rendering, runc's state and what daemons write fail, in turn: a line, and nothing is left."""
    with small_disk(closet.home, size):
        try:
            done = closet.up()
            if done.code == 0:  # where an engine keeps what nodes write elsewhere, little is enough
                assert closet.runtime != "oci"
                closet.down()
            else:
                done.refused(3, "no space left")
            assert closet.traces() == []
        finally:
            closet.down()  # should this have failed: without its disk nobody knows of the lab


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
            closet.run("status").refused(2, "tiny", "closet down tiny")
            assert "tiny" in closet.run("ls").passed().out
            path.write_text(whole)
    closet.run("check").passed()
    (closet.lab().path / "lab.json").write_text("{")
    closet.run("down").passed()
    assert closet.traces() == []


def test_killed_while_the_root_filesystem_is_built(closet: Closet) -> None:
    """What builds it outlives the command; the next one waits for its end rather than build into the same folder."""
    tool, log = closet.folder / "mmdebstrap", closet.folder / "log"
    tool.write_text(f"#!/bin/sh\necho begin >>{log}; sleep 1; echo end >>{log}; exit 1\n")
    tool.chmod(0o755)
    env = {"PATH": f"{closet.folder}:{os.environ['PATH']}", "CLOSET_CACHE": str(closet.folder / "cache")}
    process = closet.start("up", closet.intent, "--runtime", "oci", env=env)
    changes.eventually(lambda: _assert_begun(log))
    process.kill()
    process.communicate(timeout=60)
    closet.run("up", closet.intent, "--runtime", "oci", env=env).refused(3, "root filesystem")
    assert log.read_text().split() == ["begin", "end", "begin", "end"]
    assert closet.traces() == []


def _assert_begun(log: Path) -> None:
    assert log.exists()
