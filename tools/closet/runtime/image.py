"""What microVMs boot from, built once: Debian's kernel, and the root filesystem of all nodes as a squashfs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from closet import paths
from closet.errors import EnvironmentFault
from closet.runtime import rootfs

RECIPE = ("build.sh", "modules.txt")
"""What decides the kernel and its modules; the rest of the folder goes into each microVM as it is."""
PROGRAMS = {"init": "init", "start": "node/start", "agent.py": "node/agent.py"}
"""File of the recipe that is a program of every microVM → where it is in its initrd."""
TOOLS = ("mmdebstrap", "mksquashfs")
"""What building takes."""


@dataclass(frozen=True, slots=True)
class Image:
    """Files a microVM boots from; none is ever written to.

    Attributes:
        kernel: uncompressed (an ELF file, booted by PVH).
        initrd: busybox and modules, as a cpio archive; others may follow it.
        root: the root filesystem as a squashfs.
    """

    kernel: Path
    initrd: Path
    root: Path


def _kernel_folder() -> Path:
    digest = hashlib.sha256()
    for name in RECIPE:
        digest.update((paths.labs() / "microvm" / name).read_bytes())
    return paths.cache() / f"kernel-{digest.hexdigest()[:12]}"


def _root_file() -> Path:
    return paths.cache() / f"rootfs-{rootfs.recipe_digest()}.squashfs"


def cached() -> Image | None:
    """The image if all of it has been built, else None."""
    kernel, root = _kernel_folder(), _root_file()
    return _image() if kernel.is_dir() and root.is_file() else None


def _image() -> Image:
    folder = _kernel_folder()
    return Image(folder / "vmlinux", folder / "initrd.cpio", _root_file())


def ensure(say: Callable[[str], None]) -> Image:
    """The image; builds it first if need be (about 20 s).

    Raises:
        EnvironmentFault: a tool is missing, or the build failed.
    """
    if (ready := cached()) is not None:
        return ready
    for tool in TOOLS:
        if shutil.which(tool) is None:
            raise EnvironmentFault(f"{tool} is not installed, which microVMs need: run `closet doctor --install`")
    base = rootfs.ensure(say)
    with (paths.cache() / "kernel.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two labs started at once build it once
        if not _kernel_folder().is_dir():
            say("fetching the kernel of microVMs (once; about 15 s)")
            recipe = paths.labs() / "microvm"
            _build(_kernel_folder(), [str(recipe / "build.sh"), "{}", str(recipe / "modules.txt")], lock.fileno())
        if not _root_file().is_file():
            # Not compressed: a guest without KVM would spend more on that than the disk costs.
            plain = ["-noI", "-noD", "-noF", "-noX", "-no-progress", "-quiet"]
            _build(_root_file(), ["mksquashfs", str(base), "{}", *plain], lock.fileno())
    return _image()


def programs() -> dict[str, bytes | str]:
    """What every microVM runs: where that is in the initrd → its content."""
    return {PROGRAMS[name]: (paths.labs() / "microvm" / name).read_bytes() for name in PROGRAMS}


def _build(target: Path, command: list[str], lock: int) -> None:
    """Run what makes `target` out of nothing, `{}` standing for where to; all or nothing of it is then there."""
    half = target.with_name(f"{target.name}.building")
    log = target.with_name(f"{target.name}.log")
    shutil.rmtree(half, ignore_errors=True)
    half.unlink(missing_ok=True)
    with log.open("w") as out:
        done = subprocess.run(
            [str(half) if word == "{}" else word for word in command],
            stdout=out,
            stderr=out,
            pass_fds=[lock],  # should closet be killed, nobody begins while this still writes there
            check=False,
        )
    if done.returncode != 0:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise EnvironmentFault(f"building {target.name} for microVMs failed: {last[0]} (all of it: {log})")
    half.rename(target)


def archive(files: Mapping[str, bytes | str], programs: tuple[str, ...] = ()) -> bytes:
    """A cpio archive the kernel unpacks (Linux Documentation/driver-api/early-userspace/buffer-format.rst).

    Args:
        files: path → content; folders come by themselves.
        programs: the paths that may be executed.
    """
    folders = sorted({str(p) for path in files for p in list(Path(path).parents)[:-1]})
    entries: list[tuple[str, int, bytes]] = [(path, stat.S_IFDIR | 0o755, b"") for path in folders]
    for path, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        entries.append((path, stat.S_IFREG | (0o755 if path in programs else 0o644), data))
    entries.append(("TRAILER!!!", 0, b""))
    return b"".join(_entry(n, *entry) for n, entry in enumerate(entries, 1))


def _entry(number: int, path: str, mode: int, data: bytes) -> bytes:
    name = os.fsencode(path) + b"\0"
    # inode, mode, uid, gid, links, time, size, device (2), special device (2), length of the name, checksum
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + name
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
