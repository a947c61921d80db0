"""What one hub process, or one embedded server, serves: connections, listeners, links; and whether it
takes more."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, count
from secrets import token_bytes
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent import get_hub

from actorrpc.app import App
from actorrpc.config import Config
from actorrpc.errors import StatusCode
from actorrpc.forks import guard, unguard
from actorrpc.hub.accepting.reception import Reception
from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.app_host import AppHost
from actorrpc.hub.connected.any_actor import AnyActor
from actorrpc.hub.connected.connected import ConnectedActors
from actorrpc.hub.directory.directory import Directory
from actorrpc.hub.exchange.deaths import Deaths
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.heaviest import list_heaviest
from actorrpc.hub.keyed.activation import Activation
from actorrpc.hub.keyed.activations import Activations
from actorrpc.hub.links import CALLS, CONNECTIONS, DIRECTORY, FRESH, HANDOFFS, TOPICS, HubLink, Links
from actorrpc.hub.listing import describe, describe_any, describe_unserved, list_actors, list_some
from actorrpc.hub.memory import limited_memory
from actorrpc.hub.metering.proc import can_open
from actorrpc.hub.moving.draining import Draining
from actorrpc.hub.moving.move_cost import Cost
from actorrpc.hub.moving.mover import Mover
from actorrpc.hub.report import Reporter
from actorrpc.hub.resources import Resources
from actorrpc.hub.runtime.current import know_calls
from actorrpc.hub.search.places import Places
from actorrpc.hub.search.search import Search
from actorrpc.hub.securing.serving import admission_of, handshakes_of
from actorrpc.hub.serving.connection import Connection
from actorrpc.hub.serving.readmission import Readmission
from actorrpc.hub.topics.embedded import EmbeddedTopics
from actorrpc.ipc.framing import close_all
from actorrpc.ipc.hello import LINKS, SNAPSHOTS
from actorrpc.log import tell_what_is_due, tell_what_was_left_out
from actorrpc.loop.duties import do_all
from actorrpc.loop.timers import after
from actorrpc.net.peers import Remote, Unserved
from actorrpc.pb import control_pb2
from actorrpc.tls.handshake.settings import Tls

if TYPE_CHECKING:
    from actorrpc.hub.securing.transport import Secured

__all__ = ["Node"]

log = logging.getLogger("actorrpc.hub")

#: What a stopping node allows, after the drain timeout, for last words and for handlers to end.
STOP_GRACE = 3.0


class Stages(Mapping[str, CallStage]):
    """What can move: connections, and keyed actors. Ids of these have a slash in them."""

    def __init__(self, connections: Mapping[str, Connection], activations: Mapping[str, Activation]) -> None:
        self._connections, self._activations = connections, activations

    def __getitem__(self, id: str) -> CallStage:
        return self._activations[id] if "/" in id else self._connections[id]

    def __iter__(self) -> Iterator[str]:
        return chain(self._connections, self._activations)

    def __len__(self) -> int:
        return len(self._connections) + len(self._activations)


class Node:
    """One hub. It lives in the greenlets of the gevent hub that made it.

    It keeps the connections, and puts the parts of a hub together. It is the ``ConnectionOwner`` and the
    ``MoverOwner``, which make up most of its methods, a line or two each: what decides something is in its
    parts.
    """

    def __init__(
        self,
        app: App,
        config: Config,
        *,
        hub: int = 0,
        serial: int | None = None,
        on_moved: Callable[[control_pb2.Moved], None] | None = None,
        on_settled: Callable[[int], object] = lambda version: None,
        on_unlinked: Callable[[int, int], object] = lambda serial, number: None,
        move_every: int = 0,
        directory: str | None = None,
        server: bytes | None = None,
        secret: bytes | None = None,
    ) -> None:
        """``directory`` is where the server's hubs have what they know of keyed actors: see ``Directory``.
        ``server``: what the server is known by in references to its actors, and ``secret`` what those to
        actors of connections are sealed with; None: it has only this hub.
        """
        self.hub = hub
        self._on_unlinked = on_unlinked
        #: What tells this process from all others of the server, also later ones: other hubs know it by this.
        self.serial = hub if serial is None else serial
        #: For tests: after so many turns a connection is sent on to the next hub. 0: never.
        self.move_every = move_every
        self.connections: dict[str, Connection] = {}
        #: Closed connections whose last turns, such as on_disconnect, still run.
        self._finishing: set[Connection] = set()
        #: Of what it has accepted, and gives an id.
        self._numbers = count(1)
        #: How many have had a place among the connections.
        self._places = 0
        self.links = Links(
            dict.fromkeys(TOPICS, self._on_topic)
            | dict.fromkeys(FRESH, self._on_fresh)
            | dict.fromkeys(HANDOFFS, self._on_handoff)
            | dict.fromkeys(CALLS, self._on_call)
            | dict.fromkeys(DIRECTORY, self._on_directory)
            | dict.fromkeys(CONNECTIONS, self._on_search),
            has_room=lambda hub: self.topics.has_room(hub),
            lost=self._lost,
        )
        #: Connections know it as an ``engine.Topics``; links and homes concern this engine alone.
        self.topics = EmbeddedTopics(
            self.serial, str(self.serial), self.links.send, self.links.has_room, on_settled
        )
        self.directory = Directory(self.serial, self.links.send, directory)
        self.search = Search(
            self.serial,
            self.links,
            lambda connection, then: self.connected.where(connection, then),
            silent=lambda: self.exchange.silent,
        )
        places = Places(self.directory, self.search, lambda serial: self.topics.may_live(serial))
        self.exchange = Exchange(
            self.serial,
            places,
            self.links.send,
            linked=self.links.by_serial.__contains__,
            missed=lambda serial: self._deaths.unlinked(serial),
        )
        self._deaths = Deaths(places.lives, self._died)
        if server is None:
            self.search.joined()
            server = token_bytes(16)
        secret = token_bytes(32) if secret is None else secret
        self.resources = Resources(app, config, self.topics, self.exchange, server, secret)
        self.actors = Activations(
            self.serial,
            self.resources,
            self.exchange,
            self.directory,
            may_own=lambda: not self.rest_refusal,
            settled=self.settled,
            closes=lambda id: self.mover.handoffs.closed(id),
        )
        self.connected = ConnectedActors(
            self.serial,
            self.connections,
            self.exchange,
            arrives=lambda connection: self.mover.handoffs.arrives(connection),
        )
        self.exchange.actors = AnyActor(self.actors, self.actors.active, self.connected)
        #: What the app does beside calls. Whoever makes a node starts it.
        self.host = AppHost(app, self.topics, self.resources.invoking)
        know_calls(self.resources.runners, self.connections)
        if move_every:
            self.resources.on_turn = self._count_turn
        #: What can move.
        self.stages = Stages(self.connections, self.actors.by_id)
        self.mover = Mover(self, self.resources, self.links.by_serial, on_moved, self.actors, self.directory)
        self._reporter = Reporter(
            self.resources.meter,
            self.stages,
            self.topics,
            self.mover.cost,
            config.max_move_time,
            lambda: len(self.connections) + len(self.handshakes) + len(self.reception.headers),
        )
        self.reception = Reception(
            self.serial,
            config,
            serve=self._accept,
            count=lambda: self.expected,
            settled=self.settled,
            number=self._numbers.__next__,
        )
        #: Whether it is drained.
        self.draining = Draining(
            self.stages,
            self.mover,
            self.links.by_serial,
            self.reception.rest,
            config.drain_timeout,
            self.unserved,
        )
        self._memory = limited_memory(
            config.max_memory,
            self.stages,
            self._reporter,
            self.resources.meter.clock,
            self.reception.occupancy.set_over_memory,
        )
        #: Those that are to speak TLS, until they do.
        self.handshakes = handshakes_of(config, self._serve, self._handshake_over)
        #: How that is served now.
        self._tls = config.tls
        #: Clients that would not be admitted any more.
        self.readmission = Readmission(admission_of(config.tls))
        self._stopped: Callable[[], None] | None = None
        self._stop_timer: Any = None
        #: When the drain timeout is over, on the monotonic clock; and whether it is.
        self._stop_until = 0.0
        self._ending = False
        if directory is None:
            get_hub().loop.run_callback(self.actors.ensure)
        #: It has no connections any more, and ends.
        self._finished = False
        guard(self, self.resources.runners.hub)

    # ---- connections

    @property
    def expected(self) -> int:
        """Connections that are here, or on their way here."""
        here = len(self.connections) + len(self.handshakes)
        return here + len(self.mover.handoffs.targets) + self.reception.passing.arriving

    def _accept(self, sock: socket.socket, remote: Remote) -> None:
        if not remote.tls:
            self._serve(sock, remote)
        elif remote.number:
            self.handshakes.begin(sock, remote)
        else:
            self.handshakes.begin(sock, replace(remote, number=next(self._numbers)))

    def unserved(self) -> Iterator[Unserved]:
        """Connections that it has accepted, and does not serve yet, in no order."""
        return chain(self.handshakes.unserved(), self.reception.headers.unserved())

    def _id(self, number: int) -> str:
        return f"{self.hub}-{self.serial}-{number}"

    def _unserved(self, id: str) -> Unserved | None:
        return next((each for each in self.unserved() if self._id(each.remote.number) == id), None)

    def why_unserved(self, id: str) -> str:
        found = self._unserved(id)
        return "" if found is None else found.why

    def _serve(self, sock: socket.socket, remote: Remote, secured: Secured | None = None) -> None:
        try:
            id = self._id(remote.number or next(self._numbers))
            connection = Connection(self, self.resources, sock, id, remote.peer, secured=secured)
            connection.proxied = remote.proxied
        except BaseException:
            sock.close()  # better a client that sees a close than one that nobody serves
            raise
        self._add(connection)
        try:
            connection.start()
        except BaseException:
            connection.close()
            raise
        self._let_end(connection)
        self.readmission.look(connection)  # its handshake may have begun before the files were read anew
        self.reception.occupancy.changed()

    def _handshake_over(self) -> None:
        self.reception.occupancy.changed()
        self.reception.resume()
        self.settled()

    def adopt(self, connection: Connection) -> None:
        self._add(connection)
        self.reception.occupancy.changed()
        self._reporter.remember(connection.usage)
        self._let_end(connection)
        self.readmission.look(connection)

    def _let_end(self, connection: Connection) -> None:
        """It has come to a hub that may be stopping."""
        if self._ending:
            self._end(connection)
        elif self.stopping:
            connection.shutdown()

    def _add(self, connection: Connection) -> None:
        self._places += 1
        connection.place = self._places
        self.connections.pop(connection.id, None)  # whose place would be kept
        self.connections[connection.id] = connection

    def closes(self, connection: Connection) -> None:
        self.mover.handoffs.closed(connection.id)

    def forget(self, connection: Connection, *, finished: bool = True) -> None:
        duties: list[Callable[[], object]] = [connection.usage.close]
        if not finished:
            self._finishing.add(connection)
        if self.connections.get(connection.id) is connection:
            del self.connections[connection.id]
            duties.append(partial(self.mover.handoffs.closed, connection.id))
        duties += [self.reception.resume, self.reception.occupancy.changed, self.settled]
        if not connection.phase.left:
            duties.append(self.connected.look)
        ids = {"connection": connection.id}
        do_all(log, f"the end of connection {connection.id}", *duties, ids=ids)

    def finished(self, connection: Connection) -> None:
        if connection in self._finishing:
            self._finishing.discard(connection)
            connection.fall_apart()
        self.settled()

    @property
    def closing(self) -> list[Connection]:
        """Closed connections whose last turns run."""
        return [*self._finishing]

    # ---- what is told of them

    def report(self) -> control_pb2.Load:
        """What the broker is told of the connections. The other hubs are told how busy this one is."""
        resources = self.resources
        load = self._reporter.report(resources.turns, resources.sharing.report(), resources.calls)
        if self._memory is not None:
            self._memory.tell(load)
        load.crowded = self.reception.shortage.look(not can_open())
        self.resources.runners.trim()
        self.draining.tell(load)
        self.directory.retry()
        self.reception.occupancy.tick(load.busy)
        tell_what_is_due()
        return load

    def settle(self) -> None:
        """In place of ``report``, as often, where there is no broker to tell."""
        self._reporter.settle()
        self.reception.shortage.look(not can_open())
        self.resources.runners.trim()
        tell_what_is_due()

    def weigh(self, connection: CallStage) -> None:
        self._reporter.weigh(connection)

    def list_connections(self) -> list[control_pb2.Connection]:
        """What `actorrpc connections` shows, of all of them at once: the loop waits for it."""
        return [describe(each, self._price(each)) for each in self.connections.values()]

    def list_some(self, after: int) -> control_pb2.Connections:
        """The same of those after a place, as many as may be at once."""
        return list_some(self.connections, self.unserved, self._id, self._price, after)

    def list_actors(self, after: int) -> control_pb2.Actors:
        """The same of keyed actors."""
        return list_actors(self.actors.by_id, self._price, after)

    def list_heaviest(self, limit: int, match: str) -> control_pb2.Heaviest:
        """What `actorrpc top` shows: of those that match, the heaviest."""
        all = chain(self.connections.values(), self.actors.by_id.values())
        return list_heaviest(self._reporter.known(), all, self.resources.services, limit, match)

    def describe(self, id: str) -> control_pb2.Described:
        """What is known of one connection or keyed actor, which may not be here."""
        stage = self.stages.get(id)
        if stage is None and (unserved := self._unserved(id)) is not None:
            return control_pb2.Described(connection=describe_unserved(unserved, id))
        described = describe_any(stage, self._price)
        described.rank, described.count = self._reporter.rank(id), len(self.stages)
        return described

    def _price(self, connection: CallStage) -> Cost:
        self.weigh(connection)
        return self.mover.cost(connection)

    def renew_tls(self, tls: Tls | None = None) -> None:
        """Take up the files of certificates as they are now; ``tls`` says which ones from now on, and what is
        asked of clients. Raises ConfigError, with the reason, for one that is wrong: then those before are
        gone on with."""
        tls = tls or self._tls
        admission = admission_of(tls)
        self.handshakes.renew(tls)
        self._tls = tls
        self.readmission.use(admission, self.connections.values())

    # ---- other hubs

    def add_peer(
        self,
        serial: int,
        sock: socket.socket,
        hub: int,
        snapshots: int = SNAPSHOTS.newest,
        states: Mapping[str, int] | None = None,
        number: int = 0,
        format: int = LINKS.newest,
    ) -> None:
        """Take a link to a process of another hub, which replaces an earlier one to it. ``snapshots`` is the
        format of those that are sent there, ``format`` that of all else, ``states`` what its app knows, as
        far as that is known, and ``number`` what the broker knows the link by."""
        self.reception.add(serial, self.links.add(serial, sock, hub, snapshots, states, number, format))
        self.topics.linked(serial)
        self.directory.linked(serial)
        self._deaths.linked(serial)
        self.search.linked(serial)
        self.exchange.relinked(serial)

    def set_homes(
        self,
        homes: Sequence[int],
        version: int,
        terms: Sequence[int] = (),
        origins: Mapping[int, int] | None = None,
        living: Collection[int] | None = None,
    ) -> None:
        """Learn which hubs are the homes of which topics; by slot, which hubs hand them over to these; and
        which live: see ``EmbeddedTopics.set_homes``.

        A hub that is no longer a home, and hands nothing over, has died or is not needed. What it said before
        that comes first: it may be what its topics' subscribers, or those who published, would otherwise be
        without.
        """
        origins = origins or {}
        for hub in self.topics.succession.hubs - {*homes, *origins.values(), self.serial}:
            self.links.drain(hub)
        self.topics.set_homes(list(homes), version, list(terms), origins, living)
        self.search.joined()
        self.host.joined()

    def set_directory(self, version: int, homes: Sequence[int], silent: Collection[int] = ()) -> None:
        """Learn which hubs know where keyed actors are, and which hubs say nothing."""
        self.exchange.silent = frozenset(silent)
        self.directory.set_homes(version, homes, silent)
        self.search.silences()
        self.actors.ensure()

    def _lost(self, serial: int, link: HubLink, gone: bool) -> None:
        why = f"the link to hub {link.hub} has ended"
        duties: list[Callable[[], object]] = [
            partial(self.mover.handoffs.link_lost, link, why),
            self.connected.look,
            partial(self.reception.passing.lost, serial, link, link.broken),
        ]
        if gone:
            duties.append(partial(self.topics.unlinked, serial))
            duties.append(partial(self.directory.unlinked, serial))
            duties.append(partial(self.search.unlinked, serial))
            duties.append(partial(self._deaths.unlinked, serial))
        if gone and not self.stopping:
            duties.append(partial(self._on_unlinked, serial, link.number))
        do_all(log, why, *duties, self.settled)

    def _died(self, serial: int) -> None:
        self.search.died(serial)
        self.exchange.died(serial)
        self.actors.ensure()

    def _on_topic(self, hub: int, link: HubLink, message: control_pb2.HubToHub, fds: tuple[int, ...]) -> None:
        close_all(fds)
        self.topics.receive(hub, message)

    def _on_call(self, hub: int, link: HubLink, message: control_pb2.HubToHub, fds: tuple[int, ...]) -> None:
        close_all(fds)
        if message.HasField("parted"):
            self.search.parted(hub)
        self.exchange.receive(hub, message)

    def _on_search(
        self, hub: int, link: HubLink, message: control_pb2.HubToHub, fds: tuple[int, ...]
    ) -> None:
        close_all(fds)
        self.search.receive(hub, message)

    def _on_directory(
        self, hub: int, link: HubLink, message: control_pb2.HubToHub, fds: tuple[int, ...]
    ) -> None:
        close_all(fds)
        self.directory.receive(hub, message)

    def _on_fresh(self, hub: int, link: HubLink, message: control_pb2.HubToHub, fds: tuple[int, ...]) -> None:
        self.reception.passing.receive(hub, message, fds)
        self.settled()

    def _on_handoff(
        self, hub: int, link: HubLink, message: control_pb2.HubToHub, fds: tuple[int, ...]
    ) -> None:
        self.mover.handoffs.receive(link, message, fds)
        self.connected.look()
        self.reception.resume()  # a handoff that ends without a connection has kept a place for it
        self.settled()

    # ---- moves

    @property
    def rest_refusal(self) -> str:
        if self.stopping:
            return "the hub is stopping"
        if self.draining.under_way:
            return f"hub {self.hub} is being drained"
        return ""

    @property
    def move_refusal(self) -> str:
        if why := self.rest_refusal:
            return why
        if not self.topics.homes.version:  # it would take itself for the home of what is subscribed to
            return "the hub has not been told yet where topics are"
        limit = self.resources.config.max_connections
        if limit and self.expected > limit:
            return f"hub {self.hub} has {limit} connections, its limit"
        return ""

    def stays(self, connection: CallStage) -> None:
        self.connected.look()
        if not isinstance(connection, Connection):
            return
        self.readmission.look(connection)
        if self._ending:
            self._end(connection)

    def left(self, connection: CallStage, target: int) -> None:
        if isinstance(connection, Connection):
            self.connected.moved(connection, target)

    def _count_turn(self, connection: str, turns: int) -> None:
        """Where ``move_every`` is set: after so many turns, send a connection on to the next hub."""
        if turns % self.move_every == 0 and connection not in self.mover.handoffs.sources:
            get_hub().loop.run_callback(self.mover.move_on, connection)

    # ---- the end

    @property
    def stopping(self) -> bool:
        return self._stopped is not None

    def stop(self, drain_timeout: float, done: Callable[[], None]) -> None:
        """Accept no more, tell every client so, let open calls end for at most ``drain_timeout`` seconds.

        ``done`` is called when the last connection has been closed, and the app has done what it does then. A
        second call is ignored.
        """
        if self.stopping:
            return
        self._stopped = done
        self.draining.close()
        self.reception.stop()
        self._stop_until = monotonic() + drain_timeout
        self._stop_timer = after(drain_timeout, self._end_all)
        for connection in list(self.connections.values()):
            connection.shutdown()
        self.settled()

    def _end_all(self) -> None:
        self.mover.handoffs.give_up("the hub is stopping")
        self._ending = True
        self.handshakes.close()
        self.actors.stop(at_once=True)
        for connection in list(self.connections.values()):
            if connection.id not in self.mover.handoffs.sources:  # else when its handoff has been settled
                self._end(connection)
        self._stop_timer = after(STOP_GRACE, self._finish)

    def _end(self, connection: Connection) -> None:
        connection.calls.end_all(StatusCode.UNAVAILABLE, "the server is shutting down")
        connection.close_politely(until=None)  # no longer than `STOP_GRACE`

    def settled(self) -> None:
        """Something is over that a stop may have waited for."""
        if self._stopped is None:
            return
        if self.connections or self.mover.handoffs or self._finishing or self.reception.unsettled:
            return
        if self.handshakes:
            return
        if not self.actors.stop(at_once=self._ending):
            return
        self._finish()

    def _finish(self) -> None:
        if self._stopped is None or self._finished:
            return
        self._finished = True
        if self._stop_timer is not None:
            self._stop_timer.close()
            self._stop_timer = None
        self.host.stop(self._stop_until - monotonic(), partial(self._end_with, self._stopped))

    def _end_with(self, done: Callable[[], None]) -> None:
        if not self.actors.active:
            self.exchange.part([*self.links.by_serial])
        self.close()
        self.resources.endings.tell()  # also of calls that ended in this step of the loop
        tell_what_was_left_out()
        done()

    def forked(self) -> None:
        """This process is a child of the hub's: nothing of it may be used here (``actorrpc.forks``)."""
        self._stopped = None
        self.host.forked()
        self.resources.runners.forked()
        self.resources.invoking.forked()
        for stage in (*self.stages.values(), *self._finishing):
            stage.forked()

    def close(self) -> None:
        """Release what a node without connections still has."""
        unguard(self)
        self.host.close()
        self.topics.close()
        self._deaths.close()
        self.actors.close()
        self.resources.invoking.close()
        self.exchange.close()
        self.search.close()
        self.connected.close()
        self.directory.close()
        self.reception.close()
        self.handshakes.close()
        self.readmission.close()
        self._reporter.close()
        if self._memory is not None:
            self._memory.close()
        self.links.close()

    def __repr__(self) -> str:
        return f"<Node {self.serial} of hub {self.hub}, {len(self.connections)} connections, {self.mover!r}>"
