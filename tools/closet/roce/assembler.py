"""Packets, put together in one buffer and handed over: none of them is an object."""

from __future__ import annotations

from collections.abc import Callable

from isal.isal_zlib import crc32

from closet.roce.icrc import IDENT
from closet.roce.path import Path
from closet.roce.wire import ACK_REQUEST, BTH, ICRC, PSN_MASK

LARGEST = 65507
"""Bytes of UDP payload in one send, segmented or not (65,535 less the IPv4 and UDP headers)."""
MOST = 64
"""Packets in one send (UDP_MAX_SEGMENTS before Linux 6.9)."""

Send = Callable[[Path, memoryview, int], None]
"""Given the path, UDP payloads one behind the other, and the length of each (the last may be shorter). They are
sent as segments of one IPv4 packet: with identifications 0, 1, 2 and so on."""


def most(mtu: int) -> int:
    """Full packets without extended headers that fit into one send."""
    return min(MOST, LARGEST // (mtu + 16))


class Assembler:
    """Puts packets together.

    Args:
        send: what takes them; it must be done with the buffer when it returns.
    """

    __slots__ = ("_bodies", "_buffer", "_send", "_view")

    def __init__(self, send: Send) -> None:
        self._buffer = bytearray(LARGEST)
        self._view = memoryview(self._buffer)
        self._bodies: dict[int, list[memoryview]] = {}  # path MTU → what the ICRC of packet n covers
        self._send = send

    def packet(self, path: Path, word: int, psn: int, extended: bytes = b"", payload: bytes | memoryview = b"") -> int:
        """Send one packet; returns its bytes of UDP payload.

        Args:
            word: the first eight bytes of the BTH (`wire.word`); its pad count must be that of `payload`.
            psn: the last four: `wire.ACK_REQUEST` or not, and a PSN.
            extended: headers behind the BTH.
        """
        view = self._view
        at = 12 + len(extended)
        end = at + len(payload)
        BTH.pack_into(view, 0, word, psn)
        view[12:at] = extended
        view[at:end] = payload
        if pad := -end & 3:
            view[end : end + pad] = bytes(pad)
            end += pad
        # A byte with FECN or BECN counts as masked whatever it is; the seed takes it for zero.
        length = end + 4
        seed = path.seeds[length]
        if marks := word >> 24 & 0xFF:
            view[4] = 0
            ICRC.pack_into(view, end, crc32(view[:end], seed))
            view[4] = marks
        else:
            ICRC.pack_into(view, end, crc32(view[:end], seed))
        self._send(path, view[:length], length)
        return length

    def series(self, path: Path, middle: int, last: int, psn: int, data: memoryview, count: int, every: int) -> int:
        """Send full packets that have no header but the BTH, in one go; returns their bytes of UDP payload.

        Args:
            middle, last: the first eight bytes of the BTH of all but the last packet, and of the last.
            psn: of the first packet.
            data: their payloads; only the last may be shorter than the path's MTU, and padded.
            count: how many packets, up to `most`.
            every: ask for an acknowledgement where the PSN is a multiple of this power of two, less one, and with
                the last packet if `last` is another word than `middle`; 0 never asks.
        """
        view, buffer, mtu = self._view, self._buffer, path.mtu
        segment = mtu + 16
        seed = path.seeds[segment]
        pack, crc, pack_icrc, idents = BTH.pack_into, crc32, ICRC.pack_into, IDENT
        mask = every - 1 if every else PSN_MASK + 1
        bodies = self._bodies.get(mtu) or self._lay_out(mtu)
        at = begin = 0
        for n in range(count - 1):
            pack(buffer, at, middle, psn | ACK_REQUEST if psn & mask == mask else psn)
            end = at + 12 + mtu
            view[at + 12 : end] = data[begin : begin + mtu]
            pack_icrc(buffer, end, crc(bodies[n], seed ^ idents[n]))
            at = end + 4
            begin += mtu
            psn = psn + 1 & PSN_MASK
        rest = data[(count - 1) * mtu :]
        ask = every and (last != middle or psn & mask == mask)
        pack(buffer, at, last, psn | ACK_REQUEST if ask else psn)
        end = at + 12 + len(rest)
        view[at + 12 : end] = rest
        if pad := -end & 3:
            view[end : end + pad] = bytes(pad)
            end += pad
        pack_icrc(buffer, end, crc(view[at:end], path.seeds[end + 4 - at] ^ idents[count - 1]))
        self._send(path, view[: end + 4], segment)
        return end + 4

    def _lay_out(self, mtu: int) -> list[memoryview]:
        segment = mtu + 16
        bodies = self._bodies[mtu] = [self._view[n * segment : (n + 1) * segment - 4] for n in range(most(mtu))]
        return bodies
