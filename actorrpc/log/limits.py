"""How many lines of one kind may be logged: the first few at once, then how many more there were.

A client can fail 3,000 times a second. That must not fill a disk, nor hide what else happens: so each kind of
line has its own allowance, and what is left out is counted and told, at the latest when its time is over.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
from _thread import RLock
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

__all__ = ["LIMITS", "Limits", "about", "about_hub", "tell_what_is_due", "tell_what_was_left_out"]

#: Lines of a kind in so many seconds. A person who reads along sees what happens, and a kind that never ends
#: is 50 MB in a day if it is tracebacks of 1 kB, and 5 MB if it is not.
LINES, SECONDS = 5, 10.0
#: Kinds that are told apart; what comes when there are so many is one kind together.
MAX_KINDS = 256


class About(NamedTuple):
    """What a line is about, and how often it may come."""

    what: tuple[Hashable, ...] = ()
    lines: int = LINES
    seconds: float = SECONDS


def about(*what: Hashable, lines: int = LINES, seconds: float = SECONDS, **ids: int | str) -> dict[str, Any]:
    """For ``extra`` of a call that logs: a line is of another kind where ``what`` is another, beside the
    call's template, its exception's type, and the place where that was raised.

    Name what there are few of, and no client chooses: a method, a hook, a hub; not a connection. That may be
    among the ``ids``, by the names that ``actorrpc.log.ids`` has, which make no kinds.
    """
    return {"about": About(what, lines, seconds), **ids}


def about_hub(hub: int) -> dict[str, Any]:
    """``about`` a hub, for the broker."""
    return about(hub, hub=hub)


_USUAL = About()
#: Stands for all kinds beyond ``MAX_KINDS``.
_OTHERS: Hashable = None
#: A record's attribute: it tells of others, and is not counted.
_TELLS = "tells_of_others"


class _Window:
    """The time from the first line of a kind until it may be told again."""

    def __init__(self, record: logging.LogRecord, allowed: About, now: float) -> None:
        self.logger, self.level = record.name, record.levelno
        self.began, self.ends = now, now + allowed.seconds
        self.lines = allowed.lines
        self.left_out = 0
        #: The last line that was written.
        self.example = ""

    def take(self) -> int:
        """One more line: how many may follow it, or -1 if it is left out."""
        if not self.lines:
            self.left_out += 1
            return -1
        self.lines -= 1
        return self.lines


class Limits(logging.Filter):
    """Lets the first lines of each kind pass. ``tell`` is for whoever has a timer.

    What is below INFO always passes: who asks for that wants to see all of it. Several threads may use it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._windows: dict[Hashable, _Window] = {}
        # For threads, also in a patched process: nothing blocks while it is held.
        self._lock = RLock()

    def filter(self, record: logging.LogRecord) -> bool:
        # Nobody else has a use for it, and what unpickles a record may not have our classes.
        allowed: About = record.__dict__.pop("about", _USUAL)
        if record.levelno < logging.INFO or hasattr(record, _TELLS):
            return True
        now = self._clock()
        over: _Window | None = None
        with self._lock:
            kind = self._counted_as(_kind(record, allowed), now)
            window = self._windows.get(kind)
            if window is not None and window.ends <= now:
                over, window = window, None
            if window is None:
                window = self._windows[kind] = _Window(record, allowed, now)
            left = window.take()
        if over is not None:
            _tell(over, now)
        if left == 0:
            window.example = _text(record)
        return left >= 0

    def tell(self, *, everything: bool = False) -> None:
        """Log how many were left out of the kinds whose time is over, or of all."""
        if self._windows:
            now = self._clock()
            with self._lock:
                over = [kind for kind, each in self._windows.items() if everything or each.ends <= now]
                windows = [self._windows.pop(kind) for kind in over]
            for window in windows:
                _tell(window, now)

    def forget(self) -> None:
        """All may be told again, and what was left out is not told: a forked child's parent tells it."""
        self._lock = RLock()
        self._windows = {}

    def _counted_as(self, kind: Hashable, now: float) -> Hashable:
        """The kind itself, unless there are too many."""
        windows = self._windows
        if kind in windows or len(windows) < MAX_KINDS:
            return kind
        over = [each for each, window in windows.items() if window.ends <= now and not window.left_out]
        for each in over:  # others are still to be told
            del windows[each]
        return kind if over else _OTHERS

    def __repr__(self) -> str:
        return f"<Limits of {len(self._windows)} kinds>"


def _kind(record: logging.LogRecord, allowed: About) -> Hashable:
    template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    return record.name, record.levelno, template, allowed, _raised(record)


def _raised(record: logging.LogRecord) -> Hashable:
    """Of what type the record's exception is, and where it was raised: there are as many as the code has
    places, whatever a client sends."""
    info = record.exc_info
    if not info or info[0] is None:
        return None
    trace = info[2]
    if trace is None:
        return info[0].__name__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return info[0].__name__, trace.tb_frame.f_code.co_filename, trace.tb_lineno


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except BaseException:
        return str(record.msg)


def _tell(window: _Window, now: float) -> None:
    if window.left_out:
        logging.getLogger(window.logger).log(
            window.level,
            "and %d more in the last %d s like: %s",
            window.left_out,
            max(round(now - window.began), 1),
            window.example,
            # They were of others than what now happens to run.
            extra={_TELLS: True, "connection": "", "call": ""},
        )


#: The process's own, on all of its loggers.
LIMITS = Limits()


def tell_what_is_due() -> None:
    """Log what is due by now: for a timer that comes each second or more often. Mostly it costs nothing."""
    LIMITS.tell()


def tell_what_was_left_out() -> None:
    """Log it now, for whoever stops having a timer."""
    LIMITS.tell(everything=True)


atexit.register(tell_what_was_left_out)
os.register_at_fork(after_in_child=LIMITS.forget)
