"""What holds for the files of every node, whatever the fabric."""

from __future__ import annotations

import re

from hypothesis import given, infer

from closet.intent import Intent, loads
from closet.plan import Fabric, plan
from closet.render import render, render_node
from closet.render.environment import TEMPLATES, Compiled
from closet.render.host import sysctls


def lines_like(pattern: str, text: str) -> list[tuple[str, ...]]:
    """The groups of every line that is like the pattern, blanks around it aside."""
    found = (re.fullmatch(pattern, line.strip()) for line in text.splitlines())
    return [m.groups() for m in found if m]


@given(intent=infer)
def test_the_same_plan_gives_the_same_bytes(intent: Intent):
    first, second = ([(n.name, files) for n, files in render(plan(intent))] for _ in range(2))
    assert first == second


@given(fabric=infer)
def test_every_planned_port_is_a_neighbour_and_there_is_no_other(fabric: Fabric):
    for node, files in render(fabric):
        neighbours = lines_like(r"neighbor (\S+) (?:interface )?peer-group \S+", files["frr.conf"])
        planned = [
            (str(fabric[p.peer].port(p.peer_port).address.ip) if fabric.numbered else p.name,) for p in node.ports
        ]
        assert sorted(neighbours) == sorted(planned)
        assert lines_like(r"router bgp (\d+)", files["frr.conf"]) == [(str(node.asn),)]


@given(fabric=infer)
def test_every_address_is_configured_once_and_announced_if_it_is_a_slash_32(fabric: Fabric):
    for node, files in render(fabric):
        configured = [a for (a,) in lines_like(r"ip address (\S+)", files["frr.conf"])]
        slash_31s = [str(p.address) for p in node.ports if p.address]
        slash_32s = [f"{a}/32" for a in node.addresses]
        assert sorted(configured) == sorted(slash_31s + slash_32s)
        assert sorted(a for (a,) in lines_like(r"network (\S+)", files["frr.conf"])) == sorted(slash_32s)


@given(fabric=infer)
def test_every_session_is_filtered_both_ways_by_lists_that_exist(fabric: Fabric):
    for node, files in render(fabric):
        conf = files["frr.conf"]
        group_of = dict(lines_like(r"neighbor (\S+) (?:interface )?peer-group (\S+)", conf))
        filters = {(who, way): name for who, name, way in lines_like(r"neighbor (\S+) route-map (\S+) (in|out)", conf)}
        for neighbour, group in group_of.items():
            for way in ("in", "out"):
                assert (neighbour, way) in filters or (group, way) in filters, (node.name, neighbour, way)
        maps = [name for (name,) in lines_like(r"route-map (\S+) permit 10", conf)]
        assert len(set(maps)) == len(maps)
        assert set(filters.values()) <= set(maps)
        prefix_lists = {name for (name,) in lines_like(r"ip prefix-list (\S+) seq .*", conf)}
        assert {name for (name,) in lines_like(r"match ip address prefix-list (\S+)", conf)} == prefix_lists


@given(fabric=infer)
def test_a_leaf_takes_from_a_host_port_that_hosts_own_addresses_alone(fabric: Fabric):
    for leaf in fabric.switches:
        conf = render_node(fabric, leaf)["frr.conf"]
        for port in fabric.downlinks(leaf):
            host = fabric[port.peer]
            if host.is_host:
                permitted = [p for (p,) in lines_like(rf"ip prefix-list FROM-{port.name} seq \d+ permit (.*)", conf)]
                assert permitted == [f"{host.loopback}/32", f"{host.port(port.peer_port).rail}/32"]


@given(fabric=infer)
def test_files_are_text_a_person_can_diff(fabric: Fabric):
    for node, files in render(fabric):
        assert ("nftables.conf" in files) != node.is_host
        for name, text in files.items():
            assert text.endswith("\n"), name
            assert not re.search(r"None|Undefined|\{\{|\{%|[ \t]$|\n\n|\r", text, re.MULTILINE), (name, text)


@given(fabric=infer)
def test_bfd_and_its_daemon_are_there_where_asked_for(fabric: Fabric):
    for _, files in render(fabric):
        groups = lines_like(r"neighbor (\S+) peer-group", files["frr.conf"])
        assert lines_like(r"neighbor (\S+) bfd", files["frr.conf"]) == (groups if fabric.bfd else [])
        assert (f"bfdd={'yes' if fabric.bfd else 'no'}\n" in files["daemons"]) is True
        assert ("bfdd.conf" in files) or fabric.bfd is None


def test_a_host_names_its_bfd_sessions_by_the_link_local_addresses_of_both_ends():
    fabric = plan(loads("name: x\nspines: 0\ngroups: 1\nrails: 2\nhosts: {per_group: 1}\nbgp: {bfd: true}\n"))
    host = fabric["g1-h1"]
    macs = [(fabric[p.peer].port(p.peer_port).mac, p.mac, p.name) for p in host.ports]
    assert macs[1] == ("02:c1:00:02:00:00", "02:c1:00:03:00:01", "eth2")
    named = lines_like(r"peer (\S+) local-address (\S+) interface (\S+)", render_node(fabric, host)["bfdd.conf"])
    assert named[1] == ("fe80::c1:ff:fe02:0", "fe80::c1:ff:fe03:1", "eth2")
    assert [port for _, _, port in named] == ["eth1", "eth2"]


@given(fabric=infer)
def test_switches_forward_and_hosts_do_not(fabric: Fabric):
    for node in fabric:
        settings = sysctls(node)
        forwarding = {v for k, v in settings.items() if k.endswith(("ip_forward", ".forwarding"))}
        assert forwarding == {0 if node.is_host else 1}
        assert settings["net.ipv4.fib_multipath_hash_policy"] == node.hash_policy
        assert settings["net.ipv4.fib_multipath_hash_seed"] == node.hash_seed
        text = render_node(fabric, node)["sysctl.conf"]
        assert dict(lines_like(r"(\S+) = (\d+)", text)) == {k: str(v) for k, v in settings.items()}


def test_a_nodes_own_configuration_is_used_as_it_is():
    text = "hostname tor\n!\nrouter bgp 65000\n neighbor eth1 interface remote-as external\nexit\n"
    intent = loads("name: x\nleaves: 2\nnodes: {leaf1: {extra: 'debug bgp updates'}}\n")
    own = intent.nodes["leaf1"].model_copy(update={"config": text})
    fabric = plan(intent.model_copy(update={"nodes": {"leaf1": own}}))
    files = render_node(fabric, fabric["leaf1"])
    assert files["frr.conf"] == text
    assert files["bgpd.conf"] == text.replace("!\n", "")
    assert files["zebra.conf"] == "hostname tor\n"


def test_extra_lines_come_last():
    fabric = plan(loads('name: x\nleaves: 2\nnodes: {leaf*: {extra: "ip route 192.0.2.0/24 blackhole\\n\\n"}}\n'))
    for leaf in ("leaf1", "leaf2"):
        files = render_node(fabric, fabric[leaf])
        assert files["frr.conf"].endswith("!\nip route 192.0.2.0/24 blackhole\n")
        assert "ip route 192.0.2.0/24 blackhole\n" in files["staticd.conf"]
    assert "ip route" not in render_node(fabric, fabric["spine1"])["frr.conf"]


def test_templates_are_kept_compiled(tmp_path, monkeypatch):
    """Where they cannot be kept, or what is kept is damaged, they are compiled again."""
    (tmp_path / "file").write_text("")
    for cache, kept in ((tmp_path / "cache", 1), (tmp_path / "file" / "cache", 0)):
        monkeypatch.setenv("CLOSET_CACHE", str(cache))
        for damage in (None, b"", b"j2", bytes(99)):
            for path in cache.glob("templates/*") if damage is not None else ():
                path.write_bytes(damage)
            made = TEMPLATES.overlay(bytecode_cache=Compiled())
            template = made.get_template("reload.sh.j2")
            assert template.render(node={"name": "leaf1"}, filters=[], default="default").startswith("#!/bin/sh")
            assert len(list(cache.glob("templates/*"))) == kept
