"""What one hub process, or one embedded server, serves: connections, listeners, links to other hubs."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from gevent import get_hub

from actorrpc.app import App
from actorrpc.config import Config
from actorrpc.errors import StatusCode
from actorrpc.forks import guard, unguard, users_code
from actorrpc.hub.accepting.reception import Reception
from actorrpc.hub.metering.usage import shares
from actorrpc.hub.moving.contents import contents
from actorrpc.hub.moving.departure import Arrival, Departure
from actorrpc.hub.moving.handoffs import Handoffs
from actorrpc.hub.moving.memfd import unpacked
from actorrpc.hub.moving.move_cost import Cost, MoveCosts, too_long
from actorrpc.hub.moving.obstacles import why_pinned, why_unquiet
from actorrpc.hub.moving.snapshot import thaw
from actorrpc.hub.moving.source import Source
from actorrpc.hub.moving.target import Unwilling
from actorrpc.hub.report import Reporter
from actorrpc.hub.resources import Resources
from actorrpc.hub.serving.connection import Connection
from actorrpc.hub.topics.embedded import EmbeddedTopics
from actorrpc.ipc.framing import close_all
from actorrpc.ipc.link import Link
from actorrpc.log import tell_what_is_due, tell_what_was_left_out
from actorrpc.loop.duties import do_all
from actorrpc.loop.timers import after
from actorrpc.pb import control_pb2

__all__ = ["Node"]

log = logging.getLogger("actorrpc.hub")

MoveResult = control_pb2.MoveResult

#: The largest message to another hub: one of a topic. Large snapshots do not travel in messages.
MAX_HUB_FRAME = 64 * 1024 * 1024

#: What may wait in a link before topics say no more there: enough to keep it busy, and no more than that for
#: each of the 255 hubs that may be stuck.
MAX_UNSENT_TOPICS = 512 * 1024

#: How long the others wait while some connections are described, in seconds: a hundred take so long.
LISTING = 0.002

#: What a stopping node allows, after the drain timeout, for last words and for handlers to end.
STOP_GRACE = 3.0


class Node:
    """One hub. It lives in the greenlets of the gevent hub that made it."""

    def __init__(
        self,
        app: App,
        config: Config,
        *,
        hub: int = 0,
        generation: int = 1,
        on_moved: Callable[[control_pb2.Moved], None] | None = None,
        move_every: int = 0,
    ) -> None:
        self.hub = hub
        self.generation = generation
        #: For tests: after so many turns a connection is sent on to the next hub. 0: never.
        self.move_every = move_every
        #: Connections know it as an ``engine.Topics``; links and homes concern this engine alone.
        self.topics = EmbeddedTopics(hub, generation, self._send_to_hub, self._has_room)
        self.resources = Resources(app, config, self.topics)
        if move_every:
            self.resources.on_turn = self._count_turn
        self.move_costs = MoveCosts()
        self.connections: dict[str, Connection] = {}
        self._reporter = Reporter(
            self.resources.meter, self.connections, self.topics, self.move_cost, config.max_move_time
        )
        #: Closed connections whose last turns, such as on_disconnect, still run.
        self._finishing: set[Connection] = set()
        self._on_moved = on_moved
        self._accepted = 0
        #: How many have had a place among the connections.
        self._places = 0
        self._links: dict[int, Link[control_pb2.HubToHub]] = {}
        self.handoffs = Handoffs(timer=_timer, quiesce_timeout=config.quiesce_timeout, thaw=self._thaw)
        self.reception = Reception(
            hub, config, serve=self._accept, count=self._expected_count, settled=self._check_stopped
        )
        self._stopped: Callable[[], None] | None = None
        self._stop_timer: Any = None
        #: The drain timeout is over.
        self._ending = False
        guard(self, self.resources.runners.hub)

    # ---- connections

    def listen(self, sock: socket.socket, queue: int = 0, *, spread: bool = False) -> None:
        """Accept connections from a listening socket, which is the node's from now on.

        ``queue`` is its number; it replaces an earlier one. ``spread``: give each connection to the least
        loaded hub.
        """
        self.reception.listen(sock, queue, spread)

    def unlisten(self, queue: int) -> None:
        """Let go of a listening socket: another hub accepts from it."""
        self.reception.unlisten(queue)

    def _expected_count(self) -> int:
        """Connections that are here, or on their way here."""
        return len(self.connections) + len(self.handoffs.targets) + self.reception.passing.arriving

    def _accept(self, sock: socket.socket, peer: str) -> None:
        self._accepted += 1
        try:
            id = f"{self.hub}-{self.generation}-{self._accepted}"
            connection = Connection(self, self.resources, sock, id, peer)
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
        self.reception.changed()

    def adopt(self, connection: Connection) -> None:
        """Take a connection that another hub has handed over."""
        self._add(connection)
        self.reception.changed()
        self._reporter.remember(connection.usage)
        self._let_end(connection)

    def _let_end(self, connection: Connection) -> None:
        """It has come to a hub that may be stopping."""
        if self._ending:
            self._end(connection)
        elif self._stopped is not None:
            connection.shutdown()

    def _add(self, connection: Connection) -> None:
        self._places += 1
        connection.place = self._places
        self.connections.pop(connection.id, None)  # whose place would be kept
        self.connections[connection.id] = connection

    def closes(self, connection: Connection) -> None:
        """It closes although it was about to move."""
        self.handoffs.closed(connection.id)

    def forget(self, connection: Connection, *, finished: bool = True) -> None:
        """A connection has been closed, or has moved. If its last turns still run, ``finished`` follows."""
        duties: list[Callable[[], object]] = [connection.usage.close]
        if not finished:
            self._finishing.add(connection)
        if self.connections.get(connection.id) is connection:
            del self.connections[connection.id]
            duties.append(partial(self.handoffs.closed, connection.id))
        duties += [self.reception.resume, self.reception.changed, self._check_stopped]
        do_all(log, f"the end of connection {connection.id}", *duties)

    def finished(self, connection: Connection) -> None:
        """The last turn of a closed connection has ended."""
        if connection in self._finishing:
            self._finishing.discard(connection)
            connection.fall_apart()
        self._check_stopped()

    @property
    def connection_count(self) -> int:
        return len(self.connections)

    def report(self) -> control_pb2.Load:
        """What the broker is told of the connections. The other hubs are told how busy this one is."""
        load = self._reporter.report(self.resources.turns, self.resources.sharing.report())
        self.resources.runners.trim()
        self.reception.tick(load.busy)
        tell_what_is_due()
        return load

    def settle(self) -> None:
        """In place of ``report``, as often, where there is no broker to tell."""
        self._reporter.settle()
        self.resources.runners.trim()
        tell_what_is_due()

    def list_connections(self) -> list[control_pb2.Connection]:
        """What `actorrpc connections` shows, of all of them at once: the loop waits for it."""
        return [self._describe(connection) for connection in self.connections.values()]

    def list_some(self, after: int) -> control_pb2.Connections:
        """The same of those after a place, 0 for the first: of as many as ``LISTING`` seconds allow. ``more``
        is the place to go on from."""
        page = control_pb2.Connections()
        until = monotonic() + LISTING
        for connection in self.connections.values():  # in the order of their places
            if connection.place <= after:
                continue
            if page.connections and monotonic() > until:
                page.more = after
                break
            page.connections.append(self._describe(connection))
            after = connection.place
        return page

    def _describe(self, connection: Connection) -> control_pb2.Connection:
        self.weigh(connection)
        return _describe(connection, self.move_cost(connection))

    # ---- links to other hubs

    def add_peer(self, hub: int, sock: socket.socket) -> None:
        """Take a link to another hub, which replaces an earlier one to a process that has died.

        That one may have sent a COMMIT, so that what it said is heard first.
        """
        old = self._links.get(hub)
        if old is not None and not old.closed:
            old.drain()
            old.close()
            self._lost(hub, old)
        self._links[hub] = link = Link(
            sock,
            control_pb2.HubToHub,
            lambda message, fds: self._on_message(hub, link, message, fds),
            lambda link: self._lost(hub, link),
            max_frame=MAX_HUB_FRAME,
            on_taken=partial(self.topics.has_room, hub),
        )
        self.reception.add(hub, link)
        self.topics.linked(hub)

    @property
    def peers(self) -> list[int]:
        """The hubs that there is a link to."""
        return sorted(self._links)

    def set_homes(self, homes: Sequence[int], version: int, terms: Sequence[int] = ()) -> None:
        """Learn which hubs are the homes of which topics.

        A hub that is no longer a home has died. What it said before that comes first: it may be what its
        topics' subscribers, or those who published, would otherwise be without.
        """
        for hub in {*self.topics.homes.hubs} - {*homes, self.hub}:
            if (link := self._links.get(hub)) is not None:
                link.drain()
        self.topics.set_homes(list(homes), version, list(terms), list(self._links))

    def _send_to_hub(self, hub: int, message: control_pb2.HubToHub) -> None:
        link = self._links.get(hub)
        if link is not None:
            link.send(message)

    def _has_room(self, hub: int) -> bool:
        """Whether topics may say more to a hub."""
        link = self._links.get(hub)
        return link is not None and not link.closed and link.unsent < MAX_UNSENT_TOPICS

    def _lost(self, hub: int, link: Link[control_pb2.HubToHub]) -> None:
        """The link has ended: most likely the process at its other end is dead."""
        why = f"the link to hub {hub} has ended"
        duties: list[Callable[[], object]] = [
            partial(self.handoffs.link_lost, link, why),
            partial(self.reception.passing.lost, hub, link),
        ]
        if self._links.get(hub) is link:
            del self._links[hub]
            duties.append(partial(self.topics.hub_died, hub))
        do_all(log, why, *duties, self._check_stopped)

    def _on_message(
        self, hub: int, link: Link[control_pb2.HubToHub], message: control_pb2.HubToHub, fds: tuple[int, ...]
    ) -> None:
        if self.topics.receive(hub, message):
            close_all(fds)
        elif not self.reception.passing.receive(hub, message, fds):
            self.handoffs.receive(link, message, fds)
            self.reception.resume()  # a handoff that ends without a connection has kept a place for it
        self._check_stopped()

    # ---- moving

    def move(
        self,
        connection_id: str,
        target: int,
        done: Callable[[control_pb2.MoveResult], None],
        *,
        by_policy: bool = False,
    ) -> None:
        """Move a connection to another hub; ``done`` gets the outcome, perhaps before this returns.

        One that a policy asks for is refused if it would stop both hubs for too long.
        """
        connection = self.connections.get(connection_id)
        if connection is None:
            why = f"no connection {connection_id} here"
            done(MoveResult(outcome=MoveResult.UNKNOWN_CONNECTION, why=why, of_connection=True))
        elif target == self.hub:
            done(MoveResult(outcome=MoveResult.MOVED, why=f"already on hub {target}"))
        elif target not in self._links:
            done(MoveResult(outcome=MoveResult.UNKNOWN_HUB, why=f"hub {target} is not there"))
        elif connection_id in self.handoffs.sources:
            why = "the connection is being moved already"
            done(MoveResult(outcome=MoveResult.ABORTED, why=why, of_connection=True))
        elif by_policy and (why := self._why_too_heavy(connection)):
            done(MoveResult(outcome=MoveResult.ABORTED, why=why, of_connection=True))
        else:
            limit = self.resources.config.max_move_time if by_policy else 0.0
            self._begin_move(Departure(connection, self.move_costs, limit), target, done)

    def weigh(self, connection: Connection) -> None:
        """Find out how large its states are, unless that has just been done."""
        self._reporter.weigh(connection)

    def _why_too_heavy(self, connection: Connection) -> str:
        """Why no policy may move it; "" if one may."""
        self.weigh(connection)
        return too_long(self.move_cost(connection), self.resources.config.max_move_time)

    def move_cost(self, connection: Connection) -> Cost:
        """What it would cost to move a connection now."""
        return self.move_costs.of(contents(connection))

    def _begin_move(
        self, departure: Departure, target: int, done: Callable[[control_pb2.MoveResult], None]
    ) -> None:
        connection = departure.connection

        def report(source: Source, why: str) -> None:
            pause = 0.0 if why else (monotonic() - source.began) * 1000
            if self._on_moved is not None:
                self._on_moved(
                    control_pb2.Moved(
                        connection=connection.id,
                        target=target,
                        aborted=why,
                        pause_ms=pause,
                        of_connection=bool(why) and source.of_connection,
                    )
                )

        def finished(source: Source, why: str) -> None:
            result = MoveResult(
                outcome=MoveResult.ABORTED if why else MoveResult.MOVED,
                why=why,
                of_connection=bool(why) and source.of_connection,
            )
            duties: list[Callable[[], object]] = [partial(report, source, why), partial(done, result)]
            if why and self._ending:
                duties.append(partial(self._end, connection))
            do_all(log, f"the end of the move of {connection.id}", *duties, self._check_stopped)

        self.handoffs.begin(departure, self._links[target], finished)

    def _thaw(self, prepare: control_pb2.Prepare, fds: tuple[int, ...]) -> Arrival:
        if self._stopped is not None:
            raise Unwilling("the hub is stopping")
        if not self.topics.homes.version:  # it would take itself for the home of what is subscribed to
            raise Unwilling("the hub has not been told yet where topics are")
        limit = self.resources.config.max_connections
        if limit and self._expected_count() > limit:  # which counts this one
            raise Unwilling(f"hub {self.hub} has {limit} connections, its limit")
        with users_code(), unpacked(prepare, fds, self.resources.config.max_state_bytes) as snapshot:
            return Arrival(thaw(self, self.resources, self.move_costs, snapshot), self.adopt)

    def _count_turn(self, connection: str, turns: int) -> None:
        """Where ``move_every`` is set: after so many turns, send a connection on to the next hub."""
        if turns % self.move_every == 0 and connection not in self.handoffs.sources:
            get_hub().loop.run_callback(self._move_on, connection)

    def _move_on(self, connection: str) -> None:
        hubs = sorted(self._links)
        if hubs and connection in self.connections:
            target = next((hub for hub in hubs if hub > self.hub), hubs[0])
            self.move(connection, target, lambda result: None)

    # ---- the end

    def stop(self, drain_timeout: float, done: Callable[[], None]) -> None:
        """Accept no more, tell every client so, let open calls end for at most ``drain_timeout`` seconds.

        ``done`` is called when the last connection has been closed. A second call is ignored.
        """
        if self._stopped is not None:
            return
        self._stopped = done
        self.reception.stop()
        self._stop_timer = after(drain_timeout, self._end_all)
        for connection in list(self.connections.values()):
            connection.shutdown()
        self._check_stopped()

    def _end_all(self) -> None:
        self.handoffs.give_up("the hub is stopping")
        self._ending = True
        for connection in list(self.connections.values()):
            if connection.id not in self.handoffs.sources:  # else when its handoff has been settled
                self._end(connection)
        self._stop_timer = after(STOP_GRACE, self._finish)

    def _end(self, connection: Connection) -> None:
        connection.calls.end_all(StatusCode.UNAVAILABLE, "the server is shutting down")
        connection.close_politely(until=None)  # no longer than `STOP_GRACE`

    def _check_stopped(self) -> None:
        if self.connections or self.handoffs or self._finishing or self.reception.unsettled:
            return
        self._finish()

    def _finish(self) -> None:
        if self._stopped is None:
            return
        done, self._stopped = self._stopped, lambda: None
        if self._stop_timer is not None:
            self._stop_timer.close()
            self._stop_timer = None
        self.close()
        self.resources.endings.tell()  # also of calls that ended in this step of the loop
        tell_what_was_left_out()
        done()

    def forked(self) -> None:
        """This process is a child of the hub's: nothing of it may be used here (``actorrpc.forks``)."""
        self._stopped = None
        self.resources.runners.forked()
        for connection in (*self.connections.values(), *self._finishing):
            connection.forked()

    def close(self) -> None:
        """Release what a node without connections still has."""
        unguard(self)
        self.topics.close()
        self.reception.close()
        self._reporter.close()
        for link in self._links.values():
            link.close()

    def __repr__(self) -> str:
        return (
            f"<Node hub {self.hub}.{self.generation}, {len(self.connections)} connections, {self.handoffs!r}>"
        )


def _timer(seconds: float, function: Callable[[], None]) -> Callable[[], None]:
    cancel: Callable[[], None] = after(seconds, function).close
    return cancel


def _describe(connection: Connection, cost: Cost) -> control_pb2.Connection:
    why = why_pinned(connection) or why_unquiet(connection)
    usage = connection.usage
    now = monotonic()
    share = usage.share()
    too_heavy = "" if why else too_long(cost, connection.resources.config.max_move_time)
    return control_pb2.Connection(
        id=connection.id,
        peer=connection.peer,
        services=sorted({cell.name for cell in connection.cells.values()}),
        calls=len(connection.calls),
        state_bytes=connection.cells.state_bytes,
        cpu=share,
        actors=shares([(cell.name, cell.part) for cell in connection.cells.values()], share),
        identities=len(connection.cells.identities or ()),
        load=usage.load(now),
        freeze_ms=usage.freeze_ms,
        age=now - usage.born,
        movable=not why,
        why=why or (too_heavy and f"no policy moves it: {too_heavy}"),
        move_ms=cost.total * 1e3,
    )
