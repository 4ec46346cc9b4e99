"""A shot: frames a host sends, what shows that they left it, and where nothing of them may arrive."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    """The same made legitimate: it arrives, so whoever looks for the attack there would see it.

    Attributes:
        arrives: at one of these; at several ends of one host, where any of its cables may bring it.
    """

    start: Place
    frames: tuple[bytes, ...]
    trace: bytes
    arrives: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """A command on a switch, where the devices of a VRF are, that prints state no attack may change.

    Attributes:
        about: of what it prints, only the lines with this word; "" for all.
    """

    node: str
    vrf: str
    command: tuple[str, ...]
    about: str = ""

    def __str__(self) -> str:
        vrf = f" (VRF {self.vrf})" if self.vrf != "default" else ""
        return f"{' '.join(self.command)}{vrf}{f', {self.about}' if self.about else ''}"


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


def fire(fabric: Fabric, nodes: Mapping[str, LiveNode], shots: Collection[Shot]) -> dict[Shot, list[str]]:
    """Send all shots, then their twins; shot → what it achieved, in words: where it arrived, what it changed.

    Raises:
        ProbeError: a control failed: a shot did not leave its host, or a twin did not arrive.
    """
    twins = list(dict.fromkeys(s.twin for s in shots if s.twin is not None))
    doors = {s: far_end(fabric, s.start) for s in shots}
    places = [*doors.values(), *(p for s in shots for p in s.never), *(p for t in twins for p in t.arrives)]
    looks = list(dict.fromkeys(look for s in shots for look in s.looks))
    before = _look(nodes, looks)
    with Wire(fabric, nodes, places) as wire:
        for shot in shots:
            wire.put(shot.start, shot.frames)
        for twin in twins:
            wire.put(twin.start, twin.frames)
        missing = Missing(doors, twins)
        if not wire.watch(lambda: missing.none(wire.seen), DEADLINE):
            raise ProbeError(missing.words())
        wire.watch(lambda: False, SETTLE)
    after = _look(nodes, looks)
    seen = {place: Counter(frames) for place, frames in wire.seen.items()}
    return {s: achieved(s, seen, before, after) for s in shots}


class Missing:
    """The controls that have not arrived yet: of frames that are the same, one."""

    def __init__(self, doors: Mapping[Shot, Place], twins: Sequence[Twin]) -> None:
        self._frames = {(place, frame): shot.what for shot, place in doors.items() for frame in shot.frames}
        self._twins = list(twins)
        self._lengths: dict[Place, set[int]] = {}
        for place, frame in self._frames:
            self._lengths.setdefault(place, set()).add(len(frame))
        self._read: dict[Place, int] = {}

    def none(self, seen: Mapping[Place, Sequence[bytes]]) -> bool:
        """Whether none is missing, now that this was seen: frames as they were sent, twins by their trace."""
        for place, frames in seen.items():
            for frame in frames[self._read.get(place, 0) :]:
                for length in self._lengths.get(place, ()):  # it may have been padded on the way
                    self._frames.pop((place, frame[:length]), None)
                self._twins = [t for t in self._twins if place not in t.arrives or t.trace not in frame]
            self._read[place] = len(frames)
        return not self._frames and not self._twins

    def words(self) -> str:
        """The first that is missing."""
        left = [(what, str(place)) for (place, _), what in self._frames.items()]
        left += [(f"the legitimate twin from {t.start}", " or ".join(map(str, t.arrives))) for t in self._twins]
        what, where = left[0]
        return f"{what}: not seen at {where}, so nothing is proven ({len(left)} such)"


def achieved(
    shot: Shot,
    seen: Mapping[Place, Mapping[bytes, int]],
    before: Mapping[Look, Sequence[str]],
    after: Mapping[Look, Sequence[str]],
) -> list[str]:
    """What a shot achieved, in words.

    Args:
        seen: place → frame → how often it arrived there.
    """
    found = []
    for place in shot.never:
        count = sum(n for frame, n in seen.get(place, {}).items() if any(t in frame for t in shot.traces))
        if count:
            found.append(f"{count} frame{'s' if count > 1 else ''} at {place}")
    for look in shot.looks:
        changed = [f"+ {x}" for x in after[look] if x not in before[look]]
        changed += [f"- {x}" for x in before[look] if x not in after[look]]
        if changed:
            found.append(f"{look.node}: {look}: {'; '.join(changed[:3])}")
    return found


def _look(nodes: Mapping[str, LiveNode], looks: Iterable[Look]) -> dict[Look, list[str]]:
    """What each prints now; a command that several share runs once."""
    commands = {look: (look.node, look.vrf, look.command) for look in looks}

    def run(command: tuple[str, str, tuple[str, ...]]) -> list[str]:
        node, vrf, words = command
        return [line.strip() for line in nodes[node].run(*words, vrf=vrf).stdout.splitlines()]

    different = list(dict.fromkeys(commands.values()))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        printed = dict(zip(different, pool.map(run, different), strict=True))
    return {
        look: [line for line in printed[command] if not look.about or look.about in line.split()]
        for look, command in commands.items()
    }
