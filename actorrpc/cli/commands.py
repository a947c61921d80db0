"""The command line: its commands, and how what is wrong is told.

Only ``serve`` imports gevent; the rest must start quickly. Exit status 2 says that what was given is wrong,
1 that it was right and could not be done, 3 that the server has stopped since its hubs end again and again.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from actorrpc.balancing.policies import DEFAULT, NAMES
from actorrpc.cli import ask, deploy
from actorrpc.cli.flags import NUMBER, runtime_dir_flag, setting_flags
from actorrpc.cli.simulate import simulate
from actorrpc.config import Config, settings
from actorrpc.errors import ConfigError, TooManyRestarts
from actorrpc.log import escape
from actorrpc.loop.descriptors import fill_standard
from actorrpc.protoc import main as protoc
from actorrpc.supported import system_complaint

__all__ = ["cli", "main"]

#: The exit status of a server that has stopped because its hubs end again and again.
RESTARTS = 3

#: Commands for which it need not be Linux.
_ANYWHERE = ("protoc", "simulate")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and exit. Whatever is wrong is told in one line on standard error, which the
    traceback of an app's or policy's own code follows, indented."""
    try:
        status = cli.main(arguments, prog_name="actorrpc", standalone_mode=False)
    except click.UsageError as error:
        help = f" (see `{error.ctx.command_path} --help`)" if error.ctx is not None else ""
        _fail(f"{error.format_message()}{help}", error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except ConfigError as error:
        _fail(str(error), 2, error.trace)
    except TooManyRestarts as error:
        _fail(str(error), RESTARTS)
    except click.Abort:
        sys.exit(130)
    sys.exit(status)


def _fail(message: str, status: int, trace: str = "") -> None:
    print("actorrpc: error:", " ".join(message.split()), file=sys.stderr)
    for line in trace.splitlines():
        print(f"    {escape(line)}", file=sys.stderr)
    sys.exit(status)


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        try:
            print("actorrpc", version("actorrpc"))
        except PackageNotFoundError:
            print("actorrpc, not installed")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version)
@click.pass_context
def cli(context: click.Context) -> None:
    """Serve standard gRPC from actors, on every core."""
    if context.invoked_subcommand not in _ANYWHERE and (complaint := system_complaint()):
        raise ConfigError(complaint)


@cli.command()
@click.argument("app")
@click.option("--bind", help="HOST:PORT or [IPv6]:PORT.  [default: 127.0.0.1:50051, or systemd's socket]")
@click.option("--hubs", type=int, help="How many hub processes.  [default: usable cores]")
@click.option(
    "--accept",
    type=click.Choice(["reuseport", "acceptor"]),
    help="Who accepts: all hubs, as the kernel shares connections out; or one, which gives each "
    "connection to the least loaded hub.  [default: reuseport; acceptor with systemd's socket]",
)
@click.option(
    "--policy",
    metavar="NAME",
    default=DEFAULT,
    show_default=True,
    help=f"What decides which connections move: {', '.join(NAMES)}, or package.module:Class.",
)
@click.option("--record", metavar="FILE", help="Write what it decides by, for `actorrpc simulate --replay`.")
@runtime_dir_flag
@setting_flags
# For tests that need processes; no help for operators.
@click.option("--move-every", type=NUMBER, default=0, hidden=True)
def serve(app: str, hubs: int | None, **options: Any) -> None:
    """Serve APP, given as package.module:attribute, until stopped.

    Exit status: 0 when it was stopped, 2 when it could not start, 3 when its hubs ended too often
    (--restart-intensity).
    """
    fill_standard()
    from actorrpc.broker.serve import serve, usable_cores
    from actorrpc.log import log_to_stderr, log_uncaught
    from actorrpc.log.stderr import LAST_LINES
    from actorrpc.log.writer import Writer

    log_to_stderr("broker")
    log_uncaught(logging.getLogger("actorrpc.broker"))
    count = usable_cores() if hubs is None else hubs
    # Whoever reads standard output may be gone, or in no hurry, which is no reason not to serve.
    output = Writer(1)

    def on_ready(address: str) -> None:
        output.put(f"ready on {address} ({count} hub{'s' * (count != 1)})\n".encode())

    try:
        config = Config(**{each.name: options.pop(each.name) for each in settings()})
        serve(app, hubs=count, config=config, on_ready=on_ready, **options)
    finally:
        output.flush(LAST_LINES)


cli.add_command(protoc, "protoc")
for _command in (*ask.COMMANDS, *deploy.COMMANDS, simulate):
    cli.add_command(_command)
