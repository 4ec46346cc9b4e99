"""One integrated configuration, and which daemon gets which line of it."""

from __future__ import annotations

import pytest
from hypothesis import given, infer
from hypothesis import strategies as st

from closet.plan import Fabric
from closet.render import render
from closet.render.split import ALL, split


def wanted(conf: str) -> list[str]:
    """The lines that some daemon must get: all but comments, blanks and vtysh's own."""
    lines = [line.rstrip() for line in conf.splitlines()]
    return [line for line in lines if line and not line.lstrip().startswith("!") and not line.startswith("service ")]


def is_part_of(part: list[str], whole: list[str]) -> bool:
    """Whether the lines are all of the whole, in its order."""
    rest = iter(whole)
    return all(line in rest for line in part)


@given(fabric=infer)
def test_every_line_reaches_a_daemon_in_order(fabric: Fabric):
    for _, files in render(fabric):
        lines = wanted(files["frr.conf"])
        parts = {name: files[name].splitlines() for name in ALL if name in files}
        assert set(lines) == {line for part in parts.values() for line in part}
        assert all(is_part_of(part, lines) for part in parts.values())


@given(
    st.lists(st.sampled_from([" set x", "exit", "!", "", "router bgp 1", "vrf a", "what is this", "bfd", " !", "end"]))
)
def test_no_line_is_lost_however_it_is_laid_out(lines):
    text = "\n".join(lines)
    files = split(text)
    assert {line for part in files.values() for line in part.splitlines()} == set(wanted(text))


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("hostname leaf1", ("zebra.conf", "bgpd.conf")),
        ("frr defaults datacenter", ("zebra.conf", "bgpd.conf")),
        ("a word of tomorrow's FRR", ALL),
        ("no ip forwarding", ("zebra.conf",)),
        ("service integrated-vtysh-config", ()),
        ("no service integrated-vtysh-config", ()),
        ("ip route 192.0.2.0/24 blackhole", ("staticd.conf",)),
        ("ipv6 route ::/0 eth1", ("staticd.conf",)),
        ("no ip route 192.0.2.0/24 blackhole", ("staticd.conf",)),
        ("interface eth1\n ip address 192.0.2.1/32\nexit", ("zebra.conf",)),
        ("ip protocol bgp route-map SOURCE", ("zebra.conf",)),
        ("vrf red\n vni 5001\nexit-vrf", ("zebra.conf",)),
        ("ip prefix-list A seq 5 permit any", ("zebra.conf", "bgpd.conf")),
        ("route-map A permit 10\n set src 192.0.2.1\nexit", ("zebra.conf", "bgpd.conf")),
        ("router bgp 65000\n address-family ipv4 unicast\n exit-address-family\nexit", ("bgpd.conf",)),
        ("bgp route-map delay-timer 0", ("bgpd.conf",)),
        ("bgp as-path access-list DIRECT seq 5 permit ^$", ("bgpd.conf",)),
        ("bfd\n profile FABRIC\n exit\nexit", ("bfdd.conf",)),
    ],
)
def test_a_line_goes_to_the_daemons_it_is_for(line, files):
    assert split(f"!\n{line}\n!\n") == dict.fromkeys(files, f"{line}\n")


def test_of_a_vrf_static_routes_are_staticd_s_and_the_rest_is_zebra_s():
    files = split("vrf red\n ip route 192.0.2.0/24 blackhole\n vni 5001\nexit-vrf\n")
    assert files == {
        "zebra.conf": "vrf red\n vni 5001\nexit-vrf\n",
        "staticd.conf": "vrf red\n ip route 192.0.2.0/24 blackhole\nexit-vrf\n",
    }


def test_blocks_end_where_the_next_begins_and_comments_go():
    assert split("interface eth1\n ! why\n\n description x  \nrouter bgp 1\n bgp router-id 192.0.2.1\nend\n") == {
        "zebra.conf": "interface eth1\n description x\n",
        "bgpd.conf": "router bgp 1\n bgp router-id 192.0.2.1\nend\n",
    }


def test_nothing_comes_of_nothing():
    assert split("") == split("!\n! only a comment\n") == {}
