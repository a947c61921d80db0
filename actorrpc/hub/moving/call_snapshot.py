"""Calls, actors and mailboxes as they travel, whatever carries them; and why this hub cannot take some."""

from __future__ import annotations

from contextvars import Context
from itertools import chain, zip_longest
from typing import Any

from google.protobuf.message import DecodeError, Message

from actorrpc.actor import Actor, Service
from actorrpc.errors import SnapshotError, StatusCode, StreamFault
from actorrpc.hub.actors.call_stage import CallStage, Restorer
from actorrpc.hub.actors.cell import Cell
from actorrpc.hub.actors.identities import Identities
from actorrpc.hub.actors.turns import CALL_END, CONNECT, TOPIC, freeze_turn, thaw_turn
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.calls.call_ends import Ended
from actorrpc.hub.calls.open_calls import OpenCalls
from actorrpc.hub.exchange.incoming import IncomingCall
from actorrpc.hub.moving.clients import Clients
from actorrpc.hub.serving.relay import Relay
from actorrpc.loop.duties import reason
from actorrpc.pb import snapshot_pb2
from actorrpc.wire.compression import Compressed
from actorrpc.wire.fields import pairs
from actorrpc.wire.head import freeze_head, thaw_head
from actorrpc.wire.stream import Stream

__all__ = ["freeze_call", "freeze_cell", "make_call", "thaw_cell", "thaw_ended", "thaw_parsed", "thaw_turns"]


def freeze_call(call: ServerCall[Any], now: float, clients: Clients) -> snapshot_pb2.CallSnapshot:
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
        context=[_freeze_entry(key, value, key in call.passed_on) for key, value in call.noted],
        unadmitted=call.receiver.admits,
        identity=call.identity,
        begun=call.served,
        incoming=isinstance(call, IncomingCall),
        client=clients.place(call),
        parsed=call.parsed,
        relay=call.receiver.freeze() if isinstance(call.receiver, Relay) else None,
    )


def _freeze_ended(ended: Ended, now: float, clients: Clients) -> snapshot_pb2.EndedCall:
    call, status, message = ended
    return snapshot_pb2.EndedCall(
        call=freeze_call(call, now, clients),
        head=freeze_head(call.stream.head),
        status=status,
        message=message.encode("utf-8", "surrogatepass"),
        cancelled=call.cancelled,
    )


def thaw_turns(
    cell: Cell, snapshot: snapshot_pb2.ActorSnapshot, calls: OpenCalls, ended: dict[int, Ended]
) -> None:
    """Queue the turns of a snapshot, whose calls are here by their streams."""
    cell.connected = snapshot.connected
    if not cell.connected:
        cell.queue().append((CONNECT, None, None))
    for turn in snapshot.mailbox:
        if turn.kind == CALL_END:
            _thaw_end(cell, turn.stream, ended)
        elif turn.kind == TOPIC:
            cell.push_topic(turn.topic, turn.type, turn.payload)
        else:
            cell.queue().append(thaw_turn(turn, calls))
    for each in snapshot.concurrent:
        cell.push(*thaw_turn(each, calls))  # this hub's app may say otherwise


def _thaw_end(cell: Cell, stream: int, ended: dict[int, Ended]) -> None:
    if stream not in ended:
        raise SnapshotError(f"the end of a call on stream {stream}, which is not told")
    if cell.ends is not None:  # else this hub's app has no on_call_end any more
        cell.ends.waiting += 1
        cell.queue().append((CALL_END, None, ended[stream]))


def thaw_ended(
    stage: CallStage, cell: Cell, snapshot: snapshot_pb2.EndedCall, taken: float, clients: Clients
) -> Ended:
    """A call that its actor is to hear of: of its stream is left what the client sent with it."""
    try:
        stream = Stream.over(snapshot.call.stream, thaw_head(snapshot.head))
        status = StatusCode(snapshot.status)
        message = snapshot.message.decode("utf-8", "surrogatepass")
    except (StreamFault, ValueError) as error:
        raise SnapshotError(f"the end of a call that cannot have been: {error}") from error
    call = make_call(stage.restorer(snapshot.call.incoming), stream, snapshot.call, taken, clients)
    call.receiver = cell
    call.ended = True
    call.cancelled = snapshot.cancelled
    call.close_context()
    return call, status, message


def make_call(
    restorer: Restorer, stream: Any, snapshot: snapshot_pb2.CallSnapshot, taken: float, clients: Clients
) -> ServerCall[Any]:
    """A call as far as it travels, whether it is open or has ended."""
    call = restorer.restore_call(stream, snapshot.identity)
    clients.tell(call, snapshot.client)
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
        if entry.passed_on:
            call.context.pass_on(entry.key)
    return call


def thaw_parsed(stage: CallStage, call: ServerCall[Any], size: int) -> None:
    """Count the message that the call's handler is to have again."""
    parsed = stage.resources.parsed
    if not parsed.has_room(stage.parsed + size, size):
        raise SnapshotError(f"its handlers have messages that take {stage.parsed + size} bytes: no room")
    parsed.take(stage, call, size)


def _freeze_entry(key: str, value: str | bytes, passed_on: bool) -> snapshot_pb2.ContextEntry:
    if isinstance(value, str):
        return snapshot_pb2.ContextEntry(key=key, text=value, passed_on=passed_on)
    return snapshot_pb2.ContextEntry(key=key, data=value, passed_on=passed_on)


def freeze_cell(
    cell: Cell, identities: Identities | None, now: float, clients: Clients
) -> snapshot_pb2.ActorSnapshot:
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
        connected=cell.connected or (cell.instance is None and not cell.overrides(cell.stage.first_hook)),
        mailbox=[freeze_turn(turn) for turn in cell.mailbox if turn[0] <= CALL_END],
        concurrent=[freeze_turn(turn) for turn in cell.concurrent if turn[0] <= CALL_END],
        state_version=service.state_version if issubclass(service, Actor) else 0,
        identity=cell.identity,
        ended=[_freeze_ended(each, now, clients) for each in cell.ended_calls],
        idle=identities.idle(cell.identity, now) if cell.identity and identities is not None else 0.0,
    )


def thaw_cell(stage: CallStage, snapshot: snapshot_pb2.ActorSnapshot) -> Cell:
    service = stage.resources.services.get(snapshot.service)
    if service is None:
        raise SnapshotError(f"{snapshot.service} is not served here")
    if snapshot.HasField("state") != (service.__rpc__.state is not None):
        raise SnapshotError(f"{snapshot.service} has state on one side only")
    state, concurrent = _thaw_state(service, snapshot), service in stage.resources.concurrent_services
    cell = Cell(stage, service, state, identity=snapshot.identity, concurrent=concurrent)
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
