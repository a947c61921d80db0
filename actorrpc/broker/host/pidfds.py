"""Processes by descriptors: a pidfd is no other process's, whatever becomes of the pid. Imports no gevent."""

from __future__ import annotations

import errno
import os

__all__ = ["open_pidfd"]

#: What the kernel says of a thread that is not its process's first: until Linux 6.9, and since.
_A_THREAD = (errno.EINVAL, errno.ENOENT)


def open_pidfd(pid: int) -> int:
    """The descriptor of a process. Raises ProcessLookupError if there is none with that pid, also where the
    number is a thread's by now, and OSError."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in _A_THREAD:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from error
        raise
