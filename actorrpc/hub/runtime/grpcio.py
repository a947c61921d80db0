"""Makes grpcio wait in gevent's loop, as soon as the app imports it.

grpcio waits in C, where gevent patches nothing: a call in a handler would stop its hub until the reply
comes, and one to its own hub until the deadline. ``grpc.experimental.gevent.init_gevent`` has it wait in
threads of a pool instead, and must be called before the first channel is made.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

from gevent import get_hub, spawn
from gevent.monkey import is_module_patched
from gevent.threadpool import ThreadPool

from actorrpc.hub.runtime.imports import when_imported
from actorrpc.hub.runtime.locks import SharedRLock

__all__ = ["blocks", "cooperate", "cooperate_if_patched"]

log = logging.getLogger("actorrpc.hub")

#: How many calls may wait at a time, each in a thread. Others hear of their replies when one of them ends.
_MAX_WAITING = 100


def cooperate() -> None:
    """See to it that calls by grpcio, in this process, let its other greenlets run.

    To be called in the main thread, once gevent has patched it. This imports nothing, and costs nothing more
    when ``grpc`` has been imported, in whatever thread that is.
    """
    when_imported("grpc", _Waiting().begin)


@cache  # once: it is for the whole process
def cooperate_if_patched() -> None:
    """As ``cooperate``, where gevent has patched the process and nobody has seen to it."""
    if is_module_patched("threading") and ("grpc" not in sys.modules or blocks()):
        cooperate()


def blocks() -> bool:
    """Whether calls by grpcio would stop this process's loop.

    That is where it has been imported, gevent has patched the process, and nobody has called ``init_gevent``.
    """
    cygrpc = sys.modules.get("grpc._cython.cygrpc")
    return is_module_patched("threading") and not getattr(cygrpc, "g_gevent_activated", True)


class _Waiting:
    """Where grpcio's calls wait, and its callbacks run: in place of both pools that ``init_gevent`` takes.

    Those are of the thread that imports ``grpc``, and of the one that makes the first channel. If that is a
    thread of ``offload``, calls in handlers do not wait in the pool, but stop the hub, and callbacks never
    run; streams in other threads hang, too. And ten calls that wait would hold up ``offload`` and look-ups of
    names.
    """

    def __init__(self) -> None:
        self._hub = get_hub()
        self._threads = ThreadPool(_MAX_WAITING)

    def begin(self) -> None:
        """``grpc`` has been imported."""
        try:
            cygrpc: Any = import_module("grpc._cython.cygrpc")
            from grpc.experimental.gevent import init_gevent

            init_gevent()
            cygrpc.g_gevent_threadpool = cygrpc.g_gevent_pool = self
            cygrpc.AioChannel = cygrpc.AioServer = _refuse_asyncio
            channel: Any = import_module("grpc._channel")
            cygrpc.threading = channel.threading = _Threading(threading)
        except (ImportError, AttributeError):
            log.warning(
                "this version of grpcio does not know gevent: its calls stop the whole hub", exc_info=True
            )

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Wait until ``function`` has waited. Another thread has a gevent hub of its own, as has a child."""
        hub = get_hub()
        threads = self._threads if hub is self._hub else hub.threadpool
        return threads.apply(function, args)

    def spawn(self, function: Callable[[], None]) -> None:
        """Run what takes callbacks from grpcio's threads. Whoever makes the first channel asks for it."""
        self._hub.loop.run_callback_threadsafe(spawn, function)


class _Threading:
    """``threading``, as the modules of grpcio see it: a channel's users in handlers and in threads of
    ``offload`` may share its locks."""

    RLock = Lock = staticmethod(SharedRLock)

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def Condition(self) -> threading.Condition:
        return threading.Condition(SharedRLock())  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _refuse_asyncio(*args: Any, **kwargs: Any) -> NoReturn:
    """In place of what waits in C in a thread of its own, which is a greenlet here and would stop the hub."""
    raise RuntimeError(
        "grpc.aio does not work in a hub, nor elsewhere where gevent has patched the process: make a channel "
        "of grpc's own, whose calls cooperate"
    )
