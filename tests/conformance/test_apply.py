"""A running lab gets other tenants: the rest of it loses nothing, and it is then as if it had come up so.

These labs are their own; the lab under test is not touched.
"""

from __future__ import annotations

import time

from pytest_closet.meter import Meter

from . import changes
from .shop import BASE, FLOWS, GOLD, MOVES, PEERINGS, SILVER, UNDERLAY, Shop, assert_as_fresh, nothing_lost


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
        shop.apply(BASE + "tenants: [").refused(2, "shop.yaml")
    shop.write(BASE)
    shop.closet.run("apply", shop.closet.folder / "shop.yaml", "--name", "other").refused(2, "no such lab", "shop")
