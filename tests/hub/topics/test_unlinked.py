"""What a hub makes of a link that has ended: only the broker can say whether the other hub has died."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import pytest

from actorrpc.hub.topics.embedded import EmbeddedTopics
from actorrpc.hub.topics.numbered_log import LINGER
from actorrpc.pb import control_pb2
from actorrpc.pb.control_pb2 import HubToHub


class Told(EmbeddedTopics):
    """The topics of a hub, and what it says to others."""

    def __init__(self, hub: int) -> None:
        self.said: list[tuple[int, HubToHub]] = []
        super().__init__(hub, str(hub), lambda other, message: self.said.append((other, message)))

    def take(self, *kinds: str) -> list[tuple[int, HubToHub]]:
        """What has been said of these kinds since it was asked last."""
        said, self.said = self.said, []
        return [(hub, message) for hub, message in said if message.WhichOneof("kind") in kinds]


def made(hub: int) -> Told:
    """It is linked to the two others, and hub 0 is the home of all topics."""
    topics = Told(hub)
    for other in {0, 1, 2} - {hub}:
        topics.linked(other)
    topics.set_homes([0], 1, [1], living=[0, 1, 2])
    return topics


@pytest.fixture
def home() -> Iterator[Told]:
    topics = made(0)
    yield topics
    topics.close()


@pytest.fixture
def successor() -> Iterator[Told]:
    """Hub 1, which is to get all topics from hub 0."""
    topics = made(1)
    topics.set_homes([1], 2, [2], {0: 0}, living=[0, 1, 2])
    yield topics
    topics.close()


def subscribe(topics: Told, source: int, epoch: str = "", sequence: int = 0) -> control_pb2.Subscribed:
    """A hub asks for a topic; returns the answer."""
    question = control_pb2.Subscribe(topic="a", epoch=epoch, sequence=sequence, term=1)
    topics.receive(source, HubToHub(subscribe=question))
    ((hub, answer),) = topics.take("subscribed")
    assert hub == source
    return answer.subscribed


def publish(topics: Told, source: int, request: int) -> None:
    published = control_pb2.Publish(topic="a", request=request, type="T", payload=b"%d" % request, term=1)
    topics.receive(source, HubToHub(publish=published))


def test_a_home_to_which_the_link_has_ended_is_waited_for_until_it_is_said_to_have_died(
    successor: Told,
) -> None:
    successor.unlinked(0)
    assert successor.home_of("a") == 0
    successor.set_homes([1], 3, [2], {0: 0}, living=[0, 1])
    assert successor.home_of("a") == 0
    successor.set_homes([1], 4, [2], living=[1])
    assert successor.home_of("a") == 1


@pytest.mark.parametrize("first", ["the link ends", "the broker goes"])
def test_without_a_broker_it_is_taken_for_dead(successor: Told, first: str) -> None:
    if first == "the link ends":
        successor.unlinked(0)
        successor.broker_gone()
    else:
        successor.broker_gone()
        assert successor.home_of("a") == 0
        successor.unlinked(0)
    assert successor.home_of("a") == 1


def test_a_former_home_that_was_taken_for_dead_hears_that_it_is_not_needed(successor: Told) -> None:
    """It would otherwise wait for ever to let go, and all others for it."""
    successor.broker_gone()
    successor.unlinked(0)
    successor.linked(0)
    successor.take()
    logs = [control_pb2.HandedLog(topic="a", epoch="0.1")]
    for last in (False, True):
        successor.receive(0, HubToHub(handover=control_pb2.Handover(version=2, logs=logs, last=last)))
    assert [hub for hub, _ in successor.take("received")] == [0]
    assert not successor._home.arrivals.logs.logs


def test_a_release_is_said_again_to_who_may_not_have_heard_it(home: Told) -> None:
    home.unlinked(2)
    home.set_homes([1], 2, [2], {0: 0}, living=[0, 1, 2])
    assert [hub for hub, _ in home.take("released")] == [1]
    home.linked(2)
    ((hub, message),) = home.take("released")
    assert (hub, message.released.home, message.released.version) == (2, 1, 2)
    home.set_homes([1], 3, [2], living=[0, 1, 2])  # all have turned to the new home
    home.unlinked(2)
    home.linked(2)
    assert home.take("released") == []


def test_a_publication_that_comes_again_is_acknowledged_again_and_numbered_once(home: Told) -> None:
    subscribe(home, 2)
    publish(home, 1, 7)
    assert len(home.take("published", "deliver")) == 2
    home.unlinked(1)
    home.linked(1)
    home.take()
    for request in (7, 8):
        publish(home, 1, request)
    said = home.take("published", "deliver")
    assert [message.published.request for _, message in said if message.HasField("published")] == [7, 8]
    assert [message.deliver.sequence for _, message in said if message.HasField("deliver")] == [2]


def test_who_comes_back_when_what_it_had_heard_of_is_forgotten_is_told(home: Told) -> None:
    before = subscribe(home, 1)
    home.unlinked(1)
    now = monotonic()
    for minutes in (1, 2):
        home._home.sweep(now + minutes * (LINGER + 1))
    publish(home, 2, 1)  # to nobody, as far as is known here
    home.linked(1)
    answer = subscribe(home, 1, before.epoch, before.head)
    assert answer.epoch != before.epoch
    assert answer.kept == 1, "something was lost"


def test_who_comes_back_soon_misses_nothing(home: Told) -> None:
    before = subscribe(home, 1)
    home.unlinked(1)
    publish(home, 2, 1)
    home.linked(1)
    home.take()
    answer = subscribe(home, 1, before.epoch, before.head)
    assert (answer.epoch, answer.sequence, answer.head, answer.kept) == (before.epoch, 0, 1, 0)


def test_what_nobody_waits_for_is_not_handed_over(home: Told) -> None:
    """Its next home has gone on without it, and has died."""
    subscribe(home, 2)
    home.unlinked(1)
    home.set_homes([1], 2, [2], {0: 0}, living=[0, 1, 2])
    assert len(home._home.departures) == 1
    home.set_homes([2], 3, [3], living=[0, 2])
    assert len(home._home.departures) == 0
    assert home.home_of("a") == 2


def test_what_has_settled_is_told_again_to_another_broker(successor: Told) -> None:
    told: list[int] = []
    successor._settled = told.append
    successor.tell_settled_again()
    assert told == []
    released = control_pb2.Released(version=2, home=1)
    successor.receive(0, HubToHub(released=released))
    for hub in (0, 2):
        successor.tell_settled_again()
        assert told == []
        successor.receive(hub, HubToHub(rejoined=control_pb2.Rejoined(version=2)))
    assert told == [2]
    successor.tell_settled_again()
    assert told == [2, 2]


def test_a_link_that_replaces_another_says_nothing_of_a_death(successor: Told) -> None:
    """Not even where no broker says who lives."""
    successor.broker_gone()
    successor.linked(0)
    assert successor.home_of("a") == 0


def test_publications_of_who_lives_are_known_and_of_the_dead_forgotten(home: Told) -> None:
    subscribe(home, 2)
    publish(home, 1, 7)
    publish(home, 2, 8)
    home.set_homes([0], 2, [1], living=[0, 1])
    assert home._home.logs.logs["a"].numbered == {1: 7, 2: 8}  # there is a link to hub 2 yet
    home.unlinked(2)
    home.set_homes([0], 3, [1], living=[0, 1])
    assert home._home.logs.logs["a"].numbered == {1: 7}
