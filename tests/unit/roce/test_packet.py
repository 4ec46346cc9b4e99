"""What is wrong with single packets: those of the assembler are right, and each thing done to one is named."""

from __future__ import annotations

import struct

import pytest

from closet.check.packet import faults
from closet.roce import icrc, wire
from closet.roce.assembler import Assembler
from closet.roce.path import Path
from closet.roce.wire import BECN, CNP_PADDING, Op

from .channel import ip_packet
from .test_wire import FRAMES

MTU = 256
SIZES = {
    Op.SEND_FIRST: MTU,
    Op.SEND_MIDDLE: MTU,
    Op.SEND_LAST: 5,
    Op.WRITE_FIRST: MTU,
    Op.WRITE_LAST_IMM: 256,
    Op.WRITE_ONLY: 0,
    Op.WRITE_ONLY_IMM: 7,
    Op.READ_REQUEST: 0,
    Op.READ_FIRST: MTU,
    Op.READ_LAST: 1,
    Op.ACK: 0,
    Op.ATOMIC_ACK: 0,
    Op.COMPARE_SWAP: 0,
}
EXTENDED = {
    **dict.fromkeys((Op.WRITE_FIRST, Op.WRITE_ONLY, Op.READ_REQUEST), 16),
    **dict.fromkeys((Op.READ_FIRST, Op.READ_LAST, Op.ACK, Op.WRITE_LAST_IMM), 4),
    Op.WRITE_ONLY_IMM: 20,
    Op.ATOMIC_ACK: 12,
    Op.COMPARE_SWAP: 28,
}


def checksum(packet: bytearray) -> bytes:
    """With the IPv4 checksum right, as a host's kernel has it."""
    packet[10:12] = bytes(2)
    total = sum(struct.unpack(">10H", packet[:20]))
    total = (total & 0xFFFF) + (total >> 16)
    packet[10:12] = (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
    return bytes(packet)


def sealed(packet: bytearray) -> bytes:
    """With both checksums right: only what was done on purpose is wrong."""
    packet[-4:] = icrc.of_packet(bytes(packet)).to_bytes(4, "little")
    return checksum(packet)


def packet_of(op: Op, size: int | None = None, **path: object) -> bytearray:
    sent = []
    way = Path(**{"local": "10.0.0.1", "remote": "10.0.1.1", "sport": 0xC123, "tos": 0x6A, "mtu": MTU, **path})  # type: ignore[arg-type]
    size = SIZES[op] if size is None else size
    out = Assembler(lambda _, data, __: sent.append(bytes(data)))
    out.packet(way, wire.word(op, 77, -size & 3), 5, bytes(EXTENDED.get(op, 0)), bytes(size))
    return bytearray(checksum(bytearray(ip_packet(way, sent[0], 0))))


def cnp() -> bytearray:
    sent = []
    way = Path(local="10.0.0.1", remote="10.0.1.1", sport=0xC123, tos=0xC0, mtu=MTU)
    out = Assembler(lambda _, data, __: sent.append(bytes(data)))
    out.packet(way, wire.word(Op.CNP, 77) | BECN, 0, CNP_PADDING)
    return bytearray(checksum(bytearray(ip_packet(way, sent[0], 0))))


@pytest.mark.parametrize("op", SIZES)
def test_ours_are_right(op):
    assert list(faults(bytes(packet_of(op)), MTU)) == []


def test_a_cnp_is_right_ours_and_a_nics():
    assert list(faults(bytes(cnp()), MTU)) == []
    # The NIC's has an identification that is not 0, and a checksum of its own.
    assert list(faults(bytes.fromhex(FRAMES["CNP"])[14:], MTU)) == []


DONE = {
    "ICRC": lambda p: p.__setitem__(45, p[45] ^ 1) or bytes(p),
    "IPv4 checksum": lambda p: p.__setitem__(8, 63) or bytes(p),
    "fragmentation": lambda p: p.__setitem__(slice(6, 8), b"\x00\x00") or sealed(p),
    "UDP destination port": lambda p: p.__setitem__(23, 0xB8) or sealed(p),
    "UDP length": lambda p: p.__setitem__(25, p[25] ^ 4) or sealed(p),
    "UDP checksum": lambda p: p.__setitem__(26, 7) or sealed(p),
    "BTH version": lambda p: p.__setitem__(29, p[29] | 1) or sealed(p),
    "BTH P_Key": lambda p: p.__setitem__(30, 0) or sealed(p),
    "BTH reserved bits": lambda p: p.__setitem__(32, 1) or sealed(p),
    "BTH BECN": lambda p: p.__setitem__(32, 0x40) or sealed(p),
    "BTH destination QP": lambda p: p.__setitem__(slice(33, 36), b"\0\0\1") or sealed(p),
    "BTH opcode": lambda p: p.__setitem__(28, 0x64) or sealed(p),
    "payload of WRITE_FIRST": lambda p: p.__setitem__(28, Op.SEND_FIRST) or sealed(p),
    "IPv4": lambda p: bytes(p[:-1]),
}


@pytest.mark.parametrize("what", DONE)
def test_what_is_done_to_one_is_named(what):
    done = DONE[what](packet_of(Op.WRITE_FIRST))
    named = {name for name, _, _ in faults(done, MTU)}
    assert named == ({"payload of SEND_FIRST"} if what.startswith("payload") else {what})


@pytest.mark.parametrize(
    ("op", "size"), [(Op.SEND_LAST, 0), (Op.SEND_MIDDLE, 252), (Op.READ_LAST, 260), (Op.ACK, 4), (Op.WRITE_FIRST, 128)]
)
def test_sizes_that_an_opcode_does_not_have(op, size):
    ((what, _, _),) = faults(bytes(packet_of(op, size)), MTU)
    assert what == f"payload of {op.name}"


def test_a_pad_that_is_not_one():
    p = packet_of(Op.SEND_LAST, 5)
    p[-5] = 1
    assert [w for w, _, _ in faults(sealed(p), MTU)] == ["pad of SEND_LAST"]
    p = packet_of(Op.SEND_LAST, 8)
    p[29] |= 0x10
    assert [w for w, _, _ in faults(sealed(p), MTU)] == []  # 7 bytes and a zero: nobody can tell


def test_a_udp_checksum_that_is_there():
    p = packet_of(Op.ACK)
    pseudo = bytes(p[12:20]) + bytes([0, 17]) + bytes(p[24:26])
    total = sum(struct.unpack(f">{(len(pseudo) + len(p) - 20) // 2}H", pseudo + bytes(p[20:])))
    p[26:28] = (0xFFFF - total % 0xFFFF).to_bytes(2, "big")
    assert list(faults(bytes(p), MTU)) == []


def test_too_short():
    assert [w for w, _, _ in faults(bytes(packet_of(Op.ACK)[:40]), MTU)] == ["IPv4"]
