"""What of `closet compare` needs no fabric: frames, the stretched design, and what is made of the measurements."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

from closet.cli.compare import compare
from closet.contrast import design, frames
from closet.contrast.asics import ASICS, endpoints_that_fill
from closet.contrast.results import Copies, Growth, Load, Pings, Side, parse_pings
from closet.contrast.table import asic_rows, rows
from closet.errors import ProbeError
from closet.intent import loads
from closet.plan import Role, plan

PINGED = """PING 172.16.0.3 (172.16.0.3) 400(428) bytes of data.

--- 172.16.0.3 ping statistics ---
150 packets transmitted, {n} received, {lost}% packet loss, time 2990ms
"""
TIMED = "rtt min/avg/max/mdev = 0.051/{avg}/{worst}/0.010 ms\n"


@pytest.fixture
def underlay():
    return plan(loads(design.underlay(2, 4)))


def test_an_announcement_is_a_gratuitous_arp_of_its_own_mac():
    mac = frames.endpoint_mac(258, 4999)
    frame = Ether(frames.announcement(mac))
    assert (frame.src, frame.dst, len(frame)) == ("02:e0:01:02:13:87", "ff:ff:ff:ff:ff:ff", 60)
    assert frame[ARP].hwsrc == frame.src
    assert frame[ARP].psrc == frame[ARP].pdst


def test_endpoints_have_macs_of_their_own():
    assert len({frames.endpoint_mac(host, i) for host in range(64) for i in range(100)}) == 6400


def test_a_broadcast_is_a_sound_packet_with_the_mark_in_it():
    data = frames.broadcast(b"\x02" + bytes(5), 1025, 1000)
    frame = Ether(data)
    assert (len(data), frame.dst, frame[IP].dst, frame[IP].tos) == (1000, "ff:ff:ff:ff:ff:ff", "255.255.255.255", 104)
    assert (frame[UDP].sport, frame[UDP].len, frame[IP].len) == (1025, 966, 986)
    assert frames.MARK in data
    sum_as_sent, frame[IP].chksum = frame[IP].chksum, None
    assert Ether(bytes(frame))[IP].chksum == sum_as_sent


def test_both_fabrics_have_the_same_nodes_and_cables(underlay):
    routed = plan(loads(design.routed(2, 4)))
    assert routed.links == underlay.links
    assert list(routed.nodes) == list(underlay.nodes)
    for tenant in design.TENANTS:
        assert [h.name for h in routed.hosts if h.vrf == tenant] == [h.name for h in design.hosts(underlay, tenant)]


def test_every_host_has_an_address_of_its_tenants_subnet(underlay):
    addresses = [design.address(underlay, h) for h in underlay.hosts]
    assert len({a.ip for a in addresses}) == 8
    assert [str(a) for a in addresses[:3]] == ["172.16.0.1/16", "172.17.0.1/16", "172.16.0.2/16"]


def test_a_leaf_joins_each_host_port_to_its_tenants_bridge(underlay):
    script = design.plumbing(underlay, underlay["leaf2"]).splitlines()
    assert "ip link set eth3 master br-red" in script
    assert "ip link set eth4 master br-blue" in script
    assert not any("eth1" in line or "eth2" in line for line in script)
    assert sum("type vxlan id" in line and "local 10.255.0.4" in line for line in script) == 2


def test_leaves_advertise_their_vnis_and_spines_pass_them_on(underlay):
    for switch in underlay.switches:
        lines = design.evpn(underlay, switch)
        leaf = switch.role is Role.LEAF
        assert ("advertise-all-vni" in lines) is leaf
        assert f"neighbor {'UP' if leaf else 'DOWN'} activate" in lines


@pytest.mark.parametrize(
    ("growth", "fills"),
    [
        (((40, 48), (400, 408)), 5_992),
        (((40, 6), (400, 6)), None),
        (((1, 1), (10, 28)), 2001),
        (((4, 9), (8, 7)), None),
    ],
)
def test_a_table_is_full_where_measured_growth_gets_there(growth, fills):
    assert endpoints_that_fill(6_000, growth) == fills


def test_asics_are_in_order_and_each_says_where_it_is_from():
    assert [a.mac for a in ASICS] == sorted(a.mac for a in ASICS)
    assert all(a.source for a in ASICS)


def test_pings_of_several_pairs_count_together():
    one = PINGED.format(n=150, lost=0) + TIMED.format(avg="0.1", worst="0.5")
    two = PINGED.format(n=50, lost=66) + TIMED.format(avg="4.1", worst="9.5")
    none = PINGED.format(n=0, lost=100)
    pings = parse_pings(one, two, none)
    assert (pings.sent, pings.answered, pings.worst) == (450, 200, 9.5)
    assert pings.average == pytest.approx(1.1)
    assert pings.delivered == pytest.approx(44.4, abs=0.1)


@pytest.mark.parametrize("text", ["", "ping: connect: Network is unreachable\n"])
def test_a_ping_that_did_not_run_is_an_error(text):
    with pytest.raises(ProbeError, match="ping: "):
        parse_pings(text)


def test_the_table_says_what_was_measured():
    pings = Pings(100, 100, 0.1, 0.3)
    quiet = Load(0.0, 3.0, 0.2, pings, pings)
    routed = Side((Growth(4, 6, 24, 16), Growth(40, 6, 24, 16)), Copies(100, 0, 0), quiet, quiet)
    hit = replace(quiet, offered=19.5, fabric=80.0, other=Pings(100, 75, 39.0, 42.0))
    stretched = Side((Growth(4, 12, 48, 22), Growth(40, 48, 192, 58)), Copies(100, 600, 300), quiet, hit)
    told = {head: cells for head, *cells in rows(routed, stretched)}
    assert told["40 endpoints: MAC entries of a leaf / of all switches / EVPN routes of a spine"] == [
        "6 / 24 / 16",
        "48 / 192 / 58",
    ]
    assert told["a broadcast: links between switches crossed by its copies"] == ["0", "6"]
    assert told["pings of another tenant answered"] == ["100.0 → 100.0 %", "100.0 → 75.0 %"]
    first = next(asic_rows(routed, stretched))
    assert first[:4] == ("Spectrum-1, v4-lpm-heavy-1", "6,000", "never", "5,992 endpoints")


@pytest.mark.parametrize("counts", ["1", "10,1", "1,x", "0,", "1,5001", "1,1"])
def test_counts_that_say_nothing_are_refused(counts):
    done = CliRunner().invoke(compare, ["--endpoints", counts])
    assert done.exit_code == 2
    assert "allowed are two or more growing numbers" in done.output
