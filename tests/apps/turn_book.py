"""A file in which the turns of all keyed actors stand, in the order in which they ran, in whatever processes.

States are lost with their hubs, this is not. Records are appended with one write each, which the kernel does
one after the other.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

__all__ = ["VARIABLE", "Event", "Record", "read", "write"]

#: Names the file, if there is one.
VARIABLE = "PEERS_BOOK"
_RECORD = struct.Struct("<dQQIIIIBB")


class Event(IntEnum):
    """What stands there."""

    #: An actor is made.
    ACTIVATE = 0
    #: A serial turn begins: of a call; of what was told; and it ends.
    CALL = 1
    TELL = 2
    END = 3
    #: A call begins beside which others may run.
    BESIDE = 4


class Record(NamedTuple):
    """One event of the actor ``key``, a character, in its ``activation``. ``at``: of the machine's monotonic
    clock. ``call`` and ``number`` are the caller's: of all its calls, and of those to this key."""

    at: float
    caller: int
    activation: int
    call: int
    number: int
    turn: int
    pid: int
    key: str
    event: Event


def write(record: Record) -> None:
    if _file is not None:
        *numbers, key, event = record
        os.write(_file, _RECORD.pack(*numbers, ord(key), event))


def read(path: Path) -> Iterator[Record]:
    for fields in _RECORD.iter_unpack(path.read_bytes()):
        at, caller, activation, call, number, turn, pid, key, event = fields
        yield Record(at, caller, activation, call, number, turn, pid, chr(key), Event(event))


def _open() -> int | None:
    path = os.environ.get(VARIABLE)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC) if path else None


_file = _open()
