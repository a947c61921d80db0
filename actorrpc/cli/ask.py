"""``status``, ``connections``, ``actors``, ``moves``, ``move``, ``rebalance`` and ``stop``: commands that ask
a running server, and print its answer. They must start quickly, without gevent.

What belongs to the broker is imported late: other commands run where there is no Linux, and no ``fcntl``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from actorrpc.cli.flags import NUMBER, json_flag, runtime_dir_flag
from actorrpc.cli.stacks import print_stacks
from actorrpc.cli.tables import cell, print_table
from actorrpc.errors import ConfigError
from actorrpc.pb.admin_pb2 import Reply, Request

__all__ = ["COMMANDS", "Failure", "ask_broker"]

#: A broker that lives answers in milliseconds, once it has waited two seconds for silent hubs at most.
ANSWER_TIMEOUT = 10.0
MOVE_TIMEOUT = 60.0
STACKS_TIMEOUT = 60.0

#: What a move costs is shown from here on: of less, nobody notices anything.
HEAVY_MOVE_MS = 10

_HUBS = ("id", "pid", "generation", "serial", "state", "connections", "cpu", "lag_ms")
_CONNECTIONS = ("id", "hub", "peer", "services", "calls", "state_bytes", "cpu", "move_ms", "movable", "why")
_ACTORS = ("service", "key", "hub", "calls", "state_bytes", "load", "move_ms", "movable", "why", "idle")
_MOVES = (
    "at", "kind", "by", "what", "source", "target", "load", "outcome", "pause_ms", "times", "reason",
)  # fmt: skip


class Failure(click.ClickException):
    """What was asked is right, and cannot be done. ``trace``: as in ConfigError."""

    exit_code = 1

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


def ask_broker(runtime_dir: str | None, request: Request, timeout: float = ANSWER_TIMEOUT) -> Reply:
    """Return the broker's answer, after its warnings. Raises what ends the command if it is an error."""
    from actorrpc.broker.admin.ask import NoAnswer, ask
    from actorrpc.broker.host.runtime_dir import RuntimeDir

    try:
        reply = ask(RuntimeDir(runtime_dir), request, timeout)
    except NoAnswer as error:
        raise Failure(str(error)) from error
    for warning in reply.warnings:
        print("actorrpc: warning:", warning, file=sys.stderr)
    if reply.error:
        raise ConfigError(reply.error) if reply.bad_request else Failure(reply.error)
    return reply


@click.command()
@json_flag
@runtime_dir_flag
def status(as_json: bool, runtime_dir: str | None) -> None:
    """Show the hubs and how busy they are."""
    reply = ask_broker(runtime_dir, Request(status=Request.Status()))
    if as_json:
        print(reply.json)
        return
    found = json.loads(reply.json)
    moves, rebalance = found["moves"], found["rebalance"]
    addresses = [each["address"] + " (TLS)" * each["tls"] for each in found.get("addresses", ())]
    addresses = addresses or [found["address"]]
    print(f"serving on {' and '.join(addresses)}, broker {found['broker_pid']}")
    print(
        f"moves: {moves['done']} done, {moves['aborted']} aborted, "
        f"pause {moves['pause_ms_p50']} ms (p99 {moves['pause_ms_p99']} ms)"
    )
    print(f"policy {rebalance['policy']}{', paused' if rebalance['paused'] else ''}")
    print_table(_HUBS, found["hubs"])
    for hub in found["hubs"]:
        if hub["shared"]["calls"]:
            print(_shared_line(hub["id"], hub["shared"]))


def _shared_line(hub: int, shared: dict[str, Any]) -> str:
    return (
        f"hub {hub}: {shared['calls']} calls without an identity, {shared['refused']} of them refused, for "
        f"actors that several clients seem to share ({cell(shared['first'])}): see docs/operate/proxies.md"
    )


@click.command()
@json_flag
@runtime_dir_flag
def connections(as_json: bool, runtime_dir: str | None) -> None:
    """List the connections of all hubs."""
    reply = ask_broker(runtime_dir, Request(connections=Request.Connections()))
    if as_json:
        print(reply.json)
        return
    rows = json.loads(reply.json)
    for row in rows:
        cost = row.get("move_ms", 0.0)  # a broker of an older version does not know
        row["move_ms"] = round(cost) if cost >= HEAVY_MOVE_MS else ""
        row["why"] += f" for {row['running']} s" if row.get("running") else ""
    print_table(_CONNECTIONS, rows)


@click.command()
@json_flag
@runtime_dir_flag
def actors(as_json: bool, runtime_dir: str | None) -> None:
    """List the keyed actors of all hubs. `actorrpc move` knows them as SERVICE/KEY."""
    reply = ask_broker(runtime_dir, Request(actors=Request.Actors()))
    if as_json:
        print(reply.json)
        return
    rows = json.loads(reply.json)
    for row in rows:
        row["move_ms"] = round(row["move_ms"]) if row["move_ms"] >= HEAVY_MOVE_MS else ""
        row["why"] += f" for {row['running']} s" if row["running"] else ""
    print_table(_ACTORS, rows)


@click.command()
@click.option("--limit", type=click.IntRange(1, NUMBER.max), default=100, show_default=True, help="How many.")
@json_flag
@runtime_dir_flag
def moves(limit: int, as_json: bool, runtime_dir: str | None) -> None:
    """Show the last decisions to move, and not to move, with their reasons and outcomes."""
    reply = ask_broker(runtime_dir, Request(moves=Request.Moves(limit=limit)))
    if as_json:
        print(reply.json)
        return
    rows = json.loads(reply.json)
    for row in rows:
        row["reason"] = "; ".join(filter(None, (row["reason"], row["why"])))
        row["load"] = round(row["load"], 3)
    print_table(_MOVES, rows)


@click.command()
@click.argument("connection")
@click.argument("hub", type=NUMBER)
@runtime_dir_flag
def move(connection: str, hub: int, runtime_dir: str | None) -> None:
    """Move CONNECTION to HUB, while its client goes on; or a keyed actor, as SERVICE/KEY."""
    request = Request(move=Request.Move(connection=connection, hub=hub))
    print(ask_broker(runtime_dir, request, MOVE_TIMEOUT).done)


@click.command("stacks")
@click.argument("hub", type=NUMBER)
@json_flag
@runtime_dir_flag
def show_stacks(hub: int, as_json: bool, runtime_dir: str | None) -> None:
    """Show what all greenlets of HUB do now, and its threads; those that do the same, together.

    Where the hub does not answer, since a handler holds it, what holds it is shown.
    """
    reply = ask_broker(runtime_dir, Request(stacks=Request.Stacks(hub=hub)), STACKS_TIMEOUT)
    if as_json:
        print(reply.json)
    else:
        print_stacks(json.loads(reply.json))


@click.command()
@click.argument("wish", type=click.Choice(["pause", "resume", "now"]))
@runtime_dir_flag
def rebalance(wish: str, runtime_dir: str | None) -> None:
    """Pause or resume the moves of the policy, or have it decide now, also while it is paused."""
    request = Request(rebalance=Request.Rebalance(wish=wish.upper()))
    print(ask_broker(runtime_dir, request).done)


@click.command()
@click.option(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    help="For this stop: how many seconds open calls may go on.",
)
@runtime_dir_flag
def stop(drain_timeout: float | None, runtime_dir: str | None) -> None:
    """Stop the server, and wait until it has stopped.

    Clients are told to go, and open calls may go on for a while. Where the broker is dead, the hubs that it
    has left are stopped.
    """
    from actorrpc.broker.admin import ask
    from actorrpc.broker.host.runtime_dir import RuntimeDir

    try:
        print(ask.stop(RuntimeDir(runtime_dir), drain_timeout))
    except ask.NoAnswer as error:
        raise Failure(str(error)) from error


COMMANDS: tuple[click.Command, ...] = (status, connections, actors, moves, move, rebalance, show_stacks, stop)
