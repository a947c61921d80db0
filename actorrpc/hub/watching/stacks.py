"""What `actorrpc stacks` shows: what the greenlets of a hub do, and its threads, those that do the same
together."""

from __future__ import annotations

import sys
from itertools import islice
from time import monotonic
from types import FrameType
from typing import Any

from greenlet import greenlet

from actorrpc.hub.runtime.living import LIVING, Living
from actorrpc.hub.runtime.runners import Runner, get_ident
from actorrpc.hub.watching.running import NOTHING, Running, frames_of, running
from actorrpc.pb import control_pb2
from actorrpc.pb.control_pb2 import Stack

__all__ = ["list_stacks"]

#: How long the others wait while some greenlets are looked at, in seconds.
LISTING = 0.002

#: So many connections are named of those for which the same is done.
EXAMPLES = 10

#: Places of a stack that are shown, the innermost ones: a recursion may have a thousand.
DEEPEST = 100

_GREENLET, _THREAD = Stack.GREENLET, Stack.THREAD


def list_stacks(after: int, living: Living = LIVING) -> control_pb2.Stacks:
    """What the greenlets behind a place do, 0 for all: as many as ``LISTING`` seconds allow. ``more`` is the
    place to go on from; the last page has the threads too. To be called in the loop's thread."""
    page = _Page()
    until = monotonic() + LISTING
    for place, one in living.after(after):
        if one and not _is_idle(one):
            page.add(_GREENLET, one.gr_frame, running(one.gr_frame) or Running(_function(one), ""))
        after = place
        if monotonic() > until:
            return page.message(after)
    for thread, frame in sys._current_frames().items():
        if thread != get_ident():  # which does this
            page.add(_THREAD, frame, NOTHING)
    return page.message(0)


class _Page:
    """Stacks, each once."""

    def __init__(self) -> None:
        self._found: dict[Any, Stack] = {}

    def add(self, kind: Stack.Kind, innermost: FrameType | None, runs: Running) -> None:
        """One more."""
        frames = list(islice(frames_of(innermost), DEEPEST))
        key = (kind, runs.what, *((each.f_code, each.f_lineno) for each in frames))
        if (stack := self._found.get(key)) is None:
            stack = self._found[key] = Stack(kind=kind, runs=runs.what, frames=map(_place, reversed(frames)))
        stack.count += 1
        if runs.connection and len(stack.connections) < EXAMPLES and runs.connection not in stack.connections:
            stack.connections.append(runs.connection)

    def message(self, more: int) -> control_pb2.Stacks:
        return control_pb2.Stacks(stacks=self._found.values(), more=more)


def _is_idle(one: greenlet) -> bool:
    """Whether it is a runner that waits for work."""
    frame = one.gr_frame
    return frame is not None and frame.f_code is Runner.run.__code__


def _function(one: greenlet) -> str:
    """What a greenlet of the app's own was spawned with: of one that waits in C nothing else is seen."""
    function = getattr(one, "_run", None)
    return str(getattr(function, "__qualname__", type(function).__name__)) if function is not None else ""


def _place(frame: FrameType) -> control_pb2.Frame:
    code = frame.f_code
    return control_pb2.Frame(file=code.co_filename, line=frame.f_lineno or 0, function=code.co_name)
