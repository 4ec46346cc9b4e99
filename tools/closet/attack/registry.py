"""An attack: what must be true if it fails, what makes it fail, and how it is made. Run as any check is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from closet.attack.shot import Shot, fire
from closet.check import ProbeCheck
from closet.plan import Fabric
from closet.records import Finding
from closet.runtime.node import LiveNode
from closet.suite import chosen


class Try(Protocol):
    """One single attempt, as the plan of a fabric makes it."""

    @property
    def what(self) -> str:
        """In words: from whom, what, to whom."""


T = TypeVar("T", bound=Try)
NOTHING = "nothing comes of it"
"""What is expected of every attempt."""


@dataclass(frozen=True, slots=True)
class Attack:
    """Attempts of one kind on a running fabric.

    Attributes:
        check: its claim, the attempts, how they are made and judged; an attempt that achieved something is a finding.
        protection: what of the fabric makes it fail.
    """

    check: ProbeCheck[Any, Any]
    protection: str

    @property
    def name(self) -> str:
        """What it is called."""
        return self.check.name


ATTACKS: dict[str, Attack] = {}
"""All registered attacks by name."""


def attack(
    claim: str,
    *,
    protection: str,
    make: Callable[[Fabric, Mapping[str, LiveNode], Collection[T]], Mapping[T, list[str]]],
) -> Callable[[Callable[[Fabric], Iterator[T]]], Attack]:
    """Register the decorated plan of attempts as an attack; its name is the function's.

    Args:
        make: makes the attempts on a live fabric; attempt → what it achieved, in words. Raises ProbeError when a
            control fails.
    """

    def register(plan: Callable[[Fabric], Iterator[T]]) -> Attack:
        check: ProbeCheck[Any, Any] = ProbeCheck(
            plan.__name__, claim, make, lambda fabric: dict.fromkeys(plan(fabric), NOTHING), judge, len
        )
        ATTACKS[check.name] = Attack(check, protection)
        return ATTACKS[check.name]

    return register


def packets(claim: str, *, protection: str) -> Callable[[Callable[[Fabric], Iterator[Shot]]], Attack]:
    """Register an attack that is made of shots."""
    return attack(claim, protection=protection, make=fire)


def judge(expected: Mapping[Any, str], observed: Mapping[Any, list[str]]) -> Iterator[Finding]:
    """An attempt that achieved something."""
    for one, nothing in expected.items():
        for achieved in observed[one]:
            device, _, what = one.what.partition(": ")
            yield Finding(device, what, nothing, achieved)


def select(names: Iterable[str]) -> list[Attack]:
    """The attacks of these names, or all.

    Raises:
        UsageError: there is no such attack.
    """
    return chosen("attack", ATTACKS, names)
