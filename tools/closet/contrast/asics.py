"""What forwarding tables of real switches hold, and how many endpoints fill them."""

from __future__ import annotations

from dataclasses import dataclass

CUMULUS_5 = "NVIDIA Cumulus Linux 5.13, Forwarding Table Size and Profiles"
CUMULUS_4 = "NVIDIA Cumulus Linux 4.3, Supported Route Table Entries"


@dataclass(frozen=True, slots=True)
class Asic:
    """The largest tables of a switching ASIC, as its vendor's software validates them.

    Attributes:
        name: ASIC and profile. mac, host, lpm: entries for MACs, IPv4 neighbours and IPv4 prefixes, which all share
            one memory. source: where that is written.
    """

    name: str
    mac: int
    host: int
    lpm: int
    source: str


ASICS = (
    Asic("Spectrum-1, v4-lpm-heavy-1", 6_000, 6_000, 176_000, CUMULUS_5),
    Asic("Spectrum-2 and later, v4-lpm-heavy-1", 16_000, 16_000, 256_000, CUMULUS_5),
    Asic("Trident II/II+/3, default", 32_000, 16_000, 128_000, CUMULUS_4),
    Asic("Spectrum-1, default", 40_000, 32_000, 64_000, CUMULUS_5),
    Asic("Tomahawk/Tomahawk+, default", 40_000, 40_000, 64_000, CUMULUS_4),
    Asic("Spectrum-2 and later, default", 50_000, 41_000, 82_000, CUMULUS_5),
    Asic("Trident II/II+/3, l2-heavy", 160_000, 96_000, 8_000, CUMULUS_4),
    Asic("Spectrum-2 and later, l2-heavy-1", 239_000, 16_000, 16_000, CUMULUS_5),
)
"""By MAC table, the smallest first."""


def endpoints_that_fill(table: int, growth: tuple[tuple[int, int], ...]) -> int | None:
    """How many endpoints fill a table, as its entries grew when it was measured; None if they do not grow.

    Args:
        table: its entries.
        growth: (endpoints, entries) as measured, the fewest first; beyond the last two it goes on as between them.
    """
    (e0, n0), (e1, n1) = growth[-2:]
    if n1 <= n0:
        return None
    return e1 + -(-(table - n1) * (e1 - e0) // (n1 - n0))
