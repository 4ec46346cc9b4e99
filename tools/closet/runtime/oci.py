"""The embedded runtime: runc on overlay mounts of the root filesystem. No daemon, no Docker.

Nothing it makes outlives the nodes' processes: overlays are mounted in mount namespaces of their own,
network namespaces have no name. So to kill every process of a lab is to take it down.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING

from closet.errors import EnvironmentFault, RuntimeFault
from closet.runtime import bundle, netns, rootfs
from closet.runtime.processes import (
    at_work,
    in_cgroups_of,
    kill_all,
    mounted_from_nowhere,
    processes_in_cgroup,
    remove_cgroups,
    thaw,
)
from closet.runtime.protocol import Build, Started
from closet.runtime.state import ID, LabFolder

if TYPE_CHECKING:  # who takes a lab down plans nothing
    from closet.plan import Fabric, Node


class OciRuntime:
    """Nodes as runc containers; see the module."""

    name = "oci"

    def create(self, build: Build) -> dict[str, Started]:
        """Make every node and link; see `Runtime.create`."""
        from closet.render.host import sysctls

        if shutil.which("runc") is None:
            raise EnvironmentFault("runc is not installed: run `closet doctor --install`")
        base = rootfs.ensure(build.say)
        spaces: dict[str, int] = {}
        try:
            for node in build.fabric:
                spaces[node.name] = netns.new_netns(sysctls(node))
            build.mark("namespaces")
            with _Starter(build.folder, base, spaces) as starter:
                # runc is mostly processes of its own: lay the cables meanwhile.
                futures = {n.name: starter.submit(n) for n in build.fabric}
                lay_cables(build.fabric, spaces)
                build.mark("links")
                started = {name: f.result() for name, f in futures.items()}
            build.mark("nodes")
        except OSError as e:
            raise EnvironmentFault(f"{build.folder.name}: {e.strerror or e} (see `closet doctor`)") from None
        finally:
            for fd in spaces.values():
                os.close(fd)
        return started

    def destroy(self, folder: LabFolder) -> None:
        """Kill all of the lab's processes, then remove its cgroups and files; see `Runtime.destroy`."""
        # A runc, and the `runc init` that it has begun and not yet put into a cgroup, are in the node's folder.
        self._end(folder.id, lambda: at_work("runc", folder.path))

    def strays(self) -> dict[str, int]:
        """What runs of labs whose folder is gone; see `Runtime.strays`."""
        there = in_cgroups_of(ID)
        gone = {lab for lab, nodes in there.items() if all(mounted_from_nowhere(p, bundle.FRR) for p in nodes.values())}
        return {lab: len(there[lab]) for lab in gone}

    def end(self, lab: str) -> None:
        """Kill all processes of a stray; see `Runtime.end`."""
        self._end(lab, list)

    def _end(self, lab: str, more: Callable[[], list[int]]) -> None:
        thaw(lab)
        kill_all(lambda: more() + processes_in_cgroup(lab), what=f"lab {lab}")
        remove_cgroups(lab)


def lay_cables(fabric: Fabric, spaces: dict[str, int]) -> None:
    """Make every link as a veth pair straight between the two namespaces, down, with its MACs and MTU."""
    from pyroute2 import IPRoute

    with IPRoute() as ipr:
        for i, link in enumerate(fabric.links):
            a, b = fabric[link.a].port(link.a_port), fabric[link.b].port(link.b_port)
            ipr.link(
                "add",
                kind="veth",
                ifname=a.name,
                # The kernel is slow to raise the carrier of a veth whose peer has the same index: the lower
                # end gets the next free small number, the upper one a large one.
                index=100_000 + i,
                address=a.mac,
                mtu=a.mtu,
                net_ns_fd=spaces[link.a],
                peer={"ifname": b.name, "address": b.mac, "mtu": b.mtu, "net_ns_fd": spaces[link.b]},
            )


class _Starter:
    """Starts nodes, a worker a core, each worker in a mount namespace of its own."""

    def __init__(self, folder: LabFolder, base: Path, spaces: dict[str, int]) -> None:
        self._folder = folder
        self._base = base
        self._spaces = spaces
        self._caps = bundle.own_capabilities()
        self._local = local()
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)

    def __enter__(self) -> _Starter:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def submit(self, node: Node) -> Future[Started]:
        return self._pool.submit(self._start, node)

    def _start(self, node: Node) -> Started:
        if not getattr(self._local, "private", False):
            netns.private_mounts()
            self._local.private = True
        folder = self._folder.node(node.name)
        root = folder / "rootfs"
        for name in ("rootfs", "upper", "work"):
            (folder / name).mkdir()
        (folder / "config.json").write_text(
            bundle.config(
                hostname=node.name,
                rootfs=root,
                folder=folder,
                netns=f"/proc/{os.getpid()}/fd/{self._spaces[node.name]}",
                cgroup=f"/{self._folder.id}/{node.name}",
                caps=self._caps,
            )
        )
        netns.mount_overlay(str(self._base), str(folder / "upper"), str(folder / "work"), str(root))
        try:
            return self._runc(node, folder)
        finally:
            netns.detach(str(root))

    def _runc(self, node: Node, folder: Path) -> Started:
        child_in, stdin = os.pipe2(os.O_CLOEXEC)
        stdout, child_out = os.pipe2(os.O_CLOEXEC)
        log = os.memfd_create("runc.log")  # what it says is wanted most where no disk would take it
        try:
            with (folder / "log" / "boot.log").open("ab") as errors:
                done = subprocess.run(
                    [
                        *("runc", "--root", str(self._folder.path / "runc"), "--log", f"/proc/self/fd/{log}"),
                        *("run", "--detach", "--bundle", str(folder), "--pid-file", str(folder / "pid"), node.name),
                    ],
                    stdin=child_in,
                    stdout=child_out,
                    stderr=errors,
                    pass_fds=[log],
                    cwd=folder,  # by which it is found, should closet die
                    check=False,
                )
            said = os.pread(log, 1 << 16, 0).decode(errors="replace").splitlines()
        finally:
            os.close(log)
            os.close(child_in)
            os.close(child_out)
        if done.returncode != 0:
            os.close(stdin)
            os.close(stdout)
            raise RuntimeFault(f"{node.name}: runc: {said[-1] if said else f'returned {done.returncode}'}")
        return Started(int((folder / "pid").read_text(encoding="utf-8")), stdin, stdout)
