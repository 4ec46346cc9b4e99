"""What `make` does first."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("target", "able"),
    [("lint", False), ("unit", False), ("doctor", False), ("lab-up", True), ("test", True), ("bench", True)],
)
def test_only_what_brings_up_labs_needs_a_machine_that_can(tmp_path, target, able):
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    said = subprocess.run(["make", "-n", target], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "python3 -m venv" in said
    assert ("doctor --install" in said) is able
