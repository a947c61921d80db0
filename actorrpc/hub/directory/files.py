"""How the directory's files are written: what is appended is there as a whole, or not at all.

A process may be killed or stopped between any two of these, which tests do.
"""

from __future__ import annotations

import errno
import os

from actorrpc.loop.descriptors import close_now

__all__ = ["append", "close_now", "replace", "size_of", "truncate"]


def append(fd: int, data: bytes) -> int:
    """Write at the end of a file that was opened to be appended to. Returns how much the disk took."""
    return os.write(fd, data)


def size_of(fd: int) -> int:
    return os.fstat(fd).st_size


def truncate(fd: int, size: int) -> None:
    os.ftruncate(fd, size)


def replace(path: str, content: bytes) -> int:
    """Write a file anew, so that who opens it finds the old or the new one. Returns the new one's descriptor,
    to append to. Raises OSError, and leaves the old one."""
    new = f"{path}.new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if append(fd, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.replace(new, path)
    except OSError:
        close_now(fd)
        raise
    return fd
