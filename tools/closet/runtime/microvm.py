"""Microvms: nodes with a kernel of their own, as processes of the node's own container.

QEMU joins the container's network and pid namespaces and its cgroup, and nothing else: its program and files are the
machine's. So it ends with the container, whichever runtime made that, and needs no image of its own. Every NIC is a
tap, spliced to the container's end of the cable in both directions (tc-mirred(8)): no bridge, no address, no hop.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from closet.errors import RuntimeFault
from closet.plan import Fabric, Node
from closet.runtime import image, netns, template
from closet.runtime.accel import Accelerator, best
from closet.runtime.boot import common_daemons, other_daemons
from closet.runtime.guest import CONSOLE, GATEWAY, GUEST, last_words
from closet.runtime.image import Image
from closet.runtime.monitor import chardev
from closet.runtime.processes import born, cgroup_files
from closet.runtime.protocol import Started
from closet.runtime.state import LabFolder
from closet.runtime.template import CABLE

QEMU = "qemu-system-x86_64"
MEMORY = 320
"""MiB of a guest: enough for FRR and Soft-RoCE."""
OVERHEAD = 96
"""MiB beside them that QEMU takes, translated code included."""
MANAGEMENT_MAC, MANAGEMENT_MTU = "02:c1:ff:ff:ff:ff", 1500
WORDS = (
    "console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off no_timer_check init_on_alloc=0 hardened_usercopy=off"
    " lsm= audit=0 rcupdate.rcu_expedited=1 oops=panic"
)
"""Of the kernel's command line. It tries its timer by waiting for ten ticks, and panics ("IO-APIC + timer doesn't
work!") where the machine was busy meanwhile. One that went wrong ends, so that this is found. The rest spares what
protects nobody here and costs time."""
ETH_P_ALL = 3
JOIN = 'pid=$1; while shift && [ "$1" != -- ]; do echo $$ >"$1"; done; shift; exec nsenter -t "$pid" -n -p -- "$@"'
"""Join cgroups, then namespaces, and run something there: pid, files to write a pid to, --, the command."""
QUIET = {"net.ipv6.conf.all.disable_ipv6": 1, "net.ipv6.conf.default.disable_ipv6": 1}
"""Of the container: only the guest may say anything on the cables."""


IDENTITY = 1 << 20
"""Bytes of the disk that tells a microVM who it is: an archive of files, then zeros."""


@dataclass(frozen=True, slots=True)
class Machines:
    """What all microVMs of a lab have in common.

    Attributes:
        initrd: the image's, and the programs of microVMs behind it.
        templates: MTUs of the ports → what microVMs with such ports go on from; empty where each of them boots.
    """

    image: Image
    accelerator: Accelerator
    initrd: bytes
    templates: Mapping[tuple[int, ...], Path]


def lacks(count: int) -> str | None:
    """Why so many microVMs cannot run here, and what to do, in a few words; None if they can."""
    if shutil.which(QEMU) is None:
        return f"{QEMU} is not installed: run `closet doctor --install`"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "there is no /dev/net/tun: load the kernel module tun"
    if image.cached() is None and (tool := next((t for t in image.TOOLS if shutil.which(t) is None), None)):
        return f"their kernel is not built, and {tool} not installed: run `closet doctor --install`"
    need, free = count * (MEMORY + OVERHEAD), free_memory()
    if need > free:
        return f"{count} microVMs need {need} MiB of memory, {free} are free: end something, or have fewer of them"
    return None


def free_memory() -> int:
    """MiB that new processes can have without swapping."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 10
    return 0


def prepare(nodes: Iterable[Node], say: Callable[[str], None]) -> Machines:
    """Have ready what these nodes need to be microVMs.

    Raises:
        EnvironmentFault: it cannot be made.
    """
    ready = image.ensure(say)
    files = {**image.programs(), "node/daemons": "".join(f"{line}\n" for line in common_daemons())}
    initrd = ready.initrd.read_bytes() + image.archive(files, programs=("init",))
    machines = Machines(ready, best(ready), initrd, {})
    if machines.accelerator.quick:
        return machines
    templates = {}
    for mtus in {_mtus(node) for node in nodes}:
        with _files(initrd, bytes(IDENTITY)) as fds:
            command = _qemu(mtus, machines, *fds)
            templates[mtus] = template.ensure(command, MEMORY, fds, 1 + len(mtus), say)
    return replace(machines, templates=templates)


def _mtus(node: Node) -> tuple[int, ...]:
    return tuple(p.mtu for p in node.ports)


@contextmanager
def _files(*contents: bytes) -> Iterator[list[int]]:
    """Files without a name, for as long as the context lasts."""
    fds = []
    try:
        for content in contents:
            fds.append(os.memfd_create("microvm"))
            os.truncate(fds[-1], len(content))
            os.pwrite(fds[-1], content, 0)
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def launch(
    fabric: Fabric, folder: LabFolder, started: Mapping[str, Started], names: Iterable[str], machines: Machines
) -> dict[str, int]:
    """Start the microVMs of these nodes; name → QEMU's pid, as the machine counts. They boot by themselves.

    Raises:
        RuntimeFault: QEMU did not start; says why.
    """
    return {name: _launch(fabric, fabric[name], folder.node(name), started[name].pid, machines) for name in names}


def _launch(fabric: Fabric, node: Node, folder: Path, pid: int, machines: Machines) -> int:
    space = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with netns.inside(space):
            netns.write_sysctls(QUIET)
            _splice(node)
    finally:
        os.close(space)
    (folder / CONSOLE).touch()
    saved = machines.templates.get(_mtus(node))
    mine, its = socket.socketpair()
    with mine, its, _files(machines.initrd, _identity(fabric, node, folder)) as fds:
        command = [*_qemu(_mtus(node), machines, *fds), "-name", node.name, "-daemonize"]
        command += ["-chardev", f"file,id=console,path={str(folder / CONSOLE).replace(',', ',,')}"]
        if saved is None:
            return _start(node.name, command, fds, pid, folder)
        fds.append(state := os.open(saved / template.STATE, os.O_RDONLY | os.O_CLOEXEC))
        command += [*template.memory(saved, MEMORY, ours=True), *chardev(its.fileno()), "-incoming", "defer"]
        machine = _start(node.name, command, [*fds, its.fileno()], pid, folder)
        its.close()  # should QEMU end, this is heard
        try:
            template.resume(mine, state, lambda why: RuntimeFault(f"{node.name}: QEMU: {why}"))
        except RuntimeFault:
            if born(machine):
                raise
            raise RuntimeFault(_ended(node.name, folder)) from None
    return machine


def _ended(name: str, folder: Path) -> str:
    return f"{name}: its microVM ended; last on its console: {last_words(folder)}"


def _start(name: str, command: Sequence[str], fds: Sequence[int], pid: int, folder: Path) -> int:
    """Start QEMU in the container of this process; its pid."""
    try:
        # A process may only leave for another pid namespace by a child, and QEMU's -daemonize makes that an
        # orphan, which the container's first process adopts.
        done = subprocess.run(
            ["sh", "-c", JOIN, "sh", str(pid), *map(str, cgroup_files(pid)), "--", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            pass_fds=fds,
            cwd=folder,
            timeout=60.0,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeFault(f"{name}: QEMU did not start in 60 s") from None
    machine = _machine(pid)
    if done.returncode != 0 or machine is None:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeFault(f"{name}: QEMU: {said[-1]}" if said else _ended(name, folder))
    return machine


def _machine(pid: int) -> int | None:
    """The QEMU among the children of a container's first process."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        if Path(f"/proc/{child}/cmdline").read_bytes().startswith(QEMU.encode()):
            return int(child)
    return None


def _splice(node: Node) -> None:
    """Make the taps: one to the container itself, for management, and one for each port, which takes all it has."""
    from pyroute2 import IPRoute

    with IPRoute() as ipr:

        def tap(number: int, mtu: int) -> int:
            netns.make_tap(f"{CABLE}{number}")
            index = socket.if_nametoindex(f"{CABLE}{number}")
            ipr.link("set", index=index, mtu=mtu, state="up")
            return index

        management = tap(0, MANAGEMENT_MTU)
        ipr.addr("add", index=management, address=GATEWAY, prefixlen=30)
        ipr.neigh("replace", ifindex=management, dst=GUEST, lladdr=MANAGEMENT_MAC, state="permanent")
        for number, port in enumerate(node.ports, 1):
            cable, inside = socket.if_nametoindex(port.name), tap(number, port.mtu)
            for index, other in ((cable, inside), (inside, cable)):
                ipr.tc("add", "ingress", index, "ffff:")
                ipr.tc(
                    "add-filter",
                    "u32",
                    index,
                    parent=0xFFFF0000,
                    protocol=ETH_P_ALL,
                    target=0,
                    keys=["0x0/0x0+0"],
                    action={"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": other},
                )


def _identity(fabric: Fabric, node: Node, folder: Path) -> bytes:
    """The disk that tells a microVM who it is: what it then has in /run/closet/node."""
    daemons = [f"{line} || exit 1\n" for line in other_daemons(fabric)]
    up = [f"ip link set {p.name} up\n" for p in node.ports]
    ports = list(enumerate(node.ports, 1))
    links = [f"link set nic{n:02x} name {p.name} address {p.mac} netns 1\n" for n, p in ports]
    devices = [f"link add rxe_{p.name} type rxe netdev {p.name}\n" for _, p in ports]
    files: dict[str, bytes | str] = {
        **{f"node/frr/{p.name}": p.read_bytes() for p in sorted((folder / "frr").iterdir()) if p.is_file()},
        "node/now": f"{time.time():.0f}\n",
        "node/hostname": node.name,
        "node/links": "".join(links),
        "node/boot": "".join(daemons + up),
        "node/devices": "".join(devices),
    }
    return image.archive(files).ljust(IDENTITY, b"\0")


def _mac(number: int) -> str:
    """The MAC of a NIC before its microVM knows who it is: 0 is the management link's, then come the ports."""
    return MANAGEMENT_MAC if number == 0 else f"{MANAGEMENT_MAC[:-2]}{number:02x}"


def _qemu(mtus: Sequence[int], machines: Machines, initrd: int, identity: int) -> list[str]:
    """What all microVMs with such ports have in common; the files are descriptors."""
    nics = []
    for n, mtu in enumerate((MANAGEMENT_MTU, *mtus)):
        nics += ["-netdev", f"tap,id=n{n},ifname={CABLE}{n},script=no,downscript=no"]
        nics += ["-device", f"virtio-net-pci,netdev=n{n},mac={_mac(n)},host_mtu={mtu},romfile="]
    drives = []
    for disk in (machines.image.root, f"/proc/self/fd/{identity}"):
        drives += ["-drive", f"file={disk},format=raw,if=virtio,readonly=on,file.locking=off"]
    return [
        *(QEMU, "-machine", "pc", *machines.accelerator.options, "-smp", "1", "-m", str(MEMORY)),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "chardev:console"),
        *("-kernel", str(machines.image.kernel), "-initrd", f"/proc/self/fd/{initrd}"),
        *("-append", f"{WORDS} {machines.accelerator.words}"),
        *drives,
        *nics,
    ]
