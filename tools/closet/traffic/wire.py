"""Frames as they are on a cable: put on one end of it, and seen arriving at any."""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from closet.errors import ProbeError
from closet.plan import DEFAULT_VRF, Fabric
from closet.runtime.node import LiveNode

ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_TIMESTAMPNS = 35
TIME = struct.Struct("=qq")
"""struct timespec of 64 bits, as SO_TIMESTAMPNS gives it."""
PACKET_OUTGOING = 4
"""include/uapi/linux/if_packet.h"""
SO_RCVBUFFORCE = 33
BUFFER = 64 << 20
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


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame where and when it was seen.

    Attributes:
        time: seconds since the epoch, by the one clock all nodes have.
        leaving: whether it left by that port, or arrived at it.
    """

    place: Place
    time: float
    leaving: bool
    data: bytes


class Wire:
    """Taps on some places, from the moment this is entered.

    Args:
        places: where to look. What arrives there is seen before any filter of the node takes it.
        leaving: note what leaves by these ports, too.

    Attributes:
        seen: place → what has arrived there. frames: all that was seen, of each place in order.

    Raises:
        ProbeError: a node has no such port, or is gone.
    """

    def __init__(
        self, fabric: Fabric, nodes: Mapping[str, LiveNode], places: Iterable[Place], *, leaving: bool = False
    ) -> None:
        self._fabric = fabric
        self._nodes = nodes
        self._places = list(dict.fromkeys(places))
        self._sockets: dict[Place, socket.socket] = {}
        self._taps: dict[int, tuple[Place, socket.socket]] = {}
        self._leaving = leaving
        self.seen: dict[Place, list[bytes]] = {place: [] for place in self._places}
        self.frames: list[Frame] = []

    def __enter__(self) -> Wire:
        try:
            for place in self._places:
                tap = self._open(place, ETH_P_ALL)
                tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
                tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
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
                frame, ancillary, _, (_, _, kind, *_) = tap.recvmsg(LONGEST, socket.CMSG_SPACE(TIME.size))
            except BlockingIOError:
                return
            except OSError as e:
                if e.errno == errno.ENETDOWN:  # said once of a port that is down: nothing passes there
                    continue
                raise ProbeError(f"{place}: {e.strerror}") from None
            leaving = kind == PACKET_OUTGOING
            if not leaving:
                self.seen[place].append(frame)
            if not leaving or self._leaving:
                seconds, nanoseconds = TIME.unpack(ancillary[0][2])
                self.frames.append(Frame(place, seconds + nanoseconds / 1e9, leaving, frame))

    def all(self) -> list[Frame]:
        """Everything that has been seen up to now.

        Raises:
            ProbeError: some of it did not fit a tap's buffer, so that nothing can be said of what is missing.
        """
        for place, tap in self._taps.values():
            self._collect(place, tap)
            _, drops = struct.unpack("=II", tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            if drops:
                raise ProbeError(f"{place}: the tap lost {drops} frames")
        return self.frames

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
