"""The directory as a hub has it: it asks where actors are, and answers for the slots that it is the home of.

``find``, ``release`` and ``transfer`` are for the rest of the hub; the other methods are told what other hubs
and the broker say. What must hold is told in docs/design/directory.md.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence

from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.directory.home import Home, Question
from actorrpc.hub.directory.names import NOWHERE, Location, Name
from actorrpc.hub.directory.questions import Done, Questions
from actorrpc.hub.directory.store import LoneStore, SharedStore, Store
from actorrpc.pb.control_pb2 import DirectoryAnswer, HubToHub

__all__ = ["NOWHERE", "Directory", "Location", "Name"]

log = logging.getLogger("actorrpc.hub")

#: Locations that are remembered of actors in other processes.
MAX_REMEMBERED = 16_384
#: Questions by a later version of the directory than this hub has heard of, that wait until it has.
MAX_EARLY = 4096


class Directory:
    """The directory in the process with this serial.

    ``send(serial, message)`` sends another process a message, or drops it if there is no link.
    ``path`` is where all processes of the server have their files; None: there are no others. "": this one
    has no part in it, as where the broker knows no keyed actors, and nothing can be found.

    ``done`` is called once with what has become of a request, perhaps before the method returns: where the
    answer is remembered, or this hub is the home itself.
    """

    def __init__(self, serial: int, send: Callable[[int, HubToHub], object], path: str | None) -> None:
        self._serial = serial
        self._send = send
        self._version = 0
        #: Why this process can have no keyed actor; "" if it can.
        self.unusable = ""
        store = self._open(path)
        self._home = None if store is None else Home(serial, store)
        self._store = store
        self._questions = Questions(serial, self._say)
        self._remembered: OrderedDict[Name, Location] = OrderedDict()
        #: What has been asked by a version that this hub has not heard of.
        self._early: deque[tuple[int, int, Question]] = deque()
        #: What this hub says to itself. It is heard one by one, as if it came over a link.
        self._own: deque[HubToHub] = deque()
        self._hearing = False
        if path is None:
            self.set_homes(1, [serial], ())

    def _open(self, path: str | None) -> Store | None:
        if path is None:
            return LoneStore(self._serial)
        if not path:
            self.unusable = "the server was started by a version of actorrpc that knows no keyed actors"
            return None
        try:
            return SharedStore(path, self._serial)
        except OSError as error:
            self.unusable = f"the files of the directory of keyed actors cannot be used: {error}"
            log.error("no keyed actors here: %s", self.unusable)
            return None

    # ---- for the hub

    def find(self, name: Name, done: Done, *, may_own: bool = True, stale: Location | None = None) -> None:
        """Find out which process owns a key. If none does, one gets it: this one, if it ``may_own`` it.

        With this process's own serial in it, the location says that this process owns the key now, with that
        epoch, until it gives it away. With another's, it says where to ask; it may be out of date. ``stale``
        has proved wrong: neither it nor an earlier one is told from memory. Where its epoch is not known, and
        0, the same process is not told.

        An RpcError (UNAVAILABLE) says that the home of the key cannot be asked.
        """
        location = self._remembered.get(name)
        if location is not None and (stale is None or _differs(location, stale)):
            self._remembered.move_to_end(name)
            done(location)
        elif self.unusable:
            done(RpcError(StatusCode.UNAVAILABLE, self.unusable))
        else:
            self._remembered.pop(name, None)
            self._questions.find(name, lambda result: self._found(name, result, done), may_own)
            self._hear_own()

    def release(self, name: Name, epoch: int) -> None:
        """This process owns a key no more, from now on. Whoever looks for it next gets it."""
        self._questions.release(name, epoch)
        self._hear_own()

    def transfer(self, name: Name, epoch: int, to: int, done: Done) -> None:
        """Have another process own a key that this one owns, and must not act upon until ``done``.

        A location says that this process does not own it any more, and who does: ``Location(to, epoch + 1)``,
        unless that one has given it away since, or died (``NOWHERE``: nobody does). The other process learns
        it when it finds the key. An RpcError says that this one still owns it. Neither comes as long as
        nobody can know.
        """
        self._questions.transfer(name, epoch, to, done)
        self._hear_own()

    def _found(self, name: Name, result: Location | RpcError, done: Done) -> None:
        if isinstance(result, Location) and result.hub != self._serial:
            self._remembered[name] = result
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        done(result)

    def lives(self, serial: int) -> bool:
        """Whether a process may live: that it does not is certain, but where this one has no part in the
        directory, and nothing to lose by it."""
        return self._store is not None and self._store.lives(serial)

    def is_home(self, name: Name) -> bool:
        """Whether this process is to be asked about a name, by the version that it goes by."""
        return self._questions.home_of(name) == self._serial

    # ---- what happens

    def set_homes(self, version: int, homes: Sequence[int], silent: Collection[int]) -> None:
        """Learn which process is the home of which slot, and which of them say nothing. What there is no
        answer to is asked again."""
        if version <= self._version or self._home is None:
            return
        self._version = version
        self._home.set_homes(version, homes)
        self._questions.set_homes(version, homes, silent)
        for _ in range(len(self._early)):
            self._answer(*self._early.popleft())
        self._hear_own()

    def linked(self, serial: int) -> None:
        """There is a link to a process, perhaps instead of another."""
        self._questions.linked(serial)
        self._hear_own()

    def unlinked(self, serial: int) -> None:
        """There is no link to a process any more, which may live. What it had is not gone by any more."""
        for name in [name for name, found in self._remembered.items() if found.hub == serial]:
            del self._remembered[name]
        self._questions.unlinked(serial)
        self._hear_own()

    def broker_gone(self) -> None:
        """Until ``set_homes`` there is nobody who would name other homes."""
        self._questions.broker_gone()
        self._hear_own()

    def retry(self) -> None:
        """To be called every now and then: ask again where a home could not know, since its disk was full,
        say; and go on with becoming the home of slots. Costs nothing where nothing waits."""
        if self._home is not None:
            self._home.go_on()
        self._questions.retry()
        self._hear_own()

    def receive(self, source: int, message: HubToHub) -> None:
        """A process says something to this one."""
        self._hear(source, message)
        self._hear_own()

    def _hear(self, source: int, message: HubToHub) -> None:
        kind = message.WhichOneof("kind")
        if kind == "directory_answer":
            self._questions.hear(source, message.directory_answer)
        elif kind == "locate":
            self._answer(source, message.locate.version, message.locate)
        elif kind == "release_key":
            self._answer(source, message.release_key.version, message.release_key)
        elif kind == "transfer_key":
            self._answer(source, message.transfer_key.version, message.transfer_key)

    def _answer(self, source: int, version: int, question: Question) -> None:
        if self._home is None:
            answer = DirectoryAnswer(request=question.request, failed=self.unusable)
        elif version <= self._version:
            answer = self._home.answer(source, question)
        elif len(self._early) < MAX_EARLY:
            self._early.append((source, version, question))
            return
        else:
            failed = f"hub {self._serial} has not heard yet that it is the home of this"
            answer = DirectoryAnswer(request=question.request, failed=failed)
        self._say(source, HubToHub(directory_answer=answer))

    def _say(self, serial: int, message: HubToHub) -> None:
        if serial == self._serial:
            self._own.append(message)
        else:
            self._send(serial, message)

    def _hear_own(self) -> None:
        if self._hearing:
            return
        self._hearing = True
        try:
            while self._own:
                self._hear(self._serial, self._own.popleft())
        finally:
            self._hearing = False

    # ---- the end

    def close(self) -> None:
        """Nothing is owned here any more, and others may have what was."""
        if self._store is not None:
            self._store.close()

    def __repr__(self) -> str:
        return f"<Directory of {self._serial}: {self._questions!r}, {self._home!r}>"


def _differs(remembered: Location, stale: Location) -> bool:
    """Whether what is remembered may be right, where another location has proved wrong."""
    return remembered.epoch > stale.epoch if stale.epoch else remembered.hub != stale.hub
