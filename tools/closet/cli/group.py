"""All commands, and what the command line says and returns where one does not end well."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from closet.cli import INTERRUPTED
from closet.errors import ClosetError, EnvironmentFault

PIPE_CLOSED = 141
"""What a shell calls the end by SIGPIPE."""

COMMANDS = {
    "doctor": "closet.cli.doctor:doctor",
    "plan": "closet.cli.design:plan_command",
    "render": "closet.cli.design:render_command",
    "graph": "closet.cli.design:graph",
    "schema": "closet.cli.design:schema",
    "import": "closet.cli.importing:import_command",
    "up": "closet.cli.up:up_command",
    "apply": "closet.cli.apply:apply_command",
    "down": "closet.cli.lab:down",
    "ls": "closet.cli.lab:ls",
    "status": "closet.cli.lab:status",
    "check": "closet.cli.check:check",
    "attack": "closet.cli.attack:attack_command",
    "test": "closet.cli.check:test",
    "rdma": "closet.cli.rdma:rdma",
    "wire": "closet.cli.wire:wire",
    "compare": "closet.cli.compare:compare",
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
    "import": "Make an intent of Hedgehog's wiring diagram and VPCs.",
    "up": "Bring a fabric up and prove it.",
    "apply": "Give a running lab other tenants and peerings.",
    "down": "Take a lab down, leaving nothing.",
    "ls": "List the labs.",
    "status": "Show the nodes of a lab, and who is well.",
    "check": "Run the registered checks on a running lab.",
    "attack": "Attack a running lab from its hosts.",
    "test": "Run the conformance suite, by pytest.",
    "rdma": "Transfer by RDMA from host to host, and say how it went.",
    "wire": "Watch every packet of a transfer by RDMA at every hop.",
    "compare": "Measure what stretched layer 2 would cost, beside the routed fabric.",
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

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what goes wrong is closet's to say, before click says it in its way."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough
            click.echo("interrupted", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            _drop_output()
            raise click.exceptions.Exit(PIPE_CLOSED) from None
        except OSError as e:
            raise EnvironmentFault(_words(e)) from e

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


def run() -> int:
    """Run the command line; returns the exit code."""
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return PIPE_CLOSED
    except OSError as e:
        _drop_output()
        click.echo(f"closet: {_words(e)}", err=True)
        return EnvironmentFault.exit_code
    return code


def _run() -> int:
    try:
        code = cli.main(prog_name="closet", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as e:
        e.show()
        return 2
    except ClosetError as e:
        click.echo(f"closet: {e}", err=True)
        return e.exit_code
    except OSError:
        raise
    except Exception as e:
        if os.environ.get("CLOSET_DEBUG"):
            raise
        click.echo(f"closet: a mistake of closet's own: {type(e).__name__}: {e} (CLOSET_DEBUG=1 says where)", err=True)
        return ClosetError.exit_code
    return code if isinstance(code, int) else 0


def _words(e: OSError) -> str:
    return f"{e.filename}: {e.strerror}" if e.filename else e.strerror or str(e)


def _drop_output() -> None:
    """Forget what could not be written, or Python tries again at its end and complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
