"""By what the hosts of a lab speak RDMA: what the intent wishes, and what this machine really can."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from closet.errors import EnvironmentFault
from closet.plan import Fabric
from closet.roce.wire import UDP_PORT
from closet.runtime import microvm, netns
from closet.runtime.node import LiveNode

NO_RDMA = "NETLINK_RDMA"
"""In what `rdma` says where the kernel has no such netlink family."""


class Backend(StrEnum):
    """What speaks RDMA on a host."""

    SOFT_ROCE = "soft-roce"
    """rdma_rxe in the host's own network namespace (Linux 7.1 and newer)."""
    MICROVM = "microvm"
    """rdma_rxe in a microVM."""
    ENDPOINT = "endpoint"
    """closet's own RoCEv2 in userspace."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The back-end of every host that speaks RDMA, and one line that says why ("" where no host does)."""

    backends: dict[str, Backend]
    why: str

    @property
    def machines(self) -> list[str]:
        """The nodes that are microVMs."""
        return [name for name, backend in self.backends.items() if backend is Backend.MICROVM]


def choose(fabric: Fabric) -> Choice:
    """Choose for every host, by trying.

    Raises:
        EnvironmentFault: verbs are asked for, and nothing here can have them; says what to do.
    """
    wishes = {h.name: h.rdma for h in fabric.hosts if h.rdma != "none"}
    asking = [name for name, wish in wishes.items() if wish != "endpoint"]
    backends = dict.fromkeys(wishes, Backend.ENDPOINT)
    if not asking:
        return Choice(backends, "userspace endpoints (asked for)" if backends else "")
    soft = soft_roce()
    if soft is None:
        return Choice(backends | dict.fromkeys(asking, Backend.SOFT_ROCE), "Soft-RoCE in each host")
    lacks = microvm.lacks(len(asking))
    if lacks is None:
        return Choice(backends | dict.fromkeys(asking, Backend.MICROVM), f"Soft-RoCE in microVMs ({soft})")
    if any(wish == "verbs" for wish in wishes.values()):
        raise EnvironmentFault(
            f"hosts.rdma: verbs: no Soft-RoCE in a network namespace ({soft}), no microVMs ({lacks})"
        )
    return Choice(backends, f"userspace endpoints (no Soft-RoCE: {soft}; no microVMs: {lacks})")


def attach(fabric: Fabric, nodes: Mapping[str, LiveNode], choice: Choice) -> None:
    """Give Soft-RoCE to every NIC of the hosts that have it in their own namespace; microVMs do that themselves.

    Raises:
        ProbeError: a device was refused; says why.
    """
    for name, backend in choice.backends.items():
        for port in fabric[name].ports if backend is Backend.SOFT_ROCE else ():
            nodes[name].run("rdma", "link", "add", device(port.name), "type", "rxe", "netdev", port.name)


def device(port: str) -> str:
    """What the RDMA device on a NIC is called; `labs/microvm/start` calls it so, too."""
    return f"rxe_{port}"


def soft_roce() -> str | None:
    """Why Soft-RoCE does not work in a network namespace here, in a few words; None if it does.

    Before Linux 7.1 a link is made and does not work: its UDP socket is in the initial namespace. So one is made in a
    scratch namespace, and the socket looked for there.
    """
    try:
        space = netns.new_netns({})
    except OSError as e:
        return str(e.strerror)
    try:
        with netns.inside(space):
            return _probe()
    finally:
        os.close(space)


def _probe() -> str | None:
    def run(*argv: str) -> str:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return (done.stderr.strip().splitlines() or ["refused"])[-1] if done.returncode else ""

    steps: tuple[Callable[[], str], ...] = (
        lambda: run("ip", "link", "add", "probe", "type", "veth", "peer", "name", "far"),
        lambda: run("ip", "link", "set", "probe", "up"),
        lambda: run("rdma", "link", "add", "closet-probe", "type", "rxe", "netdev", "probe"),
    )
    try:
        for step in steps:
            if why := step():
                return "this kernel has no RDMA" if NO_RDMA in why else why
        table = Path("/proc/thread-self/net/udp").read_text(encoding="ascii")
        run("rdma", "link", "delete", "closet-probe")
    except FileNotFoundError as e:
        return f"{e.filename} is not installed"
    return None if f":{UDP_PORT:04X} " in table else "its socket is in the initial namespace: Linux before 7.1"
