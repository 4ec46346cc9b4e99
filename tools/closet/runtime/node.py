"""A running node, as everything above the runtimes sees it: a name, a pid, and its namespaces."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closet.errors import ProbeError
from closet.runtime import netns, proc, processes

Socket = socket.socket
"""Inside LiveNode `socket` is a method."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command in a node gave: its own return code, never the runtime's."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


class LiveNode:
    """A node of a running lab.

    Args:
        name: its name in the plan.
        pid: the node's first process, as the machine counts; its namespaces are the node's.
        folder: the node's folder in the lab's state.
        born: when that process began (see `processes.born`), if it was seen before; left out, it is looked at now.
    """

    rdma = ""
    """On a host that speaks RDMA, by what: a `runtime.rdma.Backend`."""
    boots_itself = False
    """Whether its daemons are started by itself rather than by closet."""

    def __init__(self, *, name: str, pid: int, folder: Path, born: int | None = None) -> None:
        self.name = name
        self.pid = pid
        self.folder = folder
        self.born = processes.born(pid) if born is None else born

    def __repr__(self) -> str:
        return f"LiveNode({self.name!r}, pid={self.pid})"

    @property
    def root(self) -> Path:
        """The node's root filesystem, seen from here."""
        return Path(f"/proc/{self.pid}/root")

    def alive(self) -> bool:
        """Whether the node's first process runs: that very one, since pids are used again."""
        return self.born > 0 and processes.born(self.pid) == self.born

    def wait_ready(self) -> None:
        """Return when what it starts by itself runs.

        Raises:
            ProbeError: it will not, or takes too long.
        """

    @contextmanager
    def netns(self, vrf: str = "default") -> Iterator[None]:
        """Be in the network namespace where the node's cables end: what is sent there leaves as the node's.

        For what asks the node's own kernel take `socket`, `index` and `read`: a microVM has a kernel of its own.

        Args:
            vrf: be where the devices of this VRF are: where it is a namespace, in that.

        Raises:
            ProbeError: the node is gone.
        """
        try:
            fd = os.open(self._space(vrf), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            raise self.gone() from None
        try:
            if not self.alive():
                raise self.gone()
            with netns.inside(fd):
                yield
        finally:
            os.close(fd)

    def has_namespace(self, vrf: str) -> bool:
        """Whether a VRF of this node is a network namespace of its own."""
        return os.path.exists(self._named(vrf))  # noqa: PTH110  pathlib takes ten times as long: it is asked often

    def _named(self, vrf: str) -> str:
        return f"/proc/{self.pid}/root/run/netns/{vrf}"

    def _space(self, vrf: str) -> str:
        return self._named(vrf) if vrf != "default" and self.has_namespace(vrf) else f"/proc/{self.pid}/ns/net"

    def gone(self) -> ProbeError:
        """What to say of it when it does not run."""
        return ProbeError(f"{self.name}: not running (pid {self.pid} is gone)")

    def socket(
        self, family: int = socket.AF_INET, kind: int = socket.SOCK_DGRAM, proto: int = 0, *, vrf: str = "default"
    ) -> socket.socket:
        """A socket of the node's own kernel, in its network namespace or that of a VRF; it stays there.

        Raises:
            ProbeError: the node is gone.
        """
        with self.netns(vrf):
            return socket.socket(family, kind, proto)

    def send_flows(
        self, source: tuple[str, int], count: int, target: tuple[str, int], payload: bytes, *, port: str | None = None
    ) -> None:
        """Send one UDP datagram from each of `count` consecutive source ports, each from a socket of its own.

        Args:
            source: the address, and the first port. port: the network interface they leave by; else routes say.

        Raises:
            OSError: one could not be sent. ProbeError: the node is gone.
        """
        address, first = source
        with ExitStack() as stack, self.netns():  # entered once for all of them
            for n in range(first, first + count):
                s = stack.enter_context(Socket(socket.AF_INET, socket.SOCK_DGRAM))
                if port is not None:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, port.encode())
                s.bind((address, n))
                s.sendto(payload, target)

    def connect(self, path: str, timeout: float) -> Socket:
        """A connection to a UNIX socket of the node.

        Args:
            timeout: seconds, for this and for all that is done with it.

        Raises:
            OSError: nobody listens there. ProbeError: the node is gone.
        """
        s = socket.socket(socket.AF_UNIX)
        try:
            s.settimeout(timeout)
            s.connect(str(self.root / path.lstrip("/")))
        except BaseException:
            s.close()
            raise
        return s

    def index(self, port: str, *, vrf: str = "default") -> int:
        """The index of a network interface in the node.

        Raises:
            OSError: it has none of that name. ProbeError: the node is gone.
        """
        with self.netns(vrf):
            return socket.if_nametoindex(port)

    def read(self, path: str, *, vrf: str = "default", timeout: float = 60.0) -> str:
        """A file below /proc/sys/net or /proc/net, as the node's kernel has it.

        Args:
            timeout: seconds that a kernel of its own may take to answer.

        Raises:
            OSError: there is no such file. ProbeError: the node is gone, or does not answer.
        """
        with self.netns(vrf):
            return proc.read(path)

    def read_all(self, paths: Iterable[str], *, vrf: str = "default") -> dict[str, str]:
        """Many such files, in one visit; path → text.

        Raises:
            OSError: there is no such file. ProbeError: the node is gone.
        """
        with self.netns(vrf):
            return proc.read_all(paths)

    def ports(self, *, vrf: str = "default") -> dict[int, str]:
        """Index → name of the network interfaces where the devices of a VRF are.

        Raises:
            ProbeError: the node is gone.
        """
        with self.netns(vrf):
            return dict(socket.if_nameindex())

    def argv(
        self, command: Sequence[str], *, terminal: bool = False, vrf: str = "default", timeout: float = 30.0
    ) -> list[str]:
        """The command line that runs `command` in the node.

        Args:
            terminal: whether a person sits before it.
            vrf: be where the devices of this VRF are.
            timeout: seconds that the way to a kernel of its own may take to come to be.

        Raises:
            ProbeError: the node is gone, or does not answer.
        """
        if not self.alive():
            raise self.gone()
        return self.enter(command, vrf=vrf)

    def outlive(self) -> None:
        """What the node has for this process is for whatever takes its place by exec, too.

        Raises:
            ProbeError: the node is gone.
        """

    def enter(self, command: Sequence[str], *, vrf: str = "default") -> list[str]:
        """The command line that runs `command` where the node's cables end: beside a microVM, not in it.

        nsenter waits for what it runs and passes no signal on: so that ends with it, however nsenter ends.
        """
        where = ["-t", str(self.pid), "-m", "-u", "-i", f"-n{self._space(vrf)}", "-p"]
        return ["nsenter", *where, "--", "setpriv", "--pdeathsig", "TERM", *command]

    def run(
        self,
        *command: str,
        timeout: float = 30.0,
        check: bool = True,
        stdin: str | None = None,
        vrf: str = "default",
    ) -> Completed:
        """Run a command in the node and wait for it.

        Args:
            command: the program and its arguments; no shell.
            timeout: seconds.
            check: raise if it returns anything but 0.
            stdin: text for its standard input.
            vrf: be where the devices of this VRF are.

        Raises:
            ProbeError: the node is gone, the command took too long or, with `check`, failed.
        """
        deadline = time.monotonic() + timeout
        argv = self.argv(command, vrf=vrf, timeout=timeout)
        try:
            p = subprocess.run(
                argv,
                start_new_session=True,  # Ctrl-C is closet's to handle
                capture_output=True,
                text=True,
                timeout=max(deadline - time.monotonic(), 0.0),
                check=False,
                input=stdin or "",
            )
        except subprocess.TimeoutExpired:
            if not self.alive():
                raise self.gone() from None
            raise ProbeError(f"{self.name}: {' '.join(command)}: no answer in {timeout:g} s") from None
        if p.returncode != 0 and not self.alive():
            raise self.gone()
        done = Completed(tuple(command), p.returncode, p.stdout, p.stderr)
        if check and p.returncode != 0:
            why = (p.stderr or p.stdout).strip().splitlines()[-1:] or ["no output"]
            raise ProbeError(f"{self.name}: {' '.join(command)}: returned {p.returncode}: {why[0]}")
        return done

    def vtysh(self, *commands: str) -> str:
        """What vtysh says to these commands, given one after another.

        Raises:
            ProbeError: see `run`; or a command is unknown.
        """
        done = self.run("vtysh", *(word for c in commands for word in ("-c", c)))
        for line in done.stdout.splitlines():
            if line.startswith("% "):
                raise ProbeError(f"{self.name}: vtysh: {line} ({'; '.join(commands)})")
        return done.stdout

    def popen(self, *command: str, **kwargs: Any) -> subprocess.Popen[bytes]:
        """Start a command in the node; the caller ends it."""
        return subprocess.Popen(self.argv(command), **kwargs)
