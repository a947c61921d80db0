"""What topics may keep: each limit is reached, told to whom it concerns, and makes nobody deaf."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent
import gevent.event
import grpc
import pytest

import actorrpc
from actorrpc.hub.actors import service_host as host
from actorrpc.hub.actors import sinks
from actorrpc.hub.topics import numbered_log as topic_log
from actorrpc.hub.topics import publications
from actorrpc.hub.topics.embedded import EmbeddedTopics
from actorrpc.hub.topics.home import Home
from actorrpc.pb import control_pb2
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item, Tally
from tests.support.hubs import Hubs, serving

UNAVAILABLE, EXHAUSTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED


class Sizes(StatefulBase):
    """Publishes messages of any size, and subscribes to any number of topics."""

    gate = actorrpc.transient(gevent.event.Event)

    def Listen(self, request, call):
        self.subscribe(request.text, call)
        call.send_initial_metadata({"listening": "yes"})

    def Unary(self, request, call):
        self.subscribe(request.text)
        return request

    @actorrpc.concurrent
    def Beside(self, request, call):
        for _ in range(request.status or 1):
            self.publish(request.text, Item(body=bytes(request.number)))
        return request

    def on_topic(self, topic, message):
        self.gate.wait()
        self.state.notes.append(str(len(message.body)))

    def Notes(self, request, call):
        return Item(number=len(self.state.notes))


@pytest.fixture
def hubs() -> Iterator[Hubs]:
    with serving(actorrpc.App([Sizes]), 2) as hubs:
        yield hubs


def connect(hubs: Hubs) -> grpc.Channel:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    return grpc.insecure_channel(hubs.address, options=options)


def topic_of(hubs: Hubs, home: int, prefix: str = "") -> str:
    names = (f"{prefix}{number}" for number in range(100))
    return next(name for name in names if hubs.nodes[0].resources.topics.home_of(name) == home)


def code_of(call: Callable[[], Any]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code()


@pytest.mark.parametrize("home", [0, 1])
def test_a_publication_that_no_link_takes_is_refused_and_the_topic_lives(hubs, home):
    topic = topic_of(hubs, home)
    with connect(hubs) as channel, connect(hubs) as other:
        stub, publisher = StatefulStub(channel), StatefulStub(other)
        replies = stub.Listen(Item(text=topic))
        dict(replies.initial_metadata())
        assert not hubs.move(1, sorted(hubs.nodes[0].connections)[0]).why
        too_large = Item(text=topic, number=65 * 1024 * 1024)
        assert code_of(lambda: publisher.Beside(too_large)) is EXHAUSTED
        publisher.Beside(Item(text=topic, number=5))
        assert len(next(replies).body) == 5


def test_subscriptions_of_a_connection_are_limited(hubs, monkeypatch):
    monkeypatch.setattr(host, "MAX_SUBSCRIPTIONS", 10)
    with connect(hubs) as channel:
        stub = StatefulStub(channel)
        for number in range(10):
            stub.Unary(Item(text=f"topic {number}"))
        stub.Unary(Item(text="topic 3"))  # again, which is no other
        assert code_of(lambda: stub.Unary(Item(text="one more"))) is EXHAUSTED
        assert code_of(lambda: next(stub.Listen(Item(text="one more")))) is EXHAUSTED
        assert not hubs.move(1).why
        assert code_of(lambda: stub.Unary(Item(text="one more"))) is EXHAUSTED


def test_the_names_of_topics_are_limited(hubs):
    with connect(hubs) as channel:
        stub = StatefulStub(channel)
        names = [f"{number} " * 150_000 for number in range(4)]
        for name in names[:3]:
            stub.Unary(Item(text=name))
        assert code_of(lambda: stub.Unary(Item(text=names[3]))) is EXHAUSTED


@pytest.mark.parametrize(
    ("limit", "code"), [("TOPIC_BYTES", UNAVAILABLE), ("HOME_BYTES", UNAVAILABLE), ("HUB_BYTES", EXHAUSTED)]
)
def test_publications_that_wait_for_their_home_are_limited(hubs, monkeypatch, caplog, limit, code):
    monkeypatch.setattr(publications, limit, 11_000)
    topic = topic_of(hubs, 1)
    with connect(hubs) as channel:
        stub = StatefulStub(channel)
        link = hubs.ask(lambda: hubs.nodes[0].links.by_serial.pop(1))  # the home cannot be reached
        for _ in range(4):
            stub.Beside(Item(text=topic, number=2000))
        assert code_of(lambda: stub.Beside(Item(text=topic, number=2000))) is code
        assert "a publication was refused" in caplog.text
        connection = hubs.connection()
        assert connection.host.unacknowledged == 4
        stub.Beside(Item(text=topic_of(hubs, 0)))  # the others are not concerned
        hubs.ask(
            lambda: (
                hubs.nodes[0].links.by_serial.__setitem__(1, link),
                hubs.nodes[0].resources.topics.linked(1),
            )
        )
        hubs.wait_for(lambda: not connection.host.unacknowledged)
        assert hubs.nodes[0].resources.topics._publisher._unacknowledged.size == 0
        stub.Beside(Item(text=topic, number=2000))


@pytest.mark.parametrize("limit", ["MAX_HELD", "MAX_HELD_BYTES"])
def test_publications_that_wait_for_a_subscription_are_limited(hubs, monkeypatch, limit):
    monkeypatch.setattr(host, limit, 5 if limit == "MAX_HELD" else 5100)
    with connect(hubs) as channel:
        stub = StatefulStub(channel)
        link = hubs.ask(lambda: hubs.nodes[0].links.by_serial.pop(1))  # it is never established
        stub.Unary(Item(text=topic_of(hubs, 1)))
        for _ in range(5):
            stub.Beside(Item(text="anything", number=1000))
        assert code_of(lambda: stub.Beside(Item(text="anything", number=1000))) is UNAVAILABLE
        assert hubs.nodes[0].resources.topics._publisher._unacknowledged.size > 5 * 1000
        connection = hubs.connection()
        hubs.ask(
            lambda: (
                hubs.nodes[0].links.by_serial.__setitem__(1, link),
                hubs.nodes[0].resources.topics.linked(1),
            )
        )
        hubs.wait_for(lambda: not connection.host.unacknowledged)
        assert hubs.nodes[0].resources.topics._publisher._unacknowledged.size == 0


def test_an_actors_waiting_messages_are_limited_in_bytes(hubs, monkeypatch):
    monkeypatch.setattr(sinks, "MAX_WAITING_BYTES", 10_000)
    with connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item(text="large"))
        stub.Beside(Item(text="large", number=3000, status=40))
        cell = hubs.connection().cells["shapes.Stateful"]
        held = hubs.ask(lambda: sum(len(turn[2][2]) for turn in cell.mailbox))
        assert 0 < held <= 10_000
        assert held == hubs.ask(lambda: cell.topic_bytes)
        hubs.ask(cell.instance.gate.set)
        hubs.wait_for(lambda: len(cell.instance.state.notes) == 40)
        assert (cell.topic_turns, cell.topic_bytes) == (0, 0)


def test_what_waits_for_an_actor_is_counted_after_a_move(hubs):
    with connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item(text="moving"))
        connection = hubs.connection()
        cell = connection.cells["shapes.Stateful"]
        hubs.ask(lambda: (setattr(connection.schedule, "paused", True), None)[1])
        hubs.ask(lambda: [cell.push_topic("moving", "shapes.Item", b"") for _ in range(3)])
        assert not hubs.move(1).why
        cell = hubs.connection().cells["shapes.Stateful"]
        hubs.ask(cell.instance.gate.set)
        hubs.wait_for(lambda: len(cell.instance.state.notes) == 3)
        assert (cell.topic_turns, cell.topic_bytes) == (0, 0)


def test_an_actor_hears_on_when_its_mailbox_was_full_of_messages():
    """More of a client's messages than may wait of topics are in front of the topic's."""
    gate = gevent.event.Event()

    class Busy(StatefulBase):
        def Unary(self, request, call):
            self.subscribe("t")
            return request

        def Collect(self, message, call):
            gate.wait()

        def Collect_end(self, call):
            return Item()

        def on_topic(self, topic, message):
            self.state.notes.append(str(message.number))

        @actorrpc.concurrent
        def Beside(self, request, call):
            self.publish("t", request)
            return request

    with serving(actorrpc.App([Busy])) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item())
        collected = stub.Collect.future(iter([Item()] * 1500))
        cell = hubs.connection().cells["shapes.Stateful"]
        hubs.wait_for(lambda: len(cell.mailbox) >= 1024)
        stub.Beside(Item(number=1))
        hubs.ask(gate.set)
        collected.result(20)
        for number in range(2, 6):
            stub.Beside(Item(number=number))
        hubs.wait_for(lambda: len(cell.instance.state.notes) == 5)
        assert list(cell.instance.state.notes) == ["1", "2", "3", "4", "5"]


def test_a_hub_that_reads_nothing_gets_no_more_than_a_link_may_hold(hubs):
    """What the home keeps is the topic's log; the subscriber goes on, or is told what it lost."""
    topic = topic_of(hubs, 0)
    with connect(hubs) as channel, connect(hubs) as other:
        stub, publisher = StatefulStub(channel), StatefulStub(other)
        replies = stub.Listen(Item(text=topic))
        dict(replies.initial_metadata())
        assert not hubs.move(1, sorted(hubs.nodes[0].connections)[0]).why
        publisher.Beside(Item(text=topic, number=1))
        assert len(next(replies).body) == 1
        link = hubs.nodes[0].links.by_serial[1]
        hubs.ask(lambda: hubs.nodes[1].links.by_serial[0]._reader.stop())
        for _ in range(50):
            publisher.Beside(Item(text=topic, number=1_000_000))
            assert hubs.ask(lambda: link.unsent) < 2_000_000
        reader = hubs.nodes[1].links.by_serial[0]
        hubs.ask(lambda: reader._reader.start(reader._read))
        with pytest.raises(grpc.RpcError) as caught:
            for reply in replies:
                assert len(reply.body) == 1_000_000
        assert caught.value.code() is grpc.StatusCode.DATA_LOSS


def test_what_is_lost_of_a_topic_with_a_long_name_is_told_in_few_words(hubs, monkeypatch, caplog):
    monkeypatch.setattr(topic_log, "KEEP_MESSAGES", 5)
    monkeypatch.setattr(topic_log, "BEHIND_MESSAGES", 10)
    topic = topic_of(hubs, 0, "n" * 20_000)
    with connect(hubs) as channel, connect(hubs) as other:
        replies = StatefulStub(channel).Listen(Item(text=topic))
        dict(replies.initial_metadata())
        assert not hubs.move(1, sorted(hubs.nodes[0].connections)[0]).why
        reader = hubs.nodes[1].links.by_serial[0]
        hubs.ask(lambda: reader._reader.stop())
        StatefulStub(other).Beside(Item(text=topic, status=200))
        hubs.ask(lambda: reader._reader.start(reader._read))
        with pytest.raises(grpc.RpcError) as caught:
            list(replies)
        assert caught.value.code() is grpc.StatusCode.DATA_LOSS
        assert "nnn" in caught.value.details()
        assert max(map(len, told(caplog, "are lost"))) < 1000


def test_a_message_of_another_type_is_told_in_few_words(hubs, caplog):
    topic = topic_of(hubs, 0, "n" * 20_000)
    with connect(hubs) as channel:
        replies = StatefulStub(channel).Listen(Item(text=topic))
        dict(replies.initial_metadata())
        connection = hubs.connection()
        hubs.ask(lambda: connection.host.publish(topic, Tally()))
        assert code_of(lambda: list(replies)) is grpc.StatusCode.INTERNAL
        assert max(map(len, told(caplog, "shapes.Tally was published"))) < 1000


def told(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    """The lines of the log with these words."""
    lines = [record.getMessage() for record in caplog.records]
    return [line for line in lines if words in line]


# ---- what it costs


def test_actors_that_were_slow_ask_the_home_together_for_what_they_missed(hubs, monkeypatch):
    """Each time it sends all that is left: the questions are about as many as times that they are full, not
    each time one of every actor."""
    limit, burst, count = 10, 300, 20
    monkeypatch.setattr(sinks, "MAX_WAITING", limit)
    asked: list[str] = []
    subscribe = Home.subscribe

    def watched(home: Home, source: int, request: control_pb2.Subscribe) -> None:
        asked.append(request.topic)
        subscribe(home, source, request)

    monkeypatch.setattr(Home, "subscribe", watched)
    topic = topic_of(hubs, 0)
    with ExitStack() as opened, connect(hubs) as other:
        for _ in range(count):
            StatefulStub(opened.enter_context(connect(hubs))).Unary(Item(text=topic))
        actors = hubs.ask(lambda: list(hubs.nodes[0].connections.values()))
        StatefulStub(other).Beside(Item(text=topic, status=burst))
        assert hubs.ask(lambda: [len(each.host.behind) for each in actors]) == [1] * count
        asked.clear()
        instances = [each.cells["shapes.Stateful"].instance for each in actors]
        hubs.ask(lambda: [each.gate.set() for each in instances])
        hubs.wait_for(lambda: all(len(each.state.notes) == burst for each in instances))
        assert len(asked) <= 4 * burst // limit


def seconds(job: Callable[[], object]) -> float:
    began = time.process_time()
    job()
    return time.process_time() - began


class Ear:
    """A sink that takes all."""

    frozen = False

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def begun(self) -> None:
        """It is in force."""

    def take(self, topic: str, type: str, payload: bytes) -> bool:
        self.got.append(payload)
        return True

    def lost(self, topic: str, first: int, last: int) -> None:
        self.got.append(b"lost")


def test_subscribers_leave_a_topic_in_linear_time():
    engine = EmbeddedTopics(0, "0", lambda hub, message: None)

    def leaving(count: int) -> float:
        made = [engine.subscribe(f"t{count}", Ear()) for _ in range(count)]
        made.reverse()
        return seconds(lambda: [engine.unsubscribe(each) for each in made])

    leaving(1000)
    few, many = leaving(1000), leaving(30_000)
    engine.close()
    assert many < 200 * few  # 30 times as many; 900 times as long, if each looks through all


def test_a_call_does_not_pay_for_subscriptions_that_it_has_not(hubs):
    with connect(hubs) as channel:
        StatefulStub(channel).Unary(Item(text="one"))
        services = hubs.connection().host
        cell = hubs.connection().cells["shapes.Stateful"]
        call: Any = object()

        def ending() -> float:
            return seconds(lambda: [services.end_subscriptions(call) for _ in range(2000)])

        few = min(hubs.ask(ending) for _ in range(5))
        hubs.ask(lambda: [services.subscribe(cell.instance, f"t{each}", None) for each in range(4000)])
        many = min(hubs.ask(ending) for _ in range(5))
        assert many < 20 * few


# ---- answers of others than the home


def heard(message: control_pb2.HubToHub) -> str:
    return message.WhichOneof("kind") or ""


class Far:
    """The hubs that a hub's topics speak to, and a sink that listens to one topic."""

    def __init__(self) -> None:
        self.said: list[tuple[int, control_pb2.HubToHub]] = []
        self.topics = EmbeddedTopics(0, "0", lambda hub, message: self.said.append((hub, message)))
        self.ear = Ear()
        self.got = self.ear.got

    def subscribed(self, hub: int, term: int, epoch: str, sequence: int, head: int) -> None:
        answer = control_pb2.Subscribed(topic="t", epoch=epoch, sequence=sequence, head=head, term=term)
        self.topics.receive(hub, control_pb2.HubToHub(subscribed=answer))

    def deliver(self, hub: int, term: int, epoch: str, *numbers: int) -> None:
        for number in numbers:
            payload = f"{epoch} {number}".encode()
            delivery = control_pb2.Deliver(
                topic="t", epoch=epoch, sequence=number, type="T", payload=payload, term=term
            )
            self.topics.receive(hub, control_pb2.HubToHub(deliver=delivery))


@pytest.fixture
def far() -> Iterator[Far]:
    far = Far()
    yield far
    far.topics.close()


@pytest.mark.parametrize("stale", [(1, 1, "one"), (2, 2, "two"), (3, 1, "one")])
def test_an_answer_of_a_former_home_is_ignored(far, stale):
    """Also if it was another process of the hub that is the home now."""
    far.topics.set_homes([1], 1, [1])
    far.topics.subscribe("t", far.ear)
    far.subscribed(1, 1, "one", 0, 0)
    far.deliver(1, 1, "one", 1, 2, 3)
    far.topics.set_homes([2], 2, [2])
    far.topics.set_homes([3], 3, [3])
    far.subscribed(3, 3, "three", 0, 2)
    far.deliver(3, 3, "three", 1, 2)
    hub, term, epoch = stale
    far.subscribed(hub, term, epoch, 3, 3)
    far.deliver(hub, term, epoch, 4)
    far.deliver(3, 3, "three", 3, 4, 5)
    assert far.got == [b"one %d" % each for each in (1, 2, 3)] + [b"three %d" % each for each in range(1, 6)]


def test_a_former_homes_word_that_a_publication_is_numbered_is_ignored(far):
    done: list[int] = []
    far.topics.set_homes([1], 1, [1])
    far.topics.publish("t", "T", b"p", lambda: done.append(1), "t")
    far.topics.set_homes([2], 2, [2])
    published = [(hub, message.publish) for hub, message in far.said if heard(message) == "publish"]
    assert [(hub, each.term) for hub, each in published] == [(1, 1), (2, 2)]
    request = published[0][1].request
    for hub, term in ((1, 1), (2, 1)):
        answer = control_pb2.Published(request=request, term=term)
        far.topics.receive(hub, control_pb2.HubToHub(published=answer))
    assert done == []
    answer = control_pb2.Published(request=request, term=2)
    far.topics.receive(2, control_pb2.HubToHub(published=answer))
    assert done == [1]


def test_what_is_meant_for_another_term_is_held_back_or_ignored(far):
    def publish(term: int) -> None:
        publish = control_pb2.Publish(topic="t", request=term, type="T", payload=b"%d" % term, term=term)
        far.topics.receive(1, control_pb2.HubToHub(publish=publish))

    far.topics.set_homes([1], 1, [1])
    far.topics.set_homes([0], 2, [2])
    far.topics.subscribe("t", far.ear)
    publish(1)  # meant for the home before
    publish(3)  # of a version that this hub has not heard of
    assert far.got == []
    far.topics.set_homes([0], 3, [3])
    assert far.got == [b"3"]
    assert [message.published.request for _, message in far.said if heard(message) == "published"] == [3]
