"""The claims about a transfer on the wire: a healthy one has no finding, and each thing that goes wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from closet.check.wire import claims
from closet.roce.wire import Op
from closet.traffic.wire import Place

from .journey import Journey, fabric_of


@pytest.fixture
def underlay() -> Journey:
    return Journey(fabric_of("quickstart"), "h1-1", "h2-1")


@pytest.fixture
def tenant() -> Journey:
    return Journey(fabric_of("tenants"), "h1-1", "h2-1")


def test_a_healthy_transfer(underlay: Journey, tenant: Journey) -> None:
    assert underlay.way.routers == {3}
    assert tenant.way.routers == {2}
    assert underlay.findings() == []
    assert tenant.findings() == []
    assert claims(underlay.watched()) == 6 * len(underlay.sightings) == 6 * 4 * 8 * 4


def everywhere_after(j: Journey, i: int, change: Callable[[int], None]) -> None:
    """To a packet at a place, and wherever it comes later: what a switch did stays done."""
    s = j.sightings[i]
    same = [k for k in range(i, len(j.sightings)) if j.sightings[k].packet[28:40] == s.packet[28:40]]
    for k in same:
        change(k)


UNDERLAY = {
    # name: (what is done, device and words of the one finding)
    "a byte of the payload, and the ICRC made anew": (
        lambda j: everywhere_after(j, j.where("leaf1", True)[0], lambda k: j.change(k, 60, 9)),
        ("leaf1", "bytes", "byte 60 differs"),
    ),
    "DSCP bleached by a leaf": (
        lambda j: everywhere_after(j, j.where("leaf2", True)[0], lambda k: j.change(k, 1, 0x02)),
        ("leaf2", "DSCP and ECN", "0x6a then 0x02"),
    ),
    "marked by a spine": (
        lambda j: everywhere_after(j, j.where("spine1", True)[0], lambda k: j.change(k, 1, 0x6B)),
        ("spine1", "DSCP and ECN", "0x6a then 0x6b"),
    ),
    "lost in a switch": (
        lambda j: [j.sightings.pop(j.where(*at)[0]) for at in (("h2-1", False), ("leaf2", True))],
        ("leaf2", "no packet lost", "WRITE_MIDDLE to QP 5000, PSN 1"),
    ),
    "lost on a cable": (
        lambda j: [
            j.sightings.pop(j.where(*at)[0])
            for at in (("h2-1", False), ("leaf2", True), ("leaf2", False), ("spine1", True), ("spine1", False))
        ],
        ("leaf1", "to spine1", "WRITE_MIDDLE to QP 5000, PSN 1"),
    ),
    "a TTL that is not lowered": (
        lambda j: everywhere_after(
            j, j.where("leaf2", True)[0], lambda k: j.change(k, 8, j.sightings[k].packet[8] + 1)
        ),
        ("leaf2", "TTL", "62 then 62"),
    ),
}


@pytest.mark.parametrize("what", UNDERLAY)
def test_what_goes_wrong_is_named(underlay: Journey, what: str) -> None:
    do, (device, *words) = UNDERLAY[what]
    do(underlay)
    found = underlay.findings()
    assert found[0].startswith(device + "  ")
    assert all(w in found[0] for w in words), found[0]
    assert len(found) == 1 + (what == "a TTL that is not lowered"), found  # then the number of routers is wrong, too


def test_damage_on_a_cable_is_an_icrc(underlay: Journey) -> None:
    i = underlay.where("spine1", False)[0]
    everywhere_after(underlay, i, lambda k: underlay.change(k, 60, 9, seal=False))
    found = underlay.findings()
    assert all("ICRC" in f or "bytes" in f for f in found)
    assert any(f.startswith("leaf1") and "to spine1" in f for f in found)


def test_overtaken(underlay: Journey) -> None:
    for node, leaving in (("leaf2", True), ("h2-1", False)):
        i, k = underlay.where(node, leaving)[0], underlay.where(node, leaving, Op.WRITE_FIRST)[0]
        s = underlay.sightings
        s[i], s[k] = s[k], s[i]
    (only,) = underlay.findings()
    assert only.startswith("leaf2")
    assert "overtaken" in only


def test_repeated(underlay: Journey) -> None:
    for node, leaving in (("leaf2", True), ("h2-1", False)):
        i = underlay.where(node, leaving)[0]
        underlay.sightings.insert(i, underlay.sightings[i])
    found = underlay.findings()
    assert found[0].startswith("leaf2")
    assert "repeated" in found[0]


def test_one_qp_on_two_paths(underlay: Journey) -> None:
    """A middle packet goes by the other spine."""
    other = {"spine1": "spine2"}
    fabric = underlay.fabric
    leaf_port = {p.peer: p.name for p in fabric.uplinks(fabric["leaf1"])}
    for node, leaving in (("leaf1", True), ("spine1", False), ("spine1", True), ("leaf2", False)):
        i = underlay.where(node, leaving)[0]
        s = underlay.sightings[i]
        place = s.place
        if node == "leaf1":
            place = Place("leaf1", leaf_port["spine2"])
        elif node == "leaf2":
            place = Place("leaf2", next(p.name for p in fabric["leaf2"].ports if p.peer == "spine2"))
        else:
            place = Place(other[node], place.port)
        underlay.sightings[i] = replace(s, place=place)
    found = underlay.findings()
    assert found[0].startswith("leaf1  path of QP 5000")
    assert "observed 2: " in found[0]


def test_a_source_port_of_its_own_choice(underlay: Journey) -> None:
    underlay.qpns = (*underlay.qpns[:-1], (100, 5003))
    found = underlay.findings()
    assert any("source port to QP 5003" in f for f in found)


def test_a_fragment(underlay: Journey) -> None:
    i = underlay.where("leaf1", True)[0]
    p = bytearray(underlay.sightings[i].packet)
    p[6] = 0x20
    underlay.sightings.append(replace(underlay.sightings[i], packet=bytes(p)))
    (only,) = underlay.findings()
    assert only.startswith("leaf1")
    assert "no fragment" in only


def test_too_large_for_a_link(underlay: Journey) -> None:
    underlay.way = replace(underlay.way, mtus={**underlay.way.mtus, ("leaf2", "eth1"): 1000})
    assert {f.split("  ")[0] for f in underlay.findings()} == {"leaf2"}
    assert "IP MTU" in underlay.findings()[0]


TENANT = {
    "DSCP not copied to VXLAN": (1, 0x02, "ToS of VXLAN"),
    "another VNI": (34, 0xFF, "VNI"),
    "from another VTEP": (15, 0xFE, "VTEP from"),
    "VXLAN's source port changes": (21, 0x01, "VXLAN's source port for QP"),
}


@pytest.mark.parametrize("what", TENANT)
def test_what_goes_wrong_of_vxlan_is_named(tenant: Journey, what: str) -> None:
    at, value, words = TENANT[what]
    assert tenant.sightings[2].outer
    for i, s in enumerate(tenant.sightings):
        if s.outer and s.packet[28] == Op.WRITE_MIDDLE:
            tenant.change_outer(i, at, value)
    found = tenant.findings()
    assert found
    assert all(words in f for f in found), found


def test_a_vxlan_packet_that_its_link_has_no_room_for(tenant: Journey) -> None:
    """Full packets fit the tenant's MTU; with VXLAN's 50 bytes they must fit the fabric's."""
    size = 1024 + 16 + 28
    places = dict.fromkeys(tenant.way.mtus, size + 50)
    tenant.way = replace(tenant.way, mtus=places)
    assert all("IP MTU" in f and "1134 bytes" in f for f in tenant.findings())  # WRITE_FIRST has 16 bytes more
    tenant.way = replace(tenant.way, mtus=dict.fromkeys(places, size + 66))
    assert tenant.findings() == []


def test_a_mark_inside_is_not_copied_outwards(tenant: Journey) -> None:
    """RFC 6040: the ingress of a tunnel makes CE into ECT(0)."""
    for i, s in enumerate(tenant.sightings):
        tenant.change(i, 1, 0x6B)
        if s.outer:
            tenant.change_outer(i, 1, 0x6A)
    assert all("ToS expected 0x6a" in f.replace("  ", " ") for f in tenant.findings())
