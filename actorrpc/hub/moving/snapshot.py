"""A connection as a ``ConnectionSnapshot``, and back: its calls, actors, mailboxes and subscriptions; and why
this hub cannot serve one that comes.

``freeze`` changes nothing but the connection's state, so that an aborted move just resumes.
"""

from __future__ import annotations

import logging
from time import monotonic, thread_time
from typing import Any

from google.protobuf.message import DecodeError

from actorrpc.errors import RpcError, SnapshotError
from actorrpc.hub.accepting.proxied import from_message, to_message
from actorrpc.hub.actors.cell import Cell, key_of
from actorrpc.hub.actors.refused import RefusedCalls
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.exchange.incoming import IncomingCall
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.moving.answers_snapshot import (
    freeze_answers,
    freeze_incoming,
    thaw_answers,
    thaw_incoming,
    waiting_bytes,
)
from actorrpc.hub.moving.call_snapshot import (
    freeze_call,
    freeze_cell,
    make_call,
    thaw_cell,
    thaw_ended,
    thaw_parsed,
    thaw_turns,
)
from actorrpc.hub.moving.clients import Clients
from actorrpc.hub.moving.contents import contents
from actorrpc.hub.moving.move_cost import MoveCosts, price, too_long
from actorrpc.hub.phase import FROZEN
from actorrpc.hub.resources import Resources
from actorrpc.hub.securing.facts import secure_message
from actorrpc.hub.serving.connection import Connection, ConnectionOwner
from actorrpc.hub.serving.incoming_calls import IncomingCalls
from actorrpc.hub.serving.relay import FirstMessage, Relay
from actorrpc.ipc.hello import SNAPSHOTS, WITH_TLS
from actorrpc.pb import snapshot_pb2
from actorrpc.wire.snapshot import freeze_session, thaw_session

__all__ = ["freeze", "thaw"]

log = logging.getLogger("actorrpc.hub")

#: Bytes of a snapshot below which a move teaches nothing of what moves cost: there is nothing in it. To count
#: and to price it all the same would make a tenth of an idle connection's move.
_LEAST_TAUGHT = 2048

#: The first format with calls by reference. Without those, a snapshot is the same as in the one before.
_BY_REFERENCE = 5

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
    incoming = connection.incoming
    if format < _BY_REFERENCE and incoming is not None and (why := _why_unknown(incoming, connection)):
        raise SnapshotError(why)
    connection.phase.state = FROZEN
    unsent = connection.pump.transport.freeze()
    secret = None
    if (secure := connection.secure_transport) is not None:
        if format < WITH_TLS:
            raise SnapshotError("its client speaks TLS, of which the other hub's version knows nothing")
        secret = secure.freeze_secrets()
    usage = connection.usage
    connection.cells.drop_ended()
    now, clients = monotonic(), Clients()
    identities = connection.cells.identities
    snapshot = snapshot_pb2.ConnectionSnapshot(
        format=format,
        taken_at=now,
        id=connection.id,
        peer=connection.peer,
        session=freeze_session(connection.session, unsent, now),
        calls=[_freeze_call(call, now, clients) for call in connection.calls.values()],
        actors=[freeze_cell(cell, identities, now, clients) for cell in connection.cells.values()],
        clients=clients.written,
        subscriptions=connection.host.freeze(),
        turns=connection.schedule.turns,
        moves=connection.moves,
        load=usage.load(now),
        recent_load=usage.recent(now),
        caller=connection.caller,
        shared_by=connection.shared_by,
        weighing_us=round(usage.weighing * 1e6),
        unsettled=() if incoming is None else [freeze_answers(each) for each in incoming.unsettled],
        proxied=to_message(connection.proxied),
        tls=secret,
        secure=None if connection.secure is None else secure_message(connection.secure),
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


def _why_unknown(incoming: IncomingCalls, connection: Connection) -> str:
    """Why a hub that knows no calls by reference cannot take the connection; "" if it can."""
    ended = [call for cell in connection.cells.values() for call, *_ in cell.ended_calls]
    if incoming.answers or any(isinstance(call, IncomingCall) for call in ended):
        return "its actors are called by reference, which the code of the target does not know"
    return ""


def _freeze_call(call: ServerCall[Any], now: float, clients: Clients) -> snapshot_pb2.CallSnapshot:
    freeze = freeze_incoming if isinstance(call, IncomingCall) else freeze_call
    return freeze(call, now, clients)


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
    secured = None
    if snapshot.HasField("tls"):
        from actorrpc.hub.securing.transport import thaw_secured  # here: see hub/securing/serving.py

        secured = thaw_secured(snapshot.secure, snapshot.tls)
    connection = Connection(owner, resources, None, snapshot.id, snapshot.peer, session, secured)
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
    if snapshot.HasField("proxied"):
        connection.proxied = from_message(snapshot.proxied)
    connection.timer.times.restore(snapshot, taken)
    usage = connection.usage
    usage.restore(snapshot.load, snapshot.recent_load, taken, connection.timer.times.accepted)
    usage.freeze_ms = snapshot.freeze_ms
    usage.state_bytes = sum(len(actor.state) for actor in snapshot.actors)
    usage.weighing = snapshot.weighing_us / 1e6
    for actor in snapshot.actors:
        connection.cells.take(thaw_cell(connection, actor), taken - actor.idle)
    clients = Clients(snapshot.clients)
    for each in snapshot.calls:
        call = connection.calls[each.stream] = _thaw_call(connection, each, taken, clients)
        connection.calls.rearm(call)
    for actor in snapshot.actors:
        cell = connection.cells[key_of(actor.service, actor.identity)]
        ended = {each.call.stream: thaw_ended(connection, cell, each, taken, clients) for each in actor.ended}
        thaw_turns(cell, actor, connection.calls, ended)
    if snapshot.unsettled or connection.incoming is not None:
        _thaw_unsettled(connection, snapshot)
    for call in connection.calls.values():
        if call.origin is not None and isinstance(call.receiver, Cell):
            call.receiver.resume(call)
    for each in snapshot.calls:
        if each.unadmitted:
            _thaw_unadmitted(connection, connection.calls[each.stream])
    connection.host.thaw(snapshot.subscriptions)
    connection.phase.state = FROZEN  # only now: an actor's __init__ may use its API, and cannot wait


def _thaw_unsettled(connection: Connection, snapshot: snapshot_pb2.ConnectionSnapshot) -> None:
    incoming = connection.incoming_calls()
    incoming.waiting_bytes = waiting_bytes([*connection.cells.values()])
    for each in snapshot.unsettled:
        incoming.unsettled[thaw_answers(connection.resources.exchange, incoming, each)] = None


def _thaw_incoming(
    connection: Connection, snapshot: snapshot_pb2.CallSnapshot, taken: float, clients: Clients
) -> ServerCall[Any]:
    incoming = connection.incoming_calls()
    call, cell = thaw_incoming(connection, incoming, snapshot, taken, clients)
    incoming.belongs(call, cell)
    return call


def _thaw_call(
    connection: Connection, snapshot: snapshot_pb2.CallSnapshot, taken: float, clients: Clients
) -> ServerCall[Any]:
    if snapshot.incoming:
        return _thaw_incoming(connection, snapshot, taken, clients)
    stream = connection.session.streams.get(snapshot.stream)
    if stream is None:
        raise SnapshotError(f"a call on stream {snapshot.stream}, which is not open")
    call = make_call(connection, stream, snapshot, taken, clients)
    if snapshot.HasField("relay"):
        if call.route.keyed is None:
            raise SnapshotError(f"{stream.head.path} is of a keyed actor, and here of the connection's")
        relay = call.receiver = Relay(connection, call)
        relay.thaw(snapshot.relay)
        call.since = taken if snapshot.begun else 0.0
        return call
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
        thaw_parsed(connection, call, snapshot.parsed)
    return call


def _thaw_unadmitted(connection: Connection, call: ServerCall[Any]) -> None:
    if connection.cells.admission is not None:
        if call.route.keyed is not None and call.route.keyed.field:
            first = call.receiver = FirstMessage(Part(connection.usage), connection.await_admission)
            if not call.held:
                return
            if call.held[0] is not None:
                first.see(call, call.held[0])
        connection.cells.admission.add(call)
        return
    try:  # this hub's app has no on_call any more
        connection.admit(call)
    except RpcError as error:
        call.receiver = RefusedCalls(connection.schedule, Part(connection.usage))
        call.end(error.code, error.message)
