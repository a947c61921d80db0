"""The handler that writes to standard error, whether or not anybody reads it."""

from __future__ import annotations

import atexit
import copy
import logging
import os
import sys
import time
from typing import Any

from actorrpc.log.ids import Ids
from actorrpc.log.limits import tell_what_was_left_out
from actorrpc.log.writer import Writer

__all__ = ["Handler"]

#: Seconds that the end of a process waits for its last lines, which say why it ends.
LAST_LINES = 1.0

_FD = 2


class Handler(logging.Handler):
    """Hands each record, as the formatter has it, to the thread that writes. All handlers share that thread.

    It is flushed when the program ends, whatever has become of ``logging``'s list of handlers.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.addFilter(Ids())
        self._encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        # Made here: a record asks for the thread that makes it, and gevent does not know the writer's.
        text = "%d lines are left out here: %s"
        self._note = logging.LogRecord("actorrpc", logging.WARNING, __file__, 0, text, (), None)
        Ids().filter(self._note)
        _WRITER.note = self.note

    def createLock(self) -> None:
        """None is needed, and a greenlet that waits for one must not hold up the loop's callbacks."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        passed: Any = self.filter(record)  # from Python 3.12 on another record, perhaps
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        _WRITER.put(self._encode(record))

    def note(self, count: int, why: str) -> bytes:
        """The line that says how many others are not there. Called in the writer's thread, too."""
        record = copy.copy(self._note)
        record.created = time.time()
        record.msecs = record.created % 1 * 1000
        record.args = (count, why)
        return self._encode(record)

    def flush(self) -> None:
        _WRITER.flush(LAST_LINES)

    def _encode(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode(self._encoding, "backslashreplace")

    def __repr__(self) -> str:
        return f"<Handler {_WRITER!r}>"


_WRITER = Writer(_FD)


def _last_lines() -> None:
    tell_what_was_left_out()
    _WRITER.flush(LAST_LINES)


def _in_child() -> None:
    _WRITER.forked()
    # ``multiprocessing`` ends its children with os._exit, after what it calls finalizers. Before it begins
    # with a child it forgets those of the parent.
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        util.register_after_fork(_WRITER, _flush_last)


def _flush_last(writer: Writer) -> None:
    from multiprocessing.util import Finalize

    Finalize(None, _last_lines, exitpriority=_LAST)


#: Below that of all that may log.
_LAST = -1000

# Not by ``logging.shutdown``, which knows only handlers that have not been configured away.
atexit.register(_last_lines)
os.register_at_fork(after_in_child=_in_child)
