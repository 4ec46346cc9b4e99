"""`closet attack`: what its hosts cannot do to a running lab."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from closet.cli.options import Destination
from closet.cli.show import Spinner, as_json, table
from closet.cli.up import findings_lines


@click.command("attack")
@click.argument("lab", required=False)
@click.option("--only", multiple=True, help="An attack's name; may be given several times.")
@click.option("--list", "list_", is_flag=True, help="List the attacks, and what makes each of them fail.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
@click.option("--junit", type=Destination(), help="Write a JUnit report, too.")
@click.pass_context
def attack_command(
    ctx: click.Context, lab: str | None, only: Sequence[str], list_: bool, json_: bool, junit: Path | None
) -> None:
    """Attack LAB (the only one, if it is not named) from its hosts; exit 1 if anything comes of it.

    Every attempt has a control: without the proof that it was made, nothing is said of it.
    """
    from closet.attack import ATTACKS, select
    from closet.lab import open_lab
    from closet.report.results import as_data, junit_xml
    from closet.suite import run_one

    if list_ and json_:
        as_json([{"attack": a.name, "claim": a.check.claim, "protection": a.protection} for a in ATTACKS.values()])
        return
    if list_:
        table(("attack", "claim", "protection"), ((a.name, a.check.claim, a.protection) for a in ATTACKS.values()))
        return
    chosen = select(only)
    opened = open_lab(lab)
    spinner = Spinner()
    results = []
    for each in chosen:
        spinner(each.check.claim)
        results.append(run_one(opened.fabric, opened.nodes, each.check))
    spinner.clear()
    if junit is not None:
        junit.write_text(junit_xml(opened.name, results), encoding="utf-8")
    if json_:
        as_json(as_data(opened.name, results))
    else:
        table(
            ("", "attack", "attempts", "control", "succeeded", "s", "claim"),
            (
                (
                    r.mark,
                    r.check,
                    r.claims,
                    "missing" if r.error else "all seen" if r.claims else "nothing to attack",
                    "?" if r.error else len({f.subject for f in r.findings}),
                    f"{r.seconds:.2f}",
                    r.claim,
                )
                for r in results
            ),
        )
        for line in findings_lines(results):
            click.echo(line)
        succeeded, unproven = sum(bool(r.findings) for r in results), sum(bool(r.error) for r in results)
        click.echo(
            f"{opened.name}: {len(results)} attacks, {sum(r.claims for r in results)} attempts, {succeeded} succeeded"
            + (f", {unproven} could not be judged" if unproven else "")
        )
    ctx.exit(0 if all(r.passed for r in results) else 1)
