"""What an app's code raised while it served: the hub logs it, and here it is kept for a test to look at."""

from __future__ import annotations

import logging

from actorrpc.hub.runtime.runners import get_ident

__all__ = ["Raised"]

log = logging.getLogger("actorrpc.hub")


class Raised(logging.Filter):
    """Sees the errors that the hubs of one thread log, from now on until ``close``.

    It is not a handler: where a program has none, and the hub's logger had one, nothing would be printed.
    """

    def __init__(self, thread: int) -> None:
        super().__init__()
        self._thread = thread
        self.errors: list[BaseException] = []
        log.filters.insert(0, self)  # before what limits how many lines of a kind there may be

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the error, and let the record pass."""
        if record.levelno >= logging.ERROR and record.exc_info and get_ident() == self._thread:
            self.errors.extend(error for error in record.exc_info if isinstance(error, BaseException))
        return True

    def close(self) -> None:
        """See no more of them. What there is stays."""
        log.removeFilter(self)
