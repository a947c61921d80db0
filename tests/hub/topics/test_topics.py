"""Topics: the log at the home, and subscriptions that are cursors, through moves and a home's death."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any

import grpc
import pytest

import actorrpc
from actorrpc.broker.sharing.topic_homes import TopicHomes
from actorrpc.hub.links import MAX_UNSENT_TOPICS
from actorrpc.hub.topics.numbered_log import KEEP_MESSAGES, LINGER, TopicLog, TopicLogs
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.hubs import Hubs, serving


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


@pytest.fixture
def hubs() -> Iterator[Hubs]:
    with serving(app, 3) as hubs:
        yield hubs


def ids(hubs: Hubs) -> list[str]:
    return hubs.ask(lambda: sorted(id for node in hubs.nodes for id in node.connections))


def listen(channel: grpc.Channel, topic: str) -> Iterator[Item]:
    """A call that has subscribed."""
    replies = StatefulStub(channel).Listen(Item(text=topic))
    dict(replies.initial_metadata())
    return replies


def take(replies: Iterator[Item], count: int) -> list[int]:
    return [next(replies).number for _ in range(count)]


def test_every_subscriber_gets_every_message_in_the_same_order(hubs):
    """Publishers and subscribers on three hubs, all moved at random meanwhile."""
    channels = [connect(hubs) for _ in range(4)]
    streams = [listen(channel, "room") for channel in channels]
    publishers = [StatefulStub(channel) for channel in channels]
    per_publisher = 200

    def publish(number: int) -> None:
        for index in range(per_publisher):
            publishers[number].Publish(Item(text="room", number=number * 1000 + index))

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(len(channels))]
    for thread in threads:
        thread.start()
    names, moves = ids(hubs), 0
    while any(thread.is_alive() for thread in threads):
        for number, id in enumerate(names):
            moves += not hubs.move((moves + number) % 3, id).why
    for thread in threads:
        thread.join()
    seen = [take(stream, per_publisher * len(channels)) for stream in streams]
    assert moves > 20
    assert all(numbers == seen[0] for numbers in seen)
    for number in range(len(channels)):
        own = [each for each in seen[0] if each // 1000 == number]
        assert own == [number * 1000 + index for index in range(per_publisher)]
    for channel in channels:
        channel.close()


def test_what_is_published_after_subscribing_arrives_also_on_the_publishers_own_call(hubs):
    with connect(hubs) as channel:
        stub = StatefulStub(channel)
        for target in (0, 1, 2):
            hubs_own = stub.Unary(Item()).number  # the connection exists
            assert hubs_own
            hubs.move(target)
            for number in range(5):
                replies = stub.Listen(Item(text=f"topic {number}"))
                dict(replies.initial_metadata())
                stub.Publish(Item(text=f"topic {number}", number=number))
                assert next(replies).number == number
                replies.cancel()


def test_an_actor_subscribes_itself_and_its_messages_are_turns(hubs):
    with connect(hubs) as channel:
        stub = StatefulStub(channel)
        replies = stub.Listen(Item(text="both", status=1))
        dict(replies.initial_metadata())
        for number, target in enumerate((1, 2, 0, 1)):
            stub.Publish(Item(text="both", number=number))
            assert next(replies).number == number
            assert not hubs.move(target).why
        notes = [note for note in stub.Notes(Item()).text.splitlines() if note.startswith("both")]
        assert notes == [f"both: {number}" for number in range(4)]


def test_a_subscription_ends_with_its_call(hubs):
    with connect(hubs) as channel:
        replies = listen(channel, "short")
        home = hubs.nodes[hubs.nodes[0].resources.topics.home_of("short")]
        assert hubs.ask(lambda: set(home.resources.topics._home.logs.logs["short"].subscribers)) == {0}
        replies.cancel()
        hubs.wait_for(lambda: not home.resources.topics._home.logs.logs["short"].subscribers)
        assert hubs.ask(lambda: hubs.nodes[0].resources.topics._feeds._feeds) == {}


def test_the_topic_goes_on_elsewhere_when_its_home_dies(hubs):
    topic = next(name for name in map(str, range(100)) if hubs.nodes[0].resources.topics.home_of(name) == 2)
    with connect(hubs) as near, connect(hubs) as far:
        streams = [listen(channel, topic) for channel in (near, far)]
        assert not hubs.move(1, ids(hubs)[1]).why
        publisher = StatefulStub(near)
        for number in range(3):
            publisher.Publish(Item(text=topic, number=number))
        assert [take(stream, 3) for stream in streams] == [[0, 1, 2]] * 2

        def die() -> None:
            for hub in (0, 1):
                hubs.nodes[2].links.by_serial[hub].close()

        hubs.ask(die)
        hubs.wait_for(
            lambda: 2 not in hubs.nodes[0].links.by_serial and 2 not in hubs.nodes[1].links.by_serial
        )
        publisher.Publish(Item(text=topic, number=3))  # the home is dead and nobody has said who follows
        hubs.ask(lambda: [node.set_homes([0, 1], 2) for node in hubs.nodes[:2]])
        publisher.Publish(Item(text=topic, number=4))
        assert [take(stream, 2) for stream in streams] == [[3, 4]] * 2


class Broker:
    """Gives slots of topics from hub to hub, as the broker does."""

    def __init__(self, hubs: Hubs) -> None:
        self._hubs = hubs
        self._homes = TopicHomes(12)
        for node in hubs.nodes:
            node.topics._settled = partial(self._homes.settled, node.hub)
        self.empty([])

    def empty(self, homeless: Collection[int]) -> None:
        """Have hubs give away what they have; it waits until they are not needed any more."""
        hubs = [node.hub for node in self._hubs.nodes]

        def tell() -> None:
            self._homes.assign(hubs, homeless, share=True)
            origins = dict(self._homes.origins)
            for node in self._hubs.nodes:
                node.set_homes(self._homes.homes, self._homes.version, self._homes.terms, origins)

        self._hubs.ask(tell)
        self._hubs.wait_for(lambda: not self._homes.origins)
        assert not any(map(self._homes.needs, homeless))


def test_homes_are_handed_on_and_on_while_all_publish_and_move(hubs):
    channels = [connect(hubs) for _ in range(3)]
    topics = [f"room {number}" for number in range(4)]
    streams = [(topic, listen(channel, topic)) for topic in topics for channel in channels]
    publishers = [StatefulStub(channel) for channel in channels]
    names, per_publisher = ids(hubs), 300
    broker = Broker(hubs)

    def publish(number: int) -> None:
        for index in range(per_publisher):
            for topic in topics:
                publishers[number].Publish(Item(text=topic, number=number * 1000 + index))

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(len(channels))]
    for thread in threads:
        thread.start()
    rounds = 0
    while any(thread.is_alive() for thread in threads):
        hubs.move(rounds % 2, names[rounds % len(names)])
        broker.empty([rounds % 3])
        rounds += 1
    for thread in threads:
        thread.join()
    seen: dict[str, list[list[int]]] = {}
    for topic, stream in streams:
        seen.setdefault(topic, []).append(take(stream, per_publisher * len(channels)))
    for heard in seen.values():
        assert all(numbers == heard[0] for numbers in heard)
        for number in range(len(channels)):
            own = [each for each in heard[0] if each // 1000 == number]
            assert own == [number * 1000 + index for index in range(per_publisher)]
    assert rounds > 10
    assert hubs.ask(lambda: not any(node.topics._early for node in hubs.nodes))
    for channel in channels:
        channel.close()


def test_a_log_of_many_megabytes_is_handed_over_in_the_room_that_links_have(hubs):
    topic, count = "large", 60
    broker = Broker(hubs)
    homes = hubs.nodes[0].topics
    with connect(hubs) as channel:
        replies = listen(channel, topic)
        stub = StatefulStub(channel)
        for number in range(count):
            stub.Publish(Item(text=topic, number=number, body=bytes(100_000)))
        assert take(replies, count) == [*range(count)]
        former = hubs.ask(lambda: homes.home_of(topic))
        log = hubs.nodes[former].topics._home.logs.logs[topic]
        kept = (log.epoch, log.head, log.kept)
        assert log.kept
        links = hubs.nodes[former].links.by_serial.values()
        most: list[int] = []
        hubs.ask(lambda: watch(links, most))
        broker.empty([former])
        now = hubs.ask(lambda: homes.home_of(topic))
        assert now != former
        log = hubs.nodes[now].topics._home.logs.logs[topic]
        assert (log.epoch, log.head, log.kept) == kept
        assert 500_000 < max(most) < MAX_UNSENT_TOPICS + 200_000
        stub.Publish(Item(text=topic, number=count))
        assert take(replies, 1) == [count]


def watch(links: Iterable[Any], most: list[int]) -> None:
    """Note how much waits in links when something is sent."""
    for link in links:
        send = link.send

        def watched(*args: Any, link: Any = link, send: Any = send) -> bool:
            sent = send(*args)
            most.append(link.unsent)
            return bool(sent)

        link.send = watched


def test_unacknowledged_publications_hold_a_connection_and_then_let_it_go():
    with serving(app, 3, quiesce_timeout=0.1) as hubs, connect(hubs) as channel:
        topic = next(
            name for name in map(str, range(100)) if hubs.nodes[0].resources.topics.home_of(name) == 2
        )
        stub = StatefulStub(channel)
        link = hubs.nodes[0].links.by_serial.pop(2)  # the home cannot be reached
        stub.Publish(Item(text=topic))
        result = hubs.move(1)
        assert result.outcome == result.ABORTED
        assert result.why == "published messages are not acknowledged"
        hubs.ask(
            lambda: (hubs.nodes[0].links.by_serial.__setitem__(2, link), hubs.nodes[0].set_homes([0], 2))
        )
        assert not hubs.move(1).why


def test_an_answer_never_comes_before_the_subscription_that_awaits_it():
    """Subscribe to a topic of one's own, then ask on another one: with three hubs, each way is different."""

    class Asking(StatefulBase):
        def Unary(self, request, call):
            self.subscribe("roll")
            return request

        def Publish(self, request, call):
            own = f"{self.connection_id} {request.number}"
            self.subscribe(own)
            self.publish("roll", Item(text=own))
            return request

        def on_topic(self, topic, message):
            if topic == "roll":
                self.publish(message.text, Item())
            else:
                self.state.count += 1

        def Notes(self, request, call):
            return Item(number=self.state.count)

    rounds = 60
    with serving(actorrpc.App([Asking]), 3) as hubs, connect(hubs) as asker, connect(hubs) as answerer:
        StatefulStub(asker).Notes(Item())
        StatefulStub(answerer).Unary(Item())
        for hub, id in zip((1, 2), ids(hubs), strict=True):
            assert not hubs.move(hub, id).why
        for number in range(rounds):
            StatefulStub(asker).Publish(Item(number=number))
        connections = hubs.ask(lambda: [c for node in hubs.nodes for c in node.connections.values()])
        counts = [cell.instance.state for c in connections for cell in c.cells.values()]
        hubs.wait_for(lambda: any(state.count == rounds for state in counts))


# ---- the log


def test_log_numbers_and_keeps():
    log = TopicLog("e")
    assert [log.append("t", b"%d" % number).sequence for number in range(3)] == [1, 2, 3]
    assert [entry.payload for entry in log.entries if entry.sequence > 1] == [b"1", b"2"]
    for _ in range(KEEP_MESSAGES):
        log.append("t", b"")
    assert (log.head, log.kept) == (KEEP_MESSAGES + 3, 3)


@pytest.mark.parametrize(
    ("epoch", "sequence", "start"),
    [("", 0, 10), ("e", 7, 7), ("e", 10, 10), ("e", 99, 10), ("older", 5, 0)],
)
def test_log_where_a_subscriber_starts(epoch, sequence, start):
    log = TopicLog("e")
    for _ in range(10):
        log.append("t", b"")
    assert log.start_for(epoch, sequence) == start


def test_log_keeps_at_least_the_last_message_however_large():
    log = TopicLog("e")
    log.append("t", b"small")
    log.append("t", bytes(8 * 1024 * 1024))
    assert (len(log.entries), log.kept) == (1, 1)


def test_logs_forget_topics_without_subscribers_after_a_while():
    logs = TopicLogs("0")
    first = logs.get("a")
    first.subscribers.add(1)
    logs.sweep(0)
    logs.forget_hub(1)
    logs.sweep(1)
    logs.sweep(1 + LINGER)
    assert logs.get("a") is first
    logs.sweep(2 + LINGER)
    second = logs.get("a")
    assert second is not first and second.epoch != first.epoch
