"""What the kernel tells of this process, also when it has no file descriptor left."""

from __future__ import annotations

import os
from weakref import finalize

from actorrpc.descriptors import close_now

__all__ = ["ProcNumber", "can_open"]


class ProcNumber:
    """One number in a file of /proc, which stays open. It is of the process and thread that made this."""

    def __init__(self, path: str, field: int) -> None:
        self._path = path
        self._field = field
        self._fd = -1
        self._last = 0
        self._open()

    def read(self) -> int:
        """The number now; the last one if it cannot be read, and 0 if it never could."""
        if self._fd < 0:
            self._open()
        try:
            self._last = int(os.pread(self._fd, 512, 0).split()[self._field])
        except (OSError, IndexError, ValueError):
            pass
        return self._last

    def _open(self) -> None:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        finalize(self, close_now, self._fd)

    def __repr__(self) -> str:
        return f"<ProcNumber {self._path}[{self._field}]: {self._last}>"


def can_open() -> bool:
    """Whether this process may have one more file descriptor."""
    try:
        close_now(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
