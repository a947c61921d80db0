"""``Dumps``: where a hub's process is that cannot answer, as it writes it into a pipe on a signal."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from gevent.lock import BoundedSemaphore
from gevent.socket import wait_read

from actorrpc.loop.descriptors import close_now
from actorrpc.pids import exists

__all__ = ["Dumps", "NoStack", "Place", "parse"]

#: How long a process may take until it writes, which it does in microseconds unless it waits in the kernel;
#: and how long until it goes on.
BEGIN, GO_ON = 1.0, 0.05
#: Bytes that are read of one dump: 100 places of 500 characters.
LONGEST = 64 * 1024

_STOPPED = "it is stopped (SIGSTOP, or a debugger)"
_IN_KERNEL = "it waits in the kernel, for a disk or a file server, say"
_NO_HANDLER = "it has no handler for the signal any more"
_HIDDEN = "/proc does not show its process to this one (hidepid)"
_NO_WORD = "it does not write it"


class NoStack(Exception):
    """The stack cannot be had. Its text says why."""


class Place(NamedTuple):
    """A line that runs, or waits."""

    file: str
    line: int
    function: str


class Dumps:
    """Asks one process. It owns the pipe's end."""

    def __init__(self, pid: int, signum: int, pipe: int, send: Callable[[int], object]) -> None:
        """``send(signum)`` sends the process a signal."""
        self._pid = pid
        self._signum = signum
        self._pipe = pipe
        self._send = send
        #: One at a time.
        self._asking = BoundedSemaphore()
        self._closed = False
        os.set_blocking(pipe, False)

    def take(self) -> list[Place]:
        """The stack of the main thread, the outermost place first. Waits for about a second at most.

        Raises NoStack if it cannot be had.
        """
        with self._asking:
            try:
                return self._take()
            finally:
                self._close_if_due()

    def _take(self) -> list[Place]:
        if self._closed:
            raise NoStack("its process has ended")
        state, caught = _look(self._pid)
        if state in "Tt":
            raise NoStack(_STOPPED)
        # To a process without a handler it would be the end.
        if not caught >> (self._signum - 1) & 1:
            raise NoStack(_NO_HANDLER)
        self._read()  # what came too late before
        self._send(self._signum)
        if not (places := parse(self._text())):
            raise NoStack(_IN_KERNEL if state == "D" else _NO_WORD)
        return places

    def _text(self) -> str:
        """What is written, to its end, which nothing marks."""
        text = b""
        patience = BEGIN
        while len(text) < LONGEST and self._readable(patience):
            if not (more := self._read()):
                break
            text += more
            patience = GO_ON
        return text.decode(errors="replace")

    def _readable(self, seconds: float) -> bool:
        try:
            wait_read(self._pipe, seconds, TimeoutError())
        except TimeoutError:
            return False
        return True

    def _read(self) -> bytes:
        with suppress(BlockingIOError):
            return os.read(self._pipe, LONGEST)
        return b""

    def descriptors(self) -> list[int]:
        """What no child may keep."""
        return [self._pipe] if self._pipe >= 0 else []

    def close(self) -> None:
        """The process has ended: close the pipe, once nobody reads it."""
        self._closed = True
        if not self._asking.locked():
            self._close_if_due()

    def _close_if_due(self) -> None:
        if self._closed and self._pipe >= 0:
            close_now(self._pipe)
            self._pipe = -1

    def __repr__(self) -> str:
        return f"<Dumps of pid {self._pid} by signal {self._signum}>"


def _look(pid: int) -> tuple[str, int]:
    """The state of a process, as a letter, and the set of signals that it has handlers for (proc(5)).

    Raises NoStack if it has ended, or is not shown.
    """
    try:
        with open(f"/proc/{pid}/status") as file:
            found = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    except OSError:
        raise NoStack(_HIDDEN if exists(pid) else "its process has ended") from None
    return found["State"][0], int(found["SigCgt"], 16)


#: As ``faulthandler`` writes it; a long name ends with an ellipsis, and no closing quotation mark.
_LINE = re.compile(r'  File "(.*?)"?, line (\d+|\?\?\?) in (.*)')


def parse(text: str) -> list[Place]:
    """The places of a dump by ``faulthandler``, the outermost first."""
    lines = filter(None, map(_LINE.fullmatch, text.splitlines()))
    found = [Place(line[1], int(line[2]) if line[2].isdigit() else 0, line[3]) for line in lines]
    return found[::-1]
