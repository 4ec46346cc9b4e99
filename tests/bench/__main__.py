"""`make bench`: every figure with its target and its ratio to a floor measured in the same run.

`python -m tests.bench [CASE ...]` runs some; `--json FILE` keeps the numbers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.measure import CLOSET, HERE, Floor, Up, idle_cpu, median, memory_a_node, output, plan_and_render, timed
from tests.bench.tenants import pairs


@dataclass
class Figure:
    """One line of the table."""

    case: str
    what: str
    value: float
    unit: str
    target: float | None = None
    floor: float | None = None
    ratio: float | None = None
    """What the value may be of the floor."""
    more: bool = False
    """Whether more is better: targets are then what it must be at least."""

    @property
    def met(self) -> bool:
        """Whether all its targets are."""
        return self._within(self.value, self.target) and self._within(self.of_floor, self.ratio)

    @property
    def of_floor(self) -> float | None:
        """The value, as a multiple of the floor."""
        return self.value / self.floor if self.floor else None

    def _within(self, value: float | None, target: float | None) -> bool:
        if value is None or target is None:
            return target is None
        return value >= target if self.more else value <= target

    def line(self) -> str:
        """As a line of text."""
        return (
            f"{self.case:10} {self.what:34} {self.value:8.2f} {self.unit:7} {self._beside(self.value, self.target):12} "
            + (
                f"{self.of_floor:5.2f}x of {self.floor:.2f} {self._beside(self.of_floor, self.ratio)}"
                if self.floor
                else ""
            )
        ).rstrip()

    def _beside(self, value: float | None, target: float | None) -> str:
        verdict = "ok  " if self._within(value, target) else "MISS"
        return "" if target is None else f"{verdict} {'≥' if self.more else '≤'} {target:g}"


FABRICS = {
    "f8": ("spines: 2\nleaves: 2\nhosts: {per_leaf: 2}", 1.5, 5),
    "f28": ("spines: 4\nleaves: 8\nhosts: {per_leaf: 2}", 3.0, 3),
    "f100": ("spines: 4\nleaves: 16\nhosts: {per_leaf: 5}", 11.0, 3),
    "f500": ("spines: 4\nleaves: 62\nhosts: {per_leaf: 7}", 70.0, 1),
}
"""Case → (its words, target seconds, runs)."""


def intent(case: str, words: str) -> Path:
    """An intent file."""
    path = Path(tempfile.mkdtemp()) / f"{case}.yaml"
    path.write_text(f"name: {case}\n{words}\n")
    return path


def fabric(case: str) -> Iterator[Figure]:
    """Up and proven, beside the floor; memory; down."""
    words, target, runs = FABRICS[case]
    path = intent(case, words)
    downs: list[float] = []
    memory: list[float] = []

    def up() -> float:
        with Up(path) as lab:
            memory.append(memory_a_node(lab.pids()))
        downs.append(lab.down)
        return lab.seconds

    def floor() -> float:
        with Floor(path) as it:
            return it.seconds

    bare = median(floor, runs)
    yield Figure(case, "up and proven", median(up, runs), "s", target, bare, ratio=1.5)
    yield Figure(case, "memory a node", memory[-1], "MiB", 30)
    yield Figure(case, "down", min(downs), "s", max(1.0, int(case[1:]) / 100))


def idle(case: str) -> Iterator[Figure]:
    """Idle CPU of a hundred nodes, beside the floor's."""
    path = intent(case, FABRICS["f100"][0])
    with Floor(path) as it:
        bare = idle_cpu(it.pids())
    with Up(path) as lab:
        yield Figure(case, "idle CPU, 100 nodes", idle_cpu(lab.pids()), "%", None, bare, ratio=1.0)


def reach(case: str) -> Iterator[Figure]:
    """All pairs of 64 hosts."""
    with Up(intent(case, "spines: 2\nleaves: 8\nhosts: {per_leaf: 8}")) as lab:
        took = median(lambda: timed(*CLOSET, "check", "--only", "reach", env=lab.env), 3)
        yield Figure(case, "all pairs of 64 hosts, whole command", took, "s", 3)


def tenants(case: str) -> Iterator[Figure]:
    """32 tenants on 8 leaves and 64 hosts; the matrix of all their endpoints; a thousand tenants on paper."""
    with Up(intent(case, pairs(spines=4, leaves=8, per_leaf=8, tenants=32))) as lab:
        yield Figure(case, "32 tenants, 64 hosts, up and proven", lab.seconds, "s", 45)
        checks = ("--only", "matrix", "--only", "reach")
        took = median(lambda: timed(*CLOSET, "check", *checks, env=lab.env), 3)
        yield Figure(case, "64 hosts x ICMP, TCP, UDP, command", took, "s", 10)
        yield from one_more(case, lab)
    seconds, _ = plan_and_render(intent(case, pairs(spines=8, leaves=128, per_leaf=16, tenants=1000)))
    yield Figure(case, "plan and render 1000 tenants", seconds, "s", 10)


def one_more(case: str, lab: Up) -> Iterator[Figure]:
    """The last of 32 tenants goes and comes back: how long until all forwards as planned, and until all is proven."""
    name = lab.state()["name"]
    given = {n: intent(f"{case}-{n}", pairs(spines=4, leaves=8, per_leaf=8, tenants=n)) for n in (31, 32)}
    argv = (*CLOSET, "apply", "--name", name, "--json")
    seconds = []
    for _ in range(3):
        for n, path in given.items():
            timings = json.loads(output(*argv, str(path), env=lab.env))["timings"]
            seconds += [timings] if n == 32 else []
    for word, target in (("converged", None), ("proven", 3.0)):
        took = statistics.median(t[word] for t in seconds)
        yield Figure(case, f"a tenant more, to 32: {word}", took, "s", target)


def plan(case: str) -> Iterator[Figure]:
    """A thousand switches and eight thousand hosts, as files."""
    words = "pods: 10\nsuperspines: 16\nspines: 8\nleaves: 90\nhosts: {per_leaf: 9}"
    seconds, peak = plan_and_render(intent(case, words))
    yield Figure(case, "plan and render 996 switches", seconds, "s", 10)
    yield Figure(case, "memory for that", peak, "MiB", 1024)


def start(case: str) -> Iterator[Figure]:
    """The command line itself."""
    yield Figure(case, "closet --help", median(lambda: timed(*CLOSET, "--help"), 5), "s", 0.3)


def containerlab(case: str) -> Iterator[Figure]:
    """The containerlab runtime, beside plain containerlab with 16 workers and the same topology file."""
    from tests.bench.plain import plain_containerlab

    for name, target in (("f8", 5.0), ("f28", 10.0)):
        path = intent(f"c{name}", FABRICS[name][0])

        def up(path: Path = path) -> float:
            with Up(path, "containerlab") as lab:
                return lab.seconds

        plain = median(lambda path=path: plain_containerlab(path), 3)  # type: ignore[misc]
        yield Figure(case, f"{name} up and proven", median(up, 3), "s", target, plain)


def roce(case: str) -> Iterator[Figure]:
    """The userspace RoCEv2 endpoint on one queue pair, beside iperf3 UDP and Soft-RoCE in microVMs."""
    from tests.bench import rdma

    with Up(intent("verbs", rdma.VERBS)) as lab:
        kernels = rdma.goodput(lab, "write", "64K", 200)
    with Up(intent(case, FABRICS["f8"][0])) as lab:
        for where, what, least in (("sender", "real packets", 4.0), ("receiver", "whole sends", 8.0)):
            rdma.segment(lab, where)
            floor = rdma.iperf(lab)
            write, read = rdma.goodput(lab, "write"), rdma.goodput(lab, "read")
            yield Figure(case, f"write 64 MiB, {what}", write, "Gb/s", least, floor, ratio=0.7, more=True)
            yield Figure(case, f"read 64 MiB, {what}", read, "Gb/s", None, floor, more=True)
            if where == "sender":
                yield Figure(case, "that write beside Soft-RoCE's", write, "Gb/s", None, kernels, ratio=7, more=True)
        rdma.segment(lab, "sender")
        lossy, predicted = rdma.with_loss(lab)
        yield Figure(case, "1 of 1,000 lost, as predicted", lossy, "Gb/s", None, predicted, more=True)
        rdma.segment(lab, "receiver")
        yield Figure(case, "write 64 B, p50", rdma.latency(lab), "µs", 150)
        yield Figure(case, "memory of 1,000 queue pairs", rdma.memory(lab), "MiB", 256)


def guests(case: str) -> Iterator[Figure]:
    """microVMs: one from QEMU's start until FRR runs, its link is up and its agent answers; four and their fabric."""
    alone = intent("guest", "spines: 1\nleaves: 1\nhosts: {per_leaf: 1, rdma: verbs}")

    def ready() -> float:
        with Up(alone) as lab:
            if not lab.state()["machines"]:
                raise SystemExit(
                    "guests: this machine's kernel speaks RDMA in every namespace: its hosts are no microVMs"
                )
            return lab.timings["links up"] - lab.timings["nodes"]

    def converged() -> float:
        with Up(HERE / "topologies/roce.yaml") as lab:
            return lab.timings["converged"]

    yield Figure(case, "a microVM ready", median(ready, 3), "s", 4)
    yield Figure(case, "4 microVMs, 6 switches: converged", median(converged, 3), "s", 30)


CASES: dict[str, Callable[[str], Iterator[Figure]]] = {
    "start": start,
    "plan": plan,
    "f8": fabric,
    "f28": fabric,
    "f100": fabric,
    "idle": idle,
    "tenants": tenants,
    "reach": reach,
    "clab": containerlab,
    "roce": roce,
    "guests": guests,
    "f500": fabric,
}


def main() -> None:
    """Run the cases asked for, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("case", nargs="*", choices=[[], *CASES], default=list(CASES))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    figures = []
    for case in asked.case:
        for figure in CASES[case](case):
            figures.append(figure)
            print(figure.line(), flush=True)
    a_node = {f.case: f.value / int(f.case[1:]) for f in figures if f.what == "up and proven" and f.case in FABRICS}
    if len(a_node) > 1:
        told = ", ".join(f"{case} {1000 * v:.0f}" for case, v in a_node.items())
        print(f"milliseconds a node: {told}")
        figures.append(
            Figure("all", "dearest node, of the cheapest", max(a_node.values()) / min(a_node.values()), "x", 1.6)
        )
        print(figures[-1].line())
    if asked.json:
        asked.json.write_text(json.dumps([asdict(f) for f in figures], indent=1))
    print(f"on {HERE.name}: {sum(1 for f in figures if not f.met)} targets missed")


if __name__ == "__main__":
    main()
