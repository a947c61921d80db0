"""A process of grpcio clients that make numbered calls all the time: clients/grpcio_numbered.py."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from selectors import EVENT_READ, DefaultSelector
from typing import NamedTuple

from benchmarks.processes import BenchmarkError, python

__all__ = ["Found", "NumberedClients", "numbered_clients"]

_BEGIN_TIMEOUT = _END_TIMEOUT = 120.0


class Found(NamedTuple):
    """What the clients have found."""

    #: When each call began, on the monotonic clock, and what it took, in seconds.
    calls: list[tuple[float, float]]
    #: What was wrong with each call that failed. Its client made no more.
    failed: list[str]
    #: Clients that have lost their connection.
    lost: int


class NumberedClients:
    """They make calls until ``end``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def end(self) -> Found:
        """Have them end their streams. Raises BenchmarkError if that is not to be."""
        try:
            out, _ = self._process.communicate("end\n", timeout=_END_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise BenchmarkError("the clients do not end") from None
        if self._process.returncode:
            raise BenchmarkError("the clients have failed: see above")
        found = json.loads(out)
        return Found([(began, took) for began, took in found["calls"]], found["failed"], found["lost"])


@contextmanager
def numbered_clients(address: str, count: int, period: float) -> Iterator[NumberedClients]:
    """Clients that make a pair of calls every ``period`` seconds, from when all have begun."""
    command = python("benchmarks.clients.grpcio_numbered", address, str(count), str(period))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            _await_ready(process)
            yield NumberedClients(process)
        finally:
            process.kill()


def _await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    with DefaultSelector() as selector:  # select() knows no more than a thousand descriptors
        selector.register(process.stdout, EVENT_READ)
        if not selector.select(_BEGIN_TIMEOUT):
            raise BenchmarkError(f"the clients have not begun after {_BEGIN_TIMEOUT:.0f} s")
    if (said := process.stdout.readline()) != "ready\n":
        raise BenchmarkError(f"the clients said {said!r} instead of ready: see above")
