"""How long a connection that is being closed waits for its client to take the last bytes, and to close.

To close at once would lose them: what the client says after that, such as WINDOW_UPDATE, makes the kernel
drop what it has not delivered. A client that goes on taking bytes gets them all, however slow it is; one that
stalls, or is so slow that it must mean to be, does not hold the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from actorrpc.loop.timers import after

__all__ = ["LINGER", "PATIENCE", "Linger"]

#: How often to look; and how long a client that has taken everything may take to close.
LINGER = 1.0

#: A client that takes less than so many bytes in so many seconds stalls.
PATIENCE, LEAST = 5.0, 5 * 1024


class Linger:
    """The wait of one connection: ``close()`` is called at its end, ``untaken()`` says what is left.

    ``until``: no longer than to this time, by ``time.monotonic``. None: as long as the client takes bytes.
    """

    __slots__ = ("_close", "_left", "_since", "_timer", "_untaken", "_until")

    def __init__(self, close: Callable[[], None], untaken: Callable[[], int], until: float | None) -> None:
        self._close = close
        self._untaken = untaken
        self._until = until
        #: What was left when the client had last taken enough, and when that was.
        self._left = untaken()
        self._since = monotonic()
        self._timer: Any = None
        self._wait()

    def stop(self) -> None:
        """Wait no more, and call nothing."""
        self._timer.close()

    def _wait(self) -> None:
        seconds = LINGER if self._until is None else max(min(LINGER, self._until - monotonic()), 0.0)
        self._timer = after(seconds, self._look)

    def _look(self) -> None:
        self._timer.close()
        now, left = monotonic(), self._untaken()
        if left < self._left and left <= max(self._left - LEAST, 0):
            self._left, self._since = left, now
        elif not left or now - self._since >= PATIENCE:
            self._close()
            return
        if self._until is not None and now >= self._until:
            self._close()
        else:
            self._wait()
