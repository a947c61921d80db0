"""Calls that nobody answers, and when the server ends them, by the client's own clock.

grpcio would end a call by its own timer at the same moment, so this client speaks HTTP/2 itself (with h2)
and has no timer at all: whatever ends a call came over the wire. A call's time begins just before its bytes
are sent and ends when its trailers have been read; so what is measured as lateness holds both ways through
the socket and whatever the connection was doing just then, such as moving.

Beside that it is measured how late this process itself wakes when it has asked for a time: what a machine
with more to do than it has cores adds to everything.
"""

from __future__ import annotations

import argparse
import random
import selectors
import socket
import threading
import time
from array import array
from collections import Counter

import h2.config
import h2.connection
import h2.events

from actorrpc.net.addresses import address_text, parse_address
from tests.chaos.crew import Deaths, Orders, tell
from tests.chaos.figures import summary

#: Deadlines, in ms, and open calls on each connection. A handler that blocks holds up a move, so that its
#: deadlines are short.
SILENT, BLOCKED = (20, 500), (5, 40)
OPEN = 8
#: A call that is not over by so much after its deadline has been forgotten.
FORGOTTEN = 5.0
#: How long it sleeps at most.
TICK = 0.002


class Stopwatch:
    """One connection with calls under way."""

    def __init__(self, address: str, method: str, chance: random.Random) -> None:
        self.late = array("f")
        self.statuses: Counter[str] = Counter()
        #: How many hubs had been killed when it connected.
        self.born = 0
        self._path = f"/storm.Storm/{method}"
        self._range = BLOCKED if method == "Blocked" else SILENT
        self._calls = 1 if method == "Blocked" else OPEN
        self._chance = chance
        self._address = address
        self.connect()

    def connect(self, deaths: int = 0) -> None:
        """Begin, or begin again after so many deaths: calls that were under way are forgotten."""
        self.born = deaths
        self._due: dict[int, float] = {}
        self.sock = socket.create_connection(parse_address(self._address))
        self.peer = address_text(self.sock.getsockname())
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._h2.initiate_connection()

    def fill(self) -> None:
        """Have as many calls open as there should be."""
        while len(self._due) < self._calls:
            milliseconds = self._chance.randint(*self._range)
            stream = self._h2.get_next_available_stream_id()
            headers = [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", self._path),
                (":authority", "storm"),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("grpc-timeout", f"{milliseconds}m"),
            ]
            self._h2.send_headers(stream, headers)
            self._h2.send_data(stream, bytes(5), end_stream=True)  # an empty message
            self._due[stream] = time.monotonic() + milliseconds / 1000
        self._send()

    def receive(self) -> None:
        data = self.sock.recv(65_536)
        now = time.monotonic()
        if not data:
            raise ConnectionResetError(f"the server has closed the connection of {self._path}")
        for event in self._h2.receive_data(data):
            if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                status = dict(event.headers).get(b"grpc-status")
                if status is not None:
                    self.statuses[status.decode()] += 1
                    self.late.append(now - self._due.pop(event.stream_id))
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                self.statuses[type(event).__name__] += 1
                self._due.pop(getattr(event, "stream_id", 0), None)
        self._send()

    def _send(self) -> None:
        if data := self._h2.data_to_send():
            try:
                self.sock.sendall(data)
            except ConnectionError:
                pass  # who receives will learn of it

    @property
    def busy(self) -> bool:
        return bool(self._due)

    def forgotten(self, now: float) -> list[int]:
        return [stream for stream, due in self._due.items() if now - due > FORGOTTEN]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--silent", type=int, required=True, help="connections whose handlers keep the call")
    parser.add_argument("--blocked", type=int, required=True, help="connections whose handlers block")
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    methods = ["Silent"] * arguments.silent + ["Blocked"] * arguments.blocked
    watches = [Stopwatch(arguments.address, method, chance) for method in methods]
    going, stopping = threading.Event(), threading.Event()
    deaths = Deaths()

    def stop() -> None:
        going.set()
        stopping.set()

    Orders(going.set, stop, deaths)
    wakes = array("f")
    with selectors.DefaultSelector() as selector:
        for watch in watches:
            selector.register(watch.sock, selectors.EVENT_READ, watch)
            watch.fill()
        while not all(watch.late for watch in watches):
            _step(selector, wakes, deaths)
        tell("ready")
        while not stopping.is_set() or any(watch.busy for watch in watches):
            if not stopping.is_set():
                for watch in watches:
                    watch.fill()
            _step(selector, wakes, deaths)
            now = time.monotonic()
            if lost := [watch for watch in watches if watch.forgotten(now)]:
                tell({"fault": f"deadlines passed {FORGOTTEN} s ago without a word: {len(lost)} connections"})
                break
    _report(watches, methods, wakes)


def _step(selector: selectors.BaseSelector, wakes: array[float], deaths: Deaths) -> None:
    due = time.monotonic() + TICK
    ready = selector.select(TICK)
    if not ready:
        wakes.append(time.monotonic() - due)
    for key, _ in ready:
        watch = key.data
        try:
            watch.receive()
        except ConnectionError as error:
            if not deaths.wait(watch.born):
                raise
            tell({"lost": watch.peer, "at": time.monotonic(), "why": repr(error)})
            selector.unregister(watch.sock)
            watch.sock.close()
            watch.connect(deaths.count)
            selector.register(watch.sock, selectors.EVENT_READ, watch)
            tell({"back": watch.peer})


def _report(watches: list[Stopwatch], methods: list[str], wakes: array[float]) -> None:
    late: dict[str, array[float]] = {method: array("f") for method in methods}
    for watch, method in zip(watches, methods, strict=True):
        late[method].extend(watch.late)
        wrong = {status: count for status, count in watch.statuses.items() if status != "4"}
        if wrong:
            tell({"fault": f"calls of {method} ended otherwise than by their deadline: {wrong}"})
        if min(watch.late) < 0:
            tell({"fault": f"a deadline of {method} came {-min(watch.late) * 1000:.1f} ms early"})
    late["this process"] = wakes
    tell(
        {
            "late": {method: summary(times) for method, times in late.items()},
            "within_20_ms": {method: _share(times, 0.020) for method, times in late.items()},
        }
    )


def _share(times: array[float], limit: float) -> float:
    return round(sum(each <= limit for each in times) / len(times), 6)


if __name__ == "__main__":
    main()
