"""The process with a RoCEv2 endpoint inside a host (`closet.roce.worker`), as whoever drives it sees it."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from closet.errors import ProbeError
from closet.records import Endpoint
from closet.runtime.node import LiveNode

ANSWER = 10.0
"""Seconds a worker may take for anything but a transfer."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a transfer: a running host, and the address (and NIC) of it to use."""

    node: LiveNode
    endpoint: Endpoint


class Worker:
    """A process with a RoCEv2 endpoint inside a host (`closet.roce.worker`); gone with the context.

    Args:
        seed: of the bytes its memory is filled with. side: 0 or 1, the two ends of a transfer: they share no CPU.

    Raises:
        ProbeError: the host is gone, or does not have the address.
    """

    def __init__(self, end: End, *, qpn: int | None = None, seed: int = 0, side: int | None = None) -> None:
        self.name = str(end.endpoint)
        argv = [sys.executable, "-m", "closet.roce", str(end.endpoint.address), "--seed", str(seed)]
        argv += ["--device", end.endpoint.port] if end.endpoint.port is not None else []
        argv += ["--qpn", str(qpn)] if qpn is not None else []
        argv += ["--every-second-cpu", str(side)] if side is not None else []
        with end.node.netns():  # where a child is born, it stays
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        self._said = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, where: TracebackType | None) -> None:
        process = self._process
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()  # it ends with its standard input
        try:
            process.wait(2.0 if kind is None else 0.2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ready(self) -> None:
        """Wait until its sockets are open.

        Raises:
            ProbeError: it could not open them.
        """
        self.answer(ANSWER)

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Have something done at once.

        Raises:
            ProbeError: see `answer`.
        """
        self.tell(do, **what)
        return self.answer(ANSWER)

    def tell(self, do: str, **what: Any) -> None:
        """Have something done; `answer` then says how it went."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  it was asked for
        try:
            stdin.write(json.dumps({"do": do, **what}).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def answer(self, seconds: float) -> dict[str, Any]:
        """What it says next.

        Raises:
            ProbeError: it says that something is wrong, nothing in time, or it died.
        """
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._said:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise ProbeError(f"{self.name}: the RoCE worker says nothing for {seconds:g} s")
                data = stdout.read1(1 << 16)  # type: ignore[attr-defined]
                if not data:
                    raise self._died()
                self._said += data
        line, _, self._said = self._said.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise ProbeError(f"{self.name}: {found['error']}")
        return found

    def _died(self) -> ProbeError:
        stderr = self._process.stderr
        assert stderr is not None  # noqa: S101
        said = stderr.read().decode(errors="replace").strip().splitlines()
        return ProbeError(f"{self.name}: the RoCE worker died: {said[-1] if said else 'it said nothing'}")
