"""Writes lines to a descriptor in a thread of the operating system's, so that nothing else ever waits for
whoever reads them.

It may be a pipe that is full, a terminal that is stopped, or a disk that hangs. ``O_NONBLOCK`` would do for
some of those, but belongs to the open file, which the parent and other processes have too.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
from _thread import RLock
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from gevent.monkey import get_original

from actorrpc.log.escaping import AT_ONCE

__all__ = ["Writer"]

#: Bytes that may wait for a reader that stalls; what comes then is left out, and counted.
LIMIT = 1024 * 1024
#: What a line that is longer goes on with.
FOLD = b"    "
#: What a line that waits takes beside its bytes.
OVERHEAD = 100

_SLOW = "it was not read"

# Threads and locks of the system's, whatever gevent has patched. An RLock always is.
_start_thread: Callable[..., Any] = get_original("_thread", "start_new_thread")
_allocate_lock: Callable[[], Any] = get_original("_thread", "allocate_lock")
_poll: Callable[[], Any] = get_original("select", "poll")

#: What there is to write, and how many lines that stands for.
_Chunk = tuple[bytes, int]


def _note(count: int, why: str) -> bytes:
    return f"{count} lines are left out here: {why}\n".encode()


def _pieces(data: bytes) -> Iterator[bytes]:
    """The data in whole lines, as many as may be written at once; a line that is longer goes on in others,
    which are indented, and no character of UTF-8 is cut."""
    while len(data) > AT_ONCE:
        end = data.rfind(b"\n", 0, AT_ONCE) + 1
        if end:
            yield data[:end]
            data = data[end:]
            continue
        end = AT_ONCE - 1
        while data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[:end] + b"\n"
        data = FOLD + data[end:]
    yield data


class Writer:
    """Writes to ``fd``.

    The thread lives as long as there is something to write: a process that forks is best of one thread.
    """

    def __init__(self, fd: int, limit: int = LIMIT) -> None:
        self._fd = fd
        self._limit = limit
        #: Makes the line that tells how many were left out, and why.
        self.note: Callable[[int, str], bytes] = _note
        self.forked()

    def forked(self) -> None:
        """Begin anew, in a child: what waits is its parent's to write."""
        # Reentrant, for what a signal's handler logs.
        self._lock = RLock()
        self._chunks: deque[_Chunk] = deque()
        self._waiting = 0
        self._left_out = 0
        self._why = _SLOW
        self._running = False
        self._idle: list[Any] = []
        #: The last thing written was not a whole line.
        self._torn = False

    def put(self, line: bytes) -> None:
        """Write a line, which ends with a newline, soon. Never blocks; may be called by any thread."""
        with self._lock:
            if self._waiting + len(line) + OVERHEAD > self._limit:
                self._left_out += 1
                return
            self._add(line)
            if self._running:
                return
            self._running = True
        try:
            _start_thread(self._run, ())
        except RuntimeError:  # no room for a thread, or the interpreter is about to end
            self._write_what_fits()

    def flush(self, seconds: float) -> bool:
        """Block this thread until all has been written, or could not be. False if it takes longer."""
        with self._lock:
            if not self._running:
                return True
            idle = _allocate_lock()
            idle.acquire()
            self._idle.append(idle)
        return bool(idle.acquire(True, seconds))

    def _add(self, line: bytes) -> None:
        """Have a line wait, or none, after a note of those that should stand before it."""
        lines = self._left_out + bool(line)
        if self._left_out:
            line = self.note(self._left_out, self._why) + line
            self._left_out = 0
        self._waiting += len(line) + OVERHEAD
        self._chunks.append((line, lines))

    # ---- the thread

    def _run(self) -> None:
        written = False
        try:
            while (chunk := self._take(written)) is not None:
                written = self._write(chunk)
        except BaseException:  # a fault of ours: the next line shall start another thread
            self._running = False
            raise

    def _take(self, written: bool) -> _Chunk | None:
        """What to write next; None if there is nothing, and the thread is over. ``written``: the last could
        be, so that what was left out can be told though nothing follows."""
        with self._lock:
            if not self._chunks and written and self._left_out:
                self._add(b"")
            if not self._chunks:
                self._running = False
                for idle in self._idle:
                    idle.release()
                self._idle = []
                return None
            data, lines = self._chunks.popleft()
            taken = [data]
            size = len(data)
            while self._chunks and size + len(self._chunks[0][0]) <= AT_ONCE:
                data, more = self._chunks.popleft()
                taken.append(data)
                size += len(data)
                lines += more
            self._waiting -= OVERHEAD * len(taken)
            return b"".join(taken), lines

    def _write(self, chunk: _Chunk) -> bool:
        """Write it, however long that takes. Whether it could be."""
        data, lines = chunk
        self._append()
        pieces = _pieces(b"\n" + data if self._torn else data)
        error = next(filter(None, map(self._write_piece, pieces)), None)
        with self._lock:
            self._waiting -= len(data)
            if error is not None:
                self._left_out += lines
                self._why = error.strerror or str(error)
            elif not self._left_out:
                self._why = _SLOW
        return error is None

    def _append(self) -> None:
        """Have each write go to the end of a file, wherever that is by then: after somebody made it shorter
        (logrotate's ``copytruncate``), zeros would come before the next line. That belongs to the open file
        too, and harms nobody who writes to it."""
        with suppress(OSError):
            flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
            if not flags & os.O_APPEND and stat.S_ISREG(os.fstat(self._fd).st_mode):
                fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | os.O_APPEND)

    def _write_piece(self, data: bytes) -> OSError | None:
        left = memoryview(data)
        while left:
            try:
                written = os.write(self._fd, left)
            except BlockingIOError:  # another process has made it so
                self._poll().poll()
            except OSError as error:
                return error
            else:
                left = left[written:]
                self._torn = bool(left)
        return None

    def _poll(self) -> Any:
        poll = _poll()
        poll.register(self._fd, select.POLLOUT)
        return poll

    # ---- without a thread

    def _write_what_fits(self) -> None:
        """Write what can be without waiting: a pipe that is ready takes ``AT_ONCE`` bytes."""
        poll = self._poll()
        with suppress(OSError):
            while self._chunks and poll.poll(0):
                data, _ = self._chunks.popleft()
                self._waiting -= len(data) + OVERHEAD
                os.write(self._fd, next(_pieces(data)))
        self._running = False

    def __repr__(self) -> str:
        return f"<Writer to {self._fd}, {self._waiting} bytes wait, {self._left_out} lines left out>"
