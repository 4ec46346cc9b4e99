"""RDMA as a host's tools say it, and what is said of it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from closet.check import CHECKS
from closet.intent import loads
from closet.observe.rdma import parse_devices
from closet.plan import plan
from closet.records import RdmaDevice
from closet.runtime.node import LiveNode
from closet.suite import run_one

DEVINFO = (Path(__file__).parent / "recorded" / "ibv_devinfo.txt").read_text()
LINKS = [
    {
        "ifindex": 0,
        "ifname": "rxe_eth1",
        "port": 1,
        "state": "ACTIVE",
        "physical_state": "LINK_UP",
        "netdev": "eth1",
        "netdev_index": 3,
    }
]
COUNTERS = [{"ifname": "rxe_eth1", "port": 1, "sent_pkts": 3587, "completer_retry_err": 3, "send_err": 0}]
FABRIC = plan(
    loads("name: x\nspines: 1\nleaves: 1\nhosts: {per_leaf: 2, rdma: verbs}\nnodes: {h1-2: {rdma: endpoint}}")
)
WELL = RdmaDevice("rxe_eth1", "ACTIVE", 4096, (IPv6Address("fe80::c1:ff:fe03:0"), IPv4Address("10.0.0.129")))


def said(*devices: RdmaDevice) -> list[str]:
    check = CHECKS["verbs"]
    return [
        str(f)
        for f in check.judge("h1-1", check.expect(FABRIC)["h1-1"], {f"eth{n}": d for n, d in enumerate(devices, 1)})
    ]


def test_devices_are_read_from_what_the_tools_say():
    ((port, device),) = parse_devices(LINKS, COUNTERS, DEVINFO).items()
    assert (port, device.name, device.state, device.mtu, device.gids) == ("eth1", *_fields(WELL))
    assert device.counters == {"sent_pkts": 3587, "completer_retry_err": 3, "send_err": 0}
    assert parse_devices([], [], "") == {}


def _fields(device: RdmaDevice):
    return device.name, device.state, device.mtu, device.gids


def test_only_hosts_that_may_speak_verbs_are_asked():
    assert CHECKS["verbs"].expect(FABRIC) == {"h1-1": {"eth1": (IPv4Address("10.0.0.129"), 4096)}}


@pytest.mark.parametrize(("mtu", "payload"), [(9216, 4096), (4176, 4096), (4175, 2048), (1500, 1024), (1280, 1024)])
def test_the_payload_is_the_largest_that_fits_beside_the_headers(mtu, payload):
    fabric = plan(loads(f"name: x\nspines: 1\nleaves: 1\nhosts: {{per_leaf: 1, rdma: auto}}\nlinks: {{mtu: {mtu}}}"))
    assert CHECKS["verbs"].expect(fabric)["h1-1"]["eth1"][1] == payload


def test_what_is_wrong_is_said():
    assert said(WELL) == []
    assert said() == ["h1-1  RDMA on eth1  expected a device, observed none"]
    bad = RdmaDevice("rxe_eth1", "DOWN", 1024, (IPv6Address("fe80::1"),), {"out_of_seq_request": 7, "sent_pkts": 9})
    assert said(bad) == [
        "h1-1  RDMA rxe_eth1  expected ACTIVE, observed DOWN",
        "h1-1  RDMA rxe_eth1 GIDs  expected 10.0.0.129 among them, observed fe80::1",
        "h1-1  RDMA rxe_eth1 MTU  expected 4096, observed 1024",
        "h1-1  RDMA rxe_eth1 out_of_seq_request  expected 0, observed 7",
    ]


def test_hosts_that_were_given_the_endpoint_instead_are_not_counted():
    fabric = plan(loads("name: x\nspines: 1\nleaves: 1\nhosts: {per_leaf: 2, rdma: auto}\n"))
    nodes = {n: LiveNode(name=n, pid=1, folder=Path("/")) for n in fabric.nodes}
    for node in nodes.values():
        node.rdma = "endpoint"
    result = run_one(fabric, nodes, CHECKS["verbs"])
    assert (result.claims, result.findings, result.mark) == (0, [], "-")
