"""What perftest and rping print, and how `closet rdma` says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from closet.cli.rdma import line
from closet.errors import ProbeError
from closet.observe.rdma import parse_queue_pairs
from closet.traffic import verbs
from closet.traffic.perftest import (
    Bandwidth,
    Latency,
    Unclocked,
    parse_bandwidth,
    parse_latency,
    parse_qps,
    parse_rping,
    why,
)

RECORDED = Path(__file__).parent / "recorded"
BW, LAT = ((RECORDED / name).read_text() for name in ("ib_write_bw.txt", "ib_read_lat.txt"))


def test_bandwidth_has_units():
    got = parse_bandwidth(BW)
    assert (got.messages, got.size, got.qps) == (100, 65536, ((42, 48), (43, 49)))
    assert got.goodput == pytest.approx(0.048778e9)
    assert got.rate * got.size * 8 == pytest.approx(got.goodput, rel=0.01)


def test_mebibytes_are_bits_too():
    head = " #bytes     #iterations    BW peak[MiB/sec]    BW average[MiB/sec]   MsgRate[Mpps]\n"
    got = parse_bandwidth(head + " 65536      1000             70.29              64.00               0.001024\n")
    assert got == Bandwidth(64 * 2**20 * 8, pytest.approx(70.29 * 2**20 * 8), 1024, 1000, 65536, ())


def test_latency_is_in_seconds():
    approx = [pytest.approx(us * 1e-6) for us in (561.16, 5971.25, 7827.27, 94915.57, 94915.57)]
    assert parse_latency(LAT) == Latency(*approx, messages=100, size=64)
    assert parse_qps(LAT) == ((0x17, 0x17),)


def test_what_could_not_time_itself_is_no_result():
    with pytest.raises(Unclocked):
        parse_bandwidth(BW[: BW.index(" 65536")] + " 65536      100           0.000000            0.000000  0.000000\n")
    said = " 65536      100   0.000000   0.000000  0.000000Correlation coefficient r^2: 0.131165 < 0.9\n"
    with pytest.raises(Unclocked):
        parse_bandwidth(BW[: BW.index(" 65536")] + said)
    with pytest.raises(Unclocked):
        parse_latency(LAT.replace("5971.25", "inf"))


@pytest.mark.parametrize("text", ["", "Couldn't connect to 10.0.3.129:4\n", BW[: BW.index(" #bytes")]])
def test_no_table_is_no_result(text):
    with pytest.raises(ProbeError, match="no table"):
        parse_bandwidth(text)


@pytest.mark.parametrize(("there", "other"), [("MsgRate[Mpps]", "MsgRate[Mpps]   x"), ("Gb/sec", "Tb/sec")])
def test_another_table_is_no_result(there, other):
    with pytest.raises(ProbeError, match=r"columns|unit"):
        parse_bandwidth(BW.replace(there, other))


def test_pings_that_came_back_are_counted():
    assert parse_rping((RECORDED / "rping.txt").read_text()) == 3
    assert parse_rping("cma event RDMA_CM_EVENT_REJECTED, error 28\n") == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Couldn't connect to 10.0.3.129:4\nUnable to open file descriptor\n", "Couldn't connect to 10.0.3.129:4"),
        (" Completion with error at client\n Failed status 12: wr_id 0\n", "transport retry counter exceeded"),
        (
            " Tx depth should be between 1 and 15000\n Parser function exited with Error\n",
            "Tx depth should be between 1 and 15000",
        ),
        (" Failed status 4: wr_id 0\n", "completion with status 4"),
        ("-----\n something\n-----\n", "something"),
        ("", "it said nothing"),
    ],
)
def test_the_first_complaint_is_the_reason(text, reason):
    assert why(text) == reason


def test_connected_queue_pairs_are_those_that_carry_messages():
    one = {"ifindex": 0, "ifname": "rxe_eth1", "port": 1, "lqpn": 1, "type": "GSI", "state": "RTS", "sq-psn": 3}
    two = one | {"lqpn": 17, "rqpn": 18, "type": "RC", "rq-psn": 7, "sq-psn": 9, "pid": 812, "comm": "ib_write_bw"}
    (found,) = parse_queue_pairs([one, two])
    assert (found.device, str(found)) == ("rxe_eth1", "QP 17 to 18: RTS, send PSN 9, receive PSN 7")


def result(**more):
    numbers = {"size": 65536, "qps": 2, "asked": 20, "done": 20, "goodput": 5.7e8, "seconds": 2.0}
    ends = {"source": "h1/eth1", "target": "h2/eth1", "sent": {"sent_pkts": 9}, "received": {}}
    rest = {"latency": {0.5: 2e-4, 0.99: 1.5e-3}, "qpns": ((17, 17), (18, 19)), "failed": None, "stalled": ()}
    return verbs.Result(**{"verb": "write"} | numbers | ends | rest | more)


def test_a_result_is_one_line():
    assert line(result(), "verbs", {("leaf1", "spine2", "leaf2"): 2}) == (
        "h1/eth1 to h2/eth1: write 20 x 64 KiB on 2 QPs by verbs, 0.57 Gb/s, latency p50 200 µs p99 1.5 ms, "
        "UDP source ports 49441, 49494, over leaf1 spine2 leaf2, retransmitted 0: ok"
    )


def test_what_stalled_and_what_was_lost_is_said():
    stalled = result(done=0, goodput=0.0, latency={}, qpns=(), stalled=("x",), sent={"completer_retry_err": 3})
    assert line(stalled, "verbs", {}).endswith(", completer_retry_err 3: not done after 2.0 s, 20 asked for")
    late = line(result(latency={}), "verbs", {})
    assert ", latency not measured in time, " in late
    assert late.endswith(": ok")
    failed = result(failed="ib_write_lat: no such device")
    assert not failed.complete
    two = {("leaf1", "spine1", "leaf2"): 1, ("leaf1", "spine2", "leaf2"): 1}
    assert "over leaf1 spine1 leaf2 (1 QP), leaf1 spine2 leaf2 (1 QP)" in line(failed, "verbs", two)
    assert line(failed, "verbs", {}).endswith(": ib_write_lat: no such device, 20 of 20 done")
