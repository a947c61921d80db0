"""The log of one process: what it has granted as the home of slots. The next home of a slot reads it.

Entries are appended, and count from then on. One that is torn, since its writer died in it, was never acted
upon. The log is written anew, by its writer alone, when it is mostly about what is no longer so.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from struct import Struct

from actorrpc.forks import hold
from actorrpc.hub.directory import files
from actorrpc.hub.directory.names import NOWHERE, Location, Name
from actorrpc.pb.directory_pb2 import Entry, Forget, Grant

__all__ = ["GrantLog", "Line", "Table", "forget", "grant", "log_path", "read_log", "table_of", "whole"]

#: Who owns which keys of a slot.
Table = dict[Name, Location]
#: What the log says of a slot: an Entry, or nothing, which says that what comes before is no longer so.
Line = tuple[int, bytes]

# The length of what follows, and the slot: who reads the log for some slots skips what is about others.
_HEAD = Struct("<II")


def log_path(directory: str, serial: int) -> str:
    return os.path.join(directory, f"hub-{serial}.log")


def grant(slot: int, name: Name, location: Location) -> Line:
    owner, epoch = location
    entry = Entry(grant=Grant(service=name[0], key=name[1], owner=owner, epoch=epoch))
    return slot, entry.SerializeToString()


def forget(slot: int, name: Name, epoch: int) -> Line:
    return slot, Entry(forget=Forget(service=name[0], key=name[1], epoch=epoch)).SerializeToString()


def whole(tables: Mapping[int, Table]) -> Iterator[Line]:
    """All that there is to say of these slots."""
    for slot, table in tables.items():
        yield slot, b""
        for name, location in table.items():
            yield grant(slot, name, location)


class GrantLog:
    """The log of this process, in a new file. Raises OSError if that cannot be made, and wherever it cannot
    be written; then nothing has been."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = files.replace(path, b"")
        self._size = 0
        #: How many entries there are, also of what is no longer so.
        self.count = 0
        hold(self)

    def append(self, lines: Iterable[Line]) -> None:
        """Write lines: all, or none."""
        data, count = _encoded(lines)
        try:
            if files.append(self._fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            # What follows must not be behind half of an entry. If that fails nothing may follow.
            try:
                files.truncate(self._fd, self._size)
            except OSError:
                self.close()
            raise
        self._size += len(data)
        self.count += count

    def rewrite(self, lines: Iterable[Line]) -> None:
        """Replace all that has been written by these."""
        data, count = _encoded(lines)
        fd = files.replace(self._path, data)
        self.close()
        self._fd, self._size, self.count = fd, len(data), count

    def descriptors(self) -> list[int]:
        """For a child, which shall not write it."""
        return [self._fd] if self._fd >= 0 else []

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            files.close_now(fd)

    def __repr__(self) -> str:
        return f"<GrantLog {self._path}, {self.count} entries>"


def _encoded(lines: Iterable[Line]) -> tuple[bytes, int]:
    data = [_HEAD.pack(len(payload), slot) + payload for slot, payload in lines]
    return b"".join(data), len(data)


def read_log(path: str, slots: Collection[int]) -> dict[int, list[bytes]]:
    """What a log says of slots, for ``table_of``. Raises OSError if it is not there."""
    said: dict[int, list[bytes]] = {slot: [] for slot in slots}
    with open(path, "rb") as file:
        data = file.read()
    at, size = 0, len(data)
    while at + _HEAD.size <= size:
        length, slot = _HEAD.unpack_from(data, at)
        at += _HEAD.size + length
        if at > size:
            break  # torn
        if slot in said:
            if length:
                said[slot].append(data[at - length : at])
            else:
                said[slot].clear()
    return said


def table_of(entries: Iterable[bytes]) -> Table:
    """What a log has said of a slot."""
    table: Table = {}
    for payload in entries:
        entry = Entry.FromString(payload)
        if entry.HasField("grant"):
            said = entry.grant
            table[said.service, said.key] = Location(said.owner, said.epoch)
        else:
            name = (entry.forget.service, entry.forget.key)
            if table.get(name, NOWHERE).epoch == entry.forget.epoch:
                del table[name]
    return table
