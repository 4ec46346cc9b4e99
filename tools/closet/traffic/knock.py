"""Does a switch's control plane answer a host: TCP connections tried from hosts, each with a ping as control."""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass

from closet.errors import ProbeError
from closet.plan import Fabric
from closet.records import Knock
from closet.runtime.node import LiveNode

SETTLE = 0.05
"""Seconds an answer may come after the echo that was sent behind the knock on the same path."""


@dataclass(slots=True)
class _Open:
    knock: Knock
    tcp: socket.socket


def knock(
    fabric: Fabric, nodes: Mapping[str, LiveNode], expected: Mapping[Knock, str], *, seconds: float = 2.0
) -> dict[Knock, str]:
    """Try every TCP port; knock → "silent", "refused", "open", or "no ping" where even ICMP gets no answer.

    The ping is sent after the TCP segment, from and to the same addresses: once it has been answered and a
    little more time has passed, silence is an answer.

    Raises:
        ProbeError: a host could not send.
    """
    tries = [_Open(k, _connect(nodes[k.host], k)) for k in expected]
    pinged = _ping_all(nodes, {(k.host, k.address) for k in expected}, seconds)
    poll = select.poll()
    by_fd = {}
    for t in tries:
        poll.register(t.tcp, select.POLLOUT | select.POLLERR | select.POLLHUP)
        by_fd[t.tcp.fileno()] = t
    found = {t.knock: "silent" if pinged[t.knock.host, t.knock.address] else "no ping" for t in tries}
    end = time.monotonic() + SETTLE
    while by_fd and (left := end - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            t = by_fd.pop(fd)
            poll.unregister(fd)
            error = t.tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            found[t.knock] = {0: "open", errno.ECONNREFUSED: "refused"}.get(error, found[t.knock])
    for t in tries:
        t.tcp.close()
    return found


def _connect(node: LiveNode, k: Knock) -> socket.socket:
    s = node.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    error = s.connect_ex((k.address, k.port))
    if error not in {0, errno.EINPROGRESS}:
        s.close()
        raise ProbeError(f"{k.host}: TCP to {k.address}:{k.port}: {errno.errorcode.get(error, error)}")
    return s


def _ping_all(
    nodes: Mapping[str, LiveNode], targets: set[tuple[str, str]], seconds: float
) -> dict[tuple[str, str], bool]:
    """Whether each (host, address) answers an echo, asked again until it does or `seconds` are over."""
    found = dict.fromkeys(targets, False)
    sockets = {
        h: nodes[h].socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
        for h, _ in targets
    }
    by_fd = {s.fileno(): h for h, s in sockets.items()}
    poll = select.poll()
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    end = time.monotonic() + seconds
    again = 0.0
    while not all(found.values()) and time.monotonic() < end:
        if time.monotonic() >= again:
            for host, address in (t for t, ok in found.items() if not ok):
                sockets[host].sendto(struct.pack("!BBHHH", 8, 0, 0xF7FF - 1, 1, 0), (address, 0))
            again = time.monotonic() + 0.5
        for fd, _ in poll.poll(50):
            data, (address, _) = sockets[by_fd[fd]].recvfrom(64)
            if data[20] == 0 and (by_fd[fd], address) in found:
                found[by_fd[fd], address] = True
    for s in sockets.values():
        s.close()
    return found
