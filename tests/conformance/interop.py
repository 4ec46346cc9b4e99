"""closet's RoCEv2 and the kernel's (rdma_rxe), connected: what either end is asked to do, and what is lost between."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from closet.lab import Lab
from closet.observe.rdma import devices
from closet.plan import DEFAULT_VRF
from closet.roce.endpoint import Attributes, Endpoint
from closet.roce.limits import Limits
from closet.roce.qp import Peer
from closet.roce.work import Verb, Work

from .watching import nft

HERE = Path(__file__).parent
KERNELS, OURS = "h1-1", "h2-1"
SIZE = 1 << 20
SECONDS = 30.0
EVERY = 61
"""Of so many packets one is lost, in each direction. Not a divisor of the window: it would always be the same one."""


class Session:
    """A queue pair of ours, connected with one of the kernel's; both have a region of SIZE bytes.

    Args:
        mtu: bytes of payload. timeout: code of the local ACK timeout of both ends (`Limits`).
    """

    def __init__(self, lab: Lab, mtu: int, timeout: int = 18) -> None:
        self.mtu = mtu
        self.lab = lab
        self.node = lab[OURS]
        self._before = self._counters()
        here, there = lab.fabric[OURS].ports[0], lab.fabric[KERNELS].ports[0]
        script = (HERE / "verbs_peer.py").read_text()
        self.process = lab[KERNELS].popen(
            "python3", "-u", "-c", script, str(there.rail), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._ask, self._answers = self.process.stdin, self.process.stdout
        with self.node.netns():
            self.endpoint = Endpoint(str(here.rail), device=here.name)
        self.memory = memoryview(bytearray(random.Random(9).randbytes(SIZE)))
        self.region = self.endpoint.regions.register(self.memory)
        self.theirs = self._answer()
        number, psn = self.endpoint.number()
        self.ask("connect", qpn=number, psn=psn, address=str(here.rail), mtu=mtu, timeout=timeout)
        peer = Peer(str(there.rail), self.theirs["qpn"], self.theirs["psn"])
        limits = Limits(timeout=timeout, window=128, ack_every=32)
        self.qp = self.endpoint.connect(number, psn, peer, Attributes(mtu=mtu, limits=limits))
        self.ask("fill", seed=5)

    def step(self, seconds: float) -> None:
        with self.node.netns():  # where sockets come to be
            self.endpoint.step(seconds, (self._answers.fileno(),))

    def _answer(self) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        line = b""
        os.set_blocking(self._answers.fileno(), False)
        while not line.endswith(b"\n"):
            assert time.monotonic() < deadline, f"no answer in {SECONDS:g} s: {self.state()}"
            assert self.process.poll() is None, "pyverbs ended"
            self.step(0.1)
            line += self._answers.readline() or b""
        found: dict[str, Any] = json.loads(line)
        return found

    def state(self) -> str:
        return self.qp.state() if hasattr(self, "qp") else "not connected"

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Have the other end do something, while this end answers what that brings."""
        self._ask.write(json.dumps({"do": do, **what}).encode() + b"\n")
        self._ask.flush()
        return self._answer()

    def do(self, *works: Work) -> str:
        """Do something ourselves, or several things at once; how they ended: in one word if all did the same."""
        with self.node.netns():
            for work in works:
                self.endpoint.post(self.qp, work)
        deadline = time.monotonic() + SECONDS
        while len(self.qp.ended) < len(works) and time.monotonic() < deadline:
            self.step(0.1)
        ended = {str(self.qp.ended.popleft().status) for _ in range(len(self.qp.ended))}
        return ", ".join(sorted(ended)) if all(w.status for w in works) else f"not all: {self.state()}"

    def there(self, verb: Verb, memory: memoryview, at: int = 0, **more: Any) -> Work:
        """A work request for the other end's memory."""
        return Work(verb, memory, address=self.theirs["address"] + at, rkey=self.theirs["rkey"], **more)

    def digest(self, at: int, size: int) -> int:
        return int(self.ask("digest", at=at, size=size)["digest"])

    def happened(self) -> tuple[dict[str, int], dict[str, int]]:
        """What this queue pair has counted, and by how much the kernel's counters rose; none that are 0."""
        now = self._counters()
        theirs = {name: value - self._before.get(name, 0) for name, value in now.items()}
        return {k: v for k, v in asdict(self.qp.counters).items() if v}, {k: v for k, v in theirs.items() if v}

    def _counters(self) -> dict[str, int]:
        (device,) = devices(self.lab[KERNELS], self.lab.fabric).values()
        return device.counters

    def close(self) -> None:
        self._ask.close()
        self.process.wait(10)
        self._answers.close()
        self.endpoint.close()


@contextmanager
def losing(lab: Lab, which: str = "", every: int = EVERY) -> Iterator[Callable[[], tuple[int, int]]]:
    """The kernel's leaf drops the first of so many packets, each way; called: how many to the kernel, and from it."""
    port = lab.fabric[KERNELS].ports[0]
    drop = f"udp dport 4791 {which} numgen inc mod {every} == 0 counter drop;"
    ways = f'oifname "{port.peer_port}" {drop} iifname "{port.peer_port}" {drop}'

    def lost() -> tuple[int, int]:
        said = lab[port.peer].run("nft", "list", "table", "inet", "closet-test").stdout
        there, back = re.findall(r"counter packets (\d+)", said)
        return int(there), int(back)

    with nft(lab, port.peer, DEFAULT_VRF, f"type filter hook forward priority 0; {ways}"):
        yield lost


def ours_plays(lab: Lab, *server: str) -> subprocess.Popen[str]:
    """`python -m closet.roce.pingpong` in our host."""
    address = str(lab.fabric[OURS].ports[0].rail)
    argv = [sys.executable, "-m", "closet.roce.pingpong", address, *server, "-n", "50"]
    with lab[OURS].netns():
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
