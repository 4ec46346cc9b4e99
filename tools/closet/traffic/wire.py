"""Frames as they are on a cable: put on one end of it, and seen arriving at any."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from closet.errors import ProbeError
from closet.plan import DEFAULT_VRF, Fabric
from closet.runtime.node import LiveNode

ETH_P_ALL = 3
PACKET_OUTGOING = 4
"""include/uapi/linux/if_packet.h"""
SO_RCVBUFFORCE = 33
BUFFER = 16 << 20
"""Bytes a tap holds: a storm must not run over."""
LONGEST = 1 << 16


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One end of a cable."""

    node: str
    port: str

    def __str__(self) -> str:
        return f"{self.node} {self.port}"


def far_end(fabric: Fabric, place: Place) -> Place:
    """The other end of its cable."""
    port = fabric[place.node].port(place.port)
    return Place(port.peer, port.peer_port)


class Wire:
    """Taps on some places, from the moment this is entered.

    Args:
        places: where to look. What arrives there is seen before any filter of the node takes it.

    Raises:
        ProbeError: a node has no such port, or is gone.
    """

    def __init__(self, fabric: Fabric, nodes: Mapping[str, LiveNode], places: Iterable[Place]) -> None:
        self._fabric = fabric
        self._nodes = nodes
        self._places = list(dict.fromkeys(places))
        self._sockets: dict[Place, socket.socket] = {}
        self._taps: dict[int, tuple[Place, socket.socket]] = {}
        self.seen: dict[Place, list[bytes]] = {place: [] for place in self._places}

    def __enter__(self) -> Wire:
        try:
            for place in self._places:
                tap = self._open(place, ETH_P_ALL)
                tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
                self._taps[tap.fileno()] = place, tap
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # The kernel waits a while for each (net/packet/af_packet.c: packet_release), but for many at a time.
        with ThreadPoolExecutor(len(self._sockets) or 1) as pool:
            list(pool.map(socket.socket.close, self._sockets.values()))

    def put(self, place: Place, frames: Iterable[bytes]) -> None:
        """Send frames out of a port, as they are.

        Raises:
            ProbeError: the port does not take one.
        """
        s = self._sockets.get(place) or self._open(place, 0)
        for frame in frames:
            try:
                s.send(frame)
            except OSError as e:
                raise ProbeError(f"{place}: cannot send a frame of {len(frame)} bytes: {e.strerror}") from None

    def watch(self, enough: Callable[[], bool], seconds: float) -> bool:
        """Collect what arrives in `seen` until that is enough, at most so many seconds; whether it was."""
        poll = select.poll()
        for fd in self._taps:
            poll.register(fd, select.POLLIN)
        end = time.monotonic() + seconds
        while not enough():
            if (left := end - time.monotonic()) <= 0:
                return False
            for fd, _ in poll.poll(left * 1000):
                self._collect(*self._taps[fd])
        return True

    def _collect(self, place: Place, tap: socket.socket) -> None:
        while True:
            try:
                frame, (_, _, kind, *_) = tap.recvfrom(LONGEST)
            except BlockingIOError:
                return
            except OSError as e:
                raise ProbeError(f"{place}: {e.strerror}") from None
            if kind != PACKET_OUTGOING:
                self.seen[place].append(frame)

    def _open(self, place: Place, protocol: int) -> socket.socket:
        """A packet socket on a port; with protocol 0 it hears nothing."""
        node = self._fabric[place.node]
        vrf = DEFAULT_VRF if node.is_host else node.port(place.port).vrf
        with self._nodes[place.node].netns(vrf):
            s = self._sockets[place] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            try:
                s.bind((place.port, protocol))
            except OSError as e:
                raise ProbeError(f"{place}: {e.strerror}") from None
        return s
