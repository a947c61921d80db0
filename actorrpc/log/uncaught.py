"""Exceptions that nothing has caught, and Python's warnings, as lines of the log."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from types import TracebackType
from typing import Any

from gevent.hub import Hub

from actorrpc.log.limits import about

__all__ = ["install"]


def install(log: logging.Logger) -> None:
    """Have Python, its threads, and gevent in all threads tell ``log``, in place of standard error."""

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log.critical("this process ends with an error that nothing has caught", exc_info=(kind, error, trace))

    def of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:  # as in Python's own
            name = args.thread.name if args.thread is not None else "?"
            info: Any = args.exc_type, args.exc_value, args.exc_traceback
            log.error("thread %s has failed", name, exc_info=info)

    def unraisable(args: Any) -> None:
        said = args.err_msg or "Exception ignored in"
        info = args.exc_type, args.exc_value, args.exc_traceback
        log.error("%s: %r", said, args.object, exc_info=info)

    def of_greenlet(self: Any, context: object, kind: Any, error: Any, trace: Any) -> None:
        info = self._normalize_exception(kind, error, trace)
        log.error("%s has failed", "a callback" if context is None else context, exc_info=info)

    def warn(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        if file is not None:
            file.write(warnings.formatwarning(message, category, filename, lineno, line))
            return
        place = about(filename, lineno)
        log.warning("%s:%d: %s: %s", filename, lineno, category.__name__, message, extra=place)

    sys.excepthook = uncaught
    sys.unraisablehook = unraisable
    threading.excepthook = of_thread
    warnings.showwarning = warn
    # Of the class, since each thread has a hub, and a forked child a new one.
    Hub.print_exception = of_greenlet  # type: ignore[method-assign, assignment]
