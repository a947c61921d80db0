"""What a process does as the home of slots: it says who owns a key, and decides who does if nobody else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import count

from actorrpc.hub.directory.grant_log import Table
from actorrpc.hub.directory.names import Location, Name, slot_of
from actorrpc.hub.directory.store import Store
from actorrpc.pb.control_pb2 import DirectoryAnswer, KeyOwner, Locate, ReleaseKey, TransferKey

__all__ = ["Home", "Question"]

log = logging.getLogger("actorrpc.hub")

Question = Locate | ReleaseKey | TransferKey

#: Slots that are looked through at once.
PORTION = 4

#: How many epochs one process has with one version of the directory, as a power of two.
_EPOCHS = 40


class Home:
    """Answers for the slots of this process. What it knows of them is in ``store``."""

    def __init__(self, serial: int, store: Store) -> None:
        self._serial = serial
        self._store = store
        self._version = 0
        self._homes: Sequence[int] = ()
        self._next = count()
        #: The last epoch that it has given, without the version.
        self._given = 0
        self._answers: dict[type[Question], Callable[..., DirectoryAnswer]] = {
            Locate: self._locate,
            ReleaseKey: self._release,
            TransferKey: self._transfer,
        }

    def set_homes(self, version: int, homes: Sequence[int]) -> None:
        """Learn which process is the home of which slot, and become that of one's own slots."""
        self._version, self._homes = version, homes
        own = [slot for slot, home in enumerate(homes) if home == self._serial]
        try:
            self._store.take(own, version)
        except OSError as error:  # it is tried again when somebody asks
            log.error("cannot find out where keyed actors are: %s", error)

    def go_on(self) -> None:
        """Do some of what is left of becoming the home of slots."""
        try:
            self._store.finish_some(PORTION)
        except OSError as error:
            log.error("cannot write down where keyed actors are: %s", error)

    def answer(self, source: int, question: Question) -> DirectoryAnswer:
        """What a process is to be told that asks, with no later version than this one knows."""
        answer = self._answer(source, question, (question.service, question.key))
        answer.request = question.request
        return answer

    def _answer(self, source: int, question: Question, name: Name) -> DirectoryAnswer:
        slot = slot_of(name, len(self._homes))
        try:
            table = self._table(slot)
        except OSError as error:
            return DirectoryAnswer(
                failed=f"hub {self._serial} cannot find out where {_told(name)} is: {error}"
            )
        if table is None:
            return DirectoryAnswer(not_home=True)
        try:
            return self._answers[type(question)](source, question, slot, name, table)
        except OSError as error:
            why = f"hub {self._serial} cannot write down where {_told(name)} is: {error}"
            return DirectoryAnswer(refused=why)

    def _table(self, slot: int) -> Table | None:
        """Who owns the keys of a slot; None if this is not its home.

        It may be again: who was the home in between has been slow to hear that it is not.
        """
        if self._homes[slot] != self._serial:
            return None
        table = self._store.table(slot)
        if table is None:
            self._store.take([slot], self._version)
            table = self._store.table(slot)
        return table

    def _locate(self, source: int, question: Locate, slot: int, name: Name, table: Table) -> DirectoryAnswer:
        location = table.get(name)
        if location is not None and (location.hub == source or self._store.lives(location.hub)):
            return _owned(location)
        owner = source if question.may_own else self._other(source)
        if owner is None:
            return DirectoryAnswer(refused=f"there is no hub that could have {_told(name)}")
        return self._grant(slot, name, Location(owner, self._new_epoch(slot)))

    def _release(
        self, source: int, question: ReleaseKey, slot: int, name: Name, table: Table
    ) -> DirectoryAnswer:
        if table.get(name) == (source, question.epoch) and not self._store.forget(slot, name):
            return DirectoryAnswer(not_home=True)
        return DirectoryAnswer(nobody=True)

    def _transfer(
        self, source: int, question: TransferKey, slot: int, name: Name, table: Table
    ) -> DirectoryAnswer:
        location = table.get(name)
        if location is None:
            return DirectoryAnswer(nobody=True)
        if location != (source, question.epoch):  # perhaps since it has been transferred, and asks again
            return _owned(location)
        if not self._store.lives(question.to):
            return DirectoryAnswer(refused=f"hub {question.to} has ended")
        epoch = question.epoch + 1
        self._given = max(self._given, epoch % (1 << _EPOCHS))
        return self._grant(slot, name, Location(question.to, epoch))

    def _grant(self, slot: int, name: Name, location: Location) -> DirectoryAnswer:
        if self._store.grant(slot, name, location):
            return _owned(location)
        return DirectoryAnswer(not_home=True)

    def _new_epoch(self, slot: int) -> int:
        """Later than all that any process has given a key of that slot, and than what a transfer would give
        it: who waits for that does not take this for it."""
        self._given += 2
        return (self._store.version(slot) << _EPOCHS) + self._given

    def _other(self, source: int) -> int | None:
        """Who is to own a key that the asker would not own: each of the homes in turn."""
        homes = sorted({*self._homes} - {source})
        for _ in homes:
            home = homes[next(self._next) % len(homes)]
            if self._store.lives(home):
                return home
        return None

    def __repr__(self) -> str:
        own = sum(home == self._serial for home in self._homes)
        return f"<Home of {own} slots in version {self._version}, {self._store!r}>"


def _owned(location: Location) -> DirectoryAnswer:
    return DirectoryAnswer(owner=KeyOwner(hub=location.hub, epoch=location.epoch))


def _told(name: Name) -> str:
    """As people are told it."""
    return f"{name[0]} {name[1]!r}"
