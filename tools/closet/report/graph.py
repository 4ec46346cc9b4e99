"""`Fabric` → picture: an SVG of the whole fabric. Pure, and the same fabric always gives the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from closet.plan.fabric import DEFAULT_VRF, Fabric, Node, Role
from closet.report.layout import Box, layout, numbers_of, rails
from closet.report.mermaid import mermaid
from closet.report.svg import ROOT, STATES, element, rail_class, style, tenant_classes, text
from closet.report.wires import Wire, dots, draw, layer, signs, spread

__all__ = ["mermaid", "svg"]

MARGIN = 28.0
GUTTER = 84.0
"""Room left of the fabric, for the names of the tiers."""
HEADER = 92.0
LEAST = 560.0
"""Least width for the fabric."""
ENTRY = 62.0
"""Least width of one entry of the legend."""
HOVERED = 800
"""Links up to which each is wide enough to be hovered and shows a dot at its ports."""


def svg(fabric: Fabric, *, marks: Mapping[str, str] | None = None, faulty: Collection[tuple[str, str]] = ()) -> str:
    """One self-contained SVG, for light and dark, readable in a browser and on a slide.

    Args:
        fabric: the plan.
        marks: a state word a node: `bad` draws red, `ok` green, `warn` and any other word amber.
            Names that are no node of the fabric are left out.
        faulty: ports, as (node, port), whose links are marked; any other pair is left out.
    """
    known = {name: word for name, word in (marks or {}).items() if name in fabric.nodes}
    block, facts = layout(fabric), _facts(fabric, known)
    inner = max(block.w, LEAST, len(facts) * 6.4 - GUTTER)
    boxes = block.at(MARGIN + GUTTER + (inner - block.w) / 2, HEADER)
    legend = _legend(fabric, MARGIN + GUTTER, HEADER + block.h + MARGIN, inner)
    width, height = inner + GUTTER + 2 * MARGIN, HEADER + block.h + MARGIN + 20 * len(legend)
    drawn = element(
        "svg",
        element("style", "\n" + style()),
        "\n",
        element("rect", width="100%", height="100%", class_="bg"),
        "\n",
        *(f"{part}\n" for part in (*_header(fabric, facts), *_Picture(fabric, boxes, known, faulty).parts(), *legend)),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        class_=ROOT,
        role="img",
        aria_label=f"{fabric.name}: {fabric.summary()}",
    )
    return drawn + "\n"


@dataclass(frozen=True)
class _Picture:
    fabric: Fabric
    boxes: tuple[Box, ...]
    marks: Mapping[str, str]
    faulty: Collection[tuple[str, str]]

    def parts(self) -> Iterator[str]:
        """The fabric, from back to front."""
        rail = {} if self.fabric.tenants else rails(self.fabric)  # their colours tell more than those of rails
        wires = self._wires(rail)
        hovered = len(wires) <= HOVERED
        yield from (_frame(b) for b in self.boxes if not b.nodes)
        for kind in ("fabric", "hosts"):
            chosen = [w for w in wires if (w.kind != "") == (kind == "hosts")]
            yield layer([draw(w, hovered=hovered) for w in chosen])
        yield from self._tiers()
        yield from (_label(b) for b in self.boxes if b.label)
        yield from (self._node(b, rail) for b in self.boxes if b.nodes)
        if hovered:
            yield element("g", *(dot for w in wires for dot in dots(w)), pointer_events="none")
        yield from signs([w for w in wires if w.faulty])

    def _wires(self, rail: Mapping[str, int]) -> list[Wire]:
        where = {n.name: b for b in self.boxes for n in b.nodes}
        nic = {(h.name, p.name): i for h in self.fabric.hosts for i, p in enumerate(h.ports)}
        tenants = tenant_classes(list(self.fabric.tenants))
        wires = []
        for link in self.fabric.links:
            number = rail.get(link.a, nic.get((link.b, link.b_port), 0))
            kind = rail_class(number) if self.fabric[link.b].is_host else ""
            if tenants and kind:
                kind = tenants.get(self.fabric[link.b].vrf, "")
            title = f"{link.a}:{link.a_port} - {link.b}:{link.b_port}"
            faulty = (link.a, link.a_port) in self.faulty or (link.b, link.b_port) in self.faulty
            wires.append(Wire(where[link.a], where[link.b], kind, title, faulty))
        spread(wires)
        return wires

    def _tiers(self) -> Iterator[str]:
        """The name of every tier, left of each of its rows."""
        rows = {b.y + b.h / 2: b.nodes[0].role for b in self.boxes if b.nodes}
        for y, role in sorted(rows.items()):
            name = "leaves" if role is Role.LEAF else f"{role}s"
            yield element("text", name, x=MARGIN, y=y + 4, font_size=12, class_="muted name")

    def _node(self, box: Box, rail: Mapping[str, int]) -> str:
        words = [self.marks[n.name] for n in box.nodes if n.name in self.marks]
        states = [w if w in STATES else "warn" for w in words]
        state = min(states, key=STATES.index) if states else ""
        classes = f"node {box.nodes[0].role} {state}".strip()
        inside = [element("title", text("\n".join(_tooltip(n, self.marks, box) for n in box.nodes)))]
        inside += self._stack(box) if box.kind == "stack" else _single(box, rail.get(box.nodes[0].name))
        if state and state != "ok":
            inside += _badge(box, state, str(states.count(state)) if box.kind == "stack" else "!")
        return element("g", *inside, class_=classes)

    def _stack(self, box: Box) -> Iterator[str]:
        """Several hosts: how many, and which, where there is room in all boxes alike."""
        for offset in (6, 3, 0):
            yield _rect(replace(box, x=box.x + offset, y=box.y + offset))
        many = len(box.nodes)
        if self.roomy:
            yield from _lines(box, [(f"{many} hosts", box.size.name, "name mid"), (_span(box), 9, "mono mid")])
        else:
            yield from _lines(box, [(str(many), 13, "name mid"), ("hosts", 9, "mid")])

    @cached_property
    def roomy(self) -> bool:
        """Whether every stack of hosts is wide enough to say which they are."""
        return all(len(_span(b)) * 5.5 + 10 <= b.w for b in self.boxes if b.kind == "stack")


def _span(box: Box) -> str:
    return f"{box.nodes[0].name} … {box.nodes[-1].name}"


def _frame(box: Box) -> str:
    return element("rect", x=box.x, y=box.y, width=box.w, height=box.h, rx=12, class_=f"frame {box.kind}")


def _label(box: Box) -> str:
    """A frame's name: at the end that no links leave."""
    y = box.y + 20 if box.kind == "plane" else box.y + box.h - 9
    return element("text", text(box.label), x=box.x + 14, y=y, font_size=12, class_="muted name")


def _single(box: Box, rail: int | None) -> Iterator[str]:
    """One node: its name, and its numbers as far as they fit."""
    node, size = box.nodes[0], box.size
    yield _rect(box)
    if rail is not None:
        yield element("rect", x=box.x + 5, y=box.y + 6, width=3.5, height=box.h - 12, rx=1.75, class_=rail_class(rail))
    lines = [
        (node.name if len(node.name) <= size.longest else f"{node.name[: size.longest - 1]}…", size.name, "name mid")
    ]
    lines += [(line, size.numbers, "mono mid") for line in numbers_of(node, size)]
    yield from _lines(replace(box, x=box.x + 7, w=box.w - 7) if rail is not None else box, lines)


def _lines(box: Box, lines: list[tuple[str, float, str]]) -> Iterator[str]:
    """Text in the middle of a box, line below line."""
    height = sum(size * 1.32 for _, size, _ in lines)
    y = box.y + (box.h - height) / 2
    for line, size, classes in lines:
        y += size * 1.32
        yield element("text", text(line), x=box.middle, y=y - size * 0.33, font_size=size, class_=classes)


def _rect(box: Box) -> str:
    return element("rect", x=box.x, y=box.y, width=box.w, height=box.h, rx=min(8, box.h / 5))


def _badge(box: Box, state: str, word: str) -> Iterator[str]:
    """What says "bad" without colour: a mark on the corner; on a stack, how many."""
    x, y = box.x + box.w - 3, box.y + 3
    yield element("circle", cx=x, cy=y, r=8, class_=f"badge {state}")
    yield element("text", word, x=x, y=y + 4, font_size=11, class_="badge-mark mid")


def _tooltip(node: Node, marks: Mapping[str, str], box: Box) -> str:
    """What hovering a node shows: everything the plan gave it."""
    address = "VIP" if node.is_host else "loopback"
    head = f"{node.name}: {node.role}" + (f", {marks[node.name]}" if node.name in marks else "")
    facts = [f"AS {node.asn}", f"{address} {node.loopback}"] + ([f"block {node.block}"] if node.block else [])
    facts += [f"tenant {node.vrf}"] if node.vrf != DEFAULT_VRF else []
    facts += [f"part of {node.machine}"] if node.machine else []
    ports = [f"{p.name}{f' {p.rail}' if p.rail else ''} - {p.peer}:{p.peer_port}" for p in node.ports]
    return "; ".join([head, *facts, *ports]) if box.kind == "stack" else "\n".join([head, *facts, *ports])


def _facts(fabric: Fabric, marks: Mapping[str, str]) -> str:
    """What the fabric is, in one line."""
    addressing = "a /31 a link" if fabric.numbered else "unnumbered (IPv6 link-local)"
    bfd = f"BFD {fabric.bfd.interval} ms x {fabric.bfd.multiplier}" if fabric.bfd else "no BFD"
    states = [f"{n} {word}" for word, n in sorted(Counter(marks.values()).items())]
    return " · ".join([fabric.summary(), f"MTU {fabric.mtu}", addressing, bfd, *states])


def _header(fabric: Fabric, facts: str) -> Iterator[str]:
    yield element("text", text(fabric.name), x=MARGIN, y=MARGIN + 18, font_size=22, font_weight=700)
    yield element("text", text(facts), x=MARGIN, y=MARGIN + 40, font_size=12.5, class_="muted")


def _legend(fabric: Fabric, x: float, y: float, width: float) -> list[str]:
    """The colours of tenants, of rails, or of NICs, in lines no wider than the fabric; none where there is one."""
    rail = rails(fabric)
    many = max(rail.values()) + 1 if rail else max((len(h.ports) for h in fabric.hosts), default=0)
    colours = tenant_classes(list(fabric.tenants)) or {
        f"{'rail' if rail else 'NIC'} {i + 1}": rail_class(i) for i in range(many if many > 1 else 0)
    }
    entry = max([ENTRY, *(26 + 6.5 * len(name) for name in colours)])
    each = int(width // entry)
    names = list(colours)
    lines = [names[first : first + each] for first in range(0, len(names), each)]
    return [
        element("g", *(_entry(name, colours[name], x + entry * n, y + 20 * row) for n, name in enumerate(line)))
        for row, line in enumerate(lines)
    ]


def _entry(name: str, classes: str, x: float, y: float) -> str:
    line = element("line", x1=x, y1=y, x2=x + 14, y2=y, stroke_width=3, class_=f"link {classes}")
    return line + element("text", text(name), x=x + 19, y=y + 4, font_size=11, class_="muted")
