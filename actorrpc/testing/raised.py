"""What an app's code raised while it served: the hub logs it, and here it is kept for a test to look at."""

from __future__ import annotations

import logging

from actorrpc.hub.runners import get_ident

__all__ = ["Raised"]

log = logging.getLogger("actorrpc.hub")


class Raised(logging.Handler):
    """The errors that the hubs of one thread log, from now on until ``close``."""

    def __init__(self, thread: int) -> None:
        super().__init__(logging.ERROR)
        self._thread = thread
        self.errors: list[BaseException] = []
        log.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None and get_ident() == self._thread:
            self.errors.append(record.exc_info[1])

    def close(self) -> None:
        log.removeHandler(self)
        super().close()
