"""Where connections have been, for the next broker: a file in the runtime directory that is added to.

It says only what has been, and nothing rests on it: what cannot be written or read is left out, which the log
says once.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator

from google.protobuf.message import DecodeError

from actorrpc.broker.host.runtime_dir import RuntimeDir, read_file, remove_file, replace_file
from actorrpc.broker.moves.past_moves import PastMove, PastMoves
from actorrpc.loop.descriptors import close_now
from actorrpc.pb import record_pb2

__all__ = ["MOST", "PastFile"]

log = logging.getLogger("actorrpc.broker")

#: A larger file is written anew, with what is still kept.
MOST = 8 * 1024 * 1024
#: In front of each attempt stands how many bytes it has.
_LENGTH = struct.Struct("<I")


class PastFile:
    """The file of one runtime directory, and what is to be in it."""

    def __init__(self, directory: RuntimeDir, past: PastMoves) -> None:
        self._path = directory.past_path
        self._past = past
        self._size = 0
        self._complained = False

    def clear(self) -> None:
        """Begin anew: there is no connection from before."""
        try:
            remove_file(self._path)
        except OSError as error:
            self._complain(error)

    def restore(self) -> None:
        """Know what the broker before this one has known."""
        try:
            content = read_file(self._path)
        except FileNotFoundError:
            return
        except OSError as error:
            self._complain(error)
            return
        try:
            for connection, past in _read(content):
                self._past.add(connection, past)
        except DecodeError as error:
            self._complain(error)
        self._past.take_news()
        try:
            self._write_anew()  # without half an attempt at its end, which would spoil what comes after it
        except OSError as error:
            self._complain(error)

    def write(self) -> None:
        """Add what has ended since the last time. Never raises."""
        news = self._past.take_news()
        if not news:
            return
        content = b"".join(_written(connection, past) for connection, past in news)
        try:
            if self._size + len(content) > MOST:
                self._write_anew()
            else:
                self._add(content)
            self._complained = False
        except OSError as error:
            self._complain(error)

    def _write_anew(self) -> None:
        content = b"".join(_written(connection, past) for connection, past in self._past.all())
        replace_file(self._path, content)
        self._size = len(content)

    def _add(self, content: bytes) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            written = os.write(fd, content)
            if written < len(content):  # the disk is full: half an attempt would spoil what comes after it
                os.ftruncate(fd, os.fstat(fd).st_size - written)
                raise OSError("the disk is full")
            self._size += written
        finally:
            close_now(fd)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            log.warning("where connections have been is not all known to the next broker: %s", error)
        self._complained = True

    def __repr__(self) -> str:
        return f"<PastFile {self._path}, {self._size} bytes>"


def _written(connection: str, past: PastMove) -> bytes:
    message = record_pb2.PastMove(
        connection=connection,
        at=past.at,
        source=past.source,
        target=past.target,
        by=past.by,
        reason=past.reason,
        aborted=past.why,
        pause_ms=past.pause_ms or 0.0,
        generation=past.generation or 0,
        times=past.times,
    ).SerializeToString()
    return _LENGTH.pack(len(message)) + message


def _read(content: bytes) -> Iterator[tuple[str, PastMove]]:
    """What is in a file, up to where it is whole: a broker may have died as it wrote. Raises DecodeError."""
    at = 0
    while at + _LENGTH.size <= len(content):
        (size,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size
        if at + size > len(content):
            return
        message = record_pb2.PastMove.FromString(content[at : at + size])
        at += size
        yield (
            message.connection,
            PastMove(
                message.at,
                message.source,
                message.target,
                message.by,
                message.reason,
                "aborted" if message.aborted else "moved",
                message.aborted,
                None if message.aborted else message.pause_ms,
                message.generation or None,
                message.times,
            ),
        )
