"""Commands that need no lab: what an intent means, as numbers, files and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import click

from closet.cli.show import Spinner, as_json, table
from closet.errors import UsageError
from closet.intent import load
from closet.intent.schema import intent_schema
from closet.plan import DEFAULT_VRF, Fabric, Node, notes, plan
from closet.plan.tenant import Space

MARK = ".closet-render"
"""A file that says a folder was written here and may be written again: it lists what was, a line a file."""
PathArgument = click.Path(path_type=Path)


@click.command("plan")
@click.argument("intent", type=PathArgument)
@click.option("--json", "json_", is_flag=True, help="For programs: everything that was planned.")
def plan_command(intent: Path, json_: bool) -> None:
    """Show what INTENT becomes: every node with its numbers, and what it is joined to."""
    fabric = plan(load(intent))
    if json_:
        as_json(_data(fabric))
        return
    click.echo(f"{fabric.name}: {fabric.summary()}, MTU {fabric.mtu}")
    for note in notes(fabric):
        click.echo(f"note: {note}")
    rows = (
        (n.name, n.role, n.asn, n.loopback, _block_or_tenant(n), " ".join(f"{p.name}→{p.peer}" for p in n.ports[:6]))
        for n in fabric
    )
    table(("node", "role", "AS", "loopback", "block or tenant" if fabric.tenants else "block", "ports"), rows)
    if fabric.tenants:
        table(("tenant", "VNI", "route target", "subnet", "prefix", "hosts", "leaves"), _tenant_rows(fabric))
    for p in fabric.peerings:
        ways = {permit.one_way for permit in p.permits}
        click.echo(
            f"{p.one} {'→' if ways == {True} else '↔'} {p.other}: {_say(p.exported(p.one))} {_say(p.exported(p.other))}"
        )


def _block_or_tenant(node: Node) -> str:
    """What tells most of a node's addresses: a leaf's block, the tenant a host is in."""
    return str(node.block) if node.block else node.vrf if node.vrf != DEFAULT_VRF else ""


def _tenant_rows(fabric: Fabric) -> Iterator[tuple[object, ...]]:
    for t in fabric.tenants.values():
        for s in t.subnets:
            words = [w for w, on in (("isolated", s.isolated), ("restricted", s.restricted)) if on]
            name = " ".join([s.name, *words])
            yield t.name, t.vni, t.route_target, name, s.prefix or "of its leaves", len(s.hosts), len(t.leaves)


def _say(space: Space) -> str:
    return f"[{' '.join(map(str, space[:3]))}{' ...' if len(space) > 3 else ''}]"


def _data(fabric: Fabric) -> dict[str, object]:
    return {
        "name": fabric.name,
        "mtu": fabric.mtu,
        "nodes": [asdict(n) for n in fabric],
        "links": [[f"{k.a}:{k.a_port}", f"{k.b}:{k.b_port}"] for k in fabric.links],
        "tenants": [asdict(t) for t in fabric.tenants.values()],
        "peerings": [asdict(p) for p in fabric.peerings],
    }


@click.command("render")
@click.argument("intent", type=PathArgument)
@click.option("-o", "--output", type=PathArgument, required=True, help="A folder; one folder a device is made in it.")
def render_command(intent: Path, output: Path) -> None:
    """Write the configuration of every device of INTENT, and a containerlab topology of it."""
    from closet.render import render
    from closet.render.clab import clab_topology
    from closet.runtime.engine import image_name

    fabric = plan(load(intent))
    if output.exists() and (not output.is_dir() or any(output.iterdir())) and not (output / MARK).exists():
        raise UsageError(f"{output}: exists and is not an earlier render, allowed: a new or empty folder")
    _remove_rendered(output)
    output.mkdir(parents=True, exist_ok=True)
    spinner = Spinner()
    count = 0
    with (output / MARK).open("w", encoding="utf-8", buffering=1) as written:

        def put(name: str, text: str) -> None:
            nonlocal count
            written.write(f"{name}\n")
            (output / name).write_text(text, encoding="utf-8")
            count += 1

        for n, (node, files) in enumerate(render(fabric)):
            if n % 100 == 0:
                spinner(f"{n} of {len(fabric.nodes)} devices")
            (output / node.name).mkdir(exist_ok=True)
            for name, text in files.items():
                put(f"{node.name}/{name}", text)
        topology = clab_topology(fabric, lab_id=fabric.name, image=image_name(), files={"{node}": "/etc/frr"})
        put(f"{fabric.name}.clab.yml", topology)
    spinner.clear()
    click.echo(f"{output}: {count} files of {len(fabric.nodes)} devices")


def _remove_rendered(folder: Path) -> None:
    """Remove what an earlier render wrote, and nothing that anybody else did."""
    if not (folder / MARK).exists():
        return
    names = [Path(line) for line in (folder / MARK).read_text(encoding="utf-8").splitlines()]
    inside = [n for n in names if not n.is_absolute() and ".." not in n.parts]
    for name in inside:
        (folder / name).unlink(missing_ok=True)
    for device in {n.parent for n in inside if len(n.parts) > 1}:
        with suppress(OSError):  # it is gone, or somebody has put something there
            (folder / device).rmdir()


@click.command()
@click.argument("what", required=False)
@click.option("--format", "format_", type=click.Choice(["svg", "mermaid"]), default="svg", show_default=True)
@click.option("-o", "--output", type=PathArgument, help="A file; default: standard output.")
def graph(what: str | None, format_: str, output: Path | None) -> None:
    """Draw WHAT: an intent file, or a running lab (the only one, if it is not named)."""
    from closet.report.graph import mermaid, svg

    if what is not None and Path(what).suffix in {".yaml", ".yml"}:
        fabric = plan(load(Path(what)))
    else:
        from closet.lab import open_lab

        fabric = open_lab(what).fabric
    text = svg(fabric) if format_ == "svg" else mermaid(fabric)
    if output is None:
        click.echo(text)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"{output}: {fabric.summary()}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of intents: name it in a file's first line, and editors complete and validate."""
    click.echo(json.dumps(intent_schema(), indent=1))
