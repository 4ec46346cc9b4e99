"""Commands about labs that exist: list, look, enter, take down."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial

import click

from closet.cli.show import Spinner, as_json, table
from closet.errors import ClosetError, UsageError

STRAY = "stray"
"""The phase of a lab that has no folder any more."""


@click.command()
@click.argument("lab", required=False)
@click.option("--all", "all_", is_flag=True, help="Every lab of this folder.")
@click.option("--strays", is_flag=True, help="Every lab whose folder is gone, wherever it was.")
@click.pass_context
def down(ctx: click.Context, lab: str | None, all_: bool, strays: bool) -> None:
    """Take LAB down (the only one, if it is not named) and remove all it made. A lab that is gone is fine."""
    from closet import takedown
    from closet.runtime.state import labs

    if bool(lab) + all_ + strays > 1:
        raise UsageError("down: a lab, --all or --strays, and one of them")
    doing: dict[str, Callable[[], bool | None]]
    if strays:
        doing = {stray.id: partial(takedown.end, stray) for stray in takedown.strays()}
    else:
        there = [f.name for f in labs()]
        names = [lab] if lab else there if all_ or not there else [takedown.find().name]
        doing = {name: partial(takedown.down, name) for name in names}
    if not doing:
        click.echo("nothing to take down")
    worst = 0
    for name, go in doing.items():
        try:
            _down(name, go)
        except ClosetError as e:  # one that will not go keeps none of the others
            click.echo(f"closet: {e}", err=True)
            worst = max(worst, e.exit_code)
    ctx.exit(worst)


def _down(name: str, go: Callable[[], bool | None]) -> None:
    began = time.monotonic()
    spinner = Spinner()
    spinner(f"{name}: going down")
    try:
        there = go() is not False
    finally:
        spinner.clear()
    click.echo(f"{name}: down in {time.monotonic() - began:.2f} s" if there else f"{name}: nothing to take down")


@click.command()
@click.option("--json", "json_", is_flag=True, help="For programs.")
def ls(json_: bool) -> None:
    """List the labs of this folder, and those on this machine whose folder is gone."""
    from closet.runtime.state import labs
    from closet.takedown import strays

    rows = []
    for folder in labs():
        state = folder.read()
        if state is None:
            rows.append((folder.name, "?", "half-made", 0, ""))
        else:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(state.started)) if state.started else ""
            rows.append((folder.name, state.runtime, state.phase, len(state.pids), when))
    rows += [(stray.id, stray.runtime, STRAY, stray.nodes, "") for stray in strays()]
    if json_:
        as_json([dict(zip(("lab", "runtime", "phase", "nodes", "since"), row, strict=True)) for row in rows])
    elif rows:
        table(("lab", "runtime", "phase", "nodes", "since"), rows)
        if any(phase == STRAY for _, _, phase, _, _ in rows):
            click.echo("stray: its folder was deleted while it ran; `closet down --strays` ends them")
    else:
        click.echo("no labs here; `closet up INTENT` starts one")


@click.command()
@click.argument("lab", required=False)
@click.option("--json", "json_", is_flag=True, help="For programs.")
@click.pass_context
def status(ctx: click.Context, lab: str | None, json_: bool) -> None:
    """Show every node of LAB: alive, daemons, sessions and routes against the plan. Sends no packet."""
    from closet.lab import open_lab

    opened = open_lab(lab)
    results = opened.check("daemons", "sessions", "fib")
    wrong: dict[str, list[str]] = {}
    for result in results:
        for finding in result.findings:
            wrong.setdefault(finding.device, []).append(f"{finding.subject}: {finding.observed}")
    rows = []
    for node in opened.fabric:
        bad = wrong.get(node.name, [])
        verdict = "ok" if not bad else f"{len(bad)} findings: {bad[0]}"
        rows.append((node.name, node.role, node.asn, node.loopback, opened.nodes[node.name].pid, verdict))
    if json_:
        names = ("node", "role", "asn", "loopback", "pid", "state")
        as_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        click.echo(f"{opened.name}: {opened.fabric.summary()}, {opened.state.runtime} runtime")
        rows.sort(key=lambda row: row[-1] == "ok")
        table(("node", "role", "AS", "loopback", "pid", "state"), rows)
    ctx.exit(1 if wrong else 0)


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--lab", help="Which lab, if several run.")
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_command(lab: str | None, node: str, command: Sequence[str]) -> None:
    """Run COMMAND in NODE; its return code is closet's. A `--` before COMMAND is taken for what people mean by it."""
    if command[0] == "--":
        command = command[1:]
    if not command:
        raise UsageError("exec: a command is missing (allowed: closet exec NODE -- COMMAND)")
    _become(lab, node, command)


@click.command()
@click.option("--lab", help="Which lab, if several run.")
@click.option("--vtysh", is_flag=True, help="FRR's shell instead of bash.")
@click.argument("node")
def shell(lab: str | None, vtysh: bool, node: str) -> None:
    """Open a shell in NODE."""
    _become(lab, node, ["vtysh"] if vtysh else ["bash", "-l"])


def _become(lab: str | None, node: str, command: Sequence[str]) -> None:
    from closet.lab import open_lab

    live = open_lab(lab)[node]
    if not live.alive():
        raise UsageError(str(live.gone()))
    argv = live.argv(command, terminal=os.isatty(0) and os.isatty(1))
    live.outlive()
    os.execvp(argv[0], argv)  # noqa: S606  the command takes closet's place, terminal and return code included
