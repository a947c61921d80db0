"""What a hub publishes: it goes to the topic's home, and waits here until that has numbered it.

The home gets publications in the order in which one connection made them: a connection does not move while
one of its publications is unacknowledged, so the next cannot overtake it by another way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic

from actorrpc.hub.metering.rates import Rates
from actorrpc.hub.topics.homes import Homes, names
from actorrpc.hub.topics.publications import Publication, Publications, check_size
from actorrpc.pb import control_pb2

__all__ = ["Publisher"]


class Publisher:
    """The publications of one hub, which ``published`` counts. ``number(topic, type, payload)`` is what the
    hub does where it is the home itself, and ``number_once`` with one that another may have numbered before;
    ``send`` gives a publication to another home, soon."""

    def __init__(
        self,
        hub: int,
        number: Callable[[str, str, bytes], None],
        number_once: Callable[[Publication], None],
        send: Callable[[Publication], None],
        published: Rates,
    ) -> None:
        self._hub = hub
        self._number = number
        self._number_once = number_once
        self._send = send
        self._homes = Homes.alone(hub)
        self._unacknowledged = Publications()
        self._published = published

    def publish(
        self, topic: str, type: str, payload: bytes, acknowledged: Callable[[], None], group: str
    ) -> None:
        publication = Publication(topic, type, payload, acknowledged)
        publication.place = self._homes.where(topic)
        check_size(topic, len(type) + len(payload))
        if publication.place[0] != self._hub:
            self._unacknowledged.check(publication)
        self._publish(publication, group)

    def reserve(
        self, topic: str, type: str, payload: bytes, acknowledged: Callable[[], None], group: str
    ) -> Callable[[], None]:
        publication = Publication(topic, type, payload, acknowledged)
        check_size(topic, len(type) + len(payload))
        self._unacknowledged.reserve(publication)
        return partial(self._publish_reserved, publication, group)

    def _publish_reserved(self, publication: Publication, group: str) -> None:
        self._unacknowledged.release(publication)
        publication.place = self._homes.where(publication.topic)
        self._publish(publication, group)

    def _publish(self, publication: Publication, group: str) -> None:
        self._published.count(group, monotonic())
        if publication.place[0] == self._hub:
            self._number_here(publication)
        else:
            self._unacknowledged.add(publication)
            self._send(publication)

    def _number_here(self, publication: Publication) -> None:
        self._number(publication.topic, publication.type, publication.payload)
        publication.acknowledged()

    def set_homes(self, homes: Homes) -> None:
        """Learn which hub is whose home; ``publish_moved`` is to follow."""
        self._homes = homes

    def publish_moved(self) -> None:
        """Publish again what has been published to a home that has changed, in order."""
        self._publish_again(lambda publication: publication.place != self._homes.where(publication.topic))

    def linked(self, hub: int) -> None:
        """There is a link to a hub, which has heard nothing of this one: publish again what is for it."""
        self._publish_again(lambda publication: publication.place[0] == hub)

    def _publish_again(self, concerns: Callable[[Publication], bool]) -> None:
        for publication in self._unacknowledged:
            if not concerns(publication):
                continue
            place = self._homes.where(publication.topic)
            if place[0] != self._hub:
                self._unacknowledged.place(publication, place)
                self._send(publication)
            elif self._unacknowledged.take(publication.request, lambda place: True) is not None:
                self._number_once(publication)
                publication.acknowledged()

    def hear_published(self, source: int, message: control_pb2.HubToHub) -> None:
        """A home has numbered a publication."""
        answer = message.published
        publication = self._unacknowledged.take(
            answer.request, lambda place: names(place, source, answer.term)
        )
        if publication is not None:
            publication.acknowledged()

    def __repr__(self) -> str:
        return f"<Publisher: {self._unacknowledged!r}>"
