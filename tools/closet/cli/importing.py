"""Other people's fabrics as intents."""

from __future__ import annotations

import re
from pathlib import Path

import click

from closet.errors import UsageError
from closet.importer import convert, write
from closet.intent import loads
from closet.plan import plan

PathArgument = click.Path(path_type=Path)


@click.command("import")
@click.argument("files", type=PathArgument, nargs=-1, required=True)
@click.option("-o", "--output", type=PathArgument, help="The intent to write; default: standard output.")
@click.option("--name", help="Name of the fabric; default: that of the output, or of the first file.")
@click.option("--skip-unsupported", is_flag=True, help="Leave out, and list, what closet has no counterpart to.")
@click.option("--force", is_flag=True, help="Write the output though it is there, whatever was changed in it.")
def import_command(
    files: tuple[Path, ...], output: Path | None, name: str | None, skip_unsupported: bool, force: bool
) -> None:
    """Make an intent of Hedgehog's wiring diagram and VPCs: YAML FILES of its API objects."""
    if output is not None and output.resolve() in {f.resolve() for f in files}:
        raise UsageError(f"{output}: is one of the files to read, allowed: another file")
    if output is not None and output.exists() and not force:
        raise UsageError(f"{output}: exists and may have been changed by hand, allowed: a new file, or --force")
    made = convert(files, name=name or _name(output or files[0]), skip=skip_unsupported)
    text = write(made)
    fabric = plan(loads(text, str(output or "the intent")))  # an intent that does not plan is none
    for title, lines in (("left out", made.left.skipped), ("noted", made.left.notes)):
        for line in lines:
            click.echo(f"{title}: {line}", err=True)
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    click.echo(f"{output}: {fabric.summary()}")


def _name(path: Path) -> str:
    """What a file is called, as a fabric can be called."""
    word = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:32]
    return word if re.match(r"[a-z]", word) else "imported"
