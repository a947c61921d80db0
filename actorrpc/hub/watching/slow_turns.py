"""``SlowTurns``: logs turns that hold the loop for too long, with their stacks as they were meanwhile.

A thread of the operating system's looks, since the loop cannot. It needs the interpreter's lock for that: it
sees a blocking call that releases the lock while it blocks, and one that does not once it is over. What it
has seen is logged in the loop, when that comes round.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from types import FrameType
from typing import Any

from gevent import get_hub
from gevent.monkey import get_original

from actorrpc.hub.phase import label
from actorrpc.hub.runtime.runners import Runner, get_ident
from actorrpc.hub.watching.running import Running, frames_of, running
from actorrpc.log import about

__all__ = ["Seen", "SlowTurns"]

log = logging.getLogger("actorrpc.hub")

_start_thread: Callable[..., Any] = get_original("_thread", "start_new_thread")
_allocate_lock: Callable[[], Any] = get_original("_thread", "allocate_lock")

#: How often to look, in parts of the time that is too long.
_LOOKS = 4
_SHORTEST = 0.001
#: Lines of a stack that are shown, the innermost ones.
_LINES = 30
#: What is told where the stack was not read in time.
_ENDED = "(it ended before its stack was read)\n"


@dataclass
class Seen:
    """A turn that holds the loop, or has held it."""

    running: Running
    #: What its runner says of when the turn began, or had last waited, on the monotonic clock; and a time
    #: before which it cannot have.
    since: float
    earliest: float
    #: For how long it has been seen to hold the loop.
    seconds: float = 0.0
    #: Where it was when that was too long.
    stack: str = ""


class SlowTurns:
    """Looks at the turns of this thread's loop, until ``close``."""

    def __init__(self, slow: float) -> None:
        self._slow = slow
        self._pause = max(slow / _LOOKS, _SHORTEST)
        self._thread = get_ident()
        self._looked = monotonic()
        #: What the loop has to log.
        self._found: deque[Seen] = deque()
        self._told: Any = get_hub().loop.async_()
        self._told.start(self._log_all)
        #: Held until the thread is to end.
        self._going_on = _allocate_lock()
        self._going_on.acquire()
        self._ended = _allocate_lock()
        self._ended.acquire()
        _start_thread(self._run, ())

    def _run(self) -> None:
        seen: Seen | None = None
        pause = self._pause
        try:
            while not self._going_on.acquire(True, pause):
                seen = self._look(seen)
                pause = self._pause
                if seen is not None and not seen.stack:  # look again as soon as it is slow
                    pause = min(max(self._slow - seen.seconds, _SHORTEST), pause)
        finally:
            self._ended.release()

    def _look(self, last: Seen | None) -> Seen | None:
        """The turn that holds the loop now; ``last``: the one that did when it was last looked."""
        frame = sys._current_frames().get(self._thread)
        before, self._looked = self._looked, monotonic()
        what = running(frame)
        if (runner := what.runner) is None:
            return None
        since = _since(runner)
        if last is None or last.running.runner is not runner or last.since != since:
            last = Seen(what, since, before)
        last.seconds = self._looked - max(since, last.earliest)
        if last.seconds >= self._slow and not last.stack:
            places = _places(frame)
            # It may have ended just now, while this thread had not the interpreter's lock: then these are
            # the places of what came after.
            last.stack = _text(places) if _since(runner) == since else _ENDED
            self._found.append(last)
            self._told.send()
        return last

    def _log_all(self) -> None:
        while self._found:
            seen = self._found.popleft()
            log.warning(
                "a slow turn: %s held the loop for %.2f s or more, on %s",
                seen.running.what,
                seen.seconds,
                label(seen.running.connection),
                extra=about(seen.running.what) | {"detail": seen.stack},
            )

    def close(self) -> None:
        """Look no more; returns when the thread has nothing of the loop's."""
        self._going_on.release()
        self._ended.acquire()
        self._told.close()

    def __repr__(self) -> str:
        return f"<SlowTurns over {self._slow:g} s, {len(self._found)} to tell>"


def _since(runner: Runner) -> float:
    """When its turn began, or went on after it had waited."""
    return max(runner.since, runner.resumed)


def _places(innermost: FrameType | None) -> list[tuple[FrameType, int]]:
    """Where a stack is, or its innermost part if it is deep; the outermost first. That is read at once, since
    the stack goes on while it is made a text: source files are read for that."""
    return [(each, each.f_lineno) for each in islice(frames_of(innermost), _LINES)][::-1]


def _text(places: list[tuple[FrameType, int]]) -> str:
    """A stack as tracebacks show it."""
    return "".join(traceback.StackSummary.extract(iter(places), lookup_lines=False).format())
