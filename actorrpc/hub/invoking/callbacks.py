"""``Callbacks``: where those are called who are to be told that a thread's call has ended.

It is a thread of the system's, one for each hub that needs it: a callback may wait, as with grpcio, and holds
up only those that come after it.
"""

from __future__ import annotations

from _queue import SimpleQueue  # the system's, also in a patched process
from collections.abc import Callable
from typing import Any

from gevent._hub_local import get_hub_if_exists
from gevent.monkey import get_original

from actorrpc.forks import users_code
from actorrpc.hub.invoking.conversation import call_back
from actorrpc.loop.wakeup import make_lock

__all__ = ["Callbacks"]

_start_new_thread: Callable[..., object] = get_original("_thread", "start_new_thread")


class Callbacks:
    """Any thread may ``call``; in the order in which they do."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._runs = False
        self._starting = make_lock()

    def call(self, callback: Callable[[], object], method: str) -> None:
        """Have a callback called, of a call of ``method``."""
        self._queue.put((callback, method))
        if not self._runs:
            with self._starting:
                if not self._runs:
                    self._runs = True
                    _start_new_thread(_run, (self._queue,))

    def close(self) -> None:
        """Have the thread end, when it has called all that there are."""
        self._queue.put(None)

    def __repr__(self) -> str:
        return f"<Callbacks {self._queue.qsize()} to be called>"


def _run(queue: SimpleQueue[Any]) -> None:
    while (item := queue.get()) is not None:
        with users_code():
            call_back(*item)
        item = None  # else it would be kept until the next comes
    if (hub := get_hub_if_exists()) is not None:  # of callbacks that used gevent
        hub.destroy(destroy_loop=True)
