"""Settings of the machine that large labs raise: raised while one is there, and then what they were."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from closet import lab, takedown
from closet.runtime import limits
from closet.runtime.state import LabFolder, LabState

BEFORE, RAISED = 1024, 65536
LARGE = {"one": limits.LARGE, "two": limits.LARGE + 1, "small": limits.LARGE - 1}


@pytest.fixture
def setting(tmp_path, monkeypatch) -> Path:
    """A setting of a machine, on which labs have no nodes."""
    path = tmp_path / "gc_thresh3"
    path.write_text(str(BEFORE))
    monkeypatch.setenv("CLOSET_HOME", str(tmp_path / "labs"))
    monkeypatch.setattr(limits, "NEIGHBOURS", {str(path): RAISED})
    monkeypatch.setattr(takedown, "named", lambda _: [])
    return path


def up(name: str, nodes: int) -> None:
    folder = LabFolder(name)
    folder.path.mkdir(parents=True)
    state = LabState(name=name, runtime="oci", phase="running", digest="d", lifted=lab._too_low(nodes))
    folder.write(state)
    limits.lift(state.lifted)


@pytest.mark.parametrize("first", list(permutations(LARGE)))
@pytest.mark.parametrize("gone", list(permutations(LARGE)))
def test_it_is_raised_as_long_as_a_large_lab_is_there(setting, first, gone):
    there = set()
    for name in first:
        up(name, LARGE[name])
        there.add(name)
        assert int(setting.read_text()) == (RAISED if there & {"one", "two"} else BEFORE)
    for name in gone:
        assert takedown.down(name)
        there.remove(name)
        assert int(setting.read_text()) == (RAISED if there & {"one", "two"} else BEFORE)


def test_one_that_was_high_enough_stays_as_it_is(setting):
    setting.write_text(str(RAISED + 1))
    up("one", limits.LARGE)
    takedown.down("one")
    assert int(setting.read_text()) == RAISED + 1
