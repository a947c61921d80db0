"""The journal of the directory: a file that all processes of a server append to and read, in one order.

It says which process may be the home of a slot (CLAIMED), whose log has all that is known of the slot (HELD),
and which processes there are (STARTED). That order decides: a claim counts if its version is later than that
of all claims before it, and HELD counts if its claim has not been overtaken before it. So whoever has read to
the end knows as much as anybody, and nobody needs a lock that a stopped process would keep.

The kernel appends one write after the other, whole, and a process is stopped before it or after it. Records
have a fixed size of which pages are a multiple, so that also one who is killed leaves whole ones.

Each process has a lock on one byte of the file, the one with the number of its serial, as long as it lives.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterable
from typing import NamedTuple

from actorrpc.forks import hold
from actorrpc.hub.directory import files
from actorrpc.ipc.directory_files import JOURNAL
from actorrpc.pids import exists

__all__ = ["Claim", "Journal"]

# The version (of STARTED: the pid), the serial, the slot, the kind.
_RECORD = struct.Struct("<QIHBx")
STARTED, CLAIMED, HELD = 1, 2, 3

# struct flock, as fcntl(2) has it; the last member is for the alignment.
_FLOCK = struct.Struct("hhqqi0q")

_PORTION = 1 << 20


class Claim(NamedTuple):
    """A process may be the home of a slot, with that version of the directory, if nobody has a later one."""

    version: int
    serial: int


class Journal:
    """The journal, opened by the process with this serial, which is known to live until ``close``.

    Raises OSError if it cannot be opened, and wherever it cannot be written or read.
    """

    def __init__(self, directory: str, serial: int) -> None:
        self._serial = serial
        #: By slot: the claim that counts, and that of whose log has all that is known of the slot.
        self.claims: dict[int, Claim] = {}
        self.holders: dict[int, Claim] = {}
        #: The pids of all that have ever started, by serial.
        self._pids: dict[int, int] = {}
        self._read = 0
        # Not made anew: what others go by would be another file.
        path = os.path.join(directory, JOURNAL)
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        hold(self)
        try:
            # It belongs to the open file, and not to the process: no other descriptor whose closing would
            # lose it.
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, serial))
            self._append([_RECORD.pack(os.getpid(), serial, 0, STARTED)])
        except BaseException:
            self.close()
            raise
        self.refresh()

    @property
    def started(self) -> list[int]:
        """The serials of all that have ever started, as far as it has been read."""
        return [*self._pids]

    def refresh(self) -> None:
        """Read what has been appended since."""
        size = files.size_of(self._fd)
        while size - self._read >= _RECORD.size:
            whole = (size - self._read) // _RECORD.size * _RECORD.size
            data = os.pread(self._fd, min(whole, _PORTION), self._read)
            self._read += len(data)
            for version, serial, slot, kind in _RECORD.iter_unpack(data):
                self._learn(Claim(version, serial), slot, kind)

    def _learn(self, claim: Claim, slot: int, kind: int) -> None:
        if kind == STARTED:
            self._pids[claim.serial] = claim.version
        elif kind == CLAIMED:
            if slot not in self.claims or self.claims[slot].version < claim.version:
                self.claims[slot] = claim
        elif kind == HELD and self.claims.get(slot) == claim:
            self.holders[slot] = claim

    def claim(self, slots: Iterable[int], version: int) -> None:
        """Claim slots with a version: ``refresh`` tells whether that counts."""
        self._append(_RECORD.pack(version, self._serial, slot, CLAIMED) for slot in slots)

    def held(self, slot: int) -> None:
        """Say that this process's log has all that is known of a slot which it has claimed last, as far as
        it has read."""
        self._append([_RECORD.pack(self.claims[slot].version, self._serial, slot, HELD)])

    def lives(self, serial: int) -> bool:
        """Whether a process lives, be it stopped: no if it has ended for certain, or never started."""
        if serial == self._serial:
            return True
        lock = fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, serial))
        if _FLOCK.unpack(lock)[0] == fcntl.F_UNLCK:
            return False
        # What the process has forked behind Python's back has the same open file, and so the lock.
        if serial not in self._pids:
            self.refresh()
        return serial not in self._pids or exists(self._pids[serial])

    def _append(self, records: Iterable[bytes]) -> None:
        data = b"".join(records)
        while data:
            taken = files.append(self._fd, data)
            if taken % _RECORD.size:
                raise OSError(errno.EIO, "the journal has been written in part")
            data = data[taken:]

    def descriptors(self) -> list[int]:
        """For a child, which must not keep the lock."""
        return [self._fd] if self._fd >= 0 else []

    def close(self) -> None:
        """From here on this process is known to have ended."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            files.close_now(fd)

    def __repr__(self) -> str:
        return f"<Journal of {len(self._pids)} processes, {len(self.claims)} slots claimed>"


def _flock(kind: int, serial: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, serial, 1, 0)
