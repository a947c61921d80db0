"""Processes of hubs as fakes: they hear what brokers tell them when a test lets them, and remember it after
a broker's death."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from gevent import get_hub

from actorrpc.ipc.queues import queue_of
from actorrpc.pb import control_pb2
from actorrpc.pb.control_pb2 import Homes, ToBroker, ToHub

if TYPE_CHECKING:
    from tests.broker.life.broker import Broker
    from tests.broker.life.world import World

__all__ = ["DRAIN_TIMEOUT", "USELESS", "BrokerKilled", "Control", "Hub", "LinkEnd", "Pair"]

#: As the hubs are told, in seconds.
DRAIN_TIMEOUT = 10.0
#: For how long a hub that has never served waits for a broker.
USELESS = 60.0


class BrokerKilled(BaseException):
    """A broker does nothing any more from here on."""


class Pair:
    """A link between two hubs, as far as its ends have been given to them."""

    def __init__(self) -> None:
        self.ends: list[Hub | None] = [None, None]
        #: One of its ends has gone, wherever it was.
        self.broken = False

    def end(self) -> None:
        self.broken = True
        for hub in self.ends:
            if hub is not None:
                hub.notice_broken()


@dataclass
class LinkEnd:
    """What goes with a message: an end of a pair."""

    pair: Pair
    side: int
    #: It is on its way to a hub.
    given: bool = False

    def take(self, hub: Hub) -> Pair:
        self.pair.ends[self.side] = hub
        return self.pair


class Control:
    """The link between one broker and one process; stands for ``Link`` in the broker."""

    def __init__(
        self,
        hub: Hub,
        inbound: type[ToBroker],
        on_message: Callable[[ToBroker, tuple[int, ...]], None],
        on_close: Callable[[Any], None],
    ) -> None:
        self.hub, self.world = hub, hub.world
        self.broker = hub.world.broker
        self.unsent = 0
        self.closed = False
        #: What the kernel has of it, with what goes with it; None: the broker has gone.
        self.to_hub: deque[tuple[ToHub, list[Any]] | None] = deque()
        self._to_broker: deque[tuple[ToBroker, Sequence[int]]] = deque()
        self._on_message, self._on_close = on_message, on_close
        told: Any = on_message
        hub.connect(self, told.__self__)

    # ---- the broker's end

    def send(self, message: ToHub, fds: Sequence[int] = (), then: Callable[[], None] | None = None) -> bool:
        self.world.step_of(self.broker, f"before {message.WhichOneof('kind')} to {self.hub.serial}")
        if self.closed or not self.hub.alive:
            return False
        sent = ToHub.FromString(message.SerializeToString())
        self.to_hub.append((sent, list(map(self.world.lend, fds))))
        self.hub.wake()
        if then is not None:
            then()
        return True

    def drain(self) -> None:
        while self._to_broker:
            self._hear()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.to_hub.append(None)
            self.hub.wake()

    # ---- the hub's

    def tell(self, message: ToBroker, kernels: Sequence[int] = ()) -> None:
        """``kernels``: the listening sockets that go with it."""
        if not self.closed and self.broker.alive:
            self._to_broker.append((message, kernels))
            get_hub().loop.run_callback(self._deliver)

    def _deliver(self) -> None:
        if self._to_broker and self.broker.alive and not self.closed:
            with suppress(BrokerKilled):
                self._hear()

    def _hear(self) -> None:
        message, kernels = self._to_broker.popleft()
        self._on_message(message, tuple(map(self.world.sockets.lend, kernels)))

    def end(self) -> None:
        """The hub has ended."""
        if self.broker.alive and not self.closed:
            get_hub().loop.run_callback(lambda: self.closed or self._on_close(self))


class Hub:
    """One process. What it is told it does at once, unless it ``hangs``; what takes its time is a step."""

    def __init__(self, world: World, serial: int) -> None:
        self.world, self.serial, self.pid = world, serial, serial
        self.number = self.generation = -1
        self.exit_code: int | None = None
        self.hangs = False
        self.born = world.clock.now
        self.ended = inf
        #: It has been told to start; has loaded the app; cannot.
        self.told = self.ready = False
        self.control: Control | None = None
        #: Brokers that call, until it has none.
        self.calls: deque[Control] = deque()
        self.alone_since: float | None = None
        # What it remembers.
        self.homes = Homes()
        self.directory = control_pb2.Directory()
        self.serves_since = inf
        self.links: dict[int, Pair] = {}
        self._numbers: dict[int, int] = {}
        #: By queue: its own sockets, as long as it has not accepted from them; those that are for all; and
        #: those from which it accepts.
        self.own: dict[int, int] = {}
        self.shared: dict[int, int] = {}
        self.listeners: dict[int, int] = {}
        #: Those that it keeps for the time when there is no broker.
        self.kept: dict[int, int] = {}
        self.targets: dict[int, int] | None = None
        #: It accepts all the same: there is nobody to take what it has.
        self.holds = False
        self.drained_since = 0.0
        #: When it spoke again after it had hung.
        self.woke = 0.0
        #: It was told to end while it hung.
        self.untold = 0
        #: When it ends if nobody tells it, since it was told to by a signal; and which broker should have.
        self.told_to_end = self.patience = inf
        self.asked: Broker | None = None
        self.stopping = self.retiring = False
        self.connections = 0
        #: Versions of homes with which it got slots, until it has them for good; and those that it has.
        self.awaited: list[int] = []
        self.settled: list[int] = []
        self._awake = False

    @property
    def alive(self) -> bool:
        return self.exit_code is None

    @property
    def resting(self) -> bool:
        return self.targets is not None

    @property
    def able(self) -> bool:
        """Whether it can accept connections."""
        resting = self.resting and not self.holds
        return self.alive and self.joined and not (self.stopping or resting or self.hangs)

    @property
    def joined(self) -> bool:
        return self.homes.version > 0

    @property
    def sockets(self) -> set[int]:
        """The listening sockets that it has."""
        return {*self.offers.values()}

    @property
    def offers(self) -> dict[int, int]:
        """The same by their queues; those from which it accepts come first."""
        return {**self.listeners, **self.own, **self.shared, **self.kept, **self.listeners}

    def linked(self, other: Hub) -> bool:
        pair = self.links.get(other.serial)
        return other.alive and pair is not None and not pair.broken

    # ---- its broker

    def connect(self, control: Control, process: Any) -> None:
        if not self.told and self.control is None:
            self.number, self.generation = process.hub, process.generation
            self.control = control
        else:
            self.calls.append(control)
            self.wake()

    def wake(self) -> None:
        """There is something to read."""
        if not self._awake:
            self._awake = True
            get_hub().loop.run_callback(self._read)

    def _read(self) -> None:
        self._awake = False
        while self.alive and not self.hangs:
            if self.control is None:
                if not (self.calls and self.ready):
                    return
                self.control = self.calls.popleft()
            if not self.control.to_hub:
                return
            read = self.control.to_hub.popleft()
            if read is None:
                self._without_broker()
            else:
                with self.world.watched(f"{self} reads {read[0].WhichOneof('kind')}"):
                    self.hear(*read)

    def tell(self, **message: Any) -> None:
        if self.control is not None:
            self.control.tell(ToBroker(**message))

    def _without_broker(self) -> None:
        self.control = None
        if not self.told:
            self.die(0)
        elif self.ready:
            self._alone()

    def _alone(self) -> None:
        if self.alone_since is None:
            self.alone_since = self.world.clock.now
        if self.retiring and not self.stopping:
            self._retire_alone()
        if not self.stopping:
            self.accept_alone()

    def accept_alone(self) -> None:
        """There is no broker to say who accepts."""
        if not self.joined:
            return
        self._accept_own()
        self.listeners = {**self.kept, **self.listeners}
        able = [each.serial for each in self.world.living if each.able and self.linked(each)]
        if self.serial < min(able, default=self.serial + 1):
            self.listeners = {**self.shared, **self.listeners}

    def _accept_own(self) -> None:
        self.listeners.update(self.own)
        self.own = {}

    # ---- what it is told

    def hear(self, message: ToHub, given: list[Any]) -> None:
        kind = message.WhichOneof("kind") or ""
        hear = getattr(self, f"_on_{kind}")
        hear(getattr(message, kind), *given)

    def _on_start(self, start: control_pb2.Start, *sockets: int) -> None:
        assert not self.told and start.serial == self.serial and start.hub == self.number
        self.told = True
        for number, (address, sock) in enumerate(zip(start.addresses, sockets, strict=True)):
            if address.shared:
                self.shared[queue_of(number)] = sock
            else:
                self.own[queue_of(number, self.number)] = sock

    def _on_peer(self, peer: control_pb2.Peer, end: LinkEnd) -> None:
        assert self.ready, "it is told before it can hear it"
        if (old := self.links.pop(peer.serial, None)) is not None:
            old.end()
        self.links[peer.serial], self._numbers[peer.serial] = end.take(self), peer.number
        self.notice_broken()

    def notice_broken(self) -> None:
        """Links whose other ends have gone have ended."""
        if self.hangs or not self.alive:
            return
        for serial in [serial for serial, pair in self.links.items() if pair.broken]:
            del self.links[serial]
            if not self.stopping:
                self.tell(unlinked=control_pb2.Unlinked(serial=serial, number=self._numbers[serial]))

    def _on_directory(self, directory: control_pb2.Directory) -> None:
        self.world.check_directory(self, directory)
        self.directory = directory

    def _on_homes(self, homes: Homes) -> None:
        self.world.check_homes(self, homes)
        before, self.homes = self.homes, homes
        self.serves_since = min(self.serves_since, self.world.clock.now)
        got = {
            term
            for term, home in zip(homes.terms, homes.homes, strict=True)
            if home == self.serial and term > before.version
        }
        self.awaited += sorted(got)
        self._accept_own()

    def _on_listen(self, listen: control_pb2.Listen, sock: int) -> None:
        if not self.stopping:
            self.listeners[listen.queue] = sock

    def _on_keep(self, keep: control_pb2.Keep, sock: int) -> None:
        if not self.stopping:
            self.kept = {**(self.kept if keep.more else {}), keep.queue: sock}

    def _on_unlisten(self, unlisten: control_pb2.Unlisten) -> None:
        self.listeners.pop(unlisten.queue, None)

    def _on_drain(self, drain: control_pb2.Drain) -> None:
        if not self.resting:
            self.drained_since = self.world.clock.now
        self.targets = dict(drain.targets) if drain.targets or drain.hold else None
        self.holds = drain.hold
        self.report()

    def _on_list_connections(self, question: control_pb2.ListConnections) -> None:
        self.tell(connections=control_pb2.Connections(request=question.request))

    def _on_stop(self, stop: control_pb2.Stop) -> None:
        self.world.check_stop(self)
        self.stop()

    def _on_adopt(self, adopt: control_pb2.Adopt) -> None:
        assert self.control is not None
        self.alone_since = None
        offers = [(queue, sock, queue in self.listeners) for queue, sock in self.offers.items()]
        adopted = control_pb2.Adopted(
            hello=adopt.hello,
            homes=self.homes.version,
            queues=[control_pb2.Queue(number=queue, accepting=accepting) for queue, _, accepting in offers],
            stopping=self.stopping,
            draining=self.resting,
            retiring=self.retiring,
            load=control_pb2.Load(connections=self.connections),
            links={serial: self._numbers[serial] for serial in self.links},
            keyed=True,
        )
        self.control.tell(ToBroker(adopted=adopted), [sock for _, sock, _ in offers])
        places = zip(self.homes.homes, self.homes.terms, strict=True)
        for version in sorted({term for home, term in places if home == self.serial} - {*self.awaited}):
            self.tell(settled=control_pb2.Settled(version=version))

    # ---- what it does

    def become_ready(self, error: str = "") -> None:
        self.ready = not error
        if error:
            self.tell(ready=control_pb2.Ready(error=error, hello=self.world.hello))
            self.die(1)
        else:
            self.tell(ready=control_pb2.Ready(hello=self.world.hello, keyed=True))
            if self.control is None:
                self._alone()
            self.wake()

    def report(self) -> None:
        """Say what it has."""
        load = control_pb2.Load(connections=self.connections)
        if self.resting:
            load.draining.CopyFrom(control_pb2.Draining(left=self.connections))
        self.tell(load=load)

    def beat(self) -> None:
        """Some time has passed."""
        if self.hangs or not self.ready:
            return
        self.report()
        if not self.stopping and self.world.clock.now >= self.patience:
            with self.world.watched(f"{self} was told to end"):
                assert self.asked is None, "its broker has forgotten it"
            self.stop()
        if self.alone_since is not None and not self.stopping:
            self.accept_alone()
            if not self.joined and self.world.clock.now - self.alone_since >= USELESS:
                self.world.expected.spoilt(self)
                self.stop()

    def terminate(self) -> None:
        """SIGTERM."""
        if not self.ready:
            self.die(-15)
        elif self.hangs:
            self.untold += 1
        elif self.retiring:
            self.stop()
        else:
            self.retiring, self.told_to_end = True, self.world.clock.now
            if self.control is not None:
                self.patience = self.world.clock.now + DRAIN_TIMEOUT + 2
                self.asked = self.control.broker if self.control.broker.ready else None
                self.tell(retiring=control_pb2.Retiring())
            else:
                self._retire_alone()

    def _retire_alone(self) -> None:
        self.patience, self.asked = self.world.clock.now + DRAIN_TIMEOUT, None
        peers = [each for each in self.world.living if self.linked(each)]
        if peers:
            self.targets = {each.serial: 0 for each in peers}
            self.stop_if_retired()
        else:
            self.stop()

    def stop_if_retired(self) -> None:
        """One that gives away what it has, without a broker to stop it, ends when it has nothing."""
        if self.retiring and self.alone_since is not None and not self.connections:
            self.stop()

    def stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            self.own, self.shared = {}, {}
            self.listeners.clear()
            self.kept.clear()
            self.tell(stopping=control_pb2.Stopping())

    def takers(self) -> list[Hub]:
        """Where its connections can go."""
        return [
            each
            for each in self.world.living
            if self.targets and each.serial in self.targets and each.able and self.linked(each)
        ]

    def move_all(self) -> None:
        """Its drain comes to its end."""
        self.takers()[0].connections += self.connections
        self.connections = 0
        self.report()
        self.stop_if_retired()

    def can_settle(self) -> bool:
        """All have heard of it, and can say so."""
        others = [each for each in self.world.living if each.joined and each is not self]
        return bool(self.awaited) and all(
            each.homes.version >= self.awaited[0] and each.linked(self) and self.linked(each)
            for each in others
        )

    def settle(self) -> None:
        self.settled.append(version := self.awaited.pop(0))
        self.tell(settled=control_pb2.Settled(version=version))

    def die(self, code: int) -> None:
        if self.alive:
            self.exit_code, self.ended = code, self.world.clock.now
            for pair in [*self.links.values(), *self._unread_ends()]:
                pair.end()
            self.world.ended(self)

    def _unread_ends(self) -> list[Pair]:
        """Those that have come, and that it has not taken."""
        controls = [*self.calls] if self.control is None else [self.control, *self.calls]
        unread = [each for control in controls for each in control.to_hub if each is not None]
        return [end.pair for _, given in unread for end in given if isinstance(end, LinkEnd)]

    def __repr__(self) -> str:
        return f"{self.serial} (hub {self.number}, generation {self.generation})"
