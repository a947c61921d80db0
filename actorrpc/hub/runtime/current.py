"""Which call's turn runs: for lines of the log, of which an app and its libraries write most in turns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from greenlet import getcurrent

from actorrpc.hub.runtime.runners import Runner, Runners
from actorrpc.log import find_ids_by

__all__ = ["Connected", "know_calls", "running"]


class Connected(Protocol):
    """A connection, as it is looked through."""

    @property
    def calls(self) -> Mapping[int, Any]: ...


def know_calls(runners: Runners, connections: Mapping[str, Connected]) -> None:
    """Have lines that are logged on these runners name the connection and the call, if it is one of those."""
    runners.find_call = partial(_call_of, connections)
    find_ids_by(running)


def running() -> dict[str, str]:
    """The ids of the connection and the call for which the current greenlet runs a turn, as far as it does.

    They are looked for only here, so that no turn has to note anything.
    """
    runner = getcurrent()
    if type(runner) is not Runner:
        return {}
    connection = runner.part.usage.id
    call = runner.pool.find_call(connection, runner)
    return {"connection": connection} | ({"call": call} if call else {})


def _call_of(connections: Mapping[str, Connected], id: str, runner: Runner) -> str:
    """The id of the call of which the runner runs a turn; empty: it is none's."""
    connection = connections.get(id)
    calls = connection.calls.values() if connection is not None else ()
    return next((call.id for call in calls if call.runner is runner), "")
