"""Room for descriptors that are to come over a link: at the limit of open files, the kernel drops them."""

from __future__ import annotations

import os
from contextlib import suppress

from actorrpc.ipc.framing import close_all
from actorrpc.loop.descriptors import close_now

__all__ = ["Spares"]


class Spares:
    """Descriptors of /dev/null: while they are open, there is room for as many others.

    ``make_room`` before each read, ``fill`` after it, and when there was nothing to read.
    """

    def __init__(self) -> None:
        #: How many descriptors are to come.
        self._reserved = 0
        self.descriptors: list[int] = []

    def reserve(self) -> None:
        """Keep room for one more. Raises OSError if there is none."""
        while len(self.descriptors) <= self._reserved:  # one may be missing for the message that is handled
            self.descriptors.append(_open())
        self._reserved += 1

    def unreserve(self) -> None:
        """One has come, or will not."""
        self._reserved = max(self._reserved - 1, 0)  # the link may have been closed since
        if len(self.descriptors) > self._reserved:
            close_now(self.descriptors.pop())

    def make_room(self) -> None:
        """Give up one, if any are kept: what is read next may bring a descriptor."""
        if self._reserved:
            self.fill()
            if self.descriptors:
                close_now(self.descriptors.pop())

    def fill(self) -> None:
        """Keep as much room as is reserved."""
        with suppress(OSError):  # what has come took the room; there may be some again next time
            while len(self.descriptors) < self._reserved:
                self.descriptors.append(_open())

    def close(self) -> None:
        close_all(self.descriptors)
        self.descriptors.clear()
        self._reserved = 0

    def __repr__(self) -> str:
        return f"<Spares {len(self.descriptors)} open, {self._reserved} reserved>"


def _open() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
