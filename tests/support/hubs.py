"""Hubs in a thread of the test's process, so that a test can ask them anything and force what it needs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import gevent

from actorrpc.app import App
from actorrpc.config import Config
from actorrpc.pb import control_pb2
from actorrpc.testing.hubs import Hubs as Joined
from actorrpc.testing.thread import LoopThread
from tests.support.waiting import PATIENCE

T = TypeVar("T")


class Hubs:
    """``count`` nodes joined by links, in one gevent loop of its own thread; the first one listens.

    ``spread``: it gives each connection to the least loaded. With certificates in ``config`` clients speak
    TLS.
    """

    def __init__(
        self, app: App, count: int = 1, *, spread: bool = False, move_every: int = 0, **config: Any
    ) -> None:
        self._thread = LoopThread("the hubs of a test")
        try:
            self.ask(lambda: self._begin(app, Config(**config), count, move_every, spread))
        except BaseException:
            self._thread.stop()
            raise

    def _begin(self, app: App, config: Config, count: int, move_every: int, spread: bool) -> None:
        self._joined = joined = Joined(app, config, count, move_every=move_every)
        self.nodes = joined.nodes
        self.moved = joined.moved
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        if config.tls is not None:
            for node in self.nodes:
                node.reception.tls = frozenset({0})
        self.nodes[0].reception.listen(listener, spread=spread)

    def ask(self, question: Callable[[], T]) -> T:
        """The result of a function, called in the hubs' loop."""
        return self._thread.ask(question, PATIENCE)

    def wait_for(self, condition: Callable[[], T]) -> T:
        """The first true result of a condition, looked at whenever the hubs' loop comes round."""
        done = threading.Event()
        found: list[T] = []

        def watch() -> None:
            result = condition()
            if result:
                found.append(result)
                done.set()
            elif not done.is_set():
                gevent.get_hub().loop.timer(0.001).start(watch)

        self.ask(watch)
        assert done.wait(PATIENCE), "the condition did not come about"
        return found[0]

    def connection(self) -> Any:
        """The only connection, on whichever hub it is."""
        return self.wait_for(lambda: next((c for n in self.nodes for c in n.connections.values()), None))

    def move(self, target: int, id: str | None = None) -> control_pb2.MoveResult:
        """Move the only connection, or the one named, to a hub, and wait for the outcome."""
        id = id or self.connection().id
        results: list[control_pb2.MoveResult] = []

        def begin() -> None:
            node = next(n for n in self.nodes if id in n.connections)
            node.mover.move(id, target, results.append)

        self.ask(begin)
        return self.wait_for(lambda: results)[0]

    def close(self) -> None:
        stopped: list[None] = []
        running = [node for node in self.nodes if node._stopped is None]

        def stop() -> None:
            for node in running:
                node.stop(0, lambda: stopped.append(None))

        self.ask(stop)
        self.wait_for(lambda: len(stopped) == len(running))
        self._joined.remove_files()
        self._thread.stop()


@contextmanager
def serving(app: App, count: int = 1, **config: Any) -> Iterator[Hubs]:
    """Hubs that are stopped at the end of the block."""
    hubs = Hubs(app, count, **config)
    try:
        yield hubs
    finally:
        hubs.close()
