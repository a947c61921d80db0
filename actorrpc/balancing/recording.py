"""The format of a recording: what the hubs reported and which connections moved, in lines of JSON.

A line is ``{"t": seconds, "hubs": [...]}``, what the hubs reported at one moment: of each its number ``hub``,
``busy``, ``connections``, ``lag_ms``, and its ``heaviest`` connections and some ``others``, which are objects
with the fields of ConnectionLoad. Or it is ``{"t": seconds, "moved": {...}}``, a move that has ended. These
lines are only for people: in a replay connections move as the policy decides.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from actorrpc.balancing.view import ConnectionLoad, HubLoad
from actorrpc.errors import ConfigError

__all__ = ["Reported", "move_line", "report_line", "reports"]


class Reported(NamedTuple):
    """What the hubs reported ``at`` one moment, in seconds since the recording began."""

    at: float
    hubs: Sequence[HubLoad]


def report_line(at: float, hubs: Iterable[HubLoad]) -> str:
    """Write what the hubs have reported."""
    return _line(at, hubs=[_row_of_hub(hub) for hub in hubs])


def move_line(at: float, connection: str, source: int, target: int, aborted: str) -> str:
    """Write how a move has ended."""
    moved = {"connection": connection, "source": source, "target": target, "aborted": aborted}
    return _line(at, moved=moved)


def reports(path: str) -> Iterator[Reported]:
    """Read what the hubs reported, in order of time.

    An incomplete last line is ignored: the server was killed, or its disk was full. Raises OSError, and
    ConfigError for a line that is not of a recording.
    """
    before = -math.inf
    with Path(path).open("rb") as file:
        number, line = 0, file.readline()
        while line:
            number, this, line = number + 1, line, file.readline()
            try:
                found = json.loads(this.decode())
            except (ValueError, RecursionError) as error:
                if not line:  # it was cut off
                    return
                raise _wrong(path, number, "it is not JSON") from error
            try:
                if "hubs" not in found:
                    continue
                reported = Reported(_number(found["t"]), [_hub(row) for row in found["hubs"]])
            except KeyError as error:
                raise _wrong(path, number, f"{error} is missing") from error
            except (ValueError, TypeError, AttributeError, OverflowError) as error:
                raise _wrong(path, number, "something in it is not what a report has there") from error
            if reported.at <= before:
                times = f"{reported.at:.10g}, is not after {before:.10g}, the one before"
                raise _wrong(path, number, f"its t, {times}")
            before = reported.at
            yield reported


def _line(at: float, **said: Any) -> str:
    return json.dumps({"t": round(at, 3), **said}, separators=(",", ":")) + "\n"


def _row_of_hub(hub: HubLoad) -> dict[str, Any]:
    return {
        "hub": hub.hub,
        "busy": round(hub.busy, 4),
        "connections": hub.connections,
        "lag_ms": round(hub.lag_ms, 3),
        "heaviest": [_row_of(each) for each in hub.heaviest],
        "others": [_row_of(each) for each in hub.others],
    }


def _row_of(connection: ConnectionLoad) -> dict[str, Any]:
    row = asdict(connection)
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()}


def _wrong(path: str, number: int, why: str) -> ConfigError:
    return ConfigError(f"{path}: line {number} is not a line of a recording: {why}")


def _hub(row: dict[str, Any]) -> HubLoad:
    heaviest, others = ([_connection(each) for each in row.get(part, ())] for part in ("heaviest", "others"))
    connections, lag_ms = int(row.get("connections", 0)), _number(row.get("lag_ms", 0))
    return HubLoad(int(row["hub"]), _number(row["busy"]), connections, heaviest, others, lag_ms)


def _connection(row: dict[str, Any]) -> ConnectionLoad:
    """Read one connection. Older recordings do not have all fields."""
    load = _number(row["load"])
    return ConnectionLoad(
        str(row["id"]),
        load,
        max(0.0, _number(row.get("recent", load))),
        int(_number(row.get("state_bytes", 0))),
        _number(row.get("freeze_ms", 0)),
        _number(row.get("age", 0)),
        str(row.get("why") or ""),
        str(row.get("group") or ""),
        _number(row.get("move_ms", 0)),
        bool(row.get("too_heavy")),
    )


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number
