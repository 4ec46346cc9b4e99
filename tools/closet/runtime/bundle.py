"""The OCI bundle of a node (OCI runtime specification 1.0): a config.json for runc."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]
"""By bit number (include/uapi/linux/capability.h)."""

BOOT = """
while read -r line; do
  case $line in
    idle) exec "$@" </dev/null >/dev/null 2>&1;;
    *) (eval "$line") </dev/null >>/var/log/frr/boot.log 2>&1; echo $?;;
  esac
done
"""
"""A node's first program: runs each line it is given and answers its return code; at `idle` it becomes the
idle first process. If closet dies before that, it reads end of file and ends, and with it the node."""

IDLE = ["/usr/bin/tini", "--", "sleep", "infinity"]
"""A node's first process once it runs: reaps what daemons leave behind, and nothing else."""


FRR = "/etc/frr"
"""Where a node has its configuration: a folder of the lab's."""

VERBS = (Path("/dev/infiniband"),)
"""Devices of RDMA verbs, on a machine that has any."""


def own_capabilities() -> list[str]:
    """The capabilities this process may hand on: a node cannot get more than closet has."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("CapEff:"):
            mask = int(line.split()[1], 16)
            return [f"CAP_{name}" for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1]
    return []


def config(*, hostname: str, rootfs: Path, folder: Path, netns: str, cgroup: str, caps: list[str]) -> str:
    """The config.json of a node.

    Args:
        rootfs: where its root filesystem is mounted when runc starts it.
        folder: the node's folder; `frr` in it becomes /etc/frr, `log` becomes /var/log/frr.
        netns: path of the network namespace it joins.
        cgroup: its cgroup, below every controller's root.
    """
    bind = ["rbind", "rw"]
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev"]},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "mode=755", "size=64k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["newinstance", "ptmxmode=0666"],
        },
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["mode=1777", "size=16m"]},  # noqa: S108
        *({"destination": str(p), "type": "bind", "source": str(p), "options": bind} for p in VERBS if p.exists()),
        {"destination": FRR, "type": "bind", "source": str(folder / "frr"), "options": bind},
        {"destination": "/var/log/frr", "type": "bind", "source": str(folder / "log"), "options": bind},
    ]
    spec = {
        "ociVersion": "1.0.2",
        "hostname": hostname,
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sh", "-c", BOOT, "boot", *IDLE],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm-256color", "HOME=/root"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted", "inheritable"), caps),
        },
        "root": {"path": str(rootfs)},
        "mounts": mounts,
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [
                {"type": "pid"},
                {"type": "mount"},
                {"type": "ipc"},
                {"type": "uts"},
                {"type": "network", "path": netns},
            ],
        },
    }
    return json.dumps(spec)
