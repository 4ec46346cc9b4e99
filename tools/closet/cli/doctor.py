"""`closet doctor`: what this machine can do, what follows for a lab, and how to get what is missing."""

from __future__ import annotations

from dataclasses import asdict

import click

from closet.cli.show import as_json, table


@click.command()
@click.option("--install", is_flag=True, help="Install the missing Debian packages (needs root).")
@click.option("--json", "json_", is_flag=True, help="For programs.")
@click.pass_context
def doctor(ctx: click.Context, install: bool, json_: bool) -> None:
    """Probe this machine; exit 3 if no lab can run here."""
    from closet.machine import examine, install_packages

    if install:
        install_packages(click.echo)
    found = examine()
    if json_:
        as_json([asdict(c) for c in found])
    else:
        table(
            ("", "what", "here", "what follows for a lab"),
            (("✓" if c.works else "✗" if c.needed else "-", c.name, c.detail, c.follows) for c in found),
        )
        for c in found:
            if not c.works and c.get:
                click.echo(f"{'✗' if c.needed else '-'} {c.name}: {c.get}")
    missing = [c.name for c in found if c.needed and not c.works]
    click.echo(f"missing: {', '.join(missing)}" if missing else "labs run here", err=json_)
    ctx.exit(3 if missing else 0)
