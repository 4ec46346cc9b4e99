"""RoCEv2 packets are found in frames, by themselves and inside VXLAN; nothing else is."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from closet.traffic.sightings import dissect, sightings_in
from closet.traffic.wire import Frame, Place

from .journey import Journey, fabric_of


@pytest.fixture
def tenant() -> Journey:
    return Journey(fabric_of("tenants"), "h1-1", "h2-1")


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
