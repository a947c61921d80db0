"""A TCP proxy for one connection, which keeps what the client sends.

So the benchmarks see a real client's bytes: to repeat them, or to show what a load has on the wire.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from hyperframe.frame import Frame

from actorrpc.net.addresses import parse_address
from benchmarks.http2 import PREFACE, split
from benchmarks.processes import BenchmarkError

__all__ = ["Recording", "recording"]

#: Nothing that is recorded takes this long, so a client that never comes does not leave us waiting.
_SILENCE = 10.0


class Recording:
    """What a client has sent. Whole once the block of ``recording`` has ended."""

    def __init__(self, address: str) -> None:
        #: The proxy's, for the client to connect to.
        self.address = address
        self.sent = b""

    def frames(self) -> list[Frame]:
        """What came after the preface. Raises BenchmarkError if there was none."""
        if not self.sent.startswith(PREFACE):
            raise BenchmarkError(f"the recorded client did not speak HTTP/2: {self.sent[:40]!r}")
        return split(self.sent[len(PREFACE) :])[0]


@contextmanager
def recording(server: str) -> Iterator[Recording]:
    """Record the first connection that comes to ``address`` of the result; it goes on to ``server``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_SILENCE)
        result = Recording(f"127.0.0.1:{listener.getsockname()[1]}")
        thread = Thread(target=_serve, args=(listener, server, result), daemon=True)
        thread.start()
        yield result
        thread.join(_SILENCE)


def _serve(listener: socket.socket, server: str, result: Recording) -> None:
    try:
        client, _ = listener.accept()
        with client, socket.create_connection(parse_address(server), _SILENCE) as upstream:
            _forward(client, upstream, result)
    except OSError:
        pass  # what was recorded until then is for the caller to judge


def _forward(client: socket.socket, upstream: socket.socket, result: Recording) -> None:
    others = {client: upstream, upstream: client}
    while readable := select.select(list(others), [], [], _SILENCE)[0]:
        for source in readable:
            data = source.recv(65536)
            if not data:
                return
            if source is client:
                result.sent += data
            others[source].sendall(data)
