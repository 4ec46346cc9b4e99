"""Who is there and who is joined to whom: the shape of the fabric, before any number is given out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from closet.intent.model import Intent
from closet.plan.fabric import Role


@dataclass(slots=True)
class Draft:
    """A node to be: its place in the shape.

    Attributes:
        group: the leaves a host attaches to, from 1 in its pod (one leaf, a pair, or a leaf a rail).
        index: position among the nodes of its role in the whole fabric, from 0.
        cables: (position in the cable list, end 0 or 1), in port order.
    """

    name: str
    role: Role
    pod: int
    group: int
    index: int
    cables: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Shape:
    """All drafts in tier order, and the cables as (upper, lower) positions in that list."""

    drafts: list[Draft] = field(default_factory=list)
    cables: list[tuple[int, int]] = field(default_factory=list)
    port_of: dict[tuple[int, int], int] = field(default_factory=dict)
    """(cable, end) → position of its port on the node at that end, from 0."""
    _counts: Counter[Role] = field(default_factory=Counter)

    def add(self, name: str, role: Role, pod: int = 0, group: int = 0) -> int:
        """Append a draft; returns its position."""
        self.drafts.append(Draft(name, role, pod, group, self._counts[role]))
        self._counts[role] += 1
        return len(self.drafts) - 1


def wire(intent: Intent) -> Shape:
    """Lay out nodes and cables."""
    shape = Shape()
    pods = range(1, intent.pods + 1)
    prefix = {p: f"p{p}-" if intent.superspines else "" for p in pods}
    superspines = [shape.add(f"superspine{i + 1}", Role.SUPERSPINE) for i in range(intent.superspines)]
    spines = {p: [shape.add(f"{prefix[p]}spine{i + 1}", Role.SPINE, p) for i in range(intent.spines)] for p in pods}
    groups = {p: _leaves(intent, shape, p, prefix[p]) for p in pods}

    times = range(intent.links.parallel)
    width = len(superspines) // intent.spines if intent.planes else len(superspines)
    for p in pods:
        for i, spine in enumerate(spines[p]):
            first = i * width if intent.planes else 0
            shape.cables += [(s, spine) for s in superspines[first : first + width] for _ in times]
        for leaf in (leaf for group in groups[p] for leaf in group):
            shape.cables += [(s, leaf) for s in spines[p] for _ in times]
    for p in pods:
        for g, group in enumerate(groups[p], 1):
            _hosts(intent, shape, p, prefix[p], g, group)
    _order_ports(shape)
    return shape


def _leaves(intent: Intent, shape: Shape, pod: int, prefix: str) -> list[list[int]]:
    """The leaves of a pod, as the groups that hosts attach to."""
    if intent.rails is not None:
        return [
            [shape.add(f"{prefix}g{g}-leaf{r}", Role.LEAF, pod, g) for r in range(1, intent.rails + 1)]
            for g in range(1, (intent.groups or 1) + 1)
        ]
    width = 2 if intent.hosts.per_pair is not None else 1
    leaves = [shape.add(f"{prefix}leaf{i + 1}", Role.LEAF, pod, i // width + 1) for i in range(intent.leaves or 0)]
    return [leaves[i : i + width] for i in range(0, len(leaves), width)]


def _hosts(intent: Intent, shape: Shape, pod: int, prefix: str, group: int, leaves: list[int]) -> None:
    """The hosts of one group: NIC i on leaf i, and round again when there are more NICs than leaves."""
    many = intent.hosts.per_leaf or intent.hosts.per_pair or intent.hosts.per_group or 0
    nics = intent.hosts.nics or intent.rails or len(leaves)
    for h in range(1, many + 1):
        name = f"g{group}-h{h}" if intent.rails is not None else f"h{group}-{h}"
        host = shape.add(prefix + name, Role.HOST, pod, group)
        shape.cables += [(leaves[n % len(leaves)], host) for n in range(nics)]


def _order_ports(shape: Shape) -> None:
    """Give each draft its cables in port order: upwards first, so growing downwards renames no uplink."""
    for c, (_, lower) in enumerate(shape.cables):
        shape.drafts[lower].cables.append((c, 1))
    for c, (upper, _) in enumerate(shape.cables):
        shape.drafts[upper].cables.append((c, 0))
    for draft in shape.drafts:
        shape.port_of |= {cable: n for n, cable in enumerate(draft.cables)}
