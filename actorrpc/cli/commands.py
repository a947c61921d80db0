"""The command line: ``actorrpc serve``, and what asks a running server.

Only ``serve`` imports gevent; the rest must start quickly. Exit status 2 says that what was given is wrong,
1 that it was right and could not be done.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import click

from actorrpc.balancing.policies import DEFAULT, NAMES
from actorrpc.cli.simulate import simulate
from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.loop.descriptors import fill_standard
from actorrpc.pb.admin_pb2 import Reply, Request
from actorrpc.supported import system_complaint

__all__ = ["cli", "main"]

Command = TypeVar("Command", bound=Callable[..., Any])

#: A broker that lives answers in milliseconds, once it has waited two seconds for silent hubs at most.
ANSWER_TIMEOUT = 10.0
MOVE_TIMEOUT = 60.0

#: What a move costs is shown from here on: of less, nobody notices anything.
HEAVY_MOVE_MS = 10

#: Commands for which it need not be Linux.
_ANYWHERE = ("protoc", "simulate")

_CONFIG_HELP = {
    "max_connections": "Connections that one hub serves; more go to others, or wait. 0: no limit.",
    "full_timeout": "Seconds that a client waits while all hubs are full. 0: for ever.",
    "max_concurrent_streams": "Open calls on one connection.",
    "max_receive_message_bytes": "The largest message a client may send.",
    "max_incomplete_bytes": "What incomplete messages of a connection may take together.",
    "max_parsed_bytes": "What the messages that a connection's handlers have may take, parsed. 0: no limit.",
    "max_parsed_hub_bytes": "The same, of all connections of a hub. 0: no limit.",
    "compression": "Take compressed messages, and let handlers send them.",
    "max_send_message_bytes": "The largest message that is sent. 0: no limit.",
    "max_unsent_bytes": "What may wait on one call for the client's window.",
    "max_unsent_connection_bytes": "What may wait on all calls of a connection.",
    "max_header_list_bytes": "The largest header list.",
    "max_identities": "Identities of a connection that have actors at once.",
    "identity_idle": "Seconds without a call after which an identity's actors end. 0: with the connection.",
    "shared_connections": "What becomes of calls without an identity for actors that several clients seem to "
    "share: they are counted, or refused.",
    "max_mailbox": "Messages of a connection that may wait for their turns; then its client waits.",
    "flood_burst": "Microseconds that a client may waste at once (PINGs, resets). 0: no limit.",
    "flood_rate": "Microseconds that a client may waste in each second.",
    "handshake_timeout": "Seconds for a client's preface and SETTINGS. 0: no limit.",
    "keepalive_time": "Seconds of silence after which a client is sent a PING. 0: never.",
    "keepalive_timeout": "Seconds that it has to answer.",
    "permit_keepalive_time": "Seconds that a client must leave between its own PINGs.",
    "permit_keepalive_without_calls": "Let clients without calls send PINGs as often.",
    "max_connection_idle": "Seconds without calls after which a connection is ended. 0: never.",
    "max_connection_age": "Seconds after which a connection is ended. 0: never.",
    "max_connection_age_grace": "Seconds that its calls may then go on. 0: no limit.",
    "max_state_bytes": "The largest snapshot that a connection may travel as.",
    "quiesce_timeout": "Seconds that a move waits for running turns.",
    "max_move_time": "Seconds that a policy's move may stop its two hubs, in all. 0: no limit.",
    "start_timeout": "Seconds that a hub may take to import the app. 0: no limit.",
    "drain_timeout": "Seconds that a stopping hub lets open calls run.",
    "stream_window_bytes": "Flow-control window of a call, at first.",
    "max_stream_window_bytes": "The same, once it has grown.",
    "connection_window_bytes": "Flow-control window of a connection, at first.",
    "max_connection_window_bytes": "The same, once it has grown.",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and exit. Whatever is wrong is told in one line on standard error."""
    try:
        status = cli.main(arguments, prog_name="actorrpc", standalone_mode=False)
    except click.UsageError as error:
        _fail(f"{error.format_message()}{_where_help_is(error)}", error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except ConfigError as error:
        _fail(str(error), 2)
    except click.Abort:
        sys.exit(130)
    sys.exit(status)


def _fail(message: str, status: int) -> None:
    print("actorrpc: error:", " ".join(message.split()), file=sys.stderr)
    sys.exit(status)


def _where_help_is(error: click.UsageError) -> str:
    return f" (see `{error.ctx.command_path} --help`)" if error.ctx is not None else ""


class Failure(click.ClickException):
    """What was asked is right, and cannot be done."""

    exit_code = 1


def seconds(value: str) -> float:
    """Read a time. Raises click.BadParameter for what float() takes and no timer does."""
    try:
        read = float(value)
    except ValueError:
        read = math.nan
    if not (math.isfinite(read) and read >= 0):
        raise click.BadParameter(f"{value!r} is no number of seconds")
    return read


def _option_type(field: Field[Any]) -> Any:
    if choices := field.metadata.get("choices"):
        return click.Choice(choices)
    if isinstance(field.default, bool):
        return bool
    return seconds if isinstance(field.default, float) else click.IntRange(min=0, max=2**32 - 1)


def config_options(command: Command) -> Command:
    """Give a command an option for each field of Config."""
    for field in reversed(fields(Config)):
        flag = f"--{field.name.replace('_', '-')}"
        if field.default is True:
            flag = f"{flag}/--no-{flag[2:]}"
        command = click.option(
            flag,
            type=_option_type(field),
            is_flag=isinstance(field.default, bool),
            default=field.default,
            show_default=True,
            help=_CONFIG_HELP[field.name],
        )(command)
    return command


runtime_dir_option = click.option(
    "--runtime-dir",
    metavar="DIR",
    help="Where the broker and this command find each other.  "
    "[default: $XDG_RUNTIME_DIR/actorrpc or /tmp/actorrpc-UID]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


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
@click.option("--bind", default="127.0.0.1:50051", show_default=True, help="HOST:PORT or [IPv6]:PORT.")
@click.option("--hubs", type=int, help="How many hub processes.  [default: usable cores]")
@click.option(
    "--accept",
    type=click.Choice(["reuseport", "acceptor"]),
    default="reuseport",
    show_default=True,
    help="Who accepts: all hubs, as the kernel shares connections out; or one, which gives each "
    "connection to the least loaded hub.",
)
@click.option(
    "--policy",
    metavar="NAME",
    default=DEFAULT,
    show_default=True,
    help=f"What decides which connections move: {', '.join(NAMES)}, or package.module:Class.",
)
@click.option("--record", metavar="FILE", help="Write what it decides by, for `actorrpc simulate --replay`.")
@runtime_dir_option
@config_options
# For tests that need processes; no help for operators.
@click.option("--move-every", type=click.IntRange(min=0, max=2**32 - 1), default=0, hidden=True)
def serve(
    app: str,
    bind: str,
    hubs: int | None,
    accept: str,
    policy: str,
    record: str | None,
    runtime_dir: str | None,
    move_every: int,
    **limits: Any,
) -> None:
    """Serve APP, given as package.module:attribute, until stopped."""
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
        serve(
            app,
            bind=bind,
            hubs=count,
            accept=accept,
            runtime_dir=runtime_dir,
            config=Config(**limits),
            policy=policy,
            record=record,
            on_ready=on_ready,
            move_every=move_every,
        )
    finally:
        output.flush(LAST_LINES)


@cli.command()
@json_option
@runtime_dir_option
def status(as_json: bool, runtime_dir: str | None) -> None:
    """Show the hubs and how busy they are."""
    reply = _ask(runtime_dir, Request(status=Request.Status()))
    if as_json:
        print(reply.json)
        return
    found = json.loads(reply.json)
    moves, rebalance = found["moves"], found["rebalance"]
    print(f"serving on {found['address']}, broker {found['broker_pid']}")
    print(
        f"moves: {moves['done']} done, {moves['aborted']} aborted, "
        f"pause {moves['pause_ms_p50']} ms (p99 {moves['pause_ms_p99']} ms)"
    )
    print(f"policy {rebalance['policy']}{', paused' if rebalance['paused'] else ''}")
    _print_table(("id", "pid", "generation", "state", "connections", "cpu", "lag_ms"), found["hubs"])
    for hub in found["hubs"]:
        if hub["shared"]["calls"]:
            print(_shared_line(hub["id"], hub["shared"]))


def _shared_line(hub: int, shared: dict[str, Any]) -> str:
    first = _cell(shared["first"])
    return (
        f"hub {hub}: {shared['calls']} calls without an identity, {shared['refused']} of them refused, for "
        f"actors that several clients seem to share ({first}): see docs/operate/proxies.md"
    )


@cli.command()
@json_option
@runtime_dir_option
def connections(as_json: bool, runtime_dir: str | None) -> None:
    """List the connections of all hubs."""
    reply = _ask(runtime_dir, Request(connections=Request.Connections()))
    if as_json:
        print(reply.json)
        return
    columns = ("id", "hub", "peer", "services", "calls", "state_bytes", "cpu", "move_ms", "movable", "why")
    rows = json.loads(reply.json)
    for row in rows:
        cost = row.get("move_ms", 0.0)  # a broker of an older version does not know
        row["move_ms"] = round(cost) if cost >= HEAVY_MOVE_MS else ""
    _print_table(columns, rows)


@cli.command()
@click.argument("connection")
@click.argument("hub", type=click.IntRange(min=0, max=2**32 - 1))
@runtime_dir_option
def move(connection: str, hub: int, runtime_dir: str | None) -> None:
    """Move CONNECTION to HUB, while its client goes on."""
    request = Request(move=Request.Move(connection=connection, hub=hub))
    print(_ask(runtime_dir, request, MOVE_TIMEOUT).done)


@cli.command()
@click.argument("wish", type=click.Choice(["pause", "resume", "now"]))
@runtime_dir_option
def rebalance(wish: str, runtime_dir: str | None) -> None:
    """Pause or resume the moves of the policy, or have it decide now, also while it is paused."""
    request = Request(rebalance=Request.Rebalance(wish=wish.upper()))
    print(_ask(runtime_dir, request).done)


@cli.command()
@click.option(
    "--limit", type=click.IntRange(min=1, max=2**32 - 1), default=100, show_default=True, help="How many."
)
@json_option
@runtime_dir_option
def moves(limit: int, as_json: bool, runtime_dir: str | None) -> None:
    """Show the last decisions to move, and not to move, with their reasons and outcomes."""
    reply = _ask(runtime_dir, Request(moves=Request.Moves(limit=limit)))
    if as_json:
        print(reply.json)
        return
    columns = (
        "at",
        "kind",
        "by",
        "what",
        "source",
        "target",
        "load",
        "outcome",
        "pause_ms",
        "times",
        "reason",
    )
    rows = json.loads(reply.json)
    for row in rows:
        row["reason"] = "; ".join(filter(None, (row["reason"], row["why"])))
        row["load"] = round(row["load"], 3)
    _print_table(columns, rows)


@cli.command()
@runtime_dir_option
def stop(runtime_dir: str | None) -> None:
    """Stop the server, and wait until it has stopped.

    Where the broker is dead, the hubs that it has left are stopped.
    """
    from actorrpc.broker.admin.ask import NoAnswer
    from actorrpc.broker.admin.ask import stop as stop_all
    from actorrpc.broker.runtime_dir import RuntimeDir

    try:
        print(stop_all(RuntimeDir(runtime_dir)))
    except NoAnswer as error:
        raise Failure(str(error)) from error


cli.add_command(simulate)


@cli.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def protoc(arguments: tuple[str, ...]) -> Any:
    """Generate Python code from .proto files."""
    from actorrpc.protoc import main as protoc

    return protoc.main(arguments, prog_name="actorrpc protoc", standalone_mode=False)


def _ask(runtime_dir: str | None, request: Request, timeout: float = ANSWER_TIMEOUT) -> Reply:
    """Return the broker's answer, after its warnings. Raises what ends the command if it is an error."""
    from actorrpc.broker.admin.ask import NoAnswer, ask
    from actorrpc.broker.runtime_dir import RuntimeDir

    try:
        reply = ask(RuntimeDir(runtime_dir), request, timeout)
    except NoAnswer as error:
        raise Failure(str(error)) from error
    for warning in reply.warnings:
        print("actorrpc: warning:", warning, file=sys.stderr)
    if reply.error:
        raise ConfigError(reply.error) if reply.bad_request else Failure(reply.error)
    return reply


def _print_table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    lines = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


#: A cell of a table is no wider.
_WIDEST_CELL = 200


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(value)
    text = "-" if value is None else str(value)
    # Some of it was chosen by clients: it shall not steer the terminal, nor look like another row.
    return "".join(each if each.isprintable() else "\ufffd" for each in text)[:_WIDEST_CELL]
