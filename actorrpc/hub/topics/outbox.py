"""What one hub has to say to others about topics, and has not said yet, since the link is full or not there.

It is a state, not a queue: a topic that is wanted, given up and wanted again is one question, however often
that happens while the link is stuck. So it is bounded by what there is: topics, and publications.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from actorrpc.hub.topics.homes import Homes
from actorrpc.hub.topics.publications import Publication
from actorrpc.pb import control_pb2

__all__ = ["Outbox", "Outboxes"]


@dataclass(slots=True, eq=False, repr=False)
class Outbox:
    """For one other hub. ``question(topic)`` is what is to be said of a topic now."""

    hub: int
    _question: Callable[[str], control_pb2.HubToHub]
    #: Topics to ask for, or to ask for no more. A dict in place of a set, for its order.
    topics: dict[str, None] = field(default_factory=dict)
    #: The terms in which this hub has turned to that one: it has to say so once it has asked for its topics.
    rejoined: deque[int] = field(default_factory=deque)
    publications: deque[Publication] = field(default_factory=deque)

    def next(self) -> control_pb2.HubToHub | None:
        """Take out what is to be sent first; None if nothing is."""
        if self.topics:
            topic = next(iter(self.topics))
            del self.topics[topic]
            return self._question(topic)
        if self.rejoined:
            return control_pb2.HubToHub(rejoined=control_pb2.Rejoined(version=self.rejoined.popleft()))
        if self.publications:
            return self.publications.popleft().message()
        return None

    def keep(self, homes: Homes, concerns: Callable[[str], bool]) -> None:
        """Drop what is not for this hub any more: topics that do not concern it, terms, and publications."""
        self.topics = {
            topic: None for topic in self.topics if homes.where(topic)[0] == self.hub and concerns(topic)
        }
        self.rejoined = deque(term for term in self.rejoined if homes.has(self.hub, term))
        self.publications = deque(each for each in self.publications if each.place == homes.where(each.topic))

    def __repr__(self) -> str:
        return (
            f"<Outbox for hub {self.hub}: {len(self.topics)} topics, {len(self.publications)} publications>"
        )


class Outboxes:
    """Those for all other hubs. ``room(hub)`` is whether something may be sent now, with ``send``.

    ``question(topic)`` is as for ``Outbox``. ``flushed(hub)`` is called when there is room and an outbox is
    empty: there may be more to say than outboxes hold.
    """

    def __init__(
        self,
        send: Callable[[int, control_pb2.HubToHub], None],
        room: Callable[[int], bool],
        question: Callable[[str], control_pb2.HubToHub],
        flushed: Callable[[int], None],
    ) -> None:
        self._send = send
        self._room = room
        self._question = question
        self._flushed = flushed
        self._outboxes: dict[int, Outbox] = {}
        self._flushing: set[int] = set()

    def ask(self, hub: int, topic: str) -> None:
        """Tell a hub of a topic what ``question`` says then."""
        self._of(hub).topics[topic] = None
        self.flush(hub)

    def withdraw(self, hub: int, topic: str) -> None:
        """Tell a hub nothing of a topic."""
        if (outbox := self._outboxes.get(hub)) is not None:
            outbox.topics.pop(topic, None)

    def rejoin(self, hub: int, term: int) -> None:
        """Tell a hub, after all questions, that this one has turned to it in a term."""
        self._of(hub).rejoined.append(term)
        self.flush(hub)

    def publish(self, publication: Publication) -> None:
        """Send a publication to the home that it has been given."""
        hub = publication.place[0]
        self._of(hub).publications.append(publication)
        self.flush(hub)

    def flush(self, hub: int) -> None:
        """Send a hub what has waited for room in the link to it, as far as there is some."""
        if hub in self._flushing:
            return
        self._flushing.add(hub)
        try:
            outbox = self._outboxes.get(hub)
            while outbox is not None and self._room(hub) and (message := outbox.next()) is not None:
                self._send(hub, message)
            self._flushed(hub)
        finally:
            self._flushing.discard(hub)

    def keep(self, homes: Homes, concerns: Callable[[str], bool]) -> None:
        """Drop what is said to no purpose now: see ``Outbox.keep``."""
        for outbox in self._outboxes.values():
            outbox.keep(homes, concerns)
        self._outboxes = {hub: each for hub, each in self._outboxes.items() if hub in homes.hubs}

    def begin_again(self, hub: int) -> None:
        """Send a hub none of the publications that wait, nor that this one has rejoined: all that it is to
        hear of these comes again."""
        if (outbox := self._outboxes.get(hub)) is not None:
            outbox.publications.clear()
            outbox.rejoined.clear()

    def hub_died(self, hub: int) -> None:
        """Who comes in its place does not wait to hear that this hub has rejoined."""
        if (outbox := self._outboxes.get(hub)) is not None:
            outbox.rejoined.clear()

    def _of(self, hub: int) -> Outbox:
        outbox = self._outboxes.get(hub)
        if outbox is None:
            outbox = self._outboxes[hub] = Outbox(hub, self._question)
        return outbox

    def __repr__(self) -> str:
        return f"<Outboxes for {len(self._outboxes)} hubs>"
