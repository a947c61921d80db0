"""``actorrpc why``: one connection or keyed actor in a paragraph."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import click

from actorrpc.cli.ask import ask_broker
from actorrpc.cli.flags import json_flag, runtime_dir_flag
from actorrpc.cli.tables import cell
from actorrpc.pb.admin_pb2 import Request

__all__ = ["paragraph", "why"]

#: How wide the paragraph is, at least and at most.
_NARROW, _WIDE = 40, 100
#: A connection that no hub has is looked for, and hubs may be slow.
_TIMEOUT = 30.0


@click.command(
    epilog="""\b
Examples:
  actorrpc why 0-1001-17
  actorrpc why chat.Room lobby
"""
)
@click.argument("name", nargs=-1, required=True, metavar="CONNECTION | SERVICE KEY")
@json_flag
@runtime_dir_flag
def why(name: tuple[str, ...], as_json: bool, runtime_dir: str | None) -> None:
    """Say where CONNECTION is, or the keyed actor of SERVICE and KEY, what keeps it there, what it costs, and
    where it has been."""
    if len(name) > 2:
        given = " ".join(name)
        raise click.UsageError(f"give one connection, or a service and a key, and not {given!r}")
    reply = ask_broker(runtime_dir, Request(why=Request.Why(name="/".join(name))), _TIMEOUT)
    if as_json:
        print(reply.json)
    else:
        width = min(max(shutil.get_terminal_size().columns, _NARROW), _WIDE)
        text = paragraph(json.loads(reply.json))
        print(textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False))


def paragraph(row: Mapping[str, Any]) -> str:
    """What ``actorrpc why --json`` has, in sentences."""
    return " ".join((*_where(row), *_stays(row), *_costs(row), "".join(_been(row))))


def _where(row: Mapping[str, Any]) -> Iterator[str]:
    silent = f", and {row['hub_state']}" if row["hub_state"] != "serving" else ""
    on = f"is on hub {row['hub']} (generation {row['generation']}, pid {row['pid']}{silent})"
    calls = _many(row["calls"], "open call")
    if row["kind"] == "actor":
        idle = f", idle for {_time(row['idle'])}" if not row["calls"] else ""
        yield f"Actor {cell(row['key'])} of {cell(row['service'])} {on}, with {calls}{idle}."
    else:
        services = f", with actors of {cell(row['services'])}" if row["services"] else ""
        peer = f" from {cell(row['peer'])}" if row["peer"] else ""
        yield f"Connection {row['id']}{peer} {on}{services}, with {calls}."


def _stays(row: Mapping[str, Any]) -> Iterator[str]:
    running = f", for {_time(row['running'])}" if row["running"] else ""
    if not row["movable"]:
        yield f"It cannot move now: {cell(row['why'])}{running}."
    elif row["why"]:
        yield f"It can move by hand; {cell(row['why'])}."
    else:
        stays = f" The balancer ({row['policy']}): {cell(row['stays'])}." if row["stays"] else ""
        yield f"Nothing keeps it from moving.{stays}"


def _costs(row: Mapping[str, Any]) -> Iterator[str]:
    rank = f"number {row['rank']} of the {row['of']} on its hub"
    if row["of"] == 1:
        rank = "the only one on its hub"
    elif not row["rank"]:
        rank = f"too little for a place among the {row['of']} on its hub"
    elif row["rank"] == 1:
        rank = f"the most of the {row['of']} on its hub"
    yield f"It takes {row['load']:.1%} of a core ({row['recent']:.1%} in the last second), {rank};"
    stop = f"a move would stop its two hubs for {row['move_ms']:.1f} ms in all"
    yield f"its states have {_size(row['state_bytes'])}, and {stop}."


def _been(row: Mapping[str, Any]) -> Iterator[str]:
    begun = "activated" if row["kind"] == "actor" else "accepted"
    times = {0: "not moved", 1: "moved once", 2: "moved twice"}.get(
        row["moved"], f"moved {row['moved']} times"
    )
    yield f"It was {begun} {_time(row['age'])} ago and has {times}{'' if row['moves'] else '.'}"
    if row["moves"]:
        known = sum(past["outcome"] == "moved" for past in row["moves"])
        last = ", of late" if known < row["moved"] else ""
        yield f"{last}: {'; '.join(map(_attempt, row['moves']))}."
    elif row["moved"]:
        yield " When, and from where, this broker does not know."


def _attempt(past: Mapping[str, Any]) -> str:
    same = past["source"] == past["target"]
    to = "its next process" if same else f"hub {past['target']}"
    way = f"from hub {past['source']} to {to}"
    who = past["reason"] if past["by"] == "asked for" else f"{past['by']}: {past['reason']}"
    who = f", {cell(who)}" if who else ""
    at = past["at"][:19].replace("T", " ")
    if past["outcome"] == "moved":
        return f"at {at} UTC {way}{who}, with a pause of {past['pause_ms']:.1f} ms"
    times = f" ({past['times']} times)" if past["times"] > 1 else ""
    return f"at {at} UTC not {way}{times}{who}: {cell(past['why'])}"


def _many(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'s' * (count != 1)}"


def _size(count: int) -> str:
    for unit, size in (("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return _many(count, "byte")


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
