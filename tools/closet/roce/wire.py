"""RoCEv2 on the wire: opcodes, headers, syndromes, sequence numbers (IBTA volume 1, chapter 9 and annex A17)."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

UDP_PORT = 4791
"""Destination port of RoCEv2 (annex A17)."""
P_KEY = 0xFFFF
"""The default partition, with full membership."""
MTUS = (256, 512, 1024, 2048, 4096)
"""Path MTUs there are, in bytes of payload."""
HEADROOM = 80
"""Bytes that an IP MTU must leave beside the payload (rxe_param.h: RXE_MAX_HDR_LENGTH)."""
PSN_MASK = 0xFFFFFF
ACK_REQUEST = 1 << 31
"""In the BTH's last word, beside the PSN."""

BTH = Struct(">QI")
"""The 12 bytes as two words: opcode to DestQP, and AckReq with the PSN."""
RETH = Struct(">QII")
"""Virtual address, R_Key, length in bytes."""
AETH = Struct(">I")
"""Syndrome (8 bits) and MSN (24 bits)."""
IMMEDIATE = Struct(">I")
ATOMIC = Struct(">QIQQ")
"""Virtual address, R_Key, swap or add, compare."""
ATOMIC_ACK = Struct(">Q")
"""What was there before."""
ICRC = Struct("<I")
"""As it stands in the last four bytes of a packet."""
BECN = 0x40 << 24
"""In the BTH's first word."""
CNP_PADDING = bytes(16)


class Op(IntEnum):
    """BTH opcodes of the reliable connected service (IBTA table 38), and the CNP's (annex A17)."""

    SEND_FIRST = 0x00
    SEND_MIDDLE = 0x01
    SEND_LAST = 0x02
    SEND_LAST_IMM = 0x03
    SEND_ONLY = 0x04
    SEND_ONLY_IMM = 0x05
    WRITE_FIRST = 0x06
    WRITE_MIDDLE = 0x07
    WRITE_LAST = 0x08
    WRITE_LAST_IMM = 0x09
    WRITE_ONLY = 0x0A
    WRITE_ONLY_IMM = 0x0B
    READ_REQUEST = 0x0C
    READ_FIRST = 0x0D
    READ_MIDDLE = 0x0E
    READ_LAST = 0x0F
    READ_ONLY = 0x10
    ACK = 0x11
    ATOMIC_ACK = 0x12
    COMPARE_SWAP = 0x13
    FETCH_ADD = 0x14
    CNP = 0x81


RESPONSES = frozenset(range(Op.READ_FIRST, Op.ATOMIC_ACK + 1))
"""Opcodes that go from responder to requester."""


class Syndrome(IntEnum):
    """The AETH's first byte (IBTA 9.7.5.2.1)."""

    ACK = 0x1F  # no end-to-end credits, as all NICs and rxe send it
    RNR = 0x20  # with the timer's code in the low five bits
    SEQUENCE = 0x60
    INVALID_REQUEST = 0x61
    REMOTE_ACCESS = 0x62
    REMOTE_OPERATION = 0x63


RNR_SECONDS = tuple(
    ms / 1000
    for ms in (
        *(655.36, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48, 0.64, 0.96, 1.28, 1.92),
        *(2.56, 3.84, 5.12, 7.68, 10.24, 15.36, 20.48, 30.72, 40.96, 61.44, 81.92, 122.88, 163.84, 245.76),
        *(327.68, 491.52),
    )
)
"""Code of an RNR timer → seconds (IBTA table 45)."""


def word(op: int, qpn: int, pad: int = 0) -> int:
    """The first eight bytes of a BTH: MigReq set as NICs do, no solicited event, transport version 0.

    Args:
        qpn: the destination queue pair, 24 bits. pad: bytes, 0 to 3.
    """
    return op << 56 | (0x40 | pad << 4) << 48 | P_KEY << 32 | qpn


def ahead(psn: int, of: int) -> int:
    """How many packets a PSN is ahead of another, modulo 2**24; negative if it is behind (IBTA 9.7.1)."""
    return ((psn - of + 0x800000) & PSN_MASK) - 0x800000


def timeout_seconds(code: int) -> float:
    """Seconds of a local ACK timeout: 4.096 µs times 2**code; 0 means never (IBTA 11.2.5.2)."""
    return 4.096e-6 * (1 << code) if code else float("inf")


def path_mtu(ip_mtu: int) -> int:
    """The largest path MTU that fits an IP MTU, both in bytes.

    Raises:
        ValueError: not even the smallest fits.
    """
    fitting = [m for m in MTUS if m + HEADROOM <= ip_mtu]
    if not fitting:
        raise ValueError(f"IP MTU {ip_mtu}: RoCE needs {MTUS[0] + HEADROOM} or more")
    return fitting[-1]
