"""A lab of tenants that others come to and leave, and what must not happen meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from closet.lab import Lab, open_lab
from pytest_closet.meter import Meter

from .fingerprint import fingerprints
from .lifecycle import Closet, Done, environment

BASE = """
name: shop
spines: 2
leaves: 3
hosts: {per_leaf: 5}
tenants:
  red:      {hosts: ["h?-1"], prefix: 10.64.0.0/16}
  blue:     {hosts: ["h?-2"], prefix: 10.64.0.0/16}
  services: {hosts: ["h3-3"], prefix: 10.96.0.0/24}
"""
PEERINGS = "peerings:\n  - {between: [red, services]}\n"
GOLD = "  gold:     {hosts: [h1-4, h2-4], prefix: 10.70.0.0/16}\n"
SILVER = "  silver:   {hosts: [h1-3, h3-4]}\n"
UNDERLAY = [*(("h1-5", t) for t in ("h2-5", "h3-5")), ("h3-5", "h1-5")]
FLOWS = [
    *(("h1-1", t) for t in ("h2-1", "h3-1", "h3-3")),
    *(("h2-2", t) for t in ("h1-2", "h3-2")),
    ("h3-3", "h2-1"),
    *UNDERLAY,
]
"""In tenants that stay, across a peering that stays, and in the underlay."""
MOVES = ("h1-4", "h2-5")
"""A host that moves: the flow that must lose something, or the meter measures nothing."""


class Shop:
    """A lab of tenants, and the command that changes it."""

    def __init__(self, closet: Closet, fresh: dict[str, Any]) -> None:
        self.closet = closet
        self._fresh = fresh

    def write(self, text: str, name: str = "shop") -> Path:
        path = self.closet.folder / f"{name}.yaml"
        path.write_text(text)
        return path

    def up(self, text: str = BASE + PEERINGS, name: str = "shop") -> Lab:
        self.closet.up(name, self.write(text, name)).passed()
        return self.lab(name)

    def lab(self, name: str = "shop") -> Lab:
        with environment(CLOSET_HOME=str(self.closet.home)):
            return open_lab(name)

    def apply(self, text: str) -> Done:
        return self.closet.run("apply", self.write(text))

    def fresh(self, text: str) -> dict[str, Any]:
        """What every node is like in a lab that came up with this intent: one does, for all tests."""
        if text not in self._fresh:
            self._fresh[text] = fingerprints(self.up(text, "fresh"))
            self.closet.down("fresh")
        return self._fresh[text]


@contextmanager
def nothing_lost(
    lab: Lab, flows: list[tuple[str, str]] = FLOWS, control: tuple[str, str] | None = None
) -> Iterator[Meter]:
    """Nothing is lost of any flow, while the control loses something."""
    with Meter(lab, flows + ([control] if control else [])) as meter:
        time.sleep(0.3)  # some of them before, so that all flows are there
        yield meter
        time.sleep(0.3)
    lost = [str(f) for f in meter.flows[: len(flows)] if f.lost]
    assert lost == [], lost
    assert min(f.sent for f in meter.flows) > 50
    if control:
        assert meter.flows[-1].lost > 0


def assert_as_fresh(shop: Shop, text: str) -> None:
    """Every node of the lab is as in a lab that came up with this intent."""
    fresh, found = shop.fresh(text), fingerprints(shop.lab())
    assert fresh.keys() == found.keys()
    differ = []
    for name, b in fresh.items():
        a = found[name]
        differ += [(name, what, a.get(what), b.get(what)) for what in a | b if a.get(what) != b.get(what)]
    assert differ == []
