"""Does every endpoint reach every other it should: ICMP echo at full MTU, with DF, thousands at a time.

One raw socket an endpoint, in its host's network namespace. The target's socket sees the request, too, and
its TTL tells how many routers it crossed (the answer may well take another way). So one probe answers three
questions: reached, at full size, over how many switches.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from closet.errors import ProbeError
from closet.plan import Fabric
from closet.records import Endpoint, Pair
from closet.runtime.node import LiveNode
from closet.traffic.echo import TYPES, Echo
from closet.traffic.knock import ping_all

SOL_RAW, ICMP_FILTER = 255, 1
"""include/uapi/linux/icmp.h"""
INITIAL_TTL = 64
IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 3
"""include/uapi/linux/in.h: DF on every packet, and no regard for a path MTU learned before."""
SO_RCVBUFFORCE = 33
NUMBERS = struct.Struct("!II")
"""What a probe carries: numbers of its source and target among the endpoints."""
HEADERS = 28
"""IPv4 and ICMP headers, in bytes."""
CONTROL_SECONDS = 2.0
"""How long a leaf is asked that should answer."""
SETTLE = 0.25
"""Seconds after the last answer of those who may in which those who must not could still be heard."""
WINDOW = 8
"""Echoes a source may have in flight: more would only queue."""
UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EMSGSIZE, errno.EACCES, errno.EPERM}


@dataclass(slots=True)
class _Source:
    """An endpoint: its socket, whom it has still to ask, who must not answer, and what is in flight (target → when)."""

    socket: socket.socket
    todo: deque[int] = field(default_factory=deque)
    forbidden: list[int] = field(default_factory=list)
    flying: dict[int, float] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)


def reach(
    fabric: Fabric,
    nodes: Mapping[str, LiveNode],
    expected: Mapping[Pair, frozenset[int]],
    *,
    seconds: float = 1.0,
    attempts: int = 3,
) -> dict[Pair, int | None]:
    """Ask every pair; pair → routers crossed on the way there, or None if no answer came back.

    A source that reached nobody is asked to reach its leaf: if it does, it is in the answer with itself, at 0.

    Args:
        expected: the pairs; those with no hop count are not expected to answer, and are asked once.
        seconds: how long an answer may take.
        attempts: how often a pair that should answer is asked.

    Raises:
        ProbeError: a source could not ask at all.
    """
    found = _Pinger(fabric, nodes, expected, seconds, attempts).run()
    heard = {a for (a, _), hops in found.items() if hops is not None}
    mute = {a for a, _ in expected if a not in heard}
    return found | dict.fromkeys(((a, a) for a in mute & answered_by_leaf(fabric, nodes, mute)), 0)


def answered_by_leaf(fabric: Fabric, nodes: Mapping[str, LiveNode], sources: Iterable[Endpoint]) -> set[Endpoint]:
    """Those of `sources` whose leaf answers an echo to its link-local address: the control of who may reach nobody."""
    doors: dict[Endpoint, list[tuple[str, str]]] = {}
    for e in sources:
        for port in fabric[e.host].ports:
            if e.port in (None, port.name):
                leaf = fabric[port.peer].port(port.peer_port)
                doors.setdefault(e, []).append((e.host, f"{leaf.link_local}%{port.name}"))
    answers = ping_all(nodes, {d for its in doors.values() for d in its}, CONTROL_SECONDS)
    return {e for e, its in doors.items() if all(answers[d] for d in its)}


def _mtu(fabric: Fabric, endpoint: Endpoint) -> int:
    """The largest packet an endpoint may send, in bytes."""
    return min(p.mtu for p in fabric[endpoint.host].ports if endpoint.port in (None, p.name))


class _Pinger:
    def __init__(
        self,
        fabric: Fabric,
        nodes: Mapping[str, LiveNode],
        expected: Mapping[Pair, frozenset[int]],
        seconds: float,
        attempts: int,
    ) -> None:
        self._seconds = seconds
        self._attempts = attempts
        self._expected = expected
        self._endpoints = list(dict.fromkeys(e for pair in expected for e in pair))
        self._index = {e: i for i, e in enumerate(self._endpoints)}
        self._padding = [bytes(_mtu(fabric, e) - HEADERS - NUMBERS.size) for e in self._endpoints]
        self._echo = Echo()
        self._hops: dict[tuple[int, int], int] = {}
        self._answers: set[tuple[int, int]] = set()
        self._found: dict[Pair, int | None] = {}
        self._sources = [_Source(_open(nodes[e.host], e)) for e in self._endpoints]
        for (a, b), hops in expected.items():
            source = self._sources[self._index[a]]
            (source.todo if hops else source.forbidden).append(self._index[b])
        for i, source in enumerate(self._sources):
            source.todo.rotate(-i % max(len(source.todo), 1))  # not everybody asks the same one first

    def run(self) -> dict[Pair, int | None]:
        with selectors.EpollSelector() as selector:
            for i, source in enumerate(self._sources):
                selector.register(source.socket, selectors.EVENT_READ, i)
            # These first: by the time all others have answered, they would have, too.
            for i in range(len(self._sources)):
                self._ask_forbidden(i)
            for i in range(len(self._sources)):
                self._ask(i)
            while any(s.todo or s.flying for s in self._sources):
                for key, _ in selector.select(0.05):
                    self._hear(key.data)
                    self._ask(key.data)
                self._give_up_late()
            # A request may be heard after its answer: they come from two kernels where these are microVMs.
            end = time.monotonic() + (SETTLE if any(s.forbidden for s in self._sources) else 0)
            last = end + self._seconds
            while (now := time.monotonic()) < (last if self._answers - self._hops.keys() else end):
                for key, _ in selector.select(max(end - now, 0.01)):
                    self._hear(key.data)
        for i, source in enumerate(self._sources):
            source.socket.close()
            # One that arrived is one too many, whether or not its answer found a way back.
            self._found |= {(self._endpoints[i], self._endpoints[j]): self._hops.get((i, j)) for j in source.forbidden}
        e = self._endpoints
        return self._found | {(e[i], e[j]): self._hops.get((i, j)) for i, j in self._answers}

    def _ask(self, i: int) -> None:
        source = self._sources[i]
        while source.todo and len(source.flying) < WINDOW:
            j = source.todo.popleft()
            pair = self._endpoints[i], self._endpoints[j]
            if not self._send(source.socket, i, j):
                self._found[pair] = None
                continue
            source.flying[j] = time.monotonic()
            source.tries[j] = source.tries.get(j, 0) + 1

    def _ask_forbidden(self, i: int) -> None:
        source = self._sources[i]
        for j in source.forbidden:
            self._send(source.socket, i, j)

    def _send(self, s: socket.socket, i: int, j: int) -> bool:
        try:
            request = self._echo.request(NUMBERS.pack(i, j))
            s.sendto(request + self._padding[i], (str(self._endpoints[j].address), 0))
        except OSError as e:
            if e.errno == errno.ENOBUFS:  # it waits for a neighbour that is gone, as those do that fill the socket
                return True
            if e.errno in UNREACHABLE:
                return False
            raise ProbeError(f"{self._endpoints[i]}: echo to {self._endpoints[j]}: {e.strerror}") from None
        return True

    def _hear(self, me: int) -> None:
        while True:
            try:
                data = self._sources[me].socket.recv(64)
            except BlockingIOError:
                return
            if (asked := self._echo.asked(data)) is not None:
                i, j = NUMBERS.unpack_from(asked)
                if j == me:
                    self._hops[i, j] = INITIAL_TTL - data[8]
            elif (told := self._echo.answered(data)) is not None:
                i, j = NUMBERS.unpack_from(told)
                if i == me:
                    self._answered(i, j)

    def _answered(self, i: int, j: int) -> None:
        if self._sources[i].flying.pop(j, None) is None:
            return  # not ours, or late
        self._answers.add((i, j))

    def _give_up_late(self) -> None:
        now = time.monotonic()
        for i, source in enumerate(self._sources):
            late = [j for j, sent in source.flying.items() if now - sent > self._seconds]
            for j in late:
                pair = self._endpoints[i], self._endpoints[j]
                del source.flying[j]
                if self._expected[pair] and source.tries[j] < self._attempts:
                    source.todo.append(j)
                else:
                    self._found[pair] = None
            if late:
                self._ask(i)


def _open(node: LiveNode, endpoint: Endpoint) -> socket.socket:
    s = node.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
    request, reply = TYPES[socket.AF_INET]
    s.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("I", ~(1 << reply | 1 << request) & 0xFFFFFFFF))
    s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    try:
        if endpoint.port is not None:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, endpoint.port.encode())
        s.bind((str(endpoint.address), 0))
    except OSError as e:
        s.close()
        raise ProbeError(f"{endpoint}: cannot send from {endpoint.address}: {e.strerror}") from None
    return s
