"""What a client says to a server in HTTP/2, as a proxy between them hears it.

So the benchmarks see a real client's bytes: to repeat them, or to show what a load has on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hyperframe.frame import Frame

from benchmarks.http2 import PREFACE, split
from benchmarks.processes import BenchmarkError
from tests.support.proxy import Proxy, proxied

__all__ = ["Conversation", "conversation"]


class Conversation:
    """What the first client at ``address`` sends: whole when ``conversation``'s block has ended."""

    def __init__(self, proxy: Proxy) -> None:
        self.address = proxy.address
        self._proxy = proxy

    def frames(self) -> list[Frame]:
        """What came after the preface. Raises BenchmarkError if there was none."""
        sent = bytes(self._proxy.connections[0][0]) if self._proxy.connections else b""
        if not sent.startswith(PREFACE):
            raise BenchmarkError(f"the client did not speak HTTP/2: {sent[:40]!r}")
        return split(sent[len(PREFACE) :])[0]


@contextmanager
def conversation(server: str) -> Iterator[Conversation]:
    """Hear what is said to a server by who connects to the result's address."""
    with proxied(server) as proxy:
        yield Conversation(proxy)
