"""The command line. Every command says what it can not do in one line, and ends with a code that means something."""

from __future__ import annotations

import sys

import click

from closet.errors import ClosetError

COMMANDS = {
    "doctor": "closet.cli.doctor:doctor",
    "plan": "closet.cli.design:plan_command",
    "render": "closet.cli.design:render_command",
    "graph": "closet.cli.design:graph",
    "schema": "closet.cli.design:schema",
    "up": "closet.cli.up:up_command",
    "down": "closet.cli.lab:down",
    "ls": "closet.cli.lab:ls",
    "status": "closet.cli.lab:status",
    "check": "closet.cli.check:check",
    "test": "closet.cli.check:test",
    "exec": "closet.cli.lab:exec_command",
    "shell": "closet.cli.lab:shell",
}
"""Command → where it is: only the one that is asked for is imported."""

SUMMARIES = {
    "doctor": "Say what this machine can do, and how to get what is missing.",
    "plan": "Show what an intent becomes: nodes, numbers, links.",
    "render": "Write the configuration of every device, one folder each.",
    "graph": "Draw a fabric: SVG, or Mermaid for a README.",
    "schema": "Print the JSON Schema of intents, for editors.",
    "up": "Bring a fabric up and prove it.",
    "down": "Take a lab down, leaving nothing.",
    "ls": "List the labs.",
    "status": "Show the nodes of a lab, and who is well.",
    "check": "Run the registered checks on a running lab.",
    "test": "Run the conformance suite, by pytest.",
    "exec": "Run a command in a node.",
    "shell": "Open a shell in a node (vtysh with --vtysh).",
}


class Lazy(click.Group):
    """A group that imports a command only when it is used: `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="closet")
def cli() -> None:
    """A virtual AI back-end fabric on one Linux box, and the evidence of what it does.

    Exit codes: 0 pass, 1 findings, 2 usage or intent, 3 environment.
    """


def main() -> None:
    """Run the command line; the entry point."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        code = 130
    except click.ClickException as e:
        e.show()
        code = 2
    except ClosetError as e:
        click.echo(f"closet: {e}", err=True)
        code = e.exit_code
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        code = 130
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)
