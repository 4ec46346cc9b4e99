"""Congestion and loss: marks, CNPs and what senders make of them; the switch that does not mark; what a loss costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from closet.check.marks import marking as judge
from closet.expect.pairs import endpoints
from closet.expect.way import expected_way
from closet.lab import Lab
from closet.observe.marks import marks
from closet.plan import DEFAULT_VRF
from closet.records import Endpoint, Finding, Marks
from closet.roce.dcqcn import Dcqcn
from closet.roce.limits import Limits
from closet.traffic.marking import marking
from closet.traffic.offload import as_on_a_wire
from closet.traffic.rdma import Job, Result, must, transfer

from .watching import Watch, in_the_underlay, ingress, narrow, nft

LINE = 1e9
P = Dcqcn(line_rate=LINE, minimum=LINE / 20).stretched(20)


@pytest.fixture
def here(lab: Lab, tmp_path: Path) -> Watch:
    found = in_the_underlay(lab, tmp_path)
    if found is None:
        pytest.skip("no two hosts of the underlay with a userspace endpoint: Soft-RoCE has neither CNPs nor a rate")
    return found


def recovered(before: float, after: float, rounds: int) -> float:
    """R_C after so many rounds of increase by the timer alone (equations 3 and 4 of the paper; R_T is before a cut)."""
    target, rate = before, after
    for n in range(1, rounds + 1):
        if n > P.fast_rounds:
            target = min(target + P.additive, LINE)
        rate = (target + rate) / 2
    return rate


def test_the_sender_slows_and_recovers_as_dcqcn_says(here: Watch) -> None:
    """The leaf marks the first 2 MiB. Every cut is equation 1's, alpha's decay equation 2's, recovery 3's and 4's."""
    leaf, _ = here.leaf(here.target)
    mark = "type filter hook forward priority 0; udp dport 4791 ip ecn ect0 quota until 2 mbytes ip ecn set ce;"
    job = Job(size=1 << 20, messages=32, attributes=here.attributes(dcqcn=P))
    with as_on_a_wire(here.lab.nodes, here.lab.fabric[here.source.host]), nft(here.lab, leaf, here.vrf, mark):
        result = must(transfer(*here.ends, job))
    assert result.sent["cnps_handled"] == result.received["cnps_sent"] == len(result.cuts) > 3
    spent = result.cuts[-1][0] - result.cuts[0][0]
    assert len(result.cuts) <= spent / P.cnp_interval + 2  # one an interval
    assert result.cuts[0][1:] == (LINE, LINE / 2)
    alpha = 1.0
    for (t, before, after), (t_next, before_next, after_next) in zip(result.cuts, result.cuts[1:], strict=False):
        rounds = round((t_next - t) // P.timer)
        possible = [recovered(before, after, n) for n in (rounds - 1, rounds, rounds + 1)]
        assert any(before_next == pytest.approx(rate, rel=1e-6) for rate in possible), (t, t_next)
        alpha = ((1 - P.g) * alpha + P.g) * (1 - P.g) ** round((t_next - t) // P.alpha_timer)
        assert after_next == pytest.approx(max(P.minimum, before_next * (1 - alpha / 2)), rel=0.01)
    last = result.cuts[-1]
    assert min(after for _, _, after in result.cuts) < LINE / 2
    rising = [rate for at, rate in result.rates if at > last[0]]
    assert rising == sorted(rising)
    assert rising[-1] == LINE
    for at, rate in result.rates:
        if last[0] < at < last[0] + 12 * P.timer:
            rounds = round((at - last[0]) // P.timer)
            possible = [recovered(last[1], last[2], n) for n in (max(rounds - 1, 0), rounds, rounds + 1)]
            assert any(rate == pytest.approx(p, rel=1e-6) for p in possible), (at - last[0], rate, possible)


# incast


THRESHOLD = 20e6
"""Bit/s beyond which ports to hosts mark; those between switches are ten times as fast."""
QUEUES = {"rate": THRESHOLD, "between": 10 * THRESHOLD, "burst": 1 << 15}


def senders(here: Watch) -> list[Endpoint]:
    """NICs of two hosts that reach the target, from other leaves where there are such."""
    fabric, (leaf, _) = here.lab.fabric, here.leaf(here.target)
    _, nics = endpoints(fabric)
    found: dict[str, Endpoint] = {}
    for e in sorted(nics, key=lambda e: fabric[e.host].port(e.port or "").peer == leaf):
        host = fabric[e.host]
        there = host.vrf == DEFAULT_VRF and host.rdma in {"none", "endpoint"} and e.host != here.target.host
        if there and len(found) < 2 and expected_way(fabric, e, here.target).routers:
            found.setdefault(e.host, e)
    return list(found.values())


def incast(here: Watch, **more: object) -> list[Result]:
    """Two hosts write to one for two seconds, on eight queue pairs each, every one of them at up to 10 Mb/s."""
    both = [Watch(here.lab, e, here.target, here.pcap.parent) for e in senders(here)]
    if len(both) < 2:
        pytest.skip("no two senders for one target")
    # The paper's are for 40 Gb/s: increases in proportion, and times in which some packets are sent.
    dcqcn = Dcqcn(line_rate=10e6, minimum=0.1e6, additive=0.1e6, hyper=0.5e6).stretched(200)
    attributes = here.attributes(dcqcn=dcqcn, limits=Limits(window=64, ack_every=16, timeout=17), **more)
    job = Job(size=1 << 14, messages=10_000, qps=8, attributes=attributes, seconds=2.0)
    fabric = here.lab.fabric
    hosts = [fabric[e.host] for e in (here.target, *(w.source for w in both))]
    with as_on_a_wire(here.lab.nodes, *hosts), ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda w: transfer(*w.ends, job), both))


def goodput(results: Sequence[Result]) -> float:
    return sum(r.goodput for r in results)


def look(here: Watch) -> tuple[list[Finding], dict[str, dict[str, Marks]]]:
    fabric = here.lab.fabric
    counted = {s.name: marks(here.lab[s.name], fabric) for s in fabric.switches}
    return list(judge(counted)), counted


def test_a_congested_egress_slows_its_senders(here: Watch) -> None:
    leaf, port = here.leaf(here.target)
    free = incast(here)
    assert all(r.failed is None and r.sent["cnps_handled"] == 0 for r in free)
    with marking(here.lab.fabric, here.lab.nodes, **QUEUES):
        slowed = incast(here)
        found, counted = look(here)
    assert [str(f) for f in found] == []
    assert counted[leaf][port].marked > 0
    assert all(r.failed is None and r.sent["cnps_handled"] > 0 and r.retransmitted == 0 for r in slowed)
    assert goodput(free) > 3 * THRESHOLD
    assert THRESHOLD / 2 < goodput(slowed) < 2.5 * THRESHOLD  # they all begin at 10 Mb/s


def test_a_switch_that_does_not_mark_is_named(here: Watch) -> None:
    leaf, port = here.leaf(here.target)
    with marking(here.lab.fabric, here.lab.nodes, **QUEUES, off={leaf}):
        results = incast(here)
        found, counted = look(here)
    assert counted[leaf][port].beyond > 0
    assert {(f.device, f.subject) for f in found} == {(leaf, f"ECN on {port}")}
    assert all(r.failed is None for r in results)


def test_packets_that_may_not_be_marked_are_not(here: Watch) -> None:
    """Not-ECT: the sender is never told, where a real switch would drop instead.

    Control: nobody failed, and all together sent as much as unmarked senders do, far beyond the threshold.
    """
    with marking(here.lab.fabric, here.lab.nodes, **QUEUES):
        results = incast(here, tos=26 << 2)
        _, counted = look(here)
    assert all(r.failed is None and r.done > 0 for r in results)
    assert goodput(results) > 3 * THRESHOLD
    assert all(its.beyond == 0 for ports in counted.values() for its in ports.values())
    assert all(r.sent["cnps_handled"] == r.received["ce_marked"] == 0 for r in results)


# loss


@pytest.mark.parametrize("window", [32, 128])
def test_one_in_256_lost_costs_what_go_back_n_costs(here: Watch, window: int) -> None:
    """Of 256 packets one is lost, and those on the way behind it are sent in vain: 1 - W / 256 of all is goodput.

    The last link is so narrow that the window W is full when one is missed, but for what no acknowledgement told yet.
    It is counted in packets: seconds would be those of a machine that does other things, too.
    """
    leaf, port = here.leaf(here.source)
    last, its = here.leaf(here.target)
    limits = Limits(window=window, ack_every=window // 8, timeout=19)
    job = Job(size=4 << 20, messages=4, attributes=here.attributes(limits=limits))
    packets = job.size * job.messages // job.attributes.mtu
    real = as_on_a_wire(here.lab.nodes, here.lab.fabric[here.source.host], here.lab.fabric[here.target.host])
    with real, narrow(here.lab, last, here.vrf, its, "150mbit"):
        clean = must(transfer(*here.ends, job))
        with ingress(here.lab, leaf, here.vrf, port, "udp dport 4791 numgen inc mod 256 == 0 drop"):
            lossy = must(transfer(*here.ends, job))
    assert clean.retransmitted == 0
    losses = math.ceil(lossy.sent["sent"] / 256)
    assert lossy.sent["rcvd_seq_err"] + lossy.sent["timeouts"] == losses
    assert lossy.sent["sent"] == packets + lossy.retransmitted
    assert window / 2 <= lossy.retransmitted / losses <= window
    assert lossy.intact
