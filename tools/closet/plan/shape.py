"""The shape of a fabric, before any number is given out: who is there, and who is joined to whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from closet.errors import IntentError
from closet.intent.model import Intent
from closet.intent.words import IFNAMSIZ
from closet.plan.fabric import Role


@dataclass(slots=True)
class Draft:
    """A node to be: its place in the shape.

    Attributes:
        group: the leaves a host attaches to, from 1 in its pod (one leaf, a pair, or a leaf a rail).
        index: position among the nodes of its role in the whole fabric, from 0.
        number: position among all nodes, from 1.
        cables: (position in the cable list, end 0 or 1), in port order.
        machine: the host it is a part of, where that is split among VRFs (`guests.split`).
    """

    name: str
    role: Role
    pod: int
    group: int
    index: int
    number: int
    cables: list[tuple[int, int]] = field(default_factory=list)
    machine: Draft | None = None


@dataclass(slots=True)
class Shape:
    """All drafts in tier order, and the cables as (upper, lower) positions in that list."""

    drafts: list[Draft] = field(default_factory=list)
    cables: list[tuple[int, int]] = field(default_factory=list)
    port_name: dict[tuple[int, int], str] = field(default_factory=dict)
    """(cable, end) → name of its port on the node at that end."""
    _counts: Counter[Role] = field(default_factory=Counter)

    def add(self, name: str, role: Role, pod: int = 0, group: int = 0) -> int:
        """Append a draft; returns its position."""
        self.drafts.append(Draft(name, role, pod, group, self._counts[role], len(self.drafts) + 1))
        self._counts[role] += 1
        return len(self.drafts) - 1

    def order_ports(self, intent: Intent, given: Mapping[tuple[int, int], str] | None = None) -> None:
        """Give each draft its cables in port order, upwards first, so growing downwards renames no uplink.

        Args:
            given: (cable, end) → the name of its port; the others are called `links.ports` and a free number.

        Raises:
            IntentError: a name is too long for an interface.
        """
        for c, (_, lower) in enumerate(self.cables):
            self.drafts[lower].cables.append((c, 1))
        for c, (upper, _) in enumerate(self.cables):
            self.drafts[upper].cables.append((c, 0))
        self.port_name = dict(given or {})
        for draft in self.drafts:
            taken = {self.port_name[at] for at in draft.cables if at in self.port_name}
            number = 0
            for at in draft.cables:
                while at not in self.port_name:
                    number += 1
                    if (name := _port_name(intent, number)) not in taken:
                        self.port_name[at] = name


def _port_name(intent: Intent, number: int) -> str:
    name = f"{intent.links.ports}{number}"
    if len(name) > IFNAMSIZ:
        raise IntentError(
            f"{intent.name}: links.ports: {intent.links.ports!r} makes the interface name {name!r}, "
            f"allowed: at most {IFNAMSIZ} characters"
        )
    return name
