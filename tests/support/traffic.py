"""Clients that hold open streams and call throughout, and find out whatever fails meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from tests.apps.shapes_pb2 import Item
from tests.support.counting_client import CountingClient
from tests.support.waiting import PATIENCE, until

__all__ = ["Traffic", "traffic"]

#: Between two rounds of a client, in seconds: several of them leave the machine to the server.
REST = 0.05


class _Caller(CountingClient):
    """In a thread of its own, round after round: a call, a message on an open stream, and one that it
    publishes to a topic to which it listens. All are counted by its actor or numbered, so that nothing is
    lost or comes twice without being noticed."""

    def __init__(self, address: str, topic: str) -> None:
        super().__init__(address)
        self.rounds = 0
        #: The longest round, in seconds.
        self.longest = 0.0
        self.failure = ""
        self._topic = topic
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=topic)
        self._thread.start()

    def _run(self) -> None:
        try:
            messages: SimpleQueue[Item | None] = SimpleQueue()
            replies = self.stub.Talk(iter(messages.get, None), wait_for_ready=True)
            heard = self.stub.Listen(Item(text=self._topic), wait_for_ready=True)
            assert heard.initial_metadata(), "it listens"
            while not self._ending.wait(REST):
                began = time.monotonic()
                self._round(messages, replies, heard)
                self.longest = max(self.longest, time.monotonic() - began)
                self.rounds += 1
            messages.put(None)
            assert list(replies) == []
            heard.cancel()
        except BaseException as error:
            self.failure = f"{self._topic} after {self.rounds} rounds: {error!r}"

    def _round(self, messages: SimpleQueue[Item | None], replies: Any, heard: Any) -> None:
        self.call()
        self.calls += 1
        messages.put(Item(number=self.rounds))
        assert next(replies).number == self.rounds
        self.stub.Publish(Item(text=self._topic, number=self.rounds), timeout=PATIENCE)
        assert next(heard).number == self.rounds

    def end(self) -> None:
        self._ending.set()
        self._thread.join(PATIENCE)
        self.close()


class Traffic:
    """Such clients of one server, which has the app of ``tests.apps.shapes``."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._callers: list[_Caller] = []

    def more(self, count: int) -> None:
        """Let more clients come, and wait until each has been served."""
        first = len(self._callers)
        self._callers += [_Caller(self._address, f"topic {first + each}") for each in range(count)]
        self.go_on()

    @property
    def failures(self) -> list[str]:
        return [caller.failure for caller in self._callers if caller.failure]

    @property
    def longest(self) -> float:
        """Seconds that the longest round of any client has taken."""
        return max(caller.longest for caller in self._callers)

    def go_on(self) -> None:
        """Wait until each client has had another two rounds, of which one has begun after now."""
        before = [caller.rounds for caller in self._callers]
        until(
            lambda: (
                self.failures
                or all(caller.rounds >= was + 2 for caller, was in zip(self._callers, before, strict=True))
            )
        )
        assert self.failures == []

    def end(self) -> None:
        for caller in self._callers:
            caller._ending.set()
        for caller in self._callers:
            caller.end()


@contextmanager
def traffic(address: str, count: int) -> Iterator[Traffic]:
    """Traffic of so many clients while the block runs; then none of them may have seen anything fail."""
    traffic = Traffic(address)
    try:
        traffic.more(count)
        yield traffic
        traffic.go_on()
    finally:
        traffic.end()
    assert traffic.failures == []
