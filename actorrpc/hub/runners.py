"""Runner greenlets: stacks that handlers run on, kept for the next turn.

A runner is a raw greenlet whose parent is gevent's hub. The hub's callbacks switch into it; where a
handler blocks, or when the work is done, control is back in the callback. An idle connection needs none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent.monkey import get_original
from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from actorrpc.hub.metering import Part

# The thread's own, also in a patched process, where the module has the greenlet's.
get_ident: Callable[[], int] = get_original("_thread", "get_ident")

__all__ = ["Runner", "Runners", "get_ident"]

log = logging.getLogger("actorrpc.hub")

# What C does: a start is inside a bracket already, and pays nothing.
_switch, _throw = greenlet.switch, greenlet.throw

#: Stacks kept for reuse; more than that many handlers at once make new ones, which then go.
_KEEP = 256


class Runner(greenlet):
    """One stack. It does one job after another, and waits in the pool between them."""

    def __init__(self, pool: Runners) -> None:
        super().__init__(parent=pool.hub)
        self._pool = pool
        self.job: Callable[[Runner], None] | None = None
        #: Who pays for its job.
        self.part: Part

    def switch(self, *args: Any, **kwargs: Any) -> Any:
        """Go on where the job has blocked: what gevent's loop calls. All of it here, since calls are dear:
        metering takes 1.2 µs of a call that blocks, and took 1.6 with three functions in place of this."""
        if getcurrent() is not self._pool.hub:  # it will not come back here, but to the hub
            return _switch(self, *args, **kwargs)
        part = self.part  # when it comes back, the runner may be another's
        usage = part.usage
        mark = usage.look(monotonic()) if usage.credit else monotonic() - usage.meter.charged
        try:
            return _switch(self, *args, **kwargs)
        finally:
            part.spent += usage.spend(mark)

    def throw(self, *args: Any) -> Any:
        """Raise an exception where the job has blocked."""
        if getcurrent() is not self._pool.hub:
            return _throw(self, *args)
        part = self.part
        mark = part.usage.begin(monotonic())
        try:
            return _throw(self, *args)
        finally:
            part.spent += part.usage.spend(mark)

    def run(self) -> None:
        pool = self._pool
        while True:
            job, self.job = self.job, None
            if job is not None:
                try:
                    job(self)
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
                    log.warning("%r came for a turn that has ended", error)


class Runners:
    """The pool. Used from the callbacks of one gevent hub."""

    def __init__(self) -> None:
        self.hub = gevent.get_hub()
        self.thread = get_ident()
        self._free: list[Runner] = []

    def start(self, job: Callable[[Runner], None], part: Part) -> None:
        """Run ``job(runner)`` until it blocks or ends. Call it in the hub's greenlet only: it is where
        control falls back to when the job blocks.

        Until then the job is in the caller's bracket, if there is one; what it does later is charged to
        ``part``.
        """
        runner = self._free.pop() if self._free else Runner(self)
        runner.job = job
        runner.part = part
        _switch(runner)

    def check_thread(self) -> None:
        """Raise RuntimeError if the caller runs in another thread."""
        if get_ident() != self.thread:
            raise RuntimeError("calls and actors are for the hub's own greenlets, not for other threads")

    def keep(self, runner: Runner) -> bool:
        """Take back an idle runner; False if there are enough."""
        if len(self._free) >= _KEEP:
            return False
        self._free.append(runner)
        return True

    def __repr__(self) -> str:
        return f"<Runners {len(self._free)} free>"
