"""What the planner says when an intent asks for what cannot be: one line that names what to change."""

from __future__ import annotations

import pytest

from closet.errors import IntentError
from closet.intent import loads
from closet.plan import plan

CASES = {
    "RDMA on a switch": (
        "leaves: 2\nnodes: {leaf*: {rdma: verbs}}",
        "nodes.leaf1.rdma: 'verbs' on a leaf, allowed: on hosts only",
    ),
    "loopback pool": (
        "leaves: 2\npools: {loopbacks: 10.255.0.0/30}",
        "pools.loopbacks: 10.255.0.0/30 is too small: address 3 of it is needed, it has 2",
    ),
    "loopback pool of two": (
        "leaves: 2\npools: {loopbacks: 10.255.0.0/31}",
        "pools.loopbacks: 10.255.0.0/31 is too small: address 2 of it is needed, it has 1",
    ),
    "loopback pool of one": (
        "leaves: 2\npools: {loopbacks: 10.255.0.0/32}",
        "pools.loopbacks: 10.255.0.0/32 is too small: address 1 of it is needed, it has 0",
    ),
    "link pool": (
        "leaves: 2\nlinks: {addressing: numbered}\npools: {links: 10.254.0.0/29}",
        "pools.links: 10.254.0.0/29 is too small: link 5 needs a /31, it has 4",
    ),
    "host pool": (
        "leaves: 3\npools: {hosts: 10.0.0.0/23}",
        "pools.hosts: 10.0.0.0/23 is too small: 3 leaves need a /24 each, it has 2 (pools.leaf_prefix sets the length)",
    ),
    "host pool smaller than a block": (
        "leaves: 1\npools: {hosts: 10.0.0.0/25}",
        "pools.hosts: 10.0.0.0/25 is too small: 1 leaves need a /24 each, it has 0 (pools.leaf_prefix sets the length)",
    ),
    "VIP pool": (
        "leaves: 2\nhosts: {per_pair: 3}\npools: {vips: 10.192.0.0/30}",
        "pools.vips: 10.192.0.0/30 is too small: address 3 of it is needed, it has 2",
    ),
    "leaf block": (
        "leaves: 2\nhosts: {per_leaf: 4}\npools: {leaf_prefix: 29}",
        (
            "pools.leaf_prefix: a /29 is too small: half of it, 3 addresses, must hold 4 or more NICs or VIPs "
            "of one leaf (allowed: a shorter prefix)"
        ),
    ),
    "leaf block for many NICs": (
        "leaves: 2\nhosts: {per_leaf: 2, nics: 64}",
        (
            "pools.leaf_prefix: a /24 is too small: half of it, 127 addresses, must hold 128 or more NICs or VIPs "
            "of one leaf (allowed: a shorter prefix)"
        ),
    ),
    "pools that overlap": (
        "leaves: 2\npools: {vips: 10.64.0.0/12}",
        "pools.vips: 10.64.0.0/12 overlaps pools.hosts 10.0.0.0/9, allowed: pools that do not overlap",
    ),
    "a link pool that overlaps": (
        "leaves: 2\nlinks: {addressing: numbered}\npools: {links: 10.255.0.0/20}",
        "pools.links: 10.255.0.0/20 overlaps pools.loopbacks 10.255.0.0/16, allowed: pools that do not overlap",
    ),
    "fewer paths than there are": (
        "spines: 4\nleaves: 2\nbgp: {max_paths: 2}",
        "bgp.max_paths: 2 is less than the 4 uplinks of leaf1, allowed: at least 4",
    ),
    "fewer paths than a host has": (
        "spines: 2\nleaves: 2\nhosts: {per_pair: 1}\nbgp: {max_paths: 1}",
        "bgp.max_paths: 1 is less than the 2 uplinks of leaf1, allowed: at least 2",
    ),
    "override of nobody": (
        "leaves: 2\nnodes: {leaf3: {asn: 65000}}",
        "nodes.leaf3: matches no node, allowed: a name or pattern of spine1 ... h2-2",
    ),
    "one name for several": (
        "leaves: 2\nnodes: {leaf*: {name: tor}}",
        "nodes.leaf*.name: 2 nodes match, allowed: exactly one",
    ),
    "one loopback for several": (
        "leaves: 2\nnodes: {'*': {loopback: 10.255.0.9}}",
        "nodes.*.loopback: 8 nodes match, allowed: exactly one",
    ),
    "a name taken": (
        "leaves: 2\nnodes: {leaf2: {name: leaf1}}",
        "nodes.leaf2.name: 'leaf1' is also the name of leaf1, allowed: a name no other node has",
    ),
    "two of one name": (
        "leaves: 2\nnodes: {leaf1: {name: tor}, h1-1: {name: tor}}",
        "nodes.h1-1.name: 'tor' is also the name of leaf1, allowed: a name no other node has",
    ),
    "an address taken": (
        "leaves: 2\nnodes: {leaf2: {loopback: 10.255.0.1}}",
        "nodes.leaf2.loopback: 10.255.0.1 is also of spine1, allowed: an address no other node has",
    ),
    "a VIP that is a NIC's": (
        "leaves: 2\nnodes: {h1-2: {loopback: 10.0.0.129}}",
        "nodes.h1-2.loopback: 10.0.0.129 is also of h1-1, allowed: an address no other node has",
    ),
    "a VIP that is a NIC's of its own": (
        "leaves: 2\nnodes: {h1-1: {loopback: 10.0.0.129}}",
        "nodes.h1-1.loopback: 10.0.0.129 is also of a NIC of its own, allowed: an address no NIC has",
    ),
    "a switch out of its pool": (
        "leaves: 2\nnodes: {leaf2: {loopback: 192.0.2.1}}",
        "nodes.leaf2.loopback: 192.0.2.1 is outside pools.loopbacks 10.255.0.0/16, allowed: an address in it",
    ),
    "a host out of its block": (
        "leaves: 2\nnodes: {h1-1: {loopback: 10.0.1.9}}",
        "nodes.h1-1.loopback: 10.0.1.9 is outside its leaf's block 10.0.0.0/24, allowed: an address in it",
    ),
    "a dual-homed host in a block": (
        "leaves: 2\nhosts: {per_pair: 1}\nnodes: {h1-1: {loopback: 10.0.0.9}}",
        "nodes.h1-1.loopback: 10.0.0.9 is outside pools.vips 10.192.0.0/12, allowed: an address in it",
    ),
    "tiers that meet in one AS": (
        "leaves: 2\nbgp: {asns: {spines: 65000, leaves: 64999}}",
        (
            "bgp.asns: AS 65000 would be of leaf2 and of the spines of pod 1, "
            "allowed: one a node (or a tier in bgp.asns.shared)"
        ),
    ),
    "a leaf in the hosts' AS": (
        "leaves: 2\nnodes: {leaf1: {asn: 65000}, h*: {asn: 65000}}\nbgp: {asns: {shared: [hosts]}}",
        "bgp.asns: AS 65000 would be of the hosts and of leaf1, allowed: one a node (or a tier in bgp.asns.shared)",
    ),
    "two nodes of one AS": (
        "leaves: 2\nnodes: {leaf*: {asn: 65000}}",
        "bgp.asns: AS 65000 would be of leaf2 and of leaf1, allowed: one a node (or a tier in bgp.asns.shared)",
    ),
    "more superspines than AS numbers before the spines": (
        "leaves: 2\nsuperspines: 101\nbgp: {asns: {shared: [spines, hosts]}}",
        (
            "bgp.asns: AS 4200000100 would be of the spines of pod 1 and of superspine101, "
            "allowed: one a node (or a tier in bgp.asns.shared)"
        ),
    ),
    "beyond the last AS": (
        "leaves: 2\nbgp: {asns: {leaves: 4294967294}}",
        "bgp.asns: AS 4294967295 of leaf2, allowed: at most 4294967294",
    ),
    "long port names": (
        "leaves: 2\nlinks: {ports: FortyGigabitEth}",
        "links.ports: 'FortyGigabitEth' makes the interface name 'FortyGigabitEth1', allowed: at most 15 characters",
    ),
    "more ports than a MAC has room for": (
        "leaves: 1\nspines: 1\nhosts: {per_leaf: 1025, nics: 64}\npools: {hosts: 10.0.0.0/9, leaf_prefix: 9}",
        "leaf1: 65601 ports, allowed: at most 65536 on one node",
    ),
}


@pytest.mark.parametrize(("text", "message"), CASES.values(), ids=CASES.keys())
def test_an_intent_that_cannot_be_planned_is_refused_in_one_line(text, message):
    intent = loads(f"name: lab\n{text}\n")
    with pytest.raises(IntentError) as caught:
        plan(intent)
    assert str(caught.value) == f"lab: {message}"


def test_fifteen_characters_are_a_port_name():
    fabric = plan(loads("name: lab\nleaves: 2\nlinks: {ports: FortyGigEthern}\n"))
    assert fabric["leaf1"].ports[0].name == "FortyGigEthern1"


def test_a_pool_that_just_reaches_is_enough():
    fabric = plan(
        loads(
            "name: lab\nspines: 2\nleaves: 4\nhosts: {per_leaf: 3}\nlinks: {addressing: numbered}\n"
            "pools: {loopbacks: 10.255.0.0/29, hosts: 10.0.0.0/27, leaf_prefix: 29, links: 10.254.0.0/26}\n"
        )
    )
    assert fabric.summary() == "2 spines, 4 leaves, 12 hosts, 20 links"
