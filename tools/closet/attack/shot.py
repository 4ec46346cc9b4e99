"""A shot: frames a host sends, what shows that they left it, and where nothing of them may arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from closet.errors import ProbeError
from closet.plan import Fabric
from closet.runtime.node import LiveNode
from closet.traffic.wire import Place, Wire, far_end

DEADLINE = 3.0
"""Seconds for every control to arrive."""
SETTLE = 0.15
"""Seconds after the last of them in which what was sent before could still arrive: a path takes far less."""


@dataclass(frozen=True, slots=True)
class Twin:
    """The same made legitimate: it arrives, so whoever looks for the attack there would see it."""

    start: Place
    frames: tuple[bytes, ...]
    trace: bytes
    arrives: Place


@dataclass(frozen=True, slots=True)
class Look:
    """A command on a switch, where the devices of a VRF are, that prints state no attack may change."""

    node: str
    vrf: str
    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"{' '.join(self.command)}{f' (VRF {self.vrf})' if self.vrf != 'default' else ''}"


@dataclass(frozen=True, slots=True)
class Shot:
    """Frames of one host, at one thing.

    Attributes:
        what: in words: from whom, what, to whom.
        start: the host's port. That the frames arrive at the other end of its cable is the first control.
        traces: byte strings, any of which in a frame shows that the attack, or an answer to it, got there.
        never: places where no trace may arrive.
        twin: the second control, where there is a legitimate way to the same place.
        looks: what must print the same before and after.
    """

    what: str
    start: Place
    frames: tuple[bytes, ...]
    traces: tuple[bytes, ...]
    never: tuple[Place, ...]
    twin: Twin | None = None
    looks: tuple[Look, ...] = ()


def fire(fabric: Fabric, nodes: Mapping[str, LiveNode], shots: Sequence[Shot]) -> dict[Shot, list[str]]:
    """Send all shots, then their twins; shot → what it achieved, in words: where it arrived, what it changed.

    Raises:
        ProbeError: a control failed: a shot did not leave its host, or a twin did not arrive.
    """
    twins = list(dict.fromkeys(s.twin for s in shots if s.twin is not None))
    doors = {s: far_end(fabric, s.start) for s in shots}
    places = [*doors.values(), *(p for s in shots for p in s.never), *(t.arrives for t in twins)]
    looks = list(dict.fromkeys(look for s in shots for look in s.looks))
    before = {look: _look(nodes, look) for look in looks}
    with Wire(fabric, nodes, places) as wire:
        for shot in shots:
            wire.put(shot.start, shot.frames)
        for twin in twins:
            wire.put(twin.start, twin.frames)
        missing = Missing(doors, twins)
        if not wire.watch(lambda: missing.none(wire.seen), DEADLINE):
            raise ProbeError(missing.words())
        wire.watch(lambda: False, SETTLE)
    after = {look: _look(nodes, look) for look in looks}
    return {s: achieved(s, wire.seen, before, after) for s in shots}


class Missing:
    """The controls that have not arrived yet."""

    def __init__(self, doors: Mapping[Shot, Place], twins: Sequence[Twin]) -> None:
        self._left = [(place, frame, shot.what) for shot, place in doors.items() for frame in shot.frames]
        self._twins = [(t.arrives, t.trace, f"the legitimate twin from {t.start}") for t in twins]
        self._left += self._twins
        self._read: dict[Place, int] = {}

    def none(self, seen: Mapping[Place, Sequence[bytes]]) -> bool:
        """Whether none is missing, now that this was seen: frames as they were sent, twins by their trace."""
        new = {place: frames[self._read.get(place, 0) :] for place, frames in seen.items()}
        self._read = {place: len(frames) for place, frames in seen.items()}
        self._left = [c for c in self._left if not any(c[1] in frame for frame in new.get(c[0], ()))]
        return not self._left

    def words(self) -> str:
        """The first that is missing."""
        place, _, what = self._left[0]
        return f"{what}: not seen at {place}, so nothing is proven ({len(self._left)} such)"


def achieved(
    shot: Shot,
    seen: Mapping[Place, Sequence[bytes]],
    before: Mapping[Look, Sequence[str]],
    after: Mapping[Look, Sequence[str]],
) -> list[str]:
    """What a shot achieved, in words."""
    found = []
    for place in shot.never:
        count = sum(any(t in frame for t in shot.traces) for frame in seen.get(place, ()))
        if count:
            found.append(f"{count} frame{'s' if count > 1 else ''} at {place}")
    for look in shot.looks:
        changed = [f"+ {x}" for x in after[look] if x not in before[look]]
        changed += [f"- {x}" for x in before[look] if x not in after[look]]
        if changed:
            found.append(f"{look.node}: {look}: {'; '.join(changed[:3])}")
    return found


def _look(nodes: Mapping[str, LiveNode], look: Look) -> list[str]:
    done = nodes[look.node].run(*look.command, vrf=look.vrf)
    return [line.strip() for line in done.stdout.splitlines()]
