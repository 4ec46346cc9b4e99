"""RDMA through the fabric by the userspace endpoint: every verb, what is on the wire, and what goes wrong well."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from closet.expect.overlay import expected_tables
from closet.expect.reach import expected_hops
from closet.lab import Lab
from closet.plan import DEFAULT_VRF
from closet.roce import icrc
from closet.roce.endpoint import Attributes
from closet.roce.limits import Limits
from closet.roce.ports import of_qps
from closet.roce.wire import Op, path_mtu
from closet.roce.work import Verb
from closet.traffic.offload import as_on_a_wire
from closet.traffic.rdma import Job, Result, limits, must, transfer
from closet.traffic.worker import End, Worker

from .lifecycle import HEARING

BEFORE_ICRC = 28
"""Bytes of IPv4 and UDP header."""
FRAME_HEAD = 14


@pytest.fixture(scope="module")
def ends(lab: Lab) -> tuple[End, End]:
    """Two NICs of hosts in the underlay that reach each other, over as many switches as there are between any two."""
    hosts = {h.name for h in lab.fabric.hosts if h.vrf == DEFAULT_VRF and h.rdma in {"none", "endpoint"}}
    routers = {
        pair: hops
        for pair, hops in expected_hops(lab.fabric, expected_tables(lab.fabric)).items()
        if hops and pair[0].port and {pair[0].host, pair[1].host} <= hosts
    }
    if not routers:
        pytest.skip("no two hosts of the underlay with a userspace endpoint; test_verbs is for the others")
    source, target = max(routers, key=lambda pair: max(routers[pair]))
    return End(lab[source.host], source), End(lab[target.host], target)


def attributes(lab: Lab, **more: Any) -> Attributes:
    mtu = path_mtu(min(p.mtu for h in lab.fabric.hosts for p in h.ports))
    return Attributes(mtu=mtu, **{"limits": limits(1), **more})


@pytest.fixture
def unsegmented(lab: Lab, ends: tuple[End, End]) -> Iterator[None]:
    """Every packet a packet on its own from the first link on, as on a wire."""
    with as_on_a_wire(lab.nodes, *(lab.fabric[end.endpoint.host] for end in ends)):
        yield


@contextmanager
def rule(lab: Lab, end: End, what: str) -> Iterator[Any]:
    """An nftables rule for what the leaf of an end forwards; called, it says how many packets it has met."""
    leaf = lab[lab.fabric[end.endpoint.host].port(end.endpoint.port or "").peer]
    chain = f"chain wire {{ type filter hook forward priority 0; udp dport 4791 {what}; }}"
    leaf.run("nft", "-f", "-", stdin=f"table inet closet-test {{ {chain}; }}\n")

    def met() -> int:
        words = leaf.run("nft", "list", "table", "inet", "closet-test").stdout.split()
        return int(words[words.index("packets") + 1])

    try:
        yield met
    finally:
        leaf.run("nft", "delete", "table", "inet", "closet-test")


def quiet(result: Result) -> list[str]:
    """Counters of either end that are not zero and should be on a healthy fabric."""
    expected = {"sent", "ce_marked", "cnps_sent", "cnps_handled", "rcvd_rnr_err", "send_rnr_err"}
    both = [*result.sent.items(), *result.received.items()]
    return [f"{name} {value}" for name, value in both if value and name not in expected]


@pytest.mark.parametrize("verb", list(Verb))
def test_every_verb(lab: Lab, ends: tuple[End, End], verb: Verb) -> None:
    job = Job(verb=verb, size=100_003, messages=10, qps=3, attributes=attributes(lab))
    result = must(transfer(*ends, job))
    assert (result.done, quiet(result)) == (30, [])
    assert result.intact is (True if verb in {Verb.WRITE, Verb.READ} else None)
    back = must(transfer(ends[1], ends[0], job))
    assert quiet(back) == []


def test_a_thousand_queue_pairs(lab: Lab, ends: tuple[End, End]) -> None:
    many = attributes(lab, limits=limits(1000))
    result = must(transfer(*ends, Job(size=4096, messages=2, qps=1000, attributes=many)))
    assert quiet(result) == []
    assert max(result.memory) < 256 << 20
    assert len(set(result.ports)) > 900


@pytest.mark.usefixtures("unsegmented")
def test_what_is_on_the_wire(lab: Lab, ends: tuple[End, End], capture: Any) -> None:
    """One verb after the other; ICRCs, ports, marks and sequence numbers, by closet's eyes and scapy's."""
    packets, _ = _captured(lab, ends, capture)
    assert all(icrc.matches(p) for p in packets)
    assert {int.from_bytes(p[22:24], "big") for p in packets} == {4791}
    assert {p[1] for p in packets} == {26 << 2 | 2}
    assert all(p[6] == 0x40 for p in packets), "every packet forbids fragments"
    assert {Op(p[28]).name for p in packets} >= {
        *("SEND_FIRST", "SEND_MIDDLE", "SEND_LAST", "WRITE_FIRST", "WRITE_MIDDLE", "WRITE_LAST", "ACK"),
        *("READ_REQUEST", "READ_FIRST", "READ_MIDDLE", "READ_LAST", "COMPARE_SWAP", "FETCH_ADD", "ATOMIC_ACK"),
    }
    by_qp: dict[bytes, list[bytes]] = {}
    for p in packets:
        by_qp.setdefault(p[33:36], []).append(p)
    for its in by_qp.values():
        assert len({p[20:22] for p in its}) == 1, "one source port a queue pair"
    _as_scapy_sees_it(packets)


@pytest.mark.usefixtures("unsegmented")
def test_what_is_on_the_wire_as_tshark_sees_it(lab: Lab, ends: tuple[End, End], capture: Any) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    packets, path = _captured(lab, ends, capture)
    columns = ["infiniband.bth.opcode", "infiniband.bth.psn", "infiniband.reth.dmalen", "_ws.malformed", "_ws.expert"]
    argv = ["tshark", "-r", str(path), "-T", "fields", *(word for c in columns for word in ("-e", c))]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    rows = [line.split("\t") for line in said.splitlines()]
    assert len(rows) == len(packets)
    assert all(row[0].isdecimal() and row[1].isdecimal() for row in rows)
    assert {row[3] for row in rows} == {""}, "malformed"


def _captured(lab: Lab, ends: tuple[End, End], capture: Any) -> tuple[list[bytes], Path]:
    """The packets of every verb from their IPv4 header on, as they arrive, and the file they are in."""
    _, target = ends
    seen = capture(target.endpoint.host, target.endpoint.port, "udp and port 4791")
    for verb in Verb:
        job = Job(verb=verb, size=3 * attributes(lab).mtu + 5, messages=2, attributes=attributes(lab))
        must(transfer(*ends, job))
    return [bytes(p)[FRAME_HEAD:] for p in seen.packets(at_least=30)], seen.path


def _as_scapy_sees_it(packets: list[bytes]) -> None:
    from scapy.contrib.roce import BTH
    from scapy.layers.inet import IP

    for p in packets:
        dissected = IP(p)
        assert BTH in dissected
        assert (dissected[BTH].opcode, dissected[BTH].psn) == (p[28], int.from_bytes(p[37:40], "big"))
        again = IP(p)
        again[BTH].icrc = None  # scapy then works it out
        assert bytes(again) == p


def test_source_ports_are_the_kernels(lab: Lab, ends: tuple[End, End]) -> None:
    with Worker(ends[0], qpn=17) as a, Worker(ends[1], qpn=17) as b:
        a.ready()
        b.ready()
        mine, theirs = a.ask("open", qps=8, memory=64), b.ask("open", qps=8, memory=64)
        assert [qpn for qpn, _ in mine["qps"]] == [qpn for qpn, _ in theirs["qps"]] == list(range(17, 25))
        peers = [(theirs["address"], *qp) for qp in theirs["qps"]]
        assert a.ask("connect", peers=peers, attributes={})["ports"] == [of_qps(n, n) for n in range(17, 25)]


@pytest.mark.usefixtures("unsegmented")
def test_one_in_a_thousand_lost(lab: Lab, ends: tuple[End, End]) -> None:
    """Go-back-N: each loss costs what was on its way, never more than the window, and the goodput what that costs."""
    window = Limits().window
    job = Job(size=16 << 20, messages=6, depth=2, attributes=attributes(lab))
    clean = must(transfer(*ends, job))
    assert quiet(clean) == []
    with rule(lab, ends[0], "numgen random mod 1000 == 0 counter drop") as dropped:
        result = must(transfer(*ends, job))
        lost = dropped()
    packets = job.size * job.messages / job.attributes.mtu
    assert packets / 2000 < lost < packets / 500
    gaps = result.sent["rcvd_seq_err"] + result.sent["timeouts"]
    assert gaps >= lost / 2
    # It looks for NAKs after four sends of 15 packets: 30 are behind a lost one on average. Selective repeat resends 1.
    assert 8 * gaps < result.retransmitted <= gaps * window
    loss = 1 / 1000
    least = (1 - loss) / (1 - loss + loss * window)
    efficiency = packets / result.sent["sent"]
    assert least * 0.9 < efficiency < 1 - loss / 2
    assert result.intact


def test_a_black_hole_ends_with_the_state_of_the_queue_pair(lab: Lab, ends: tuple[End, End]) -> None:
    quick = attributes(lab, limits=Limits(timeout=12, retries=3))
    with rule(lab, ends[0], "counter drop"):
        began = time.monotonic()
        failed = transfer(*ends, Job(messages=1, attributes=quick))
        patient = transfer(*ends, Job(messages=1, attributes=attributes(lab), seconds=0.3))
        took = time.monotonic() - began
    assert (failed.done, failed.failed) == (0, "transport retry counter exceeded")
    assert (patient.done, patient.failed) == (0, None)
    assert patient.seconds == pytest.approx(0.3, abs=0.2)
    for result in (failed, patient):
        assert "oldest unacknowledged" in result.stalled[0]
    assert took < 5


def test_interrupted_it_leaves_nothing(lab: Lab, ends: tuple[End, End]) -> None:
    names = [end.endpoint.host for end in ends]
    argv = [*HEARING, sys.executable, "-m", "closet", "rdma", *names, "--lab", lab.name, "--messages", "1000000"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while len(_workers(ends)) < 2 and time.monotonic() < deadline:
        os.sched_yield()
    assert len(_workers(ends)) == 2
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, "interrupted\n")
    assert _workers(ends) == []


def _workers(ends: tuple[End, End]) -> list[int]:
    """Processes of endpoints in the namespaces of these hosts."""
    spaces = {os.readlink(f"/proc/{end.node.pid}/ns/net") for end in ends}
    found = []
    for entry in Path("/proc").iterdir():
        try:
            inside = entry.name.isdigit() and os.readlink(entry / "ns/net") in spaces
            if inside and b"closet.roce" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
