"""Where every node of a picture stands: rows of boxes in frames, tiers from top to bottom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

from closet.plan.fabric import Fabric, Node, Role

COMFORT = 1800.0
"""Width that details are given up for: names and numbers stay readable on a slide."""
LIMIT = 2840.0
"""Width no row outgrows: what is wider continues below."""
GAP = 10.0
PAD = 14.0
CAPTION = 24.0
"""Height of a frame's label."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of a node is shown: lines of text, and its name's and its numbers' font sizes."""

    lines: int
    height: float
    name: float
    numbers: float
    longest: int


FULL = Size(2, 44.0, 13.0, 9.5, 22)
MEDIUM = Size(3, 48.0, 11.5, 8.5, 16)
SMALL = Size(1, 26.0, 10.0, 0.0, 14)
SIZES = (FULL, MEDIUM, SMALL)
STACK = Size(2, 44.0, 11.5, 9.0, 22)
"""Several hosts in one box."""

LADDER = (
    *((FULL, FULL), (FULL, MEDIUM), (MEDIUM, FULL), (MEDIUM, MEDIUM), (MEDIUM, SMALL)),
    *((FULL, STACK), (MEDIUM, STACK), (SMALL, STACK)),
)
"""Sizes of leaves and hosts, richest first."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: a node, several hosts as a stack, or, with no nodes, a labelled frame around others."""

    x: float
    y: float
    w: float
    h: float
    kind: str
    nodes: tuple[Node, ...] = ()
    label: str = ""
    size: Size = FULL

    @property
    def middle(self) -> float:
        """The x of its centre."""
        return self.x + self.w / 2


@dataclass(frozen=True, slots=True)
class Block:
    """Boxes placed relative to one corner, and the room they take."""

    w: float
    h: float
    boxes: tuple[Box, ...]

    def at(self, x: float, y: float) -> tuple[Box, ...]:
        """Its boxes, moved there."""
        return tuple(replace(b, x=b.x + x, y=b.y + y) for b in self.boxes)


@dataclass(frozen=True, slots=True)
class Group:
    """The leaves some hosts attach to, and those hosts."""

    number: int
    leaves: tuple[Node, ...]
    hosts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Pod:
    """Spines and the groups below them; number 0 when the fabric has no pods to tell apart."""

    number: int
    spines: tuple[Node, ...]
    groups: tuple[Group, ...]


def pods(fabric: Fabric) -> list[Pod]:
    """The switches and hosts of a fabric as a person would draw them."""
    found = []
    below = sorted((n for n in fabric if n.role is not Role.SUPERSPINE), key=lambda n: n.pod)
    for number, members in groupby(below, key=lambda n: n.pod):
        nodes = list(members)
        ends = sorted((n for n in nodes if n.role is not Role.SPINE), key=lambda n: n.group)
        groups = [_group(g, list(those)) for g, those in groupby(ends, key=lambda n: n.group)]
        spines = tuple(n for n in nodes if n.role is Role.SPINE)
        found.append(Pod(number if fabric.top is Role.SUPERSPINE else 0, spines, tuple(groups)))
    return found


def planes(fabric: Fabric) -> list[tuple[Node, ...]]:
    """The superspines, those with the same spines below them together."""
    below: dict[frozenset[str], list[Node]] = {}
    for node in fabric.role(Role.SUPERSPINE):
        below.setdefault(frozenset(p.peer for p in node.ports), []).append(node)
    return [tuple(nodes) for nodes in below.values()]


def rails(fabric: Fabric) -> dict[str, int]:
    """The rail of every leaf that shares its hosts with other leaves, from 0."""
    shared = [g.leaves for pod in pods(fabric) for g in pod.groups if len(g.leaves) > 1]
    return {leaf.name: i for leaves in shared for i, leaf in enumerate(leaves)}


def layout(fabric: Fabric) -> Block:
    """Place every node, with as much detail as a readable width allows."""
    for leaf, host in LADDER:
        placer = _Placer(fabric, leaf, host)
        arranged = placer.pods(math.inf)
        if arranged.w <= COMFORT:
            break
    if arranged.w > LIMIT:
        arranged = placer.pods(LIMIT)
    top = planes(fabric)
    if not top:
        return arranged
    frames = [
        _framed(placer.tier(nodes, arranged.w / len(top) - 4 * PAD), "plane", f"plane {i}" if len(top) > 1 else "")
        for i, nodes in enumerate(top, 1)
    ]
    return _column([_flow(frames, 3 * GAP, max(arranged.w, COMFORT)), arranged])


def _group(number: int, nodes: list[Node]) -> Group:
    leaves = tuple(n for n in nodes if n.role is Role.LEAF)
    return Group(number, leaves, tuple(n for n in nodes if n.is_host))


@dataclass(frozen=True)
class _Placer:
    """Arranges a fabric with leaves and hosts of given sizes."""

    fabric: Fabric
    leaf: Size
    host: Size
    widths: dict[tuple[Role, Size], float] = field(default_factory=dict)

    def pods(self, limit: float) -> Block:
        """Everything below the superspines, no wider than the limit."""
        all_pods = pods(self.fabric)
        inner = limit / math.ceil(math.sqrt(len(all_pods))) - 4 * PAD
        blocks = [_framed(self.pod(pod, inner), "pod", f"pod {pod.number}" if pod.number else "") for pod in all_pods]
        return _flow(blocks, 2 * GAP, limit)

    def pod(self, pod: Pod, limit: float) -> Block:
        """Spines above their groups."""
        apart = 3 * GAP if self.host in SIZES and len(self.fabric.hosts) > len(pod.groups) else GAP + 4
        content = _flow([self.group(group, limit) for group in pod.groups], apart, limit)
        if not pod.spines:
            return content
        return _column([self.tier(pod.spines, content.w, COMFORT / 4 if pod.number else COMFORT), content])

    def group(self, group: Group, limit: float) -> Block:
        """The leaves of one group above their hosts."""
        shared = len(group.leaves) > 1
        leaves = self.row(group.leaves, self.leaf, limit, more=10 if shared else 0)
        content = leaves
        if group.hosts and self.host is STACK and len(group.hosts) > 1:
            stack = Box(0, 0, max(leaves.w - 8, 34.0), STACK.height, "stack", group.hosts, size=STACK)
            content = _column([leaves, Block(stack.w, stack.h, (stack,))], 40.0 if self.leaf is SMALL else 64.0)
        elif group.hosts:
            hosts = self.row(group.hosts, self.leaf if self.host is STACK else self.host, limit)
            content = _column([leaves, hosts], _drop(max(leaves.w, hosts.w) if shared else 0))
        return _framed(content, "group", f"group {group.number}" if shared else "")

    def tier(self, nodes: Sequence[Node], width: float, room: float = COMFORT / 4) -> Block:
        """Spines over the width of everything below them, or what room there is: as rich as fits, spread out."""
        room = max(width, room)
        size = next((s for s in SIZES if self.row(nodes, s, math.inf).w <= room), None)
        if size is None:
            return self.row(nodes, SMALL, room)
        row = self.row(nodes, size, math.inf)
        one = row.boxes[0].w
        step = min(max((width + 3 * GAP) / len(nodes), one + GAP), 2.4 * one)
        spread = tuple(replace(b, x=i * step) for i, b in enumerate(row.boxes))
        return Block((len(nodes) - 1) * step + one, row.h, spread)

    def row(self, nodes: Sequence[Node], size: Size, limit: float, more: float = 0.0) -> Block:
        """Boxes of one width side by side; the parts of a host that is split in a frame."""
        w = self.width(nodes[0].role, size) + more
        blocks = []
        for machine, its in groupby(nodes, key=lambda n: n.machine or n.name):
            parts = [Block(w, size.height, (Box(0, 0, w, size.height, "node", (n,), size=size),)) for n in its]
            blocks.append(_framed(_beside(parts, GAP), "machine", f"machine {machine}" if len(parts) > 1 else ""))
        if nodes[0].is_host and self.split:  # all as high as what is framed
            blocks = [b if len(b.boxes) > 1 else Block(b.w, b.h + PAD, b.at(0, PAD)) for b in blocks]
        return _flow(blocks, GAP, limit)

    @cached_property
    def split(self) -> bool:
        """Whether any host is split."""
        return any(h.machine for h in self.fabric.hosts)

    def width(self, role: Role, size: Size) -> float:
        """What the longest text of a role needs."""
        key = (role, size)
        if key not in self.widths:
            self.widths[key] = max(width_of(n, size) for n in self.fabric.role(role))
        return self.widths[key]


def width_of(node: Node, size: Size) -> float:
    """What a node's text needs, by the widths of common fonts."""
    name = min(len(node.name), size.longest) * size.name * 0.62
    numbers = max(map(len, numbers_of(node, size)), default=0) * size.numbers * 0.61
    return round(max(name, numbers) + (18 if size is not SMALL else 10))


def numbers_of(node: Node, size: Size) -> list[str]:
    """The small lines below a node's name."""
    parts = [f"AS {node.asn}", str(node.loopback)]
    return {1: [], 2: [" · ".join(parts)], 3: parts}[size.lines]


def _flow(blocks: Sequence[Block], gap: float, limit: float) -> Block:
    """Blocks side by side; where they would pass the limit, in rows of about as many, centred."""
    widest = max(b.w for b in blocks)
    most = max(1, int((limit + gap) // (widest + gap))) if math.isfinite(limit) else len(blocks)
    rows = math.ceil(len(blocks) / most)
    each = math.ceil(len(blocks) / rows)
    return _column([_beside(blocks[i : i + each], gap) for i in range(0, len(blocks), each)], 3 * gap)


def _beside(blocks: Sequence[Block], gap: float) -> Block:
    boxes: list[Box] = []
    x = 0.0
    for block in blocks:
        boxes += block.at(x, 0)
        x += block.w + gap
    return Block(x - gap, max(b.h for b in blocks), tuple(boxes))


def _column(blocks: Sequence[Block], gap: float | None = None) -> Block:
    """Blocks below one another, centred; far enough apart for the links between them unless told."""
    width = max(b.w for b in blocks)
    gap = _drop(width) if gap is None else gap
    boxes: list[Box] = []
    y = 0.0
    for block in blocks:
        boxes += block.at((width - block.w) / 2, y)
        y += block.h + gap
    return Block(width, y - gap, tuple(boxes))


def _drop(width: float) -> float:
    """Height for links across a width: not so flat that they cannot be followed."""
    return min(max(width * 0.085, 72.0), 230.0)


def _framed(block: Block, kind: str, label: str) -> Block:
    """The block in a tinted frame; just the block where there is nothing to say."""
    if not label:
        return block
    w, h = block.w + 2 * PAD, block.h + PAD + 4 + CAPTION
    top = 4 + CAPTION if kind == "plane" else PAD
    return Block(w, h, (Box(0, 0, w, h, kind, label=label), *block.at(PAD, top)))
