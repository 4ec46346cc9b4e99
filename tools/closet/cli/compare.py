"""`closet compare`: what stretched layer 2 costs, measured beside the routed fabric."""

from __future__ import annotations

from dataclasses import asdict

import click

from closet.cli.show import Spinner, as_json, table


class Counts(click.ParamType):  # type: ignore[type-arg]
    """Numbers with commas between them: two or more, each greater than the one before it."""

    name = "numbers"

    def convert(self, value: str | list[int], param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Numbers of `1,10,100`."""
        if isinstance(value, list):
            return value
        words = value.split(",")
        counts = [int(w) for w in words if w.isdecimal()]
        if len(counts) != len(words) or len(counts) < 2 or counts != sorted(set(counts)) or not 1 <= counts[-1] <= 5000:
            self.fail(f"{value!r}: allowed are two or more growing numbers up to 5000, such as 1,10,100", param, ctx)
        return counts


@click.command()
@click.option("--spines", type=click.IntRange(1, 64), default=2, show_default=True, help="Spines of both fabrics.")
@click.option("--leaves", type=click.IntRange(3, 64), default=4, show_default=True, help="Leaves, two hosts on each.")
@click.option(
    "--endpoints", type=Counts(), default="1,10,100", show_default=True, help="Endpoints to have behind each host."
)
@click.option("--runtime", default="auto", help="auto (default), oci or containerlab.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
def compare(spines: int, leaves: int, endpoints: list[int], runtime: str, json_: bool) -> None:
    """Measure the same hosts on a routed fabric, and on bridge domains stretched over it by VXLAN."""
    from closet.contrast import run
    from closet.contrast.table import ASIC_HEADINGS, HEADINGS, asic_rows, rows

    spinner = Spinner()
    try:
        routed, stretched = run.compare(spines=spines, leaves=leaves, per_host=endpoints, runtime=runtime, say=spinner)
    finally:
        spinner.clear()
    if json_:
        as_json({"routed": asdict(routed), "stretched": asdict(stretched)})
        return
    table(HEADINGS, rows(routed, stretched))
    table(ASIC_HEADINGS, asic_rows(routed, stretched))
