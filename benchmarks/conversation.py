"""What a real client says to a server over HTTP/2: a TCP proxy for one connection keeps it.

The benchmarks repeat it, or show by it what a load has on the wire.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from benchmarks.http2 import PREFACE, Frame, split
from benchmarks.processes import BenchmarkError

__all__ = ["Conversation", "overheard"]

#: Seconds. No pause in a conversation is as long, so a client that never comes does not leave us waiting.
_SILENCE = 10.0


class Conversation:
    """What a client has sent. Complete once the block of ``overheard`` has ended."""

    def __init__(self, address: str) -> None:
        #: The proxy's, for the client to connect to.
        self.address = address
        self.sent = b""

    def frames(self) -> Iterator[Frame]:
        """What came after the preface. Raises BenchmarkError if there was none."""
        if not self.sent.startswith(PREFACE):
            raise BenchmarkError(f"the client did not speak HTTP/2: {self.sent[:40]!r}")
        return split(self.sent[len(PREFACE) :])


@contextmanager
def overheard(server: str) -> Iterator[Conversation]:
    """Keep what the first client says that comes to ``address`` of the result, on its way to ``server``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_SILENCE)
        result = Conversation(f"127.0.0.1:{listener.getsockname()[1]}")
        thread = Thread(target=_serve, args=(listener, server, result), daemon=True)
        thread.start()
        yield result
        thread.join(_SILENCE)


def _serve(listener: socket.socket, server: str, result: Conversation) -> None:
    host, _, port = server.rpartition(":")
    try:
        client, _ = listener.accept()
        with client, socket.create_connection((host, int(port)), _SILENCE) as upstream:
            _forward(client, upstream, result)
    except OSError:
        pass  # what was said until then is for the caller to judge


def _forward(client: socket.socket, upstream: socket.socket, result: Conversation) -> None:
    others = {client: upstream, upstream: client}
    while readable := select.select(list(others), [], [], _SILENCE)[0]:
        for source in readable:
            data = source.recv(65536)
            if not data:
                return
            if source is client:
                result.sent += data
            others[source].sendall(data)
