"""Nodes as containers of a containerlab topology, for teams that have Docker and containerlab.

containerlab makes the containers and cables; what it says is not taken for granted: every node and both ends of
every link are looked at. The daemons are then started as in the other runtime: a node's first process waits at a
pair of named pipes beside its configuration for what to start (see `render.clab`).

containerlab runs in a network namespace of its own: it makes cables where it is and then moves them, so a cable
it never got to move dies with it, even by SIGKILL.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from closet.errors import EnvironmentFault, RuntimeFault
from closet.plan import Fabric, Node
from closet.render import clab
from closet.runtime import bundle, netns
from closet.runtime.engine import HINT, PATIENCE, Engine, why_not
from closet.runtime.processes import at_work, kill_all
from closet.runtime.protocol import Build, Started
from closet.runtime.state import ID, LabFolder

WORKERS = "16"
"""Containers made at once; left to itself containerlab makes one a core, and waits for the engine most of the time."""
SECONDS = 120.0
"""How long making a lab may take, and then half a second for each node."""
SSH_CONFIG = Path("/etc/ssh/ssh_config.d")
NETNS = Path("/run/netns")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")

IN, OUT, SCRIPT = "boot.in", "boot.out", Path(clab.TAKEOVER).name
TAKEOVER = f"""exec >/etc/frr/{OUT} </etc/frr/{IN}
set -- {" ".join(bundle.IDLE)}
{bundle.BOOT}
exit 1
"""
"""What a node does in place of starting its daemons: what closet tells it. It opens its output first, so whoever can
open its input knows that both are open."""


class ContainerlabRuntime:
    """Nodes as containers of a containerlab topology; see the module."""

    name = "containerlab"

    def create(self, build: Build) -> dict[str, Started]:
        """Make every node and link; see `Runtime.create`."""
        if shutil.which("containerlab") is None:
            raise EnvironmentFault(f"containerlab is not installed: build it with labs/containerlab/build.sh ({HINT})")
        engine = Engine()
        fabric, folder = build.fabric, build.folder
        topology = folder.path / clab.FILE
        outs: dict[str, int] = {}
        started: dict[str, Started] = {}
        try:
            topology.write_text(clab.clab_topology(fabric, lab_id=folder.id, image=engine.ensure_image(build.say)))
            for node in fabric:
                outs[node.name] = _take_over(folder.node(node.name) / "frr")
            _deploy(folder, topology, engine, len(fabric.nodes))
            build.mark("containers")
            pids = engine.pids(folder.id)
            for node in fabric:
                if node.name not in pids:
                    raise RuntimeFault(f"{node.name}: containerlab made no container of it that runs")
                _take_links(fabric, node, pids[node.name])
            build.mark("links")
            for node in fabric:
                stdin = _connect(node.name, folder.node(node.name) / "frr")
                started[node.name] = Started(pids[node.name], stdin, outs.pop(node.name))
            build.mark("nodes")
        except BaseException as e:
            for channel in started.values():
                channel.close()
            if isinstance(e, OSError):
                raise EnvironmentFault(f"lab {folder.name}: {e.strerror or e} ({HINT})") from None
            raise
        finally:
            for fd in outs.values():
                os.close(fd)
        return started

    def destroy(self, folder: LabFolder) -> None:
        """Remove the lab's containers and what else containerlab makes; see `Runtime.destroy`.

        `containerlab destroy` would do no more, and rewrites /etc/hosts in place, where it never wrote anything
        for such a lab; a crash there would cost the machine its host names.
        """
        topology, work = folder.path / clab.FILE, folder.path / f"clab-{folder.id}"
        deploying = at_work("containerlab", folder.path)
        kill_all(lambda: at_work("containerlab", folder.path), what=f"lab {folder.name}")
        if work.exists():  # containerlab makes it before any container
            if (reason := why_not(PATIENCE)) is not None:
                raise RuntimeFault(
                    f"lab {folder.name}: {reason}, and only that can remove its containers: start it, and then "
                    f"`closet down {folder.name}` again"
                )
            cut_off = bool(deploying) or not (work / ".state.clab.yaml").exists()  # that one it writes last
            _remove(folder.id, {p.name for p in folder.path.glob("nodes/*")}, quiet=1.0 if cut_off else 0.0)
            shutil.rmtree(work)
        topology.unlink(missing_ok=True)

    def strays(self) -> dict[str, int]:
        """What there is of labs whose folder is gone; see `Runtime.strays`."""
        if why_not() is not None:
            return {}
        labs = {lab: files for lab, files in Engine().files().items() if ID.fullmatch(lab)}
        return {lab: len(files) for lab, files in labs.items() if not any(f.exists() for f in files)}

    def end(self, lab: str) -> None:
        """Remove the containers of a stray, and what else containerlab made; see `Runtime.end`."""
        _remove(lab)


def _remove(lab: str, nodes: Iterable[str] = (), quiet: float = 0.0) -> None:
    """Remove containers, names of network namespaces, and what ssh was told; `nodes` may have no container (yet)."""
    names = Engine().remove(lab, quiet)
    for name in names | {f"{lab}-{node}" for node in nodes}:
        (NETNS / name).unlink(missing_ok=True)
    (SSH_CONFIG / f"clab-{lab}.conf").unlink(missing_ok=True)


def _take_over(frr: Path) -> int:
    """Have the node with this configuration wait for closet; returns where to read its answers."""
    for pipe in (IN, OUT):
        os.mkfifo(frr / pipe)
    (frr / SCRIPT).write_text(TAKEOVER, encoding="utf-8")
    return _blocking(os.open(frr / OUT, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))


def _connect(node: str, frr: Path, seconds: float = 10.0) -> int:
    """Where to write the node's commands, once it waits for them; then nothing needs the names any more."""
    again = Retrying(stop=stop_after_delay(seconds), wait=wait_fixed(0.01), retry=retry_if_exception_type(OSError))
    try:
        fd: int = again(os.open, frr / IN, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except RetryError:
        raise RuntimeFault(f"{node}: its first process did not begin in {seconds:g} s") from None
    for name in (IN, OUT, SCRIPT):
        (frr / name).unlink()
    return _blocking(fd)


def _blocking(fd: int) -> int:
    """Of a named pipe only to open it must not block."""
    os.set_blocking(fd, True)
    return fd


def _deploy(folder: LabFolder, topology: Path, engine: Engine, size: int) -> None:
    """Run `containerlab deploy`, in a network namespace of its own, with all it writes in the lab's folder."""
    temporary = folder.path / "tmp"  # it keeps a copy of every topology there
    temporary.mkdir()
    settings = {"CLAB_VERSION_CHECK": "disable", "CLAB_LABDIR_BASE": str(folder.path), "TMPDIR": str(temporary)}
    command = ["containerlab", "deploy", "--topo", str(topology), "--max-workers", WORKERS, "--skip-post-deploy"]
    space = netns.new_netns({})
    try:
        with (folder.path / "containerlab.log").open("wb") as log, netns.inside(space):
            run = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | settings,
                cwd=folder.path,  # by which it is found, should closet die
                start_new_session=True,  # Ctrl-C is closet's to handle
            )
    finally:
        os.close(space)
    try:
        engine.prepare()  # what takes long to import, meanwhile
        import pyroute2  # noqa: F401

        returned = run.wait(SECONDS + size / 2)
    except subprocess.TimeoutExpired:
        raise RuntimeFault(f"lab {folder.name}: containerlab did not end in {SECONDS + size / 2:g} s") from None
    finally:
        run.kill()
        run.wait()
    if returned != 0:
        raise RuntimeFault(f"lab {folder.name}: containerlab: {_log(folder)}")


def _log(folder: LabFolder) -> str:
    """What containerlab said last of what went wrong, in one line."""
    text = COLOURS.sub("", (folder.path / "containerlab.log").read_text(encoding="utf-8", errors="replace"))
    said = (
        " ".join(text.rpartition("ERROR ")[2].split()) if "ERROR " in text else (text.strip().splitlines() or [""])[-1]
    )
    return said[:300] or "it said nothing"


def _take_links(fabric: Fabric, node: Node, pid: int) -> None:
    """See that every port of a node is as planned, and set it down: links rise when the daemons run."""
    from pyroute2 import IPRoute

    space = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with netns.inside(space), IPRoute() as ipr:
            there = {link.get_attr("IFLA_IFNAME"): link for link in ipr.get_links()}
            for port in node.ports:
                link = there.get(port.name)
                if link is None:
                    raise RuntimeFault(f"{node.name}: {port.name} to {port.peer}: containerlab did not make it")
                found = link.get_attr("IFLA_ADDRESS"), link.get_attr("IFLA_MTU")
                if found != (port.mac, port.mtu):
                    raise RuntimeFault(
                        f"{node.name}: {port.name} to {port.peer}: expected MAC {port.mac} and MTU {port.mtu}, "
                        f"containerlab made {found[0]} and {found[1]}"
                    )
                ipr.link("set", index=link["index"], state="down")
            ipr.link("set", index=there["lo"]["index"], state="up")
    finally:
        os.close(space)
