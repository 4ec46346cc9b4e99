"""SVG text: escaped elements, and the one style sheet of closet's pictures, light and dark."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from html import escape
from itertools import count

COLOURS = ("blue", "orange", "green", "purple", "cyan", "yellow", "pink", "brown", "red")
"""What the colours of links are called."""
RAILS = 8
"""The first of them are those of rails; rails beyond them begin again, dashed. Red is for tenants called so."""
ALIASES = {"amber": "yellow", "gold": "yellow", "magenta": "pink", "teal": "cyan", "violet": "purple"}
"""Other names of colours."""
ROUNDS = ("", " dash", " dots")
"""What tells tenants of one colour apart, where there are more of them than colours."""

STATES = ("bad", "warn", "ok")
"""State words with a colour of their own; any other word draws like `warn`."""

ROOT = "closet-graph"
"""Class of the picture: every rule is below it, so the picture can stand inline in a page."""

LIGHT = {
    "bg": "#ffffff",
    "ink": "#0f172a",
    "muted": "#64748b",
    "wire": "#64748b",
    "pod": "#f6f8fc #d5deea",
    "group": "#eef3fa #cfdaea",
    "plane": "#f7f4fe #ddd3f7",
    "machine": "#e1e8f2 #b4c2d6",
    "superspine": "#ede9fe #7c3aed #4c1d95",
    "spine": "#dbeafe #2563eb #1e3a8a",
    "leaf": "#d3f5ee #0d9488 #134e4a",
    "host": "#ffffff #7c8aa0 #1e293b",
    "bad": "#fee2e2 #dc2626 #7f1d1d",
    "warn": "#fef3c7 #d97706 #78350f",
    "ok": "#dcfce7 #16a34a #14532d",
    "links": "#2563eb #ea580c #16a34a #9333ea #0891b2 #ca8a04 #db2777 #92552b #dc2626",
}
"""Colours on white: of nodes and frames fill, line and text; of links one after the other, as in `COLOURS`."""

_DARK = {
    "bg": "#0b1220",
    "ink": "#e8eef7",
    "muted": "#94a3b8",
    "wire": "#8a9bb3",
    "pod": "#101a2c #24324a",
    "group": "#15223a #2c3e5c",
    "plane": "#18152f #372f63",
    "machine": "#1d2c49 #3b5078",
    "superspine": "#2a1d55 #a78bfa #ede9fe",
    "spine": "#152c5b #60a5fa #dbeafe",
    "leaf": "#0d3b3a #2dd4bf #ccfbf1",
    "host": "#1a2638 #7f90a8 #e2e8f0",
    "bad": "#4c1217 #f87171 #fee2e2",
    "warn": "#46300b #fbbf24 #fef3c7",
    "ok": "#0f3a20 #4ade80 #dcfce7",
    "links": "#60a5fa #fb923c #4ade80 #c084fc #22d3ee #facc15 #f472b6 #d6a77a #f87171",
}

_SHAPE = f"""
.{ROOT} text {{font-family:Inter,"Segoe UI",system-ui,-apple-system,"DejaVu Sans",sans-serif}}
.{ROOT} .mono {{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}}
.{ROOT} .mid {{text-anchor:middle}}
.{ROOT} .end {{text-anchor:end}}
.{ROOT} .name {{font-weight:600}}
.{ROOT} .frame {{stroke-width:1}}
.{ROOT} .node rect {{stroke-width:1.25}}
.{ROOT} .link {{fill:none}}
.{ROOT} .dash {{stroke-dasharray:5 3}}
.{ROOT} .dots {{stroke-dasharray:1.5 2.5}}
.{ROOT} .link.faulty {{stroke-dasharray:7 4;stroke-width:2;stroke-opacity:1}}
.{ROOT} .cross {{stroke-width:2;stroke-linecap:round}}
.{ROOT} .hit {{fill:none;stroke:#000;stroke-opacity:0;stroke-width:7;pointer-events:stroke}}
.{ROOT} .wire:hover .link {{stroke-width:3;stroke-opacity:1}}
.{ROOT} .node:hover rect {{stroke-width:2.5}}
"""


def element(tag: str, *children: str, **attributes: object) -> str:
    """One element; children are elements or text that is escaped already, None attributes are left out.

    A trailing underscore is dropped from an attribute's name, any other becomes a hyphen.
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text(_number(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{given}>{''.join(children)}</{tag}>" if children else f"<{tag}{given}/>"


def text(value: object) -> str:
    """Escaped for an element or a quoted attribute, without what XML cannot hold."""
    return escape("".join(c for c in str(value) if c.isprintable() or c == "\n"))


def rail_class(rail: int) -> str:
    """The classes of a rail, counted from 0."""
    return f"r{rail % RAILS}" + (" dash" if rail // RAILS % 2 else "")


def tenant_classes(names: Sequence[str]) -> dict[str, str]:
    """The classes of every tenant: the colour it is called, or the next that nobody is called or has."""
    called: dict[str, str] = {}
    for name in names:
        colour = ALIASES.get(name, name)
        if colour in COLOURS and colour not in called.values():
            called[name] = colour
    spare = _spare(set(called.values()))
    return {name: f"r{COLOURS.index(called[name])}" if name in called else next(spare) for name in names}


def _spare(taken: Collection[str]) -> Iterator[str]:
    """Every colour that is not taken, and then all of them again and again, told apart by dashes and dots."""
    for n in count():
        yield from (f"r{i}{ROUNDS[n % len(ROUNDS)]}" for i, colour in enumerate(COLOURS) if n or colour not in taken)


def style() -> str:
    """The style sheet: plain colours first, since slide programs know no variables and no media queries."""
    dark = "".join(f"  {line}\n" for line in _colours(_DARK).splitlines())
    return _SHAPE + _colours(LIGHT) + f"@media (prefers-color-scheme: dark) {{\n{dark}}}\n"


def _colours(palette: dict[str, str]) -> str:
    rules = [
        (".bg", f"fill:{palette['bg']}"),
        ("text", f"fill:{palette['ink']}"),
        (".muted", f"fill:{palette['muted']}"),
        (".link", f"stroke:{palette['wire']}"),
        (".end-dot", f"fill:{palette['wire']};stroke:{palette['bg']};stroke-width:.75"),
    ]
    for kind in ("pod", "group", "plane", "machine"):
        fill, stroke = palette[kind].split()
        rules.append((f".frame.{kind}", f"fill:{fill};stroke:{stroke}"))
    for kind in ("superspine", "spine", "leaf", "host", *reversed(STATES)):
        fill, stroke, ink = palette[kind].split()
        rules += [(f".{kind} rect", f"fill:{fill};stroke:{stroke}"), (f".{kind} text", f"fill:{ink}")]
        rules += [(f".badge.{kind}", f"fill:{stroke}")] if kind in STATES else []
    rules.append((".node .badge-mark", f"fill:{palette['bg']};font-weight:700"))
    rules.append((".link.faulty", f"stroke:{palette['bad'].split()[1]}"))
    rules.append((".cross", f"stroke:{palette['bg']}"))
    for i, colour in enumerate(palette["links"].split()):
        rules += [(f".link.r{i}", f"stroke:{colour}"), (f".end-dot.r{i}, .{ROOT} .node rect.r{i}", f"fill:{colour}")]
        rules.append((f".node rect.r{i}", "stroke:none"))
    return "".join(f".{ROOT} {selector} {{{rule}}}\n" for selector, rule in rules)


def _number(value: object) -> object:
    """A coordinate with at most one decimal."""
    return f"{round(value, 1):g}" if isinstance(value, float) else value
