"""`closet apply`: what changed in a running lab, on one screen."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from closet.change.apply import Applied, apply
from closet.change.tell import changes
from closet.cli.show import Spinner, as_json, since_start
from closet.cli.up import findings_lines, verdict
from closet.intent import load
from closet.lab import Progress

PHASES = ("changed", "converged", "proven")


@click.command("apply")
@click.argument("intent", type=click.Path(path_type=Path))
@click.option("--name", help="The lab, where its name is not the intent's.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
@click.pass_context
def apply_command(ctx: click.Context, intent: Path, name: str | None, json_: bool) -> None:
    """Give a running lab the tenants and peerings of INTENT; what does not change is not touched."""
    timings: dict[str, float] = {}
    spinner = Spinner()

    def mark(phase: str) -> None:
        timings[phase] = since_start()
        spinner(f"{phase} {timings[phase]:.2f} s")

    try:
        done = apply(load(intent), name=name, progress=Progress(say=spinner, mark=mark))
    finally:
        spinner.clear()
    if json_:
        as_json(_data(done, timings))
    else:
        _screen(done, timings)
    ctx.exit(0 if all(r.passed for r in done.lab.results) else 1)


def _screen(done: Applied, timings: dict[str, float]) -> None:
    lab = done.lab
    if not done.steps:
        click.echo(f"{lab.name}: runs already as given, {lab.fabric.summary()}: nothing to do")
        return
    click.echo(f"{lab.name}: {len(done.steps)} of {len(lab.nodes)} devices changed")
    for line in changes(done.before, lab.fabric):
        click.echo(f"  {line}")
    shown = "  ".join(f"{phase} {timings[phase]:.2f} s" for phase in PHASES)
    click.echo(f"{shown}: {verdict(lab.results)}")
    for line in findings_lines(lab.results):
        click.echo(line)


def _data(done: Applied, timings: dict[str, float]) -> dict[str, object]:
    return {
        "name": done.lab.name,
        "changes": changes(done.before, done.lab.fabric),
        "devices": list(done.steps),
        "timings": timings,
        "results": [asdict(r) for r in done.lab.results],
    }
