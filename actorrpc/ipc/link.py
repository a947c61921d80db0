"""``Link``: messages with file descriptors between processes, on the gevent loop.

All that the broker and the hubs say to each other goes through links; ``framing`` tells how it lies on the
socket.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gevent import get_hub
from google.protobuf.message import DecodeError, Message

from actorrpc.forks import hold
from actorrpc.ipc.framing import MAX_FDS, MAX_FRAME, BrokenFrame, FrameReader, close_all, encode
from actorrpc.ipc.spares import Spares
from actorrpc.loop.timers import after
from actorrpc.net.sockets import socket_of

__all__ = ["Link"]

log = logging.getLogger("actorrpc.ipc")

Inbound = TypeVar("Inbound", bound=Message)

_ANCILLARY = socket.CMSG_SPACE(MAX_FDS * array("i").itemsize)
# Bytes read or written in one callback of the loop. A small message takes 10 µs with buffers of up to
# 128 KiB, and 26 µs with 256: malloc gets those from the kernel, and gives them back, each time.
_PORTION = 64 * 1024
# The kernel takes nothing now, and the socket will not say when it does: too many descriptors are under
# way between processes (the limit is the sender's RLIMIT_NOFILE), or memory is short.
_CROWDED = (errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)
_CROWDED_PAUSE = 0.02


@dataclass
class _Outgoing:
    """What is left of a frame that waits for the kernel. ``fds`` are our own dups, until they are sent."""

    rest: memoryview
    fds: tuple[int, ...]
    then: Callable[[], None] | None

    def release(self) -> None:
        close_all(self.fds)
        self.fds = ()


class Link(Generic[Inbound]):
    """Frames in both directions over a connected unix stream socket, on the gevent loop of its thread.

    ``on_message(message, fds)`` is called in the loop's callback for each frame in order: it must not
    block. The descriptors are close-on-exec and belong to it from then on. They come all, or, when this
    process was out of descriptors, not at all. What it raises is logged.

    No frame of more than ``max_frame`` bytes is received, nor sent one of more than ``max_sent``, the same by
    default. ``on_taken`` is called when the kernel has taken some of what had to wait.

    ``on_close(link)`` is called once, when the other side has closed or the stream broke, after all
    complete frames have been delivered; not after ``close()``. The link takes the descriptor out of ``sock``
    and owns it.
    """

    def __init__(
        self,
        sock: socket.socket,
        inbound: type[Inbound],
        on_message: Callable[[Inbound, tuple[int, ...]], None],
        on_close: Callable[[Link[Inbound]], None],
        *,
        max_frame: int = MAX_FRAME,
        max_sent: int | None = None,
        on_taken: Callable[[], object] | None = None,
    ) -> None:
        self._sock = socket_of(sock.detach())
        self._fd = self._sock.fileno()
        self._inbound = inbound
        self._on_message = on_message
        self._on_close = on_close
        self._max_sent = max_frame if max_sent is None else max_sent
        self._on_taken = on_taken
        self._frames = FrameReader(max_frame)
        self._outgoing: deque[_Outgoing] = deque()
        #: Bytes that wait for the kernel to take them.
        self.unsent = 0
        self.closed = False
        #: It ended before all that had come was read: something that the other side has said is lost.
        self.broken = False
        self._spares = Spares()
        # The other side takes nothing more; what it said before may still have to be read.
        self._deaf = False
        self._loop = get_hub().loop
        self._reader: Any = self._loop.io(self._fd, 1)
        self._writer: Any = self._loop.io(self._fd, 2)
        self._pause: Any = None
        self._reader.start(self._read)
        hold(self)

    def send(self, message: Message, fds: Sequence[int] = (), then: Callable[[], None] | None = None) -> bool:
        """Send one frame, now as far as the kernel takes it, the rest from the loop. Never blocks.

        ``then()`` is called when the kernel has taken the last byte, perhaps before this returns, and
        never if the link ends first. The caller keeps its descriptors, and may close them at once.

        Returns False, and does nothing, on a link that has ended. Raises ValueError if the message or the
        number of descriptors is too large, OSError if a descriptor is bad or cannot be kept for later;
        then nothing has been sent.
        """
        data = memoryview(encode(message, len(fds), self._max_sent))
        if self.closed or self._deaf:
            return False
        try:
            taken = 0 if self._outgoing else self._write(data, fds)
        except ConnectionError:
            self._go_deaf()
            return False
        if taken == len(data):
            _run(then)
        else:
            self._enqueue(_Outgoing(data[taken:], () if taken else _dup_all(fds), then))
        return True

    def reserve(self) -> None:
        """Keep room for one descriptor that is to come, until ``unreserve``. Raises OSError if there is none.

        Descriptors that this process has no room for are lost. One whose sender lets go of it must not be.
        """
        self._spares.reserve()

    def unreserve(self) -> None:
        """The descriptor has come, or will not."""
        self._spares.unreserve()

    def drain(self) -> None:
        """Deliver at once what has already arrived; for when the process at the other end has died."""
        while not self.closed and self._read():
            pass

    def give_up(self) -> None:
        """End the link as if it had broken: ``on_close`` is called."""
        self._end(broken=True)

    def close(self) -> None:
        """End the link. What waits to be sent is dropped; ``on_close`` is not called."""
        if self.closed:
            return
        self.closed = True
        self._drop_unsent()
        self._reader.stop()
        self._reader.close()
        self._writer.close()
        self._frames.close()
        self._spares.close()
        self._sock.close()

    def descriptors(self) -> list[int]:
        """All that it has, for a child, which may keep none of them."""
        if self.closed:
            return []
        queued = [fd for frame in self._outgoing for fd in frame.fds]
        return [self._fd, *queued, *self._spares.descriptors, *self._frames.descriptors]

    def _read(self) -> bool:
        """Read one portion and deliver its frames. Returns False when nothing is there."""
        try:
            self._spares.make_room()
            chunk, ancillary, flags, _ = self._sock.recvmsg(_PORTION, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            self._spares.fill()
            return False
        except OSError as error:
            broken = not isinstance(error, ConnectionError)
            if broken:
                log.error("%r cannot read: %s", self, error)
            self._end(broken)
            return False
        if not chunk:
            self._end()
            return False
        self._frames.receive(chunk, _received(ancillary), truncated=bool(flags & socket.MSG_CTRUNC))
        self._deliver()
        # Only now: what has come is most often what the room was kept for, and the client waits for it.
        self._spares.fill()
        return True

    def _deliver(self) -> None:
        try:
            # A callback may close the link; then the rest is nobody's.
            while not self.closed and (frame := self._frames.next_frame()):
                self._deliver_one(*frame)
        except BrokenFrame as error:
            log.error("%r broke: %s", self, error)
            self._end(broken=True)

    def _deliver_one(self, payload: bytes, fds: tuple[int, ...]) -> None:
        try:
            message = self._inbound.FromString(payload)
        except DecodeError as error:
            log.error("%r ignores a frame that is not a %s: %s", self, self._inbound.__name__, error)
            close_all(fds)
            return
        try:
            self._on_message(message, fds)
        except Exception:
            log.exception("%r: error while handling a message", self)

    def _end(self, broken: bool = False) -> None:
        if self.closed:
            return
        self.broken = broken
        self.close()
        try:
            self._on_close(self)
        except Exception:
            log.exception("%r: error while handling its end", self)

    def _enqueue(self, frame: _Outgoing) -> None:
        if not self._outgoing and not self._pause:
            self._writer.start(self._on_writable)
        self._outgoing.append(frame)
        self.unsent += len(frame.rest)

    def _write(self, data: memoryview, fds: Sequence[int]) -> int:
        """Return how many bytes the kernel took, 0 for not now; the descriptors go with the first byte."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        try:
            return self._sock.sendmsg([data[:_PORTION]], rights, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno not in _CROWDED:
                raise
            self._wait_for_room()
            return 0

    def _wait_for_room(self) -> None:
        if self._pause is None:
            self._pause = after(_CROWDED_PAUSE, self._resume)

    def _on_writable(self) -> None:
        budget = _PORTION
        try:
            while self._outgoing and budget > 0:
                taken = self._write(self._outgoing[0].rest, self._outgoing[0].fds)
                if not taken:
                    break
                budget -= taken
                self._advance(taken)
            _run(self._on_taken)
        except OSError as error:
            if not isinstance(error, ConnectionError):
                log.error("%r cannot write: %s", self, error)
            self._go_deaf()
        if not self.closed and (self._pause or not self._outgoing):
            self._writer.stop()

    def _resume(self) -> None:
        self._pause = None
        self._writer.start(self._on_writable)

    def _advance(self, taken: int) -> None:
        """Count what the kernel took of the first frame."""
        first = self._outgoing[0]
        first.release()
        first.rest = first.rest[taken:]
        self.unsent -= taken
        if first.rest:
            return
        self._outgoing.popleft()
        _run(first.then)

    def _go_deaf(self) -> None:
        """The other side takes nothing more; read what it has said, then end as at EOF."""
        self._deaf = True
        self._drop_unsent()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _drop_unsent(self) -> None:
        for frame in self._outgoing:
            frame.release()
        self._outgoing.clear()
        self.unsent = 0
        self._writer.stop()
        if self._pause:
            self._pause.stop()
            self._pause = None

    def __repr__(self) -> str:
        state = "closed" if self.closed else "ending" if self._deaf else "open"
        return (
            f"<Link {state} fd={self._fd} for {self._inbound.__name__}: {len(self._outgoing)} frames unsent>"
        )


def _received(ancillary: list[tuple[int, int, bytes]]) -> array[int]:
    """The descriptors among what recvmsg returned."""
    fds = array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return fds


def _dup_all(fds: Iterable[int]) -> tuple[int, ...]:
    kept: list[int] = []
    try:
        for fd in fds:
            kept.append(os.dup(fd))
    except OSError:
        close_all(kept)
        raise
    return tuple(kept)


def _run(then: Callable[[], object] | None) -> None:
    if then is None:
        return
    try:
        then()
    except Exception:
        log.exception("error in what follows a sent message")
