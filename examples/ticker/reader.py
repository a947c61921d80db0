"""Reads the exchange in a greenlet, and gives each price to whoever has begun that."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator

import gevent

from actorrpc import RpcError
from examples.ticker.ticker_pb2 import Price

__all__ = ["Reader"]

log = logging.getLogger("examples.ticker")

#: Seconds until an exchange that says nothing is taken for gone, and until it is called again.
SILENCE, PAUSE = 10.0, 0.2

#: Takes a price, and the number of its line.
Take = Callable[[int, Price], None]


class Reader:
    """One greenlet at most, from ``begin`` to ``end``."""

    def __init__(self) -> None:
        self._greenlet: gevent.Greenlet[..., None] | None = None

    def begin(self, line: int, take: Take) -> None:
        """Call ``take`` with each price after a line; after 0 with those that come from now on."""
        self._greenlet = gevent.spawn(self._read, line, take)

    def end(self) -> None:
        """Read no more. When this returns, ``take`` runs no more, and has not been left half-way."""
        if self._greenlet is not None:
            self._greenlet.kill()  # where it waits: for the exchange
            self._greenlet = None

    def _read(self, line: int, take: Take) -> None:
        while True:
            try:
                for number, price in _prices(line):
                    take(number, price)
                    line = number
                log.warning("the exchange has hung up after line %d", line)
            except OSError as error:
                log.warning("the exchange cannot be read: %s", error)
            except RpcError as error:  # too much waits to be published: the line is read again
                log.warning("line %d is not published: %s", line + 1, error)
            gevent.sleep(PAUSE)

    def __repr__(self) -> str:
        return f"<Reader {'reads' if self._greenlet else 'rests'}>"


def _prices(line: int) -> Iterator[tuple[int, Price]]:
    """The prices after a line, and the numbers of theirs. Raises OSError."""
    host, _, port = os.environ.get("TICKER_EXCHANGE", "127.0.0.1:50100").rpartition(":")
    # In a hub gevent waits here, as in any code that knows nothing of gevent: others run meanwhile.
    with socket.create_connection((host, int(port)), SILENCE) as exchange, exchange.makefile("rw") as lines:
        print(f"AFTER {line}", file=lines, flush=True)
        for text in lines:
            found, symbol, number, cents = text.split()
            yield int(found), Price(symbol=symbol, number=int(number), cents=int(cents))
