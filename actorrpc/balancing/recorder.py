"""Records what a server's hubs report, for `actorrpc simulate --replay` (`actorrpc serve --record FILE`)."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from actorrpc.balancing.recording import move_line, report_line
from actorrpc.balancing.view import HubLoad
from actorrpc.errors import ConfigError

__all__ = ["Recorder", "recording_to"]

log = logging.getLogger("actorrpc.broker")

#: Seconds between two reports that are written: 6 kB for each hub with 48 connections to name.
PERIOD = 1.0


@contextmanager
def recording_to(path: str | None) -> Iterator[Recorder | None]:
    """Record to a file until the block ends; with None, do not.

    What the file has from before stays there until there is something to write.

    Raises ConfigError if the file cannot be made.
    """
    if path is None:
        yield None
        return
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(errno.EINVAL, "it is not an ordinary file")  # a pipe could block the broker
        file = open(path, "a", encoding="utf-8")  # noqa: SIM115  # the recorder closes it
    except OSError as error:
        raise ConfigError(f"cannot record to {path}: {error.strerror}") from error
    recorder = Recorder(file)
    try:
        yield recorder
    finally:
        recorder.close()


class Recorder:
    """Writes to a text file, and owns it from now on."""

    def __init__(self, file: TextIO) -> None:
        self._file: TextIO | None = file
        self._began = time.monotonic()
        self._next = 0.0
        #: Whether what an earlier recording left in the file has been removed.
        self._emptied = False

    def reported(self, hubs: Iterable[HubLoad]) -> None:
        """Note what the hubs have reported, once a second however often this is called."""
        now = time.monotonic() - self._began
        if now >= self._next:
            self._next = max(self._next + PERIOD, now)
            self._write(report_line(now, hubs))

    def moved(self, connection: str, source: int, target: int, aborted: str) -> None:
        """Note how a move has ended."""
        self._write(move_line(time.monotonic() - self._began, connection, source, target, aborted))

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # the disk is full, say
                self._file.close()
            self._file = None

    def _write(self, line: str) -> None:
        if self._file is None:
            return
        try:
            if not self._emptied:
                self._file.truncate(0)
                self._emptied = True
            self._file.write(line)
            self._file.flush()
        except OSError as error:  # a full disk: better no recording than no broker
            log.error("the recording ends: %s", error)
            self.close()

    def __repr__(self) -> str:
        return f"<Recorder {'closed' if self._file is None else self._file.name}>"
