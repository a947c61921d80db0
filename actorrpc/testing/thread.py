"""A gevent loop in a thread of its own, beside a program that may know nothing of gevent.

The thread is one of the system's, also in a program that gevent has patched: a client that blocks its thread,
as grpcio's does, does not block the server that it waits for.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from functools import partial
from typing import Any, TypeVar

import gevent
from gevent.event import Event
from gevent.monkey import get_original, is_module_patched

from actorrpc.hub.runtime.guard import outlive_errors
from actorrpc.hub.runtime.runners import get_ident

__all__ = ["LoopThread", "Stuck"]

T = TypeVar("T")

#: How long the loop may need for what takes no time.
PATIENCE = 10.0


class Stuck(RuntimeError):
    """The loop does not come round: what runs in it blocks its thread."""


class LoopThread:
    """One thread that runs a gevent loop, until ``stop``. As a daemon, it keeps no program from its end.

    Raises OSError, or whatever gevent does, if there can be no loop.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        #: What the system knows the thread by; so does ``get_ident``.
        self.ident = 0
        self._loop: Any = None
        self._end = Event()
        self._begun: Future[None] = Future()
        self._ended: Future[None] = Future()
        self._join: Callable[[float], object] = _start(self._run, name)
        try:
            self._begun.result(PATIENCE)
        except BaseException:
            self._join(PATIENCE)
            raise

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            if self._begun.done():
                raise
            self._begun.set_exception(error)  # such as for want of descriptors
        finally:
            self._ended.set_result(None)

    def _serve(self) -> None:
        hub = gevent.get_hub()
        self.ident = get_ident()
        self._loop = hub.loop
        # Something that may happen, or the loop would be over.
        self._wake: Any = hub.loop.async_()
        self._wake.start(lambda: None)
        outlive_errors()
        self._begun.set_result(None)
        self._end.wait()
        self._wake.close()
        hub.destroy(destroy_loop=True)

    def ask(self, question: Callable[[], T], timeout: float = PATIENCE) -> T:
        """What a function returns, or raises, which is called in the loop and must not block.

        Raises Stuck if it is not called in time, and RuntimeError in the loop's own thread.
        """
        return self._call(question, timeout, lambda answer: answer())

    def run(self, function: Callable[[], T], timeout: float) -> T:
        """As ``ask``, in a greenlet: it may wait for what happens in the loop."""
        return self._call(function, timeout, gevent.spawn)

    def _call(
        self, function: Callable[[], T], timeout: float, begin: Callable[[Callable[[], None]], object]
    ) -> T:
        if get_ident() == self.ident:
            raise RuntimeError(f"{self._name} is for other threads to ask, not for handlers that it runs")
        answer: Future[T] = Future()
        self._loop.run_callback_threadsafe(begin, partial(_answer, answer, function))
        return self._result(answer, timeout)

    def _result(self, answer: Future[T], timeout: float) -> T:
        try:
            return answer.result(timeout)
        except TimeoutError:
            if answer.done():  # it is the function's own
                raise
        raise Stuck(f"no answer in {timeout:g} s: {self._name} is here:\n{self._stack()}")

    def stop(self) -> None:
        """End the loop, whatever waits in it, and the thread. Raises Stuck if it does not come round."""
        self._loop.run_callback_threadsafe(self._end.set)
        self._result(self._ended, PATIENCE)
        self._join(PATIENCE)

    def _stack(self) -> str:
        frame = sys._current_frames().get(self.ident)
        return "".join(traceback.format_stack(frame)) if frame is not None else "  nowhere"

    def __repr__(self) -> str:
        return f"<LoopThread {self._name}, {'ended' if self._ended.done() else 'running'}>"


def _answer(answer: Future[T], question: Callable[[], T]) -> None:
    """Put into ``answer`` what a function returns or raises."""
    try:
        answer.set_result(question())
    except BaseException as error:
        answer.set_exception(error)


def _start(function: Callable[[], None], name: str) -> Callable[[float], object]:
    """Start a thread of the system's; returns what waits for its end."""
    if is_module_patched("threading"):  # whose threads are greenlets
        # The first hub of a process imports what it needs, under locks that are gevent's and need a hub
        # themselves where two threads meet there.
        gevent.get_hub()
        get_original("_thread", "start_new_thread")(function, ())
        return lambda timeout: None
    thread = threading.Thread(target=function, name=name, daemon=True)
    thread.start()
    return thread.join
