"""`closet up`: one screen that an engineer can paste into a ticket."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from closet.cli.show import Spinner, as_json, since_start, table
from closet.intent import load
from closet.lab import Lab, Progress, up
from closet.plan import DEFAULT_VRF, Fabric, Node, notes
from closet.suite import Result

PHASES = {"nodes": "nodes", "daemons": "daemons", "converged": "converged", "proven": "proven"}
"""Marks worth a place in the line of timings."""


@click.command("up")
@click.argument("intent", type=click.Path(path_type=Path))
@click.option("--runtime", default="auto", help="auto (default), oci or containerlab.")
@click.option("--name", help="The lab's name, in place of the intent's.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
@click.pass_context
def up_command(ctx: click.Context, intent: Path, runtime: str, name: str | None, json_: bool) -> None:
    """Bring up the fabric of INTENT and prove it; with findings left, say them and exit 1."""
    timings: dict[str, float] = {}
    spinner = Spinner()

    def mark(phase: str) -> None:
        timings[phase] = since_start()
        spinner(f"{phase} {timings[phase]:.2f} s")

    try:
        lab = up(load(intent), runtime=runtime, name=name, progress=Progress(say=spinner, mark=mark))
    finally:
        spinner.clear()
    findings = [f for r in lab.results for f in r.findings]
    if json_:
        as_json(_data(lab, timings))
    elif not lab.fresh:
        click.echo(f"{lab.name}: runs already, {lab.fabric.summary()}, {lab.state.runtime} runtime: nothing to do")
    else:
        _screen(lab, timings)
    failed = bool(findings) or any(r.error for r in lab.results)
    ctx.exit(1 if failed else 0)


def _screen(lab: Lab, timings: dict[str, float]) -> None:
    click.echo(f"{lab.name}: {lab.fabric.summary()}, {lab.state.why}")
    for note in notes(lab.fabric):
        click.echo(f"note: {note}")
    shown = "  ".join(f"{word} {timings[phase]:.2f} s" for phase, word in PHASES.items() if phase in timings)
    click.echo(f"{shown}: {verdict(lab.results)}")
    table(("node", "role", "AS", "loopback", "links"), (_row(lab.fabric, n) for n in lab.fabric))
    for line in findings_lines(lab.results):
        click.echo(line)
    some = next((n.name for n in lab.fabric if n.block), next(iter(lab.nodes)))
    click.echo(f"next: closet shell {some} | closet check | closet graph | closet down {lab.name}")


def _row(fabric: Fabric, node: Node) -> tuple[object, ...]:
    if node.is_host:
        links = " ".join(f"{p.name}→{p.peer} {p.rail}" for p in node.ports[:4])
        links += f", {node.vrf}" if node.vrf != DEFAULT_VRF else ""
        links += f" ... {len(node.ports)} in all" if len(node.ports) > 4 else ""
    else:
        ways = {"uplinks": fabric.uplinks(node), "downlinks": fabric.downlinks(node)}
        parts = [f"{len(ports)} {way}" for way, ports in ways.items() if ports]
        links = ", ".join([*parts, str(node.block)] if node.block else parts)
    return node.name, node.role, node.asn, node.loopback, links


def verdict(results: list[Result]) -> str:
    """One line: how many checks, claims and findings."""
    findings = sum(len(r.findings) for r in results)
    errors = sum(1 for r in results if r.error)
    words = f"{len(results)} checks, {sum(r.claims for r in results)} claims, {findings} findings"
    return words + (f", {errors} could not be judged" if errors else "")


def findings_lines(results: list[Result], most: int = 20) -> list[str]:
    """Every finding, a line each, under its claim; of very many, the first."""
    lines = []
    for result in results:
        if result.passed:
            continue
        lines.append(f"{result.mark} {result.check}: {result.claim}")
        lines += [f"    {f}" for f in result.findings[:most]]
        if len(result.findings) > most:
            lines.append(f"    ... and {len(result.findings) - most} more")
        if result.error:
            lines.append(f"    could not be judged: {result.error}")
    return lines


def _data(lab: Lab, timings: dict[str, float]) -> dict[str, object]:
    return {
        "name": lab.name,
        "runtime": lab.state.runtime,
        "why": lab.state.why,
        "fresh": lab.fresh,
        "timings": timings,
        "nodes": [{"name": n.name, "role": n.role, "pid": lab.nodes[n.name].pid} for n in lab.fabric],
        "results": [asdict(r) for r in lab.results],
    }
