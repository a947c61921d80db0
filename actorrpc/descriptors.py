"""How many file descriptors this process may have."""

from __future__ import annotations

import resource
from contextlib import suppress

__all__ = ["raise_limit"]


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard one.

    Each connection is a descriptor. The soft limit is low for the sake of programs that use select(2), which
    can count to 1024 only; here there are none.
    """
    with suppress(OSError, ValueError):  # it may be more than the kernel allows by now
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
