"""Children that others have left to this process: it reaps those that nobody else would.

A broker that is process 1 of a container becomes the parent of all processes whose own parents have ended
(pid_namespaces(7)), and so does a subreaper (PR_SET_CHILD_SUBREAPER, prctl(2)). One that has ended stays as a
zombie until its parent has asked for its status.
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress

from actorrpc.loop.timers import every

__all__ = ["PERIOD", "Orphans", "adopts", "reaping"]

log = logging.getLogger("actorrpc.broker")

#: Seconds between two looks. A child that a policy of users has started, and waits for, is not taken from it:
#: one that has ended is reaped in the second look that sees it.
PERIOD = 3.0

_PR_GET_CHILD_SUBREAPER = 37
_ANY = os.WEXITED | os.WNOHANG | os.WNOWAIT


def adopts() -> bool:
    """Whether other processes' children become this one's."""
    flag = ctypes.c_int(0)
    asked = ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(flag), 0, 0, 0)
    return os.getpid() == 1 or (asked == 0 and flag.value == 1)


class Orphans:
    """``own()`` are the pids of the children that others wait for."""

    def __init__(self, own: Callable[[], Container[int]]) -> None:
        self._own = own
        self._seen: set[int] = set()

    def look(self) -> None:
        """Reap all that have ended and were seen before."""
        ended = _zombies() if _any_ended() else set()
        own = self._own()
        for pid in sorted(ended & self._seen):
            if pid not in own:
                with suppress(ChildProcessError):  # somebody was faster
                    log.debug("reaped the orphan %d, status %d", *os.waitpid(pid, os.WNOHANG))
        self._seen = ended

    def __repr__(self) -> str:
        return f"<Orphans {self._seen}>"


@contextmanager
def reaping(own: Callable[[], Container[int]]) -> Iterator[None]:
    """Reap orphans while the block runs, if this process gets any."""
    if not adopts():
        yield
        return
    timer = every(PERIOD, Orphans(own).look)
    try:
        yield
    finally:
        timer.close()


def _any_ended() -> bool:
    """Whether a child has ended, and is left as it is."""
    try:
        return os.waitid(os.P_ALL, 0, _ANY) is not None
    except ChildProcessError:
        return False


def _zombies() -> set[int]:
    """The children of this process that have ended. ``/proc`` is read, but only where there are any."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit() and _is_our_zombie(name)}


def _is_our_zombie(pid: str) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/stat") as file:
        state, parent = file.read().rpartition(")")[2].split()[:2]
        return state == "Z" and int(parent) == os.getpid()
    return False
