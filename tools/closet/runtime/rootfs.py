"""The root filesystem of every node: built once from a recipe, and kept by the hash of that recipe."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from closet import paths
from closet.errors import EnvironmentFault


def recipe_digest() -> str:
    """A short hash of all that decides what is in the root filesystem."""
    digest = hashlib.sha256()
    for file in sorted((paths.labs() / "rootfs").iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def cached() -> Path | None:
    """The root filesystem if it has been built, else None."""
    path = paths.cache() / f"rootfs-{recipe_digest()}"
    return path if path.is_dir() else None


def ensure(say: Callable[[str], None]) -> Path:
    """The root filesystem; builds it first if need be (about 20 s).

    Args:
        say: told in one line what takes long.

    Raises:
        EnvironmentFault: mmdebstrap is missing, or the build failed.
    """
    if (ready := cached()) is not None:
        return ready
    if shutil.which("mmdebstrap") is None:
        raise EnvironmentFault(
            "mmdebstrap is not installed, and no root filesystem is built yet: run `closet doctor --install`"
        )
    folder = paths.cache()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "rootfs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two labs started at once build it once
        return cached() or _build(folder, say, lock.fileno())


def _build(folder: Path, say: Callable[[str], None], lock: int) -> Path:
    say("building the root filesystem of the nodes (once; about 20 s)")
    target = folder / f"rootfs-{recipe_digest()}"
    half = folder / "rootfs-building"
    shutil.rmtree(half, ignore_errors=True)
    recipe = paths.labs() / "rootfs"
    log = folder / "rootfs-build.log"
    with log.open("w") as out:
        done = subprocess.run(
            [str(recipe / "build.sh"), str(half), str(recipe / "packages.txt")],
            stdout=out,
            stderr=out,
            pass_fds=[lock],  # should closet be killed, nobody begins while this still writes there
            check=False,
        )
    if done.returncode != 0:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["no output"]
        shutil.rmtree(half, ignore_errors=True)
        raise EnvironmentFault(f"building the root filesystem failed: {last[0]} (all of it: {log})")
    half.rename(target)
    return target
