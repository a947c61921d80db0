"""One hub of the model: its real parts, and links that are fakes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gevent.event import Event
from google.protobuf.message import Message

from actorrpc.app import App
from actorrpc.config import Config
from actorrpc.hub.directory.directory import Directory
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.keyed.activations import Activations
from actorrpc.hub.links import CALLS, HANDOFFS
from actorrpc.hub.moving.mover import Mover
from actorrpc.hub.resources import Resources
from actorrpc.hub.topics.embedded import EmbeddedTopics
from actorrpc.ipc.hello import SNAPSHOTS
from actorrpc.pb.control_pb2 import HubToHub
from tests.exchange.app import Dead, room_of

if TYPE_CHECKING:
    from tests.exchange.world import World

__all__ = ["Hub", "Link"]

Steps = Iterator[tuple[str, Callable[[], object]]]


class Link:
    """One connection of two hubs, with what is under way in both directions."""

    def __init__(self, one: Hub, other: Hub) -> None:
        self.inbox: dict[int, deque[HubToHub | None]] = {one.serial: deque(), other.serial: deque()}
        self.over = False

    def end(self, keep: int = 1 << 20) -> None:
        """Both sides will read so much more, and then its end."""
        if not self.over:
            self.over = True
            for inbox in self.inbox.values():
                while len(inbox) > keep:
                    inbox.pop()
                inbox.append(None)


class Way:
    """One end of a link, as what sends over it sees it."""

    snapshots = SNAPSHOTS.newest
    states: dict[str, int] = {}

    def __init__(self, owner: Hub, link: Link, hub: int) -> None:
        self.owner, self.link, self.hub = owner, link, hub

    def send(self, message: Message, fds: Sequence[int] = (), then: Callable[[], None] | None = None) -> bool:
        assert not fds and then is None
        if not self.owner.alive or self.link.over:
            return False
        self.link.inbox[self.hub].append(HubToHub.FromString(message.SerializeToString()))
        return True

    def reserve(self) -> None: ...
    def unreserve(self) -> None: ...


class Owner:
    """What moves ask of a hub."""

    move_refusal = ""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.serial = hub.serial

    @property
    def stages(self) -> Any:
        return self.hub.actors.by_id

    def weigh(self, stage: Any) -> None: ...
    def stays(self, stage: Any) -> None: ...
    def left(self, stage: Any, target: int) -> None: ...
    def settled(self) -> None: ...


class Hub:
    """One process."""

    def __init__(self, world: World, serial: int) -> None:
        self.world = world
        self.serial = serial
        self.alive = True
        self.history, self.faults = world.history, world.faults
        self.links: dict[int, Way] = {}
        #: Those to which there is no link any more, of which it may hear that they have died.
        self.unlinked: set[int] = set()
        #: What the broker has said and it has not heard.
        self.orders: deque[tuple[str, Callable[[], object]]] = deque()
        #: What waits in turns here, until the model goes on.
        self.blocked: dict[str, Event] = {}
        self.directory = Directory(serial, self._send, str(world.path))
        assert not self.directory.unusable, self.directory.unusable
        self.exchange = Exchange(
            serial, self.directory, self._send, self.links.__contains__, self.unlinked.add
        )
        self.topics = EmbeddedTopics(serial, str(serial), self._send, lambda hub: True, lambda version: None)
        config = Config()
        resources = Resources(App([room_of(self)]), config, self.topics, self.exchange)
        self.actors = Activations(
            serial,
            resources,
            self.exchange,
            self.directory,
            closes=lambda id: self.mover.handoffs.closed(id),
        )
        owner: Any = Owner(self)
        links: Any = self.links
        self.mover = Mover(owner, resources, links, None, self.actors, self.directory)

    def _send(self, serial: int, message: HubToHub) -> None:
        if message.HasField("invoke") and self.alive:
            listener: Any = self.exchange.outgoing[message.invoke.call].listener
            listener.sent_to.add(serial)
        if (way := self.links.get(serial)) is not None:
            way.send(message)

    # ---- what its actors ask of it

    def block(self, what: str) -> None:
        if not self.world.blocks(what):
            return
        event = self.blocked[what] = Event()
        event.wait()
        if not self.alive:
            raise Dead

    def go_on(self, what: str) -> None:
        self.blocked.pop(what).set()

    def fails(self, key: str) -> bool:
        return self.world.fails(key)

    # ---- what it does

    def steps(self) -> Steps:
        for serial, way in self.links.items():
            if way.link.inbox[self.serial]:
                yield f"{self.serial} reads {serial}", partial(self.read, way)
        if self.orders:
            yield f"{self.serial} hears the broker: {self.orders[0][0]}", self.hear
        for serial in sorted(self.unlinked):
            if not self.world.lives(serial):
                yield f"{self.serial} hears that {serial} has died", partial(self.died, serial)

    def read(self, way: Way) -> None:
        message = way.link.inbox[self.serial].popleft()
        if message is not None:
            self._receive(way, message)
        else:
            self._lost(way)

    def _receive(self, way: Way, message: HubToHub) -> None:
        kind = message.WhichOneof("kind")
        if kind in HANDOFFS:
            self.mover.handoffs.receive(way, message, ())
        elif kind in CALLS:
            self.exchange.receive(way.hub, message)
        else:
            self.directory.receive(way.hub, message)

    def _lost(self, way: Way) -> None:
        """As ``Node._lost``."""
        gone = self.links.get(way.hub) is way
        if gone:
            del self.links[way.hub]
        self.mover.handoffs.link_lost(way, "the link has ended")
        if gone:
            self.directory.unlinked(way.hub)
            self.unlinked.add(way.hub)

    def hear(self) -> None:
        _, order = self.orders.popleft()
        order()

    def join(self, serial: int, link: Link) -> None:
        """As ``Node.add_peer``: take a link, which replaces an earlier one. That is read first."""
        if (old := self.links.pop(serial, None)) is not None:
            while inbox := old.link.inbox[self.serial]:
                if (message := inbox.popleft()) is not None:
                    self._receive(old, message)
            old.link.end()
            old.link.inbox[self.serial].clear()
            self.mover.handoffs.link_lost(old, "the link has ended")
        self.links[serial] = Way(self, link, serial)
        self.directory.linked(serial)
        self.unlinked.discard(serial)
        self.exchange.relinked(serial)

    def died(self, serial: int) -> None:
        self.unlinked.discard(serial)
        self.exchange.died(serial)

    # ---- its end

    def die(self) -> None:
        self.alive = False
        for activation in self.actors.active.values():
            activation.forked()
        for way in self.links.values():
            way.link.end()
        self.directory.close()
        # What fires later finds nothing.
        self.directory._store = self.directory._home = None
        self.directory.unusable = "it has died"
        self.exchange.outgoing.clear()
        self.exchange.answering.clear()
        self.exchange.close()
        self.actors.close()
        self.topics.close()
        for source in self.mover.handoffs.sources.values():
            source._cancel_timer()
        for event in self.blocked.values():
            event.set()
        self.blocked.clear()

    def check_rest(self) -> None:
        """Nothing is left of calls and actors."""
        exchange, actors = self.exchange, self.actors
        assert not exchange.outgoing, exchange.outgoing
        assert not exchange.answering, exchange.answering
        assert not exchange._moved and not exchange._gone, (exchange._moved, exchange._gone)
        assert not exchange._begun and not exchange._answered, (exchange._begun, exchange._answered)
        assert not actors.active, actors.active
        assert not actors.by_id, actors.by_id
        assert not actors.arriving, actors.arriving
        assert not actors._waiting, actors._waiting
        assert not self.mover.handoffs, self.mover.handoffs

    def __repr__(self) -> str:
        moves = [*self.mover.handoffs.sources.values()]
        return f"<Hub {self.serial} {self.exchange!r} {self.actors!r} {moves}>"
