"""Packets that follow each other, taken one by one: as if they had come together, and nothing that only looks alike."""

from __future__ import annotations

import random
from ipaddress import IPv4Address

import pytest

from closet.roce import icrc
from closet.roce.assembler import Assembler
from closet.roce.inlet import Inlet
from closet.roce.limits import Limits
from closet.roce.path import Path
from closet.roce.qp import Peer, QueuePair
from closet.roce.region import Regions
from closet.roce.work import Verb, Work

from .channel import ADDRESSES, ip_packet

MTU = 256
SIZE = 12 * MTU


class Rig:
    """A WRITE of twelve packets as it leaves one host, and another that takes them."""

    def __init__(self) -> None:
        self.data = random.Random(3).randbytes(SIZE)
        self.memory = bytearray(SIZE)
        regions = Regions()
        region = regions.register(memoryview(self.memory))
        ends = []
        for i, its in enumerate((Regions(), regions)):
            path = Path(local=ADDRESSES[i], remote=ADDRESSES[1 - i], sport=0xC123, tos=0x6A, mtu=MTU)
            peer = Peer(ADDRESSES[1 - i], 2000 - i * 1000, 9 - i)
            ends.append(
                QueuePair(
                    number=1000 + i * 1000, psn=8 + i, path=path, peer=peer, regions=its, limits=Limits(window=64)
                )
            )
        sender, self.qp = ends
        self.inlet = Inlet(IPv4Address(ADDRESSES[1]).packed, {2000: self.qp})
        self.packets: list[bytearray] = []
        sender.post(Work(Verb.WRITE, memoryview(self.data), address=region.address, rkey=region.rkey), 0.0)
        out = Assembler(self._send)
        while sender.wants_to_send(0.0) <= 0.0:
            sender.transmit(out, 0.0)

    def _send(self, path: Path, data: memoryview, segment: int) -> None:
        pieces = [bytes(data[at : at + segment]) for at in range(0, len(data), segment)]
        self.packets += [bytearray(ip_packet(path, piece, n)) for n, piece in enumerate(pieces)]

    def take(self) -> None:
        for p in self.packets:
            self.inlet.take(memoryview(p), 0, 0.0)
        self.inlet.flush(0.0)


def test_one_by_one():
    rig = Rig()
    for n, p in enumerate(rig.packets):
        p[1] |= 3 * (n % 4 == 1)  # every fourth is marked
    rig.take()
    assert bytes(rig.memory) == rig.data
    assert (rig.qp.responder.msn, rig.qp.counters.ce_marked, rig.qp.counters.out_of_seq_request) == (1, 3, 0)


CHANGED = {
    # what is changed of the seventh packet: byte, value, whether the ICRC is made anew → what becomes of it
    "payload": (100, 0xFF, False, "icrc"),
    "version": (0, 0x46, True, "malformed"),
    "source": (15, 9, True, "unknown"),
    "target": (19, 9, True, "malformed"),
    "destination port": (23, 0, True, "malformed"),
    "protocol": (9, 6, True, "malformed"),
    "a fragment": (7, 1, True, "malformed"),
    "UDP length": (25, 0, True, "malformed"),
    "QPN": (35, 0, True, "unknown"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_only_looks_alike(what):
    at, value, sealed, why = CHANGED[what]
    rig = Rig()
    seventh = rig.packets[6]
    assert seventh[at] != value
    seventh[at] = value
    if sealed and at not in {0, 9}:  # those have no ICRC at all
        seventh[-4:] = icrc.of_packet(bytes(seventh)).to_bytes(4, "little")
    rig.take()
    assert getattr(rig.inlet.drops, why) == 1
    assert bytes(rig.memory[: 6 * MTU]) == rig.data[: 6 * MTU]
    assert bytes(rig.memory[6 * MTU :]) == bytes(6 * MTU)  # go-back-N: nothing behind a gap
    assert (rig.qp.responder.msn, rig.qp.counters.out_of_seq_request) == (0, 1)


def test_any_identification():
    """Only that of a small segment is quick; others are as good."""
    rig = Rig()
    for p in rig.packets:
        p[4:6] = (0xBEEF).to_bytes(2, "big")
        p[-4:] = icrc.of_packet(bytes(p)).to_bytes(4, "little")
    rig.take()
    assert bytes(rig.memory) == rig.data


@pytest.mark.parametrize("service", [1, 2, 3, 5, 7])  # 4 is RoCE's own, and in it there is the CNP alone
def test_a_packet_of_another_transport_service_is_dropped_in_silence(service):
    rig = Rig()
    other = bytearray(rig.packets[0])
    other[28] |= service << 5
    other[-4:] = icrc.of_packet(bytes(other)).to_bytes(4, "little")
    rig.inlet.take(memoryview(other), 0, 0.0)
    rig.inlet.flush(0.0)
    assert (rig.inlet.drops.malformed, rig.qp.responder.failed, rig.qp.wants_to_send(0.0)) == (1, False, float("inf"))
    rig.take()
    assert bytes(rig.memory) == rig.data


def test_a_mark_on_what_is_not_taken_slows_nobody_down():
    """Two segments with a mark, behind a run of the queue pair, and the ICRC of the first is wrong."""
    rig = Rig()
    for p in rig.packets[:6]:
        rig.inlet.take(memoryview(p), 0, 0.0)
    bad = rig.packets[6]
    bad[1] |= 3
    bad[100] ^= 0xFF
    rig.inlet.take(memoryview(bad), MTU + 16, 0.0)
    rig.inlet.flush(0.0)
    assert (rig.inlet.drops.icrc, rig.qp.counters.ce_marked) == (1, 0)
    assert rig.qp.wants_to_send(0.0) == float("inf")  # no CNP


def test_a_flow_of_many_lengths_fills_no_memory():
    rig = Rig()
    flow = Path(local=ADDRESSES[0], remote=ADDRESSES[1], sport=0xC123, tos=0x6A, mtu=MTU)
    for length in range(16, 2000):
        packet = ip_packet(flow, bytes(length), 0)
        rig.inlet.take(memoryview(bytearray(packet)), 0, 0.0)
    assert rig.inlet.drops.icrc == 2000 - 16
    assert max(len(seeds) for seeds in rig.inlet._flows.values()) <= 64
