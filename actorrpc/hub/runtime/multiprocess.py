"""Makes the pipes and locks of ``multiprocessing`` wait in gevent's loop, which gevent does not see to.

Without this a handler that reads from such a pipe stops the hub until something comes, and the threads of a
``multiprocessing.Pool``, which are greenlets here, wait for each other for ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from gevent.socket import wait_read, wait_write

from actorrpc.hub.runtime.locks import look_again

__all__ = ["cooperate"]

#: What a pipe or socket that can be written to takes without blocking (pipe(7)).
_PIPE_BUF = 4096


def cooperate() -> None:
    """Change ``multiprocessing`` in this process, for all of its objects that are made from now on."""
    from multiprocessing import synchronize
    from multiprocessing.connection import Connection

    connection: Any = Connection
    # What they read and write with is the default of an argument.
    connection._recv.__defaults__ = (_read,)
    connection._send.__defaults__ = (_write,)
    initialize: Callable[..., None] = connection.__init__

    def init(self: Any, handle: int, *args: Any, **kwargs: Any) -> None:
        initialize(self, handle, *args, **kwargs)
        # A socket of gevent does not block: nor would its other end, in a fresh program that knows no gevent.
        os.set_blocking(self.fileno(), True)

    connection.__init__ = init
    lock: Any = synchronize.SemLock  # base of Lock, Semaphore and the like
    make_methods: Callable[[Any], None] = lock._make_methods

    def make(self: Any) -> None:
        make_methods(self)
        self.acquire = _acquire_by(self._semlock.acquire)

    lock._make_methods = make
    lock.__enter__ = lambda self: self.acquire()


def _acquire_by(take: Callable[[bool], bool]) -> Callable[..., bool]:
    """``acquire`` of one semaphore or lock."""

    def acquire(block: bool = True, timeout: float | None = None) -> bool:
        return take(False) or (block and look_again(lambda: take(False), timeout))

    return acquire


def _read(fd: int, size: int) -> bytes:
    while True:
        wait_read(fd)
        try:
            return os.read(fd, size)
        except BlockingIOError:
            pass  # made before, and somebody else was faster


def _write(fd: int, data: bytes) -> int:
    while True:
        wait_write(fd)
        try:
            return os.write(fd, data[:_PIPE_BUF])
        except BlockingIOError:
            pass
