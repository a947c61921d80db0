"""``WakeUp``: how one greenlet, or one thread without a loop, waits for what happens in any other thread.

gevent's own locks and events remember the loop of whoever used them first, and wake all others by that. Where
it is that of a thread which runs no loop now, such as one of the pool between two tasks, they wait for ever.
"""

from __future__ import annotations

from _thread import TIMEOUT_MAX
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gevent import _hub_local
from gevent.hub import Waiter
from gevent.monkey import get_original

from actorrpc.loop.timers import after

__all__ = ["WakeUp", "make_lock"]

#: What the system's locks take.
_LONGEST: float = TIMEOUT_MAX

_allocate_lock: Callable[[], Any] = get_original("_thread", "allocate_lock")

#: A lock of the system's, also in a patched program. One thread may have it twice: finalizers run anywhere.
make_lock: Callable[[], Any] = get_original("_thread", "RLock")


class WakeUp:
    """One wait, of whoever makes it: ``wait`` returns when ``wake`` has been called, perhaps before.

    Any thread may ``wake``, but not once ``close`` has been called: see to that with a lock.
    """

    __slots__ = ("_lock", "_waiter", "_watcher")

    def __init__(self) -> None:
        hub = _hub_local.get_hub_if_exists()
        self._lock: Any = None
        self._waiter: Any = None
        self._watcher: Any = None
        if hub is None:  # nothing else of this thread could run meanwhile
            self._lock = _allocate_lock()
            self._lock.acquire()
        else:
            self._waiter = Waiter(hub)
            self._watcher = hub.loop.async_()
            self._watcher.start(self._waiter.switch, None)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is woken, ``timeout`` seconds at most; the thread's other greenlets run meanwhile."""
        if self._lock is not None:
            self._lock.acquire(True, -1 if timeout is None else min(max(timeout, 0.0), _LONGEST))
        elif timeout is None:
            self._waiter.get()
        else:
            timer = after(timeout, self._waiter.switch, None)
            try:
                self._waiter.get()
            finally:
                timer.close()

    def wake(self) -> None:
        """Have the one who waits go on."""
        if self._lock is not None:
            self._lock.release()
        else:
            with suppress(ValueError):  # its loop is gone, and so is the one who waited
                self._watcher.send()

    def close(self) -> None:
        """It waits no more. Call it in the same thread."""
        if self._watcher is not None:
            self._watcher.close()
