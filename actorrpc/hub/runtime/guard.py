"""A hub process ends when its broker says so, or on SIGTERM; not for what its app's own greenlets raise.

gevent takes SystemExit, KeyboardInterrupt and SystemError for the end of the program, also from a greenlet
that an app has spawned, or a callback that it gave the loop: all connections of the hub would go with it.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

from gevent import get_hub
from gevent.hub import Hub

__all__ = ["outlive_errors"]

log = logging.getLogger("actorrpc.hub")


def outlive_errors() -> None:
    """Log, from now on, what would have ended this thread's gevent hub."""
    hub: Any = get_hub()

    def handle_error(
        context: object,
        kind: type[BaseException],
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Without a context it comes from the loop itself, or is a signal.
        if context is not None and kind is not None and issubclass(kind, Hub.SYSTEM_ERROR):
            log.error(
                "%s came from a greenlet or callback of the app's own: it does not end the hub",
                kind.__name__,
                exc_info=(kind, error if error is not None else kind(), trace),
            )
        else:
            Hub.handle_error(hub, context, kind, error, trace)

    hub.handle_error = handle_error
