"""One line in the log about what may happen ten thousand times a second."""

from __future__ import annotations

import logging

__all__ = ["Notice"]

#: Seconds in which no more than one line is written.
_INTERVAL = 10.0


class Notice:
    """Writes the first of a kind at once, and counts what follows: the next line says how many they were.

    ``flush`` is for whoever has a timer, so that the last ones are told too.
    """

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        #: What is counted, in the plural.
        self._what = what
        self._due = 0.0
        self._untold = 0
        self._last = ""

    def say(self, now: float, text: str) -> None:
        self._last = text
        self._untold += 1
        self.flush(now)

    def flush(self, now: float) -> None:
        """Write the line that is due, if there is something untold."""
        if not self._untold or now < self._due:
            return
        others = f"; {self._untold} {self._what} since the last line" if self._untold > 1 else ""
        self._log.error("%s%s", self._last, others)
        self._untold = 0
        self._due = now + _INTERVAL

    def __repr__(self) -> str:
        return f"<Notice of {self._what}, {self._untold} untold>"
