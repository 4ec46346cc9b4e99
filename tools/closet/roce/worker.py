"""An endpoint as a process inside a host: told what to do in lines of JSON, it answers each with one.

    → {"do": "open", "qps": 2, "memory": 1048576, ...}
    ← {"address": "10.0.0.1", "qps": [[4660, 77], [4661, 12]], "region": {"address": ..., "rkey": ..., "length": ...}}

Between the lines it serves its queue pairs. It ends with its standard input, so that it never outlives who began it.
"""

from __future__ import annotations

import json
import os
import random
import select
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from isal.isal_zlib import crc32

from closet.errors import ClosetError
from closet.roce.dcqcn import Dcqcn
from closet.roce.endpoint import Attributes, Endpoint
from closet.roce.limits import Counters, Limits
from closet.roce.qp import Peer, QueuePair
from closet.roce.region import Region
from closet.roce.work import Status, Verb, Work

STDIN = 0
PATTERN = 1 << 20
"""Bytes after which what fills the memory repeats."""
SAMPLE = 1e-3
"""Seconds between two looks at a rate."""
QUANTILES = (0.0, 0.5, 0.9, 0.99, 1.0)

Answer = dict[str, Any]


class Worker:
    """Serves an endpoint, and does what it is told.

    Args:
        seed: of the bytes its memory is filled with.
    """

    def __init__(self, endpoint: Endpoint, seed: int) -> None:
        self._endpoint = endpoint
        self._seed = seed
        self._numbers: list[tuple[int, int]] = []
        self._qps: list[QueuePair] = []
        self._memory = memoryview(bytearray())
        self._region: Region | None = None
        self._receive_size = 0
        self._received = 0
        self._input = b""
        self._ended = False
        self._commands: dict[str, Callable[..., Answer]] = {
            "open": self.open,
            "connect": self.connect,
            "run": self.run,
            "report": self.report,
        }

    def serve(self) -> None:
        """Do what is asked until standard input ends."""
        while not self._ended:
            self._step(1.0)
            for line in self._lines():
                request = json.loads(line)
                try:
                    answer = self._commands[request.pop("do")](**request)
                except (ClosetError, ValueError, MemoryError) as e:
                    answer = {"error": str(e) or type(e).__name__}
                say(answer)

    def _lines(self) -> list[bytes]:
        """The lines that have come by now."""
        if not select.select([STDIN], (), (), 0)[0]:
            return []
        data = os.read(STDIN, 1 << 16)
        self._ended = not data
        *lines, self._input = (self._input + data).split(b"\n")
        return lines

    def _step(self, seconds: float) -> set[QueuePair]:
        touched = self._endpoint.step(seconds, (STDIN,))
        for qp in touched:
            while qp.received:
                self._received += 1
                qp.post_receive(qp.received.popleft().memory)
        return touched

    def open(self, qps: int, memory: int, receives: int = 0, receive_size: int = 0) -> Answer:
        """Register memory, and choose numbers for queue pairs.

        Args:
            memory: bytes. receives, receive_size: receive requests that each queue pair always has, bytes of each.
        """
        self._memory = memoryview(bytearray(memory))
        pattern = random.Random(self._seed).randbytes(min(memory, PATTERN))  # noqa: S311  no secret
        for at in range(0, memory, PATTERN):
            self._memory[at : at + PATTERN] = pattern[: memory - at]
        self._region = self._endpoint.regions.register(self._memory)
        self._numbers = [self._endpoint.number() for _ in range(qps)]
        self._receives, self._receive_size = receives, receive_size
        region = {"address": self._region.address, "rkey": self._region.rkey, "length": self._region.length}
        return {"address": self._endpoint.address, "qps": self._numbers, "region": region}

    def connect(self, peers: list[tuple[str, int, int]], attributes: dict[str, Any]) -> Answer:
        """Connect each queue pair to a peer: (address, QPN, PSN); tells their UDP source ports."""
        for name, kind in (("limits", Limits), ("dcqcn", Dcqcn)):
            if attributes.get(name) is not None:
                attributes[name] = kind(**attributes[name])
        wanted = Attributes(**attributes)
        for (number, psn), peer in zip(self._numbers, peers, strict=True):
            qp = self._endpoint.connect(number, psn, Peer(*peer), wanted)
            for n in range(self._receives):  # all into the same memory: what counts is that they arrive
                at = n * self._receive_size % max(1, len(self._memory) - self._receive_size + 1)
                qp.post_receive(self._memory[at : at + self._receive_size])
            self._qps.append(qp)
        return {"ports": [qp.path.sport for qp in self._qps]}

    def run(self, verb: str, size: int, messages: int, depth: int, remote: dict[str, int], seconds: float) -> Answer:
        """Ask every queue pair for so many messages, `depth` at once; say how it went.

        Args:
            size: bytes of a message. remote: the other end's region, as it was told by `open`.
            seconds: when to give up.
        """
        plan = _Plan(Verb(verb), size, self._memory, remote)
        left = dict.fromkeys(self._qps, messages)
        latencies: list[float] = []
        done = 0
        began = time.monotonic()
        for n, qp in enumerate(self._qps):
            for _ in range(min(depth, messages)):
                self._endpoint.post(qp, plan.work(n))
        places = {qp: n for n, qp in enumerate(self._qps)}
        end = began + seconds
        failed: Status | None = None
        now = began
        paced = self._qps[0].reaction if self._qps else None
        rates: list[tuple[float, float]] = []
        while done < messages * len(self._qps) and failed is None and now < end:
            touched = self._step(end - now)
            if not touched and self._lines_ended():
                break
            now = time.monotonic()
            if paced is not None and (not rates or now - began - rates[-1][0] >= SAMPLE):
                paced.advance(now)
                rates.append((now - began, paced.rate))
            for qp in touched:
                while qp.ended:
                    work = qp.ended.popleft()
                    if work.status is not Status.SUCCESS:
                        failed = failed or work.status
                        continue
                    done += 1
                    latencies.append(work.ended - work.posted)
                    left[qp] -= 1
                    if left[qp] >= depth:
                        self._endpoint.post(qp, plan.work(places[qp]))
        latencies.sort()
        stalled = [qp.state() for qp in self._qps if left[qp]] if done < messages * len(self._qps) else []
        return {
            "seconds": now - began,
            "messages": done,
            "latency": [latencies[min(int(q * len(latencies)), len(latencies) - 1)] for q in QUANTILES if latencies],
            "failed": failed,
            "stalled": stalled[:8],
            "rates": rates,
            "cuts": [(at - began, *cut) for at, *cut in paced.cuts] if paced is not None else [],
        }

    def _lines_ended(self) -> bool:
        """Whether whoever began this is gone; a line in the middle of a run has nothing to say otherwise."""
        if select.select([STDIN], (), (), 0)[0] and not os.read(STDIN, 1):
            self._ended = True
        return self._ended

    def report(self) -> Answer:
        """Counters of all queue pairs together, what was dropped, a digest of the memory, the process's peak size."""
        total = Counters()
        for qp in self._qps:
            for field in fields(Counters):
                setattr(total, field.name, getattr(total, field.name) + getattr(qp.counters, field.name))
        endpoint = self._endpoint
        counters = asdict(total) | asdict(endpoint.inlet.drops)
        counters |= {"unsent": endpoint.sockets.unsent, "overrun": endpoint.sockets.dropped()}
        rates = [qp.reaction.rate for qp in self._qps if qp.reaction is not None]
        answer = {"counters": counters, "rates": rates, "received": self._received, "digest": crc32(self._memory)}
        return {**answer, "memory": _peak()}


class _Plan:
    """Makes the work requests of a run: queue pair n has its own piece of either memory, while there are any."""

    def __init__(self, verb: Verb, size: int, memory: memoryview, remote: dict[str, int]) -> None:
        if size > len(memory) or size > remote["length"]:
            raise ValueError(f"messages of {size} bytes do not fit the memory")
        self._verb = verb
        self._size = size
        self._memory = memory
        self._remote = remote
        self._pieces = max(1, min(len(memory), remote["length"]) // max(size, 1))

    def work(self, n: int) -> Work:
        """A work request of queue pair n."""
        at = n % self._pieces * self._size
        mine = self._memory[at : at + self._size]
        return Work(self._verb, mine, address=self._remote["address"] + at, rkey=self._remote["rkey"], swap=1)


def _peak() -> int:
    """The most bytes this process has held; getrusage(2) would count its parent's, too."""
    (line,) = (row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


def say(answer: Answer) -> None:
    """Write a line of JSON."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
