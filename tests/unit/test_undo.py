"""What changes a running lab for a while takes itself back: to its end, whoever hurries it and whatever fails."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import pytest

from closet.attack import announce
from closet.attack.attacker import attackers
from closet.errors import ProbeError
from closet.intent import Intent
from closet.plan import plan
from closet.signals import undoing
from closet.traffic.marking import marking
from closet.traffic.offload import offloads

FABRIC = plan(Intent(name="m", spines=1, leaves=2, hosts={"per_leaf": 1}))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def hearing() -> Iterator[None]:
    """Hear SIGINT: the tests may be a job in the background, which is deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Nodes:
    """The nodes of a lab, that note what they are told; one of the words interrupts, or fails."""

    def __init__(self, hurry: str = "", fails: str = "") -> None:
        self.hurry, self.fails = hurry, fails
        self.said: list[str] = []

    def __getitem__(self, name: str) -> Any:
        return SimpleNamespace(name=name, run=lambda *w, **o: self.run(name, *w, **o), has_namespace=lambda _: False)

    def run(self, name: str, *words: str, stdin: str = "", vrf: str = "default") -> SimpleNamespace:
        self.tell(f"{name} {' '.join(words)} {stdin}")
        return SimpleNamespace(stdout="tx-checksum-ip-generic: on\ntx-udp-segmentation: on\n")

    def tell(self, said: str) -> None:
        self.said.append(said)
        if self.hurry and self.hurry in said:
            signal.raise_signal(signal.SIGINT)
        if self.fails and self.fails in said:
            raise ProbeError(f"{said}: failed")

    def of(self, *words: str) -> list[str]:
        """The nodes that were told all of these."""
        return sorted(line.split()[0] for line in self.said if all(w in line for w in words))


def test_all_of_it_is_called_whoever_hurries_and_whatever_fails():
    called = []

    def undo(n: int) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        called.append(n)
        if n == 2:
            raise ProbeError("two")

    def do() -> None:
        with undoing() as stack:
            for n in (1, 2, 3):
                stack.callback(undo, n)

    with pytest.raises(ProbeError, match="two"):
        do()
    assert called == [3, 2, 1]
    with pytest.raises(KeyboardInterrupt):  # and afterwards it is as before
        signal.raise_signal(signal.SIGINT)


def points(nodes: Any) -> AbstractContextManager[None]:
    return marking(FABRIC, nodes, rate=1e6, between=1e7, burst=1000)


def cut(nodes: Any) -> AbstractContextManager[None]:
    return offloads(nodes, *FABRIC.hosts, to="off")


@pytest.mark.parametrize(("made", "done", "undone"), [(points, "chain", "delete table"), (cut, " off", " on ")])
def test_interrupted_while_it_begins_what_was_begun_is_taken_back(made, done, undone):
    """The very step that was cut in two, too."""
    nodes = Nodes(hurry=done)
    with pytest.raises(KeyboardInterrupt), made(nodes):
        pytest.fail("it began")
    assert len(nodes.of(done)) == 1
    assert nodes.of(undone) == nodes.of(done)


@pytest.mark.parametrize(("made", "done", "undone"), [(points, "chain", "delete table"), (cut, " off", " on ")])
def test_interrupted_again_it_takes_back_all_of_it(made, done, undone):
    for trouble in ({"hurry": undone}, {"fails": f"{undone}"}):
        nodes = Nodes(**trouble)
        expected = pytest.raises(ProbeError) if "fails" in trouble else pytest.raises(KeyboardInterrupt)
        with expected, made(nodes):
            raise KeyboardInterrupt
        assert nodes.of(undone) == nodes.of(done)
        assert len(nodes.of(done)) > 1


def test_an_announcement_is_taken_back_to_its_end(monkeypatch):
    told = []

    def tell(_: Any, daemon: str, lines: list[str]) -> None:
        told.append(lines)

    monkeypatch.setattr(announce, "tell", tell)
    each = announce._each_tells

    def hurried(nodes: Any, lines: Any) -> None:
        if any("bgp ebgp-requires-policy" in its for its in lines.values()):
            signal.raise_signal(signal.SIGINT)
        each(nodes, lines)

    monkeypatch.setattr(announce, "_each_tells", hurried)
    tries = [announce.Announcement("x", a, ("192.0.2.0/24",)) for a in attackers(FABRIC)]
    with pytest.raises(KeyboardInterrupt), announce._announcing(FABRIC, Nodes(), tries):  # type: ignore[arg-type]
        raise KeyboardInterrupt
    assert len(told) == 2 * len(tries) > 0
    assert all("bgp network import-check" in lines for lines in told[len(tries) :])
