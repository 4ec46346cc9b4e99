"""Who is joined to whom in a fabric of counts: spines times leaves, hosts by leaf, pair or group."""

from __future__ import annotations

from closet.intent.model import Intent
from closet.plan.cables import lay
from closet.plan.fabric import Role
from closet.plan.shape import Shape


def wire(intent: Intent) -> Shape:
    """Lay out nodes and cables.

    Raises:
        IntentError: what a `wiring` asks for does not fit together, or a port's name is too long.
    """
    if intent.wiring is not None:
        return lay(intent, intent.wiring)
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
    shape.order_ports(intent)
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
