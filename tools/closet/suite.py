"""Running checks on a live fabric: observe, judge, and never take a failed look for a good answer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from closet.check import CHECKS, Check, NodeCheck, ProbeCheck
from closet.check.registry import NothingHere
from closet.errors import ProbeError, UsageError
from closet.plan import Fabric
from closet.records import Finding
from closet.runtime.node import LiveNode

T = TypeVar("T")


@dataclass(slots=True)
class Result:
    """What one check found.

    Attributes:
        claims: how many single claims were judged.
        seconds: how long it took.
        error: why it could not be judged at all, else "".
    """

    check: str
    claim: str
    claims: int
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether it was judged and nothing was found."""
        return not self.findings and not self.error

    @property
    def mark(self) -> str:
        """How it went, in one character; "-" where the fabric has nothing that this claims."""
        return "✗" if self.findings else "?" if self.error else "✓" if self.claims else "-"


def select(names: Iterable[str]) -> list[Check]:
    """The checks of these names, or all.

    Raises:
        UsageError: there is no such check.
    """
    return chosen("check", CHECKS, names)


def chosen(kind: str, known: Mapping[str, T], names: Iterable[str]) -> list[T]:
    """Those of these names in a registry, or all.

    Args:
        kind: what they are, for the error.

    Raises:
        UsageError: there is none of a name.
    """
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise UsageError(f"{kind} {name!r}, allowed: {', '.join(known)}")
    return [known[name] for name in wanted or known]


Which = Callable[[str, Any], bool]
"""Whether to look at a claim, by its check's name and the key it has in what that expects (see `records.about`)."""


def run(
    fabric: Fabric,
    nodes: Mapping[str, LiveNode],
    checks: Iterable[Check],
    which: Which | None = None,
    begin: Callable[[Check], None] = lambda _: None,
) -> list[Result]:
    """Run checks, at once what does not disturb each other.

    To look at a node sends no packet in the fabric, so those checks go one after another beside the probes. These
    mostly wait for answers: all that share the fabric go at once, and then those that do not, one by one.

    Args:
        begin: told of each when it begins.
    """
    wanted = list(checks)
    looks, sends = [c for c in wanted if isinstance(c, NodeCheck)], [c for c in wanted if isinstance(c, ProbeCheck)]

    def one(check: Check) -> Result:
        begin(check)
        return run_one(fabric, nodes, check, which)

    with ThreadPoolExecutor(1 + len(sends)) as beside:
        looking = beside.submit(lambda: [one(check) for check in looks])
        sent = list(beside.map(one, (c for c in sends if c.shares)))
        sent += [one(c) for c in sends if not c.shares]
        done = {r.check: r for r in (*looking.result(), *sent)}
    return [done[check.name] for check in wanted]


_planning = Lock()
"""Expectations are worked out by one thread at a time: what several of them have in common, but once."""


def run_one(fabric: Fabric, nodes: Mapping[str, LiveNode], check: Check, which: Which | None = None) -> Result:
    """Run one check.

    Args:
        which: look at these claims only.
    """
    began = time.monotonic()
    result = Result(check.name, check.claim, 0)
    with _planning:
        planned = check.expect(fabric)
        # Worked out here, of what is wanted, and not by the threads that observe.
        expected = {k: planned[k] for k in planned if which is None or which(check.name, k)}
    if isinstance(check, NodeCheck):
        _judge_nodes(fabric, nodes, check, expected, result)
    else:
        result.claims = check.count(expected)
        try:
            result.findings += check.judge(expected, check.observe(fabric, nodes, expected))
        except (ProbeError, OSError) as e:
            result.error = str(e)
    result.findings.sort()
    result.seconds = time.monotonic() - began
    return result


def _judge_nodes(
    fabric: Fabric,
    nodes: Mapping[str, LiveNode],
    check: NodeCheck[Any, Any],
    expected: Mapping[str, Any],
    result: Result,
) -> None:
    def look(name: str) -> object:
        try:
            return check.observe(nodes[name], fabric)
        except (ProbeError, OSError, NothingHere) as e:
            return e

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        observed = dict(zip(expected, pool.map(look, expected), strict=True))
    for name, want in expected.items():
        got = observed[name]
        if isinstance(got, NothingHere):
            continue
        result.claims += check.count(want)
        if isinstance(got, ProbeError | OSError):
            result.findings.append(Finding(name, check.name, "an answer", str(got).removeprefix(f"{name}: ")))
        else:
            result.findings += check.judge(name, want, got)
