"""Observers on recorded answers: what FRR is asked, over its very protocol, and what is made of what it says."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Network
from pathlib import Path
from threading import Thread
from typing import BinaryIO

import pytest

from closet.errors import ProbeError
from closet.expect import expected_sessions, expected_table_bounds, expected_tables
from closet.observe import frr, vty
from closet.render import render_node
from closet.runtime.node import LiveNode

UNKNOWN = b"% Unknown command: "


class Replay(LiveNode):
    """A node whose daemons answer what was recorded, each at its own terminal socket as vtysh finds it."""

    def __init__(self, name: str, answers: dict[str, object], folder: Path) -> None:
        super().__init__(name=name, pid=0, folder=folder)
        self.asked: list[str] = []
        self._answers = {k: v if isinstance(v, str) else json.dumps(v) for k, v in answers.items()}
        self._open = ExitStack()
        (folder / "run" / "frr").mkdir(parents=True)
        for daemon in {question.partition(": ")[0] for question in answers}:
            s = self._open.enter_context(socket.socket(socket.AF_UNIX))
            s.bind(str(folder / "run" / "frr" / f"{daemon}.vty"))
            s.listen()
            Thread(target=self._serve, args=(daemon, s), daemon=True).start()

    @property
    def root(self) -> Path:
        return self.folder

    def close(self) -> None:
        self._open.close()

    def _serve(self, daemon: str, listening: socket.socket) -> None:
        while True:
            try:
                s, _ = listening.accept()
            except OSError:
                return
            with s, s.makefile("rb") as heard:
                for question in self._questions(heard):
                    self._answer(s, f"{daemon}: {question}")

    @staticmethod
    def _questions(heard: BinaryIO) -> Iterator[str]:
        """Each ends with a zero byte, however many come at once."""
        question = bytearray()
        while letter := heard.read(1):
            if letter != b"\0":
                question += letter
                continue
            yield question.decode()
            question.clear()

    def _answer(self, s: socket.socket, question: str) -> None:
        if question.endswith(": enable"):
            s.sendall(bytes(4))
            return
        self.asked.append(question)
        answer = self._answers.get(question)
        if answer == "dies":
            s.shutdown(socket.SHUT_RDWR)
        elif answer != "silent":
            code = b"\0" if answer is not None else b"\2"
            s.sendall((answer.encode() if answer is not None else UNKNOWN) + bytes(3) + code)


@pytest.fixture
def replay():
    """A node that answers what it is given; its folder has a short name, for a socket's path must be short."""
    folders = []
    nodes = []

    def start(name: str, answers: dict[str, object]) -> Replay:
        folders.append(tempfile.mkdtemp(prefix="closet-"))
        nodes.append(Replay(name, answers, Path(folders[-1])))
        return nodes[-1]

    yield start
    for node in nodes:
        node.close()
    for folder in folders:
        shutil.rmtree(folder)


@pytest.fixture
def leaf1(recorded, replay):
    def start(name: str):
        fabric, answers = recorded(name)
        return fabric, replay("leaf1", answers)

    return start


def test_what_a_leaf_of_a_sound_fabric_says_is_what_is_expected_of_it(leaf1):
    fabric, node = leaf1("clean")
    assert frr.daemons(node, fabric) == {"mgmtd", "zebra", "bgpd", "bfdd"}
    assert frr.sessions(node, fabric) == expected_sessions(fabric)["leaf1"]
    assert frr.ribs(node, fabric) == expected_tables(fabric)["leaf1"]
    assert frr.running_config(node, fabric) == frr.config_lines(render_node(fabric, fabric["leaf1"])["frr.conf"])
    # Two loopbacks of spines, one of a leaf and its own, two blocks, a default, and two addresses of each host.
    assert frr.bgp_table_size(node, fabric) == 11 <= expected_table_bounds(fabric)["leaf1"]


def test_numbered_sessions_go_by_address(leaf1):
    fabric, node = leaf1("numbered")
    assert frr.sessions(node, fabric) == expected_sessions(fabric)["leaf1"]
    assert set(frr.sessions(node, fabric)) == {"10.254.0.0", "10.254.0.2", "10.254.0.9", "10.254.0.11"}


def test_bfd_is_not_asked_for_where_it_is_not_in_use(leaf1):
    fabric, node = leaf1("bgpd-dead")
    assert {s.bfd for s in frr.sessions(node, fabric).values()} == {""}
    assert node.asked == ["bgpd: show bgp ipv4 unicast summary json"]


def test_a_next_hop_in_the_fib_that_is_not_active_does_not_forward(recorded):
    """FRR 10.3 leaves `fib` set on a next hop whose link went down."""
    _, answers = recorded("link-down")
    answer = answers["zebra: show ip route bgp json"]
    hops = {h["interfaceName"]: h for h in answer["10.0.1.0/24"][0]["nexthops"]}
    assert (hops["eth1"]["fib"], "active" in hops["eth1"]) == (True, False)
    assert frr.parse_rib(answer)[IPv4Network("10.0.1.0/24")] == {"eth2"}


@pytest.mark.parametrize("flag", ["selected", "installed"])
def test_a_route_that_is_not_selected_or_not_installed_is_none(recorded, flag):
    _, answers = recorded("clean")
    answer = answers["zebra: show ip route bgp json"]
    del answer["0.0.0.0/0"][0][flag]
    assert "0.0.0.0/0" not in map(str, frr.parse_rib(answer))
    assert len(frr.parse_rib(answer)) == len(answer) - 1


def test_a_session_is_in_order_only_if_routes_pass(recorded):
    _, answers = recorded("clean")
    summary, bfd = answers["bgpd: show bgp ipv4 unicast summary json"], answers["bfdd: show bfd peers json"]
    summary["peers"]["eth1"]["peerState"] = "Policy"
    summary["peers"]["eth2"]["state"] = "Idle (PfxCt)"
    found = frr.parse_sessions(summary, [p for p in bfd if p["interface"] == "eth3"], numbered=False)
    assert {name: (s.state, s.bfd) for name, s in found.items()} == {
        "eth1": ("Policy", "down"),
        "eth2": ("Idle (PfxCt)", "down"),
        "eth3": ("Established", "up"),
        "eth4": ("Established", "down"),
    }
    assert frr.parse_sessions({}, None, numbered=False) == {}


def test_lines_of_a_configuration_carry_the_blocks_they_are_in():
    text = """Building configuration...

Current configuration:
!
frr version 10.3
service integrated-vtysh-config
router bgp 65000
 neighbor A peer-group
 !
 address-family ipv4 unicast
  neighbor A activate
 exit-address-family
exit
!
vrf red
exit-vrf
end
"""
    assert frr.config_lines(text) == {
        "router bgp 65000",
        "router bgp 65000 / neighbor A peer-group",
        "router bgp 65000 / address-family ipv4 unicast",
        "router bgp 65000 / address-family ipv4 unicast / neighbor A activate",
        "vrf red",
    }


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"zebra: x": ""}, "leaf1: bgpd: not running (No such file or directory)"),
        ({"bgpd: x": ""}, "leaf1: bgpd: 'show x json': % Unknown command:"),
        ({"bgpd: show x json": "silent"}, "leaf1: bgpd: no answer to 'show x json' in 0.2 s"),
        ({"bgpd: show x json": "dies"}, "leaf1: bgpd: ended while answering 'show x json'"),
        ({"bgpd: show x json": "% BGP instance not found\n"}, "not JSON"),
    ],
    ids=["no daemon", "unknown", "silent", "dies", "no JSON"],
)
def test_no_answer_is_an_error_and_never_an_answer(replay, answers, why):
    node = replay("leaf1", answers)
    if why == "not JSON":
        why = "leaf1: bgpd: 'show x json' gave no JSON: '% BGP instance not found'"
        with pytest.raises(ProbeError) as caught:
            vty.ask_json(node, "bgpd", "show x json")
    else:
        with pytest.raises(ProbeError) as caught:
            vty.ask(node, "bgpd", "show x json", timeout=0.2)
    assert str(caught.value) == why


def test_a_daemon_that_is_gone_is_missing_among_the_others(replay, recorded):
    fabric, _ = recorded("clean")
    assert frr.daemons(replay("leaf1", {"zebra: x": "", "bfdd: x": ""}), fabric) == {"zebra", "bfdd"}


def test_a_long_answer_in_many_pieces_is_one(replay):
    text = "x" * 300_000
    assert vty.ask(replay("leaf1", {"bgpd: show x": text}), "bgpd", "show x") == [text]


def test_many_commands_are_given_at_once_and_all_of_them(replay):
    """One that is not taken is told of, and keeps none of the others back."""
    lines = [f"network 10.0.{n >> 8}.{n & 255}/32" for n in range(3 * vty.BATCH + 1)]
    node = replay("leaf1", {f"bgpd: {line}": "" for line in lines})
    vty.tell(node, "bgpd", lines)
    assert node.asked == [f"bgpd: {line}" for line in lines]
    node.asked.clear()
    with pytest.raises(ProbeError, match="'nonsense': % Unknown command"):
        vty.tell(node, "bgpd", ["nonsense", *lines, "more nonsense"])
    assert node.asked == [f"bgpd: {line}" for line in ["nonsense", *lines, "more nonsense"]]


def test_after_a_command_that_is_refused_no_other_is_given(replay):
    node = replay("leaf1", {"bgpd: router bgp 65000": ""})
    with pytest.raises(ProbeError, match="'configure terminal': % Unknown command"):
        vty.ask(node, "bgpd", "configure terminal", "router bgp 65000")
    assert node.asked == ["bgpd: configure terminal"]


def test_every_vtep_counts_though_fib_is_set_on_the_first_alone():
    """What FRR 10.3 answers of a host on two leaves that two spines told of, while the kernel has both VTEPs."""
    hops = [
        {"ip": "10.255.0.5", "interfaceName": "br7", "active": True, "fib": True},
        {"ip": "10.255.0.5", "interfaceName": "br7", "active": True, "duplicate": True},
        {"ip": "10.255.0.6", "interfaceName": "br7", "active": True},
        {"ip": "10.255.0.6", "interfaceName": "br7", "active": True, "duplicate": True},
        {"ip": "10.255.0.7", "interfaceName": "br7"},
    ]
    answer = {"10.64.0.4/32": [{"selected": True, "installed": True, "nexthops": hops}]}
    assert frr.parse_rib(answer, bridge="br7") == {IPv4Network("10.64.0.4/32"): {"10.255.0.5", "10.255.0.6"}}


def test_of_an_interface_its_vrf_is_said_where_frr_does_not():
    """FRR names the VRF of an interface where that is a namespace, and not where it is a device."""
    vrfs = {"eth2": "red", "eth3": "default"}
    said = {
        "interface eth2": "interface eth2 vrf red",
        "interface eth2 / ip address 10.254.0.4/31": "interface eth2 vrf red / ip address 10.254.0.4/31",
        "interface eth2 vrf blue": "interface eth2 vrf blue",
        "interface eth3": "interface eth3",
        "interface lo / ip address 10.255.0.2/32": "interface lo / ip address 10.255.0.2/32",
        "hostname eth2": "hostname eth2",
    }
    assert {line: frr._in_vrf(line, vrfs) for line in said} == said
