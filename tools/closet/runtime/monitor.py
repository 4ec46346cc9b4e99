"""QEMU's monitor (QEMU docs/interop/qmp-spec.txt): what a machine is asked from outside of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

SECONDS = 60.0
"""How long QEMU may take for an answer."""


class Monitor:
    """A conversation with one QEMU.

    Args:
        stream: the other end of a chardev that is its monitor.
        fault: makes the error to raise, of what was asked and what went wrong.
    """

    def __init__(self, stream: socket.socket, fault: Callable[[str], Exception]) -> None:
        stream.settimeout(SECONDS)
        self._stream = stream.makefile("rwb")
        self._fault = fault
        self.ask("qmp_capabilities")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def ask(self, what: str, **how: Any) -> Any:
        """Have it do something, and return what it says to that; what happens meanwhile is passed over.

        Raises:
            What `fault` makes: it refused, ended, or took longer than `SECONDS`.
        """
        try:
            self._stream.write(json.dumps({"execute": what, "arguments": how}).encode() + b"\n")
            self._stream.flush()
            while line := self._stream.readline():
                said = json.loads(line)
                if "error" in said:
                    raise self._fault(f"{what}: {said['error']['desc']}")
                if "return" in said:
                    return said["return"]
        except OSError as e:
            raise self._fault(f"{what}: {e.strerror or e}") from None
        raise self._fault(f"{what}: QEMU ended")


def chardev(fd: int) -> list[str]:
    """QEMU's arguments for a monitor at a socket it inherits."""
    return ["-chardev", f"socket,id=qmp,fd={fd}", "-mon", "chardev=qmp,mode=control"]
