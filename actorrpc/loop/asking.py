"""``Asking``: what other threads have a loop do, in the order in which they ask for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from actorrpc.loop.wakeup import WakeUp, make_lock

__all__ = ["Asking"]


class Asking:
    """Belongs to the thread that runs ``loop``, where ``close`` is called, too. ``gone()`` is what is raised
    in those who ask once it is closed."""

    def __init__(self, loop: Any, gone: Callable[[], BaseException]) -> None:
        self._loop = loop
        self._gone = gone
        #: What is asked for, held by ``_looking``; none is taken once it is closed.
        self._asked: deque[_Asked] = deque()
        self._looking = make_lock()
        self.closed = False

    def post(self, function: Callable[[], object]) -> None:
        """Have the loop call a function, which raises nothing, and do not wait for that."""
        self._add(_Asked(function, None))

    def ask(self, function: Callable[[], object]) -> None:
        """Have the loop call a function, and wait for it. Raises what it raises."""
        asked = _Asked(function, WakeUp())
        try:
            self._add(asked)
            asked.wait()
        finally:
            with self._looking:
                asked.leave()
        if asked.error is not None:
            raise asked.error

    def _add(self, asked: _Asked) -> None:
        with self._looking:  # the loop lives as long as this is not closed
            if self.closed:
                raise self._gone()
            self._asked.append(asked)
            if len(self._asked) == 1:
                self._loop.run_callback_threadsafe(self._answer)

    def _answer(self) -> None:
        with self._looking:
            waiting = [*self._asked]
            self._asked.clear()
        for asked in waiting:
            if asked.waits:
                asked.call()
            with self._looking:
                asked.wake()

    def close(self) -> None:
        """Take nothing more. What was asked for before is called now."""
        with self._looking:
            self.closed = True
        self._answer()

    def forked(self) -> None:
        """This process is a child of the loop's: nothing will run, and whoever held the lock is not here."""
        self.closed = True
        self._looking = make_lock()
        self._asked.clear()

    def __repr__(self) -> str:
        return f"<Asking {'closed' if self.closed else 'open'}, {len(self._asked)} asked>"


class _Asked:
    """What another thread asks for, and who waits there, if anybody does."""

    __slots__ = ("_function", "_wakeup", "error", "waits")

    def __init__(self, function: Callable[[], object], wakeup: WakeUp | None) -> None:
        self._function = function
        self._wakeup = wakeup
        #: Whether it is still wanted.
        self.waits = True
        self.error: BaseException | None = None

    def call(self) -> None:
        try:
            self._function()
        except BaseException as error:
            self.error = error

    def wait(self) -> None:
        assert self._wakeup is not None
        self._wakeup.wait()

    def wake(self) -> None:
        if self.waits and self._wakeup is not None:
            self._wakeup.wake()

    def leave(self) -> None:
        """Nobody waits any more. Called where it was waited for."""
        self.waits = False
        if self._wakeup is not None:
            self._wakeup.close()
