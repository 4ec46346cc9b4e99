"""RoCEv2 as a kernel's Soft-RoCE sends it, at both ends of every cable: what is claimed of it is true there, too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from closet.check.wire import wire
from closet.expect.way import expected_way
from closet.lab import Lab
from closet.records import Endpoint, Finding
from closet.roce.wire import path_mtu
from closet.roce.work import Verb
from closet.traffic.sightings import Watched, watch
from closet.traffic.verbs import Job

from .test_wire import forwarded
from .watching import nft, pairs

QPS = 4
Pair = tuple[Endpoint, Endpoint]


@pytest.fixture(scope="module")
def far(lab: Lab) -> Pair:
    """Two NICs as far apart as there are any; in a tenant, if hosts are in one."""
    found = pairs(lab, by=("verbs",))
    if not found or not all(lab[end.host].rdma in {"microvm", "soft-roce"} for end in list(found.values())[-1]):
        pytest.skip("no two hosts of this fabric speak RDMA by verbs: `hosts: {rdma: verbs}` asks for it")
    return list(found.values())[-1]


def see(lab: Lab, far: Pair, verb: Verb = Verb.WRITE) -> Watched:
    """Three packets and some bytes, five times on each queue pair."""
    mtu = path_mtu(min(lab.fabric[end.host].port(end.port or "").mtu for end in far))
    job = Job(verb=verb, size=3 * mtu + 5, messages=5, qps=QPS, tos=0x6A, mtu=mtu)
    return watch(lab.fabric, lab.nodes, *far, job)


def findings(lab: Lab, seen: Watched, folder: Path) -> list[Finding]:
    """What is found; the frames are then kept in the test's folder."""
    found = list(wire(expected_way(lab.fabric, seen.source, seen.target), seen))
    if found:
        seen.save(folder / "wire.pcapng")
    return found


@pytest.mark.parametrize("verb", [Verb.WRITE, Verb.READ, Verb.SEND])
def test_every_packet_at_every_hop(lab: Lab, far: Pair, verb: Verb, tmp_path: Path) -> None:
    seen = see(lab, far, verb)
    assert [str(f) for f in findings(lab, seen, tmp_path)] == []
    assert seen.result.complete
    assert seen.result.counted == "retransmitted 0"
    assert len(seen.result.qpns) == QPS
    assert any(s.outer for s in seen.sightings) == (lab.fabric[far[0].host].vrf != "default")


@pytest.mark.parametrize(
    ("rule", "words"),
    [("ip dscp set cs0", "DSCP and ECN"), ("@th,64,8 0x07 numgen inc mod 5 == 0 drop", "no packet lost")],
    ids=["bleaches DSCP", "loses packets"],
)
def test_a_switch_that_does_wrong_is_named(lab: Lab, far: Pair, tmp_path: Path, rule: str, words: str) -> None:
    leaf = lab.fabric[far[1].host].port(far[1].port or "").peer
    with nft(lab, leaf, lab.fabric[far[1].host].vrf, forwarded(rule)):
        found = findings(lab, see(lab, far), tmp_path)
    assert {f.device for f in found if words in f"{f.subject} {f.expected}" and "in:" not in f.subject} == {leaf}


def test_the_command(lab: Lab, far: Pair) -> None:
    names = [f"{end.host}/{end.port}" for end in far]
    argv = [sys.executable, "-m", "closet", "wire", *names, "--lab", lab.name, "--qps", str(QPS)]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.rstrip().endswith(" 0 findings")
