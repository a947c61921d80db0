"""Whether a hub has more memory than it should: when that begins, when it ends, and what is said of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

__all__ = ["LOW", "MemoryLimit", "mebibytes"]

log = logging.getLogger("actorrpc.hub")

#: It is over when the process has less than this share of the limit: a connection that comes shall not begin
#: it anew.
LOW = 0.9

#: To give freed memory back takes 20 to 50 ms with 500 MB of states, of 200 bytes as of 1 MB, and nobody is
#: served meanwhile. So it is done once in so many seconds, and for no more than this share of the time.
_PAUSE, _SHARE = 5.0, 0.005


class MemoryLimit:
    """Resident memory against ``limit`` bytes.

    ``read()`` tells the process's memory now; ``trim()`` gives back to the kernel what has been freed and is
    still there, None if that cannot be done. ``clock()`` gives seconds that only go forward.
    """

    def __init__(
        self,
        limit: int,
        read: Callable[[], int],
        trim: Callable[[], None] | None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._limit = limit
        self._read = read
        self._trim = trim
        self._clock = clock
        self._trim_at = clock()
        self.over = False

    def look(self, memory: int) -> int:
        """Take what the process has, set ``over``, and return what it has after it gave freed memory back."""
        if memory > self._limit or self.over:
            memory = self._trimmed(memory)
        if memory > self._limit and not self.over:
            self.over = True
            log.warning(
                "it has %s, over --max-memory of %s: new connections go to other hubs, and some move there",
                mebibytes(memory),
                mebibytes(self._limit),
            )
        elif memory < LOW * self._limit and self.over:
            self.over = False
            log.info("it has %s, and so is no longer over --max-memory", mebibytes(memory))
        return memory

    def _trimmed(self, memory: int) -> int:
        began = self._clock()
        if self._trim is None or began < self._trim_at:
            return memory
        self._trim()
        ended = self._clock()
        self._trim_at = ended + max(_PAUSE, (ended - began) / _SHARE)
        return self._read()

    def __repr__(self) -> str:
        return f"<MemoryLimit of {mebibytes(self._limit)}{', over it' * self.over}>"


def mebibytes(count: int) -> str:
    """A number of bytes for people, such as ``512.0 MiB``."""
    return f"{count / 2**20:.1f} MiB"
