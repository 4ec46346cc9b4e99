"""RDMA by the kernel's verbs: perftest and rping between two hosts, with results that have units.

The tools meet over TCP, in the fabric as well; times are measured by the one that asks, and never across two clocks.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from closet.errors import ProbeError
from closet.plan import Fabric
from closet.records import Endpoint
from closet.runtime.node import LiveNode

FIRST_PORT, PORTS = 18515, 4096
"""TCP ports for the tools to meet on: perftest's own, and those after it."""
TIMEOUT = 18
"""QP timeout, as 4.096 us * 2^n (IBTA section 9.7.6.1.3): 1 s: without KVM a guest may stand still for a while."""
LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp (include/net/tcp_states.h)."""
_ports = itertools.count(os.getpid() % PORTS)


class Verb(StrEnum):
    """What is done to the memory of the other end."""

    WRITE = "write"
    READ = "read"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """What `ib_*_bw` measured: average goodput in bit/s, messages a second, messages and bytes of each."""

    goodput: float
    rate: float
    messages: int
    size: int


@dataclass(frozen=True, slots=True)
class Latency:
    """What `ib_*_lat` measured, in seconds: of WRITE and SEND half a round trip, of READ a whole one."""

    typical: float
    least: float
    p99: float
    size: int


@dataclass(frozen=True, slots=True)
class Nic:
    """A NIC that speaks RDMA: its host, and which."""

    node: LiveNode
    endpoint: Endpoint


def bandwidth(
    fabric: Fabric, source: Nic, target: Nic, verb: Verb, *, size: int = 1 << 16, messages: int = 200, qps: int = 1
) -> Bandwidth:
    """Move `messages` messages of `size` bytes on each of `qps` queue pairs.

    Raises:
        ProbeError: it did not work; says what the tool said.
    """
    got = _perftest(fabric, source, target, f"ib_{verb}_bw", size, messages, ["--report_gbits", "-q", str(qps)])
    return Bandwidth(got["BW_average"] * 1e9, got["MsgRate"] * 1e6, got["n_iterations"], got["MsgSize"])


def latency(fabric: Fabric, source: Nic, target: Nic, verb: Verb, *, size: int = 2, messages: int = 500) -> Latency:
    """Time single messages.

    Raises:
        ProbeError: see `bandwidth`.
    """
    got = _perftest(fabric, source, target, f"ib_{verb}_lat", size, messages, [])
    return Latency(got["t_typical"] / 1e6, got["t_min"] / 1e6, got["percentile_99"] / 1e6, got["MsgSize"])


def rping(source: Nic, target: Nic, *, count: int = 10) -> None:
    """Connect by the RDMA connection manager, and exchange validated messages.

    Raises:
        ProbeError: see `bandwidth`.
    """
    port = _port()
    address = str(target.endpoint.address)
    common = ["-a", address, "-p", str(port), "-C", str(count), "-V"]
    # It listens by the connection manager, which no file shows: the client is refused until then.
    with _server(target.node, ["rping", "-s", *common]):
        again = Retrying(
            stop=stop_after_delay(20.0), wait=wait_fixed(0.2), retry=retry_if_result(lambda done: done.returncode != 0)
        )
        command = ["rping", "-c", *common, "-I", str(source.endpoint.address)]
        try:
            again(source.node.run, *command, check=False)
        except RetryError as e:
            done = e.last_attempt.result()
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
            raise ProbeError(f"{source.endpoint}: rping {target.endpoint}: {said[0]}") from None


def _port() -> int:
    return FIRST_PORT + next(_ports) % PORTS


def _perftest(
    fabric: Fabric, source: Nic, target: Nic, tool: str, size: int, messages: int, more: list[str]
) -> dict[str, Any]:
    port = _port()
    common = [tool, "-F", "-p", str(port), "-s", str(size), "-n", str(messages), "-u", str(TIMEOUT), *more]
    report = f"/tmp/closet-{port}.json"  # noqa: S108  in the host, under a name of this run
    with _server(target.node, [*common, *_device(target)]):
        _wait_listening(target, port)
        json_ = ["--out_json", f"--out_json_file={report}"]
        client = [*common, *_device(source), *json_, str(target.endpoint.address)]
        done = source.node.run(*client, check=False, timeout=120.0)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
        raise ProbeError(f"{source.endpoint}: {tool} to {target.endpoint}: {said[0].strip()}")
    results: dict[str, Any] = json.loads(source.node.run("cat", report).stdout)["results"]
    source.node.run("rm", "-f", report)
    return results


def _device(nic: Nic) -> list[str]:
    """The device and GID index of a NIC: as many GIDs as addresses, the IPv4 one is looked for."""
    port, gids = nic.endpoint.port, {}
    name = f"rxe_{port}"
    for index in range(8):
        try:
            gids[nic.node.read(f"/sys/class/infiniband/{name}/ports/1/gids/{index}").strip()] = index
        except OSError:
            break
    words = f"{int(nic.endpoint.address):08x}"
    wanted = f"0000:0000:0000:0000:0000:ffff:{words[:4]}:{words[4:]}"
    if wanted not in gids:
        raise ProbeError(f"{nic.endpoint}: no RDMA device with the GID {nic.endpoint.address}")
    return ["-d", name, "-x", str(gids[wanted])]


@contextmanager
def _server(node: LiveNode, command: list[str]) -> Iterator[None]:
    """A tool that waits for another, for as long as the context lasts."""
    process = node.popen(*command, stdin=-3, stdout=-3, stderr=-3)  # DEVNULL
    try:
        yield
    finally:
        process.kill()
        process.wait()
        node.run("pkill", "-KILL", "-f", "--", " ".join(command), check=False)


def _wait_listening(nic: Nic, port: int, seconds: float = 30.0) -> None:
    def listening() -> bool:
        lines = (nic.node.read("/proc/net/tcp") + nic.node.read("/proc/net/tcp6")).splitlines()
        fields = (line.split() for line in lines)
        return any(f[1].endswith(f":{port:04X}") and f[3] == LISTEN for f in fields if len(f) > 3)

    try:
        Retrying(stop=stop_after_delay(seconds), wait=wait_fixed(0.1), retry=retry_if_result(lambda r: not r))(
            listening
        )
    except RetryError:
        raise ProbeError(f"{nic.endpoint}: the server does not listen after {seconds:g} s") from None
