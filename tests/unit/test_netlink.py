"""What closet makes of the kernel's messages, said by pyroute2: the same words, taken apart by other hands."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from closet.observe import netlink
from closet.observe.netlink import Device, Neighbour, Route

MACS = st.binary(min_size=6, max_size=6).map(lambda b: b.hex(":"))
NUMBERS = st.integers(1, 2**31 - 1)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-", min_size=1, max_size=15)


def said(message: Any, *others: Any) -> list[memoryview]:
    """Messages of pyroute2's, one after another as the kernel sends them; each without its header."""
    data = b""
    for each in (message, *others):
        each.encode()
        data += bytes(each.data).ljust(len(each.data) + 3 & ~3, b"\0")
    return [body for _, body in netlink.messages(data)]


@given(NAMES, MACS, NUMBERS, NUMBERS, st.integers(0, 65535), st.sampled_from(["", "bridge", "vrf"]))
def test_devices(name: str, mac: str, index: int, flags: int, mtu: int, master: str) -> None:
    message = ifinfmsg()
    message["index"], message["flags"] = index, flags
    info = {"attrs": [("IFLA_INFO_KIND", "veth"), *([("IFLA_INFO_SLAVE_KIND", master)] if master else [])]}
    message["attrs"] = [("IFLA_IFNAME", name), ("IFLA_TXQLEN", 1000), ("IFLA_MTU", mtu), ("IFLA_ADDRESS", mac)]
    message["attrs"] += [("IFLA_LINKINFO", info), *([("IFLA_MASTER", 7)] if master else [])]
    (body,) = said(message)
    want = Device(index, name, flags, mac, mtu, "veth", 7 if master else 0, master, 0)
    assert netlink.parse_link(body) == want


def test_the_device_of_a_vrf_says_its_table() -> None:
    message = ifinfmsg()
    data = {"attrs": [("IFLA_VRF_TABLE", 1010)]}
    info = {"attrs": [("IFLA_INFO_KIND", "vrf"), ("IFLA_INFO_DATA", data)]}
    message["attrs"] = [("IFLA_IFNAME", "red"), ("IFLA_LINKINFO", info)]
    (body,) = said(message)
    device = netlink.parse_link(body)
    assert (device.kind, device.vrf_table) == ("vrf", 1010)


@given(
    st.ip_addresses(v=4), st.integers(0, 32), st.lists(st.tuples(NUMBERS, st.none() | st.ip_addresses(v=4)), max_size=8)
)
def test_routes(address: IPv4Address, length: int, hops: list[tuple[int, IPv4Address | None]]) -> None:
    """None, one and several next hops, each with a gateway or without."""
    prefix = IPv4Network((address, length), strict=False)
    message = rtmsg()
    message["family"], message["dst_len"], message["table"], message["proto"] = 2, length, 254, 186
    message["attrs"] = [("RTA_TABLE", 1010)]
    if length:
        message["attrs"].append(("RTA_DST", str(prefix.network_address)))

    def ways(gateway: IPv4Address | None) -> list[tuple[str, str]]:
        return [("RTA_GATEWAY", str(gateway))] if gateway is not None else []

    if len(hops) == 1:
        message["attrs"] += [("RTA_OIF", hops[0][0]), *ways(hops[0][1])]
    elif hops:
        several = [{"oif": i, "hops": 0, "flags": 0, "attrs": ways(gateway)} for i, gateway in hops]
        message["attrs"].append(("RTA_MULTIPATH", several))
    (body,) = said(message)
    assert netlink.parse_route(body) == Route(prefix, 1010, 186, tuple(hops))


@pytest.mark.parametrize("flags", [0, 0x200])
def test_a_path_mtu_that_was_learned_is_no_route(flags: int) -> None:
    message = rtmsg()
    message["family"], message["dst_len"], message["table"], message["flags"] = 2, 32, 254, flags
    message["attrs"] = [("RTA_DST", "10.64.0.16"), ("RTA_OIF", 2)]
    (body,) = said(message)
    assert netlink.remembered(body) == bool(flags)


@given(NUMBERS, st.ip_addresses(), MACS, st.booleans(), st.integers(0, 65535))
def test_neighbours(index: int, address: Any, mac: str, known: bool, state: int) -> None:
    message = ndmsg()
    message["family"], message["ifindex"], message["state"] = 2 if address.version == 4 else 10, index, state
    message["attrs"] = [("NDA_DST", str(address)), *([("NDA_LLADDR", mac)] if known else [])]
    (body,) = said(message)
    want = Neighbour(index, ip_address(str(address)), mac if known else "", state, 0)
    assert netlink.parse_neighbour(body) == want


@pytest.mark.parametrize("count", [1, 2, 5])
def test_messages_of_one_datagram_are_all_taken(count: int) -> None:
    several = [ndmsg() for _ in range(count)]
    for n, message in enumerate(several):
        message["ifindex"] = n
        message["attrs"] = [("NDA_LLADDR", "02:00:00:00:00:01")]
    assert [netlink.parse_neighbour(m).index for m in said(*several)] == list(range(count))


@given(st.binary(max_size=200))
def test_a_datagram_that_ends_early_is_no_endless_loop(data: bytes) -> None:
    for _, body in netlink.messages(data):
        assert len(body) <= len(data)


def test_a_message_of_length_zero_is_passed() -> None:
    assert len(list(netlink.messages(struct.pack("=IHHII", 0, 0, 0, 0, 0) * 3))) == 3
