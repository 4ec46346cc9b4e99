"""A node with a kernel of its own: a microVM in the node's container."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from closet.errors import ProbeError
from closet.runtime import processes
from closet.runtime.node import LiveNode
from closet.runtime.remote import Agent

Socket = socket.socket
"""Inside GuestNode `socket` is a method."""
GATEWAY, GUEST = "169.254.0.1", "169.254.0.2"
"""The two ends of the management link, between the node's container and its microVM (RFC 3927: nobody routes these)."""
AGENT_PORT = 1
"""Where the agent is; it serves once the microVM's daemons run and its links are up."""
CONSOLE = "console.log"
"""In the node's folder: what the kernel and the first program of the microVM said."""
CONTROL = "/run/closet-ssh"
"""Where, in the node's container, the one SSH connection to the microVM is shared by all that need one."""
CALL = 'read -r s </proc/$$/stat && echo "$s" >{calls}/$$ || exit; unset s; exec {command}'
"""A command over SSH: the agent ends it with the session of whoever called, where sshd would let it run on."""
REASON = re.compile(r"^(?!.*end Kernel panic)(?:\[[ .\d]+\] )?(?:Kernel panic|BUG: |Oops|RIP: |Out of memory|closet: )")
"""What on a console says why a microVM ended."""
SSH = [
    *("ssh", "-q", "-S", CONTROL, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=5", "-l", "root"),
]


def last_words(folder: Path, lines: int = 3) -> str:
    """The last lines on a microVM's console; of a kernel that panicked, those that say why rather than its call trace.

    Args:
        folder: the node's.
    """
    try:
        text = (folder / CONSOLE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "it has no console"
    said = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    reasons = [line for line in said if REASON.search(line)]
    return " | ".join((reasons or said)[-lines:]) or "nothing"


class GuestNode(LiveNode):
    """A microVM: its kernel is reached by an agent in it, its commands over SSH, its cables from outside.

    Args:
        machine: QEMU, as the machine counts. machine_born: when that process began.
    """

    boots_itself = True

    def __init__(
        self,
        *,
        name: str,
        pid: int,
        folder: Path,
        machine: int,
        born: int | None = None,
        machine_born: int | None = None,
    ) -> None:
        super().__init__(name=name, pid=pid, folder=folder, born=born)
        self.machine = machine
        self.machine_born = processes.born(machine) if machine_born is None else machine_born
        self._session: Agent | None = None
        self._lock = threading.Lock()
        self._way = threading.Lock()

    def alive(self) -> bool:
        """Whether both its container and its microVM run."""
        return super().alive() and self.machine_born > 0 and processes.born(self.machine) == self.machine_born

    def wait_ready(self, seconds: float = 180.0) -> None:
        """Return when its daemons run and its links are up; see `LiveNode.wait_ready`."""
        deadline = time.monotonic() + seconds
        again = Retrying(stop=stop_after_delay(seconds), wait=wait_fixed(0.05), retry=retry_if_exception_type(OSError))
        try:
            # The agent listens from the start; it takes connections, and answers, once all that is so.
            again(self.agent, timeout=0.5).ask("index", "lo", seconds=max(deadline - time.monotonic(), 0.0))
        except RetryError:
            raise self.gone() from None

    def gone(self) -> ProbeError:
        """What to say of it when it does not run."""
        if not super().alive():
            return super().gone()
        state = "does not answer" if self.alive() else "ended"
        return ProbeError(f"{self.name}: its microVM {state}; last on its console: {last_words(self.folder)}")

    def stream(self, port: int, timeout: float) -> Socket:
        """A TCP connection to the microVM over its management link, from inside the node's container.

        SSH is on port 22, so whatever takes a socket (netmiko, paramiko) can drive the microVM: user root, no password.

        Raises:
            OSError: nobody listens there (yet). ProbeError: the node is gone.
        """
        with self.netns():
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            s.settimeout(timeout)
            s.connect((GUEST, port))
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.settimeout(None)
        except BaseException:
            s.close()
            raise
        return s

    def agent(self, timeout: float = 20.0) -> Agent:
        """The session of this process with the agent.

        Raises:
            OSError: it is not there (yet). ProbeError: the node is gone.
        """
        with self._lock:
            if self._session is None or not self._session.alive:
                if not self.alive():
                    raise self.gone()
                stream = self.stream(AGENT_PORT, timeout)
                try:
                    life = os.pidfd_open(self.machine)
                except OSError:
                    stream.close()
                    raise
                self._session = Agent(stream, self.gone, life)
                if not self.alive():  # the descriptor may be of another process
                    raise self.gone()
            return self._session

    def _ask(self, timeout: float = 20.0) -> Agent:
        try:
            return self.agent(timeout)
        except OSError:
            raise self.gone() from None

    def _answer(self, *question: str, deadline: float) -> Any:
        """What the agent says, by then."""
        agent = self._ask(max(min(deadline - time.monotonic(), 20.0), 0.0))
        return agent.ask(*question, seconds=max(deadline - time.monotonic(), 0.0))

    def socket(
        self, family: int = socket.AF_INET, kind: int = socket.SOCK_DGRAM, proto: int = 0, *, vrf: str = "default"
    ) -> Socket:
        """A socket of the microVM's kernel; see `LiveNode.socket`."""
        return self._ask().open(family, kind, proto)

    def send_flows(
        self, source: tuple[str, int], count: int, target: tuple[str, int], payload: bytes, *, port: str | None = None
    ) -> None:
        """Datagrams from sockets of the microVM's kernel; see `LiveNode.send_flows`."""
        self._ask().ask("flows", source, count, target, port or "", None, payload=payload)

    def connect(self, path: str, timeout: float) -> Socket:
        """A connection to a UNIX socket in the microVM; see `LiveNode.connect`."""
        s = self._ask().open(socket.AF_UNIX, socket.SOCK_STREAM, 0)
        try:
            s.connect(path)
        except BaseException:
            s.close()
            raise
        s.settimeout(timeout)
        return s

    def index(self, port: str, *, vrf: str = "default") -> int:
        """The index of an interface in the microVM; see `LiveNode.index`."""
        return int(self._ask().ask("index", port))

    def read(self, path: str, *, vrf: str = "default", timeout: float = 60.0) -> str:
        """A file of the microVM; see `LiveNode.read`."""
        data: bytes = self._answer("read", path, deadline=time.monotonic() + timeout)
        return data.decode()

    def read_all(self, paths: Iterable[str], *, vrf: str = "default") -> dict[str, str]:
        """Files of the microVM; see `LiveNode.read_all`."""
        return {path: self.read(path) for path in paths}

    def ports(self, *, vrf: str = "default") -> dict[int, str]:
        """The interfaces of the microVM; see `LiveNode.ports`."""
        names = [line.partition(":")[0].strip() for line in self.read("/proc/net/dev").splitlines()[2:]]
        return {self.index(name): name for name in names}

    def argv(
        self, command: Sequence[str], *, terminal: bool = False, vrf: str = "default", timeout: float = 30.0
    ) -> list[str]:
        """The command line that runs `command` in the microVM; see `LiveNode.argv`."""
        deadline = time.monotonic() + timeout
        with self._way:  # whoever comes second joins the connection of the first
            self._share_connection(deadline)
        how = ["-t"] if terminal else ["-T"]
        far = CALL.format(calls=self._answer("calls", deadline=deadline), command=shlex.join(command))
        return [*super().argv([*SSH, "-o", "ControlMaster=no", *how, GUEST, "--", far])]

    def outlive(self) -> None:
        """See `LiveNode.outlive`."""
        self._ask().outlive()

    def _share_connection(self, deadline: float) -> None:
        """Have one SSH connection that others join: a new one each time would cost a second without KVM."""
        if self._ssh("-O", "check", deadline=deadline):
            (self.root / CONTROL.lstrip("/")).unlink(missing_ok=True)
            if self._ssh("-o", "ControlMaster=yes", "-o", "ControlPersist=yes", "-f", "-N", deadline=deadline):
                raise self.gone()

    def _ssh(self, *options: str, deadline: float) -> int:
        """Have SSH do something that takes no time where the microVM answers; its return code."""
        argv = super().argv([*SSH, *options, GUEST])
        left = max(deadline - time.monotonic(), 0.0)
        none = subprocess.DEVNULL
        try:
            done = subprocess.run(argv, stdin=none, stdout=none, stderr=none, check=False, cwd=os.sep, timeout=left)
        except subprocess.TimeoutExpired:
            raise self.gone() from None
        return done.returncode
