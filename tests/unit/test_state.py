"""The folder of a lab: what counts as one, and what is read from a state that somebody spoilt."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from closet.errors import EnvironmentFault, UsageError
from closet.runtime import processes
from closet.runtime.state import LabFolder, LabState, base, labs

STATE = LabState(name="a", runtime="oci", phase="running", digest="d", pids={"leaf1": 7}, born={"leaf1": 8})


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOSET_HOME", str(tmp_path))
    return tmp_path


def make(folder: LabFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.write(STATE)


def test_what_is_written_is_read(home: Path):
    folder = LabFolder("a")
    make(folder)
    assert folder.read() == STATE
    assert [f.name for f in labs()] == ["a"]
    assert [p.name for p in folder.path.iterdir()] == ["lab.json"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", "[" * 100_000, '{"name": "a"}', '{"surprise": 1}', "\udcff"]
)
def test_no_state(home: Path, text: str):
    folder = LabFolder("a")
    make(folder)
    (folder.path / "lab.json").write_text(text, errors="surrogateescape")
    assert folder.read() is None
    assert folder.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [("pids", []), ("pids", {"leaf1": "7"}), ("born", {}), ("phase", None), ("started", "today"), ("name", 1)],
)
def test_a_state_of_other_types(home: Path, key: str, value: object):
    folder = LabFolder("a")
    make(folder)
    data = json.loads((folder.path / "lab.json").read_text())
    (folder.path / "lab.json").write_text(json.dumps(data | {key: value}))
    assert folder.read() is None


def test_a_killed_up_left_less_than_a_state(home: Path):
    folder = LabFolder("a")
    folder.path.mkdir()
    assert folder.exists()
    (folder.path / ".lab.json.123").write_text("{")
    assert folder.exists()
    folder.remove()
    assert list(home.iterdir()) == []


def test_what_is_no_labs_is_nobodys_to_remove(home: Path):
    (home / "work" / "deep").mkdir(parents=True)
    (home / "link").symlink_to(home / "work")
    assert labs() == []
    for name in ("work", "link"):
        with pytest.raises(UsageError, match="no lab of closet's"):
            LabFolder(name).exists()


@pytest.mark.parametrize("name", ["", "A", "1a", "a/b", "..", "a\n", "a b", "a" * 33])
def test_names(home: Path, name: str):
    with pytest.raises(UsageError, match="lab name"):
        LabFolder(name)


def test_homes(home: Path, monkeypatch):
    (home / "file").touch()
    monkeypatch.setenv("CLOSET_HOME", str(home / "file"))
    with pytest.raises(EnvironmentFault, match="no folder"):
        base()
    for bad in (",", ":", "\\", "\n"):
        monkeypatch.setenv("CLOSET_HOME", f"/tmp/a{bad}b")
        with pytest.raises(UsageError, match="allowed"):
            base()
    monkeypatch.setenv("CLOSET_HOME", "")
    monkeypatch.chdir(home)
    assert base() == home / ".closet"


def test_a_lock_lives_as_long_as_its_lab(home: Path):
    folder = LabFolder("a")
    with folder.locked():
        assert (home / ".a.lock").exists()
        with pytest.raises(UsageError, match="another closet command"), LabFolder("a").locked(0.05):
            pass
        with LabFolder("b").locked():
            make(folder)
    assert [p.name for p in home.iterdir() if p.is_file()] == [".a.lock"]
    with folder.locked():
        folder.remove()
    assert list(home.iterdir()) == []


def hold(home: str, times: int, count) -> None:
    import os

    os.environ["CLOSET_HOME"] = home
    for _ in range(times):
        with LabFolder("a").locked(60.0):
            before = count.value
            count.value = before + 1


def test_a_removed_lock_locks_all_the_same(home: Path):
    """Each holder removes the file others have opened already, and no two ever hold it at once."""
    context = multiprocessing.get_context("fork")
    count = context.Value("i", 0, lock=False)
    workers = [context.Process(target=hold, args=(str(home), 25, count)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert count.value == 75


@pytest.mark.parametrize("hierarchies", [["."], ["cpu,cpuacct", "freezer", "unified"]])
def test_cgroups(tmp_path: Path, monkeypatch, hierarchies: list[str]):
    """Version 2, and version 1 where one hierarchy has several names."""
    monkeypatch.setattr(processes, "CGROUPS", tmp_path)
    for hierarchy in hierarchies:
        for cgroup in ("closet-a-1/leaf1", "closet-a-1/leaf2", "closet-a-b-1/leaf1", "closet-a-12"):
            (tmp_path / hierarchy / cgroup).mkdir(parents=True)
    if len(hierarchies) > 1:
        (tmp_path / "cpu").symlink_to(tmp_path / "cpu,cpuacct")
        (tmp_path / "freezer" / "closet-a-1" / "leaf1" / "freezer.state").write_text("FROZEN")
        processes.thaw("closet-a-1")
        assert (tmp_path / "freezer" / "closet-a-1" / "leaf1" / "freezer.state").read_text() == "THAWED"
        for file in tmp_path.rglob("*.*"):  # the kernel's own files go with a cgroup
            file.unlink()
    processes.remove_cgroups("closet-a-1")
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("closet-*")}
    assert {p.rpartition("/")[2] for p in left} == {"closet-a-b-1", "closet-a-12"}


def test_no_cgroups_at_all(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(processes, "CGROUPS", tmp_path / "none")
    assert processes.cgroup_folders("closet-a-1") == []
