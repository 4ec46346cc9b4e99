"""Every pair of endpoints tried by UDP and by TCP, to the RoCEv2 port: whoever answers says who it is."""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from closet.errors import ProbeError
from closet.records import Endpoint
from closet.roce.wire import UDP_PORT
from closet.runtime.node import LiveNode
from closet.traffic.listener import Listener, bound

NUMBERS = struct.Struct("!4sII")
"""What is said: ASK or TELL, and the numbers of source and target among the endpoints."""
ASK, TELL = b"ask?", b"tell"
SETTLE = 0.25
"""Seconds after the last answer of those who may in which those who must not could still be heard."""
WINDOW = 64
"""TCP connections a source has under way at once."""
BATCH = 1024
"""Connections that must fail, tried together: each keeps a descriptor."""
AGAIN = 0.5
"""Seconds after which a UDP probe that should be answered is sent again."""
NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED}
"""What sending says where nothing would arrive, or an earlier datagram did not."""


def _bound(node: LiveNode, endpoint: Endpoint, kind: int, port: int) -> socket.socket:
    try:
        return bound(node, endpoint, kind, port)
    except OSError as e:
        raise ProbeError(f"{endpoint}: {endpoint.address} port {port}: {e.strerror}") from None


class Udp:
    """A socket that asks and one that answers for each endpoint: what answers came from must not look like asking."""

    def __init__(self, nodes: Mapping[str, LiveNode], endpoints: list[Endpoint], seconds: float) -> None:
        self._endpoints = endpoints
        self._seconds = seconds
        self._found: dict[tuple[int, int], str] = {}
        self._ask = [_bound(nodes[e.host], e, socket.SOCK_DGRAM, 0) for e in endpoints]
        self._tell = [Listener(nodes[e.host], e) for e in endpoints]

    def run(self, may: Iterable[tuple[int, int]], must_not: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
        """Try these, source and target by their numbers; what became of each, if anything did.

        Raises:
            ProbeError: one could not be sent.
        """
        with selectors.EpollSelector() as selector:
            for i in range(len(self._endpoints)):
                selector.register(self._ask[i], selectors.EVENT_READ, (i, False))
                selector.register(self._tell[i], selectors.EVENT_READ, (i, True))
            for pair in must_not:
                self._send(*pair)
                self._hear(selector, 0)
            todo = set(may)
            end, again = time.monotonic() + self._seconds, 0.0
            while (todo := {k for k in todo if self._found.get(k) != "answered"}) and time.monotonic() < end:
                if time.monotonic() >= again:
                    for pair in todo:
                        self._send(*pair)
                        self._hear(selector, 0)
                    again = time.monotonic() + AGAIN
                self._hear(selector, 0.05)
            end = time.monotonic() + SETTLE
            while (left := end - time.monotonic()) > 0:
                self._hear(selector, left)
        for ask, tell in zip(self._ask, self._tell, strict=True):
            ask.close()
            tell.close()
        return self._found

    def _send(self, i: int, j: int) -> None:
        try:
            self._ask[i].sendto(NUMBERS.pack(ASK, i, j), (str(self._endpoints[j].address), UDP_PORT))
        except OSError as e:
            if e.errno not in NO_WAY:
                raise ProbeError(f"{self._endpoints[i]}: UDP to {self._endpoints[j]}: {e.strerror}") from None

    def _hear(self, selector: selectors.BaseSelector, seconds: float) -> None:
        for key, _ in selector.select(seconds):
            me, tells = key.data
            hear = self._tell[me].receive if tells else partial(self._ask[me].recvfrom, 64)
            while True:
                try:
                    data, sender = hear()
                except BlockingIOError:
                    break
                except OSError:
                    continue  # an ICMP error of an earlier probe: silence, for this one
                if len(data) == NUMBERS.size:
                    word, i, j = NUMBERS.unpack(data)
                    if tells and word == ASK:
                        self._asked(me, i, j, sender)
                    elif not tells and word == TELL and i == me:
                        # Whoever has the target's address here said its own number.
                        self._found[i, j] = "answered"

    def _asked(self, me: int, i: int, j: int, asker: tuple[str, int]) -> None:
        if j == me:
            self._found.setdefault((i, j), "arrived, and no answer came back")
        try:
            self._tell[me].send(NUMBERS.pack(TELL, i, me), asker)
        except OSError as e:
            if e.errno not in NO_WAY:  # else it is as said above
                raise ProbeError(f"{self._endpoints[me]}: UDP to {self._endpoints[i]}: {e.strerror}") from None


@dataclass(slots=True)
class _Asking:
    """A TCP connection under way."""

    socket: socket.socket
    pair: tuple[int, int]
    said: bytearray = field(default_factory=bytearray)
    connected: bool = False


class Tcp:
    """A listener for each endpoint that says who it is, and a connection for each probe."""

    def __init__(self, nodes: Mapping[str, LiveNode], endpoints: list[Endpoint], seconds: float) -> None:
        self._nodes = nodes
        self._endpoints = endpoints
        self._seconds = seconds
        self._found: dict[tuple[int, int], str] = {}
        self._flying: dict[int, _Asking] = {}
        self._busy = [0] * len(endpoints)
        self._listeners = [_bound(nodes[e.host], e, socket.SOCK_STREAM, UDP_PORT) for e in endpoints]
        for s in self._listeners:
            s.listen(1024)

    def run(self, may: Iterable[tuple[int, int]], must_not: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
        """Try these, source and target by their numbers; what became of each, if anything did.

        Raises:
            ProbeError: a socket could not be had.
        """
        with selectors.EpollSelector() as selector:
            for i, s in enumerate(self._listeners):
                selector.register(s, selectors.EVENT_READ, i)
            forbidden = list(must_not)
            for at in range(0, len(forbidden), BATCH):
                for pair in forbidden[at : at + BATCH]:
                    self._connect(selector, pair)
                if at + BATCH < len(forbidden):
                    self._settle(selector)
            # Those that may be answered go while the last of the others have their time.
            todo = {i: deque[tuple[int, int]]() for i in range(len(self._endpoints))}
            for pair in may:
                todo[pair[0]].append(pair)
            end = time.monotonic() + self._seconds
            wanted = sum(map(len, todo.values()))
            done = 0
            while done < wanted and time.monotonic() < end:
                for i, queue in todo.items():
                    while queue and self._busy[i] < WINDOW:
                        self._busy[i] += 1
                        self._connect(selector, queue.popleft())
                before = done
                done += self._work(selector, 0.05)
                end = time.monotonic() + self._seconds if done > before else end
            self._settle(selector)
        for s in self._listeners:
            s.close()
        return self._found

    def _settle(self, selector: selectors.BaseSelector) -> None:
        end = time.monotonic() + SETTLE
        while (left := end - time.monotonic()) > 0:
            self._work(selector, left)
        for asking in list(self._flying.values()):
            self._close(selector, asking)

    def _connect(self, selector: selectors.BaseSelector, pair: tuple[int, int]) -> None:
        i, j = pair
        s = _bound(self._nodes[self._endpoints[i].host], self._endpoints[i], socket.SOCK_STREAM, 0)
        error = s.connect_ex((str(self._endpoints[j].address), UDP_PORT))
        asking = _Asking(s, pair)
        self._flying[s.fileno()] = asking
        selector.register(s, selectors.EVENT_READ | selectors.EVENT_WRITE, asking)
        if error not in {0, errno.EINPROGRESS}:
            self._close(selector, asking)

    def _close(self, selector: selectors.BaseSelector, asking: _Asking) -> None:
        selector.unregister(asking.socket)
        del self._flying[asking.socket.fileno()]
        asking.socket.close()
        self._busy[asking.pair[0]] = max(self._busy[asking.pair[0]] - 1, 0)

    def _work(self, selector: selectors.BaseSelector, seconds: float) -> int:
        """Do what can be done; returns how many probes that may be answered have ended."""
        done = 0
        for key, _ in selector.select(seconds):
            if isinstance(key.data, _Asking):
                done += self._advance(selector, key.data)
            else:
                self._accept(key.data)
        return done

    def _accept(self, me: int) -> None:
        while True:
            try:
                s, _ = self._listeners[me].accept()
            except BlockingIOError:
                return
            s.send(NUMBERS.pack(TELL, 0, me))
            s.close()

    def _advance(self, selector: selectors.BaseSelector, asking: _Asking) -> int:
        if asking.socket.fileno() not in self._flying:
            return 0
        try:
            if not asking.connected:
                if (error := asking.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) != 0:
                    raise OSError(error, "")
                asking.connected = True
                selector.modify(asking.socket, selectors.EVENT_READ, asking)
            asking.said += asking.socket.recv(NUMBERS.size - len(asking.said)) or b"\0" * NUMBERS.size
        except BlockingIOError:
            return 0
        except OSError as e:
            if e.errno == errno.ECONNREFUSED:
                self._found[asking.pair] = "refused"
            self._close(selector, asking)
            return 1
        if len(asking.said) < NUMBERS.size:
            return 0
        _, _, who = NUMBERS.unpack(asking.said[: NUMBERS.size])
        self._found[asking.pair] = "answered" if who == asking.pair[1] else "another answered"
        self._close(selector, asking)
        return 1
