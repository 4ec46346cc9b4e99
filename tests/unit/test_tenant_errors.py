"""Tenants and peerings that cannot be are refused in one line that names the place."""

from __future__ import annotations

import pytest

from closet.errors import IntentError
from closet.intent import loads
from closet.plan import plan

BASE = "name: t\nspines: 2\nleaves: 2\nhosts: {per_leaf: 4}\n"


REFUSED = {
    "a host in two tenants": (
        "tenants: {red: {hosts: [h1-1]}, blue: {hosts: ['h1-*']}}",
        "tenants.blue.hosts: h1-1:eth1 is in tenants.red already, allowed: one tenant and subnet a NIC",
    ),
    "a host in two subnets": (
        "tenants: {red: {subnets: {a: {hosts: [h1-1]}, b: {hosts: [h1-1]}}}}",
        (
            "tenants.red.subnets.b.hosts: h1-1:eth1 is in tenants.red.subnets.a already, "
            "allowed: one tenant and subnet a NIC"
        ),
    ),
    "nobody": (
        "tenants: {red: {hosts: [nope]}}",
        "tenants.red.hosts[0]: 'nope' matches no host, allowed: a name or pattern of h1-1 ... h2-4",
    ),
    "one VNI twice": (
        "tenants: {red: {hosts: [h1-1], vni: 7}, blue: {hosts: [h1-2], vni: 7}}",
        "tenants.blue.vni: 7 is also the VNI of red, allowed: a number no other tenant has",
    ),
    "one route target twice": (
        "tenants: {red: {hosts: [h1-1], route_target: '1:2'}, blue: {hosts: [h1-2], route_target: '1:2'}}",
        (
            "tenants.blue.route_target: 1:2 is also that of red: each would import the other's routes, "
            "allowed: one no other tenant has"
        ),
    ),
    "one route target in two spellings": (
        "tenants: {red: {hosts: [h1-1], route_target: '65000:7'}, blue: {hosts: [h1-2], route_target: '65000:07'}}",
        (
            "tenants.blue.route_target: 65000:7 is also that of red: each would import the other's routes, "
            "allowed: one no other tenant has"
        ),
    ),
    "a route target beyond its fields": (
        "tenants: {red: {hosts: [h1-1], route_target: '65536:1'}}",
        "tenants.red.route_target: 65536:1 given, allowed: at most 65535:4294967295",
    ),
    "a prefix that is too small": (
        "tenants: {red: {hosts: [h1-1, h1-2], prefix: 10.1.0.0/30}}",
        "tenants.red.prefix: 10.1.0.0/30 is too small: h1-2 needs 2 more addresses, one for itself and one a NIC",
    ),
    "subnets that overlap": (
        "tenants: {red: {subnets: {a: {hosts: [h1-1], prefix: 10.1.0.0/24}, b: {hosts: [h1-2], prefix: 10.1.0.0/28}}}}",
        "tenants.red.subnets.b.prefix: 10.1.0.0/28 overlaps a 10.1.0.0/24, allowed: subnets that do not overlap",
    ),
    "an interface's name": (
        "tenants: {eth1: {hosts: [h1-1]}}",
        "tenants.eth1: 'eth1' is also the name of an interface, allowed: another name",
    ),
    "a VNI that makes the name of a port": (
        "links: {ports: br}\ntenants: {red: {hosts: [h1-1], vni: 1}}",
        (
            "tenants.red.vni: 1 would have an interface 'br1', which is also the name of a port of a leaf, "
            "allowed: another VNI, or other names of ports"
        ),
    ),
    "a peering that makes the name of a port": (
        (
            "links: {ports: pa-}\ntenants: {red: {hosts: [h1-1], vni: 10}, blue: {hosts: [h1-2], vni: 1}}\n"
            "peerings: [{between: [red, blue]}]"
        ),
        (
            "peerings: red and blue would have an interface 'pa-1', which is also the name of a port of a leaf, "
            "allowed: another VNI, or other names of ports"
        ),
    ),
    "a peering that makes the name of a tenant": (
        (
            "tenants: {p1-2: {hosts: [h1-1], vni: 1}, blue: {hosts: [h1-2], vni: 2}}\n"
            "peerings: [{between: [p1-2, blue]}]"
        ),
        "tenants.p1-2: 'p1-2' is also the name of an interface, allowed: another name",
    ),
    "a peer nobody knows": (
        "tenants: {red: {hosts: [h1-1]}}\npeerings: [{between: [red, blue]}]",
        "peerings[0]: no tenant 'blue', allowed: red",
    ),
    "peers without tenants": (
        "peerings: [{between: [red, blue]}]",
        "peerings[0]: no tenant 'red', allowed: none, there are no tenants",
    ),
    "peers that overlap": (
        (
            "tenants: {red: {hosts: [h1-1], prefix: 10.1.0.0/24}, blue: {hosts: [h1-2], prefix: 10.1.0.0/25}}\n"
            "peerings: [{between: [red, blue]}]"
        ),
        (
            "peerings: red and blue: blue 10.1.0.0/25 overlaps red 10.1.0.0/24, "
            "allowed: peers whose prefixes do not overlap"
        ),
    ),
    "two peers that overlap each other": (
        (
            "tenants: {red: {hosts: [h1-1], prefix: 10.1.0.0/24}, blue: {hosts: [h1-2], prefix: 10.1.0.0/24},"
            " svc: {hosts: [h1-3], prefix: 10.2.0.0/24, shared: true}}"
        ),
        (
            "peerings: svc and blue: blue 10.1.0.0/24 overlaps red 10.1.0.0/24, "
            "allowed: peers whose prefixes do not overlap"
        ),
    ),
    "a prefix of neither": (
        (
            "tenants: {red: {hosts: [h1-1], prefix: 10.1.0.0/24}, blue: {hosts: [h1-2]}}\n"
            "peerings: [{between: [red, blue], prefixes: [10.9.0.0/24]}]"
        ),
        "peerings[0].prefixes: 10.9.0.0/24 is outside red and blue, allowed: a prefix of one of them",
    ),
    "a subnet of neither": (
        (
            "tenants: {red: {hosts: [h1-1]}, blue: {hosts: [h1-2]}}\n"
            "peerings: [{between: [red, blue], subnets: {red: [web]}}]"
        ),
        "peerings[0].subnets.red: no subnet 'web', allowed: default",
    ),
    "one way in both directions": (
        (
            "tenants: {red: {hosts: [h1-1]}, blue: {hosts: [h1-2]}}\n"
            "peerings: [{from: red, to: blue}, {from: blue, to: red}]"
        ),
        "peerings: red and blue peer one way in both directions, allowed: between them",
    ),
    "no room for VXLAN": (
        "links: {mtu: 1300}\ntenants: {red: {hosts: [h1-1]}}",
        "links.mtu: 1300 leaves 1250 for tenants inside VXLAN, allowed: at least 1330",
    ),
    "a VIP outside its tenant": (
        "tenants: {red: {hosts: [h1-1], prefix: 10.1.0.0/24}}\nnodes: {h1-1: {loopback: 10.0.0.1}}",
        "nodes.h1-1.loopback: 10.0.0.1 is outside the prefix of tenants.red 10.1.0.0/24, allowed: an address in it",
    ),
}


@pytest.mark.parametrize(("words", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_in_one_line(words, said):
    with pytest.raises(IntentError) as e:
        plan(loads(BASE + words))
    assert str(e.value) == f"t: {said}"


def test_one_way_to_a_host_on_several_leaves_is_refused():
    words = "name: t\nleaves: 2\nhosts: {per_pair: 2}\ntenants: {a: {hosts: [h1-1]}, b: {hosts: [h1-2]}}\n"
    with pytest.raises(IntentError, match="h1-2 is on several leaves"):
        plan(loads(words + "peerings: [{from: a, to: b}]"))


MALFORMED = {
    "neither hosts nor subnets": ("tenants: {red: {}}", "tenants.red: exactly one of hosts and subnets is needed"),
    "both": (
        "tenants: {red: {hosts: [h1-1], subnets: {a: {hosts: [h1-2]}}}}",
        "tenants.red: exactly one of hosts and subnets is needed, got both",
    ),
    "a VNI of 25 bits": (
        "tenants: {red: {hosts: [h1-1], vni: 16777216}}",
        "tenants.red.vni: 16777216 given, allowed: ",
    ),
    "no VNI": (
        "tenants: {red: {hosts: [h1-1], vni: 0}}",
        "tenants.red.vni: 0 given, allowed: greater than or equal to 1",
    ),
    "a name too long": ("tenants: {sixteen-letters-: {hosts: [h1-1]}}", "allowed: at most 15 characters"),
    "permit of a stranger": (
        "tenants: {red: {subnets: {a: {hosts: [h1-1]}}, permit: [[a, b]]}}",
        "tenants.red: permit[0] names 'b', allowed: a",
    ),
    "oneself": ("peerings: [{between: [red, red]}]", "peerings[0]: a tenant does not peer with itself, got red twice"),
    "both ways to say who": (
        "peerings: [{between: [a, b], from: a, to: b}]",
        "peerings[0]: exactly one of between: [a, b] and from: a with to: b is needed",
    ),
    "half a way": (
        "peerings: [{from: a}]",
        "peerings[0]: exactly one of between: [a, b] and from: a with to: b is needed",
    ),
    "an unknown key": (
        "tenants: {red: {hosts: [h1-1], vlan: 3}}",
        "tenants.red.vlan: unknown key, allowed: hosts, prefix",
    ),
}


@pytest.mark.parametrize(("words", "said"), MALFORMED.values(), ids=MALFORMED)
def test_words_that_make_no_sense_are_refused_with_their_place(words, said):
    with pytest.raises(IntentError) as e:
        loads(BASE + words, "f")
    assert str(e.value).startswith("f:")
    assert said in str(e.value)
