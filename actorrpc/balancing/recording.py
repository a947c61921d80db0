"""What the hubs reported and which connections moved, in a file that `actorrpc simulate --replay` reads.

One JSON object on each line: ``{"t": seconds, "hubs": [...]}`` with the reports of a second, and
``{"t": seconds, "moved": {...}}`` for each move that has ended.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, TextIO

from actorrpc.balancing.view import HubLoad
from actorrpc.errors import ConfigError

__all__ = ["Recording", "recording"]

log = logging.getLogger("actorrpc.broker")

#: Seconds between two reports that are written: 6 kB for each hub with 48 connections to name.
PERIOD = 1.0


@contextmanager
def recording(path: str | None) -> Iterator[Recording | None]:
    """Record to a file until the block ends; with None, do not.

    What is in it stays until there is something to write.

    Raises ConfigError if the file cannot be made.
    """
    if path is None:
        yield None
        return
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(errno.EINVAL, "it is no ordinary file")  # which might make the broker wait
        file = open(path, "a", encoding="utf-8")  # noqa: SIM115  # the recording closes it
    except OSError as error:
        raise ConfigError(f"cannot record to {path}: {error.strerror}") from error
    recorder = Recording(file)
    try:
        yield recorder
    finally:
        recorder.close()


class Recording:
    """Writes to a text file, which is its own from now on."""

    def __init__(self, file: TextIO) -> None:
        self._file: TextIO | None = file
        self._began = time.monotonic()
        self._next = 0.0
        #: What an earlier recording has left has gone.
        self._begun = False

    def report(self, hubs: Iterable[HubLoad]) -> None:
        """Note what the hubs have reported, once a second however often this is called."""
        now = time.monotonic() - self._began
        if now >= self._next:
            self._next = max(self._next + PERIOD, now)
            self._write({"t": round(now, 3), "hubs": [_row(hub) for hub in hubs]})

    def moved(self, connection: str, source: int, target: int, aborted: str) -> None:
        """Note how a move has ended."""
        moved = {"connection": connection, "source": source, "target": target, "aborted": aborted}
        self._write({"t": round(time.monotonic() - self._began, 3), "moved": moved})

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # what could not be written before cannot be now
                self._file.close()
            self._file = None

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            return
        try:
            if not self._begun:
                self._file.truncate(0)
                self._begun = True
            self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
            self._file.flush()
        except OSError as error:  # a full disk: better no recording than no broker
            log.error("the recording ends: %s", error)
            self.close()

    def __repr__(self) -> str:
        return f"<Recording {'closed' if self._file is None else self._file.name}>"


def _row(hub: HubLoad) -> dict[str, Any]:
    return {
        "hub": hub.hub,
        "busy": round(hub.busy, 4),
        "connections": hub.connections,
        "lag_ms": round(hub.lag_ms, 3),
        "heaviest": [_rounded(asdict(each)) for each in hub.heaviest],
        "others": [_rounded(asdict(each)) for each in hub.others],
    }


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()}
