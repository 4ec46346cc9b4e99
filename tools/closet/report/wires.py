"""Links on the paper: lines from box to box, their ports as dots, and a sign on each that is faulty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from closet.report.layout import SMALL, Box
from closet.report.svg import element, text

BOW = 44.0
"""How far a link between boxes of one row is drawn upwards; it gets half as high."""


@dataclass
class Wire:
    """A link on the paper; the ends are moved along their boxes once all links are known.

    Attributes:
        kind: classes that colour it. faulty: whether it is marked.
    """

    upper: Box
    lower: Box
    kind: str
    title: str
    faulty: bool = False
    x: list[float] = field(default_factory=lambda: [0.0, 0.0])
    room: list[float] = field(default_factory=lambda: [0.0, 0.0])


def spread(wires: list[Wire]) -> None:
    """Give every link its own place on the edge of its two boxes, in the order of what is at the other end."""
    at: dict[tuple[int, int], list[tuple[float, int]]] = {}
    box_of: dict[int, Box] = {}
    for i, wire in enumerate(wires):
        for end, (here, there) in enumerate(((wire.upper, wire.lower), (wire.lower, wire.upper))):
            box_of[id(here)] = here
            at.setdefault((id(here), end), []).append((there.middle, i))
    for (key, end), others in at.items():
        box = box_of[key]
        step = min((box.w - 24) / max(len(others) - 1, 1), 16.0)
        for n, (_, i) in enumerate(sorted(others)):
            wires[i].room[end] = step
            wires[i].x[end] = box.middle + (n - (len(others) - 1) / 2) * step


def draw(wire: Wire, *, hovered: bool) -> str:
    """A link; one that can be hovered says what it joins."""
    title = element("title", text(wire.title))
    classes = f"link {'faulty' if wire.faulty else wire.kind}".strip()
    if not hovered:
        return _stroke(wire, classes, title)
    return element("g", title, _stroke(wire, "hit"), _stroke(wire, classes), class_="wire")


def _stroke(wire: Wire, classes: str, *inside: str) -> str:
    """A link as a straight line or, between boxes of one row, a bow over what is between them."""
    (x1, y1), (x2, y2) = _ends(wire)
    if wire.upper.y != wire.lower.y:
        return element("line", *inside, class_=classes, x1=x1, y1=y1, x2=x2, y2=y2)
    bow = f"M{x1:.1f} {y1:.1f}Q{(x1 + x2) / 2:.1f} {y1 - BOW:.1f} {x2:.1f} {y2:.1f}"
    return element("path", *inside, class_=classes, d=bow)


def _ends(wire: Wire) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where a link meets its boxes: below the upper and above the lower, or above both of one row."""
    level = wire.upper.y == wire.lower.y
    return (wire.x[0], wire.upper.y + (0 if level else wire.upper.h)), (wire.x[1], wire.lower.y)


def layer(lines: list[str]) -> str:
    """Links of one kind: the more there are, the thinner and fainter."""
    many = len(lines)
    width, opacity = next(
        (w, o)
        for most, w, o in ((40, 1.5, 0.8), (160, 1.2, 0.6), (500, 1, 0.42), (2000, 0.8, 0.3), (1e9, 0.6, 0.15))
        if many <= most
    )
    return element("g", "\n", "\n".join(lines), "\n", stroke_width=width, stroke_opacity=opacity)


def dots(wire: Wire) -> Iterator[str]:
    """The ports at both ends of a link, as large as their neighbours allow."""
    for end, (box, (_, y)) in enumerate(zip((wire.upper, wire.lower), _ends(wire), strict=True)):
        if box.size is not SMALL and box.kind != "stack":
            r = min(2.4, wire.room[end] * 0.4)
            yield element("circle", cx=wire.x[end], cy=y, r=r, class_=f"end-dot {wire.kind}".strip())


def signs(faulty: Sequence[Wire]) -> Iterator[str]:
    """What says "bad" without colour: a cross in the middle of each link."""
    for wire in faulty:
        (x1, y1), (x2, y2) = _ends(wire)
        x, y = (x1 + x2) / 2, (y1 + y2) / 2 - (BOW / 2 if wire.upper.y == wire.lower.y else 0)
        yield element("circle", cx=x, cy=y, r=8, class_="badge bad")
        yield element("path", class_="cross", d=f"M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6")
