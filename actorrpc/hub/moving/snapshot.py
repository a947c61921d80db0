"""A connection as a ``ConnectionSnapshot``, and back: what travels, and what a target refuses.

``freeze`` changes nothing but the connection's state, so that an aborted move just resumes.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable
from contextvars import Context
from itertools import chain, zip_longest
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError, Message

from actorrpc.actor import Actor, Service
from actorrpc.call import Call
from actorrpc.errors import RpcError, SnapshotError, StatusCode, StreamFault
from actorrpc.hub.actors.cell import Cell, freeze_origin, key_of, thaw_origin
from actorrpc.hub.actors.refused import Limbo
from actorrpc.hub.calls.call_ends import Ended
from actorrpc.hub.calls.failures import describe
from actorrpc.hub.calls.intercepted import Admission, InterceptedCall
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.moving.move_cost import contents, price, too_long
from actorrpc.hub.serving.connection import Connection
from actorrpc.hub.serving.connection_states import FROZEN, QUIESCING
from actorrpc.hub.serving.obstacles import why_pinned, why_unquiet
from actorrpc.hub.topics.embedded import Subscription
from actorrpc.net.sockets import socket_of
from actorrpc.pb import snapshot_pb2
from actorrpc.wire.compression import Compressed
from actorrpc.wire.head import freeze_head, thaw_head
from actorrpc.wire.session import Session
from actorrpc.wire.stream import Stream

if TYPE_CHECKING:
    from actorrpc.hub.node import Node

__all__ = ["FORMAT", "Arrival", "Departure", "freeze", "thaw"]

log = logging.getLogger("actorrpc.hub")

#: The format of the snapshots that this version writes, and the only one it reads.
FORMAT = 4

#: Bytes of a snapshot below which a move teaches nothing of what moves cost: there is nothing in it. To count
#: and to price it all the same would make a tenth of an idle connection's move.
_LEAST_TAUGHT = 2048

#: A snapshot that seems to be older, or of the future, was taken by another clock.
MAX_AGE = 10.0


class Departure:
    """A connection about to move, as ``actorrpc.hub.moving.source`` sees it: with the actors' hooks."""

    def __init__(self, connection: Connection, limit: float = 0.0) -> None:
        """``limit`` is how many seconds the move may cost both hubs together; 0: as many as it takes."""
        self.connection = connection
        self.id = connection.id
        self._limit = limit
        self._given_up = False
        #: Those whose on_freeze has begun.
        self._hooked: set[Cell] = set()
        self._hook_failed = ""

    @property
    def pinned(self) -> str:
        return why_pinned(self.connection)

    @property
    def unquiet(self) -> str:
        return why_unquiet(self.connection)

    def quiesce(self, on_quiet: Callable[[], None]) -> None:
        self.connection.quiesce(lambda: self._run_last(on_quiet))

    def _run_last(self, on_quiet: Callable[[], None]) -> None:
        """What runs while no turn does: iterables of calls that have ended are closed, then on_freeze."""
        connection = self.connection
        closing = [cell for cell in connection.cells.values() if cell.closing]
        if closing:
            self._run(closing, Cell.close_iterators, on_quiet)
            return
        # Only now: an on_call that was waited for may have let a call through to a new actor, and may again
        # while an on_freeze blocks. One that came here and was not thawed yet travels on as it is.
        cells = [
            cell
            for cell in connection.cells.values()
            if cell.connected and not (cell.thawing or cell in self._hooked) and cell.overrides("on_freeze")
        ]
        if cells:
            self._run(cells, self._run_hook, on_quiet)
        else:
            on_quiet()

    def _run(self, cells: list[Cell], job: Callable[[Cell], None], on_quiet: Callable[[], None]) -> None:
        self.connection.runners.start(lambda runner: self._run_as_turns(cells, job, on_quiet), cells[0].part)

    def _run_as_turns(
        self, cells: list[Cell], job: Callable[[Cell], None], on_quiet: Callable[[], None]
    ) -> None:
        connection = self.connection
        for cell in cells:
            if self._given_up or connection.state != QUIESCING:  # the client may have gone meanwhile
                return
            # As a turn: should the move be given up meanwhile, the actor's next turn waits for this one.
            cell.running = True
            connection.running += 1
            try:
                job(cell)
            finally:
                cell.running = False
                connection.drained(cell)
        if not self._given_up and connection.state == QUIESCING:
            self.quiesce(on_quiet)  # what they published must be acknowledged

    def _run_hook(self, cell: Cell) -> None:
        cell.frozen = True
        self._hooked.add(cell)
        if not cell.run_hook("on_freeze"):
            self._hook_failed = f"on_freeze of {cell.name} raised"

    def freeze(self) -> bytes:
        # A turn that was waited for may have left something that does not travel.
        obstacle = self._hook_failed or why_pinned(self.connection)
        if obstacle:
            raise SnapshotError(obstacle)
        return freeze(self.connection, self._limit)

    def fileno(self) -> int:
        return self.connection.transport.fileno()

    def resume(self) -> None:
        self._given_up = True
        try:
            if self._hooked:
                self.connection.thaw_hooks()
            self.connection.resume()
        except Exception:  # better a client that sees a close than one that nobody serves
            log.exception("connection %s is closed: it cannot be served again", self.id)
            self.connection.close()

    def release(self) -> None:
        self.connection.let_go()


class Arrival:
    """A thawed connection, as ``actorrpc.hub.moving.target`` sees it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        for subscription in connection.host.subscriptions:
            connection.node.topics.thaw(subscription)

    def serve(self, fd: int) -> None:
        connection = self.connection
        # With its family and type: nobody needs to ask the kernel for them.
        connection.transport.attach(socket_of(fd, socket.AF_INET, socket.SOCK_STREAM, 0))
        for cell in connection.cells.values():
            cell.frozen = cell.connected
        connection.thaw_hooks()
        connection.node.adopt(connection)
        connection.resume()

    def discard(self) -> None:
        self.connection.let_go()


def freeze(connection: Connection, limit: float = 0.0) -> bytes:
    """The serialized snapshot of a quiet connection, which is frozen from now on.

    Raises SnapshotError if it is too large to move, or being closed, or if the move would take more than
    ``limit`` seconds of both hubs together; 0: that is all the same.
    """
    began, computed = monotonic(), thread_time()
    costs = connection.node.move_costs
    # More may have come since the move was begun.
    if limit and (why := too_long(costs.of(connection), limit)):
        raise SnapshotError(why)
    unsent = connection.freeze()
    usage = connection.usage
    cells = list(connection.cells.values())
    for cell in cells:
        cell.drop_ended()
    now = monotonic()
    snapshot = snapshot_pb2.ConnectionSnapshot(
        format=FORMAT,
        taken_at=now,
        id=connection.id,
        peer=connection.peer,
        session=connection.session.freeze(unsent, now),
        calls=[_freeze_call(call, now) for call in connection.calls.values()],
        actors=[_freeze_cell(cell, now) for cell in cells],
        subscriptions=[_freeze_subscription(each) for each in connection.host.subscriptions],
        turns=connection.turns,
        moves=connection.moves,
        load=usage.load(now),
        recent_load=usage.recent(now),
        caller=connection.caller,
        shared_by=connection.shared_by,
        weighing_us=round(usage.weighing * 1e6),
    )
    connection.upkeep.freeze(snapshot, now)
    data = snapshot.SerializeToString()
    usage.state_bytes = sum(len(actor.state) for actor in snapshot.actors)
    usage.freeze_ms = (monotonic() - began) * 1000
    computed = thread_time() - computed
    if len(data) > _LEAST_TAUGHT:
        costs.freezing.learn(price(contents(connection)).freeze, computed)
    # What it took is known only now. A field more behind a message is a field of the message.
    data += snapshot_pb2.ConnectionSnapshot(freeze_ms=usage.freeze_ms).SerializeToString()
    limit = connection.node.config.max_state_bytes
    if len(data) > limit:
        raise SnapshotError(f"its state takes {len(data)} bytes, over the limit of {limit}")
    connection.hold()
    return data


def thaw(node: Node, data: bytes | memoryview) -> Connection:
    """The connection of a snapshot, frozen and without a socket: it serves when it has one and ``resume`` is
    called.

    Raises SnapshotError for a snapshot that this hub cannot serve.
    """
    began = thread_time()
    try:
        snapshot = snapshot_pb2.ConnectionSnapshot.FromString(data)  # type: ignore[arg-type]  # any buffer
    except DecodeError as error:
        raise SnapshotError("it is not a snapshot") from error
    if snapshot.format != FORMAT:
        raise SnapshotError(f"snapshot format {snapshot.format}, where this hub reads {FORMAT}")
    # What the way took is part of all times: else each move would put off deadlines, ages and the like.
    now = monotonic()
    taken = snapshot.taken_at if 0 <= now - snapshot.taken_at < MAX_AGE else now
    session = Session.thaw(snapshot.session, node.config, taken)
    connection = Connection(node, None, snapshot.id, snapshot.peer, session)
    try:
        _fill(connection, snapshot, taken)
    except BaseException:
        connection.let_go()
        raise
    computed = thread_time() - began
    if len(data) > _LEAST_TAUGHT:
        node.move_costs.thawing.learn(price(contents(connection)).thaw, computed)
    return connection


def _fill(connection: Connection, snapshot: snapshot_pb2.ConnectionSnapshot, taken: float) -> None:
    connection.paused = True
    connection.turns = snapshot.turns
    connection.moves = snapshot.moves + 1
    connection.caller = snapshot.caller
    connection.shared_by = snapshot.shared_by
    connection.upkeep.restore(snapshot, taken)
    usage = connection.usage
    usage.restore(snapshot.load, snapshot.recent_load, taken, connection.upkeep.accepted)
    usage.freeze_ms = snapshot.freeze_ms
    usage.state_bytes = sum(len(actor.state) for actor in snapshot.actors)
    usage.weighing = snapshot.weighing_us / 1e6
    for actor in snapshot.actors:
        connection.take(_thaw_cell(connection, actor), taken - actor.idle)
    for each in snapshot.calls:
        connection.thawed(_thaw_call(connection, each, taken))
    for actor in snapshot.actors:
        cell = connection.cells[key_of(actor.service, actor.identity)]
        ended = {each.call.stream: _thaw_ended(cell, each, taken) for each in actor.ended}
        cell.thaw_turns(actor, connection.calls, ended)
    for call in connection.calls.values():
        if call.origin is not None and call.cell is not None:
            call.cell.resume(call)
    for each in snapshot.calls:
        if each.unadmitted:
            _thaw_unadmitted(connection, connection.calls[each.stream])
    for subscription in snapshot.subscriptions:
        connection.host.add(_thaw_subscription(connection, subscription))
    connection.state = FROZEN  # only now: an actor's __init__ may use its API, and cannot wait


def _freeze_call(call: Call[Any], now: float) -> snapshot_pb2.CallSnapshot:
    return snapshot_pb2.CallSnapshot(
        stream=call.stream_id,
        time_remaining=None if call.deadline is None else max(0.0, call.deadline - now),
        cursor=call.cursor,
        held=[payload for payload in call.held if payload is not None],
        held_compressed=[isinstance(payload, Compressed) for payload in call.held if payload is not None],
        held_end=None in call.held,
        request=call.request,
        request_compressed=isinstance(call.request, Compressed),
        compression=call.compression,
        origin=freeze_origin(call),
        initial_metadata=chain.from_iterable(call.initial),
        trailing_metadata=chain.from_iterable(call.trailing),
        context=[_freeze_entry(key, value) for key, value in call.noted],
        unadmitted=isinstance(call.cell, Admission),
        identity=call.identity,
        begun=bool(call.since) and call.cell.serves,
        parsed=call.parsed,
    )


def _freeze_ended(ended: Ended, now: float) -> snapshot_pb2.EndedCall:
    call, status, message = ended
    return snapshot_pb2.EndedCall(
        call=_freeze_call(call, now),
        head=freeze_head(call.stream.head),
        status=status,
        message=message.encode("utf-8", "surrogatepass"),
        cancelled=call.cancelled,
    )


def _thaw_call(connection: Connection, snapshot: snapshot_pb2.CallSnapshot, taken: float) -> Call[Any]:
    stream = connection.session.streams.get(snapshot.stream)
    if stream is None:
        raise SnapshotError(f"a call on stream {snapshot.stream}, which is not open")
    route = connection.node.routes.get(stream.head.path)
    if route is None:
        raise SnapshotError(f"{stream.head.path} is not served here")
    cell = connection.cells.get(key_of(route.service.__rpc__.name, snapshot.identity))
    if cell is None and not snapshot.unadmitted:
        raise SnapshotError(f"a call of {stream.head.path} without its service")
    call = connection.node.call_type(connection, stream, route)
    call.cell = cell
    if snapshot.identity:
        _thaw_identity(call, snapshot.identity)
        if connection.identities is not None:
            connection.identities.began(snapshot.identity)
    _fill_call(call, snapshot, taken)
    if snapshot.begun:
        call.since = taken
        if cell is not None and cell.ends is not None:
            cell.ends.began(call)
    if snapshot.parsed:  # at last: whatever fails from now on releases it
        _thaw_parsed(connection, call, snapshot.parsed)
    return call


def _thaw_ended(cell: Cell, snapshot: snapshot_pb2.EndedCall, taken: float) -> Ended:
    """A call that its actor is to hear of: of its stream is left what the client sent with it."""
    connection = cell.connection
    try:
        stream = Stream.over(snapshot.call.stream, thaw_head(snapshot.head))
        status = StatusCode(snapshot.status)
        message = snapshot.message.decode("utf-8", "surrogatepass")
    except (StreamFault, ValueError) as error:
        raise SnapshotError(f"the end of a call that cannot have existed: {error}") from error
    route = connection.node.routes.get(stream.head.path)
    if route is None:
        raise SnapshotError(f"{stream.head.path} is not served here")
    call = connection.node.call_type(connection, stream, route)
    call.cell = cell
    if snapshot.call.identity:
        _thaw_identity(call, snapshot.call.identity)
    _fill_call(call, snapshot.call, taken)
    call.ended = True
    call.cancelled = snapshot.cancelled
    call.close_context()
    return call, status, message


def _fill_call(call: Call[Any], snapshot: snapshot_pb2.CallSnapshot, taken: float) -> None:
    call.cursor = snapshot.cursor
    call.compression = snapshot.compression
    for payload, compressed in zip_longest(snapshot.held, snapshot.held_compressed[: len(snapshot.held)]):
        call.hold(Compressed(payload) if compressed else payload)
    if snapshot.held_end:
        call.hold(None)
    if snapshot.HasField("request"):
        call.request = Compressed(snapshot.request) if snapshot.request_compressed else snapshot.request
    if snapshot.HasField("origin"):
        thaw_origin(call, snapshot.origin)
    if snapshot.HasField("time_remaining"):
        call.deadline = taken + snapshot.time_remaining
    if snapshot.initial_metadata:
        call.initial = _thaw_pairs(snapshot.initial_metadata)
    if snapshot.trailing_metadata:
        call.trailing = _thaw_pairs(snapshot.trailing_metadata)
    for entry in snapshot.context:
        call.context[entry.key] = entry.data if entry.HasField("data") else entry.text


def _thaw_parsed(connection: Connection, call: Call[Any], size: int) -> None:
    """Count the message that the call's handler is to have again."""
    parsed = connection.node.parsed
    if not parsed.has_room(connection.parsed + size, size):
        raise SnapshotError(f"its handlers have messages that take {connection.parsed + size} bytes: no room")
    parsed.take(connection, call, size)


def _thaw_identity(call: Call[Any], identity: str) -> None:
    if not isinstance(call, InterceptedCall):
        raise SnapshotError("its calls have identities, and this hub's app gives them none")
    call.restore_identity(identity)


def _thaw_unadmitted(connection: Connection, call: Call[Any]) -> None:
    if connection.admission is not None:
        connection.admission.add(call)
        return
    try:  # this hub's app has no on_call any more
        connection.admit(call)
    except RpcError as error:
        call.cell = Limbo(connection, Part(connection.usage))
        call.end(error.code, error.message)


def _thaw_pairs(texts: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    each = iter(texts)
    return list(zip(each, each, strict=True))


def _freeze_entry(key: str, value: str | bytes) -> snapshot_pb2.ContextEntry:
    if isinstance(value, str):
        return snapshot_pb2.ContextEntry(key=key, text=value)
    return snapshot_pb2.ContextEntry(key=key, data=value)


def _freeze_cell(cell: Cell, now: float) -> snapshot_pb2.ActorSnapshot:
    snapshot = cell.freeze()
    snapshot.ended.extend(_freeze_ended(each, now) for each in cell.ended_calls)
    identities = cell.connection.identities
    if cell.identity and identities is not None:
        snapshot.idle = identities.idle(cell.identity, now)
    return snapshot


def _thaw_cell(connection: Connection, snapshot: snapshot_pb2.ActorSnapshot) -> Cell:
    service = connection.node.app.services.get(snapshot.service)
    if service is None:
        raise SnapshotError(f"{snapshot.service} is not served here")
    if snapshot.HasField("state") != (service.__rpc__.state is not None):
        raise SnapshotError(f"{snapshot.service} has state on one side only")
    cell = Cell(connection, service, _thaw_state(service, snapshot), identity=snapshot.identity)
    try:
        Context().run(cell.make)
    except BaseException as error:  # whatever the app's __init__ does
        raise SnapshotError(f"{snapshot.service} cannot be made here: {describe(error)}") from error
    return cell


def _thaw_state(service: type[Service], snapshot: snapshot_pb2.ActorSnapshot) -> Message | None:
    """The actor's state, brought to the version of its class. None for a stateless service."""
    if not issubclass(service, Actor) or service.__rpc__.state is None:
        return None
    old, new = snapshot.state_version, service.state_version
    if old > new:
        raise SnapshotError(
            f"the state of {snapshot.service} has version {old}, and this hub knows version {new}"
        )
    try:
        state = service.__rpc__.state.FromString(snapshot.state)
    except DecodeError as error:
        raise SnapshotError(f"the state of {snapshot.service} does not parse") from error
    if old == new:
        return state
    try:
        upgraded = Context().run(service.upgrade, old, state)
    except BaseException as error:
        raise SnapshotError(
            f"the state of {snapshot.service} is not upgraded from version {old} to {new}: {describe(error)}"
        ) from error
    if not isinstance(upgraded, service.__rpc__.state):
        returned = type(upgraded).__name__
        raise SnapshotError(f"upgrade of {snapshot.service} returned {returned}, not its state")
    return upgraded


def _freeze_subscription(subscription: Subscription) -> snapshot_pb2.SubscriptionSnapshot:
    return snapshot_pb2.SubscriptionSnapshot(
        topic=subscription.topic,
        stream=subscription.call.stream_id if subscription.call is not None else 0,
        service=subscription.cell.name,
        identity=subscription.cell.identity,
        epoch=subscription.epoch,
        sequence=subscription.sequence,
    )


def _thaw_subscription(connection: Connection, snapshot: snapshot_pb2.SubscriptionSnapshot) -> Subscription:
    cell = connection.cells.get(key_of(snapshot.service, snapshot.identity))
    call = connection.calls.get(snapshot.stream)
    if cell is None or (snapshot.stream and call is None):
        raise SnapshotError(f"a subscription to {snapshot.topic!r} of nothing that travels with it")
    return Subscription(connection, cell, snapshot.topic, call, snapshot.epoch, snapshot.sequence)
