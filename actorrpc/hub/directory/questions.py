"""What a process asks the homes of keys, until it has been answered.

A question is asked again, with a new number, where the home may have changed or the link to it has been made
anew; only the answer to the last number counts, from the one that it was sent to. All homes can be asked the
same again. Of one key, what gives it away is asked again first, so that the home hears of a release before
somebody asks for the key anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.directory.names import NOWHERE, Location, Name, slot_of
from actorrpc.loop.duties import do_all
from actorrpc.pb.control_pb2 import DirectoryAnswer, HubToHub, Locate, ReleaseKey, TransferKey

__all__ = ["Done", "Questions"]

log = logging.getLogger("actorrpc.hub")

#: Is told where an actor is, or why that is not known.
Done = Callable[[Location | RpcError], object]


@dataclass(eq=False)
class _Question:
    name: Name
    #: Without its number and version.
    message: Locate | ReleaseKey | TransferKey
    #: With which the name is given away.
    epoch: int = 0
    slot: int = 0
    done: list[Done] = field(default_factory=list)
    #: To whom it was sent last; None: it waits for another version of the directory, or for a link.
    asked: int | None = None
    #: It has been sent, so that a home may have done what it asks for.
    sent: bool = False

    @property
    def finds(self) -> bool:
        """Whether it may be given up: whoever asks again is told the same."""
        return isinstance(self.message, Locate)


class Questions:
    """The questions of one process. ``say(hub, message)`` sends one, also to itself."""

    def __init__(self, serial: int, say: Callable[[int, HubToHub], object]) -> None:
        self._serial = serial
        self._say = say
        self._version = 0
        self._homes: Sequence[int] = ()
        self._silent: Collection[int] = ()
        #: The processes that there are links to, itself too.
        self._linked = {serial}
        #: Somebody will say who are the homes if it is not these.
        self._broker = True
        self._last = 0
        #: By their numbers, which grow.
        self._open: dict[int, _Question] = {}
        #: Those that find a name, and those that give it away.
        self._finds: dict[Name, _Question] = {}
        self._leaving: dict[Name, list[_Question]] = {}

    # ---- asking

    def find(self, name: Name, done: Done, may_own: bool) -> None:
        if (question := self._finds.get(name)) is not None:
            question.done.append(done)
            return
        question = _Question(name, Locate(may_own=may_own), done=[done])
        self._finds[name] = question
        if name in self._leaving:
            self._ask_again(lambda each: each.name == name and each.asked is None)
        self._ask(question)

    def release(self, name: Name, epoch: int) -> None:
        self._leave(_Question(name, ReleaseKey(epoch=epoch), epoch))

    def transfer(self, name: Name, epoch: int, to: int, done: Done) -> None:
        self._leave(_Question(name, TransferKey(epoch=epoch, to=to), epoch, done=[done]))

    def _leave(self, question: _Question) -> None:
        self._leaving.setdefault(question.name, []).append(question)
        self._ask(question)

    def _ask(self, question: _Question) -> None:
        """Ask the home of now, if it can be."""
        self._last += 1
        number = self._last
        self._open[number] = question
        question.asked = None
        if not self._version:
            self._give_up(number)
            return
        question.slot = slot_of(question.name, len(self._homes))
        home = self._homes[question.slot]
        if home in self._silent and question.finds:
            self._end(
                number, _unavailable(f"hub {home}, which knows where {_told(question)} is, does not answer")
            )
        elif home not in self._linked:
            self._give_up(number)
        else:
            question.asked, question.sent = home, True
            self._say(home, _message(question, self._version, number))

    def _give_up(self, number: int) -> None:
        """It cannot be answered now: it waits, if it is of use to wait."""
        question = self._open[number]
        question.asked = None
        if not self._broker and (question.finds or not question.sent) and question.done:
            why = f"the hub that knows where {_told(question)} is cannot be reached, and there is no broker"
            self._end(number, _unavailable(why))

    def _ask_again(self, which: Callable[[_Question], bool]) -> None:
        numbers = [number for number, question in self._open.items() if which(question)]
        again = [self._open.pop(number) for number in numbers]
        for question in sorted(again, key=lambda each: each.finds):
            self._ask(question)

    def home_of(self, name: Name) -> int | None:
        """Who is to be asked about it; None: nobody is known."""
        return self._homes[slot_of(name, len(self._homes))] if self._homes else None

    # ---- what happens

    def set_homes(self, version: int, homes: Sequence[int], silent: Collection[int]) -> None:
        self._version, self._homes, self._silent = version, homes, silent
        self._broker = True
        self._ask_again(lambda each: homes[each.slot] in silent or each.asked != homes[each.slot])

    def linked(self, serial: int) -> None:
        """There is a link to a process, perhaps instead of another, in which questions may be lost."""
        self._linked.add(serial)
        self._ask_again(lambda each: each.asked == serial or (each.asked is None and self._can_ask(each)))

    def _can_ask(self, question: _Question) -> bool:
        return bool(self._version) and self._homes[question.slot] in self._linked

    def unlinked(self, serial: int) -> None:
        self._linked.discard(serial)
        for number, question in [*self._open.items()]:
            if question.asked == serial and number in self._open:
                self._give_up(number)

    def broker_gone(self) -> None:
        self._broker = False
        for number, question in [*self._open.items()]:
            if question.asked is None and number in self._open:
                self._give_up(number)

    def retry(self) -> None:
        """Ask again what waits though its home can be asked: it may know by now."""
        self._ask_again(lambda each: each.asked is None and self._can_ask(each))

    def hear(self, source: int, answer: DirectoryAnswer) -> None:
        """An answer has come. One that is not awaited any more says nothing."""
        number = answer.request
        question = self._open.get(number)
        if question is None or question.asked != source:
            return
        outcome = answer.WhichOneof("outcome")
        if outcome == "owner":
            self._hear_owner(number, question, Location(answer.owner.hub, answer.owner.epoch))
        elif outcome == "nobody":
            self._end(number, NOWHERE)
        elif outcome == "refused" and question.done:
            self._end(number, _unavailable(answer.refused))
        elif outcome == "failed" and question.finds:
            self._end(number, _unavailable(answer.failed))
        elif question.message.version < self._version:  # by which it is the home again
            self._ask_again(lambda each: each is question)
        else:
            self._give_up(number)

    def _hear_owner(self, number: int, question: _Question, location: Location) -> None:
        leaving = self._leaving.get(question.name, ())
        own = location.hub == self._serial
        if question.finds and own and any(each.epoch == location.epoch for each in leaving):
            # It has said that it would own the key no more, which the home has not heard of.
            self._ask_again(
                lambda each: each is question or (each.name == question.name and each.asked is None)
            )
        else:
            # It has been granted the key anew, since the one that it gave it to has died. It owns the key
            # when it finds it.
            self._end(number, location if question.finds or not own else NOWHERE)

    def _end(self, number: int, result: Location | RpcError) -> None:
        question = self._open.pop(number)
        if question.finds:
            del self._finds[question.name]
        else:
            leaving = self._leaving[question.name]
            leaving.remove(question)
            if not leaving:
                del self._leaving[question.name]
        duties = [partial(done, result) for done in question.done]
        do_all(log, f"what waited for {_told(question)}", *duties)

    def __repr__(self) -> str:
        return f"<Questions: {len(self._open)} open, version {self._version}>"


def _message(question: _Question, version: int, number: int) -> HubToHub:
    service, key = question.name
    message = question.message
    message.version, message.request, message.service, message.key = version, number, service, key
    if isinstance(message, Locate):
        return HubToHub(locate=message)
    if isinstance(message, ReleaseKey):
        return HubToHub(release_key=message)
    return HubToHub(transfer_key=message)


def _told(question: _Question) -> str:
    return f"{question.name[0]} {question.name[1]!r}"


def _unavailable(why: str) -> RpcError:
    return RpcError(StatusCode.UNAVAILABLE, why)
