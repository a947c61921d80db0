"""Logs of topics on their way from the hub that was their home to the one that is to be it.

They go in pieces, as the link has room, so that neither hub's loop stops and no memory grows. The former home
keeps them until the new one has said RECEIVED, and only then lets go, with RELEASED: if the new home dies
before, another one can have them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from time import monotonic

from actorrpc.hub.topics.homes import Place
from actorrpc.hub.topics.numbered_log import ENTRY_COST, Entry, TopicLog, TopicLogs
from actorrpc.pb import control_pb2

__all__ = ["Arrivals", "Departure", "Departures", "Releases"]

#: What goes into one message, beside the names of topics, if its first entry leaves room.
PIECE = 64 * 1024

#: What one hub's last publication takes in a log's message, at most.
NUMBERED_COST = 20


@dataclass(eq=False)
class Departure:
    """Slots that one hub gives to another, and the logs in them."""

    place: Place
    slots: set[int] = field(default_factory=set)
    logs: dict[str, TopicLog] = field(default_factory=dict)
    #: As ``control_pb2.Released`` has it.
    partial: bool = False
    forgotten: bool = False
    #: What is left of it, once it has been begun.
    _pieces: Iterator[control_pb2.HubToHub] | None = None
    sent: bool = False

    def next(self) -> control_pb2.HubToHub:
        """The next piece."""
        if self._pieces is None:
            self._pieces = _pieces(self.place[1], self.logs)
        piece = next(self._pieces)
        self.sent = piece.handover.last
        return piece

    def begin_again(self) -> None:
        self._pieces, self.sent = None, False

    def released(self) -> control_pb2.Released:
        home, version = self.place
        return control_pb2.Released(
            version=version, home=home, partial=self.partial, forgotten=self.forgotten
        )


class Departures:
    """What one hub hands over. ``released(departure)`` is called when it has let go of one."""

    def __init__(
        self,
        send: Callable[[int, control_pb2.HubToHub], None],
        room: Callable[[int], bool],
        released: Callable[[Departure], None],
    ) -> None:
        self._send = send
        self._room = room
        self._released = released
        #: By the new home, in order.
        self._departures: dict[int, list[Departure]] = {}

    def begin(self, departure: Departure) -> None:
        """Send it after those that go to the same hub, as soon as there is room."""
        if departure.logs:
            self._departures.setdefault(departure.place[0], []).append(departure)
        else:
            self._released(departure)

    def flush(self, hub: int) -> None:
        """Send a hub what it is to have, as far as there is room in the link."""
        for departure in self._departures.get(hub, ()):
            while not departure.sent and self._room(hub):
                self._send(hub, departure.next())

    def received(self, hub: int, version: int) -> None:
        """A hub has all that it is handed over with a version."""
        departures = self._departures.get(hub, [])
        for departure in [each for each in departures if each.place[1] == version and each.sent]:
            departures.remove(departure)
            self._released(departure)
        if not departures:
            self._departures.pop(hub, None)

    def begin_again(self, hub: int) -> None:
        """The link to a hub has ended, or is another: it has nothing of what was sent."""
        for departure in self._departures.get(hub, []):
            departure.begin_again()

    def withdraw(self, slots: set[int], leave: Callable[[str], bool]) -> Departure:
        """Take out what has not been sent, of some slots: their topics ``leave``. Its place is nowhere."""
        withdrawn = Departure((-1, 0))
        for departure in [each for some in self._departures.values() for each in some if each.slots & slots]:
            withdrawn.slots |= departure.slots & slots
            departure.slots -= slots
            withdrawn.logs.update((topic, log) for topic, log in departure.logs.items() if leave(topic))
            departure.logs = {topic: log for topic, log in departure.logs.items() if not leave(topic)}
            withdrawn.partial |= departure.partial
            withdrawn.forgotten |= departure.forgotten
            departure.begin_again()
        self._departures = {
            hub: left
            for hub, some in self._departures.items()
            if (left := [departure for departure in some if departure.slots])
        }
        return withdrawn

    def keep(self, slots: Collection[int]) -> None:
        """Drop what is of none of these slots: nobody waits for it any more."""
        self._departures = {
            hub: left
            for hub, some in self._departures.items()
            if (left := [departure for departure in some if not departure.slots.isdisjoint(slots)])
        }

    def __len__(self) -> int:
        return sum(map(len, self._departures.values()))

    def __repr__(self) -> str:
        return f"<Departures: {[each.place for some in self._departures.values() for each in some]}>"


class Releases:
    """What one hub has released, for those who have not heard it because a link has broken. ``messages`` are
    as these are told."""

    def __init__(self) -> None:
        self._by_place: dict[Place, control_pb2.HubToHub] = {}

    @property
    def messages(self) -> list[control_pb2.HubToHub]:
        return [*self._by_place.values()]

    def note(self, place: Place, message: control_pb2.HubToHub) -> None:
        self._by_place[place] = message

    def keep(self, places: Collection[Place]) -> None:
        """Forget all but those of slots that these have not got for good."""
        self._by_place = {place: message for place, message in self._by_place.items() if place in places}

    def __repr__(self) -> str:
        return f"<Releases {[*self._by_place]}>"


@dataclass(eq=False)
class _Arrival:
    """What one hub hands over with one version."""

    topics: set[str] = field(default_factory=set)
    #: Where the next piece goes on.
    last: str = ""
    complete: bool = False
    forgotten: bool = False


class Arrivals:
    """What a hub has been handed over of slots that are not its own yet. It takes no more memory than the
    logs of a home may: beyond it the largest lose their older half, and then topics are forgotten."""

    def __init__(self) -> None:
        self.logs = TopicLogs("", self._forget)
        #: By the former home, and the version.
        self._arrivals: dict[tuple[int, int], _Arrival] = {}
        self._of: dict[str, _Arrival] = {}

    def hear(self, source: int, message: control_pb2.Handover) -> bool:
        """Take a piece. Returns whether it was the last."""
        arrival = self._arrivals.setdefault((source, message.version), _Arrival())
        now = monotonic()
        for each in message.logs:
            self._add(arrival, each, now)
        arrival.complete = message.last
        return message.last

    def _add(self, arrival: _Arrival, handed: control_pb2.HandedLog, now: float) -> None:
        if handed.epoch:
            arrival.last = handed.topic
            arrival.topics.add(handed.topic)
            self._of[handed.topic] = arrival
            log = TopicLog(handed.epoch, handed.kept, numbered=dict(handed.numbered))
            self.logs.take({handed.topic: log})
        for entry in handed.entries:
            begun = self.logs.logs.get(arrival.last)
            if begun is None:  # forgotten
                return
            self.logs.add(begun, Entry(begun.head + 1, entry.type, entry.payload, now - entry.age))

    def _forget(self, topic: str) -> None:
        self._of[topic].forgotten = True

    def take(self, source: int, version: int) -> tuple[dict[str, TopicLog], bool]:
        """Take out all that a hub has handed over with a version; and whether some had to be forgotten."""
        arrival = self._arrivals.pop((source, version), _Arrival())
        for topic in arrival.topics:
            del self._of[topic]
        return self.logs.give(arrival.topics.__contains__), arrival.forgotten

    def drop(self, source: int) -> None:
        """A hub has died, and will not hand over the rest."""
        for hub, version in [*self._arrivals]:
            if hub == source:
                self.take(hub, version)

    def drop_incomplete(self, source: int) -> None:
        """A link has ended: what has not come wholly over it comes again from its beginning."""
        for (hub, version), arrival in [*self._arrivals.items()]:
            if hub == source and not arrival.complete:
                self.take(hub, version)

    def __len__(self) -> int:
        return len(self._arrivals)

    def __repr__(self) -> str:
        return f"<Arrivals {[*self._arrivals]}: {self.logs!r}>"


def _pieces(version: int, logs: dict[str, TopicLog]) -> Iterator[control_pb2.HubToHub]:
    """The messages that hand over logs."""
    piece = _Piece(version)
    now = monotonic()
    for topic, log in logs.items():
        size = len(topic) + NUMBERED_COST * len(log.numbered)
        if not piece.takes(size):
            yield piece.message
            piece = _Piece(version, size)
        handed = piece.logs.add(topic=topic, epoch=log.epoch, kept=log.kept, numbered=log.numbered)
        for entry in log.entries:
            if not piece.takes(len(entry.payload)):
                yield piece.message
                piece = _Piece(version, len(entry.payload))
                handed = piece.logs.add()  # it goes on with the same log
            handed.entries.add(type=entry.type, payload=entry.payload, age=now - entry.at)
    piece.message.handover.last = True
    yield piece.message


class _Piece:
    """A message, and about how many bytes are in it."""

    def __init__(self, version: int, size: int = 0) -> None:
        self.message = control_pb2.HubToHub(handover=control_pb2.Handover(version=version))
        self.logs = self.message.handover.logs
        self._size = size

    def takes(self, size: int) -> bool:
        """Whether so many bytes more may be put in, beside what they cost anyhow; they count from then on."""
        before, self._size = self._size, self._size + size + ENTRY_COST
        return not before or self._size <= PIECE
