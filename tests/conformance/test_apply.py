"""A running lab gets other tenants: the rest of it loses nothing, and it is then as if it had come up so.

These labs are their own; the lab under test is not touched.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from closet.lab import Lab, open_lab
from pytest_closet.meter import Meter

from . import changes
from .fingerprint import fingerprint
from .lifecycle import Closet, environment

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

    def __init__(self, closet: Closet) -> None:
        self.closet = closet

    def write(self, text: str) -> None:
        (self.closet.folder / "shop.yaml").write_text(text)

    def up(self, text: str = BASE + PEERINGS, name: str = "shop") -> Lab:
        self.write(text)
        self.closet.up(name, self.closet.folder / "shop.yaml").passed()
        return self.lab(name)

    def lab(self, name: str = "shop") -> Lab:
        with environment(CLOSET_HOME=str(self.closet.home)):
            return open_lab(name)

    def apply(self, text: str):
        self.write(text)
        return self.closet.run("apply", self.closet.folder / "shop.yaml")


@pytest.fixture
def shop(closet: Closet) -> Shop:
    return Shop(closet)


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
    changed, fresh = shop.lab(), shop.up(text, "fresh")
    differ = []
    for name in fresh.nodes:
        a, b = fingerprint(changed, name), fingerprint(fresh, name)
        differ += [(name, what, a.get(what), b.get(what)) for what in a | b if a.get(what) != b.get(what)]
    assert differ == []
    shop.closet.down("fresh")


def test_the_meter_sees_a_short_loss(shop: Shop) -> None:
    lab = shop.up()
    link = next(k for k in lab.fabric.links if k.b == "h2-1")
    with Meter(lab, FLOWS) as meter, changes.link_down(lab, link):
        time.sleep(0.1)
    assert {f.target for f in meter.flows if f.lost} == {"h2-1"}


def test_tenants_come_and_go(shop: Shop) -> None:
    """One comes with a peering to services, another takes its place, both go: the others lose no packet."""
    lab = shop.up()
    added = BASE + GOLD + PEERINGS + "  - {from: gold, to: services}\n"
    with nothing_lost(lab, control=MOVES):
        shop.apply(added).passed()
    assert_as_fresh(shop, added)
    swapped = BASE + SILVER + PEERINGS + "  - {between: [silver, services]}\n"
    with nothing_lost(lab):
        shop.apply(swapped).passed()
    assert_as_fresh(shop, swapped)
    with nothing_lost(lab):
        shop.apply(BASE + PEERINGS).passed()
    assert_as_fresh(shop, BASE + PEERINGS)
    again = shop.apply(BASE + PEERINGS).passed()
    assert "nothing to do" in again.out
    assert "nothing to do" in shop.closet.up("shop", shop.closet.folder / "shop.yaml").passed().out
    page = shop.closet.folder / "shop.html"
    assert shop.closet.run("check", "shop", "--html", page).passed()
    assert "The fabric does what its design promises." in page.read_text()


def test_a_tenant_changes(shop: Shop) -> None:
    """Hosts, VNI, route target, isolation and peerings of tenants that stay; the rest loses nothing."""
    lab = shop.up()
    others = [f for f in FLOWS if f[0] not in {"h1-1", "h3-3"}]
    for text in (
        BASE.replace('"h?-1"]', '"h?-1", h2-3]') + PEERINGS,
        BASE.replace('"h?-1"]', '"h?-1", h2-3], vni: 77') + PEERINGS,
        BASE.replace('"h?-1"]', '"h?-1"], restricted: true') + "peerings:\n  - {from: red, to: services}\n",
        BASE,
    ):
        with nothing_lost(lab, others):
            shop.apply(text).passed()
        assert_as_fresh(shop, text)


def test_the_first_tenant_and_the_last(shop: Shop) -> None:
    """They begin and end EVPN on every switch; who stays in the underlay loses nothing."""
    plain = BASE.partition("tenants:")[0]
    shop.up(plain)
    for text in (BASE + PEERINGS, plain):
        with nothing_lost(shop.lab(), UNDERLAY, control=("h1-1", "h2-1")):
            shop.apply(text).passed()
        assert_as_fresh(shop, text)


def test_guests_of_a_machine_stay(shop: Shop) -> None:
    """A tenant that comes costs them nothing; a NIC that would go to another node is refused first of all."""
    base = BASE.replace("{per_leaf: 5}", "{per_leaf: 5, nics: 2}").replace('"h?-1"', '"h?-1:eth1"')
    lab = shop.up(base + PEERINGS)
    flows = [("h1-1-red", "h2-1-red"), ("h2-1-red", "h3-3"), ("h1-1", "h2-1"), ("h2-1", "h3-1"), ("h1-2", "h3-2")]
    with nothing_lost(lab, flows, control=MOVES):
        shop.apply(base + GOLD + PEERINGS).passed()
    assert_as_fresh(shop, base + GOLD + PEERINGS)
    with nothing_lost(lab, flows):
        split = base + GOLD.replace("h1-4", "'h1-4:eth1'") + PEERINGS
        shop.apply(split).refused(2, "eth1 of h1-4 would be of h1-4-gold", "closet down shop")
        whole = base.replace('"h?-1:eth1"', '"h[23]-1:eth1", h1-1')
        shop.apply(whole + GOLD + PEERINGS).refused(2, "eth1 of h1-1-red would be of h1-1", "closet down shop")


def test_what_it_does_not_change_is_refused(shop: Shop) -> None:
    lab = shop.up()
    with nothing_lost(lab):
        shop.apply(BASE + PEERINGS + "links: {mtu: 9000}\n").refused(2, "links.mtu differs", "closet down shop")
        shop.apply(BASE + PEERINGS + "  - {between: [red, green]}\n").refused(2, "no tenant 'green'")
    shop.write(BASE)
    shop.closet.run("apply", shop.closet.folder / "shop.yaml", "--name", "other").refused(2, "no such lab", "shop")


def test_a_failure_is_taken_back(shop: Shop) -> None:
    """leaf2 cannot make a namespace: leaf1 has its new tenant by then, and loses it again."""
    lab = shop.up()
    before = {name: fingerprint(lab, name) for name in lab.nodes}
    lab["leaf2"].run("mv", "/usr/bin/unshare", "/usr/bin/unshare.gone")
    with nothing_lost(lab):
        shop.apply(BASE + GOLD + PEERINGS).refused(3, "leaf2", "taken back, it is as it was")
    assert {name: fingerprint(lab, name) for name in lab.nodes} == before
    shop.closet.run("check", "shop").passed()
    lab["leaf2"].run("mv", "/usr/bin/unshare.gone", "/usr/bin/unshare")
    shop.apply(BASE + GOLD + PEERINGS).passed()
    assert_as_fresh(shop, BASE + GOLD + PEERINGS)


def test_a_daemon_that_dies_meanwhile_is_started_anew(shop: Shop) -> None:
    """zebra on leaf2 dies: on the way back its FRR starts anew, and only its hosts lose anything."""
    lab = shop.up()
    spoil(lab, "pkill -KILL -x zebra")
    others = [f for f in FLOWS if not {"h2-1", "h2-2", "h2-5"} & set(f)]
    with nothing_lost(lab, others, control=("h1-1", "h2-1")):
        shop.apply(BASE + GOLD + PEERINGS).refused(3, "leaf2", "as it was (FRR was started anew on leaf2)")
    shop.closet.run("check", "shop").passed()


def test_what_cannot_be_taken_back_is_said(shop: Shop) -> None:
    """leaf2 loses bgpd for good: the error names what is not as it was; `down` removes all."""
    lab = shop.up()
    spoil(lab, "mv /usr/lib/frr/bgpd /usr/lib/frr/bgpd.gone; pkill -KILL -x bgpd")
    shop.apply(BASE + GOLD + PEERINGS).refused(3, "leaf2  daemon bgpd  expected running", "closet down shop")
    shop.closet.run("status", "shop").refused(2, "half-changed")
    shop.apply(BASE + PEERINGS).refused(2, "half-changed")
    shop.closet.run("down", "shop").passed()
    assert shop.closet.traces("shop") == []


def spoil(lab: Lab, what: str) -> None:
    """Have leaf2 fail, and this happen, when it makes a namespace."""
    lab["leaf2"].run("rm", "/usr/bin/unshare")
    lab["leaf2"].run(
        "sh", "-c", "cat > /usr/bin/unshare; chmod +x /usr/bin/unshare", stdin=f"#!/bin/sh\n{what}\nexit 1\n"
    )


@pytest.mark.parametrize("delay", [0.0, 0.2, 0.6, 1.2])
def test_killed_in_the_middle(shop: Shop, delay: float) -> None:
    """It says that it is half-changed, or is whole; `down` removes all of it."""
    shop.up()
    shop.write(BASE + GOLD + PEERINGS)
    process = shop.closet.start("apply", shop.closet.folder / "shop.yaml")
    changes.eventually(lambda: _assert_changing(shop))
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    state = shop.closet.lab("shop").read()
    if state is not None and state.phase == "changing":
        shop.closet.run("status", "shop").refused(2, "half-changed")
        assert "changing" in shop.closet.run("ls").passed().out
    shop.closet.run("down", "shop").passed()
    assert shop.closet.traces("shop") == []


def _assert_changing(shop: Shop) -> None:
    state = shop.closet.lab("shop").read()
    assert state is not None
    assert state.phase == "changing"


def test_interrupted_is_taken_back(shop: Shop) -> None:
    lab = shop.up()
    before = {name: fingerprint(lab, name) for name in lab.nodes}
    shop.write(BASE + GOLD + PEERINGS)
    with nothing_lost(lab):
        process = shop.closet.start("apply", shop.closet.folder / "shop.yaml")
        changes.eventually(lambda: _assert_changing(shop))
        process.send_signal(signal.SIGINT)
        assert shop.closet.end(process).code == 130
    assert {name: fingerprint(lab, name) for name in lab.nodes} == before
