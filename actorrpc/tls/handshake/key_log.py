"""The key log of OpenSSL, which is how its traffic secrets are told, in memory.

Python's ``ssl`` can only write it to a file that has a name. Here that is the write end of a pipe, by its
name in /proc/self/fd: what is written lies in the kernel until it is read, is never on a disk, not even in
swapped memory, and is read once. It takes 10 µs for each handshake; a memfd, which has to be truncated each
time, takes 30, and its memory may be swapped.
"""

from __future__ import annotations

import os

from actorrpc.loop.descriptors import close_now

__all__ = ["CLIENT_SECRET", "SERVER_SECRET", "KeyLog"]

#: Labels of the lines that say the secrets of application data (the log's format: RFC 9850).
CLIENT_SECRET, SERVER_SECRET = b"CLIENT_TRAFFIC_SECRET_0", b"SERVER_TRAFFIC_SECRET_0"

#: One handshake has less than 1 kB of it, and a pipe holds 64.
_READ = 1 << 16


class KeyLog:
    """The log of all contexts of one thread. It is to be read after each step of a handshake.

    A line that is written while the pipe is full would block the thread for ever: nobody else reads it.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._buffer = bytearray(_READ)

    @property
    def path(self) -> str:
        """The name that a context is to write to."""
        return f"/proc/self/fd/{self._writer}"

    def take(self, client_random: bytes) -> dict[bytes, bytes]:
        """The secrets that have been logged for this ClientHello since this was last called, by label.

        Lines of others are dropped.
        """
        found: dict[bytes, bytes] = {}
        try:
            size = os.readv(self._reader, [self._buffer])
        except BlockingIOError:
            return found
        buffer, wanted = self._buffer, client_random.hex().encode()
        for label in (CLIENT_SECRET, SERVER_SECRET):
            begins = b"%b %b " % (label, wanted)
            at = buffer.find(begins, 0, size)
            if at >= 0:
                at += len(begins)
                found[label] = bytes.fromhex(buffer[at : buffer.find(b"\n", at, size)].decode())
        buffer[:size] = bytes(size)
        return found

    def close(self) -> None:
        close_now(self._reader)
        close_now(self._writer)
