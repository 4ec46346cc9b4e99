"""A microVM that has booted and waits to be told who it is: saved once, and every other goes on from there.

Without KVM a kernel's boot, its modules and Python's start take longer than all that a host then does.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from closet import paths
from closet.errors import EnvironmentFault
from closet.runtime import netns
from closet.runtime.monitor import Monitor, chardev

WAITS = "to be told who it is"
"""What such a microVM says on its console (`labs/microvm/start`)."""
SECONDS = 180.0
"""How long it may take to boot, on a machine that is busy with other things."""
CABLE = "closet-"
"""What a tap is called, a number follows: 0 is the management link, then the ports in order."""
KEPT = 7 * 86400.0
"""Seconds that a file is kept which nobody uses: each is 100 MB."""
STATE, RAM = "state", "ram"
"""What is kept of one: its devices (QEMU's migration stream), and its memory as it was."""

WITHOUT_MEMORY = [{"capability": "x-ignore-shared", "state": True}]
SILENT = {"announce-rounds": 0}
"""Only the guest may say anything on the cables; QEMU would announce its MACs."""


def memory(folder: Path, size: int, *, ours: bool) -> list[str]:
    """QEMU's arguments for a microVM's memory of so many MiB: in that file, or from it, and ours as it changes.

    All of them share what none of them changes, and nothing is read before it is used.
    """
    path = str(folder / RAM).replace(",", ",,")
    share = "off" if ours else "on"
    return [
        *("-object", f"memory-backend-file,id=ram,size={size}M,mem-path={path},share={share}"),
        *("-machine", "memory-backend=ram"),
    ]


def ensure(command: Sequence[str], size: int, fds: Sequence[int], taps: int, say: Callable[[str], None]) -> Path:
    """The folder that microVMs of this command go on from; makes it first if need be.

    Args:
        command: QEMU and its arguments, but for what only one microVM has, and its memory.
        size: MiB of that. fds: files without a name that these refer to. taps: how many it has.

    Raises:
        EnvironmentFault: it did not boot, or could not be saved.
    """
    target = paths.cache() / f"template-{_digest(command, fds)}"
    if not target.exists():
        with (paths.cache() / "template.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two labs started at once make it once
            if not target.exists():
                say("booting the microVM that others go on from (once; about 20 s without KVM)")
                _make(list(command), size, fds, taps, target)
                for old in paths.cache().glob("template-*"):
                    if old.stat().st_mtime < time.time() - KEPT:
                        shutil.rmtree(old) if old.is_dir() else old.unlink()
    target.touch()
    return target


def _digest(command: Sequence[str], fds: Sequence[int]) -> str:
    """What decides what is in the file: QEMU, its arguments, and what is in the files they name."""
    digest = hashlib.sha256(subprocess.run([command[0], "--version"], capture_output=True, check=True).stdout)
    for word in command:
        digest.update(re.sub(r"/proc/self/fd/\d+", "", word).encode() + b"\0")
    for fd in fds:
        digest.update(os.pread(fd, os.fstat(fd).st_size, 0))
    return digest.hexdigest()[:12]


def _make(command: list[str], size: int, fds: Sequence[int], taps: int, target: Path) -> None:
    half = target.with_name(f"{target.name}.making")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir()
    try:
        _boot_and_save([*command, *memory(half, size, ours=False)], fds, taps, half / STATE)
        half.rename(target)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _boot_and_save(command: list[str], fds: Sequence[int], taps: int, state: Path) -> None:
    mine, its = socket.socketpair()
    space = netns.new_netns({})
    with tempfile.NamedTemporaryFile() as console, tempfile.NamedTemporaryFile() as errors, mine, its:
        command += ["-chardev", f"file,id=console,path={console.name}", *chardev(its.fileno())]
        try:
            with netns.inside(space):
                for number in range(taps):
                    netns.make_tap(f"{CABLE}{number}")
                qemu = subprocess.Popen(
                    # Should closet be killed, it ends too.
                    ["setpriv", "--pdeathsig", "KILL", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    pass_fds=[*fds, its.fileno()],
                )
        finally:
            os.close(space)
        its.close()  # should it end, this is heard
        try:
            _until(lambda: WAITS in Path(console.name).read_text(errors="replace") or qemu.poll() is not None)
            if qemu.poll() is not None:
                raise EnvironmentFault(f"the first microVM did not boot: {_last(errors.name) or _last(console.name)}")
            _save(mine, state)
        except RetryError:
            raise EnvironmentFault(f"the first microVM did not boot in {SECONDS:g} s: {_last(console.name)}") from None
        finally:
            qemu.kill()
            qemu.wait()


def _until(holds: Callable[[], bool]) -> None:
    Retrying(stop=stop_after_delay(SECONDS), wait=wait_fixed(0.1), retry=retry_if_result(lambda r: not r))(holds)


def _last(file: str) -> str:
    lines = Path(file).read_text(errors="replace").strip().splitlines()
    return " ".join(lines[-1].split()) if lines else ""


def _save(stream: socket.socket, target: Path) -> None:
    """Have QEMU write all of a machine but its memory into a file."""
    with Monitor(stream, lambda why: EnvironmentFault(f"saving a microVM: {why}")) as monitor:
        monitor.ask("migrate-set-capabilities", capabilities=WITHOUT_MEMORY)
        monitor.ask("migrate", uri=f"exec:cat >{shlex.quote(str(target))}")
        _until(lambda: monitor.ask("query-migrate")["status"] in {"completed", "failed"})
        if (status := monitor.ask("query-migrate"))["status"] != "completed":
            raise EnvironmentFault(f"saving a microVM: {status.get('error-desc', 'it failed')}")


def resume(stream: socket.socket, state: int, fault: Callable[[str], Exception]) -> None:
    """Have a QEMU that was started with `-incoming defer` go on from a state it inherited as a descriptor.

    Raises:
        What `fault` makes: it did not begin to.
    """
    with Monitor(stream, fault) as monitor:
        monitor.ask("migrate-set-capabilities", capabilities=WITHOUT_MEMORY)
        monitor.ask("migrate-set-parameters", **SILENT)
        monitor.ask("migrate-incoming", uri=f"fd:{state}")
