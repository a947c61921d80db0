"""What a home knows, where it is kept, and whether it may still go by it.

``SharedStore`` keeps it in files, from which the next home takes it over; ``LoneStore`` is for a hub that has
no others beside it.

A home may be overtaken at any moment, also while it is stopped, and nobody asks it. So it first writes what
it grants in its log, then looks whether anybody has claimed the slot since, and only then acts upon it. The
next home first claims the slot, and then reads the log. Whatever the order of these four, either the next
home has read the grant, or this one has seen the claim and says nothing.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

from actorrpc.hub.directory.grant_log import (
    GrantLog,
    Line,
    Table,
    forget,
    grant,
    log_path,
    read_log,
    table_of,
    whole,
)
from actorrpc.hub.directory.journal import Journal
from actorrpc.hub.directory.names import Location, Name

__all__ = ["LoneStore", "SharedStore", "Store"]

#: A log is written anew when it has this many entries, and so many times as many as are needed.
MIN_ENTRIES = 1000
MAX_GARBAGE = 3


class Store(Protocol):
    """What is known of the slots that this process is the home of.

    All raise OSError where something cannot be read or written; then nothing has changed of who owns what.
    """

    def take(self, slots: Collection[int], version: int) -> None:
        """Become the home of slots of which the directory's version says so, unless another has heard of a
        later one. Those that are this process's stay so."""

    def finish_some(self, count: int) -> None:
        """Do what is still to be done for some of the slots that have been taken. ``table`` does it, too."""

    def table(self, slot: int) -> Table | None:
        """Who owns the keys of a slot, at this moment; None if this process is not its home."""

    def version(self, slot: int) -> int:
        """The version of the directory with which this process has become its home. No two that have been
        its home have the same, and later ones have later ones."""

    def grant(self, slot: int, name: Name, location: Location) -> bool:
        """Write down who owns a key. Returns False if nobody may be told, since this is the home no more."""

    def forget(self, slot: int, name: Name) -> bool:
        """Write down that nobody owns it. Returns False as ``grant`` does."""

    def lives(self, serial: int) -> bool:
        """Whether a process may live."""

    def close(self) -> None:
        """This process ends."""


class LoneStore:
    """All slots are this process's, and nobody reads what it knows."""

    def __init__(self, serial: int) -> None:
        self._serial = serial
        self._tables: defaultdict[int, Table] = defaultdict(dict)

    def take(self, slots: Collection[int], version: int) -> None: ...

    def finish_some(self, count: int) -> None: ...

    def table(self, slot: int) -> Table | None:
        return self._tables[slot]

    def version(self, slot: int) -> int:
        return 0

    def grant(self, slot: int, name: Name, location: Location) -> bool:
        self._tables[slot][name] = location
        return True

    def forget(self, slot: int, name: Name) -> bool:
        del self._tables[slot][name]
        return True

    def lives(self, serial: int) -> bool:
        return serial == self._serial

    def close(self) -> None: ...

    def __repr__(self) -> str:
        return f"<LoneStore of {sum(map(len, self._tables.values()))} keys>"


class SharedStore:
    """The files of one process among others, in a directory. Raises OSError if they cannot be made."""

    def __init__(self, directory: str, serial: int) -> None:
        self._directory = directory
        self._serial = serial
        # The log first: who has started is read.
        self._log = GrantLog(log_path(directory, serial))
        try:
            self._journal = Journal(directory, serial)
        except BaseException:
            self._log.close()
            raise
        #: What the log says of the slots that are this process's.
        self._tables: dict[int, Table] = {}
        #: What the former homes' logs say of those that it has claimed, and not looked through yet: that
        #: takes a few milliseconds for each slot, for which all connections wait.
        self._said: dict[int, list[bytes]] = {}
        #: At how many entries to look whether the log is to be written anew.
        self._enough = MIN_ENTRIES

    # ---- becoming the home

    def take(self, slots: Collection[int], version: int) -> None:
        for slot in slots:
            self._check(slot)
        taken = self._claim([slot for slot in slots if not self._has(slot)], version)
        if taken:
            self._read(taken)

    def _check(self, slot: int) -> None:
        """Forget what is known of a slot that has been claimed by another."""
        self._journal.refresh()
        if not self._is_claimed(slot):
            self._tables.pop(slot, None)
            self._said.pop(slot, None)

    def _is_claimed(self, slot: int) -> bool:
        claim = self._journal.claims.get(slot)
        return claim is not None and claim.serial == self._serial

    def _has(self, slot: int) -> bool:
        return slot in self._tables or slot in self._said

    def _claim(self, slots: Collection[int], version: int) -> list[int]:
        """Claim slots. Returns those that are this process's now: from here on nobody acts upon what their
        former home writes."""
        claims = self._journal.claims
        others = [slot for slot in slots if not self._is_claimed(slot)]
        self._journal.claim(
            [slot for slot in others if slot not in claims or claims[slot].version < version], version
        )
        self._journal.refresh()
        return [slot for slot in slots if self._is_claimed(slot)]

    def _read(self, slots: Collection[int]) -> None:
        """Read what the former homes have written of slots."""
        by_holder: defaultdict[int, list[int]] = defaultdict(list)
        said: dict[int, list[bytes]] = {slot: [] for slot in slots}
        for slot in slots:
            if (holder := self._journal.holders.get(slot)) is not None:
                by_holder[holder.serial].append(slot)
        for serial, theirs in by_holder.items():
            try:
                said |= read_log(log_path(self._directory, serial), theirs)
            except FileNotFoundError:
                # The next home has it all, and has removed it. Else nobody can know who owns these keys.
                self._journal.refresh()
                if any(map(self._is_claimed, theirs)):
                    raise
                said = {slot: entries for slot, entries in said.items() if slot not in theirs}
        self._said |= said

    def finish_some(self, count: int) -> None:
        for slot in [*self._said][:count]:
            self.table(slot)

    def _finish(self, slot: int) -> None:
        """Have what has been read of a slot in this process's log, without the owners that have died."""
        tables = {slot: table_of(self._said[slot])}
        self._drop_dead(tables)
        self._log.append(whole(tables))
        self._journal.held(slot)
        self._journal.refresh()
        if self._holds(slot):
            self._tables |= tables
            del self._said[slot]
        if not self._said:
            self._tidy()

    def _drop_dead(self, tables: dict[int, Table]) -> None:
        owners = {location.hub for table in tables.values() for location in table.values()}
        dead = {owner for owner in owners if not self.lives(owner)}
        if dead:
            for slot, table in tables.items():
                tables[slot] = {name: each for name, each in table.items() if each.hub not in dead}

    # ---- being the home

    def _holds(self, slot: int) -> bool:
        return self._is_claimed(slot) and self._journal.holders.get(slot) == self._journal.claims[slot]

    def table(self, slot: int) -> Table | None:
        if not self._has(slot):
            return None
        self._check(slot)
        if slot in self._said:
            self._finish(slot)
            self._check(slot)
        return self._tables.get(slot)

    def version(self, slot: int) -> int:
        return self._journal.claims[slot].version

    def grant(self, slot: int, name: Name, location: Location) -> bool:
        self._write(grant(slot, name, location))
        self._tables[slot][name] = location
        return self._stands(slot)

    def forget(self, slot: int, name: Name) -> bool:
        self._write(forget(slot, name, self._tables[slot][name].epoch))
        self._tables[slot].pop(name, None)  # its owner has just died, perhaps, and has been left out
        return self._stands(slot)

    def _stands(self, slot: int) -> bool:
        """Whether what has been written may be acted upon. If that cannot be known it may not, and yet it has
        been written: to say that nothing has changed would be wrong."""
        try:
            return self.table(slot) is not None
        except OSError:
            return False

    def lives(self, serial: int) -> bool:
        return self._journal.lives(serial)

    # ---- files

    def _write(self, line: Line) -> None:
        if self._log.count >= self._enough:
            self._shorten()
        self._log.append([line])

    def _shorten(self) -> None:
        """Write the log anew, if most of it is about what is no longer so."""
        needed = len(self._tables) + sum(map(len, self._tables.values()))
        self._enough = max(MIN_ENTRIES, self._log.count + needed)
        if self._log.count < MAX_GARBAGE * needed or self._may_be_read():
            return
        self._drop_dead(self._tables)
        with suppress(OSError):  # as it is, it is as good
            self._log.rewrite(whole(self._tables))
            self._enough = max(MIN_ENTRIES, MAX_GARBAGE * self._log.count)

    def _may_be_read(self) -> bool:
        """Whether the log has what is needed of slots that are this process's no more: their next home has
        not said yet that it has it all."""
        self._journal.refresh()
        holders = self._journal.holders.items()
        return any(claim.serial == self._serial and slot not in self._tables for slot, claim in holders)

    def _tidy(self) -> None:
        """Remove the logs of the dead that nobody needs."""
        needed = {claim.serial for claim in self._journal.holders.values()}
        for serial in self._journal.started:
            if serial not in needed and not self.lives(serial):
                for path in log_path(self._directory, serial), f"{log_path(self._directory, serial)}.new":
                    with suppress(OSError):
                        os.unlink(path)

    def close(self) -> None:
        self._log.close()
        self._journal.close()

    def __repr__(self) -> str:
        return f"<SharedStore of {len(self._tables)} slots, {self._log!r}>"
