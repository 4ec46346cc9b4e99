"""What was measured of a fabric."""

from __future__ import annotations

import re
from dataclasses import dataclass

from closet.errors import ProbeError

SENT = re.compile(r"(\d+) packets transmitted, (\d+) received")
TIMES = re.compile(r"rtt min/avg/max/mdev = [\d.]+/([\d.]+)/([\d.]+)/")


@dataclass(frozen=True, slots=True)
class Growth:
    """State when one tenant has this many endpoints.

    Attributes:
        endpoints: all of the tenant's, over all hosts.
        leaf: MAC entries of the leaf that has most. total: of all switches. evpn: EVPN routes in a spine.
    """

    endpoints: int
    leaf: int
    total: int
    evpn: int


@dataclass(frozen=True, slots=True)
class Copies:
    """What becomes of broadcast frames.

    Attributes:
        frames: that the sender's leaf got: the control. crossings: of links between switches, by all copies.
        deliveries: to other hosts.
    """

    frames: int
    crossings: int
    deliveries: int


@dataclass(frozen=True, slots=True)
class Pings:
    """Echoes of some pairs: sent, answered, and round trips in milliseconds, on average and at worst."""

    sent: int
    answered: int
    average: float
    worst: float

    @property
    def delivered(self) -> float:
        """The answered part, in percent."""
        return 100 * self.answered / self.sent


@dataclass(frozen=True, slots=True)
class Load:
    """A few seconds of a fabric.

    Attributes:
        offered: Mb/s that the storming host's leaf got from it. fabric: Mb/s sent on links between switches, all
            together. unasked: Mb/s that another host of the tenant got, on average, pings included. same, other: pings
            of the same tenant, and of another.
    """

    offered: float
    fabric: float
    unasked: float
    same: Pings
    other: Pings


@dataclass(frozen=True, slots=True)
class Side:
    """All that was measured of one fabric."""

    growth: tuple[Growth, ...]
    copies: Copies
    quiet: Load
    storm: Load


def parse_pings(*outputs: str) -> Pings:
    """What ping(8) said at its end, of several pairs together.

    Raises:
        ProbeError: it did not get so far.
    """
    sent = answered = 0
    times: list[tuple[float, float, int]] = []
    for text in outputs:
        counts = SENT.search(text)
        if counts is None:
            raise ProbeError(f"ping: {text.strip().splitlines()[-1] if text.strip() else 'it said nothing'}")
        sent, answered = sent + int(counts[1]), answered + int(counts[2])
        if (told := TIMES.search(text)) is not None:
            times.append((float(told[1]), float(told[2]), int(counts[2])))
    heard = sum(n for _, _, n in times)
    average = sum(avg * n for avg, _, n in times) / heard if heard else float("nan")
    return Pings(sent, answered, average, max((worst for _, worst, _ in times), default=float("nan")))
