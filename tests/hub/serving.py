"""Hubs in a thread of the test's process, so that a test can ask them anything and force what it needs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import gevent
import gevent.event

from actorrpc.app import App
from actorrpc.config import Config
from actorrpc.hub.node import Node
from actorrpc.pb import control_pb2

T = TypeVar("T")

WAIT = 60.0


class Hubs:
    """``count`` nodes joined by links, in one gevent loop of its own thread; the first one listens.

    ``spread``: it gives each connection to the least loaded.
    """

    def __init__(
        self, app: App, count: int = 1, *, spread: bool = False, move_every: int = 0, **config: Any
    ) -> None:
        self._move_every = move_every
        self._spread = spread
        self.moved: list[control_pb2.Moved] = []
        self.address = ""
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(app, count, Config(**config)), daemon=True)
        self._thread.start()
        assert self._ready.wait(WAIT)
        if self._error is not None:
            raise self._error

    def _run(self, app: App, count: int, config: Config) -> None:
        try:
            self._loop = gevent.get_hub().loop
            self._wake = self._loop.async_()
            self._wake.start(self._run_jobs)
            self._jobs: list[Callable[[], None]] = []
            self._end = gevent.event.Event()
            self.nodes = [
                Node(app, config, hub=hub, on_moved=self.moved.append, move_every=self._move_every)
                for hub in range(count)
            ]
            for left in range(count):
                for right in range(left):
                    ends = socket.socketpair()
                    self.nodes[left].add_peer(right, ends[0])
                    self.nodes[right].add_peer(left, ends[1])
            for node in self.nodes:
                node.set_homes(range(count), 1)
            listener = socket.create_server(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{listener.getsockname()[1]}"
            self.nodes[0].listen(listener, spread=self._spread)
        except BaseException as error:
            self._error = error
        self._ready.set()
        if self._error is None:
            self._end.wait()
            gevent.get_hub().destroy(destroy_loop=True)

    def _run_jobs(self) -> None:
        while self._jobs:
            self._jobs.pop(0)()

    def ask(self, question: Callable[[], T]) -> T:
        """The result of a function, called in the hubs' loop."""
        answered = threading.Event()
        answer: list[T] = []
        errors: list[BaseException] = []

        def job() -> None:
            try:
                answer.append(question())
            except BaseException as error:
                errors.append(error)
            answered.set()

        self._jobs.append(job)
        self._wake.send()
        assert answered.wait(WAIT)
        if errors:
            raise errors[0]
        return answer[0]

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
                self._loop.timer(0.001).start(watch)

        self.ask(watch)
        assert done.wait(WAIT), "the condition did not come about"
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
            node.move(id, target, results.append)

        self.ask(begin)
        return self.wait_for(lambda: results and results[0])

    def close(self) -> None:
        stopped: list[None] = []
        running = [node for node in self.nodes if node._stopped is None]
        self.ask(lambda: [node.stop(0, lambda: stopped.append(None)) for node in running])
        self.wait_for(lambda: len(stopped) == len(running))
        self.ask(self._end.set)
        self._thread.join(WAIT)


@contextmanager
def serving(app: App, count: int = 1, **config: Any) -> Iterator[Hubs]:
    """Hubs that are stopped at the end of the block."""
    hubs = Hubs(app, count, **config)
    try:
        yield hubs
    finally:
        hubs.close()
