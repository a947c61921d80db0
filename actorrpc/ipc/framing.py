"""How messages lie on a stream socket between the processes of one machine.

A frame is the length of its payload (4 bytes, big endian), the number of its file descriptors (1 byte),
and the payload, a serialized Protobuf message. The descriptors travel by SCM_RIGHTS with the frame's first
byte. Linux keeps their order, but a read may return bytes of several frames, or part of one; so the reader
keeps descriptors in their order, and each frame takes its number of them.

Does no I/O, and imports no gevent: the command line asks the broker with it, and must start quickly.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable

from google.protobuf.message import Message

from actorrpc.loop.descriptors import close_now

__all__ = ["MAX_FDS", "MAX_FRAME", "BrokenFrame", "FrameReader", "close_all", "encode"]

#: The largest payload, unless a Link is told otherwise.
MAX_FRAME = 128 * 1024 * 1024
#: What Linux passes with one message (SCM_MAX_FD).
MAX_FDS = 253

_HEADER = struct.Struct(">IB")
# Stands among the descriptors for those that this process had no room for.
_LOST = -1


def encode(message: Message, fds: int = 0, max_frame: int = MAX_FRAME) -> bytes:
    """Return the message as a frame that says it has ``fds`` descriptors. Raises ValueError if too large."""
    payload = message.SerializeToString()
    if len(payload) > max_frame:
        raise ValueError(f"a message of {len(payload)} bytes; at most {max_frame} can be sent")
    if fds > MAX_FDS:
        raise ValueError(f"a message with {fds} descriptors; at most {MAX_FDS} can be sent")
    return _HEADER.pack(len(payload), fds) + payload


class BrokenFrame(Exception):
    """What came is not a frame: the stream cannot be followed any further."""


class FrameReader:
    """Bytes and descriptors in, whole frames out, in order. Does no I/O."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._bytes = bytearray()
        self._fds: deque[int] = deque()

    def receive(self, chunk: bytes, fds: Iterable[int] = (), *, truncated: bool = False) -> None:
        """Take what one read returned. ``truncated``: the kernel dropped some of its descriptors."""
        self._bytes += chunk
        self._fds.extend(fds)
        if truncated:
            self._fds.append(_LOST)

    def next_frame(self) -> tuple[bytes, tuple[int, ...]] | None:
        """Return the payload and the descriptors of the next frame, None while it is incomplete.

        Raises BrokenFrame if the frame is too large, or comes without its descriptors.
        """
        if len(self._bytes) < _HEADER.size:
            return None
        length, count = _HEADER.unpack_from(self._bytes)
        end = _HEADER.size + length
        if length > self._max_frame:
            raise BrokenFrame(f"a frame of {length} bytes; at most {self._max_frame} are allowed")
        if len(self._bytes) < end:
            return None
        fds = self._take(count)
        with memoryview(self._bytes) as view:
            payload = bytes(view[_HEADER.size : end])
        del self._bytes[:end]
        return payload, fds

    def _take(self, count: int) -> tuple[int, ...]:
        taken: list[int] = []
        while len(taken) < count:
            if not self._fds:
                close_all(taken)
                raise BrokenFrame(f"a frame with {len(taken)} of its {count} descriptors")
            if (fd := self._fds.popleft()) == _LOST:
                close_all(taken)
                return ()
            taken.append(fd)
        return tuple(taken)

    @property
    def descriptors(self) -> list[int]:
        """Those that no frame has claimed yet."""
        return [fd for fd in self._fds if fd != _LOST]

    def close(self) -> None:
        """Close the descriptors that no frame has claimed."""
        close_all(self.descriptors)
        self._fds.clear()
        self._bytes.clear()


def close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        close_now(fd)
