"""A TCP proxy that keeps what client and server say to each other, byte for byte."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from actorrpc.net.addresses import address_text, parse_address
from tests.support.waiting import PATIENCE

__all__ = ["Proxy", "proxied"]


class Proxy:
    """``address`` is where clients connect. ``connections``: what client and server of each have said.

    All that has been passed on is in there, since it is kept first.
    """

    def __init__(self, listener: socket.socket, server: str) -> None:
        self.address = address_text(listener.getsockname())
        self.connections: list[tuple[bytearray, bytearray]] = []
        self._listener = listener
        self._server = server

    def accept(self) -> None:
        """Pass on all that connect until the listener is shut down, and these until they have gone."""
        threads = []
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # it was shut down
                break
            said = bytearray(), bytearray()
            self.connections.append(said)
            upstream = socket.create_connection(parse_address(self._server))
            threads.append(Thread(target=_pass_on, args=(client, upstream, *said), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def __repr__(self) -> str:
        return f"<Proxy {self.address} of {self._server}, {len(self.connections)} connections>"


@contextmanager
def proxied(server: str) -> Iterator[Proxy]:
    """A proxy in front of a server. Its clients must have gone at the end of the block, or go soon after."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener, server)
        acceptor = Thread(target=proxy.accept, daemon=True)
        acceptor.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(PATIENCE)


def _pass_on(client: socket.socket, upstream: socket.socket, sent: bytearray, answered: bytearray) -> None:
    """Until both have closed, or one has reset its connection."""
    ways = {client: (upstream, sent), upstream: (client, answered)}
    with client, upstream:
        try:
            while ways:
                for source in select.select(list(ways), [], [])[0]:
                    target, kept = ways[source]
                    if data := source.recv(65_536):
                        kept += data
                        target.sendall(data)
                    else:
                        del ways[source]
                        target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other is closed, too, at the end of the block
