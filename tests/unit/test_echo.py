"""Echoes of several probes at once: each hears its own, whatever else its sockets receive."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closet.intent import loads
from closet.plan import plan
from closet.records import Endpoint
from closet.traffic import ping
from closet.traffic.echo import HEADER, TYPES, Echo
from closet.traffic.knock import ping_all
from closet.traffic.ping import NUMBERS

V4, V6 = socket.AF_INET, socket.AF_INET6
FABRIC = plan(loads("name: e\nspines: 1\nleaves: 1\nhosts: {per_leaf: 2}\n"))
ONE, TWO = (Endpoint(h.name, h.loopback) for h in FABRIC.hosts)


def header(source: bytes = bytes(4), ttl: int = 64) -> bytes:
    """Of IPv4, as raw sockets receive it."""
    return bytes([0x45, 0, 0, 0, 0, 0, 0, 0, ttl, 1, 0, 0]) + source + bytes(4)


def reply(request: bytes) -> bytes:
    """What comes back of a request: all of it, but for its type and checksum."""
    kinds = dict(TYPES.values())
    kind, code, _, token = HEADER.unpack_from(request)
    return HEADER.pack(kinds[kind], code, 0, token) + request[HEADER.size :]


def ones_complement_sum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@given(words=st.lists(st.binary(min_size=2, max_size=2), max_size=40), zeros=st.integers(0, 20))
def test_the_checksum_is_right_with_any_number_of_zeros_behind(words, zeros):
    assert ones_complement_sum(Echo().request(b"".join(words)) + bytes(2 * zeros)) == 0xFFFF


@pytest.mark.parametrize(("family", "front"), [(V4, header()), (V4, b"\x46" + header()[1:] + bytes(4)), (V6, b"")])
@given(data=st.binary(max_size=20).map(lambda d: d + d))
def test_a_probe_knows_its_own_echoes_and_no_other(family, front, data):
    mine, other = Echo(family), Echo(family)
    assert mine.asked(front + mine.request(data)) == data
    assert mine.answered(front + reply(mine.request(data))) == data
    assert mine.answered(front + mine.request(data)) is mine.asked(front + reply(mine.request(data))) is None
    for packet in (other.request(data), reply(other.request(data))):
        assert mine.asked(front + packet) is mine.answered(front + packet) is None


@given(packet=st.binary(max_size=40))
def test_any_packet_is_taken_apart(packet):
    assert Echo().asked(packet) is Echo(V6).answered(packet) is None


class Kernel:
    """A node with a socket that first hears what others sent; then its own, if it is not cut off."""

    def __init__(self, noise: list[bytes], *, cut: bool) -> None:
        self._noise = noise
        self._cut = cut
        self.targets: dict[str, Kernel] = {}

    def socket(self, *_: int) -> Kernel:
        self._inside, self._outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._inside.setblocking(False)
        for packet in self._noise:
            self._outside.send(packet)
        return self

    def fileno(self) -> int:
        return self._inside.fileno()

    def recv(self, size: int) -> bytes:
        return self._inside.recv(size)

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        data = self._inside.recv(size)
        return data, (str(IPv4Address(data[12:16])), 0)

    def sendto(self, request: bytes, to: tuple[str, int]) -> None:
        if not self._cut:
            for target in (k for address, k in self.targets.items() if address == to[0]):
                target._outside.send(header(ttl=63) + request[:40])
            self._outside.send(header(IPv4Address(to[0]).packed) + reply(request[:40]))

    def setsockopt(self, *_: object) -> None:
        pass

    def bind(self, _: tuple[str, int]) -> None:
        pass

    def close(self) -> None:
        self._inside.close()
        self._outside.close()


@pytest.mark.parametrize("may", [frozenset({1}), frozenset[int]()])
@pytest.mark.parametrize("cut", [True, False])
def test_another_probe_is_neither_an_answer_nor_a_leak(cut, may, monkeypatch):
    """Its echoes have the same numbers: each probe counts its endpoints from 0."""
    monkeypatch.setattr(ping, "answered_by_leaf", lambda *_: set())
    other, numbers = Echo(), NUMBERS.pack(0, 1)
    noise = [header(ttl=62) + other.request(numbers), header() + reply(other.request(numbers))]
    nodes = {e.host: Kernel(noise, cut=cut) for e in (ONE, TWO)}
    nodes[ONE.host].targets[str(TWO.address)] = nodes[TWO.host]
    assert ping.reach(FABRIC, nodes, {(ONE, TWO): may}, seconds=0.1) == {(ONE, TWO): None if cut else 1}


@pytest.mark.parametrize("cut", [True, False])
def test_another_ping_of_the_same_address_is_no_answer(cut):
    leaf = str(FABRIC["leaf1"].loopback)
    noise = header(IPv4Address(leaf).packed) + reply(Echo().request())
    nodes = {"h1-1": Kernel([noise], cut=cut)}
    assert ping_all(nodes, [("h1-1", leaf)], 0.2) == {("h1-1", leaf): not cut}
