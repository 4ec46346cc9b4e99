"""Sockets of another kernel: opened by the agent in a microVM, used here as if they were this kernel's.

Each has a local end, one of a socket pair, which is readable when the other is: whoever polls, polls that. What
arrives there is brought by a thread; what asks something of the socket itself is a question to the agent.

The protocol: a frame is two lengths (32 bits each, network order), a JSON list and a payload. Questions are
`[number, name, arguments...]`, where null stands for the payload; answers `[number, errno, result]`; and events
`[0, "data", socket, address]`, `[0, "error", socket, errno]`, `[0, "connected", socket]` and, of one that listens,
`[0, "accepted", socket, [new socket, address]]`.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import queue
import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

LENGTHS = struct.Struct("!II")
LONGEST = 1 << 18
"""Bytes of a datagram."""
ACCEPTED = struct.Struct("!I")
"""What a connection on the local end of a socket that listens begins with: the length of the rest, in JSON."""
DATA, ERROR = b"D", b"E"
"""What a local datagram begins with; the length of the sender's address, and that, follow."""
SO_SNDBUFFORCE = 32
ROOM = 16 << 20
"""Bytes that may wait for whoever should read them; what comes then is lost, as in any kernel."""
PATIENCE = 60.0
"""Seconds for an answer: a guest without KVM that boots beside others is slow."""


class Agent:
    """A session with the agent of one guest.

    Args:
        stream: a connection to it.
        gone: makes the error to raise when it is not there any more.
        life: a descriptor that is readable once its guest has ended: no packet would say so. It is closed at the end.
    """

    def __init__(self, stream: socket.socket, gone: Callable[[], Exception], life: int | None = None) -> None:
        self._stream = stream
        self._gone = gone
        self._life = life
        self._write = threading.Lock()
        self._numbers = itertools.count(1)
        self._answers: dict[int, queue.SimpleQueue[tuple[int, Any, bytes] | None]] = {}
        self._far: dict[int, socket.socket] = {}
        self.alive = True
        threading.Thread(target=self._listen, daemon=True).start()

    def outlive(self) -> None:
        """Have the session last as long as whatever takes the place of this process by exec."""
        self._stream.set_inheritable(True)

    def ask(self, name: str, *args: Any, payload: bytes = b"", seconds: float = PATIENCE) -> Any:
        """Ask something, and return the result (bytes where that is what it is).

        Args:
            seconds: to wait for an answer.

        Raises:
            OSError: what the kernel there said. And what `gone` makes.
        """
        number = next(self._numbers)
        answer = self._answers[number] = queue.SimpleQueue()
        head = json.dumps([number, name, *args]).encode()
        try:
            if not self.alive:
                raise self._gone()
            with self._write:
                self._stream.sendall(LENGTHS.pack(len(head), len(payload)) + head + payload)
            got = answer.get(timeout=seconds)
        except (OSError, queue.Empty):
            raise self._gone() from None
        finally:
            del self._answers[number]
        if got is None:
            raise self._gone()
        code, result, data = got
        if code:
            raise OSError(code, os.strerror(code))
        return data if result is None else result

    def open(self, family: int, kind: int, proto: int) -> RemoteSocket:
        """A socket there."""
        made = RemoteSocket(self, next(self._numbers), family, kind, proto)
        self._far[made.number] = made.far
        try:
            self.ask("open", made.number, family, kind & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC), proto)
        except BaseException:
            made.close()
            raise
        return made

    def adopt(self, number: int) -> RemoteSocket:
        """A connection there that was accepted."""
        made = RemoteSocket(self, number, socket.AF_INET, socket.SOCK_STREAM, 0)
        self._far[number] = made.far
        self.ask("adopt", number)
        return made

    def forget(self, number: int) -> None:
        """Close a socket there."""
        if (far := self._far.pop(number, None)) is not None:
            far.close()
            with suppress(Exception):  # with the guest, its sockets are gone too
                self.ask("close", number)

    def _listen(self) -> None:
        with suppress(OSError):
            data = bytearray()
            while more := self._receive():
                data += more
                while len(data) >= LENGTHS.size:
                    head, size = LENGTHS.unpack_from(data)
                    end = LENGTHS.size + head + size
                    if len(data) < end:
                        break
                    number, *rest = json.loads(data[LENGTHS.size : end - size])
                    self._deliver(number, rest, bytes(data[end - size : end]))
                    del data[:end]
        if self._life is not None:
            os.close(self._life)
        self.alive = False
        for waiting in list(self._answers.values()):
            waiting.put(None)
        for far in list(self._far.values()):
            far.close()

    def _receive(self) -> bytes:
        """What has come from the guest; nothing if the connection or the guest has ended."""
        poll = select.poll()
        for fd in (self._stream.fileno(), self._life):
            if fd is not None:
                poll.register(fd, select.POLLIN)
        heard = any(fd == self._stream.fileno() for fd, _ in poll.poll())
        return self._stream.recv(LONGEST) if heard else b""

    def _deliver(self, number: int, rest: list[Any], data: bytes) -> None:
        if number:
            if (waiting := self._answers.get(number)) is not None:
                waiting.put((rest[0], rest[1], data))
            return
        kind, where, *more = rest
        far = self._far.get(where)
        if far is not None:
            with suppress(OSError):  # no room, or just closed
                _bring(far, kind, more, data)


def _bring(far: socket.socket, kind: str, more: list[Any], data: bytes) -> None:
    """Hand what happened to a socket over to its local end."""
    if far.type == socket.SOCK_STREAM:
        if kind == "connected":
            drain(far)
        elif kind == "data" and data:
            far.send(data)
        elif kind == "accepted":
            text = json.dumps(more[0]).encode()
            far.send(ACCEPTED.pack(len(text)) + text)
        else:
            far.shutdown(socket.SHUT_WR)
    else:
        extra = json.dumps(more[0]).encode()
        far.send((ERROR if kind == "error" else DATA) + struct.pack("!H", len(extra)) + extra + data)


def drain(far: socket.socket) -> None:
    """Take away what kept the local end of a stream from being writable."""
    with suppress(BlockingIOError):
        while far.recv(LONGEST):
            pass


class RemoteSocket(socket.socket):
    """A socket of another kernel; what is not here works on the local end and should not be asked.

    Attributes:
        number: what the agent knows it by.
        far: the other side of the local end.
    """

    def __init__(self, agent: Agent, number: int, family: int, kind: int, proto: int) -> None:
        stream = bool(kind & 0xF == socket.SOCK_STREAM)
        near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM if stream else socket.SOCK_SEQPACKET)
        super().__init__(fileno=near.detach())
        self.number = number
        self._agent = agent
        self._stream = stream
        self.far.setblocking(False)
        self.far.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, ROOM)
        self.setblocking(not kind & socket.SOCK_NONBLOCK)

    def connect_ex(self, address: Any) -> int:
        """Connect; a stream is not writable before that is decided."""
        if self._stream:  # first, since it may be decided before we hear that it is not
            timeout = self.gettimeout()
            self.setblocking(False)
            with suppress(BlockingIOError):
                while super().send(bytes(1 << 16)):
                    pass
            self.settimeout(timeout)
        error = int(self._agent.ask("connect", self.number, address))
        if self._stream and error != errno.EINPROGRESS:
            drain(self.far)
        return error

    def connect(self, address: Any) -> None:
        """Connect a datagram or UNIX socket."""
        if error := self.connect_ex(address):
            raise OSError(error, os.strerror(error))

    def bind(self, address: Any) -> None:
        """See socket.bind."""
        self._agent.ask("bind", self.number, address)

    def listen(self, backlog: int = 128, /) -> None:
        """See socket.listen."""
        self._agent.ask("listen", self.number, backlog)

    def accept(self) -> tuple[socket.socket, Any]:
        """See socket.accept."""
        head = super().recv(ACCEPTED.size)
        if not head:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        number, address = json.loads(super().recv(*ACCEPTED.unpack(head)))
        return self._agent.adopt(number), tuple(address)

    def setsockopt(self, level: int, option: int, value: Any, *_: Any) -> None:
        """Set an option of the socket there."""
        raw = isinstance(value, bytes | bytearray)
        self._agent.ask("setsockopt", self.number, level, option, None if raw else value, payload=value if raw else b"")

    def getsockopt(self, level: int, option: int, *_: Any) -> Any:
        """An option of the socket there that is a number."""
        return self._agent.ask("getsockopt", self.number, level, option)

    def getsockname(self) -> Any:
        """See socket.getsockname."""
        name = self._agent.ask("getsockname", self.number)
        return tuple(name) if isinstance(name, list) else name

    def send(self, data: Any, flags: int = 0) -> int:
        """Send at once."""
        return int(self._agent.ask("send", self.number, None, payload=bytes(data)))

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it, in as many pieces as the socket takes."""
        left = memoryview(data)
        while left:
            left = left[self.send(left) :]

    def sendto(self, data: Any, *where: Any) -> int:
        """Send to an address (flags, if any, come before it)."""
        return int(self._agent.ask("sendto", self.number, None, where[-1], payload=bytes(data)))

    def recv(self, size: int, flags: int = 0) -> bytes:
        """See socket.recv."""
        return super().recv(size, flags) if self._stream else self.recvfrom(size, flags)[0]

    def recvfrom(self, size: int, flags: int = 0) -> tuple[bytes, Any]:
        """See socket.recvfrom; of datagrams only."""
        packet = super().recv(LONGEST, flags)
        if not packet:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        end = 3 + struct.unpack_from("!H", packet, 1)[0]
        extra = json.loads(packet[3:end])
        if packet[:1] == ERROR:
            raise OSError(extra, os.strerror(extra))
        return packet[end : end + size], tuple(extra) if isinstance(extra, list) else extra

    def close(self) -> None:
        """Close both, here and there."""
        if self.fileno() >= 0:
            super().close()
            self._agent.forget(self.number)
