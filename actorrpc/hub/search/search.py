"""``Search``: which hub has a connection.

Nobody keeps book of that, so that a move need not wait for it. Who looks for a connection asks all hubs at
once. One that has it says so; one that it has left within the last minute says where it went, and that one is
asked again, since its answer may be older. One to which it is on its way answers when it has come, or has
not. The id of a connection is never given again: where all say that they know nothing, the connection has
ended.

Why that is so. Let a connection live while all are asked, and let A have it when the first is asked. A says
that it has it, or, if it has left A meanwhile, where it went: a round is shorter than departures are known.
What is asked there after that finds it there, or on its way, or is told where it went next. If it was on its
way when the first was asked, from whichever hub, its target answers when it has come. If a hub dies in the
round, or parts, or there is another link, all are asked again: one that is dead may have given the connection
to one that had been asked. A hub that cannot be asked, or does not answer, may have it: then it is not known
where the connection is, and that is what is said. So it is of hubs that this one has not been told of yet:
who answers names those that it knows, and the id of a connection says which hub accepted it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from time import monotonic
from typing import Protocol, TypeVar

from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.directory.names import Location
from actorrpc.hub.search.departures import KEPT
from actorrpc.loop.duties import do_all
from actorrpc.loop.timers import Timer
from actorrpc.pb.control_pb2 import ConnectionFound, FindConnection, HubToHub, KeyOwner

__all__ = ["PATIENCE", "Found", "Peers", "Search"]

log = logging.getLogger("actorrpc.hub")

#: In which a hub has to answer, in seconds.
PATIENCE = 3.0
#: What is remembered: locations of connections in other hubs, and connections that have ended.
MAX_REMEMBERED = 16_384

T = TypeVar("T")

#: What is known in the end: where it is; None: it has ended; or why that cannot be known now.
Found = Location | RpcError | None


class Peers(Protocol):
    """The other hubs."""

    def send(self, serial: int, message: HubToHub) -> None: ...
    def known(self) -> Collection[int]:
        """Those that there are links to."""

    def can_search(self, serial: int) -> bool:
        """Whether the version of one of these knows such questions."""


@dataclass(eq=False)
class _Round:
    """One connection that is looked for, and what is known so far."""

    connection: str
    done: list[Callable[[Found], object]]
    timer: Timer = field(default_factory=Timer)
    began: float = 0.0
    #: Which hubs have not answered, and the number of the question to each.
    asked: dict[int, int] = field(default_factory=dict)
    #: Those that cannot be asked.
    missing: set[int] = field(default_factory=set)
    #: Those of versions that know no such question.
    unable: set[int] = field(default_factory=set)
    #: The last place that was named where it went.
    epoch: int = 0


class Search:
    """In the process with this serial. ``here(connection, then)`` is what this hub says itself: the place
    where the connection is, or where it went; None: it is not here. ``silent()`` are the hubs that say
    nothing."""

    def __init__(
        self,
        serial: int,
        peers: Peers,
        here: Callable[[str, Callable[[Location | None], None]], None],
        silent: Callable[[], Collection[int]] = frozenset,
    ) -> None:
        self._serial = serial
        self._peers = peers
        self._here = here
        self._silent = silent
        self._numbers = count(1)
        self._rounds: dict[str, _Round] = {}
        #: Questions that are open: whose they are, and which hub was asked.
        self._questions: dict[int, tuple[_Round, int]] = {}
        #: Hubs to which there is no link any more, and that may live; and those that are about to end.
        self._unlinked: set[int] = set()
        self._parted: set[int] = set()
        self._dead: set[int] = set()
        #: It has been told of the others that there are.
        self._joined = False
        self._remembered: OrderedDict[str, Location] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    # ---- for the exchange

    def find(
        self, connection: str, done: Callable[[Found], object], *, stale: Location | None = None
    ) -> None:
        """Find out where a connection is. ``done`` is called once, perhaps before this returns. ``stale`` has
        proved wrong: neither it nor an earlier place is told from memory."""
        location = self._remembered.get(connection)
        if location is not None and (stale is None or location.epoch > stale.epoch > 0):
            self._remembered.move_to_end(connection)
            done(location)
        elif connection in self._ended:
            done(None)
        elif (open_round := self._rounds.get(connection)) is not None:
            open_round.done.append(done)
        else:
            self._remembered.pop(connection, None)
            begun = self._rounds[connection] = _Round(connection, [done])
            self._begin(begun)

    # ---- a round

    def _begin(self, round: _Round) -> None:
        """Ask all, anew if some have been asked."""
        self._forget_questions(round)
        round.began, round.epoch = monotonic(), 0
        known = {*self._peers.known()} - self._parted
        round.missing = {*self._unlinked}
        if self._is_new(origin := _origin(round.connection)):
            round.missing.add(origin)
        round.unable = {serial for serial in known if not self._peers.can_search(serial)}
        round.timer.set(PATIENCE, self._late, round)
        for serial in known - round.unable:
            self._number(round, serial)
        numbers = {**round.asked}
        self._ask(round, self._serial)  # if it is here, nobody else need be asked
        for serial, number in numbers.items():
            if round.asked.get(serial) == number:  # else it has been asked where it went
                self._say(round, serial, number)

    def _is_new(self, serial: int) -> bool:
        """Whether a hub is younger than this one, and this one has not heard of it yet."""
        known = {*self._peers.known(), *self._unlinked, *self._parted, *self._dead}
        return serial > self._serial and serial not in known

    def _number(self, round: _Round, serial: int) -> int:
        """Await an answer, and not the one to an earlier question."""
        self._questions.pop(round.asked.get(serial, 0), None)
        number = round.asked[serial] = next(self._numbers)
        self._questions[number] = round, serial
        return number

    def _say(self, round: _Round, serial: int, number: int) -> None:
        known = {*self._peers.known(), *self._unlinked, self._serial}
        question = FindConnection(request=number, connection=round.connection, known=sorted(known))
        self._peers.send(serial, HubToHub(find_connection=question))

    def _ask(self, round: _Round, serial: int) -> None:
        """Ask one again, which is said to have it now."""
        if serial == self._serial:
            self._here(round.connection, partial(self._heard_own, self._number(round, serial)))
        elif serial in self._dead or serial in self._parted:
            pass  # it had nothing left
        elif serial not in self._peers.known():
            round.missing.add(serial)
        elif serial not in round.unable:
            self._say(round, serial, self._number(round, serial))

    def _heard_own(self, number: int, location: Location | None) -> None:
        self._heard(number, self._serial, location)

    def _heard(self, number: int, source: int, location: Location | None, others: Iterable[int] = ()) -> None:
        """A hub has answered. What is not awaited any more says nothing."""
        round, asked = self._questions.get(number, (None, None))
        if round is None or asked != source:
            return
        del self._questions[number], round.asked[source]
        round.missing |= {*others} - {*self._peers.known(), *self._parted, *self._dead, self._serial}
        if location is not None and location.hub == source:
            self._end(round, location)
            return
        if location is not None and location.epoch > round.epoch:
            round.epoch = location.epoch
            self._ask(round, location.hub)
        self._look(round)

    def _look(self, round: _Round) -> None:
        """See whether all is known that can be."""
        if self._rounds.get(round.connection) is not round:
            return
        silent = {*self._silent()}
        if {*round.asked} - silent:
            return
        if round.asked:
            self._end(round, _unknown(f"hub {_told(round.asked)} does not answer, and may have it"))
        elif round.missing or not self._joined:
            return  # until there is a link, or it is known to be dead, or it is late
        elif round.unable:
            why = "may have it, whose version of actorrpc knows no calls of actors of connections"
            self._end(round, _unknown(f"hub {_told(round.unable)} {why}"))
        elif monotonic() - round.began > KEPT / 2:
            self._begin(round)  # what is known of departures may have been forgotten
        else:
            self._end(round, None)

    def _late(self, round: _Round) -> None:
        round.timer.stop()
        if round.asked:
            why = f"hub {_told(round.asked)} does not answer, and may have it"
        elif round.missing:
            why = f"there is no link to hub {_told(round.missing)}, which may have it"
        else:
            why = "this hub has not been told yet which others there are"
        self._end(round, _unknown(why))

    def _end(self, round: _Round, found: Found) -> None:
        round.timer.stop()
        self._forget_questions(round)
        del self._rounds[round.connection]
        if found is None:
            _remember(self._ended, round.connection, None)
        elif isinstance(found, Location) and found.hub != self._serial:
            _remember(self._remembered, round.connection, found)
        what = f"what waited for connection {round.connection}"
        do_all(log, what, *[partial(done, found) for done in round.done])

    def _forget_questions(self, round: _Round) -> None:
        for number in round.asked.values():
            self._questions.pop(number, None)
        round.asked.clear()

    # ---- what other hubs say

    def receive(self, source: int, message: HubToHub) -> None:
        """Another hub asks, or answers."""
        if message.HasField("find_connection"):
            asked = message.find_connection
            self._here(asked.connection, partial(self._answer, source, asked))
        else:
            found = message.connection_found
            outcome = found.WhichOneof("outcome")
            location = None
            if outcome == "here":
                location = Location(source, found.here)
            elif outcome == "moved":
                location = Location(found.moved.hub, found.moved.epoch)
            self._heard(found.request, source, location, found.others)

    def _answer(self, source: int, asked: FindConnection, location: Location | None) -> None:
        others = {*self._peers.known(), *self._unlinked} - {*asked.known, source} - self._parted
        found = ConnectionFound(request=asked.request, others=sorted(others))
        if location is None:
            found.unknown = True
        elif location.hub == self._serial:
            found.here = location.epoch
        else:
            found.moved.CopyFrom(KeyOwner(hub=location.hub, epoch=location.epoch))
        self._peers.send(source, HubToHub(connection_found=found))

    # ---- hubs come and go

    def joined(self) -> None:
        """There are links to all hubs that were there when this one came."""
        if not self._joined:
            self._joined = True
            self._again()

    def linked(self, serial: int) -> None:
        """There is a link to a hub, perhaps instead of another one, in which questions may be lost."""
        self._unlinked.discard(serial)
        self._again()

    def unlinked(self, serial: int) -> None:
        """There is no link to a hub any more, which may live."""
        if serial not in self._parted:
            self._unlinked.add(serial)
        for connection in [each for each, found in self._remembered.items() if found.hub == serial]:
            del self._remembered[connection]
        for round in [*self._rounds.values()]:
            if serial in round.asked:
                self._questions.pop(round.asked.pop(serial), None)
                round.missing.add(serial)
                self._look(round)

    def died(self, serial: int) -> None:
        """A hub has died, for certain."""
        self._unlinked.discard(serial)
        self._parted.discard(serial)
        self._dead.add(serial)
        self._again()

    def parted(self, serial: int) -> None:
        """A hub ends, has no connections any more, and hears nothing."""
        self._parted.add(serial)
        self._unlinked.discard(serial)
        self._again()

    def silences(self) -> None:
        """It has been told anew which hubs say nothing."""
        for round in [*self._rounds.values()]:
            self._look(round)

    def _again(self) -> None:
        for round in [*self._rounds.values()]:
            if self._rounds.get(round.connection) is round:
                self._begin(round)

    def close(self) -> None:
        """Nobody is asked any more."""
        for round in self._rounds.values():
            round.timer.stop()

    def __repr__(self) -> str:
        return f"<Search for {len(self._rounds)} connections, {len(self._remembered)} remembered>"


def _remember(known: OrderedDict[str, T], connection: str, what: T) -> None:
    known[connection] = what
    known.move_to_end(connection)
    if len(known) > MAX_REMEMBERED:
        known.popitem(last=False)


def _origin(connection: str) -> int:
    """The hub that has accepted a connection, by its id."""
    return int(connection.split("-")[1])


def _told(serials: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(serials)))


def _unknown(why: str) -> RpcError:
    return RpcError(StatusCode.UNAVAILABLE, f"it is not known where the connection is: {why}")
