"""What perftest's tools (`ib_*_bw`, `ib_*_lat`) and rping print, as results with units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite

from closet.errors import ProbeError
from closet.roce.work import Status

QPN = re.compile(r"^ *(local|remote) address: LID \S+ QPN 0x([0-9a-f]+) ", re.MULTILINE)
UNIT = re.compile(r"\[([^\]]*)\]")
UNITS = {"Gb/sec": 1e9, "MiB/sec": 8 * 2.0**20, "Mpps": 1e6, "usec": 1e-6, "": 1.0}
"""Unit of a column → what one of it is in ours: bit/s, messages a second, seconds."""
COMPLAINT = re.compile(r"Couldn't|Failed|Unable|Invalid|Cannot|RDMA_CM_EVENT|cma event|.* should be between ")
REGRESSION = re.compile(r"Correlation coefficient r\^2: \S+ < \S+")
"""What perftest says to its standard error, be it in the middle of a row, when it cannot tell the counter's speed."""
PING = "ping data:"
STATUS = {5: Status.FLUSHED, 10: Status.REMOTE_ACCESS, 12: Status.RETRY_EXCEEDED, 13: Status.RNR_EXCEEDED}
"""What usually ends a queue pair, by its number (enum ibv_wc_status of libibverbs)."""


class Unclocked(ProbeError):
    """perftest did not find out how fast the processor's counter is, since the machine was busy just then."""


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """What `ib_*_bw` measured.

    Attributes:
        goodput, peak: bit/s, on average and at most. rate: messages a second.
        messages: of all queue pairs together. size: bytes of each.
        qps: numbers of the queue pairs, (of the end that printed it, of the other).
    """

    goodput: float
    peak: float
    rate: float
    messages: int
    size: int
    qps: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """What `ib_*_lat` measured, in seconds: of WRITE and SEND half a round trip, of READ and atomics a whole one."""

    least: float
    typical: float
    mean: float
    p99: float
    most: float
    messages: int
    size: int


def parse_bandwidth(text: str) -> Bandwidth:
    """The result in the output of an `ib_*_bw`.

    Raises:
        ProbeError: there is none.
    """
    row = _row(text)
    return Bandwidth(
        goodput=row["BW average"],
        peak=row["BW peak"],
        rate=row["MsgRate"],
        messages=int(row["iterations"]),
        size=int(row["bytes"]),
        qps=parse_qps(text),
    )


def parse_latency(text: str) -> Latency:
    """The result in the output of an `ib_*_lat`.

    Raises:
        ProbeError: there is none.
    """
    row = _row(text)
    return Latency(
        least=row["t_min"],
        typical=row["t_typical"],
        mean=row["t_avg"],
        p99=row["99% percentile"],
        most=row["t_max"],
        messages=int(row["iterations"]),
        size=int(row["bytes"]),
    )


def parse_qps(text: str) -> tuple[tuple[int, int], ...]:
    """The numbers of the queue pairs a tool of perftest has connected: (its own, the other end's)."""
    found: dict[str, list[int]] = {"local": [], "remote": []}
    for end, number in QPN.findall(text):
        found[end].append(int(number, 16))
    return tuple(zip(found["local"], found["remote"], strict=False))


def parse_rping(text: str) -> int:
    """How many pings came back to an `rping -v`."""
    return text.count(PING)


def why(text: str) -> str:
    """Why a tool ended early: its first complaint, since others follow from that; else the last that it said."""
    if failed := re.search(r"Failed status (\d+)", text):
        return str(STATUS.get(int(failed[1]), f"completion with status {failed[1]}"))
    lines = [line.strip() for line in text.splitlines() if line.strip(" -\t")]
    first = next((line for line in lines if COMPLAINT.match(line)), None)
    return first or (lines[-1] if lines else "it said nothing")


def _row(text: str) -> dict[str, float]:
    """The only row of a tool's table: name of the column → its number in our units."""
    lines = iter(REGRESSION.sub("", text).splitlines())
    head = next((line for line in lines if line.lstrip().startswith("#bytes")), None)
    row = next((line.split() for line in lines if line.split() and line.split()[0].isdecimal()), None)
    if head is None or row is None:
        raise ProbeError(f"perftest gave no table: {why(text)}")
    columns = [c.strip() for c in re.split(r"#|\s{2,}|(?<=\])\s+|\t", head) if c.strip()]
    if len(columns) != len(row):
        raise ProbeError(f"perftest gave {len(row)} numbers for {len(columns)} columns: {' '.join(row)}")
    found = {}
    for column, word in zip(columns, row, strict=True):
        unit = UNIT.search(column)
        if (unit[1] if unit else "") not in UNITS:
            raise ProbeError(f"perftest gave {column!r}: unknown unit")
        found[UNIT.sub("", column).strip()] = float(word) * UNITS[unit[1] if unit else ""]
    if not all(map(isfinite, found.values())) or found.get("BW average", found.get("t_typical")) == 0:
        raise Unclocked(f"perftest could not time itself: {' '.join(row)}")
    return found
