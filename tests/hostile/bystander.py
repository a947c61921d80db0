"""A well-behaved client on a connection of its own, and how long its calls take.

It is grpcio in a process of its own, so that neither the attacker nor the test slows it down. It makes one
unary call, then sends one message on a stream that it holds and waits for the reply, and again. On its
standard input it gets a number, waits for that many calls, and prints all since it was last asked.
"""

from __future__ import annotations

import json
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from actorrpc.percentile import percentile

#: Between two calls; the hub is to have time to spare.
PAUSE = 0.001
#: No call of it takes as long as that.
DEADLINE = 20.0
#: How long a test waits for its calls.
PATIENCE = 60.0


@dataclass(frozen=True)
class Latencies:
    """Of some calls, in seconds, and what those that failed said."""

    seconds: list[float]
    failures: list[str]

    @property
    def p50(self) -> float:
        return median(self.seconds)

    @property
    def p99(self) -> float:
        return percentile(self.seconds, 99)

    def __str__(self) -> str:
        times = f"p50 {self.p50 * 1000:.1f} ms, p99 {self.p99 * 1000:.1f} ms, max {max(self.seconds):.3f} s"
        return f"{len(self.seconds)} calls, {times}, {len(self.failures)} failed {self.failures[:1]}"


class Bystander:
    """The test's side of the process."""

    def __init__(self, address: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self.take(10)

    def take(self, calls: int) -> Latencies:
        """All calls since the last ``take``; waits until they are at least ``calls``."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(calls, file=self._process.stdin, flush=True)
        answered = select.select([self._process.stdout], [], [], PATIENCE)[0]
        assert answered, f"{calls} calls take the bystander more than {PATIENCE} s"
        return Latencies(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()


class _Caller(threading.Thread):
    """Calls until the process ends."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._address = address
        self.changed = threading.Condition()
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        import grpc  # not in the tests' own process, which has gevent's signal handlers and threads

        from tests.apps.shapes_actorrpc import StatefulStub, StatelessStub
        from tests.apps.shapes_pb2 import Item

        with grpc.insecure_channel(self._address) as channel:
            unary = StatelessStub(channel).Unary
            replies = None
            while True:
                self._time(lambda: unary(Item(number=1), timeout=DEADLINE))
                if replies is None:  # the first time, or the hub has ended the stream
                    to_send: queue.Queue[Item] = queue.Queue()
                    replies = StatefulStub(channel).Talk(iter(to_send.get, None))
                to_send.put(Item(number=2))
                if not self._time(replies.__next__):
                    replies = None
                time.sleep(PAUSE)

    def _time(self, call: Callable[[], object]) -> bool:
        began = time.perf_counter()
        failure = ""
        try:
            call()
        except Exception as error:
            failure = _words(error)
        with self.changed:
            self.seconds.append(time.perf_counter() - began)
            if failure:
                self.failures.append(failure)
            self.changed.notify()
        return not failure


def _words(error: Any) -> str:
    return f"{error.code()}: {error.details()}" if hasattr(error, "details") else repr(error)


def main(address: str) -> None:
    caller = _Caller(address)
    caller.start()
    for line in sys.stdin:
        with caller.changed:
            while len(caller.seconds) < int(line):
                caller.changed.wait()
            answer = {"seconds": caller.seconds, "failures": caller.failures}
            caller.seconds, caller.failures = [], []
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
