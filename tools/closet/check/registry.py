"""A check: a claim, how it is observed, what the plan expects, and what to say of a difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from closet.plan import Fabric
from closet.records import Finding
from closet.runtime.node import LiveNode

E = TypeVar("E")
O = TypeVar("O")  # noqa: E741  expected and observed
K = TypeVar("K")


class NothingHere(Exception):
    """A node has nothing of what a check claims, as the plan allows: no claim of it is counted."""


@dataclass(frozen=True, slots=True)
class NodeCheck(Generic[E, O]):
    """A claim about every node by itself.

    Attributes:
        claim: what is true if there is no finding.
        observe: looks at one live node; raises `NothingHere` where there is nothing to look at.
        expect: the plan → node → what must be seen there.
        judge: (node, expected, observed) → findings. Pure.
        count: how many single claims an expectation holds.
    """

    name: str
    claim: str
    observe: Callable[[LiveNode, Fabric], O]
    expect: Callable[[Fabric], Mapping[str, E]]
    judge: Callable[[str, E, O], Iterator[Finding]]
    count: Callable[[E], int]


@dataclass(frozen=True, slots=True)
class ProbeCheck(Generic[E, O]):
    """A claim about the fabric as a whole, observed by sending packets.

    Attributes:
        observe: sends, and returns what came of it.
        expect: the plan → what to try → what may come of it.
        judge: (expected, observed) → findings. Pure.
        shares: whether others may send meanwhile: it knows its own packets, and minds no others.
    """

    name: str
    claim: str
    observe: Callable[[Fabric, Mapping[str, LiveNode], E], O]
    expect: Callable[[Fabric], E]
    judge: Callable[[E, O], Iterator[Finding]]
    count: Callable[[E], int]
    shares: bool = False


Check = NodeCheck[Any, Any] | ProbeCheck[Any, Any]

CHECKS: dict[str, Check] = {}
"""All registered checks by name, from cause to effect."""


def _size(expected: Any) -> int:
    return len(expected) if hasattr(expected, "__len__") else 1


def node_check(
    claim: str,
    *,
    observe: Callable[[LiveNode, Fabric], O],
    expect: Callable[[Fabric], Mapping[str, E]],
    count: Callable[[E], int] = _size,
) -> Callable[[Callable[[str, E, O], Iterator[Finding]]], NodeCheck[E, O]]:
    """Register the decorated judge as a check of every node; its name is the function's."""

    def register(judge: Callable[[str, E, O], Iterator[Finding]]) -> NodeCheck[E, O]:
        made = NodeCheck(judge.__name__, claim, observe, expect, judge, count)
        CHECKS[made.name] = made
        return made

    return register


def probe_check(
    claim: str,
    *,
    observe: Callable[[Fabric, Mapping[str, LiveNode], E], O],
    expect: Callable[[Fabric], E],
    count: Callable[[E], int] = _size,
    shares: bool = False,
) -> Callable[[Callable[[E, O], Iterator[Finding]]], ProbeCheck[E, O]]:
    """Register the decorated judge as a check that sends packets (see `ProbeCheck`); its name is the function's."""

    def register(judge: Callable[[E, O], Iterator[Finding]]) -> ProbeCheck[E, O]:
        made = ProbeCheck(judge.__name__, claim, observe, expect, judge, count, shares)
        CHECKS[made.name] = made
        return made

    return register


def differences(
    device: str,
    expected: Mapping[K, Any],
    observed: Mapping[K, Any],
    subject: Callable[[K], str],
    say: Callable[[Any], str] = str,
) -> Iterator[Finding]:
    """What is missing, what differs, and what is there though nobody planned it."""
    for key, want in expected.items():
        if key not in observed:
            yield Finding(device, subject(key), say(want), "none")
        elif observed[key] != want:
            yield Finding(device, subject(key), say(want), say(observed[key]))
    for key in observed.keys() - expected.keys():
        yield Finding(device, subject(key), "none", say(observed[key]))
