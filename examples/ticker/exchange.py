"""A simulated exchange, which says prices to whoever connects: ``python -m examples.ticker.exchange``.

It speaks lines of text over TCP. The reader says after which line it goes on, and then hears each line, the
earlier ones at once and the others as they come:

    > AFTER 41
    < 42 ACME 17 10013          line 42: the 17th price of ACME is 100.13

``AFTER 0`` begins with the next line that comes. The exchange remembers the last lines only.
"""

from __future__ import annotations

import random
import socket
import socketserver
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle

__all__ = ["SYMBOLS", "Exchange"]

SYMBOLS = ("ACME", "BOLT", "CORK", "DUNE", "EDGE", "FERN", "GULF", "HIVE", "IRIS", "JADE")
#: Lines that are remembered.
KEPT = 10_000


class Exchange:
    """Says ``rate`` prices a second, in threads of its own, until the end of the ``with`` block."""

    def __init__(
        self,
        rate: float = 40.0,
        symbols: Sequence[str] = SYMBOLS,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self._rate = rate
        self._symbols = symbols
        self._lines: deque[bytes] = deque(maxlen=KEPT)
        #: How many lines there have been.
        self.said = 0
        #: How many lines readers have been told, in all.
        self.told = 0
        #: At most so many read at the same time.
        self.most_readers = 0
        self._readers: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._closed = threading.Event()
        exchange = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                # The reader may go at any time, or be killed.
                with suppress(OSError):
                    exchange._serve(self.connection, self.rfile.readline())

        self._server = socketserver.ThreadingTCPServer(address, Handler)
        self._server.daemon_threads = True
        self._threads = [threading.Thread(target=each) for each in (self._server.serve_forever, self._trade)]

    @property
    def address(self) -> str:
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def _trade(self) -> None:
        """Think of prices. They go up and down by chance."""
        cents = dict.fromkeys(self._symbols, 10_000)
        numbers = dict.fromkeys(self._symbols, 0)
        for symbol in cycle(self._symbols):
            if self._closed.wait(1 / self._rate):
                return
            cents[symbol] = max(1, cents[symbol] + random.randint(-20, 20))
            numbers[symbol] += 1
            with self._changed:
                self.said += 1
                self._lines.append(
                    b"%d %s %d %d\n" % (self.said, symbol.encode(), numbers[symbol], cents[symbol])
                )
                self._changed.notify_all()

    def _serve(self, reader: socket.socket, request: bytes) -> None:
        after = int(request.removeprefix(b"AFTER "))
        with self._changed:
            after = after or self.said
            self._readers = {each for each in self._readers if not _has_gone(each)} | {reader}
            self.most_readers = max(self.most_readers, len(self._readers))
        try:
            while lines := self._lines_after(after):
                reader.sendall(b"".join(lines))
                self.told += len(lines)
                after += len(lines)
        finally:
            self._readers.discard(reader)

    def _lines_after(self, line: int) -> list[bytes]:
        """Those after a line; waits for some. None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self.said > line or self._closed.is_set())
            return [] if self._closed.is_set() else [*self._lines][line - self.said :]

    def __enter__(self) -> Exchange:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._closed.set()
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    def __repr__(self) -> str:
        return f"<Exchange {self.address}, {self.said} lines, {len(self._readers)} readers>"


def _has_gone(reader: socket.socket) -> bool:
    """Whether the other end has been closed: readers say nothing after their first line."""
    try:
        return not reader.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def main() -> None:
    with Exchange(address=("127.0.0.1", 50100)) as exchange, suppress(KeyboardInterrupt):
        print(f"the exchange is open on {exchange.address}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
