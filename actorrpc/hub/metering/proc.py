"""What the kernel tells of this process, also when it has no file descriptor left."""

from __future__ import annotations

import os
from contextlib import suppress
from weakref import finalize

from actorrpc.loop.descriptors import close_now

__all__ = ["ProcNumber", "can_open"]


class ProcNumber:
    """One number in a file of /proc, which stays open until ``close`` or until this is freed. It is that of
    the process and the thread that made this."""

    def __init__(self, path: str, field: int) -> None:
        self._path = path
        self._field = field
        self._file: finalize[[int], ProcNumber] | None = None
        self._fd = -1
        self._closed = False
        self._last = 0
        self._open()

    def read(self) -> int:
        """The number now; the last one if it cannot be read, and 0 if it never could."""
        if self._fd < 0:
            self._open()
        with suppress(OSError, IndexError, ValueError):
            self._last = int(os.pread(self._fd, 512, 0).split()[self._field])
        return self._last

    def close(self) -> None:
        """Let go of the file: ``read`` gives the last number from now on."""
        self._closed = True
        self._fd = -1
        if self._file is not None:
            self._file()

    def _open(self) -> None:
        if self._closed:
            return
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        self._file = finalize(self, close_now, self._fd)

    def __repr__(self) -> str:
        return f"<ProcNumber {self._path}[{self._field}]: {self._last}>"


def can_open() -> bool:
    """Whether this process may have one more file descriptor."""
    try:
        close_now(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
