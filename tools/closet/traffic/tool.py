"""Programs inside hosts: they end with whoever started them, and in time."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import Self

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from closet.runtime.node import LiveNode

LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp (include/net/tcp_states.h)."""


@dataclass(frozen=True, slots=True)
class Said:
    """How a program ended: all it printed, and its return code."""

    text: str
    code: int


class Tool:
    """A program that runs in a host; it ends with the context, however that ends.

    Raises:
        ProbeError: the host is gone.
    """

    def __init__(self, node: LiveNode, *command: str) -> None:
        self._node = node
        self._process = node.popen(
            *("sh", "-c", 'echo $$; exec "$@"', "sh", *command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is closet's to handle
        )
        self._pid = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        # What was started may be a way into the node, and no more than that: to end it is not to end the program.
        if process.poll() is None and (pid := self._its_pid()):
            self._node.run("kill", "-KILL", pid, check=False)
        process.kill()
        process.communicate()

    def _its_pid(self) -> str:
        """The program's number in the host, which it says first of all; "" if it did not come to that."""
        if not self._pid:
            assert self._process.stdout is not None  # noqa: S101  it was asked for
            line = self._process.stdout.readline().decode(errors="replace").strip()
            self._pid = line if line.isdecimal() else ""
        return self._pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> Said | None:
        """Wait for it to end; None if it has not after so many seconds.

        Raises:
            ProbeError: the host is gone.
        """
        first = self._its_pid()
        least = 0.0 if self.running else 1.0  # what it said before it ended is read even if time is over
        try:
            data, _ = self._process.communicate(timeout=max(seconds, least))
        except subprocess.TimeoutExpired:
            if not self._node.alive():
                raise self._node.gone() from None
            return None
        if self._process.returncode != 0 and not self._node.alive():
            raise self._node.gone()
        text: str = data.decode(errors="replace")
        return Said(text if first else f"it did not start: {text}", self._process.returncode)

    def listens(self, port: int, seconds: float) -> bool:
        """Wait until somebody in the host listens on a TCP port; False if it has ended, or the time is over."""

        def listening() -> bool:
            lines = (self._node.read("/proc/net/tcp") + self._node.read("/proc/net/tcp6")).splitlines()
            fields = (line.split() for line in lines)
            return any(f[1].endswith(f":{port:04X}") and f[3] == LISTEN for f in fields if len(f) > 3)

        stop, end = stop_after_delay(max(seconds, 0.0)), time.monotonic() + seconds
        again = Retrying(stop=stop, wait=wait_fixed(0.05), retry=retry_if_result(lambda done: not done))
        try:
            again(lambda: not self.running or listening())
        except RetryError:
            return False
        return self.running and time.monotonic() < end
