"""Clients that do not slow down: calls begin at times drawn before, whatever became of the ones before them.

The plan comes as a line of JSON from the standard input: ``seed``; ``microseconds`` of CPU for each call;
``clients``, a list of [PROCESS, RATE], where a connection shall be and its calls a second, at random;
``probes``, the processes that have a probe each, whose connection cannot move, and which calls for nothing,
once in each ``period`` at a random moment of it; ``settle`` and ``seconds``.

It says ``ready`` and JSON, the processes that the clients are with, when all are. On a line ``go`` it begins,
and after ``settle`` seconds takes down for so many ``seconds`` what calls of probes take: from the moment at
which they should have begun, also where they began later, to the reply; where there is none, to the end. Then
it prints JSON, in seconds: ``probes``, what the calls of each probe took, and ``late``, how much later than
they should all calls began.
"""

from __future__ import annotations

import argparse
import gc
import json
import select
import sys
from collections.abc import Iterator
from heapq import merge
from random import Random
from time import perf_counter
from typing import Any

from hpack import HPACKError

from benchmarks.clients.raw import CallFailed, Connection, Method
from benchmarks.gen.bench_pb2 import Ping, Place, Task

#: Connections that may come to the wrong hub in a row.
_ATTEMPTS = 200
#: Seconds in which what is under way at the end may be answered.
LINGER = 1.0

_NOTHING = Method("/bench.Worker/Work", Task().SerializeToString())
_HOLD = Method("/bench.Movable/Hold", Ping().SerializeToString())

#: When a call begins, and the number of its connection.
Start = tuple[float, int]


def connect(address: str, wanted: int) -> Connection:
    """A connection with a process: made again until the kernel has put it there."""
    for _ in range(_ATTEMPTS):
        connection = Connection(address)
        connection.call(_NOTHING, 0.0)
        while not connection.receive():
            pass
        if Place.FromString(connection.message).pid == wanted:
            return connection
        connection.close()
    raise CallFailed(f"no connection comes to process {wanted}")


def hold(connection: Connection) -> None:
    """Make a call that does not end, so that the connection stays where it is."""
    connection.message = b""
    connection.call(_HOLD, 0.0)
    while not connection.message:
        connection.receive()


def at_random(random: Random, rate: float, seconds: float, number: int) -> Iterator[Start]:
    """A Poisson process of so many a second."""
    now = random.expovariate(rate)
    while now < seconds:
        yield now, number
        now += random.expovariate(rate)


def steadily(random: Random, period: float, seconds: float, number: int) -> Iterator[Start]:
    """One in each period, at a random moment: a rhythm might meet that of a client again and again."""
    for at in range(int(seconds / period)):
        yield (at + random.random()) * period, number


class Clients:
    """All connections, those of the probes first, and what these had to wait."""

    def __init__(self, address: str, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._probes = len(plan["probes"])
        self._work = Method("/bench.Worker/Work", Task(microseconds=plan["microseconds"]).SerializeToString())
        # Before the connections, since select() knows no descriptor over 1023.
        self._poller = select.epoll()
        pids = [*plan["probes"], *(pid for pid, _ in plan["clients"])]
        self._connections = [connect(address, pid) for pid in pids]
        for number, connection in enumerate(self._connections):
            if number < self._probes:
                hold(connection)
            connection.block(False)
            self._poller.register(connection.fileno(), select.EPOLLIN)
        self._numbers = {connection.fileno(): at for at, connection in enumerate(self._connections)}
        self._took: list[list[float]] = [[] for _ in plan["probes"]]
        self._late: list[float] = []
        self._began = 0.0

    def starts(self) -> list[Start]:
        """All calls that will be made, in the order of their times."""
        seconds = self._plan["settle"] + self._plan["seconds"]
        drawn: list[Iterator[Start]] = []
        for number in range(len(self._connections)):
            # Numbers of their own, so that one client more changes nothing for the others.
            random = Random(f"{self._plan['seed']} {number}")
            if number < self._probes:
                drawn.append(steadily(random, self._plan["period"], seconds, number))
            else:
                rate = self._plan["clients"][number - self._probes][1]
                drawn.append(at_random(random, rate, seconds, number))
        return list(merge(*drawn))

    def run(self, starts: list[Start]) -> None:
        """Make the calls. Raises CallFailed if one ends badly, or if a probe is not where it was."""
        self._began = perf_counter()
        for at, number in starts:
            # Replies are read before each call, also where calls are late.
            self._read(max(at - self._now(), 0.0))
            while (left := at - self._now()) > 0:
                self._read(left)
            self._begin(at, number)
        end = self._now() + LINGER
        while (left := end - self._now()) > 0 and any(self._unanswered()):
            self._read(left)
        self._give_up()

    def close(self) -> None:
        self._poller.close()
        for connection in self._connections:
            connection.close()

    def _now(self) -> float:
        return perf_counter() - self._began

    def _begin(self, at: float, number: int) -> None:
        self._late.append(self._now() - at)
        self._connections[number].call(_NOTHING if number < self._probes else self._work, at)

    def _read(self, seconds: float) -> None:
        """Read what is there, or what comes first within so many seconds."""
        # epoll waits for whole milliseconds; select does not, and can wait for an epoll.
        if not select.select([self._poller], [], [], seconds)[0]:
            return
        for fd, _ in self._poller.poll(0):
            number = self._numbers[fd]
            for since in self._connections[number].receive():
                self._note(number, since)

    def _note(self, number: int, since: float) -> None:
        if number < self._probes and since >= self._plan["settle"]:
            self._took[number].append(self._now() - since)

    def _unanswered(self) -> Iterator[tuple[int, float]]:
        """Each call of work, and of probes but the one that holds them."""
        for number, connection in enumerate(self._connections):
            for at, since in enumerate(connection.under_way()):
                if at or number >= self._probes:
                    yield number, since

    def _give_up(self) -> None:
        for number, since in self._unanswered():
            self._note(number, since)
        for number in range(self._probes):
            if Place.FromString(self._connections[number].message).pid != self._plan["probes"][number]:
                raise CallFailed("a probe has moved")

    def document(self) -> dict[str, Any]:
        return {"probes": self._took, "late": self._late}


def run(address: str) -> None:
    plan = json.loads(sys.stdin.readline())
    clients = Clients(address, plan)
    starts = clients.starts()
    print("ready", json.dumps({"clients": [pid for pid, _ in plan["clients"]]}), flush=True)
    if sys.stdin.readline().strip() != "go":
        raise ValueError("not told to go")
    gc.collect()
    gc.disable()  # its pauses are not the server's
    clients.run(starts)
    clients.close()
    print(json.dumps(clients.document()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address")
    options = parser.parse_args()
    try:
        run(options.address)
    except (CallFailed, HPACKError, OSError, ValueError) as error:
        sys.exit(f"a call failed: {error}")


if __name__ == "__main__":
    main()
