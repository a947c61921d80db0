"""A client of raw frames on a real socket, for what no well-behaved client does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from actorrpc.net.addresses import parse_address
from tests.support import raw

__all__ = ["RawClient", "raw_client"]

#: For an answer that does come.
PATIENCE = 60.0


class RawClient:
    """One connection. ``frames`` is what has been received, as (type, flags, stream, payload)."""

    def __init__(self, address: str) -> None:
        self.sock = socket.create_connection(parse_address(address))
        self.sock.settimeout(PATIENCE)
        self.port = self.sock.getsockname()[1]
        self.frames: list[tuple[int, int, int, bytes]] = []
        self._rest = b""
        self.ended = False

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self) -> None:
        """Read once. Raises TimeoutError if nothing comes."""
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.ended = not data
        self._rest += data
        while len(self._rest) >= 9:
            end = 9 + int.from_bytes(self._rest[:3], "big")
            if len(self._rest) < end:
                break
            self.frames.extend(raw.frames(self._rest[:end]))
            self._rest = self._rest[end:]

    def wait_for(self, type_: int, flags: int = 0) -> tuple[int, int, int, bytes]:
        """The first frame of a type with these flags that has not been asked for yet."""
        while True:
            for frame in self.frames:
                if frame[0] == type_ and frame[1] & flags == flags:
                    self.frames.remove(frame)
                    return frame
            assert not self.ended, f"the server closed; it had sent {self.frames}"
            self.receive()

    def wait_for_end(self) -> None:
        """Read until the server closes."""
        while not self.ended:
            self.receive()


@contextmanager
def raw_client(address: str, begin: bytes = raw.OPEN) -> Iterator[RawClient]:
    """A client that has sent ``begin``, closed at the end of the block."""
    client = RawClient(address)
    try:
        client.send(begin)
        yield client
    finally:
        client.sock.close()
