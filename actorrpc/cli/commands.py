"""The command line: its commands, and how what is wrong is told.

Only ``serve`` imports gevent; the rest must start quickly. docs/operate/exits.md has the table of exit
statuses.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

import click

from actorrpc.cli import ask, deploy
from actorrpc.cli.flags import NUMBER, setting_flags, typed
from actorrpc.cli.output import is_of_output, written
from actorrpc.cli.simulate import simulate
from actorrpc.cli.tls import tls
from actorrpc.cli.top.command import top
from actorrpc.cli.why import why
from actorrpc.errors import ConfigError, TooManyRestarts
from actorrpc.log import escape
from actorrpc.loop.descriptors import fill_standard
from actorrpc.protoc import main as protoc
from actorrpc.serve_options import Sources, config_of, config_read_again, serving_of
from actorrpc.supported import system_complaint
from actorrpc.titles import Title

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
    except ask.Failure as error:
        _fail(error.format_message(), error.exit_code, error.trace)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except ConfigError as error:
        _fail(str(error), 2, error.trace)
    except TooManyRestarts as error:
        _fail(str(error), RESTARTS)
    except click.Abort:
        sys.exit(130)
    except OSError as error:
        if not is_of_output(error):
            raise
        _end_unread(error)
    if (unwritten := written()) is not None:
        _end_unread(unwritten)
    sys.exit(status)


def _end_unread(error: OSError) -> NoReturn:
    written()
    if isinstance(error, BrokenPipeError):  # such as `head`, which has read enough
        sys.exit(1)
    _fail(f"cannot write to standard output: {error.strerror}", 1)


def _fail(message: str, status: int, trace: str = "") -> NoReturn:
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


#: What a command's exit status says; docs/operate/exits.md says more.
_STATUSES = """\b
Exit status:
  0    done
  1    right, and could not be done
  2    wrong: words, options, a file, the environment
  130  interrupted (Ctrl-C)
"""
_SERVE_STATUSES = """\b
Exit status:
  0  stopped, by SIGTERM, SIGINT or `actorrpc stop`
  1  the broker has failed
  2  it cannot start: options, address, runtime directory, or an app that
     does not come up; a line on standard error says why
  3  its hubs ended more often than --restart-intensity allows
"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False, epilog=_STATUSES
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version)
@click.pass_context
def cli(context: click.Context) -> None:
    """Serve standard gRPC from actors, on every core."""
    if context.invoked_subcommand not in _ANYWHERE and (complaint := system_complaint()):
        raise ConfigError(complaint)


@cli.command(epilog=_SERVE_STATUSES)
@click.argument("app")
@setting_flags
# For tests that need processes; no help for operators.
@click.option("--move-every", type=NUMBER, default=0, hidden=True)
@click.pass_context
def serve(context: click.Context, /, app: str, move_every: int, **_: Any) -> None:
    """Serve APP, given as package.module:attribute, until stopped.

    Each option may also stand in a file, see --config, or in the environment: --max-connections as
    ACTORRPC_MAX_CONNECTIONS. The command line comes before the environment, and that before the file.
    """
    fill_standard()
    from actorrpc.broker.serve import serve, usable_cores
    from actorrpc.log import log_as_told, log_otherwise, log_uncaught
    from actorrpc.log.stderr import LAST_LINES
    from actorrpc.log.writer import Writer

    sources = Sources(typed(context), dict(os.environ))
    options = sources.read()
    config, serving = config_of(options), serving_of(options)
    log_as_told("broker", config.log_level, config.log_format)
    log_uncaught(logging.getLogger("actorrpc.broker"))
    title = Title("broker")
    count = serving.hubs or usable_cores()
    there: list[int] = []
    addresses: list[tuple[str, bool]] = []
    # Whoever reads standard output may be gone, or in no hurry, which is no reason not to serve.
    output = Writer(1)

    def on_ready(address: str) -> None:
        title.show(f" {address}")
        hubs = there[0] if there else count
        for each, secure in addresses or [(address, False)]:
            output.put(f"ready on {each} ({hubs} hub{'s' * (hubs != 1)}){' (TLS)' * secure}\n".encode())

    try:
        serve(
            app,
            bind=serving.bind,
            tls_bind=serving.tls_bind,
            unix_mode=serving.mode,
            hubs=count,
            accept=serving.accept,
            runtime_dir=serving.runtime_dir,
            config=config,
            policy=serving.policy,
            record=serving.record,
            on_ready=on_ready,
            on_hubs=there.append,
            on_addresses=addresses.extend,
            reload=serving.reload,
            takeover=serving.takeover,
            read_again=lambda: config_read_again(options, sources.read()),
            on_config=lambda config: log_otherwise("broker", config.log_level, config.log_format),
            move_every=move_every,
        )
    finally:
        output.flush(LAST_LINES)


cli.add_command(protoc, "protoc")
for _command in (*ask.COMMANDS, why, top, *deploy.COMMANDS, tls, simulate):
    cli.add_command(_command)
