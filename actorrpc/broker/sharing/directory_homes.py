"""Which hub is the home of which slots of the directory of keyed actors, when hubs come, die, fall silent or
are drained: plain data.

All that it takes to make another hub the home is a new version that says so (docs/design/directory.md). So a
slot leaves also one that is silent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from actorrpc.broker.sharing.topic_homes import NOBODY, assign
from actorrpc.pb import control_pb2

__all__ = ["DIRECTORY_SLOTS", "DirectoryHomes", "Keyed"]

#: Keys are hashed to this many slots.
DIRECTORY_SLOTS = 256


class Keyed(Protocol):
    """A process, as far as this goes."""

    @property
    def serial(self) -> int: ...

    @property
    def keyed(self) -> bool:
        """Whether it has keyed services."""

    @property
    def state(self) -> str:
        """As ``HubProcess.state``."""


class DirectoryHomes:
    """The homes of all slots, as the hubs have been told, or are about to be."""

    def __init__(self, slots: int = DIRECTORY_SLOTS) -> None:
        self.version = 0
        self._homes = [NOBODY] * slots
        #: Of those that have keyed services.
        self._silent: list[int] = []
        #: Who has been told.
        self._known: frozenset[int] = frozenset()

    def assign(self, processes: Iterable[Keyed], *, share: bool = False, anew: bool = False) -> bool:
        """Give each slot of a hub that does not serve to one that does. Returns whether there is a version to
        be told; none is made where no hub has keyed services.

        ``share``: all that serve have equally many, by as few moves as that takes; else slots leave only
        those that have to give them away. ``anew``: there is a version in any case.
        """
        keyed = {each.serial: each.state for each in processes if each.keyed}
        if not keyed:
            return False
        resting = [serial for serial, state in keyed.items() if state != "serving"]
        # One that will be heard again is better than one that is about to end.
        able = [serial for serial in keyed if serial not in resting] or [
            serial for serial, state in keyed.items() if state != "stopping"
        ]
        others = [serial for serial in keyed if serial not in able]
        homes = assign(self._homes, [*keyed], others, share=share)
        silent = sorted(serial for serial, state in keyed.items() if state == "silent")
        known = frozenset(keyed)
        if not anew and (homes, silent) == (self._homes, self._silent) and known <= self._known:
            return False
        self._homes, self._silent, self._known = homes, silent, known
        self.version += 1
        return True

    def message(self) -> control_pb2.Directory:
        """As hubs are told; with version 0, nothing."""
        if not self.version:
            return control_pb2.Directory()
        return control_pb2.Directory(version=self.version, homes=self._homes, silent=self._silent)

    def restore(self, message: control_pb2.Directory) -> None:
        """Go on from what hubs were told, or were about to be told, by a broker before this one."""
        self.version = message.version
        if message.version:
            self._homes, self._silent = [*message.homes], [*message.silent]

    def __repr__(self) -> str:
        return f"<DirectoryHomes version {self.version}, {len({*self._homes} - {NOBODY})} homes>"
