"""What one hub has to say to another about topics, and has not said yet, since the link is full or not there.

It is a state, not a queue: a topic that is wanted, given up and wanted again is one question, however often
that happens while the link is stuck. So it is bounded by what there is: topics, and publications.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from actorrpc.hub.topics.publications import Publication
from actorrpc.pb import control_pb2

__all__ = ["Outbox"]


class Outbox:
    """For one other hub. ``question(topic)`` is what is to be said of a topic now."""

    def __init__(self, hub: int, question: Callable[[str], control_pb2.HubToHub]) -> None:
        self.hub = hub
        self._question = question
        #: Topics to ask for, or to ask for no more. A dict in place of a set, for its order.
        self.topics: dict[str, None] = {}
        #: The version of homes that this hub has to say that it knows, once it has asked for its topics.
        self.rejoined = 0
        self.publications: deque[Publication] = deque()

    def next(self) -> control_pb2.HubToHub | None:
        """Take out what is to be sent first; None if nothing is."""
        if self.topics:
            topic = next(iter(self.topics))
            del self.topics[topic]
            return self._question(topic)
        if self.rejoined:
            version, self.rejoined = self.rejoined, 0
            return control_pb2.HubToHub(rejoined=control_pb2.Rejoined(version=version))
        if self.publications:
            publication = self.publications.popleft()
            publication.sent = True
            return publication.message()
        return None

    def __repr__(self) -> str:
        return (
            f"<Outbox for hub {self.hub}: {len(self.topics)} topics, {len(self.publications)} publications>"
        )
