"""Loops in several threads of one process, which each have servers of their own."""

from __future__ import annotations

import socket
import threading
from typing import Any

from gevent import get_hub

from actorrpc.net.transport import Transport


class _Interrupted:
    """A socket that has some bytes; while it reads them, ``meanwhile`` runs, as other threads may."""

    def __init__(self, data: bytes, meanwhile: Any = lambda: None) -> None:
        self._data = data
        self._meanwhile = meanwhile
        self._pair = socket.socketpair()

    def fileno(self) -> int:
        return self._pair[0].fileno()

    def recv_into(self, buffer: memoryview) -> int:
        buffer[: len(self._data)] = self._data
        self._meanwhile()
        return len(self._data)

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        for each in self._pair:
            each.close()


class _Owner:
    def __init__(self, got: list[bytes]) -> None:
        self.on_bytes = got.append

    def on_end(self, why: str) -> None: ...
    def on_writable(self) -> None: ...


def _read(data: bytes, meanwhile: Any = lambda: None) -> bytes:
    got: list[bytes] = []
    sock: Any = _Interrupted(data, meanwhile)
    transport = Transport(sock, _Owner(got))
    transport.start()
    transport.read()
    transport.close()
    return got[0]


def test_what_one_reads_does_not_get_into_what_another_reads() -> None:
    other: list[bytes] = []

    def read_in_a_loop_of_its_own() -> None:
        other.append(_read(b"theirs"))
        get_hub().destroy(destroy_loop=True)

    def meanwhile() -> None:
        thread = threading.Thread(target=read_in_a_loop_of_its_own)
        thread.start()
        thread.join()

    assert _read(b"ours!!", meanwhile) == b"ours!!"
    assert other == [b"theirs"]
