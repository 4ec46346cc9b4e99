"""Judging a running lab: the registered checks, or the whole conformance suite."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from closet.cli.options import Destination
from closet.cli.show import Spinner, as_json, table
from closet.cli.up import findings_lines, verdict
from closet.errors import UsageError


@click.command()
@click.argument("lab", required=False)
@click.option("--only", multiple=True, help="A check's name; may be given several times.")
@click.option("--list", "list_", is_flag=True, help="List the checks and what they claim.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
@click.option("--junit", type=Destination(), help="Write a JUnit report, too.")
@click.option("--html", type=Destination(), help="Write a page for people, too: one file, no script.")
@click.pass_context
def check(
    ctx: click.Context,
    lab: str | None,
    only: Sequence[str],
    list_: bool,
    json_: bool,
    junit: Path | None,
    html: Path | None,
) -> None:
    """Run the checks on LAB (the only one, if it is not named); exit 1 if there are findings."""
    from closet.check import CHECKS
    from closet.lab import open_lab
    from closet.report.results import as_data, junit_xml
    from closet.suite import run, select

    if list_ and json_:
        as_json([{"check": c.name, "claim": c.claim} for c in CHECKS.values()])
        return
    if list_:
        table(("check", "claim"), ((c.name, c.claim) for c in CHECKS.values()))
        return
    checks = select(only)
    opened = open_lab(lab)
    spinner = Spinner()
    results = run(opened.fabric, opened.nodes, checks, begin=lambda each: spinner(each.claim))
    spinner.clear()
    if junit is not None:
        junit.write_text(junit_xml(opened.name, results), encoding="utf-8")
    if html is not None:
        from closet.report.page import page

        text = page(opened.fabric, results, runtime=f"{opened.state.runtime} runtime", when=datetime.now(UTC))
        html.write_text(text, encoding="utf-8")
    if json_:
        as_json(as_data(opened.name, results))
    else:
        table(
            ("", "check", "claims", "findings", "s", "claim"),
            ((r.mark, r.check, r.claims, len(r.findings), f"{r.seconds:.2f}", r.claim) for r in results),
        )
        for line in findings_lines(results):
            click.echo(line)
        click.echo(f"{opened.name}: {verdict(results)}")
    ctx.exit(0 if all(r.passed for r in results) else 1)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--lab", help="Test this lab, which is up already.")
@click.option("--intent", type=click.Path(path_type=Path), help="Bring this intent up for the tests, then down.")
@click.option("--runtime", default="auto", help="auto (default), oci or containerlab.")
@click.option("--own-labs", is_flag=True, help="Only those tests that bring up labs of their own: about 20 minutes.")
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
def test(lab: str | None, intent: Path | None, runtime: str, own_labs: bool, pytest_args: Sequence[str]) -> None:
    """Run the conformance suite by pytest: on the lab that runs, on --lab, or on a fresh one of --intent.

    With --own-labs, no lab is needed: labs are killed, starved of disk, changed and compared instead.
    PYTEST_ARGS go to pytest (`closet test -- -k sessions -x`).
    """
    from closet.paths import conformance
    from closet.takedown import find

    if len(given := [word for word, on in (("--lab", lab), ("--intent", intent), ("--own-labs", own_labs)) if on]) > 1:
        raise UsageError(f"{' and '.join(given)} given, allowed: one of them")
    if own_labs:
        chosen = ["-m", "own_labs"]
    else:
        which = ["--closet-intent", str(intent)] if intent is not None else ["--closet-lab", find(lab).name]
        chosen = ["-m", "not own_labs", *which]
    # Hypothesis, which the offline tests use, takes a second to say at the end that it did nothing here.
    plain = ["-p", "no:hypothesispytest"]
    argv = [sys.executable, "-m", "pytest", str(conformance()), *plain, *chosen, "--closet-runtime", runtime]
    argv += pytest_args
    sys.exit(_code(subprocess.run(argv, check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}).returncode))


def _code(pytest_code: int) -> int:
    """Pytest's code in closet's terms: 1 failures; 2 interrupted; 3 internal; 4 usage; 5 no tests."""
    return {0: 0, 1: 1, 2: 130, 3: 3, 4: 2, 5: 2}.get(pytest_code, 3)
