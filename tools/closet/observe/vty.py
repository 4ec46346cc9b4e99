"""Asking an FRR daemon directly: the socket vtysh itself talks to, without a vtysh process a question.

The protocol (FRR lib/vty.c, vtysh/vtysh.c): a command ends with a zero byte; the answer ends with three
zero bytes and the command's return code.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from closet.errors import ProbeError
from closet.runtime.node import LiveNode

CMD_SUCCESS = 0
CMD_WARNING = 1


def ask(node: LiveNode, daemon: str, *commands: str, timeout: float = 20.0) -> list[str]:
    """What a daemon of a node answers to each command.

    Raises:
        ProbeError: the daemon is not there, does not answer in time, or does not know a command.
    """
    where = f"{node.name}: {daemon}"
    try:
        with node.connect(f"/run/frr/{daemon}.vty", timeout) as s:
            _one(s, "enable", where)
            return [_one(s, c, where) for c in commands]
    except TimeoutError:
        raise ProbeError(f"{where}: no answer to {commands[0]!r} in {timeout:g} s") from None
    except OSError as e:
        raise ProbeError(f"{where}: not running ({e.strerror})") from None


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


def _one(s: socket.socket, command: str, where: str) -> str:
    s.sendall(command.encode() + b"\0")
    answer = bytearray()
    while not (len(answer) >= 4 and answer[-4:-1] == b"\0\0\0"):
        more = s.recv(1 << 16)
        if not more:
            raise ProbeError(f"{where}: ended while answering {command!r}")
        answer += more
    if answer[-1] not in {CMD_SUCCESS, CMD_WARNING}:
        raise ProbeError(f"{where}: {command!r}: {answer[:-4].decode(errors='replace').strip()[:120]}")
    return answer[:-4].decode(errors="replace")
