"""What equal-cost ports carried: rows of a table, and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from closet.expect.elephants import ideal
from closet.records import Fan, Load
from closet.report.svg import ROOT, element, rail_class, style, text

HEADINGS = ("from", "port", "to", "QPs", "packets", "KiB", "share", "")
BAR = 30
"""Columns of a full bar in a table."""
EIGHTHS = " ▏▎▍▌▋▊▉"
ROW, GAP, LEFT, WIDE, MARGIN = 22.0, 34.0, 190.0, 360.0, 24.0
"""Of the picture: heights of a bar and between sets, room for names, width of a whole, margin."""


def rows(loads: Mapping[Fan, Sequence[Load]]) -> Iterator[tuple[object, ...]]:
    """A row a port: what it carried, and a bar of its share of the bytes."""
    for its in loads.values():
        whole = sum(load.size for load in its)
        for load in its:
            share = load.size / whole if whole else 0.0
            kib = f"{load.size / 1024:.0f}"
            yield load.node, load.port, load.peer, load.qps, load.packets, kib, f"{share:.0%}", bar(share)


def bar(share: float) -> str:
    """A share of a whole as a bar of eighths of a column."""
    full, rest = divmod(round(share * BAR * 8), 8)
    return "█" * full + EIGHTHS[rest].strip()


def facts(loads: Mapping[Fan, Sequence[Load]]) -> Iterator[str]:
    """A line a set: the busiest port beside what an ideal hash would give it."""
    for fan, its in loads.items():
        n, m = sum(load.qps for load in its), len(its)
        if not n:
            continue
        most, empty = max(load.qps for load in its), sum(not load.qps for load in its)
        want = ideal(n, m)
        qps = f"{n} QPs" if n != 1 else "1 QP"
        yield (
            f"{fan.node}: {qps} over {m} paths: {most} on the busiest (an ideal hash: {want.busiest:.2f} "
            f"± {want.deviation:.2f}), {empty} empty ({want.empty:.2f}), mean over most {n / m / most:.2f} "
            f"({want.efficiency:.2f})"
        )


def svg(title: str, loads: Mapping[Fan, Sequence[Load]]) -> str:
    """Bars of bytes a port, set by set, each set with a line where equal shares would end; light and dark."""
    parts = [element("text", text(title), x=MARGIN, y=MARGIN + 6, class_="name")]
    y = MARGIN + GAP
    for its in loads.values():
        whole = sum(load.size for load in its) or 1
        even = LEFT + WIDE / len(its)
        top = y
        for i, load in enumerate(its):
            width = WIDE * load.size / whole
            label = f"{load.node} {load.port} → {load.peer}"
            shown = f"{load.qps} QP{'' if load.qps == 1 else 's'}, {load.size / 1024:.0f} KiB"
            parts.append(element("text", text(label), x=LEFT - 10, y=y + 14, class_="end"))
            bar_ = element("rect", x=LEFT, y=y, width=max(width, 1.0), height=ROW - 6, class_=rail_class(i))
            parts.append(element("g", bar_, class_="node"))
            parts.append(element("text", text(shown), x=LEFT + width + 8, y=y + 13, class_="muted"))
            y += ROW
        line = element("line", x1=even, y1=top - 4, x2=even, y2=y - 2, class_="link dash")
        parts += [line, element("text", "equal shares", x=even + 4, y=top - 6, class_="muted")]
        y += GAP
    width, height = LEFT + WIDE + 170, y - GAP + MARGIN
    background = element("rect", width="100%", height="100%", class_="bg")
    drawn = element(
        "svg",
        element("style", "\n" + style()),
        background,
        *(f"{part}\n" for part in parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        class_=ROOT,
        role="img",
        aria_label=title,
    )
    return drawn + "\n"
