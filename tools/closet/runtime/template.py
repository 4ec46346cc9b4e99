"""A microVM that has booted and waits to be told who it is: saved once, and every other goes on from there.

Without KVM a kernel's boot, its modules and Python's start take longer than all that a host then does.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from closet import paths
from closet.errors import EnvironmentFault
from closet.runtime import netns

WAITS = "to be told who it is"
"""What such a microVM says on its console (`labs/microvm/start`)."""
SECONDS = 180.0
"""How long it may take to boot, on a machine that is busy with other things."""
CABLE = "closet-"
"""What a tap is called, a number follows: 0 is the management link, then the ports in order."""
KEPT = 7 * 86400.0
"""Seconds that a file is kept which nobody uses: each is 100 MB."""
FAST = 10 << 30
"""Bytes a second at which it may be saved; left to itself QEMU spares a network that is not there."""


def ensure(command: Sequence[str], fds: Sequence[int], taps: int, say: Callable[[str], None]) -> Path:
    """The file that microVMs of this command go on from (QEMU's migration stream); makes it first if need be.

    Args:
        command: QEMU and its arguments, but for what only one microVM has.
        fds: files without a name that these refer to. taps: how many it has.

    Raises:
        EnvironmentFault: it did not boot, or could not be saved.
    """
    target = paths.cache() / f"template-{_digest(command, fds)}"
    if not target.exists():
        with (paths.cache() / "template.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two labs started at once make it once
            if not target.exists():
                say("booting the microVM that others go on from (once; about 20 s without KVM)")
                _make(list(command), fds, taps, target)
                for old in paths.cache().glob("template-*"):
                    if old.stat().st_mtime < time.time() - KEPT:
                        old.unlink()
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


def _make(command: list[str], fds: Sequence[int], taps: int, target: Path) -> None:
    half = target.with_name(f"{target.name}.making")
    mine, its = socket.socketpair()
    space = netns.new_netns({})
    with tempfile.NamedTemporaryFile() as console, tempfile.NamedTemporaryFile() as errors, mine, its:
        command += ["-chardev", f"file,id=console,path={console.name}"]
        command += ["-chardev", f"socket,id=qmp,fd={its.fileno()}", "-mon", "chardev=qmp,mode=control"]
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
        try:
            _until(lambda: WAITS in Path(console.name).read_text(errors="replace") or qemu.poll() is not None)
            if qemu.poll() is not None:
                raise EnvironmentFault(f"the first microVM did not boot: {_last(errors.name) or _last(console.name)}")
            _save(mine, half)
        except RetryError:
            raise EnvironmentFault(f"the first microVM did not boot in {SECONDS:g} s: {_last(console.name)}") from None
        finally:
            qemu.kill()
            qemu.wait()
    half.rename(target)


def _until(holds: Callable[[], bool]) -> None:
    Retrying(stop=stop_after_delay(SECONDS), wait=wait_fixed(0.1), retry=retry_if_result(lambda r: not r))(holds)


def _last(file: str) -> str:
    lines = Path(file).read_text(errors="replace").strip().splitlines()
    return " ".join(lines[-1].split()) if lines else ""


def _save(monitor: socket.socket, target: Path) -> None:
    """Have QEMU write all of a machine into a file (QEMU docs/interop/qmp-spec.txt, migrate)."""
    monitor.settimeout(60.0)
    with monitor.makefile("rwb") as stream:

        def ask(what: str, **how: Any) -> Any:
            stream.write(json.dumps({"execute": what, "arguments": how}).encode() + b"\n")
            stream.flush()
            while line := stream.readline():
                said = json.loads(line)
                if "error" in said:
                    raise EnvironmentFault(f"saving a microVM: {what}: {said['error']['desc']}")
                if "return" in said:
                    return said["return"]
            raise EnvironmentFault(f"saving a microVM: QEMU ended at {what}")

        ask("qmp_capabilities")
        ask("migrate-set-parameters", **{"max-bandwidth": FAST})
        ask("migrate", uri=f"exec:cat >{shlex.quote(str(target))}")
        _until(lambda: ask("query-migrate")["status"] in {"completed", "failed"})
        if (status := ask("query-migrate"))["status"] != "completed":
            raise EnvironmentFault(f"saving a microVM: {status.get('error-desc', 'it failed')}")
