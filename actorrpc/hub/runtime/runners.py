"""Runner greenlets: stacks that handlers run on, kept for the next turn.

A runner is a raw greenlet whose parent is gevent's hub. The hub's callbacks switch into it; where a
handler blocks, or when the work is done, control is back in the callback. An idle connection needs none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

import gevent
from gevent import Timeout
from gevent.monkey import get_original
from greenlet import getcurrent, greenlet

from actorrpc.forks import end_child
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.runtime.living import LIVING

# The thread's own, also in a patched process, where the module has the greenlet's.
get_ident: Callable[[], int] = get_original("_thread", "get_ident")

__all__ = ["Runner", "Runners", "get_ident"]

log = logging.getLogger("actorrpc.hub")

# What C does: a start is inside a bracket already, and pays nothing.
_switch, _throw = greenlet.switch, greenlet.throw

#: Stacks kept for reuse; more than that many handlers at once make new ones, which then go.
_KEEP = 256

#: Each so many seconds half of those that nobody has used meanwhile are given back, except for a few: one
#: takes some 20 kB.
_REST = 5.0
_FEW = 8


class _Leave(Exception):
    """A runner is not needed any more."""


def _leave(runner: Runner) -> None:
    raise _Leave


#: By how much a timer may be early: libuv counts in milliseconds.
_EARLY = 0.001


def _began(timeout: Timeout, now: float) -> float:
    """When a timeout that is due was started, at the latest."""
    return now - (timeout.seconds or 0.0) + _EARLY


class Runner(greenlet):
    """One stack. It does one job after another, and waits in the pool between them."""

    def __init__(self, pool: Runners) -> None:
        super().__init__(parent=pool.hub)
        LIVING.add(self)
        self.pool = pool
        self.job: Callable[[Runner], None] | None = None
        #: Who pays for its job.
        self.part: Part
        #: When a job that had blocked last went on.
        self.resumed = 0.0
        #: When its turn began, and that of the last turn which was told, by an exception, that it is in vain.
        self.since = self.told = 0.0
        #: Its turn is to come to its own end: nothing is raised in it.
        self.shielded = False
        #: What its turn is for, to which what it calls in turn belongs: a call, or a cell, whose hook it is.
        self.turn: Any = None

    def switch(self, *args: Any, **kwargs: Any) -> Any:
        """Go on where the job has blocked: what gevent's loop calls. All of it here, since calls are dear:
        metering takes 1.2 µs of a call that blocks, and took 1.6 with three functions in place of this."""
        if getcurrent() is not self.pool.hub:  # it will not come back here, but to the hub
            return _switch(self, *args, **kwargs)
        part = self.part  # when it comes back, the runner may be another's
        usage = part.usage
        now = self.resumed = monotonic()
        mark = now - usage.meter.charged
        try:
            return _switch(self, *args, **kwargs)
        finally:
            part.spent += usage.spend(mark)

    def throw(self, *args: Any) -> Any:
        """Raise an exception where the job has blocked."""
        now = monotonic()
        if args and isinstance(args[0], Timeout) and _began(args[0], now) < self.since:
            log.warning("a Timeout came for a turn that has ended")
            return None
        if getcurrent() is not self.pool.hub:
            return _throw(self, *args)
        part = self.part
        self.resumed = now
        mark = part.usage.begin(now)
        try:
            return _throw(self, *args)
        finally:
            part.spent += part.usage.spend(mark)

    def run(self) -> None:
        pool = self.pool
        while True:
            job, self.job = self.job, None
            if job is not None:
                try:
                    job(self)
                except _Leave:
                    return
                except BaseException:  # whatever it is, the next job needs this stack
                    log.exception("a turn failed outside of its handler")
                job = None
            if not pool.keep(self):
                return
            # Only a new job ends the wait: not a stray switch from a waiter of an earlier turn, nor a
            # timeout that a handler started and never cancelled.
            while self.job is None:
                try:
                    pool.hub.switch()
                except BaseException as error:
                    log.warning("a %s came for a turn that has ended", type(error).__name__)


class Runners:
    """The pool. Used from the callbacks of one gevent hub."""

    def __init__(self) -> None:
        self.hub = gevent.get_hub()
        #: None in a forked child.
        self.thread: int | None = get_ident()
        self._free: list[Runner] = []
        #: Those that were free when `trim` last looked, and when it looks next.
        self._rested: list[Runner] = []
        self._look_at = 0.0
        self._room = _KEEP
        #: The id of the call, of the connection that is named, whose turn a runner runs, or "".
        self.find_call: Callable[[str, Runner], str] = lambda connection, runner: ""

    def start(self, job: Callable[[Runner], None], part: Part) -> Runner | None:
        """Run ``job(runner)`` until it blocks or ends. Call it in the hub's greenlet only: it is where
        control falls back to when the job blocks. Returns the runner if it has blocked.

        Until then the job is in the caller's bracket, if there is one; what it does later is charged to
        ``part``.
        """
        runner = self._free.pop() if self._free else Runner(self)
        runner.job = job
        runner.part = part
        _switch(runner)
        return None if runner.dead or (self._free and self._free[-1] is runner) else runner

    def interrupt(self, runner: Runner, error: BaseException) -> None:
        """Raise it in a runner's turn, unless that runs, or is shielded, or has been told."""
        here = getcurrent()
        if runner is here or runner.shielded or runner.told == runner.since:
            return
        runner.told = runner.since
        if here is self.hub:
            runner.throw(error)
        else:
            self.hub.loop.run_callback(_throw_later, runner, runner.since, error)

    def check_thread(self) -> None:
        """Raise RuntimeError if the caller runs in another thread."""
        if get_ident() != self.thread:
            if self.thread is None:
                raise RuntimeError(
                    "this process is a child, forked from a hub, and calls and actors are the hub's: give it "
                    "what is for them through a pipe or a queue (docs/guide/processes.md)"
                )
            raise RuntimeError(
                "calls and actors are for the hub's own greenlets, not for other threads: these call stubs "
                "on app.actor(key) (docs/guide/beside_calls.md)"
            )

    def forked(self) -> None:
        """This is a copy in a child of the hub's process, which ends with the job that forked it."""
        self.thread = None
        self._room = 0

    def leave_child(self, error: BaseException | None = None) -> None:
        """End this process if it is a child, forked in a job that has now ended."""
        if self.thread is None:
            end_child(error)

    def keep(self, runner: Runner) -> bool:
        """Take back an idle runner; False if there are enough."""
        if len(self._free) >= self._room:
            self.leave_child()
            return False
        self._free.append(runner)
        return True

    def trim(self) -> None:
        """Give back stacks that have not been needed for a while. Called in the loop, every now and then."""
        now = monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _REST
        # The last to come is the first to go: who has not been used stands where it stood.
        unused = 0
        for before, runner in zip(self._rested, self._free, strict=False):
            if before is not runner:
                break
            unused += 1
        leaving = self._free[: max(unused - _FEW, 0) + 1 >> 1]
        del self._free[: len(leaving)]
        for runner in leaving:
            runner.job = _leave
            _switch(runner)
        self._rested = self._free[:]

    def __repr__(self) -> str:
        return f"<Runners {len(self._free)} free>"


def _throw_later(runner: Runner, since: float, error: BaseException) -> None:
    if runner.since == since and not (runner.shielded or runner.dead):
        runner.throw(error)
