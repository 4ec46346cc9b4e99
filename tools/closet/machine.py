"""What this machine can do, found out by doing it in a scratch network namespace."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from closet.errors import EnvironmentFault
from closet.runtime import accel, image, microvm, netns, rdma, rootfs
from closet.runtime.bundle import CAPABILITIES, own_capabilities

PACKAGES = {"runc": "runc", "mmdebstrap": "mmdebstrap", "nsenter": "util-linux"}
"""Tool → the Debian package it comes from: all the embedded runtime needs."""

MICROVM_PACKAGES = {microvm.QEMU: "qemu-system-x86", "mksquashfs": "squashfs-tools"}
"""The same of what microVMs need."""


@dataclass(frozen=True, slots=True)
class Capability:
    """Something a machine has or lacks.

    Attributes:
        needed: whether no lab runs without it.
        follows: what it means for a lab, as things are. get: how to get it.
    """

    name: str
    works: bool
    detail: str
    follows: str
    get: str = ""
    needed: bool = False


def examine() -> list[Capability]:
    """Probe everything a lab could want."""
    from closet.runtime.choose import probe_containerlab

    missing_caps = sorted({f"CAP_{c}" for c in CAPABILITIES} - set(own_capabilities()))
    root = os.geteuid() == 0
    able = root and not {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_NET_RAW"} & set(missing_caps)
    found = [
        Capability(
            "privileges",
            able,
            f"{'root' if root else 'not root'}, lacks {', '.join(missing_caps) or 'no capability'}",
            "nodes get what closet has",
            "run as root, with CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_NET_RAW",
            needed=True,
        ),
        *(_tool(tool) for tool in PACKAGES),
        _rootfs(),
        _size(),
    ]
    found += [_kernel(*row) for row in KERNEL] if able else []
    found.append(_microvms())
    clab = probe_containerlab()
    why = "both work" if clab is None else clab
    found.append(
        Capability(
            "containerlab",
            clab is None,
            why,
            "RUNTIME=auto takes containerlab" if clab is None else "RUNTIME=auto takes oci",
            "labs/docker/install.sh, labs/docker/start.sh and labs/containerlab/build.sh" if clab is not None else "",
        )
    )
    return found


def _tool(tool: str) -> Capability:
    path = shutil.which(tool)
    return Capability(
        tool,
        path is not None,
        path or "not installed",
        "the oci runtime needs it",
        f"closet doctor --install (Debian package {PACKAGES[tool]})",
        needed=tool != "mmdebstrap" or rootfs.cached() is None,
    )


def _microvms() -> Capability:
    """Whether a microVM can run, and how fast; whether KVM works is tried once their kernel is there."""
    lacks = microvm.lacks(1)
    ready = image.cached()
    if lacks is not None:
        detail = lacks
    elif ready is not None:
        accelerator = accel.best(ready)
        detail = f"{accelerator.name} ({accelerator.why})"
    else:
        detail = "their kernel is not fetched yet"
    follows = (
        "RDMA hosts can have a kernel of their own" if lacks is None else "no RDMA hosts with a kernel of their own"
    )
    get = f"closet doctor --install (Debian packages {', '.join(MICROVM_PACKAGES.values())})"
    return Capability("microVMs", lacks is None, detail, follows, get if lacks is not None else "")


def _rootfs() -> Capability:
    path = rootfs.cached()
    return Capability(
        "root filesystem", path is not None, str(path or "not built"), "the first `closet up` builds it, in about 20 s"
    )


def _size() -> Capability:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    nodes = pages * 1024 // 30
    return Capability("size", True, f"{os.cpu_count()} cores, {pages} GiB", f"memory for about {nodes} nodes of 30 MiB")


def _try(action: Callable[[], object]) -> str:
    """Why an action fails in a scratch network namespace, or "" if it does not."""
    try:
        fd = netns.new_netns({})
        try:
            with netns.inside(fd):
                action()
        finally:
            os.close(fd)
    except Exception as e:
        return str(e) or type(e).__name__
    return ""


def _link(kind: str, **more: int) -> Callable[[], object]:
    def make() -> None:
        from pyroute2 import IPRoute

        with IPRoute() as ipr:
            ipr.link("add", ifname="probe", kind=kind, **more)

    return make


def _soft_roce() -> None:
    if (why := rdma.soft_roce()) is not None:
        raise EnvironmentFault(why)


def _seed() -> None:
    netns.write_sysctls({"net.ipv4.fib_multipath_hash_seed": 1})


KERNEL: tuple[tuple[str, Callable[[], object], str, str, str, bool], ...] = (
    ("veth", _link("veth"), "links", "no links", "a kernel with CONFIG_VETH", True),
    ("hash seed", _seed, "tiers do not polarise", "tiers choose alike", "Linux 6.11 or newer", True),
    ("VXLAN", _link("vxlan", vxlan_id=1), "EVPN tenants", "no EVPN tenants", "CONFIG_VXLAN", False),
    ("VRF", _link("vrf", vrf_table=10), "VRFs as devices", "VRFs as network namespaces", "CONFIG_NET_VRF", False),
    ("Soft-RoCE", _soft_roce, "RDMA in each host", "RDMA hosts are microVMs", "Linux 7.1 or newer, rdma_rxe", False),
)
"""(name, probe, what follows if it works, if it does not, how to get it, needed)."""


def _kernel(name: str, probe: Callable[[], object], works: str, lacks: str, get: str, needed: bool) -> Capability:
    why = _try(probe)
    return Capability(name, not why, why or f"Linux {platform.release()}", lacks if why else works, get, needed)


def install_packages(say: Callable[[str], None]) -> None:
    """Install the Debian packages of missing tools.

    Raises:
        EnvironmentFault: no apt-get, not root, or it failed.
    """
    wanted = PACKAGES | MICROVM_PACKAGES
    missing = sorted({package for tool, package in wanted.items() if shutil.which(tool) is None})
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise EnvironmentFault(f"cannot install {', '.join(missing)}: no apt-get or not root; install them by hand")
    say(f"installing {', '.join(missing)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
    ):
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EnvironmentFault(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    still = [t for t in wanted if not Path(shutil.which(t) or "/nowhere").exists()]
    if still:
        raise EnvironmentFault(f"installed, and still not there: {', '.join(still)}")
