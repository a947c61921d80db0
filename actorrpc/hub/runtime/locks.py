"""A lock for greenlets of several threads, and ``logging`` with it.

gevent's own may forget who waits for it, if that is not in the thread of who releases it: 24.10.1 with two
threads, 26.9.0 with ten. What handlers and functions given to ``offload`` both lock is such a one, and each
handler of ``logging`` has one: two hundred calls that logged on both sides stopped for good, and so did all
that came after.
"""

from __future__ import annotations

import logging
from _thread import get_ident
from collections.abc import Callable
from time import monotonic
from typing import Any

from gevent import sleep
from gevent._hub_local import get_hub_if_exists
from gevent.monkey import get_original
from greenlet import getcurrent

__all__ = ["SharedRLock", "look_again", "share_logging"]

_allocate_lock: Callable[[], Any] = get_original("_thread", "allocate_lock")

#: Seconds until the first look, and between two looks at most.
_FIRST_LOOK, _LAST_LOOK = 0.0005, 0.02

_ENDING = object()


def look_again(take: Callable[[], bool], timeout: float | None) -> bool:
    """Try to take a lock of the system's, which tells no loop that it is free: again and again, and less
    often with time."""
    until = None if timeout is None else monotonic() + timeout
    pause = _FIRST_LOOK
    while until is None or monotonic() < until:
        sleep(pause if until is None else min(pause, max(until - monotonic(), 0)))
        if take():
            return True
        pause = min(pause * 2, _LAST_LOOK)
    return False


class SharedRLock:
    """As ``threading.RLock``: a greenlet, of whatever thread, may take it several times.

    For what is held for a short time: who waits, and has a loop, lets that run and looks again.
    """

    __slots__ = ("__weakref__", "_count", "_lock", "_owner", "_thread")

    def __init__(self) -> None:
        self._at_fork_reinit()

    def _at_fork_reinit(self) -> None:
        self._lock = _allocate_lock()
        self._owner: object = None
        self._thread = 0
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = _current()
        if self._owner is not me:
            if not (self._lock.acquire(False) or (blocking and self._wait(timeout))):
                return False
            self._owner, self._thread = me, get_ident()
        self._count += 1
        return True

    def release(self) -> None:
        if self._owner is not _current():
            raise RuntimeError("cannot release a lock that is not this greenlet's")
        self._count -= 1
        if not self._count:
            self._owner = None
            self._lock.release()

    def _wait(self, timeout: float) -> bool:
        hub = get_hub_if_exists()
        if hub is None or (hub is getcurrent() and self._thread != get_ident()):
            return bool(self._lock.acquire(True, timeout))
        return look_again(lambda: self._lock.acquire(False), timeout if timeout >= 0 else None)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()

    # ---- for threading.Condition

    def _is_owned(self) -> bool:
        return self._owner is _current()

    def _release_save(self) -> int:
        count, self._count = self._count, 1
        self.release()
        return count

    def _acquire_restore(self, count: int) -> None:
        self.acquire()
        self._count = count

    def __repr__(self) -> str:
        return f"<SharedRLock of {self._owner}, {self._count} times>"


def _current() -> object:
    """The greenlet that runs; something else where the interpreter ends, and finalizers run in none."""
    try:
        return getcurrent()
    except RuntimeError:
        return _ENDING


def share_logging() -> None:
    """Give such locks to ``logging``, in this process: to itself, and to all handlers, also those to come."""
    module: Any = logging
    create: Callable[[logging.Handler], None] = logging.Handler.createLock

    def create_lock(self: Any) -> None:
        create(self)
        self.lock = SharedRLock()

    module.Handler.createLock = create_lock
    module._lock = SharedRLock()
    for reference in module._handlerList:
        handler = reference()
        if handler is not None and handler.lock is not None:
            handler.lock = SharedRLock()
