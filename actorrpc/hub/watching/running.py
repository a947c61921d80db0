"""What a stack is: which turn of which service it runs, for which connection.

That is read from the local variables of our own functions on it, so that no turn pays for being found. These
functions end with the turn, since what has been read of a frame is kept with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from types import CodeType, FrameType
from typing import Any, NamedTuple

from actorrpc.hub.actors.call_turns import CallTurns
from actorrpc.hub.actors.cell import Cell
from actorrpc.hub.calls.variables import run_as_turn
from actorrpc.hub.runtime.runners import Runner

__all__ = ["NOTHING", "Running", "frames_of", "running"]


class Running(NamedTuple):
    """What of the app's runs, such as ``shapes.Stateful/Unary``, and for which connection."""

    what: str
    connection: str
    #: What it runs on; None where that is not known.
    runner: Runner | None = None

    def __bool__(self) -> bool:
        return bool(self.what)


NOTHING = Running("", "")


def frames_of(innermost: FrameType | None) -> Iterator[FrameType]:
    """All frames of a stack, the innermost first."""
    frame = innermost
    while frame is not None:
        yield frame
        frame = frame.f_back


def running(innermost: FrameType | None) -> Running:
    """What runs on a stack; ``NOTHING`` where it is no turn, or one that has not come to the app's code."""
    for frame in islice(frames_of(innermost), 1, None):
        tell = _TELLING.get(frame.f_code)
        if tell is not None:
            return tell(frame.f_locals)
    return NOTHING


# Each of these functions says when its turn began, before it calls the app's code.


def _call_turn(found: dict[str, Any]) -> Running:
    return Running(found["call"].method.lstrip("/"), found["self"].stage_id, found["runner"])


def _hook(found: dict[str, Any]) -> Running:
    cell: Cell = found["self"]
    runner = found.get("runner")
    return Running(
        f"{found['name']} of {cell.name}", cell.stage_id, runner if isinstance(runner, Runner) else None
    )


def _hooks_of_call(found: dict[str, Any]) -> Running:
    runner: Runner = found["runner"]
    return Running(f"interceptors of {found['call'].method.lstrip('/')}", runner.part.usage.id, runner)


#: By the code of a function that is on the stack of each turn: what its local variables tell.
_TELLING: dict[CodeType, Callable[[dict[str, Any]], Running]] = {
    CallTurns._call_turn.__code__: _call_turn,
    Cell._as_hook.__code__: _hook,
    run_as_turn.__code__: _hooks_of_call,
}
