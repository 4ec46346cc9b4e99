"""RoCEv2 at both ends of every cable: the claims are true of a healthy fabric, and false where a switch does wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from closet.check.elephants import elephants, loads
from closet.expect.elephants import ideal
from closet.lab import Lab
from closet.plan import DEFAULT_VRF
from closet.roce.wire import Op
from closet.roce.work import Verb
from closet.traffic import offload, sightings

from . import changes
from .watching import Watch, in_a_tenant, in_the_underlay, ingress, nft


@pytest.fixture(params=["the underlay", "a tenant"])
def here(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path) -> Watch:
    found = (in_a_tenant if request.param == "a tenant" else in_the_underlay)(lab, tmp_path)
    if found is None:
        pytest.skip(f"no two hosts with a userspace endpoint in {request.param}; test_wire_verbs is for the others")
    return found


@pytest.fixture
def tenant(lab: Lab, tmp_path: Path) -> Watch:
    found = in_a_tenant(lab, tmp_path)
    if found is None:
        pytest.skip("no two hosts with a userspace endpoint in a tenant; test_wire_verbs is for the others")
    return found


@pytest.mark.parametrize("verb", list(Verb))
def test_every_packet_at_every_hop(here: Watch, verb: Verb) -> None:
    seen = here.see(verb=verb)
    assert [str(f) for f in here.findings(seen)] == []
    assert seen.result.complete
    assert seen.result.retransmitted == 0
    assert bool(here.way.vnis) == any(s.outer for s in seen.sightings)


def test_what_is_kept_opens_in_tshark(here: Watch) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    seen = here.see(verb=Verb.WRITE)
    seen.save(here.pcap)
    columns = ["frame.interface_name", "infiniband.bth.destqp", "infiniband.bth.psn", "_ws.malformed"]
    argv = ["tshark", "-r", str(here.pcap), "-Y", "infiniband", "-T", "fields"]
    said = subprocess.run(
        [*argv, *(word for c in columns for word in ("-e", c))], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    rows = [line.split("\t") for line in said.splitlines()]
    assert len(rows) == len(seen.sightings)
    assert {row[0] for row in rows} == {str(s.place) for s in seen.sightings}
    assert {int(row[1], 0) for row in rows} == {qpn for pair in seen.result.qpns for qpn in pair}
    assert all(row[3] == "" for row in rows)


def test_offloads_would_be_seen(here: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a veth carries by itself is not what would be on a wire: super-packets, and unfinished checksums."""
    monkeypatch.setattr(sightings, "as_on_a_wire", partial(offload.offloads, to="on"))
    found = {f.subject.partition(": ")[2] for f in here.findings(here.see(verb=Verb.WRITE, size=1 << 16))}
    assert {"UDP checksum", "payload of WRITE_MIDDLE"} <= found


# what a switch may do wrong


def forwarded(what: str) -> str:
    """A rule for all RoCEv2 a node forwards."""
    return f"type filter hook forward priority 0; udp dport 4791 {what};"


MIDDLE = "@th,64,8 0x07 numgen inc mod 41 == 0"
"""The first WRITE MIDDLE (by the first byte behind the UDP header), and one in 41: more than go-back-N ever sends again
at a time. Of just as many the same one would be lost for ever."""
WRONG: dict[str, tuple[str, str]] = {
    # what the target's leaf does → words of what is found of it
    "bleaches DSCP": ("ip dscp set cs0", "DSCP and ECN"),
    "takes ECN away": ("ip ecn set not-ect", "DSCP and ECN"),
    "marks without congestion": ("ip ecn set ce", "DSCP and ECN"),
    "loses packets": (f"{MIDDLE} drop", "no packet lost"),
    "gives a new TTL": ("ip ttl set 64", "TTL"),
    "writes into packets": (f"{MIDDLE} @th,208,32 set 0x2a2b2c2d", "bytes"),  # four: one may be there already
}


@pytest.mark.parametrize("what", WRONG)
def test_a_switch_that_does_wrong_is_named(here: Watch, what: str) -> None:
    rule, words = WRONG[what]
    leaf, _ = here.leaf(here.target)
    with nft(here.lab, leaf, here.vrf, forwarded(rule)):
        found = here.findings(here.see(verb=Verb.WRITE, seconds=5.0))
    assert [str(f) for f in found if f.device == leaf and words in f"{f.subject} {f.expected}"]
    accused = {f.device for f in found if words in f"{f.subject} {f.expected}" and "in:" not in f.subject}
    assert accused == {leaf}, [str(f) for f in found]
    assert here.pcap.stat().st_size > 10_000


def test_a_loss_names_the_link(here: Watch) -> None:
    """One in 256 that arrive at a switch by one port go no further: the finding says by which, and all are counted."""
    if not here.fans():
        pytest.skip("one path only")
    fan = here.fans()[0]
    port = here.lab.fabric[fan.node].port(fan.ports[0])
    roce = 4791 if here.vrf == DEFAULT_VRF else 4789
    with ingress(here.lab, port.peer, DEFAULT_VRF, port.peer_port, f"udp dport {roce} numgen inc mod 256 == 0 drop"):
        found = here.findings(here.see(verb=Verb.WRITE, qps=16, size=1 << 18, messages=2))
    lost = [f for f in found if f.expected == "no packet lost"]
    assert {f.device for f in lost} == {port.peer}
    assert all(f.subject.startswith(f"{port.peer_port} to ") for f in lost), [str(f) for f in lost]


def test_a_port_that_is_down_is_watched_too(here: Watch) -> None:
    """Nothing passes there, which is no error of the tap; the transfer goes by the other ports."""
    if not here.fans():
        pytest.skip("one path only")
    fan = here.fans()[0]
    ends = {(fan.node, fan.ports[0])}
    link = next(c for c in here.lab.fabric.links if ends & {(c.a, c.a_port), (c.b, c.b_port)})
    with changes.link_down(here.lab, link):
        seen = here.see(verb=Verb.WRITE)
    changes.wait_until_clean(here.lab)
    assert seen.result.complete
    assert not [s for s in seen.sightings if (s.place.node, s.place.port) in ends]


def test_dscp_that_vxlan_does_not_copy(tenant: Watch) -> None:
    """Linux without `tos inherit`, played by the leaf: RoCE would be best effort on every spine."""
    leaf, _ = tenant.leaf(tenant.source)
    chain = "type filter hook output priority 0; udp dport 4789 ip dscp set cs0;"
    with nft(tenant.lab, leaf, DEFAULT_VRF, chain):
        found = tenant.findings(tenant.see())
    assert any(f.device == leaf and "ToS of VXLAN" in f.subject for f in found), [str(f) for f in found]


def test_a_mark_on_vxlan_reaches_the_receiver(tenant: Watch) -> None:
    """RFC 6040: what a spine marks outside, the leaf must mark inside, or nobody slows down.

    Only what may be marked: a leaf drops what says CE outside and Not-ECT inside, as CNPs would.
    """
    fan = tenant.fans()[0]
    spines = [tenant.lab.fabric[fan.node].port(p).peer for p in fan.ports]
    mark = "type filter hook forward priority 0; udp dport 4789 ip ecn ect0 ip ecn set ce;"
    with ExitStack() as stack:
        for spine in spines:
            stack.enter_context(nft(tenant.lab, spine, DEFAULT_VRF, mark))
        seen = tenant.see()
    assert seen.result.received["ce_marked"] > 0
    cnps = [s for s in seen.sightings if s.packet[28] == Op.CNP and s.place.node == tenant.source.host]
    assert 0 < len(cnps) == seen.result.received["cnps_sent"]
    found = {f.device for f in tenant.findings(seen) if "VXLAN's DSCP and ECN" in f.subject}
    assert found == set(spines)


# elephants on equal-cost paths


def test_one_queue_pair_uses_one_path(here: Watch) -> None:
    seen = here.see(qps=1, size=100_000)
    assert [str(f) for f in here.findings(seen)] == []
    for its in loads(here.lab.fabric, here.fans(), seen).values():
        assert sum(load.qps > 0 for load in its) <= 1


def test_queue_pairs_fall_as_an_ideal_hash_would_have_them(here: Watch) -> None:
    """512 queue pairs as 32 draws of 16: the busiest path of a draw has what counting says, on average."""
    fans = here.fans()
    if not fans:
        pytest.skip("one path only")
    draws, n = 32, 16
    seen = here.see(qps=draws * n, size=256, messages=1)
    carried = loads(here.lab.fabric, fans[:1], seen)
    assert list(elephants(fans[:1], carried)) == []
    ways = {(fans[0].node, p) for p in fans[0].ports}
    by_qp = {
        int.from_bytes(s.packet[33:36], "big"): s.place.port
        for s in seen.sightings
        if s.leaving and (s.place.node, s.place.port) in ways and s.packet[12:16] == here.source.address.packed
    }
    ports = [by_qp[theirs] for _, theirs in seen.result.qpns]
    busiest = [max(ports[i : i + n].count(p) for p in fans[0].ports) for i in range(0, len(ports), n)]
    want = ideal(n, len(fans[0].ports))
    assert abs(sum(busiest) / draws - want.busiest) < 5 * want.deviation / draws**0.5


def test_a_layer_3_hash_is_caught(here: Watch) -> None:
    fans = here.fans()
    if not fans:
        pytest.skip("one path only")
    with changes.setting(here.lab, fans[0].node, "net.ipv4.fib_multipath_hash_policy", 0):
        seen = here.see(qps=32, size=256, messages=1)
    carried = loads(here.lab.fabric, fans[:1], seen)
    assert [f.device for f in elephants(fans[:1], carried)] == [fans[0].node]
    assert sum(load.qps > 0 for load in carried[fans[0]]) == 1


def test_the_command(here: Watch) -> None:
    """It ends with 0 on a healthy fabric; with 1, and the frames kept, where a leaf bleaches DSCP."""
    names = [f"{e.host}/{e.port}" for e in (here.source, here.target)]
    argv = [sys.executable, "-m", "closet", "wire", *names, "--lab", here.lab.name, "--qps", "4"]
    kept = here.pcap.with_suffix(".kept")
    good = subprocess.run([*argv, "--svg", str(here.pcap.with_suffix(".svg"))], capture_output=True, text=True)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.rstrip().endswith(" 0 findings")
    assert here.pcap.with_suffix(".svg").read_text().startswith("<svg")
    leaf, _ = here.leaf(here.target)
    with nft(here.lab, leaf, here.vrf, forwarded("ip dscp set cs0")):
        bad = subprocess.run([*argv, "--pcap", str(kept), "--json"], capture_output=True, text=True)
    assert (bad.returncode, bad.stderr) == (1, "")
    assert {f["device"] for f in json.loads(bad.stdout)["findings"]} >= {leaf}
    assert kept.stat().st_size > 10_000
