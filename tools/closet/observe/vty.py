"""Asking an FRR daemon directly: the socket vtysh itself talks to, without a vtysh process a question.

The protocol (FRR lib/vty.c, vtysh/vtysh.c): a command ends with a zero byte; the answer ends with three
zero bytes and the command's return code.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from closet.errors import ProbeError
from closet.runtime.node import LiveNode

END = bytes(3)
CMD_SUCCESS = 0
CMD_WARNING = 1
BATCH = 200
"""Commands given at once."""


def ask(node: LiveNode, daemon: str, *commands: str, timeout: float = 20.0) -> list[str]:
    """What a daemon of a node answers to each command; after one that it does not know, the others are not given.

    Raises:
        ProbeError: the daemon is not there, does not answer in time, or does not know a command.
    """
    with _terminal(node, daemon, timeout) as terminal:
        return [answer for c in commands for answer in terminal.say(c)]


def tell(node: LiveNode, daemon: str, commands: Sequence[str], *, timeout: float = 20.0) -> None:
    """Give a daemon of a node many commands, without waiting for each: all of them, whatever it says to one.

    Raises:
        ProbeError: see `ask`.
    """
    refused: list[ProbeError] = []
    with _terminal(node, daemon, timeout) as terminal:
        for at in range(0, len(commands), BATCH):
            try:
                terminal.say(*commands[at : at + BATCH])
            except Refused as e:
                refused.append(e)
    if refused:
        raise refused[0]


def ask_json(node: LiveNode, daemon: str, command: str) -> Any:
    """A daemon's answer to a `show ... json` command.

    Raises:
        ProbeError: as `ask`, or the answer is not JSON.
    """
    text = ask(node, daemon, command)[0]
    try:
        return json.loads(text)
    except ValueError:
        raise ProbeError(f"{node.name}: {daemon}: {command!r} gave no JSON: {text.strip()[:80]!r}") from None


class Refused(ProbeError):
    """A daemon did not take a command."""


@contextmanager
def _terminal(node: LiveNode, daemon: str, timeout: float) -> Iterator[_Terminal]:
    where = f"{node.name}: {daemon}"
    terminal = _Terminal(where)
    try:
        with node.connect(f"/run/frr/{daemon}.vty", timeout) as terminal.socket:
            terminal.say("enable")
            yield terminal
    except TimeoutError:
        raise ProbeError(f"{where}: no answer to {terminal.last!r} in {timeout:g} s") from None
    except OSError as e:
        raise ProbeError(f"{where}: not running ({e.strerror})") from None


class _Terminal:
    """A connection to a daemon.

    Attributes:
        last: the command whose answer is being waited for.
    """

    socket: socket.socket

    def __init__(self, where: str) -> None:
        self._where = where
        self.last = "enable"

    def say(self, *commands: str) -> list[str]:
        """Give commands, and read the answer to each.

        Raises:
            Refused: one was not taken; the others were given all the same.
        """
        self.socket.sendall("".join(f"{c}\0" for c in commands).encode())
        answers, refused, said, at = [], "", bytearray(), 0
        for self.last in commands:
            end = self._end(said, at)
            text = said[at:end].decode(errors="replace")
            if said[end + len(END)] not in {CMD_SUCCESS, CMD_WARNING}:
                refused = refused or f"{self._where}: {self.last!r}: {text.strip()[:120]}"
            answers.append(text)
            at = end + len(END) + 1
        if refused:
            raise Refused(refused)
        return answers

    def _end(self, said: bytearray, at: int) -> int:
        """Where the answer ends that begins at `at`; what is still missing of it is added to what was said."""
        while (end := said.find(END, at)) < 0 or end + len(END) == len(said):
            at = max(len(said) - len(END), at)
            more = self.socket.recv(1 << 16)
            if not more:
                raise ProbeError(f"{self._where}: ended while answering {self.last!r}")
            said += more
        return end
