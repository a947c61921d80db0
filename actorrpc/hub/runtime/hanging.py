"""Says where an app's import, or its ``on_start``, hangs, before the broker loses patience."""

from __future__ import annotations

import faulthandler
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import gevent

from actorrpc.loop.timers import after

__all__ = ["shown_if_it_hangs"]

log = logging.getLogger("actorrpc.hub")

#: When to look, in parts of the time that the broker allows: first for what waits in gevent's loop, whose
#: stack faulthandler would not see; then for what holds up the loop, whose timers do not run.
_LOOP_TURNS, _LOOP_STANDS = 0.8, 0.9


@contextmanager
def shown_if_it_hangs(what: str, patience: float) -> Iterator[None]:
    """Write to standard error where this greenlet is, should the block, in which ``what`` goes on, take
    nearly so long (0: never)."""
    if patience <= 0:
        yield
        return
    greenlet = gevent.getcurrent()

    def show() -> None:
        faulthandler.cancel_dump_traceback_later()
        stack = "".join(traceback.format_stack(greenlet.gr_frame))
        log.error("%s goes on for long, and waits here:", what, extra={"detail": stack})

    timer = after(patience * _LOOP_TURNS, show)
    if sys.stderr is not None:
        faulthandler.dump_traceback_later(patience * _LOOP_STANDS, file=sys.stderr)
    try:
        yield
    finally:
        timer.close()
        faulthandler.cancel_dump_traceback_later()
