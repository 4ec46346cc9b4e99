"""What a microVM lends to closet over its management link: sockets of its kernel, files of it, and SSH.

closet's other end is `closet.runtime.remote`, where the protocol is written down.
"""

import contextlib
import errno
import json
import os
import selectors
import signal
import socket
import struct
import sys

CLONE_NEWNET = 0x40000000
MANAGEMENT = "/run/netns/closet"
GO = "/run/closet/go"
"""A named pipe, through which it is told that its microVM is ready: who came before that, waits."""
AGENT, SSH = 1, 22
"""The ports somebody listens on there."""
CALLS = "/run/closet/calls"
"""Where each session has a folder: each command it runs by SSH writes its /proc/PID/stat there, to a file PID."""
LONGEST = 1 << 18
"""Bytes of a datagram."""
HOST_KEY = "/run/closet/host_key"
SSHD = ["/usr/sbin/sshd", "-i", "-q", "-h", HOST_KEY]
SSHD += ["-o", "PermitRootLogin=yes", "-o", "PermitEmptyPasswords=yes", "-o", "StrictModes=no", "-o", "UsePAM=no"]
SSHD += ["-o", "PrintLastLog=no", "-o", "PrintMotd=no", "-o", "UseDNS=no"]


class Session:
    """One closet process, and the sockets it has here; they end with it."""

    def __init__(self, stream):
        self.stream = stream
        self.sockets = {}
        self.errors = {}
        """What getsockopt(SO_ERROR) told us, and closet has not asked for yet."""
        self.selector = selectors.DefaultSelector()
        self.selector.register(stream, selectors.EVENT_READ, None)
        self.calls = None

    def run(self):
        """Answer questions and report events until the other end is gone."""
        try:
            while True:
                for key, events in self.selector.select():
                    if key.data is None:
                        self.answer()
                    elif key.data in self.sockets:
                        self.event(key.data, events)
        except (EOFError, ConnectionError):
            pass
        finally:
            if self.calls is not None:
                end(self.calls)

    def answer(self):
        """Answer one question."""
        header, size = struct.unpack("!II", self.receive(8))
        number, name, *args = json.loads(self.receive(header))
        payload = self.receive(size)
        args = [payload if a is None else tuple(a) if isinstance(a, list) else a for a in args]
        try:
            result = getattr(self, "do_" + name)(*args)
        except OSError as e:
            self.send([number, e.errno or errno.EIO, None])
            return
        if isinstance(result, bytes):
            self.send([number, 0, None], result)
        else:
            self.send([number, 0, result])

    def receive(self, size):
        """So many bytes from the other end."""
        data = b""
        while len(data) < size:
            more = self.stream.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def send(self, header, data=b""):
        """A frame to the other end."""
        text = json.dumps(header).encode()
        self.stream.sendall(struct.pack("!II", len(text), len(data)) + text + data)

    def event(self, n, events):
        """Report what happened to a socket."""
        s = self.sockets[n]
        if s.type == socket.SOCK_STREAM and s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self.accept(n)
            return
        if events & selectors.EVENT_WRITE:  # it connected, or failed to
            self.selector.modify(s, selectors.EVENT_READ, n)
            self.send([0, "connected", n])
            return
        error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        data, address = b"", None
        if not error:
            try:
                data, address = s.recvfrom(LONGEST)
            except OSError as e:
                error = e.errno
        if error in {errno.EAGAIN, errno.EINTR}:
            return
        stream = s.type == socket.SOCK_STREAM
        if stream and not data:
            self.selector.unregister(s)
        if error:
            self.errors[n] = error
            self.send([0, "error", n, error])
        else:
            self.send([0, "data", n, None if stream else address], data)

    def accept(self, n):
        """Take a connection, and give it a number: those that come from closet are positive."""
        with contextlib.suppress(OSError):  # it may be over by now
            s, address = self.sockets[n].accept()
            s.setblocking(False)
            number = min(self.sockets) - 1 if min(self.sockets) < 0 else -1
            self.sockets[number] = s
            self.send([0, "accepted", n, [number, address]])

    def do_listen(self, n, backlog):
        """See socket.listen."""
        self.sockets[n].listen(backlog)
        self.selector.register(self.sockets[n], selectors.EVENT_READ, n)

    def do_adopt(self, n):
        """Report what happens to a connection that was taken, from now on."""
        self.selector.register(self.sockets[n], selectors.EVENT_READ, n)

    def do_open(self, n, family, kind, proto):
        """Make a socket, called n from now on."""
        s = self.sockets[n] = socket.socket(family, kind | socket.SOCK_NONBLOCK, proto)
        if s.type != socket.SOCK_STREAM:
            self.selector.register(s, selectors.EVENT_READ, n)

    def do_close(self, n):
        """Close one; one that could not be opened is closed."""
        if (s := self.sockets.pop(n, None)) is None:
            return
        self.errors.pop(n, None)
        with contextlib.suppress(KeyError):
            self.selector.unregister(s)
        s.close()

    def do_connect(self, n, address):
        """Connect one; returns an errno, and reports later if that is EINPROGRESS."""
        s = self.sockets[n]
        error = s.connect_ex(address)
        if s.type == socket.SOCK_STREAM and error in {0, errno.EINPROGRESS}:
            self.selector.register(s, selectors.EVENT_WRITE if error else selectors.EVENT_READ, n)
        return error

    def do_bind(self, n, address):
        """See socket.bind."""
        self.sockets[n].bind(address)

    def do_setsockopt(self, n, level, option, value):
        """See socket.setsockopt."""
        self.sockets[n].setsockopt(level, option, value)

    def do_getsockopt(self, n, level, option):
        """See socket.getsockopt."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR) and n in self.errors:
            return self.errors.pop(n)
        return self.sockets[n].getsockopt(level, option)

    def do_getsockname(self, n):
        """See socket.getsockname."""
        return self.sockets[n].getsockname()

    def do_send(self, n, data):
        """See socket.send."""
        return self.sockets[n].send(data)

    def do_sendto(self, n, data, address):
        """See socket.sendto."""
        return self.sockets[n].sendto(data, address)

    def do_flows(self, source, count, target, port, payload):
        """Send a datagram from each of some consecutive source ports, each from a socket of its own."""
        address, first = source
        with contextlib.ExitStack() as stack:
            for n in range(first, first + count):
                s = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                if port:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, port.encode())
                s.bind((address, n))
                s.sendto(payload, target)

    def do_calls(self):
        """The folder in which commands say that they run: what says so ends with this session."""
        if self.calls is None:
            self.calls = os.path.join(CALLS, str(os.getpid()))
            os.makedirs(self.calls, exist_ok=True)
        return self.calls

    def do_index(self, port):
        """The index of a network interface."""
        return socket.if_nametoindex(port)

    def do_read(self, path):
        """The content of a file."""
        with open(path, "rb") as f:
            return f.read()


def end(calls):
    """End the commands that still run of those in a folder, each with its process group, which SSH would not do.

    The folder has another name first: whoever comes to say that he runs finds none, and does not.
    """
    over = calls + ".over"
    os.rename(calls, over)
    for pid in os.listdir(over):
        said = os.path.join(over, pid)
        with contextlib.suppress(OSError, IndexError), open(said) as then, open(f"/proc/{pid}/stat") as now:
            if born(then.read()) == born(now.read()):  # else that one is over
                os.killpg(int(pid), signal.SIGTERM)
        os.unlink(said)
    os.rmdir(over)


def born(stat):
    """When a process began, in clock ticks: a pid is used again (proc(5))."""
    return stat.rpartition(")")[2].split()[19]


def ssh(stream):
    """Be the SSH server of a connection."""
    for fd in range(3):
        os.dup2(stream.fileno(), fd)
    os.execv(SSHD[0], SSHD)


def serve(doors):
    """Give every connection a process of its own, so that one cannot harm another."""
    with selectors.DefaultSelector() as selector:
        for door in doors:
            selector.register(door, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(1.0):
                stream, _ = key.fileobj.accept()
                if os.fork() == 0:
                    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    doors[key.fileobj](stream)
                    os._exit(0)
                stream.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def main():
    """Listen on the management link, in its network namespace; wait for the word; serve in that of the fabric."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    os.setns(os.open(MANAGEMENT, os.O_RDONLY), CLONE_NEWNET)
    doors = {
        socket.create_server(("", AGENT), backlog=64): lambda stream: Session(stream).run(),
        socket.create_server(("", SSH), backlog=64): ssh,
    }
    os.setns(home, CLONE_NEWNET)
    with open(GO) as go:
        go.readline()
    serve(doors)


if __name__ == "__main__":
    sys.exit(main())
