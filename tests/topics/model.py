"""Hubs with topics, their links, their broker, subscribers and publishers, as a model in which each step can
be chosen.

The real ``EmbeddedTopics``, ``ServiceHost`` and turns of topics are used, those parts of ``Node`` that stand
between topics and links, and the broker's ``TopicHomes`` and ``Introductions``; processes, links and the
broker are fakes, so that a test can deliver in any order between links, fill them, also with what is not
about topics, break them, kill hubs with links that nobody has read, and tell hubs of new homes at different
times. ``History`` is the reference: it says who must have heard what.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from time import monotonic
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import pytest

from actorrpc.actor import Actor
from actorrpc.broker.sharing.introductions import Introductions
from actorrpc.broker.sharing.topic_homes import TopicHomes
from actorrpc.errors import RpcError
from actorrpc.hub import links
from actorrpc.hub.actors import sinks
from actorrpc.hub.actors.cell import Cell
from actorrpc.hub.actors.service_host import ServiceHost
from actorrpc.hub.actors.turns import MESSAGE, TOPIC
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.links import TOPICS as KINDS
from actorrpc.hub.links import Links
from actorrpc.hub.node import Node
from actorrpc.hub.phase import CLOSED, FROZEN, SERVING
from actorrpc.hub.topics.embedded import EmbeddedTopics
from actorrpc.hub.topics.engine import Subscription
from actorrpc.hub.topics.numbered_log import LINGER, TopicLog
from actorrpc.pb import control_pb2
from tests.apps.shapes_actorrpc import StatefulBase
from tests.apps.shapes_pb2 import Item

Steps = dict[str, Callable[[], None]]

HUBS = 3
SLOTS = 6
#: Their homes are 0, 2, 2 and 1 at first; when 2 dies, b goes to 1 and f to 0.
TOPICS = ("a", "b", "f", "g")

#: What the kernel holds of one direction of a link, in messages.
KERNEL = 4

#: Of a handoff: more than topics may have waiting in a link.
OFFER = control_pb2.HubToHub(prepare=control_pb2.Prepare(connection="another", snapshot=bytes(120)))

#: More steps than this and it does not come to rest.
TOO_MANY = 20_000


class Call(ServerCall[Any]):
    """A call that carries a topic, the only one of its connection."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.stream: Any = SimpleNamespace(id=1)
        self.ended = False
        reply = SimpleNamespace(DESCRIPTOR=Item.DESCRIPTOR)
        method = SimpleNamespace(reply=reply, server_streaming=True)
        self.route = SimpleNamespace(path="/shapes.Stateful/Listen", method=method)  # type: ignore[assignment]

    def send_published(self, payload: bytes, compress: bool = True) -> None:
        self.subscriber.hear(payload)

    def stop(self, status: object, message: str = "") -> None:
        self.ended = True
        self.subscriber.connection.host.end_subscriptions(self)


class Mailbox(Cell):
    """A service's turns, which run when the test says so."""

    def __init__(self, connection: Connection, owner: Subscriber | Publisher) -> None:
        self.stage = connection  # type: ignore[assignment]
        self.schedule = connection.schedule
        self.owner = owner
        self.mailbox = ()
        self.topic_turns = self.topic_bytes = 0
        self.instance: Any = connection.service
        self.service: Any = connection.service
        self.identity = ""
        self.name = self.key = connection.service.__rpc__.name

    def overrides(self, hook: str) -> bool:
        return True

    def run_hook(self, name: str, *args: Any, through: object = None) -> bool:
        self.owner.hear(args[1].SerializeToString())
        return True

    def run(self) -> None:
        """The next turn."""
        kind, _, payload = self.queue().popleft()
        if kind == TOPIC:
            self._own_turn(kind, payload)

    def adopt(self, other: Mailbox) -> None:
        """Take over the turns of the same service in another hub."""
        self.queue().extend(other.mailbox)
        self.topic_turns, self.topic_bytes = other.topic_turns, other.topic_bytes


class Connection:
    """A client's connection in one hub."""

    def __init__(self, hub: Hub, name: str, owner: Subscriber | Publisher) -> None:
        self.hub = self.resources = hub
        self.id = name
        self.phase = SimpleNamespace(state=SERVING, settle=len, check_here=len)
        self.service = Listening()
        self.host = ServiceHost(self)  # type: ignore[arg-type]
        usage = SimpleNamespace(publish=lambda group: None)
        self.schedule: Any = SimpleNamespace(usage=usage, ready=lambda cell: None, notice_quiet=lambda: None)
        self.cell = Mailbox(self, owner)
        self.cells = {self.cell.name: self.cell}
        self.calls: dict[int, Call] = {}

    def resume(self) -> None:
        self.phase.state = SERVING
        for subscription in self.host.subscriptions:
            self.hub.topics.catch_up(subscription)

    def let_go(self) -> None:
        self.phase.state = CLOSED
        self.host.end_subscriptions()


class Listening(Actor[Any]):
    """The actor that is subscribed: what it hears of, its mailbox tells."""

    __rpc__ = StatefulBase.__rpc__

    def on_topic(self, topic: str, message: Any) -> None:
        raise AssertionError("its turns do not run here")


class Subscriber:
    """Who listens to one topic, with a call or as an actor; its connection may move."""

    def __init__(self, world: World, hub: Hub, name: str, topic: str, actor: bool) -> None:
        self.world = world
        self.name = name
        self.topic = topic
        self.actor = actor
        self.heard: list[bytes] = []
        #: It has been told, or its hub's log, that something was lost.
        self.told = False
        #: What need not be heard: it was lost with a home. And what of it only because of the move.
        self.excused: set[bytes] = set()
        self._missed: set[bytes] = set()
        self.connection = Connection(hub, name, self)
        self.call = None if actor else Call(self)
        if self.call is not None:
            self.connection.calls[self.call.stream.id] = self.call
        #: A move that is under way.
        self.arriving: Connection | None = None
        self.let_go = False
        self.connection.host.subscribe(self.connection.service, topic, self.call)
        #: Publications before this one need not be heard; None: not in force yet.
        self.since: int | None = None
        self.notice()

    @property
    def alive(self) -> bool:
        return self.connection.hub.alive

    @property
    def subscription(self) -> Subscription | None:
        return next(iter(self.connection.host.subscriptions), None)

    def notice(self) -> None:
        """See whether the subscription has come into force."""
        if self.since is None and self.subscription is not None and not self.subscription.pending:
            self.since = len(self.world.history.published)

    def hear(self, payload: bytes) -> None:
        self.heard.append(payload)

    def steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        if self.alive and self.connection.phase.state == SERVING and self.connection.cell.mailbox:
            yield f"{self.name} takes a turn", self.connection.cell.run
        if self.arriving is None:
            return
        if not self.let_go:
            yield f"{self.name} is let go", self._commit
            yield f"{self.name} stays", self._abort
        elif self.arriving.hub.alive:
            yield f"{self.name} serves again", self._serve

    def moves(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """The beginnings of a move, where nothing keeps the connection."""
        subscription = self.subscription
        if self.arriving is None and self.alive and subscription is not None and not subscription.pending:
            for hub in self.world.serving:
                if hub is not self.connection.hub and hub.number in self.connection.hub._links:
                    yield f"{self.name} moves to {hub.number}", lambda hub=hub: self._begin(hub)  # type: ignore[misc]

    def _begin(self, hub: Hub) -> None:
        """Freeze it here and thaw it there."""
        source = self.connection
        source.phase.state = FROZEN
        self._missed = self._unread_of_the_dead() - self.excused
        self.excused |= self._missed
        target = self.arriving = Connection(hub, self.name, self)
        target.phase.state = FROZEN
        target.cell.adopt(source.cell)
        target.calls.update(source.calls)
        target.host.thaw(source.host.freeze())
        for each in target.host.subscriptions:
            hub.topics.thaw(each)

    def _unread_of_the_dead(self) -> set[bytes]:
        """What a dead home had sent, and the hub here has not read. Who is frozen takes nothing of that, and
        nobody can send it again."""
        links = [end for end in self.connection.hub._links.values() if not end.other.hub.alive]
        return {
            message.deliver.payload
            for end in links
            for message in end.inbox
            if message.deliver.topic == self.topic
        }

    def _commit(self) -> None:
        assert self.arriving is not None
        self.let_go = True
        source, self.connection = self.connection, self.arriving
        source.let_go()

    def _abort(self) -> None:
        assert self.arriving is not None
        self.arriving.let_go()
        self.arriving = None
        self.excused -= self._missed & self._unread_of_the_dead()
        self.connection.resume()

    def _serve(self) -> None:
        self.arriving, self.let_go = None, False
        self.connection.resume()

    def hub_died(self, hub: Hub) -> None:
        """What becomes of a move."""
        if self.arriving is None:
            return
        if self.connection.hub is hub:  # the source before it let go, or the target after
            if not self.let_go and self.arriving.hub.alive:
                self.arriving.let_go()
            self.arriving = None
        elif self.arriving.hub is hub:
            self.arriving = None
            self.connection.resume()


class End:
    """One hub's end of a link: as ``actorrpc.ipc.link.Link``, with the kernel's queue of what comes in."""

    other: End

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.closed = not hub.alive
        #: It takes and brings nothing more; what has come can still be read.
        self.over = False
        hub.ends.append(self)
        self._unsent: deque[control_pb2.HubToHub] = deque()
        self.inbox: deque[control_pb2.HubToHub] = deque()

    def open(
        self,
        hub: int,
        snapshots: int,
        number: int,
        on_message: Callable[[control_pb2.HubToHub, tuple[int, ...]], None],
        on_close: Callable[[End], None],
        on_taken: Callable[[], object],
        states: object,
        format: int,
    ) -> End:
        """The hub has been told of it, and begins to read: as ``HubLink`` does."""
        self.number = number
        self._on_message = on_message
        self._on_close = on_close
        self._on_taken = on_taken
        return self

    @property
    def ended(self) -> bool:
        """Whether nothing follows what has come."""
        return self.over or self.other.closed

    @property
    def unsent(self) -> int:
        return sum(message.ByteSize() for message in self._unsent)

    def send(self, message: control_pb2.HubToHub) -> bool:
        if self.closed or self.ended:
            return False
        copy = control_pb2.HubToHub.FromString(message.SerializeToString())
        self._unsent.append(copy)
        self.hub.world.most_unsent = max(self.hub.world.most_unsent, self.unsent)
        self._push()
        return True

    def _push(self) -> None:
        """The kernel takes what it can."""
        while self._unsent and len(self.other.inbox) < KERNEL and not self.closed:
            self.other.inbox.append(self._unsent.popleft())

    def read(self) -> None:
        """The hub reads one message, so that the kernel can take another."""
        message = self.inbox.popleft()
        if self.other._unsent:
            self.other._push()
            self.other._on_taken()
        self._on_message(message, ())

    def drain(self) -> None:
        while not self.closed and self.inbox:
            self.read()
        if not self.closed and self.ended:
            self.lose()

    def close(self) -> None:
        self.closed = True
        self._unsent.clear()

    def lose(self) -> None:
        """The hub sees the link's end."""
        self.close()
        self._on_close(self)

    def break_off(self) -> None:
        """The connection ends, for both."""
        for end in (self, self.other):
            end.over = True
            end._unsent.clear()

    def give_up(self) -> None:
        """The hub reads no more of it."""
        if not self.closed:
            self.inbox.clear()
            self.other._unsent.clear()
            self.lose()


class Hub:
    """One process: as ``Node``, as far as topics go."""

    add_peer = Node.add_peer
    set_homes = Node.set_homes

    def __init__(self, world: World, number: int, generation: int) -> None:
        self.world = world
        self.serial = self.number = self.hub = number
        self.alive = True
        #: That it has ended, as far as the broker has noticed.
        self.exit_code: int | None = None
        self.stopping = False
        #: It has no room for the next link that it is given.
        self.full = False
        #: It has heard where topics are, and so serves.
        self.serving = False
        #: All that it has had, and those that it has been told of and uses.
        self.ends: list[End] = []
        #: What the broker has said and this hub has not heard.
        self.orders: deque[Callable[[], None]] = deque()
        self.prefix = f"{number}.{generation}."
        self.reception = SimpleNamespace(add=lambda hub, link: None)
        self.host = SimpleNamespace(joined=lambda: None)
        # Of calls of actors, of which there are none.
        nothing = SimpleNamespace(
            linked=lambda serial: None, relinked=lambda serial: None, joined=lambda: None
        )
        self.directory = self.exchange = self._deaths = self.search = nothing
        self.links = Links(
            dict.fromkeys(KINDS, self._on_topic), lambda hub: self.topics.has_room(hub), self._lost
        )
        #: What this hub has said to the broker, which has not heard it: of slots that have settled, and of
        #: links that have ended.
        self.reports: deque[int] = deque()
        self.losses: deque[tuple[int, int]] = deque()
        self.topics = EmbeddedTopics(
            number, f"{number}.{generation}", self.links.send, self.links.has_room, self.reports.append
        )
        # Here a hub's next process has the same number, and those of its publications must be others.
        self.topics._publisher._unacknowledged._numbers = count(generation * 1_000_000)

    @property
    def _links(self) -> dict[int, Any]:
        return self.links.by_serial

    def _on_topic(self, hub: int, link: Any, message: control_pb2.HubToHub, fds: tuple[int, ...]) -> None:
        self.topics.receive(hub, message)

    def _lost(self, hub: int, link: Any, gone: bool) -> None:
        if gone:
            self.topics.unlinked(hub)
            self.losses.append((hub, link.number))

    def hear_peer(self, peer: int, end: End, number: int) -> None:
        full, self.full = self.full, False
        if full:
            self.world.broken += 1
            end.close()
            self.losses.append((peer, number))
        else:
            self.add_peer(peer, end, peer, 1, None, number)  # type: ignore[misc, arg-type]

    def hear_homes(self, homes: control_pb2.Homes) -> None:
        self.serving = True
        origins = {slot: origin.hub for origin in homes.origins for slot in origin.slots}
        self.set_homes(homes.homes, homes.version, homes.terms, origins, homes.living)  # type: ignore[misc]

    def held(self) -> Iterator[bytes]:
        """The messages that it has in logs, as the home of their topics."""
        received = {
            (hub, message.received.version) for hub, end in self._links.items() for message in end.inbox
        }
        departures = [
            each
            for some in self.topics._home.departures._departures.values()
            for each in some
            if each.place not in received  # else it will let go
        ]
        for logs in (self.topics._home.logs.logs, *(departure.logs for departure in departures)):
            for log in logs.values():
                yield from (entry.payload for entry in log.entries)

    def handed(self) -> Iterator[bytes]:
        """Those that other hubs hand over to it, or it to others, which have not arrived."""
        for log in self.topics._home.arrivals.logs.logs.values():
            yield from (entry.payload for entry in log.entries)
        for end in self.ends:
            for message in (*end.inbox, *end._unsent, *end.other.inbox, *end.other._unsent):
                yield from (entry.payload for log in message.handover.logs for entry in log.entries)

    def steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        if self.orders:
            yield f"{self.number} hears the broker", lambda: self.orders.popleft()()
        for peer, end in self._links.items():
            if end.inbox:
                yield f"{self.number} reads {peer}", end.read
            elif end.ended:
                yield f"{self.number} sees that {peer} has gone", end.lose
        if self.topics._feeds._late:
            yield f"{self.number} asks for what its actors missed", self.topics._feeds._catch_up_late


class History:
    """What was published and numbered, and so what must have been heard."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, Publisher]] = []
        #: By payload: the numbering that it is in, the last one, and how often it was numbered.
        self.epochs: dict[bytes, str] = {}
        self.numbered: Counter[bytes] = Counter()

    def number(self, epoch: str, payload: bytes) -> None:
        self.epochs[payload] = epoch
        self.numbered[payload] += 1

    def check_nobody_died(self) -> None:
        """That each topic has had one numbering, in which each message has one number."""
        assert {*self.numbered.values()} <= {1}
        numberings = {(topic, self.epochs[each]) for topic, each, _ in self.published if each in self.epochs}
        assert len(numberings) == len({topic for topic, _ in numberings})

    def check(self, subscriber: Subscriber, misses_nothing: bool = True) -> None:
        """That it heard what it must, as often as it may, each publisher in its order."""
        who = f"{subscriber.name} of {subscriber.topic}"
        for payload, times in Counter(subscriber.heard).items():
            assert times <= self.numbered[payload], f"{who} heard {payload!r} {times} times"
        last: dict[str, int] = {}
        for item in map(Item.FromString, dict.fromkeys(subscriber.heard)):
            assert last.get(item.text, 0) < item.number, f"{who} heard {item} late"
            last[item.text] = item.number
        if subscriber.told or subscriber.since is None or not misses_nothing:
            return
        for topic, payload, publisher in self.published[subscriber.since :]:
            if topic == subscriber.topic and publisher.alive and payload not in subscriber.excused:
                assert payload in subscriber.heard, f"{who} never heard {Item.FromString(payload)}"


class Publisher:
    """A connection that publishes numbered messages. Its actor may subscribe, and its publications wait then
    until it has."""

    def __init__(self, world: World, hub: Hub) -> None:
        self.world = world
        self.name = f"p{len(world.publishers)}"
        self.connection = Connection(hub, self.name, self)
        self.count = 0
        self.told = False

    @property
    def alive(self) -> bool:
        return self.connection.hub.alive

    def publish(self, topic: str) -> None:
        item = Item(text=self.name, number=self.count + 1, body=self.world.body)
        history = self.world.history
        history.published.append((topic, item.SerializeToString(), self))
        try:
            self.connection.host.publish(topic, item)
        except RpcError:
            history.published.pop()
        else:
            self.count += 1

    def hear(self, payload: bytes) -> None:
        """What subscribers hear is tried with others."""

    def steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        if self.alive and self.connection.cell.mailbox:
            yield f"{self.name} takes a turn", self.connection.cell.run

    def wishes(self) -> Iterator[tuple[str, Callable[[], None]]]:
        if not self.alive:
            return
        host, service = self.connection.host, self.connection.service
        subscribed = {each.topic for each in host.subscriptions}
        for topic in TOPICS:
            if topic in subscribed:
                what, change = "unsubscribes from", host.unsubscribe
            else:
                what, change = "subscribes to", host.subscribe
            yield f"{self.name} {what} {topic}", partial(change, service, topic, None)


class World:
    """All of it. A context: what it replaces is put back at the end."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = body
        self._patches = pytest.MonkeyPatch()
        self.history = History()
        self.subscribers: list[Subscriber] = []
        self.publishers: list[Publisher] = []
        self.generations = Counter[int]()
        self.most_unsent = 0
        #: The broker's; and which hubs are to be the home of nothing.
        self.homes = TopicHomes(SLOTS)
        self.homeless: set[int] = set()
        #: There is one.
        self.broker = True
        self.deaths = self.broken = self.takeovers = 0
        #: The process of each hub that the broker knows to be alive.
        self.joined: dict[int, Hub] = {}
        #: Links that the broker makes when it has waited.
        self.due: deque[Callable[[], None]] = deque()
        self.introductions = Introductions(self._introduce, lambda seconds, event: self.due.append(event))  # type: ignore[arg-type]
        self.hubs: list[Hub] = []
        self._watch()
        for number in range(HUBS):
            self._join(number)
        self._assign()
        while orders := [hub for hub in self.hubs if hub.orders]:
            orders[0].orders.popleft()()

    def _watch(self) -> None:
        append = TopicLog.append

        def watched(log: TopicLog, type: str, payload: bytes, *args: Any, **named: Any) -> Any:
            self.history.number(log.epoch, payload)
            return append(log, type, payload, *args, **named)

        self._patches.setattr(TopicLog, "append", watched)
        lost = sinks._Sink.lost

        def told(sink: Any, *args: Any) -> None:
            sink._connection.cell.owner.told = True
            lost(sink, *args)

        self._patches.setattr(sinks._Sink, "lost", told)
        self._patches.setattr(links, "HubLink", End.open)

    @property
    def living(self) -> list[Hub]:
        return [hub for hub in self.hubs if hub.alive]

    @property
    def clients(self) -> list[Subscriber | Publisher]:
        return [*self.subscribers, *self.publishers]

    @property
    def serving(self) -> list[Hub]:
        return [hub for hub in self.living if hub.serving]

    def hub(self, number: int) -> Hub:
        return next(hub for hub in self.living if hub.number == number)

    def home(self, topic: str) -> int:
        """Where the broker has the topic's home."""
        return self.homes.homes[crc32(topic.encode()) % SLOTS]

    # ---- the broker

    def _start(self, number: int, share: bool = False) -> None:
        """The broker starts a hub again."""
        self._join(number)
        self._assign(share)

    def _join(self, number: int) -> None:
        self.generations[number] += 1
        hub = Hub(self, number, self.generations[number])
        for other in self.joined.values():
            self.introductions.make(hub, other)  # type: ignore[arg-type]
        self.hubs.append(hub)
        self.joined[number] = hub

    def _introduce(self, one: Hub, other: Hub, number: int) -> None:
        mine, theirs = End(one), End(other)
        mine.other, theirs.other = theirs, mine
        one.orders.append(partial(one.hear_peer, other.number, mine, number))
        other.orders.append(partial(other.hear_peer, one.number, theirs, number))

    def _hear_loss(self, hub: Hub) -> None:
        """The broker hears that a link of a hub has ended."""
        number, link = hub.losses.popleft()
        if self.joined.get(hub.number) is hub and number in self.joined:
            self.introductions.broken(hub, self.joined[number], link)  # type: ignore[arg-type]

    def _assign(self, share: bool = False) -> None:
        self.homes.assign([*self.joined], self.homeless, share)
        homes = self.homes.message()
        for hub in self.joined.values():
            hub.orders.append(partial(hub.hear_homes, homes))

    def _empty(self, number: int) -> None:
        """A hub is to give its slots away."""
        self.homeless.add(number)
        self._assign()

    def _fill(self, number: int) -> None:
        """It gets its share again."""
        self.homeless.discard(number)
        self._assign(share=True)

    def _hear(self, hub: Hub) -> None:
        """The broker hears that a hub's slots have settled."""
        version = hub.reports.popleft()
        news = self.joined.get(hub.number) is hub and self.homes.settled(hub.number, version)
        if news and any(map(self.homes.movable, self.homeless)):
            self._assign()

    def _notice(self, hub: Hub) -> None:
        """The broker sees that a process has ended."""
        hub.exit_code = -9
        self.introductions.forget(hub.number)
        del self.joined[hub.number]
        self._assign()

    def _lose_broker(self) -> None:
        """It dies: what it has said is heard, then its end."""
        self.broker = False
        self.takeovers += 1
        self.due.clear()
        for hub in self.living:
            hub.orders.append(hub.topics.broker_gone)

    def _take_over(self) -> None:
        """Another broker goes on with what the last one knew, and with what hubs say of their links."""
        self.broker = True
        gone = [hub for hub in self.joined.values() if not hub.alive]
        for hub in gone:
            del self.joined[hub.number]
        for hub in self.living:
            hub.reports.clear()  # nobody has heard them
            hub.losses.clear()
            hub.topics.tell_settled_again()
        self.introductions = Introductions(self._introduce, lambda seconds, event: self.due.append(event))  # type: ignore[arg-type]
        for hub in self.joined.values():
            self.introductions.report(hub, hub.links.numbers)  # type: ignore[arg-type]
        self.introductions.complete([*self.joined.values()])  # type: ignore[list-item]
        self._assign()

    def kill(self, hub: Hub) -> None:
        """What it had not written is lost; what it had written can be read."""
        self.deaths += 1
        for subscriber in self.subscribers:
            subscriber.excused |= self._lost_with(hub, subscriber)
        hub.alive = False
        hub.topics.close()
        for end in hub.ends:
            end.closed = True
            end._unsent.clear()
            end.other._unsent.clear()
            end.inbox.clear()
        for subscriber in self.subscribers:
            subscriber.hub_died(hub)

    def _lost_with(self, hub: Hub, subscriber: Subscriber) -> set[bytes]:
        """What a home has numbered, or another has handed over to it, and a subscriber has not been sent, is
        lost with it; not what it has handed over to others, or others not wholly to it."""
        connection = subscriber.connection
        if not subscriber.alive:
            return set()
        numbered = {each for each, epoch in self.history.epochs.items() if epoch.startswith(hub.prefix)}
        elsewhere = {each for other in self.living if other is not hub for each in other.held()}
        lost = {*numbered, *hub.held(), *hub.handed()} - elsewhere - {*subscriber.heard}
        waiting = {turn[2][2] for turn in connection.cell.mailbox if turn[0] == TOPIC}
        subscription = subscriber.subscription
        link = connection.hub._links.get(hub.number)
        if subscriber.arriving is not None or subscription is None or subscription.behind or link is None:
            return lost - waiting
        on_the_way: list[control_pb2.Deliver] = []
        expected = subscription.sequence + 1
        for message in link.inbox:
            delivery = message.deliver
            if delivery.topic == subscriber.topic and delivery.sequence == expected:
                on_the_way.append(delivery)
                expected += 1
        if subscriber.actor and len(connection.cell.mailbox) + len(on_the_way) > 2:
            on_the_way = []  # they may not find room
        return lost - waiting - {delivery.payload for delivery in on_the_way}

    # ---- steps

    def steps(self) -> Steps:
        """What goes on by itself."""
        steps: Steps = {}
        for hub in self.living:
            steps.update(hub.steps())
        if self.broker:
            steps |= self._brokers_steps()
        for each in self.clients:
            steps.update(each.steps())
        return steps

    def _brokers_steps(self) -> Steps:
        steps: Steps = {}
        for hub in self.joined.values():
            if not hub.alive:
                steps[f"the broker notices that {hub.number} has died"] = lambda hub=hub: self._notice(hub)  # type: ignore[misc]
        for hub in self.joined.values():
            if hub.reports:
                steps[f"the broker hears {hub.number}"] = partial(self._hear, hub)
            if hub.losses:
                steps[f"the broker hears that {hub.number} has lost a link"] = partial(self._hear_loss, hub)
        if self.due:
            steps["when the broker has waited"] = lambda: self.due.popleft()()
        return steps

    def orders(self) -> Steps:
        """What an operator does."""
        steps: Steps = {}
        for number in self.joined if self.broker else ():
            if number in self.homeless:
                steps[f"{number} gets its share"] = partial(self._fill, number)
            else:
                steps[f"{number} is emptied"] = partial(self._empty, number)
        return steps

    def wishes(self) -> Steps:
        """What clients do."""
        steps: Steps = {}
        for hub in self.serving:
            for peer, end in hub._links.items():
                if end.unsent < 3 * OFFER.ByteSize():
                    steps[f"{hub.number} offers {peer} a connection"] = partial(end.send, OFFER)
            if len(self.subscribers) < 6:
                for topic in TOPICS:
                    for actor in (False, True):
                        what = f"{'an actor' if actor else 'a call'} in {hub.number} subscribes to {topic}"
                        steps[what] = lambda hub=hub, t=topic, a=actor: self.subscribe(hub, t, a)  # type: ignore[assignment,misc]
            for topic in TOPICS:
                steps[f"{hub.number} publishes to {topic}"] = lambda hub=hub, t=topic: self.publish(hub, t)  # type: ignore[misc]
        for subscriber in self.subscribers:
            steps.update(subscriber.moves())
            if subscriber.actor and subscriber.alive and subscriber.connection.phase.state == SERVING:
                steps[f"{subscriber.name} gets other work"] = lambda s=subscriber: self.busy(s)  # type: ignore[misc]
        for publisher in self.publishers:
            steps.update(publisher.wishes())
        return steps

    def chaos(self) -> Steps:
        """What is not wished for."""
        steps: Steps = {}
        if len(self.living) > 1:
            for hub in self.living:
                steps[f"{hub.number} dies"] = lambda hub=hub: self.kill(hub)  # type: ignore[misc]
        if self.broker:
            steps["the broker dies"] = self._lose_broker
        else:
            steps["another broker takes over"] = self._take_over
        for number in range(HUBS if self.broker else 0):
            if number not in self.joined:
                steps[f"{number} starts again"] = partial(self._start, number)
                steps[f"{number} starts again and gets its share"] = partial(self._start, number, True)
        return steps

    def breaks(self) -> Steps:
        """What may happen to links between hubs that live."""
        steps: Steps = {}
        for hub in self.living:
            if not hub.full:
                steps[f"{hub.number} has no room for its next link"] = partial(setattr, hub, "full", True)
            for peer, end in hub._links.items():
                if not end.ended:
                    steps[f"{hub.number} breaks with {peer}"] = partial(self._break, end.give_up)
                    if hub.number < peer:
                        what = f"the link between {hub.number} and {peer} breaks"
                        steps[what] = partial(self._break, end.break_off)
        return steps

    def _break(self, how: Callable[[], None]) -> None:
        self.broken += 1
        how()

    def subscribe(self, hub: Hub, topic: str, actor: bool) -> Subscriber:
        subscriber = Subscriber(self, hub, f"s{len(self.subscribers)}", topic, actor)
        self.subscribers.append(subscriber)
        return subscriber

    def publish(self, hub: Hub, topic: str) -> None:
        for publisher in self.publishers:
            if publisher.connection.hub is hub:
                break
        else:
            publisher = Publisher(self, hub)
            self.publishers.append(publisher)
        publisher.publish(topic)

    def busy(self, subscriber: Subscriber) -> None:
        """As many other turns as may wait of topics."""
        subscriber.connection.cell.queue().extend((MESSAGE, None, b"") for _ in range(3))

    def run(self, *names: str) -> None:
        for name in names:
            (self.steps() | self.wishes() | self.orders() | self.chaos() | self.breaks())[name]()
            self.after()

    def after(self) -> None:
        for subscriber in self.subscribers:
            subscriber.notice()

    # ---- the end

    def settle(self) -> None:
        """Let everything go on that can, until nothing does."""
        for _ in range(TOO_MANY):
            steps = self.steps()
            if not steps and self.broker:
                return
            steps = steps or {"another broker takes over": self._take_over}
            steps[min(steps, key=lambda name: (name.endswith(" stays"), name))]()
            self.after()
        raise AssertionError("it does not come to rest")

    def check(self) -> None:
        """At rest: everybody has heard what he must, and nobody waits for anything."""
        # Without a broker, who has no link is taken for dead, and may go on.
        lawless = self.takeovers and self.broken
        if not self.deaths and not lawless:
            self.history.check_nobody_died()
            assert not any(subscriber.told for subscriber in self.subscribers)
        assert not self.homes.origins
        if able := {*self.joined} - self.homeless:
            assert {*self.homes.homes} <= able
        for subscriber in self.subscribers:
            if subscriber.alive:
                self.history.check(subscriber, misses_nothing=not lawless)
        for each in self.clients:
            if each.alive:
                host = each.connection.host
                assert host.unacknowledged == 0
                assert not any(one.pending or one.behind for one in host.subscriptions)

    def check_nothing_is_kept(self) -> None:
        """Without subscribers, and after a while, topics take nothing."""
        for each in self.clients:
            if each.alive:
                each.connection.host.end_subscriptions()
        self.settle()
        for hub in self.living:
            topics = hub.topics
            now = 0.0
            for _ in range(4):
                now = max(now, monotonic()) + LINGER + 1
                topics._home.sweep(now)
            assert not topics._feeds._feeds
            assert not topics._feeds._groups
            assert not topics._feeds._subscribed
            assert not topics._early
            assert not topics.succession._queues
            assert (len(topics._home.departures), len(topics._home.arrivals)) == (0, 0)
            assert (topics._home.arrivals.logs.logs, topics._home.arrivals.logs.size) == ({}, 0)
            assert not topics._own
            unacknowledged = topics._publisher._unacknowledged
            assert (len(unacknowledged), unacknowledged.size) == (0, 0)
            assert not topics._home._awaiting
            assert not topics._home._behind
            assert (topics._home.logs.logs, topics._home.logs.size) == ({}, 0)
            assert all(outbox.next() is None for outbox in topics._outboxes._outboxes.values())

    def close(self) -> None:
        for hub in self.living:
            hub.topics.close()
        self._patches.undo()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
