"""What is wrong with one RoCEv2 packet by itself: IBTA volume 1 chapter 9, and annex A17 for what it is inside of."""

from __future__ import annotations

from collections.abc import Iterator

from closet.roce import icrc
from closet.roce.wire import AETH, ATOMIC, ATOMIC_ACK, CNP_PADDING, IMMEDIATE, P_KEY, RETH, UDP_PORT, Op

HEADERS = 28
"""Bytes of IPv4 and UDP header."""
BTH = 12
EXTENDED: dict[int, int] = {
    **dict.fromkeys((Op.SEND_FIRST, Op.SEND_MIDDLE, Op.SEND_LAST, Op.SEND_ONLY), 0),
    **dict.fromkeys((Op.WRITE_MIDDLE, Op.WRITE_LAST, Op.READ_MIDDLE), 0),
    **dict.fromkeys((Op.SEND_LAST_IMM, Op.SEND_ONLY_IMM, Op.WRITE_LAST_IMM), IMMEDIATE.size),
    **dict.fromkeys((Op.WRITE_FIRST, Op.WRITE_ONLY, Op.READ_REQUEST), RETH.size),
    Op.WRITE_ONLY_IMM: RETH.size + IMMEDIATE.size,
    **dict.fromkeys((Op.READ_FIRST, Op.READ_LAST, Op.READ_ONLY, Op.ACK), AETH.size),
    Op.ATOMIC_ACK: AETH.size + ATOMIC_ACK.size,
    **dict.fromkeys((Op.COMPARE_SWAP, Op.FETCH_ADD), ATOMIC.size),
    Op.CNP: len(CNP_PADDING),
}
"""Opcode → bytes of headers behind the BTH (table 38); those not in it are not of the reliable connected service."""
FULL = frozenset(
    {Op.SEND_FIRST, Op.SEND_MIDDLE, Op.WRITE_FIRST, Op.WRITE_MIDDLE, Op.READ_FIRST, Op.READ_MIDDLE},
)
"""Packets with more to follow: their payload is the path MTU (9.7.4.1.5)."""
LAST = frozenset({Op.SEND_LAST, Op.SEND_LAST_IMM, Op.WRITE_LAST, Op.WRITE_LAST_IMM, Op.READ_LAST})
EMPTY = frozenset({Op.READ_REQUEST, Op.ACK, Op.ATOMIC_ACK, Op.COMPARE_SWAP, Op.FETCH_ADD, Op.CNP})
FECN, BECN = 0x80, 0x40


def faults(packet: bytes, mtu: int) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a packet: (what, expected, observed).

    Args:
        packet: from its IPv4 header on. mtu: the path MTU, bytes of payload.
    """
    if packet[0] != 0x45 or len(packet) < HEADERS + BTH + 4 or int.from_bytes(packet[2:4], "big") != len(packet):
        yield "IPv4", "a header of 20 bytes and a whole packet", f"{len(packet)} bytes, {packet[:4].hex()}"
        return
    yield from _ip(packet)
    yield from _udp(packet)
    if not icrc.matches(packet):
        yield "ICRC", f"{icrc.of_packet(packet):08x}", f"{int.from_bytes(packet[-4:], 'little'):08x}"
    yield from _bth(packet[HEADERS : HEADERS + BTH])
    yield from _sizes(packet, mtu)


def _ip(packet: bytes) -> Iterator[tuple[str, str, str]]:
    if packet[6:8] != b"\x40\x00":
        yield "fragmentation", "DF and no fragment", packet[6:8].hex()
    if _sum(packet[:20]) != 0xFFFF:
        yield "IPv4 checksum", "right", f"wrong ({packet[10:12].hex()})"


def _udp(packet: bytes) -> Iterator[tuple[str, str, str]]:
    port, length, checksum = (int.from_bytes(packet[at : at + 2], "big") for at in (22, 24, 26))
    if port != UDP_PORT:
        yield "UDP destination port", str(UDP_PORT), str(port)
    if length != len(packet) - 20:
        yield "UDP length", str(len(packet) - 20), str(length)
    pseudo = packet[12:20] + bytes([0, 17]) + packet[24:26]
    if checksum and _sum(pseudo + packet[20:]) != 0xFFFF:
        yield "UDP checksum", "right, or none", f"wrong ({checksum:04x})"


def _sum(data: bytes) -> int:
    """RFC 1071: all ones where the checksum in it is right."""
    # The sum of 16-bit words modulo 65535 is that of the whole as one number.
    total = int.from_bytes(data + bytes(len(data) & 1), "big") % 0xFFFF
    return total or 0xFFFF


def _bth(bth: bytes) -> Iterator[tuple[str, str, str]]:
    op, flags, marks = bth[0], bth[1], bth[4]
    if op not in EXTENDED:
        yield "BTH opcode", "one of RC, or a CNP", f"{op:#04x}"
    if flags & 0x0F:
        yield "BTH version", "0", str(flags & 0x0F)
    if int.from_bytes(bth[2:4], "big") != P_KEY:
        yield "BTH P_Key", f"{P_KEY:#06x}", f"{int.from_bytes(bth[2:4], 'big'):#06x}"
    if marks & ~(FECN | BECN) or bth[8] & 0x7F:
        yield "BTH reserved bits", "0", f"{marks & 0x3F:#04x} and {bth[8] & 0x7F:#04x}"
    if bool(marks & BECN) != (op == Op.CNP):
        yield "BTH BECN", "on CNPs, and on them alone", f"{marks:#04x} with opcode {op:#04x}"
    if int.from_bytes(bth[5:8], "big") < 2:
        yield "BTH destination QP", "2 or more", str(int.from_bytes(bth[5:8], "big"))


def _sizes(packet: bytes, mtu: int) -> Iterator[tuple[str, str, str]]:
    op, pad = packet[HEADERS], packet[HEADERS + 1] >> 4 & 3
    if op not in EXTENDED:
        return
    behind = len(packet) - HEADERS - BTH - EXTENDED[op] - 4
    size = behind - pad
    least = mtu if op in FULL else 1 if op in LAST else 0
    most = 0 if op in EMPTY else mtu
    if not least <= size <= most:
        wanted = f"{least} to {most}" if least != most else str(most)
        yield f"payload of {Op(op).name}", f"{wanted} bytes", f"{size}"
    elif behind % 4 or any(packet[len(packet) - 4 - pad : -4]):
        yield f"pad of {Op(op).name}", "zeros up to a multiple of 4", f"{pad} after {size} bytes"
