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
from actorrpc.hub.directory.names import Location, Name
from actorrpc.pb.directory_pb2 import Entry, Forget, Grant

__all__ = ["GrantLog", "Table", "forget", "grant", "log_path", "read_grants", "whole"]

#: Who owns which keys of a slot.
Table = dict[Name, Location]

_LENGTH = Struct("<I")


def log_path(directory: str, serial: int) -> str:
    return os.path.join(directory, f"hub-{serial}.log")


def grant(slot: int, name: Name, location: Location) -> Entry:
    owner, epoch = location
    return Entry(grant=Grant(slot=slot, service=name[0], key=name[1], owner=owner, epoch=epoch))


def forget(slot: int, name: Name, epoch: int) -> Entry:
    return Entry(forget=Forget(slot=slot, service=name[0], key=name[1], epoch=epoch))


def whole(tables: Mapping[int, Table]) -> Iterator[Entry]:
    """All that there is to say of these slots."""
    for slot, table in tables.items():
        yield Entry(taken=slot)
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

    def append(self, entries: Iterable[Entry]) -> None:
        """Write entries: all, or none."""
        data, count = _encoded(entries)
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

    def rewrite(self, entries: Iterable[Entry]) -> None:
        """Replace all that has been written by these."""
        data, count = _encoded(entries)
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


def _encoded(entries: Iterable[Entry]) -> tuple[bytes, int]:
    payloads = [entry.SerializeToString() for entry in entries]
    return b"".join(_LENGTH.pack(len(payload)) + payload for payload in payloads), len(payloads)


def read_grants(path: str, slots: Collection[int]) -> dict[int, Table]:
    """What a log says of slots. Raises OSError if it is not there."""
    tables: dict[int, Table] = {slot: {} for slot in slots}
    with open(path, "rb") as file:
        data = file.read()
    for entry in _entries(data):
        kind = entry.WhichOneof("kind")
        if kind == "taken":
            if entry.taken in tables:
                tables[entry.taken].clear()
            continue
        said = entry.grant if kind == "grant" else entry.forget
        table = tables.get(said.slot)
        if table is None:
            continue
        name = (said.service, said.key)
        if kind == "grant":
            table[name] = Location(entry.grant.owner, entry.grant.epoch)
        elif name in table and table[name].epoch == said.epoch:
            del table[name]
    return tables


def _entries(data: bytes) -> Iterator[Entry]:
    at = 0
    while at + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + length > len(data):
            return  # torn
        yield Entry.FromString(data[at : at + length])
        at += length
