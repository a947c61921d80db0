"""``Deaths``: whether the hub has died to which there is no link any more, or only the link has."""

from __future__ import annotations

from collections.abc import Callable

from actorrpc.loop.timers import Timer

__all__ = ["Deaths"]

#: Between two looks, in seconds: at first, and at most. A process that is killed lets go of its links before
#: the kernel gives up its locks.
FIRST, LONGEST = 0.002, 0.2


class Deaths:
    """``lives(serial)`` says whether a process may live, and ``died(serial)`` is told that it does not."""

    def __init__(self, lives: Callable[[int], bool], died: Callable[[int], None]) -> None:
        self._lives = lives
        self._died = died
        self._looking: dict[int, Timer] = {}

    def unlinked(self, serial: int) -> None:
        """The link to a process has ended."""
        if serial not in self._looking:
            self._looking[serial] = Timer()
            self._look(serial, FIRST)

    def linked(self, serial: int) -> None:
        """There is another one."""
        if (timer := self._looking.pop(serial, None)) is not None:
            timer.stop()

    def _look(self, serial: int, again: float) -> None:
        if self._lives(serial):
            self._looking[serial].set(again, self._look, serial, min(2 * again, LONGEST))
        else:
            self.linked(serial)
            self._died(serial)

    def close(self) -> None:
        """Look no more."""
        for serial in [*self._looking]:
            self.linked(serial)

    def __repr__(self) -> str:
        return f"<Deaths {sorted(self._looking)} may have died>"
