"""RDMA by the userspace endpoint through a leaf, a spine and a leaf, beside iperf3 on the same path in the same run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

from tests.bench.measure import CLOSET, HERE, Up, median

SOURCE, TARGET = "h1-1", "h2-1"
VERBS = "spines: 2\nleaves: 2\nhosts: {per_leaf: 1, rdma: verbs}"
"""An intent's words: the same path, between hosts with Soft-RoCE."""
DATAGRAM = 4096 + 16
"""Bytes of UDP payload of a full packet in the middle of a message."""


def rdma(lab: Up, *options: str) -> dict[str, Any]:
    """What `closet rdma --json` says; not all of it arriving is an error."""
    argv = [*CLOSET, "rdma", SOURCE, TARGET, *options, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **lab.env}, check=False, cwd=HERE)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def goodput(lab: Up, verb: str, size: str = "64M", messages: int = 6) -> float:
    """Gb/s of messages on one queue pair, the median of three times."""
    options = ("--verb", verb, "--size", size, "--messages", str(messages))
    return median(lambda: float(rdma(lab, *options)["goodput"]) / 1e9, 3)


def segment(lab: Up, where: str) -> None:
    """Where sends are cut into packets: `sender` puts every packet on every link, `receiver` carries whole sends."""
    for host in (SOURCE, TARGET):
        enter, _ = _inside(lab, host)
        state = "off" if where == "sender" else "on"
        subprocess.run([*enter, "ethtool", "-K", "eth1", "tx-udp-segmentation", state], check=True)


def iperf(lab: Up, seconds: int = 3) -> float:
    """Gb/s that iperf3 receives by UDP, in datagrams as large as the endpoint's."""
    for tool in ("iperf3", "ethtool"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is not installed: apt-get install {tool}")
    (there, target), (here, source) = (_inside(lab, host) for host in (TARGET, SOURCE))
    listen = [*there, "iperf3", "-s", "-1", "-J", "-B", target]
    send = [*here, "iperf3", "-c", target, "-B", source, "-u", "-b", "0", "-l", str(DATAGRAM), "-t", str(seconds)]
    server = subprocess.Popen(listen, stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(50):  # until it listens
            if subprocess.run(send, capture_output=True, check=False).returncode == 0:
                break
        said, _ = server.communicate(timeout=10)
    finally:
        server.kill()
        server.wait()
    return float(json.loads(said)["end"]["sum_received"]["bits_per_second"]) / 1e9


def _inside(lab: Up, host: str) -> tuple[list[str], str]:
    """What runs a command of this machine in a host's network namespace, and the address of its NIC."""
    enter = ["nsenter", "-t", str(lab.state()["pids"][host]), "-n"]
    said = subprocess.run(
        [*enter, "ip", "-4", "-o", "addr", "show", "eth1"], capture_output=True, text=True, check=True
    )
    return enter, said.stdout.split()[3].partition("/")[0]


def latency(lab: Up) -> float:
    """Microseconds, median, from a request to write 64 bytes until it is acknowledged."""
    done = rdma(lab, "--size", "64", "--messages", "2000", "--depth", "1")
    return float(done["latency"]["0.5"]) * 1e6


def memory(lab: Up) -> float:
    """MiB of the larger of two processes with 1,000 queue pairs each, at its peak."""
    done = rdma(lab, "--qps", "1000", "--size", "4K", "--messages", "4")
    return float(max(done["memory"])) / 2**20


def with_loss(lab: Up) -> tuple[float, float]:
    """With 1 packet of 1,000 lost: Gb/s, and what go-back-N predicts by how many packets each loss cost.

    A loss costs the packets that were on their way (W), so goodput falls to (1 - p) / (1 - p + p W) of what it was.
    """
    nft = [*CLOSET, "exec", "leaf1", "nft"]
    env = {**os.environ, **lab.env}
    drop = "type filter hook forward priority 0; udp dport 4791 numgen random mod 1000 == 0 counter drop;"
    clean = goodput(lab, "write")
    rules = f"table inet bench {{ chain c {{ {drop} }}; }}"
    subprocess.run([*nft, "-f", "-"], input=rules, text=True, check=True, env=env, cwd=HERE)
    try:
        runs = [rdma(lab, "--size", "64M", "--messages", "6") for _ in range(3)]
    finally:
        subprocess.run([*nft, "delete", "table", "inet", "bench"], check=True, env=env, cwd=HERE)
    losses = sum(r["sent"]["rcvd_seq_err"] + r["sent"]["timeouts"] for r in runs)
    sent = sum(r["sent"]["sent"] for r in runs)
    again = sum(r["sent"]["retransmitted"] for r in runs)
    p, window = losses / sent, again / max(losses, 1)
    return sorted(r["goodput"] / 1e9 for r in runs)[1], clean * (1 - p) / (1 - p + p * window)
