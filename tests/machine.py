"""closet inside a microVM: on Debian's kernel, for what the kernel of this machine has not (VRF devices)."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from closet import paths
from closet.runtime import image, rootfs
from closet.runtime.accel import best

HERE = Path(__file__).parents[1]
SOURCE = ("tools", "fixtures", "labs", "topologies", "tests/conformance")
"""What of the checkout is inside."""
VERSION = "3.13"
"""Of Python in the root filesystem."""
MEMORY, CORES = 2048, 2


@dataclass(frozen=True)
class Done:
    """How a script ended in there."""

    code: int
    out: str


def run(script: str, seconds: float = 600.0) -> Done:
    """Run a shell script where `python3 -m closet` works, in closet's checkout, on a kernel with VRF devices.

    Raises:
        TimeoutError: it took longer. RuntimeError: the microVM ended before the script did.
    """
    ready = image.ensure(print)
    accelerator = best(ready)
    files = {"init": image.programs()["init"], "node/start": (paths.labs() / "microvm" / "nested").read_bytes()}
    files |= {"node/script": script, "node/digest": rootfs.recipe_digest(), "node/layered": ""}
    with tempfile.TemporaryDirectory(prefix="closet-machine-") as folder:
        console, out, initrd = (Path(folder) / name for name in ("console", "out", "initrd"))
        files |= _source(Path(folder) / "source")
        initrd.write_bytes(ready.initrd.read_bytes() + image.archive(files, programs=("init",)))
        command = [
            *("qemu-system-x86_64", "-machine", "pc", *accelerator.options, "-smp", str(CORES), "-m", str(MEMORY)),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", str(ready.kernel)),
            *("-initrd", str(initrd), "-serial", f"file:{console}", "-serial", f"file:{out}"),
            *("-append", f"console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off {accelerator.words}"),
        ]
        for disk in (ready.root, layer()):
            command += ["-drive", f"file={disk},format=raw,if=virtio,readonly=on,file.locking=off"]
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, timeout=seconds, check=True)
        except subprocess.TimeoutExpired:
            said = out.read_text(errors="replace")[-2000:]
            raise TimeoutError(f"the script did not end in {seconds:g} s: {said}") from None
        said = out.read_text(errors="replace").replace("\r\n", "\n")
        if (end := re.search(r"^closet: returned (\d+)\n\Z", said, re.MULTILINE)) is None:
            raise RuntimeError(f"the microVM ended early: {said[-1000:]} {console.read_text(errors='replace')[-1000:]}")
        return Done(int(end[1]), said[: end.start()])


def _source(folder: Path) -> dict[str, bytes | str]:
    """closet's own files, compiled for the Python in there."""
    for name in SOURCE:
        shutil.copytree(HERE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    _compile(folder)
    found = (p for p in folder.rglob("*") if p.is_file())
    return {f"node/source/{p.relative_to(folder)}": p.read_bytes() for p in found}


def _compile(folder: Path) -> None:
    """Compile Python files with the Python of the root filesystem: in a guest without KVM that would take minutes."""
    root = rootfs.ensure(print)
    loader, libraries = root / "usr/lib64/ld-linux-x86-64.so.2", root / "usr/lib/x86_64-linux-gnu"
    python = [str(loader), "--library-path", str(libraries), str(root / f"usr/bin/python{VERSION}")]
    options = ["-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(folder)]
    # What is no Python 3.13 at all (a template, a test of something else) stays as it is.
    subprocess.run([*python, *options], env={**os.environ, "PYTHONHOME": str(root / "usr")}, check=False)


def layer() -> Path:
    """A squashfs to lay over the root filesystem: runc, and the libraries closet imports. Built once (about 1 min)."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    digest = hashlib.sha256(repr((project["dependencies"], VERSION, rootfs.recipe_digest())).encode()).hexdigest()[:12]
    target = paths.cache() / f"nested-{digest}.squashfs"
    if target.is_file():
        return target
    with tempfile.TemporaryDirectory(dir=paths.cache(), prefix="nested-building-") as name:
        folder, tools = Path(name) / "layer", Path(name) / "tools"
        site = folder / "usr/lib/python3/dist-packages"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site), "--no-compile"]
        pip += ["--python-version", VERSION, "--only-binary=:all:", "--platform", "manylinux2014_x86_64"]
        subprocess.run([*pip, *project["dependencies"]], check=True)
        _compile(site)
        mirror = os.environ.get("CLOSET_MIRROR", "http://deb.debian.org/debian")
        extract = ["mmdebstrap", "--quiet", "--variant=extract", "--include=runc", "trixie", str(tools), mirror]
        subprocess.run(extract, check=True)
        for pattern in ("usr/sbin/runc", "usr/lib/x86_64-linux-gnu/libseccomp.so.2*"):
            for file in tools.glob(pattern):
                (folder / file.relative_to(tools)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, folder / file.relative_to(tools), follow_symlinks=False)
        half = Path(name) / "squashfs"
        plain = ["-noI", "-noD", "-noF", "-noX", "-no-progress", "-quiet"]
        subprocess.run(["mksquashfs", str(folder), str(half), *plain], stdout=subprocess.DEVNULL, check=True)
        half.rename(target)
    return target


if __name__ == "__main__":  # python -m tests.machine 'python3 -m closet doctor'
    ended = run(" ".join(sys.argv[1:]))
    print(ended.out, end="")
    sys.exit(ended.code)
