"""Starting a capture: tcpdump's word that it listens is heard, however its lines arrive."""

from __future__ import annotations

import sys

import pytest

from closet.errors import ProbeError
from closet.runtime.node import LiveNode
from pytest_closet.capture import Capture

SAYS = "import os, sys, time; [os.write(2, w.encode()) or time.sleep({pause}) for w in {words!r}]; {then}"


class Node(LiveNode):
    """What runs in it instead of tcpdump."""

    program = ""

    def enter(self, argv, **_):
        return [sys.executable, "-c", self.program]


def start(tmp_path, *words: str, then: str = "time.sleep(60)", pause: float = 0) -> Capture:
    node = Node(name="leaf1", pid=1, folder=tmp_path)
    node.program = SAYS.format(words=words, then=then, pause=pause)
    return Capture(node, "eth1", "", tmp_path / "x.pcap")


@pytest.mark.parametrize(
    "words",
    [
        ["tcpdump: verbose output suppressed\ntcpdump: listening on eth1\n"],
        ["tcpdump: data link type\ntcpdump: listen", "ing on eth1\n"],
        ["tcpdump: listening on eth1\n"],
    ],
)
def test_it_runs_when_tcpdump_says_so(tmp_path, words):
    start(tmp_path, *words, pause=0.05).stop()


def test_what_tcpdump_said_last_is_why_it_did_not_start(tmp_path):
    with pytest.raises(ProbeError, match=r"^leaf1 eth1: tcpdump: eth1: No such device exists$"):
        start(tmp_path, "tcpdump: verbose\neth1: No such ", "device exists\n", then="sys.exit(1)")
    with pytest.raises(ProbeError, match=r"^leaf1 eth1: tcpdump: said nothing$"):
        start(tmp_path, then="sys.exit(1)")
