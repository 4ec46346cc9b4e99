"""Numbers on the wire, against vectors that others made."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closet.roce import icrc, ports, wire
from closet.roce.assembler import Assembler
from closet.roce.path import Path
from closet.roce.wire import BECN, CNP_PADDING, Op

from .channel import ip_packet

# Whole Ethernet frames: two of scapy's tests, and a CNP captured from a ConnectX-4.
FRAMES = {
    "IPv4": "248a07a8fa22248a07a8fa22080045010040047840004011b4d5c0a80007c0a80007c00012b7002caca22460ffff000000d3"
    "00cf17104630818be28935d90e9a95505401be885e50000078f353f3",
    "IPv6": "248a07a8fa22248a07a8fa2286dd6e21face002c11ff20220000000000000000000000001023202300000000000000000000"
    "00001024c00012b7002ce7c52460ffff000000d300cf17104630818be28935d90e9a95505401be885e5000003e5b743b",
    "CNP": "e41d2dab2bc27cfe90643b32080045c2003c718c4000401191610a0011010a001201000012b7002800008100ffff40000118"
    "000000000000000000000000000000000000000082fd002a",
}


@pytest.mark.parametrize("name", FRAMES)
def test_icrc_of_known_frames(name):
    packet = bytes.fromhex(FRAMES[name])[14:]
    assert icrc.matches(packet)
    for at in (20, -5):  # in the headers, in the payload
        damaged = bytearray(packet)
        damaged[at] ^= 1
        assert not icrc.matches(bytes(damaged))


@pytest.mark.parametrize("name", FRAMES)
def test_a_router_changes_nothing_of_it(name):
    packet = bytearray.fromhex(FRAMES[name])[14:]
    if name == "IPv6":
        packet[0:4], packet[7] = b"\x60\x30\x00\x01", 3
    else:
        packet[1], packet[8], packet[10:12] = 3, 5, b"ab"
    assert icrc.matches(bytes(packet))


def test_icrc_of_what_is_none():
    with pytest.raises(ValueError, match="no RoCEv2 packet"):
        icrc.of_packet(bytes(100))
    with pytest.raises(ValueError, match="no RoCEv2 packet"):
        icrc.of_packet(b"")


@given(state=st.integers(0, 2**32 - 1), head=st.binary(min_size=4, max_size=4), rest=st.binary(max_size=40))
def test_the_masked_byte_is_a_constant(state, head, rest):
    masked, plain = head + b"\xff" + rest, head + b"\0" + rest
    assert zlib.crc32(plain, state ^ icrc.BTH_MASK) == zlib.crc32(masked, state)


@given(
    payload=st.binary(max_size=64).map(lambda b: b[: len(b) & ~3]),
    ident=st.integers(0, 65535),
    sport=st.integers(0, 65535),
    fragment=st.sampled_from([0, icrc.DONT_FRAGMENT]),
)
def test_a_seed_with_an_identification_is_the_long_way(payload, ident, sport, fragment):
    path = Path(local="192.0.2.1", remote="198.51.100.7", sport=sport, tos=0, mtu=1024)
    data = wire.BTH.pack(wire.word(Op.SEND_ONLY, 77), 5) + payload
    packet = bytearray(ip_packet(path, data + bytes(4), ident))
    packet[6:8] = fragment.to_bytes(2, "big")
    seed = icrc.seed(bytes(packet[12:22]), len(data) + 4, fragment)
    assert zlib.crc32(data, seed ^ icrc.ident(ident)) == icrc.of_packet(bytes(packet))


def assembled(call):
    sent = []
    path = Path(local="10.0.17.1", remote="10.0.18.1", sport=0, tos=0xC2, mtu=256)
    call(Assembler(lambda _, data, segment: sent.append((bytes(data), segment))), path)
    ((data, segment),) = sent
    return [ip_packet(path, data[i : i + segment], n) for n, i in enumerate(range(0, len(data), segment))]


def test_a_cnp_is_that_of_the_nic():
    (mine,) = assembled(lambda out, path: out.packet(path, wire.word(Op.CNP, 0x118) | BECN, 0, CNP_PADDING))
    nics = bytes.fromhex(FRAMES["CNP"])[14:]
    assert icrc.matches(mine)
    assert mine[20:29] == nics[20:29]
    assert (mine[29] & 0x30, mine[30:48], len(mine)) == (nics[29] & 0x30, nics[30:48], len(nics))


@given(
    data=st.binary(min_size=1, max_size=2000),
    psn=st.integers(0, 0xFFFFFF),
    every=st.sampled_from([0, 1, 2, 4]),
)
def test_a_series_is_so_many_good_packets(data, psn, every):
    count = -(-len(data) // 256)
    middle, last = wire.word(Op.SEND_MIDDLE, 9), wire.word(Op.SEND_LAST, 9, -len(data) & 3)
    packets = assembled(lambda out, path: out.series(path, middle, last, psn, memoryview(data), count, every))
    assert all(icrc.matches(p) for p in packets)
    heads = [wire.BTH.unpack_from(p, 28) for p in packets]
    assert [w for w, _ in heads] == [middle] * (count - 1) + [last]
    assert [p & wire.PSN_MASK for _, p in heads] == [(psn + n) & wire.PSN_MASK for n in range(count)]
    for n, (_, p) in enumerate(heads):
        asks = every and ((p & wire.PSN_MASK) % every == every - 1 or n == count - 1)
        assert bool(p & wire.ACK_REQUEST) == bool(asks)
    joined = b"".join(p[40:-4] for p in packets)
    assert joined == data + bytes(-len(data) & 3)


def test_source_ports_are_the_kernels():
    assert ports.of_qps(17, 17) == 0xC121
    assert ports.of_qps(17, 18) == 49458
    assert len({ports.of_qps(n, n) for n in range(17, 1017)}) == 934


@given(a=st.integers(0, 0xFFFFFF), b=st.integers(0, 0xFFFFFF))
def test_source_ports_are_the_same_from_both_ends(a, b):
    assert ports.of_qps(a, b) == ports.of_qps(b, a)
    assert 0xC000 <= ports.of_qps(a, b) <= 0xFFFF


@given(psn=st.integers(0, 0xFFFFFF), by=st.integers(-0x800000, 0x7FFFFF))
def test_psns_go_round(psn, by):
    assert wire.ahead((psn + by) & wire.PSN_MASK, psn) == by


def test_times_and_sizes():
    assert wire.timeout_seconds(14) == pytest.approx(67.1e-3, rel=1e-3)
    assert wire.timeout_seconds(0) == float("inf")
    assert wire.RNR_SECONDS[0] == 0.65536
    assert wire.RNR_SECONDS[12] == 0.00064
    assert wire.RNR_SECONDS[31] == pytest.approx(0.49152)
    assert len(wire.RNR_SECONDS) == 32
    assert [wire.path_mtu(m) for m in (1450, 1500, 2128, 4175, 4176, 9216)] == [1024, 1024, 2048, 2048, 4096, 4096]
    with pytest.raises(ValueError, match="IP MTU 300"):
        wire.path_mtu(300)
    assert struct.calcsize(">QI") == wire.BTH.size
