"""What ``publisher`` keeps until its home acknowledges it, and how much that may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.topics.homes import Place
from actorrpc.pb import control_pb2

__all__ = ["MAX_PUBLICATION", "PUBLICATION_COST", "Publication", "Publications", "check_size"]

Key = TypeVar("Key")

#: The largest message of a topic, with its names: half of what a link takes, so that it can always be sent.
MAX_PUBLICATION = 32 * 1024 * 1024

#: What may wait for the home of one topic, for one home, and for all of them; each message costs something
#: beside its bytes. A home that answers does so within milliseconds; one that does not is dead, stopped, or
#: held by a blocking call, and is sent up to 16 MB of a topic when it comes back.
TOPIC_BYTES = 16 * 1024 * 1024
HOME_BYTES = 32 * 1024 * 1024
HUB_BYTES = 64 * 1024 * 1024
PUBLICATION_COST = 500


@dataclass(slots=True, eq=False, repr=False)
class Publication:
    """One message for a topic, and who waits for its number."""

    topic: str
    type: str
    payload: bytes
    acknowledged: Callable[[], None]
    #: The home that is to number it.
    place: Place = (0, 0)
    request: int = 0

    @property
    def cost(self) -> int:
        """About as many bytes as it takes in memory."""
        return len(self.payload) + len(self.topic) + PUBLICATION_COST

    def message(self) -> control_pb2.HubToHub:
        """As its home is told."""
        return control_pb2.HubToHub(
            publish=control_pb2.Publish(
                topic=self.topic,
                request=self.request,
                type=self.type,
                payload=self.payload,
                term=self.place[1],
            )
        )

    def __repr__(self) -> str:
        return f"<Publication {self.request} to {self.topic!r}>"


class Publications:
    """Those of one hub, in the order in which they were made."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._waiting: dict[int, Publication] = {}
        self._topics: Counter[str] = Counter()
        self._homes: Counter[int] = Counter()
        #: What they take, with those that are ``reserved``.
        self.size = 0

    def check(self, publication: Publication) -> None:
        """Raise RpcError if it would be too much: UNAVAILABLE because its home does not answer,
        RESOURCE_EXHAUSTED because too much waits on this hub altogether."""
        topic, (home, _), cost = publication.topic, publication.place, publication.cost
        # One may always wait: otherwise a large one could never be published.
        for waiting, limit in ((self._topics[topic], TOPIC_BYTES), (self._homes[home], HOME_BYTES)):
            if waiting and waiting + cost > limit:
                raise RpcError(
                    StatusCode.UNAVAILABLE,
                    f"the home of topic {_shown(topic)} does not answer: {waiting} bytes wait for it, "
                    f"of {limit}",
                )
        self._check_room(cost)

    def _check_room(self, cost: int) -> None:
        if self.size and self.size + cost > HUB_BYTES:
            raise RpcError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"{self.size} bytes wait to be published on this hub, of {HUB_BYTES}",
            )

    def reserve(self, publication: Publication) -> None:
        """Count one that waits elsewhere, until ``release``. Raises RpcError if that is too much."""
        self._check_room(publication.cost)
        self.size += publication.cost

    def release(self, publication: Publication) -> None:
        """It does not wait elsewhere any more."""
        self.size -= publication.cost

    def add(self, publication: Publication) -> None:
        """Number a publication, and keep it until it is taken out."""
        publication.request = next(self._numbers)
        self._waiting[publication.request] = publication
        self._count(publication, publication.cost)

    def take(self, request: int, answers: Callable[[Place], bool]) -> Publication | None:
        """Take out the publication of this number, if it is the place asked that answers."""
        publication = self._waiting.get(request)
        if publication is None or not answers(publication.place):
            return None
        del self._waiting[request]
        self._count(publication, -publication.cost)
        return publication

    def place(self, publication: Publication, place: Place) -> None:
        """Another home is to number it."""
        self._count(publication, -publication.cost)
        publication.place = place
        self._count(publication, publication.cost)

    def _count(self, publication: Publication, cost: int) -> None:
        self.size += cost
        _add(self._topics, publication.topic, cost)
        _add(self._homes, publication.place[0], cost)

    def __iter__(self) -> Iterator[Publication]:
        return iter([*self._waiting.values()])

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<Publications {len(self._waiting)} unacknowledged, {self.size} bytes>"


def check_size(topic: str, size: int = 0) -> None:
    """Raise RpcError for a message, or a topic's name, that is too large for a link."""
    size += len(topic.encode())
    if size > MAX_PUBLICATION:
        raise RpcError(
            StatusCode.RESOURCE_EXHAUSTED,
            f"{size} bytes for topic {_shown(topic)}; at most {MAX_PUBLICATION} can be sent",
        )


def _add(counter: Counter[Key], key: Key, cost: int) -> None:
    counter[key] += cost
    if not counter[key]:
        del counter[key]


def _shown(topic: str) -> str:
    """As much of a topic's name as is told: there may be megabytes of it."""
    return repr(topic if len(topic) <= 64 else topic[:63] + "…")
