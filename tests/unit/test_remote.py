"""Sockets lent by a microVM's agent behave as sockets: the agent runs here, and its kernel is this machine's."""

from __future__ import annotations

import errno
import importlib.util
import os
import select
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from closet.errors import ProbeError
from closet.runtime.guest import CALL
from closet.runtime.remote import Agent

AGENT = Path(__file__).parents[2] / "labs" / "microvm" / "agent.py"
UDP = (socket.AF_INET, socket.SOCK_DGRAM, 0)
TCP = (socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0)


@pytest.fixture
def agent(tmp_path):
    spec = importlib.util.spec_from_file_location("agent", AGENT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.CALLS = str(tmp_path / "calls")
    here, there = socket.socketpair()
    thread = threading.Thread(target=module.Session(there).run)
    thread.start()
    made = Agent(here, lambda: ProbeError("gone"))
    yield made
    with suppress(OSError):  # a test may have ended it
        here.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    there.close()
    assert not thread.is_alive()


def test_who_waits_for_a_guest_that_ends_hears_at_once():
    """No packet says so: what its process is waited for by does."""
    here, there = socket.socketpair()
    life, death = os.pipe()
    with here, there, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(Agent(here, lambda: ProbeError("gone"), life).ask, "index", "lo")
        assert there.recv(1)
        os.close(death)
        with pytest.raises(ProbeError, match="gone"):
            asked.result(5)


def test_datagrams_come_one_by_one_with_their_senders(agent):
    with agent.open(*UDP) as a, agent.open(*UDP) as b:
        a.bind(("127.0.0.1", 0))
        b.bind(("127.0.0.1", 0))
        assert a.sendto(b"one", b.getsockname()) == 3
        assert a.sendto(b"", b.getsockname()) == 0
        b.settimeout(5)
        assert b.recvfrom(100) == (b"one", a.getsockname())
        assert b.recv(100) == b""
        a.sendto(b"longer", b.getsockname())
        assert b.recv(4) == b"long"
        b.setblocking(False)
        with pytest.raises(BlockingIOError):
            b.recv(100)


def test_it_is_readable_when_there_is_something_to_read(agent):
    with agent.open(*UDP) as a, agent.open(*UDP) as b:
        b.bind(("127.0.0.1", 0))
        poll = select.poll()
        poll.register(b, select.POLLIN)
        assert poll.poll(0) == []
        a.sendto(b"x", b.getsockname())
        assert [fd for fd, _ in poll.poll(5000)] == [b.fileno()]


def test_a_refused_datagram_is_an_error_both_to_whoever_reads_and_to_whoever_asks(agent):
    with socket.socket() as taken, agent.open(*UDP) as s:
        taken.bind(("127.0.0.1", 0))  # only to have a port nobody listens on by UDP
        s.connect(taken.getsockname())
        s.send(b"x")
        poll = select.poll()
        poll.register(s, select.POLLIN)
        assert poll.poll(5000)
        assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        with pytest.raises(ConnectionRefusedError):
            s.recv(1)


@pytest.mark.parametrize(("listening", "code"), [(True, 0), (False, errno.ECONNREFUSED)])
def test_a_stream_is_writable_once_it_is_decided_whether_it_connects(agent, listening, code):
    with socket.socket() as server, agent.open(*TCP) as s:
        server.bind(("127.0.0.1", 0))
        if listening:
            server.listen()
        assert s.connect_ex(server.getsockname()) in {0, errno.EINPROGRESS}
        poll = select.poll()
        poll.register(s, select.POLLOUT)
        assert poll.poll(5000)
        assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == code


def test_who_connects_to_a_stream_that_listens_is_accepted(agent):
    with agent.open(*TCP) as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        with pytest.raises(BlockingIOError):
            server.accept()
        poll = select.poll()
        poll.register(server, select.POLLIN)
        for word in (b"one", b"two"):
            with socket.create_connection(server.getsockname(), timeout=5) as client:
                client.sendall(word)
                assert [fd for fd, _ in poll.poll(5000)] == [server.fileno()]
                s, address = server.accept()
                with s:
                    assert address == client.getsockname()
                    s.settimeout(5)
                    assert s.recv(100) == word, "what came before it was taken is there"
                    s.sendall(b"answer")
                assert client.recv(100) == b"answer"
                assert client.recv(100) == b"", "closed there, too"
        assert poll.poll(0) == []


def test_a_stream_that_nobody_answers_does_not_become_writable(agent):
    with socket.socket() as server, ExitStack() as stack:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        # A full queue of connections drops whoever comes next.
        for _ in range(4):
            s = stack.enter_context(agent.open(*TCP))
            assert s.connect_ex(server.getsockname()) in {0, errno.EINPROGRESS}
        poll = select.poll()
        poll.register(s, select.POLLOUT)
        assert poll.poll(50) == []


def test_a_unix_stream_carries_both_ways_and_ends(agent, tmp_path):
    with socket.socket(socket.AF_UNIX) as server, agent.open(socket.AF_UNIX, socket.SOCK_STREAM, 0) as s:
        server.bind(str(tmp_path / "s"))
        server.listen()
        s.settimeout(5)
        s.connect(str(tmp_path / "s"))
        peer, _ = server.accept()
        s.sendall(b"question")
        assert peer.recv(100) == b"question"
        peer.sendall(b"a" * 300_000)
        peer.close()
        got = b""
        while more := s.recv(1 << 16):
            got += more
        assert got == b"a" * 300_000


def test_options_files_and_names(agent, tmp_path):
    (tmp_path / "f").write_bytes(b"\0\xff")
    assert agent.ask("read", str(tmp_path / "f")) == b"\0\xff"
    assert agent.ask("index", "lo") == socket.if_nametoindex("lo")
    with agent.open(*UDP) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        assert s.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")


def test_what_the_kernel_refuses_is_the_same_error_here(agent):
    with pytest.raises(FileNotFoundError):
        agent.ask("read", "/nowhere")
    with agent.open(*UDP) as s, pytest.raises(OSError, match="Cannot assign requested address"):
        s.bind(("192.0.2.1", 0))


def test_a_socket_there_cannot_be_leaves_the_others_alone(agent):
    with agent.open(*UDP) as other:
        with pytest.raises(OSError, match="not supported"):
            agent.open(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_UDP)
        other.bind(("127.0.0.1", 0))
        assert other.sendto(b"x", other.getsockname()) == 1


def test_when_the_guest_is_gone_so_are_its_sockets(agent):
    s = agent.open(*UDP)
    s.settimeout(5)
    agent._stream.shutdown(socket.SHUT_RDWR)
    with pytest.raises((ProbeError, OSError)):
        s.recv(1)
    with pytest.raises(ProbeError, match="gone"):
        agent.ask("index", "lo")
    s.close()


def test_flows_are_asked_for_at_once(agent):
    """One datagram from each port; a port that is taken is an error, and leaves no socket behind."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s,
    ):
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(5)
        s.bind(("127.0.0.1", 0))
        taken = s.getsockname()[1]
        first = taken - 3 if taken > 60000 else taken + 1
        agent.ask("flows", ("127.0.0.1", first), 3, sink.getsockname(), "", None, payload=b"x" * 100)
        assert [sink.recvfrom(200) for _ in range(3)] == [
            (b"x" * 100, ("127.0.0.1", n)) for n in range(first, first + 3)
        ]
        for _ in range(2):
            with pytest.raises(OSError, match="in use"):
                agent.ask("flows", ("127.0.0.1", taken), 1, sink.getsockname(), "", None, payload=b"x")


def test_commands_end_with_the_session(agent, tmp_path):
    """And what they began with them; one that comes too late does not run, and one that is over harms nobody."""
    folder = agent.ask("calls")
    assert folder == agent.ask("calls")

    def call(command):
        argv = ["sh", "-c", CALL.format(calls=folder, command=command)]
        return subprocess.Popen(argv, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    assert call("sh -c 'exit 7'").wait(5) == 7
    assert call("echo '$s' \"$s\"").communicate(timeout=5)[0] == "$s \n"
    running = call("sh -c 'echo it runs; sleep 60; echo never'")
    assert running.stdout.readline() == "it runs\n"
    Path(folder, str(os.getpid())).write_text(Path("/proc/1/stat").read_text())  # a pid that was used again
    agent._stream.shutdown(socket.SHUT_RDWR)
    assert running.communicate(timeout=5) == ("", "")
    assert running.returncode == -signal.SIGTERM
    late = call("echo never")
    assert (late.communicate(timeout=5)[0], late.returncode) == ("", 2)
    assert list((tmp_path / "calls").iterdir()) == []
