"""The floor: the same daemons with the same files in bare namespaces, and nothing else.

`python -m tests.bench.floor INTENT` starts the fabric of an intent with unshare(1) and chroot(8) in place of
runc and overlays, waits until every kernel forwards as planned, proves nothing and keeps no state. It prints
the seconds from its own start to there, and ends all of it when its standard input closes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from closet.cli.show import since_start
from closet.converge import Convergence
from closet.intent import load
from closet.plan import Fabric, plan
from closet.render import render
from closet.render.host import sysctls
from closet.runtime import boot, cables, limits, netns, rootfs
from closet.runtime.bundle import BOOT
from closet.runtime.node import LiveNode
from closet.runtime.oci import lay_cables
from closet.runtime.protocol import Started

ENTER = """
mount -t proc proc "$0/proc" && mount -t tmpfs tmpfs "$0/run" && install -d -o "$2" -g "$3" "$0/run/frr" &&
mount -t tmpfs tmpfs "$0/var/lib/frr" && mount -t tmpfs tmpfs "$0/var/tmp/frr" &&
mount --bind "$1/log" "$0/var/log/frr" && mount --bind "$1/frr" "$0/etc/frr" &&
exec chroot "$0" /bin/sh -c "$4" boot sleep infinity
"""


def main(intent: str) -> None:
    """Bring the floor up, say how long it took, and wait to be told to go."""
    fabric = plan(load(Path(intent)))
    base = rootfs.ensure(print)
    low = limits.low() if len(fabric.nodes) >= limits.LARGE else {}
    limits.lift(low)
    with tempfile.TemporaryDirectory() as folder:
        _files(fabric, Path(folder))
        spaces = {n.name: netns.new_netns(sysctls(n)) for n in fabric}
        shells = {n.name: _shell(base, Path(folder) / n.name, spaces[n.name]) for n in fabric}
        lay_cables(fabric, spaces)
        try:
            nodes = {name: LiveNode(name=name, pid=_child(p), folder=Path(folder) / name) for name, p in shells.items()}
            started = {
                name: Started(nodes[name].pid, os.dup(p.stdin.fileno()), os.dup(p.stdout.fileno()))
                for name, p in shells.items()
            }  # type: ignore[union-attr]
            boot.start_daemons(fabric, started, nodes)
            with Convergence(fabric, nodes) as convergence:
                cables.raise_links(fabric, nodes)
                late = convergence.wait()
            print(
                json.dumps({"seconds": since_start(), "late": sorted(late), "pids": [n.pid for n in nodes.values()]}),
                flush=True,
            )
            sys.stdin.read()
        finally:
            for p in shells.values():
                p.kill()
            for p in shells.values():
                p.wait()
            limits.restore(low)


def _files(fabric: Fabric, folder: Path) -> None:
    for node, files in render(fabric):
        for name in ("frr", "log"):
            (folder / node.name / name).mkdir(parents=True)
        (folder / node.name / "log").chmod(0o777)
        for name, text in files.items():
            (folder / node.name / "frr" / name).write_text(text)


def _shell(base: Path, folder: Path, space: int) -> subprocess.Popen[bytes]:
    passwd = dict(line.split(":", 1) for line in (base / "etc/passwd").read_text().splitlines())
    _, uid, gid, *_ = passwd["frr"].split(":")
    argv = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{space}", "unshare", "-m", "-p", "-u", "--fork", "--kill-child"]
    argv += ["/bin/sh", "-c", ENTER, str(base), str(folder), uid, gid, BOOT]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _child(p: subprocess.Popen[bytes]) -> int:
    """The first process in the new pid namespace: unshare's child, once it is there."""
    path = Path(f"/proc/{p.pid}/task/{p.pid}/children")
    while not (pids := path.read_text().split()):
        if p.poll() is not None:
            raise SystemExit(f"unshare ended with {p.returncode}")
        os.sched_yield()
    return int(pids[0])


if __name__ == "__main__":
    main(sys.argv[1])
