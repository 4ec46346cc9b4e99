"""The claims about a transfer on the wire: a healthy one has no finding, and each thing that goes wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from closet.check.elephants import elephants, loads
from closet.check.wire import claims, wire
from closet.expect.elephants import at_most, expected_fans, ideal
from closet.expect.way import Way, expected_way
from closet.intent import load
from closet.plan import Fabric, Node, plan
from closet.records import Endpoint, Load
from closet.report import loads as report
from closet.roce import icrc
from closet.roce.assembler import Assembler
from closet.roce.endpoint import Attributes
from closet.roce.path import Path as RocePath
from closet.roce.ports import of_qps
from closet.roce.wire import RETH, Op, word
from closet.traffic.rdma import Job, Result
from closet.traffic.sightings import Sighting, Watched, dissect, sightings_in
from closet.traffic.wire import Frame, Place

from .roce.channel import ip_packet
from .roce.test_packet import checksum

ROOT = Path(__file__).parents[2]
MTU, TOS = 1024, 0x6A


def nic(fabric: Fabric, name: str) -> Endpoint:
    port = fabric[name].ports[0]
    assert port.rail is not None
    return Endpoint(name, port.rail, port.name)


def fabric_of(name: str) -> Fabric:
    return plan(load(ROOT / "topologies" / f"{name}.yaml"))


class Journey:
    """What would be seen of WRITEs on some queue pairs, in both directions, by way of a spine for each."""

    def __init__(self, fabric: Fabric, source: str, target: str, qps: int = 4) -> None:
        self.fabric = fabric
        self.source, self.target = nic(fabric, source), nic(fabric, target)
        self.way: Way = expected_way(fabric, self.source, self.target)
        self.qpns = tuple((100 + n, 5000 + n) for n in range(qps))
        self.job = Job(attributes=Attributes(mtu=MTU, tos=TOS), qps=qps)
        self.sightings: list[Sighting] = []
        for n, (mine, theirs) in enumerate(self.qpns):
            there = [(Op.WRITE_FIRST, MTU), (Op.WRITE_MIDDLE, MTU), (Op.WRITE_LAST, 6)]
            self._flow(self.source, self.target, theirs, of_qps(mine, theirs), n, there)
            self._flow(self.target, self.source, mine, of_qps(mine, theirs), n, [(Op.ACK, 0)])

    def _flow(self, a: Endpoint, b: Endpoint, qpn: int, sport: int, n: int, ops: list[tuple[Op, int]]) -> None:
        path = RocePath(local=str(a.address), remote=str(b.address), sport=sport, tos=TOS, mtu=MTU)
        sent: list[bytes] = []
        out = Assembler(lambda _, data, __: sent.append(bytes(data)))
        for psn, (op, size) in enumerate(ops):
            extended = RETH.pack(0, 0, 2 * MTU + 6) if op == Op.WRITE_FIRST else bytes(4) if op == Op.ACK else b""
            out.packet(path, word(op, qpn, -size & 3), psn, extended, bytes(size))
        for each in sent:
            self.sightings += self._walk(a, b, bytearray(ip_packet(path, each, 0)), n)

    def _walk(self, a: Endpoint, b: Endpoint, packet: bytearray, n: int) -> list[Sighting]:
        fabric = self.fabric
        packet[8] = 64
        leaf, last = (fabric[fabric[e.host].port(e.port or "").peer] for e in (a, b))
        spines = fabric.uplinks(leaf)
        up = spines[n % len(spines)]
        down = next(p for p in fabric[up.peer].ports if p.peer == last.name)
        tenant = fabric[a.host].vrf != "default"
        found: list[Sighting] = []

        def cable(node: Node, port: str, outer_ttl: int = 0) -> None:
            outer = self._outer(leaf, last, packet, outer_ttl) if tenant and outer_ttl else b""
            for place, leaving in ((Place(node.name, port), True), (Place(*self.way.peers[node.name, port]), False)):
                found.append(Sighting(place, leaving, checksum(packet), outer))

        cable(fabric[a.host], a.port or "")
        packet[8] -= 1
        cable(leaf, up.name, 64)
        packet[8] -= not tenant
        cable(fabric[up.peer], down.name, 63)
        packet[8] -= 1
        cable(last, fabric[b.host].port(b.port or "").peer_port)
        return found

    def _outer(self, leaf: Node, last: Node, packet: bytearray, ttl: int) -> bytes:
        vni = min(self.way.vnis)
        length = len(packet) + 50
        ip = bytearray(20)
        ip[0:4] = bytes([0x45, packet[1], length >> 8, length & 255])
        ip[6], ip[8], ip[9] = 0x40, ttl, 17
        ip[12:16], ip[16:20] = leaf.loopback.packed, last.loopback.packed
        sport = 40000 + packet[21]
        udp = sport.to_bytes(2, "big") + (4789).to_bytes(2, "big") + (length - 20).to_bytes(2, "big") + bytes(2)
        return checksum(ip) + udp + b"\x08\0\0\0" + vni.to_bytes(3, "big") + b"\0"

    def watched(self) -> Watched:
        result = Result.__new__(Result)
        object.__setattr__(result, "qpns", self.qpns)
        return Watched(self.source, self.target, self.job, result, tuple(self.sightings), ())

    def findings(self) -> list[str]:
        return [str(f) for f in wire(self.way, self.watched())]

    def where(self, node: str, leaving: bool, op: Op = Op.WRITE_MIDDLE) -> list[int]:
        """The indices of what was seen there."""
        return [
            i
            for i, s in enumerate(self.sightings)
            if s.place.node == node and s.leaving == leaving and s.packet[28] == op
        ]

    def change(self, i: int, at: int, value: int, *, seal: bool = True) -> None:
        p = bytearray(self.sightings[i].packet)
        p[at] = value
        if seal:
            p[-4:] = icrc.of_packet(bytes(p)).to_bytes(4, "little")
        self.sightings[i] = replace(self.sightings[i], packet=checksum(p))

    def change_outer(self, i: int, at: int, value: int) -> None:
        p = bytearray(self.sightings[i].outer)
        p[at] = value
        self.sightings[i] = replace(self.sightings[i], outer=bytes(p))


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


# dissecting


def test_dissection(tenant: Journey) -> None:
    plain, wrapped = tenant.sightings[0], tenant.sightings[2]
    ethernet = bytes(12) + b"\x08\0"
    assert dissect(ethernet + plain.packet + bytes(9)) == (plain.packet, b"")
    assert dissect(ethernet + wrapped.outer + ethernet + wrapped.packet) == (wrapped.packet, wrapped.outer)
    assert dissect(bytes(12) + b"\x86\xdd" + plain.packet) == (b"", b"")
    assert dissect(b"") == (b"", b"")
    other = bytearray(plain.packet)
    other[22:24] = (53).to_bytes(2, "big")
    assert dissect(ethernet + bytes(other)) == (b"", b"")
    frames = [Frame(Place("h1-1", "eth1"), 0.0, True, ethernet + plain.packet)]
    assert len(sightings_in(frames, {tenant.source.address, tenant.target.address})) == 1
    assert sightings_in(frames, {IPv4Address("192.0.2.1")}) == []


# elephants


@pytest.mark.parametrize(
    ("n", "m", "busiest", "empty", "efficiency"),
    [
        (4, 4, 2.12, 1.27, 0.513),
        (8, 4, 3.54, 0.40, 0.592),
        (16, 4, 6.14, 0.04, 0.671),
        (8, 8, 2.60, 2.75, 0.410),
        (64, 8, 12.2, 0.002, 0.664),
        (2, 2, 1.51, 0.5, 0.747),
        (16, 2, 9.57, 0.0, 0.849),
        (16, 16, 3.08, 5.70, 0.344),
    ],
)
def test_the_ideal_hash_is_what_others_simulated(
    n: int, m: int, busiest: float, empty: float, efficiency: float
) -> None:
    got = ideal(n, m)
    assert got.busiest == pytest.approx(busiest, abs=0.05)
    assert got.empty == pytest.approx(empty, abs=0.01)
    assert got.efficiency == pytest.approx(efficiency, abs=0.005)


def test_no_collision_is_as_likely_as_counting_says() -> None:
    assert at_most(4, 4, 1) == pytest.approx(24 / 256)
    assert at_most(8, 8, 1) == pytest.approx(0.0024, abs=1e-4)
    assert at_most(5, 1, 5) == 1
    assert at_most(5, 1, 4) == 0


def test_loads_and_their_verdict(underlay: Journey) -> None:
    fans = expected_fans(underlay.fabric, underlay.source, underlay.target)
    assert [(f.node, len(f.ports)) for f in fans] == [("leaf1", 2)]
    carried = loads(underlay.fabric, fans, underlay.watched())
    ((one, other),) = carried.values()
    assert (one.qps, one.packets, other.qps) == (2, 6, 2)
    assert one.size == 2 * (3 * (14 + 28 + 16) + 16 + 2 * MTU + 8)
    assert list(elephants(fans, carried)) == []


def test_a_layer_3_hash_is_found() -> None:
    fabric = fabric_of("quickstart")
    (fan,) = expected_fans(fabric, nic(fabric, "h1-1"), nic(fabric, "h2-1"))
    for n, found in ((20, 0), (21, 1), (64, 1)):
        its = [Load("leaf1", fan.ports[0], "spine1", n, n, n), Load("leaf1", fan.ports[1], "spine2", 0, 0, 0)]
        assert len(list(elephants([fan], {fan: its}))) == found
    assert list(elephants([fan], {fan: [replace(its[0], qps=0), its[1]]})) == []


def test_fans_in_other_fabrics() -> None:
    fabric = fabric_of("three-tier")
    far = fabric.hosts[-1].name
    vip = Endpoint("p1-h1-1", fabric["p1-h1-1"].loopback) if "p1-h1-1" in fabric.nodes else None
    fans = expected_fans(fabric, nic(fabric, fabric.hosts[0].name), nic(fabric, far))
    assert {fabric[f.node].role for f in fans} == {"leaf", "spine"}
    source = vip or Endpoint(fabric.hosts[0].name, fabric.hosts[0].loopback)
    assert expected_fans(fabric, source, nic(fabric, far))[0].node == source.host
    tenants = fabric_of("tenants")
    (fan,) = expected_fans(tenants, nic(tenants, "h1-1"), nic(tenants, "h2-1"))
    assert (fan.node, fan.vrf, len(fan.ports)) == ("leaf1", "red", 2)


def test_the_report_of_loads(underlay: Journey) -> None:
    import xml.etree.ElementTree as ET

    fans = expected_fans(underlay.fabric, underlay.source, underlay.target)
    carried = loads(underlay.fabric, fans, underlay.watched())
    shown = list(report.rows(carried))
    assert [row[:4] for row in shown] == [("leaf1", "eth1", "spine1", 2), ("leaf1", "eth2", "spine2", 2)]
    assert all(row[6] == "50%" and len(str(row[7])) == 15 for row in shown)
    (fact,) = report.facts(carried)
    assert fact.startswith("leaf1: 4 QPs over 2 paths: 2 on the busiest (an ideal hash: 2.75 ± 0.66)")
    assert ET.fromstring(report.svg("a <b>", carried)).tag.endswith("svg")
    assert report.bar(0.0) == ""
    assert report.bar(1.0) == "█" * 30
