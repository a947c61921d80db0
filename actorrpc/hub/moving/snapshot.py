"""A connection as a ``ConnectionSnapshot``, and back: its calls, actors, mailboxes and subscriptions; and why
this hub cannot serve one that comes.

``freeze`` changes nothing but the connection's state, so that an aborted move just resumes.
"""

from __future__ import annotations

import logging
from contextvars import Context
from itertools import chain, zip_longest
from time import monotonic, thread_time
from typing import Any

from google.protobuf.message import DecodeError, Message

from actorrpc.actor import Actor, Service
from actorrpc.errors import RpcError, SnapshotError, StatusCode, StreamFault
from actorrpc.hub.actors.cell import Cell, key_of
from actorrpc.hub.actors.identities import Identities
from actorrpc.hub.actors.refused import RefusedCalls
from actorrpc.hub.actors.turns import (
    CALL_END,
    CONNECT,
    TOPIC,
    freeze_turn,
    thaw_turn,
)
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.calls.call_ends import Ended
from actorrpc.hub.calls.intercepted import InterceptedCall
from actorrpc.hub.calls.open_calls import OpenCalls
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.moving.contents import contents
from actorrpc.hub.moving.move_cost import MoveCosts, price, too_long
from actorrpc.hub.phase import FROZEN
from actorrpc.hub.resources import Resources
from actorrpc.hub.serving.connection import Connection, ConnectionOwner
from actorrpc.ipc.hello import SNAPSHOTS
from actorrpc.loop.duties import reason
from actorrpc.pb import snapshot_pb2
from actorrpc.wire.compression import Compressed
from actorrpc.wire.fields import pairs
from actorrpc.wire.head import freeze_head, thaw_head
from actorrpc.wire.snapshot import freeze_session, thaw_session
from actorrpc.wire.stream import Stream

__all__ = ["freeze", "thaw"]

log = logging.getLogger("actorrpc.hub")

#: Bytes of a snapshot below which a move teaches nothing of what moves cost: there is nothing in it. To count
#: and to price it all the same would make a tenth of an idle connection's move.
_LEAST_TAUGHT = 2048

#: A snapshot that seems to be older, or of the future, was taken by another clock.
MAX_AGE = 10.0


def freeze(
    connection: Connection, costs: MoveCosts, limit: float = 0.0, format: int = SNAPSHOTS.newest
) -> bytes:
    """The serialized snapshot of a quiet connection, which is frozen from now on. ``format`` is one that its
    reader knows.

    Raises SnapshotError if it is too large to move, or being closed, or if the move would take more than
    ``limit`` seconds of both hubs together; 0: that is all the same.
    """
    began, computed = monotonic(), thread_time()
    # More may have come since the move was begun.
    if limit and (why := too_long(costs.of(contents(connection)), limit)):
        raise SnapshotError(why)
    connection.phase.state = FROZEN
    unsent = connection.pump.transport.freeze()
    usage = connection.usage
    connection.cells.drop_ended()
    now = monotonic()
    snapshot = snapshot_pb2.ConnectionSnapshot(
        format=format,
        taken_at=now,
        id=connection.id,
        peer=connection.peer,
        session=freeze_session(connection.session, unsent, now),
        calls=[_freeze_call(call, now) for call in connection.calls.values()],
        actors=[_freeze_cell(cell, connection.cells.identities, now) for cell in connection.cells.values()],
        subscriptions=connection.host.freeze(),
        turns=connection.schedule.turns,
        moves=connection.moves,
        load=usage.load(now),
        recent_load=usage.recent(now),
        caller=connection.caller,
        shared_by=connection.shared_by,
        weighing_us=round(usage.weighing * 1e6),
    )
    connection.timer.times.freeze(snapshot, now)
    data = snapshot.SerializeToString()
    usage.state_bytes = sum(len(actor.state) for actor in snapshot.actors)
    usage.freeze_ms = (monotonic() - began) * 1000
    computed = thread_time() - computed
    if len(data) > _LEAST_TAUGHT:
        costs.freezing.learn(price(contents(connection)).freeze, computed)
    # What it took is known only now. A field more behind a message is a field of the message.
    data += snapshot_pb2.ConnectionSnapshot(freeze_ms=usage.freeze_ms).SerializeToString()
    limit = connection.resources.config.max_state_bytes
    if len(data) > limit:
        raise SnapshotError(f"its state takes {len(data)} bytes, over the limit of {limit}")
    # It stands: until it is settled who serves the connection, nobody may change what is in there. No turn
    # runs, and nothing is read. Deadlines wait, and so do greenlets of users' own.
    for cell in connection.cells.values():
        cell.hold()
    return data


def thaw(
    owner: ConnectionOwner, resources: Resources, costs: MoveCosts, data: bytes | memoryview
) -> Connection:
    """The connection of a snapshot, frozen and without a socket: ``Arrival.serve`` has it served.

    Raises SnapshotError for a snapshot that this hub cannot serve.
    """
    began = thread_time()
    try:
        snapshot = snapshot_pb2.ConnectionSnapshot.FromString(data)  # type: ignore[arg-type]  # any buffer
    except DecodeError as error:
        raise SnapshotError("it is not a snapshot") from error
    if snapshot.format not in SNAPSHOTS:
        raise SnapshotError(f"snapshot format {snapshot.format}, where this hub reads {SNAPSHOTS}")
    # What the way took is part of all times: else each move would put off deadlines, ages and the like.
    now = monotonic()
    taken = snapshot.taken_at if 0 <= now - snapshot.taken_at < MAX_AGE else now
    session = thaw_session(snapshot.session, resources.config, taken)
    connection = Connection(owner, resources, None, snapshot.id, snapshot.peer, session)
    try:
        _fill(connection, snapshot, taken)
    except BaseException:
        connection.let_go()
        raise
    computed = thread_time() - began
    if len(data) > _LEAST_TAUGHT:
        costs.thawing.learn(price(contents(connection)).thaw, computed)
    return connection


def _fill(connection: Connection, snapshot: snapshot_pb2.ConnectionSnapshot, taken: float) -> None:
    connection.schedule.paused = True
    connection.schedule.turns = snapshot.turns
    connection.moves = snapshot.moves + 1
    connection.caller = snapshot.caller
    connection.shared_by = snapshot.shared_by
    connection.timer.times.restore(snapshot, taken)
    usage = connection.usage
    usage.restore(snapshot.load, snapshot.recent_load, taken, connection.timer.times.accepted)
    usage.freeze_ms = snapshot.freeze_ms
    usage.state_bytes = sum(len(actor.state) for actor in snapshot.actors)
    usage.weighing = snapshot.weighing_us / 1e6
    for actor in snapshot.actors:
        connection.cells.take(_thaw_cell(connection, actor), taken - actor.idle)
    for each in snapshot.calls:
        call = connection.calls[each.stream] = _thaw_call(connection, each, taken)
        connection.calls.rearm(call)
    for actor in snapshot.actors:
        cell = connection.cells[key_of(actor.service, actor.identity)]
        ended = {each.call.stream: _thaw_ended(connection, cell, each, taken) for each in actor.ended}
        _thaw_turns(cell, actor, connection.calls, ended)
    for call in connection.calls.values():
        if call.origin is not None and isinstance(call.receiver, Cell):
            call.receiver.resume(call)
    for each in snapshot.calls:
        if each.unadmitted:
            _thaw_unadmitted(connection, connection.calls[each.stream])
    connection.host.thaw(snapshot.subscriptions)
    connection.phase.state = FROZEN  # only now: an actor's __init__ may use its API, and cannot wait


def _freeze_call(call: ServerCall[Any], now: float) -> snapshot_pb2.CallSnapshot:
    return snapshot_pb2.CallSnapshot(
        stream=call.stream.id,
        time_remaining=None if call.deadline is None else max(0.0, call.deadline - now),
        cursor=call.cursor,
        held=[payload for payload in call.held if payload is not None],
        held_compressed=[isinstance(payload, Compressed) for payload in call.held if payload is not None],
        held_end=None in call.held,
        request=call.request,
        request_compressed=isinstance(call.request, Compressed),
        compression=call.compression,
        origin=None if call.origin is None else freeze_turn((call.origin[0], call, call.origin[1])),
        initial_metadata=chain.from_iterable(call.initial),
        trailing_metadata=chain.from_iterable(call.trailing),
        context=[_freeze_entry(key, value) for key, value in call.noted],
        unadmitted=call.receiver.admits,
        identity=call.identity,
        begun=call.served,
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


def _thaw_call(connection: Connection, snapshot: snapshot_pb2.CallSnapshot, taken: float) -> ServerCall[Any]:
    stream = connection.session.streams.get(snapshot.stream)
    if stream is None:
        raise SnapshotError(f"a call on stream {snapshot.stream}, which is not open")
    call = _make_call(connection, stream, snapshot, taken)
    cell = connection.cells.get(key_of(call.route.service.__rpc__.name, snapshot.identity))
    if cell is None and not snapshot.unadmitted:
        raise SnapshotError(f"a call of {stream.head.path} without its service")
    if cell is not None:
        call.receiver = cell
    if snapshot.identity and connection.cells.identities is not None:
        connection.cells.identities.began(snapshot.identity)
    if snapshot.begun:
        call.since = taken
        if cell is not None and cell.ends is not None:
            cell.ends.began(call)
    if snapshot.parsed:  # at last: whatever fails from now on releases it
        _thaw_parsed(connection, call, snapshot.parsed)
    return call


def _thaw_turns(
    cell: Cell, snapshot: snapshot_pb2.ActorSnapshot, calls: OpenCalls, ended: dict[int, Ended]
) -> None:
    """Queue the turns of a snapshot, whose calls are here by their streams."""
    cell.connected = snapshot.connected
    if not cell.connected:
        cell.mailbox.append((CONNECT, None, None))
    for turn in snapshot.mailbox:
        if turn.kind == CALL_END:
            _thaw_end(cell, turn.stream, ended)
        elif turn.kind == TOPIC:
            cell.push_topic(turn.topic, turn.type, turn.payload)
        else:
            cell.mailbox.append(thaw_turn(turn, calls))
    for each in snapshot.concurrent:
        cell.push(*thaw_turn(each, calls))  # this hub's app may say otherwise


def _thaw_end(cell: Cell, stream: int, ended: dict[int, Ended]) -> None:
    if stream not in ended:
        raise SnapshotError(f"the end of a call on stream {stream}, which is not told")
    if cell.ends is not None:  # else this hub's app has no on_call_end any more
        cell.ends.waiting += 1
        cell.mailbox.append((CALL_END, None, ended[stream]))


def _thaw_ended(connection: Connection, cell: Cell, snapshot: snapshot_pb2.EndedCall, taken: float) -> Ended:
    """A call that its actor is to hear of: of its stream is left what the client sent with it."""
    try:
        stream = Stream.over(snapshot.call.stream, thaw_head(snapshot.head))
        status = StatusCode(snapshot.status)
        message = snapshot.message.decode("utf-8", "surrogatepass")
    except (StreamFault, ValueError) as error:
        raise SnapshotError(f"the end of a call that cannot have been: {error}") from error
    call = _make_call(connection, stream, snapshot.call, taken)
    call.receiver = cell
    call.ended = True
    call.cancelled = snapshot.cancelled
    call.close_context()
    return call, status, message


def _make_call(
    connection: Connection, stream: Stream, snapshot: snapshot_pb2.CallSnapshot, taken: float
) -> ServerCall[Any]:
    """A call as far as it travels, whether it is open or has ended."""
    route = connection.resources.routes.get(stream.head.path)
    if route is None:
        raise SnapshotError(f"{stream.head.path} is not served here")
    call = connection.resources.call_type(connection, stream, route)
    if snapshot.identity:
        if not isinstance(call, InterceptedCall):
            raise SnapshotError("its calls have identities, and this hub's app gives them none")
        call.restore_identity(snapshot.identity)
    call.cursor = snapshot.cursor
    call.compression = snapshot.compression
    for payload, compressed in zip_longest(snapshot.held, snapshot.held_compressed[: len(snapshot.held)]):
        call.hold(Compressed(payload) if compressed else payload)
    if snapshot.held_end:
        call.hold(None)
    if snapshot.HasField("request"):
        call.request = Compressed(snapshot.request) if snapshot.request_compressed else snapshot.request
    if snapshot.HasField("origin"):
        kind, _, payload = thaw_turn(snapshot.origin, {snapshot.origin.stream: call})
        call.origin, call.cursor_set = (kind, payload), True
    if snapshot.HasField("time_remaining"):
        call.deadline = taken + snapshot.time_remaining
    if snapshot.initial_metadata:
        call.initial = pairs(snapshot.initial_metadata)
    if snapshot.trailing_metadata:
        call.trailing = pairs(snapshot.trailing_metadata)
    for entry in snapshot.context:
        call.context[entry.key] = entry.data if entry.HasField("data") else entry.text
    return call


def _thaw_parsed(connection: Connection, call: ServerCall[Any], size: int) -> None:
    """Count the message that the call's handler is to have again."""
    parsed = connection.resources.parsed
    if not parsed.has_room(connection.parsed + size, size):
        raise SnapshotError(f"its handlers have messages that take {connection.parsed + size} bytes: no room")
    parsed.take(connection, call, size)


def _thaw_unadmitted(connection: Connection, call: ServerCall[Any]) -> None:
    if connection.cells.admission is not None:
        connection.cells.admission.add(call)
        return
    try:  # this hub's app has no on_call any more
        connection.admit(call)
    except RpcError as error:
        call.receiver = RefusedCalls(connection.schedule, Part(connection.usage))
        call.end(error.code, error.message)


def _freeze_entry(key: str, value: str | bytes) -> snapshot_pb2.ContextEntry:
    if isinstance(value, str):
        return snapshot_pb2.ContextEntry(key=key, text=value)
    return snapshot_pb2.ContextEntry(key=key, data=value)


def _freeze_cell(cell: Cell, identities: Identities | None, now: float) -> snapshot_pb2.ActorSnapshot:
    """The state, and the turns that wait."""
    service = cell.service
    kind = service.__rpc__.state
    if kind is None:
        state = None
    else:
        state = (kind() if cell.instance is None else cell.instance.state).SerializeToString()
    return snapshot_pb2.ActorSnapshot(
        service=cell.name,
        state=state,
        # An instance that has not been made yet is made before the snapshot's turns are queued.
        connected=cell.connected or (cell.instance is None and not cell.overrides("on_connect")),
        mailbox=[freeze_turn(turn) for turn in cell.mailbox if turn[0] <= CALL_END],
        concurrent=[freeze_turn(turn) for turn in cell.concurrent if turn[0] <= CALL_END],
        state_version=service.state_version if issubclass(service, Actor) else 0,
        identity=cell.identity,
        ended=[_freeze_ended(each, now) for each in cell.ended_calls],
        idle=identities.idle(cell.identity, now) if cell.identity and identities is not None else 0.0,
    )


def _thaw_cell(connection: Connection, snapshot: snapshot_pb2.ActorSnapshot) -> Cell:
    service = connection.resources.services.get(snapshot.service)
    if service is None:
        raise SnapshotError(f"{snapshot.service} is not served here")
    if snapshot.HasField("state") != (service.__rpc__.state is not None):
        raise SnapshotError(f"{snapshot.service} has state on one side only")
    state, concurrent = _thaw_state(service, snapshot), service in connection.resources.concurrent_services
    cell = Cell(connection, service, state, identity=snapshot.identity, concurrent=concurrent)
    try:
        Context().run(cell.make)
    except BaseException as error:  # whatever the app's __init__ does
        raise SnapshotError(f"{snapshot.service} cannot be made here: {reason(error)}") from error
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
            f"the state of {snapshot.service} is not upgraded from version {old} to {new}: {reason(error)}"
        ) from error
    if not isinstance(upgraded, service.__rpc__.state):
        returned = type(upgraded).__name__
        raise SnapshotError(f"upgrade of {snapshot.service} returned {returned}, not its state")
    return upgraded
