"""The signals that a broker obeys."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gevent import get_hub

__all__ = ["caught"]


@contextmanager
def caught(handlers: Mapping[signal.Signals, Callable[[], object]]) -> Iterator[None]:
    """Call a handler in the loop's callback when its signal comes, while the block runs.

    The process's own handlers come back afterwards. Does nothing outside the main thread, where Python
    handles no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.getsignal(signum) for signum in handlers}
    watchers = {signum: get_hub().loop.signal(signum) for signum in handlers}
    for signum, watcher in watchers.items():
        watcher.start(handlers[signum])
    try:
        yield
    finally:
        for signum, watcher in watchers.items():
            watcher.stop()
            watcher.close()
            # The loop has left the default; None is a handler that Python did not install.
            signal.signal(signum, before[signum] or signal.SIG_DFL)
