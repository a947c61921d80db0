"""The file descriptors of this process: how many it may have, and how one is given back at once."""

from __future__ import annotations

import os
from contextlib import suppress
from posix import close

__all__ = ["close_now", "fill_standard", "raise_limit"]

#: Close a descriptor. In a process that gevent has patched, ``os.close`` does so in a later step of the loop
#: (since gevent 25.8.1): until then there is no room for another, and the peer sees no end.
close_now = close


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard one.

    Each connection is a descriptor. The soft limit is low for the sake of programs that use select(2), which
    can count to 1024 only; here there are none.
    """
    import resource  # here: clients and generators run where there is none

    with suppress(OSError, ValueError):  # it may be more than the kernel allows by now
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def fill_standard() -> None:
    """Open /dev/null where standard input, output or error is closed.

    Else the next file gets that number, a client's socket perhaps, and some library writes to it, in C, what
    is for a standard error. To be called before any is opened.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    close_now(fd)
