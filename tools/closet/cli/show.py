"""Tables and lines for people."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

WIDEST = 40
"""Rows of a table before the rest is only counted."""


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, most: int = WIDEST) -> None:
    """Print a table; beyond `most` rows, how many more there are."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    all_rows = list(rows)
    for row in all_rows[:most]:
        shown.add_row(*(str(cell) for cell in row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(shown)
    if len(all_rows) > most:
        console.print(f"... and {len(all_rows) - most} more (--json lists all)")


def as_json(data: Any) -> None:
    """Print data for a program: sets as sorted lists, addresses and the like as text."""
    click.echo(json.dumps(data, indent=1, default=_plain))


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def since_start() -> float:
    """Seconds since this process began, Python's own start included."""
    with open("/proc/self/stat", encoding="utf-8") as f:  # noqa: PTH123
        ticks = int(f.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


class Spinner:
    """Says on a terminal what is going on, on one line that is wiped when it is over."""

    def __init__(self) -> None:
        self._tty = sys.stderr.isatty()
        self._width = 0

    def __call__(self, text: str) -> None:
        """Replace the line."""
        if self._tty:
            click.echo(f"\r{text[:100]:<{self._width}}", nl=False, err=True)
            self._width = len(text[:100])

    def clear(self) -> None:
        """Wipe the line."""
        if self._tty and self._width:
            click.echo("\r" + " " * self._width + "\r", nl=False, err=True)
            self._width = 0
