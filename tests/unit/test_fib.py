"""A kernel's routes as they are judged: which count, what their next hops are called, and who made the strays."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from closet.check.control import tables_differ
from closet.observe.kernel import fib_of
from closet.observe.netlink import Route

NAMES = {1: "lo", 2: "eth1", 3: "eth2", 4: "br7"}
EVERYWHERE = IPv4Network("0.0.0.0/0")
BLOCK = IPv4Network("10.0.1.0/24")


def test_a_route_that_none_of_ours_made_says_who_did():
    """`ip route add blackhole 10.0.1.1/32`; another by hand beside BGP's, of a better metric; and one of staticd's."""
    bgp = Route(BLOCK, 254, 186, ((2, None), (3, None)))
    one = IPv4Network("10.0.1.1/32")
    strays = [Route(one, 254, 3, ()), Route(BLOCK, 254, 4, ((2, None),)), Route(EVERYWHERE, 254, 196, ((3, None),))]
    assert fib_of([bgp], NAMES, bridge="", ours={186}) == {BLOCK: {"eth1", "eth2"}}
    observed = fib_of([bgp, *strays], NAMES, bridge="", ours={186})
    planned = {"default": {BLOCK: frozenset({"eth1", "eth2"})}}
    assert [str(f) for f in sorted(tables_differ("spine1", "FIB", planned, {"default": observed}))] == [
        "spine1  FIB 0.0.0.0/0  expected none, observed eth2 (by staticd)",
        "spine1  FIB 10.0.1.0/24  expected eth1 eth2, observed eth1 eth1 (by hand) eth2",
        "spine1  FIB 10.0.1.1/32  expected none, observed blackhole (by hand)",
    ]


def test_a_vrf_has_vteps_and_static_routes_and_an_end():
    routes = [
        Route(IPv4Network("10.64.0.4/32"), 1010, 186, ((4, IPv4Address("10.255.0.5")), (4, IPv4Address("10.255.0.6")))),
        Route(BLOCK, 1010, 196, ((2, None),)),
        Route(EVERYWHERE, 1010, 3, ()),
    ]
    assert {str(p): set(ways) for p, ways in fib_of(routes, NAMES, bridge="br7", ours={186, 196}).items()} == {
        "10.64.0.4/32": {"10.255.0.5", "10.255.0.6"},
        "10.0.1.0/24": {"eth1"},
    }
