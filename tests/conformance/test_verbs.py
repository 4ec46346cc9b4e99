"""RDMA by verbs: every verb between hosts, on one rail and across, on one leaf and across; nothing is ever resent."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import permutations
from typing import Any

import pytest

from closet.errors import ClosetError
from closet.lab import Lab
from closet.observe.path import way
from closet.observe.rdma import counters, devices, queue_pairs
from closet.records import Endpoint
from closet.roce.work import Verb
from closet.runtime.guest import GuestNode
from closet.runtime.rdma import device
from closet.traffic.measure import bandwidth, latency, rping
from closet.traffic.verbs import Job, transfer
from closet.traffic.worker import End

from . import changes
from .lifecycle import HEARING

PATIENCE = 8.0
"""Seconds for what will not pass."""
SMALL = 20
"""Messages that are enough to see whether they pass."""

Pair = tuple[End, End]


@pytest.fixture(scope="module")
def of_host(lab: Lab) -> dict[str, list[End]]:
    """Host → its NICs with a device of the kernel's."""
    hosts = [h for h in lab.fabric.hosts if lab[h.name].rdma in {"microvm", "soft-roce"}]
    if len(hosts) < 2:
        pytest.skip("no two hosts of this fabric speak RDMA by verbs: `hosts: {rdma: verbs}` asks for it")
    return {h.name: [End(lab[h.name], Endpoint(h.name, p.rail, p.name)) for p in h.ports if p.rail] for h in hosts}


@pytest.fixture(scope="module")
def pairs(lab: Lab, of_host: dict[str, list[End]]) -> list[Pair]:
    """All ordered pairs of hosts that may meet; the NICs on the same rail and on another one in turn."""
    found = []
    for n, (a, b) in enumerate(permutations(of_host, 2)):
        if may_meet(lab, a, b):
            mine, theirs = of_host[a], of_host[b]
            found.append((mine[n % len(mine)], theirs[(n + n // len(of_host)) % len(theirs)]))
    return found


@pytest.fixture(scope="module")
def strangers(lab: Lab, of_host: dict[str, list[End]]) -> list[Pair]:
    """Ordered pairs of hosts of different tenants, from one of each tenant to all others."""
    firsts = {lab.fabric[name].vrf: name for name in reversed(of_host)}.values()
    found = [
        (of_host[a][0], of_host[b][0]) for a, b in permutations(of_host, 2) if a in firsts and not may_meet(lab, a, b)
    ]
    if not found:
        pytest.skip("all hosts of this fabric may meet: topologies/roce-tenants.yaml has tenants")
    return found


def may_meet(lab: Lab, a: str, b: str) -> bool:
    """Whether two hosts are in one VRF: these intents have neither peerings nor subnets."""
    return lab.fabric[a].vrf == lab.fabric[b].vrf


def counted(nic: End) -> dict[str, int]:
    return counters(nic.node, device(nic.endpoint.port or ""))


def test_the_gid_is_the_32(lab: Lab, of_host: dict[str, list[End]]) -> None:
    """The one IPv4 GID of a device is what the plan gave its NIC; it was rendered to FRR, which nothing here asks."""
    for nics in of_host.values():
        found = devices(nics[0].node, lab.fabric)
        gids = {port: [g for g in d.gids if g.version == 4] for port, d in found.items()}
        assert gids == {n.endpoint.port: [n.endpoint.address] for n in nics}


@pytest.mark.parametrize("verb", [Verb.WRITE, Verb.READ, Verb.SEND])
def test_every_pair(pairs: list[Pair], verb: Verb) -> None:
    for a, b in pairs:
        got = bandwidth(a, b, Job(verb, size=4096, messages=SMALL))
        assert (got.messages, got.size) == (SMALL, 4096)
        assert got.goodput > 0


@pytest.mark.parametrize("verb", list(Verb))
def test_latency(pairs: list[Pair], verb: Verb) -> None:
    got = latency(*pairs[-1], Job(verb, size=64, messages=100))
    assert 0 < got.least <= got.typical <= got.p99 <= got.most


def test_atomics(pairs: list[Pair]) -> None:
    """Between every two hosts: one of the two each way, the other back."""
    for a, b in pairs:
        verb = Verb.COMPARE_SWAP if a.endpoint.host < b.endpoint.host else Verb.FETCH_ADD
        got = bandwidth(a, b, Job(verb, messages=SMALL))
        assert (got.messages, got.size) == (SMALL, 8)


def test_several_queue_pairs(pairs: list[Pair]) -> None:
    got = bandwidth(*pairs[0], Job(messages=SMALL, qps=4))
    assert (got.messages, len(set(got.qps))) == (4 * SMALL, 4)


def test_the_connection_manager(pairs: list[Pair]) -> None:
    for a, b in (pairs[0], pairs[-1]):
        assert rping(a, b, count=5) == 5


def test_tenants_do_not_meet(pairs: list[Pair], strangers: list[Pair]) -> None:
    """Neither by the connection manager, which is RoCE itself, nor by perftest; not one packet comes in.

    Controls: both ends reach, and are reached by, hosts of their own tenant; four times as long as that took is waited.
    """
    for a, b in strangers:
        took = max(
            _seconds(pair)
            for nic in (a, b)
            for pair in pairs
            if nic.endpoint.host in {end.endpoint.host for end in pair}
        )
        before = counted(b)["rcvd_pkts"]
        with pytest.raises(ClosetError, match="rping"):
            rping(a, b, count=1, seconds=max(2.0, 4 * took))
        with pytest.raises(ClosetError, match="ib_write_bw"):
            bandwidth(a, b, Job(messages=SMALL, seconds=max(2.0, 4 * took)))
        assert counted(b)["rcvd_pkts"] == before


def _seconds(pair: Pair) -> float:
    """How long a ping takes between two that may meet."""
    began = time.monotonic()
    assert rping(*pair, count=1) == 1
    return time.monotonic() - began


def closet_rdma(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "closet", "rdma", "--lab", lab.name, *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def test_one_line(lab: Lab, pairs: list[Pair], capture: Any) -> None:
    """What `closet rdma` says: for people, for programs; and the way it names is the one that packets take."""
    a, b = (end.endpoint for end in pairs[-1])
    names = f"{a.host}/{a.port}", f"{b.host}/{b.port}"
    said = closet_rdma(lab, *names, "--size", "64K", "--messages", "10", "--verb", "read")
    assert (said.returncode, said.stderr) == (0, "")
    assert re.fullmatch(
        rf"{names[0]} to {names[1]}: read 10 x 64 KiB on 1 QP by verbs, [\d.]+ [GM]b/s, "
        r"latency p50 \S+ \S+ p99 \S+ \S+, UDP source port \d+, over \S*leaf\S*.*, retransmitted 0: ok\n",
        said.stdout,
    ), said.stdout
    said = closet_rdma(lab, *names, "--size", "64K", "--qps", "3", "--messages", "10", "--json")
    data = json.loads(said.stdout)
    assert (said.returncode, data["by"], data["done"], data["complete"]) == (0, "verbs", 30, True)
    assert sum(w["qps"] for w in data["ways"]) == len(data["ports"]) == 3
    assert data["goodput"] > 0


def test_the_way_it_names_is_taken(lab: Lab, pairs: list[Pair], capture: Any) -> None:
    a, b = next((p for p in pairs if lab.fabric[p[0].endpoint.host].vrf == "default"), pairs[-1])
    if lab.fabric[a.endpoint.host].vrf != "default":
        pytest.skip("within VXLAN no spine is named")
    first = lab.fabric[lab.fabric[a.endpoint.host].port(a.endpoint.port or "").peer]
    seen = {p.peer: capture(first.name, p.name, "udp dst port 4791") for p in lab.fabric.uplinks(first)}
    result = transfer(a, b, Job(messages=SMALL, qps=4))
    assert result.complete
    expected: dict[str, set[int]] = {name: set() for name in seen}
    for sport in result.ports:
        passed = way(lab.fabric, lab.nodes, a.endpoint, b.endpoint, sport)
        assert passed[0] == first.name
        for name in passed[1:2]:
            expected[name].add(sport)
    taken = {name: {p.sport for p in each.packets()} & set(result.ports) for name, each in seen.items()}
    assert taken == expected


def test_interrupted_it_leaves_nothing(lab: Lab, pairs: list[Pair]) -> None:
    a, b = pairs[0]
    names = [f"{end.endpoint.host}/{end.endpoint.port}" for end in (a, b)]
    argv = [*HEARING, sys.executable, "-m", "closet", "rdma", "--lab", lab.name, *names, "--messages", "1000000"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    changes.eventually(lambda: _assert_connected(a))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("", "interrupted\n")
    assert process.returncode == 130
    for end in (a, b):
        changes.eventually(lambda end=end: _assert_idle(end))


def _assert_connected(nic: End) -> None:
    assert any(qp.state == "RTS" for qp in queue_pairs(nic.node))


def _assert_idle(nic: End) -> None:
    assert nic.node.run("pgrep", "-x", "ib_write_bw", check=False).returncode == 1
    assert queue_pairs(nic.node) == []


def test_what_does_not_fit_is_refused(lab: Lab, pairs: list[Pair]) -> None:
    a, b = (end.endpoint.host for end in pairs[0])
    for words, why in (
        (["--with", "endpoint"], f"on {a} the kernel speaks RDMA"),
        (["--size", "9M"], "1 to 8388608 bytes"),
        (["--messages", "4"], "5 or more"),
        (["--rate", "10"], "DCQCN is the userspace endpoint's"),
    ):
        said = closet_rdma(lab, a, b, *words)
        assert (said.returncode, said.stdout, len(said.stderr.splitlines())) == (2, "", 1)
        assert why in said.stderr


def test_nothing_was_sent_again(lab: Lab, pairs: list[Pair], findings: Any) -> None:
    """After all of the above."""
    assert [str(f) for f in findings("verbs")] == []


def test_a_black_hole_ends_at_the_deadline(lab: Lab, pairs: list[Pair]) -> None:
    """It says the state of the queue pairs at both ends, the way that packets would take, and what to do next."""
    a, b = pairs[-1]
    names = [f"{end.endpoint.host}/{end.endpoint.port}" for end in (a, b)]
    with black_hole(lab, a):
        said = closet_rdma(lab, *names, "--seconds", str(PATIENCE))
    assert (said.returncode, said.stderr) == (1, "")
    first, here, there, next_ = said.stdout.splitlines()
    ended = re.search(r", UDP source port \d+, over \S*leaf.*: not done after ([\d.]+) s, 64 asked for$", first)
    assert PATIENCE < float(ended[1]) < 5 * PATIENCE
    assert re.match(rf"  {names[0]}: QP \d+ to \d+: RTS, send PSN \d+, receive PSN \d+$", here)
    assert re.match(rf"  {names[1]}: QP \d+ to \d+: RTR, send PSN 0, receive PSN \d+$", there), "it only answers"
    assert next_ == f"  where packets are lost: closet wire {names[0]} {names[1]} --lab {lab.name}"
    assert transfer(a, b, Job(messages=SMALL)).done == SMALL


def test_netmiko_drives_a_microvm(lab: Lab, of_host: dict[str, list[End]]) -> None:
    """Over a socket of the node's, as who automates real hosts would."""
    guest = lab[next(iter(of_host))]
    if not isinstance(guest, GuestNode):
        pytest.skip("this machine's kernel speaks RDMA in every namespace: its hosts are no microVMs")
    netmiko = pytest.importorskip("netmiko", reason="netmiko is not installed (`pip install closet[dev]`)")
    sock = guest.stream(22, PATIENCE)
    with netmiko.ConnectHandler(
        device_type="linux", host=guest.name, username="root", password="", sock=sock
    ) as connection:
        said = connection.send_command("uname -n; rdma link").split()
    assert said[0] == guest.name
    assert all(device(nic.endpoint.port or "") in " ".join(said) for nic in of_host[guest.name])


@contextmanager
def black_hole(lab: Lab, nic: End) -> Iterator[None]:
    """The leaf of a NIC drops all RoCE; afterwards its counters begin anew, or they would tell of it for ever."""
    port = lab.fabric[nic.endpoint.host].port(nic.endpoint.port or "")
    leaf, vrf = lab[port.peer], lab.fabric[port.peer].port(port.peer_port).vrf
    chain = "chain hole { type filter hook prerouting priority -400; udp dport 4791 drop; }"
    leaf.run("nft", "-f", "-", stdin=f"table inet closet-test {{ {chain}; }}\n", vrf=vrf)
    try:
        yield
    finally:
        leaf.run("nft", "delete", "table", "inet", "closet-test", vrf=vrf)
        nic.node.run("rdma", "link", "delete", device(port.name))
        nic.node.run("rdma", "link", "add", device(port.name), "type", "rxe", "netdev", port.name)
