"""closet's RoCEv2 and the kernel's (rdma_rxe), through a leaf, a spine and a leaf: each asks the other for every verb.

The judge is the kernel's implementation: its completions, its memory, its error counters.
"""

from __future__ import annotations

import os
import re
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from closet.intent import load
from closet.lab import Lab, up
from closet.observe.rdma import FAULTS
from closet.roce.wire import Op
from closet.roce.work import Verb, Work
from closet.takedown import down
from closet.traffic.offload import as_on_a_wire

from . import changes
from .interop import EVERY, HERE, KERNELS, OURS, SIZE, Session, losing, ours_plays

SUCCESS, REMOTE_ACCESS = 0, 10
"""IBV_WC_SUCCESS, IBV_WC_REM_ACCESS_ERR"""
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


def test_nothing_was_sent_twice_or_refused(session: Session) -> None:
    """After all of the above: neither end missed, repeated or refused a packet."""
    ours, theirs = session.happened()
    assert ours["sent"] > 300_001 // session.mtu
    assert theirs["rcvd_pkts"] > 300_001 // session.mtu
    assert set(ours) <= {"sent", "send_rnr_err", "rcvd_rnr_err"}
    assert set(theirs).isdisjoint(FAULTS)
    assert set(asdict(session.endpoint.inlet.drops).values()) == {0}


def test_the_kernel_refuses_what_is_out_of_bounds(session: Session) -> None:
    """The last of a session: it is the end of both queue pairs."""
    beyond = session.there(Verb.WRITE, session.memory[:100], SIZE - 50)
    assert session.do(beyond) == "remote access error"


# loss


@pytest.fixture(scope="module")
def lossy(fabric_up: Lab) -> Iterator[Session]:
    """A session for what is lost: it waits for a quarter of a second, then asks again."""
    made = Session(fabric_up, 1024, timeout=16)
    with as_on_a_wire(fabric_up.nodes, fabric_up.fabric[OURS]):
        yield made
    made.close()


def test_every_verb_with_packets_lost(lossy: Session, fabric_up: Lab) -> None:
    """Either end asks for everything. All arrives once and whole, and the counters of both ends say what it took."""
    with losing(fabric_up) as lost:
        test_we_write(lossy, None)
        test_we_write(lossy, IMMEDIATE)
        test_we_send(lossy, IMMEDIATE)
        test_we_read(lossy)
        test_we_fetch_and_add_and_compare_and_swap(lossy)
        test_the_kernel_writes(lossy, None)
        test_the_kernel_writes(lossy, IMMEDIATE)
        test_the_kernel_sends(lossy, IMMEDIATE)
        test_the_kernel_reads(lossy)
        test_the_kernel_fetches_and_adds_and_compares_and_swaps(lossy)
        there, back = lost()
    ours, theirs = lossy.happened()
    assert min(there, back) > 10 * 300_001 // 1024 // EVERY // 4
    # Each gap that an end saw it told once; the other heard of it if that was not lost.
    assert 0 < ours["rcvd_seq_err"] <= theirs["out_of_seq_request"]
    assert 0 < theirs["rcvd_seq_err"] <= ours["out_of_seq_request"]
    for counted in ("retransmitted", "missed_responses", "duplicate_request"):
        assert ours[counted] > 0
    for counted in ("completer_retry_err", "duplicate_request"):
        assert theirs[counted] > 0
    assert "naks" not in ours
    assert "retry_exceeded_err" not in theirs


def test_a_read_asked_again_in_its_middle(lossy: Session, fabric_up: Lab) -> None:
    """Only READ's answers are lost: the kernel does again what was missed, and nothing is asked for as new."""
    before, answered = lossy.happened()
    with losing(fabric_up, f"@th,64,8 {Op.READ_MIDDLE:#04x}") as lost:
        test_we_read(lossy)
        (_, back), (ours, theirs) = lost(), lossy.happened()
    missed = [ours.get(name, 0) - before.get(name, 0) for name in ("missed_responses", "timeouts")]
    assert back >= 300_001 // 1024 // EVERY
    assert 0 < missed[0] <= back
    assert theirs["duplicate_request"] - answered.get("duplicate_request", 0) >= sum(missed)


def test_an_atomic_is_done_once_though_its_answer_is_lost(lossy: Session, fabric_up: Lab) -> None:
    """Every second answer is lost, either way; what is asked again is answered as it was, and not done again."""
    remote = {"rkey": lossy.region.rkey, "remote": lossy.region.address}
    mine, theirs = int.from_bytes(lossy.memory[:8], "little"), lossy.ask("word", at=0)["word"]
    old = memoryview(bytearray(8))
    with losing(fabric_up, f"@th,64,8 {Op.ATOMIC_ACK:#04x}", 2) as lost:
        for n in range(4):
            assert lossy.do(lossy.there(Verb.FETCH_ADD, old, swap=5)) == "success"
            assert int.from_bytes(old, "big") == (theirs + 5 * n) % 2**64
            lossy.ask("post", op="faa", at=64, size=8, swap=7, **remote)
            assert lossy.ask("poll")["status"] == SUCCESS
            assert lossy.ask("word", at=64)["word"] == (mine + 7 * n) % 2**64
        assert min(lost()) >= 4
    assert lossy.ask("word", at=0)["word"] == (theirs + 20) % 2**64
    assert int.from_bytes(lossy.memory[:8], "little") == (mine + 28) % 2**64


def test_the_kernel_is_refused_what_is_out_of_bounds(lossy: Session) -> None:
    """The last of that session."""
    beyond = lossy.region.address + SIZE - 50
    before = bytes(lossy.memory)
    lossy.ask("post", op="write", at=0, size=100, rkey=lossy.region.rkey, remote=beyond)
    assert lossy.ask("poll")["status"] == REMOTE_ACCESS
    assert lossy.qp.counters.naks == 1
    assert bytes(lossy.memory) == before


# ibv_rc_pingpong


GUESTS = ("ibv_rc_pingpong", "-g", "1", "-n", "50")
"""GID 1 is the NIC's IPv4 address; 0 is the link-local one."""
RATE = re.compile(r"50 iters in [\d.]+ seconds = [\d.]+ usec/iter")


def test_pingpong_with_ibv_rc_pingpong_as_server(fabric_up: Lab) -> None:
    server = fabric_up[KERNELS].popen(*GUESTS, stdout=subprocess.PIPE)

    def play() -> str:
        said, why = ours_plays(fabric_up, str(fabric_up.fabric[KERNELS].ports[0].rail)).communicate(timeout=60)
        assert why == ""  # nobody listens yet
        return said

    assert RATE.match(changes.eventually(play))
    said, _ = server.communicate(timeout=20)
    assert (server.returncode, len(RATE.findall(said.decode()))) == (0, 1)


def test_pingpong_with_ibv_rc_pingpong_as_client(fabric_up: Lab) -> None:
    server = ours_plays(fabric_up)
    address = str(fabric_up.fabric[OURS].ports[0].rail)

    def play() -> str:
        done = fabric_up[KERNELS].run(*GUESTS, address, check=False)
        assert done.returncode == 0, done.stderr  # nobody listens yet
        return done.stdout

    assert RATE.search(changes.eventually(play))
    said, why = server.communicate(timeout=20)
    assert (server.returncode, why) == (0, "")
    assert RATE.match(said)
