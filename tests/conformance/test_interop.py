"""closet's RoCEv2 and the kernel's (rdma_rxe), through a leaf, a spine and a leaf: each asks the other for every verb.

The judge is the kernel's implementation: its completions, its memory, its error counters.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from closet.intent import load
from closet.lab import Lab, up
from closet.observe.rdma import FAULTS, devices
from closet.roce.endpoint import Attributes, Endpoint
from closet.roce.limits import Limits
from closet.roce.qp import Peer
from closet.roce.work import Verb, Work
from closet.takedown import down

HERE = Path(__file__).parent
KERNELS, OURS = "h1-1", "h2-1"
SIZE = 1 << 20
SECONDS = 30.0
SUCCESS = 0
"""IBV_WC_SUCCESS"""
IMMEDIATE = 0x01020304


@pytest.fixture(scope="module")
def fabric_up(pytestconfig: pytest.Config) -> Iterator[Lab]:
    made = up(
        load(HERE / "interop.yaml"),
        runtime=pytestconfig.getoption("--closet-runtime"),
        name=f"interop-{os.getpid()}",
    )
    try:
        assert [str(f) for r in made.results for f in r.findings] == []
        yield made
    finally:
        down(made.name)


class Session:
    """A queue pair of ours, connected with one of the kernel's; both have a region of SIZE bytes."""

    def __init__(self, lab: Lab, mtu: int) -> None:
        self.mtu = mtu
        self.node = lab[OURS]
        here, there = lab.fabric[OURS].ports[0], lab.fabric[KERNELS].ports[0]
        script = (HERE / "verbs_peer.py").read_text()
        self.process = lab[KERNELS].popen(
            "python3", "-u", "-c", script, str(there.rail), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._ask, self._answers = self.process.stdin, self.process.stdout
        with self.node.netns():
            self.endpoint = Endpoint(str(here.rail), device=here.name)
        self.memory = memoryview(bytearray(random.Random(9).randbytes(SIZE)))
        self.region = self.endpoint.regions.register(self.memory)
        self.theirs = self._answer()
        number, psn = self.endpoint.number()
        self.ask("connect", qpn=number, psn=psn, address=str(here.rail), mtu=mtu)
        peer = Peer(str(there.rail), self.theirs["qpn"], self.theirs["psn"])
        limits = Limits(timeout=18, window=128, ack_every=32)
        self.qp = self.endpoint.connect(number, psn, peer, Attributes(mtu=mtu, limits=limits))
        self.ask("fill", seed=5)

    def step(self, seconds: float) -> None:
        with self.node.netns():  # where sockets come to be
            self.endpoint.step(seconds, (self._answers.fileno(),))

    def _answer(self) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        line = b""
        os.set_blocking(self._answers.fileno(), False)
        while not line.endswith(b"\n"):
            assert time.monotonic() < deadline, f"no answer in {SECONDS:g} s: {self.state()}"
            assert self.process.poll() is None, "pyverbs ended"
            self.step(0.1)
            line += self._answers.readline() or b""
        found: dict[str, Any] = json.loads(line)
        return found

    def state(self) -> str:
        return self.qp.state() if hasattr(self, "qp") else "not connected"

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Have the other end do something, while this end answers what that brings."""
        self._ask.write(json.dumps({"do": do, **what}).encode() + b"\n")
        self._ask.flush()
        return self._answer()

    def do(self, work: Work) -> str:
        """Do something ourselves; how it ended."""
        with self.node.netns():
            self.endpoint.post(self.qp, work)
        deadline = time.monotonic() + SECONDS
        while not self.qp.ended and time.monotonic() < deadline:
            self.step(0.1)
        return str(self.qp.ended.popleft().status) if self.qp.ended else f"nothing: {self.state()}"

    def there(self, verb: Verb, memory: memoryview, at: int = 0, **more: Any) -> Work:
        """A work request for the other end's memory."""
        return Work(verb, memory, address=self.theirs["address"] + at, rkey=self.theirs["rkey"], **more)

    def digest(self, at: int, size: int) -> int:
        return int(self.ask("digest", at=at, size=size)["digest"])

    def close(self) -> None:
        self._ask.close()
        self.process.wait(10)
        self._answers.close()
        self.endpoint.close()


@pytest.fixture(scope="module", params=[1024, 4096])
def session(request: pytest.FixtureRequest, fabric_up: Lab) -> Iterator[Session]:
    made = Session(fabric_up, request.param)
    yield made
    made.close()


def sizes(mtu: int) -> tuple[int, ...]:
    """Bytes of messages: none, less than a word, around a packet's, of many packets with and without a pad."""
    return (0, 1, 5, mtu - 1, mtu, mtu + 1, 3 * mtu, 10 * mtu + 7, 300_001)


@pytest.mark.parametrize("immediate", [None, IMMEDIATE], ids=["plain", "immediate"])
def test_we_write(session: Session, immediate: int | None) -> None:
    for size in sizes(session.mtu):
        data = session.memory[size : 2 * size]
        if immediate is not None:
            session.ask("receive", at=SIZE - 16, size=16)
        assert session.do(session.there(Verb.WRITE, data, 64, immediate=immediate)) == "success"
        assert session.digest(64, size) == zlib.crc32(data)
        if immediate is not None:
            assert session.ask("poll") == {"status": SUCCESS, "bytes": size, "immediate": immediate}


@pytest.mark.parametrize("immediate", [None, IMMEDIATE], ids=["plain", "immediate"])
def test_we_send(session: Session, immediate: int | None) -> None:
    for size in sizes(session.mtu):
        data = session.memory[size : 2 * size]
        session.ask("receive", at=4096, size=size)
        assert session.do(Work(Verb.SEND, data, immediate=immediate)) == "success"
        got = session.ask("poll")
        assert (got["status"], got["bytes"]) == (SUCCESS, size)
        assert immediate is None or got["immediate"] == immediate
        assert session.digest(4096, size) == zlib.crc32(data)


def test_we_read(session: Session) -> None:
    for size in sizes(session.mtu):
        got = memoryview(bytearray(size))
        assert session.do(session.there(Verb.READ, got, 100)) == "success"
        assert session.digest(100, size) == zlib.crc32(got)


def test_we_fetch_and_add_and_compare_and_swap(session: Session) -> None:
    old = memoryview(bytearray(8))
    before = session.ask("word", at=0)["word"]
    after = (before + 5) % 2**64
    assert session.do(session.there(Verb.FETCH_ADD, old, swap=5)) == "success"
    assert (int.from_bytes(old, "big"), session.ask("word", at=0)["word"]) == (before, after)
    assert session.do(session.there(Verb.COMPARE_SWAP, old, compare=after, swap=77)) == "success"
    assert (int.from_bytes(old, "big"), session.ask("word", at=0)["word"]) == (after, 77)
    assert session.do(session.there(Verb.COMPARE_SWAP, old, compare=1, swap=78)) == "success"
    assert (int.from_bytes(old, "big"), session.ask("word", at=0)["word"]) == (77, 77)


PLACE = 500_000
"""Where in our memory the other end writes and reads."""


@pytest.mark.parametrize("immediate", [None, IMMEDIATE], ids=["plain", "immediate"])
def test_the_kernel_writes(session: Session, immediate: int | None) -> None:
    remote = {"rkey": session.region.rkey, "remote": session.region.address + PLACE}
    for n, size in enumerate(sizes(session.mtu)):
        if immediate is not None:
            session.qp.post_receive(memoryview(bytearray(16)))
        session.ask("fill", seed=100 + n)
        session.ask("post", op="write", imm=immediate, at=0, size=size, **remote)
        assert session.ask("poll")["status"] == SUCCESS
        assert session.digest(0, size) == zlib.crc32(session.memory[PLACE : PLACE + size])
        if immediate is not None:
            got = session.qp.received.popleft()
            assert (got.length, got.immediate) == (size, immediate)
    assert not session.qp.received


@pytest.mark.parametrize("immediate", [None, IMMEDIATE], ids=["plain", "immediate"])
def test_the_kernel_sends(session: Session, immediate: int | None) -> None:
    for size in sizes(session.mtu):
        memory = memoryview(bytearray(size))
        session.qp.post_receive(memory)
        session.ask("post", op="send", imm=immediate, at=7, size=size)
        assert session.ask("poll")["status"] == SUCCESS
        got = session.qp.received.popleft()
        assert (got.length, got.immediate) == (size, immediate)
        assert session.digest(7, size) == zlib.crc32(memory)


def test_the_kernel_reads(session: Session) -> None:
    remote = {"rkey": session.region.rkey, "remote": session.region.address + PLACE}
    for size in sizes(session.mtu):
        session.ask("post", op="read", at=3, size=size, **remote)
        assert session.ask("poll")["status"] == SUCCESS
        assert session.digest(3, size) == zlib.crc32(session.memory[PLACE : PLACE + size])


def test_the_kernel_fetches_and_adds_and_compares_and_swaps(session: Session) -> None:
    remote = {"rkey": session.region.rkey, "remote": session.region.address}

    def word() -> int:
        return int.from_bytes(session.memory[:8], "little")

    before = word()
    after = (before + 11) % 2**64
    session.ask("post", op="faa", at=8, size=8, swap=11, **remote)
    assert session.ask("poll")["status"] == SUCCESS
    assert (word(), session.ask("word", at=8)["word"]) == (after, before)
    session.ask("post", op="cas", at=8, size=8, compare=after, swap=123, **remote)
    assert session.ask("poll")["status"] == SUCCESS
    assert (word(), session.ask("word", at=8)["word"]) == (123, after)
    session.ask("post", op="cas", at=8, size=8, compare=1, swap=9, **remote)
    assert session.ask("poll")["status"] == SUCCESS
    assert (word(), session.ask("word", at=8)["word"]) == (123, 123)


def test_nothing_was_sent_twice_or_refused(session: Session, fabric_up: Lab) -> None:
    """After all of the above: neither end missed, repeated or refused a packet."""
    counters = asdict(session.qp.counters)
    assert counters["sent"] > 300_001 // session.mtu
    noted = {"sent", "send_rnr_err", "rcvd_rnr_err"}
    assert {k: v for k, v in counters.items() if v and k not in noted} == {}
    assert set(asdict(session.endpoint.inlet.drops).values()) == {0}
    (device,) = devices(fabric_up[KERNELS], fabric_up.fabric).values()
    assert {name: device.counters[name] for name in FAULTS if device.counters.get(name)} == {}


def test_the_kernel_refuses_what_is_out_of_bounds(session: Session) -> None:
    """The last of a session: it is the end of both queue pairs."""
    beyond = session.there(Verb.WRITE, session.memory[:100], SIZE - 50)
    assert session.do(beyond) == "remote access error"
