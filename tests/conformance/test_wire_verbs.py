"""RoCEv2 as a kernel's Soft-RoCE sends it, at both ends of every cable: what is claimed of it is true there, too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from closet.check.elephants import elephants, loads
from closet.check.wire import wire
from closet.expect.elephants import expected_fans
from closet.expect.way import expected_way
from closet.lab import Lab
from closet.records import Endpoint, Fan, Finding, Load
from closet.roce.wire import path_mtu
from closet.roce.work import Verb
from closet.traffic.sightings import Watched, watch
from closet.traffic.verbs import LEAST, Job

from . import changes
from .test_wire import WRONG, forwarded
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


def see(lab: Lab, far: Pair, verb: Verb = Verb.WRITE, **more: Any) -> Watched:
    """Three packets and some bytes, five times on each of four queue pairs, if not said otherwise."""
    mtu = path_mtu(min(lab.fabric[end.host].port(end.port or "").mtu for end in far))
    usual = {"size": 3 * mtu + 5, "messages": LEAST, "qps": QPS, "seconds": 30.0}
    return watch(lab.fabric, lab.nodes, *far, Job(**{"verb": verb, "tos": 0x6A, "mtu": mtu, **usual, **more}))


def fans(lab: Lab, far: Pair) -> list[Fan]:
    """Equal-cost sets of switches on the way."""
    found = [f for f in expected_fans(lab.fabric, *far) if not lab.fabric[f.node].is_host]
    return found or pytest.skip("one path only")


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


@pytest.mark.parametrize("what", WRONG)
def test_a_switch_that_does_wrong_is_named(lab: Lab, far: Pair, tmp_path: Path, what: str) -> None:
    """What is lost is sent again, and all of it arrives."""
    rule, words = WRONG[what]
    leaf = lab.fabric[far[1].host].port(far[1].port or "").peer
    with nft(lab, leaf, lab.fabric[far[1].host].vrf, forwarded(rule)):
        seen = see(lab, far)
    found = findings(lab, seen, tmp_path)
    assert {f.device for f in found if words in f"{f.subject} {f.expected}" and "in:" not in f.subject} == {leaf}
    assert seen.result.complete, seen.result


def test_one_queue_pair_uses_one_path(lab: Lab, far: Pair, tmp_path: Path) -> None:
    seen = see(lab, far, qps=1)
    assert [str(f) for f in findings(lab, seen, tmp_path)] == []
    for its in loads(lab.fabric, fans(lab, far), seen).values():
        assert sum(load.qps > 0 for load in its) <= 1


def test_a_layer_3_hash_is_caught(lab: Lab, far: Pair) -> None:
    """Of 32 queue pairs a healthy leaf has some on each path, and one that looks at addresses alone has not."""
    first = fans(lab, far)[:1]

    def loaded() -> list[Load]:
        return loads(lab.fabric, first, see(lab, far, qps=32, size=256))[first[0]]

    healthy = loaded()
    assert list(elephants(first, {first[0]: healthy})) == []
    with changes.setting(lab, first[0].node, "net.ipv4.fib_multipath_hash_policy", 0):
        broken = loaded()
    assert [f.device for f in elephants(first, {first[0]: broken})] == [first[0].node]
    assert sum(load.qps > 0 for load in broken) == 1


def test_the_command(lab: Lab, far: Pair) -> None:
    names = [f"{end.host}/{end.port}" for end in far]
    argv = [sys.executable, "-m", "closet", "wire", *names, "--lab", lab.name, "--qps", str(QPS)]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.rstrip().endswith(" 0 findings")
