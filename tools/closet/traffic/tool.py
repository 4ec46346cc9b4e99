"""Programs inside hosts: they end with whoever started them, and in time."""

from __future__ import annotations

import os
import select
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from closet.errors import ProbeError
from closet.runtime.node import LiveNode

LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp (include/net/tcp_states.h)."""
KILL = 5.0
"""Seconds that a host may take to end a program: one that hangs would keep whoever waits for it."""


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
        self._first = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        try:
            # What was started may be a way into the node, and no more than that: to end it is not to end the program.
            if process.poll() is None and self._began(time.monotonic() + KILL):
                with suppress(ProbeError):  # of a host that hangs nothing can be ended, and with one that is gone it is
                    self._node.run("kill", "-KILL", self._first.decode().strip(), check=False, timeout=KILL)
        finally:
            process.kill()
            assert process.stdout is not None  # noqa: S101  it was asked for
            process.stdout.close()  # whoever else has it may be on the way into a host that hangs
            process.wait()

    def _began(self, end: float) -> bool:
        """Whether the program has said its number in the host, which it does first of all; False if time was over."""
        assert self._process.stdout is not None  # noqa: S101  it was asked for
        said, poll = self._process.stdout.fileno(), select.poll()
        poll.register(said, select.POLLIN)
        while not self._first.endswith(b"\n") and poll.poll(max(end - time.monotonic(), 0.0) * 1000):
            if not (byte := os.read(said, 1)):  # what follows is not of this line
                break
            self._first += byte
        return self._first.strip().isdigit() and self._first.endswith(b"\n")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> Said | None:
        """Wait for it to end; None if it has not after so many seconds.

        Raises:
            ProbeError: the host is gone.
        """
        least = 0.0 if self.running else 1.0  # what it said before it ended is read even if time is over
        end = time.monotonic() + max(seconds, least)
        began = self._began(end)
        try:
            data, _ = self._process.communicate(timeout=max(end - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            if not self._node.alive():
                raise self._node.gone() from None
            return None
        if self._process.returncode != 0 and not self._node.alive():
            raise self._node.gone()
        said = data if began else b"it did not start: " + self._first + data
        return Said(said.decode(errors="replace"), self._process.returncode)

    def listens(self, port: int, seconds: float) -> bool:
        """Wait until somebody in the host listens on a TCP port; False if it has ended, or the time is over.

        Raises:
            ProbeError: the host is gone.
        """
        end = time.monotonic() + max(seconds, 0.0)

        def listening() -> bool:
            lines: list[str] = []
            for table in ("/proc/net/tcp", "/proc/net/tcp6"):
                lines += self._node.read(table, timeout=max(end - time.monotonic(), 0.0)).splitlines()
            fields = (line.split() for line in lines)
            return any(f[1].endswith(f":{port:04X}") and f[3] == LISTEN for f in fields if len(f) > 3)

        again = Retrying(stop=stop_after_delay(seconds), wait=wait_fixed(0.05), retry=retry_if_result(lambda r: not r))
        try:
            again(lambda: not self.running or listening())
        except RetryError:
            return False
        except ProbeError:  # it is gone, or there was no answer in time
            if not self._node.alive():
                raise
            return False
        return self.running and time.monotonic() < end
