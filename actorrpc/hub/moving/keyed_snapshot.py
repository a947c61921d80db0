"""A keyed actor as a ``ConnectionSnapshot``, and back: its calls, with what it has said on them and its
callers may not have heard."""

from __future__ import annotations

from time import monotonic, thread_time

from google.protobuf.message import DecodeError

from actorrpc.errors import SnapshotError
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.keyed.activation import Activation
from actorrpc.hub.keyed.activations import Activations
from actorrpc.hub.moving.answers_snapshot import (
    freeze_answers,
    freeze_incoming,
    thaw_answers,
    thaw_incoming,
    waiting_bytes,
)
from actorrpc.hub.moving.call_snapshot import freeze_cell, thaw_cell, thaw_ended, thaw_turns
from actorrpc.hub.moving.clients import Clients
from actorrpc.hub.moving.contents import contents
from actorrpc.hub.moving.move_cost import MoveCosts, price, too_long
from actorrpc.hub.phase import FROZEN
from actorrpc.ipc.hello import SNAPSHOTS
from actorrpc.pb import snapshot_pb2

__all__ = ["freeze_activation", "thaw_activation"]

#: As those of connections: see ``snapshot``.
_LEAST_TAUGHT = 2048
MAX_AGE = 10.0


def freeze_activation(
    activation: Activation, costs: MoveCosts, limit: float = 0.0, format: int = SNAPSHOTS.newest
) -> bytes:
    """The serialized snapshot of a quiet actor, which is frozen from now on.

    Raises SnapshotError if it is too large to move, or if the move would take more than ``limit`` seconds of
    both hubs together; 0: that is all the same.
    """
    began, computed = monotonic(), thread_time()
    if limit and (why := too_long(costs.of(contents(activation)), limit)):
        raise SnapshotError(why)
    activation.phase.state = FROZEN
    activation.cells.drop_ended()
    usage, now = activation.usage, monotonic()
    service, key = activation.name
    clients = Clients()
    snapshot = snapshot_pb2.ConnectionSnapshot(
        format=format,
        taken_at=now,
        id=activation.id,
        keyed=snapshot_pb2.KeyedSnapshot(
            service=service,
            key=key,
            epoch=activation.epoch,
            origin=activation.origin,
            unsettled=[freeze_answers(answers) for answers in activation.unsettled],
        ),
        calls=[freeze_incoming(call, now, clients) for call in activation.calls.values()],
        actors=[freeze_cell(cell, None, now, clients) for cell in activation.cells.values()],
        clients=clients.written,
        subscriptions=activation.host.freeze(),
        turns=activation.schedule.turns,
        moves=activation.moves,
        age=now - usage.born,
        load=usage.load(now),
        recent_load=usage.recent(now),
        weighing_us=round(usage.weighing * 1e6),
    )
    data = snapshot.SerializeToString()
    usage.state_bytes = sum(len(actor.state) for actor in snapshot.actors)
    usage.freeze_ms = (monotonic() - began) * 1000
    if len(data) > _LEAST_TAUGHT:
        costs.freezing.learn(price(contents(activation)).freeze, thread_time() - computed)
    data += snapshot_pb2.ConnectionSnapshot(freeze_ms=usage.freeze_ms).SerializeToString()
    most = activation.resources.config.max_state_bytes
    if len(data) > most:
        raise SnapshotError(f"its state takes {len(data)} bytes, over the limit of {most}")
    for cell in activation.cells.values():
        cell.hold()
    return data


def thaw_activation(
    activations: Activations, exchange: Exchange, costs: MoveCosts, data: bytes | memoryview
) -> Activation:
    """The actor of a snapshot, frozen, and not known here yet.

    Raises SnapshotError for a snapshot that this hub cannot serve.
    """
    began = thread_time()
    try:
        snapshot = snapshot_pb2.ConnectionSnapshot.FromString(data)  # type: ignore[arg-type]  # any buffer
    except DecodeError as error:
        raise SnapshotError("it is not a snapshot") from error
    if snapshot.format not in SNAPSHOTS:
        raise SnapshotError(f"snapshot format {snapshot.format}, where this hub reads {SNAPSHOTS}")
    now = monotonic()
    taken = snapshot.taken_at if 0 <= now - snapshot.taken_at < MAX_AGE else now
    keyed = snapshot.keyed
    service = activations.keyed_service(keyed.service)
    if service is None:
        raise SnapshotError(f"{keyed.service} is not served here by key")
    activation = activations.make((keyed.service, keyed.key), service, keyed.epoch)
    try:
        _fill(activation, exchange, snapshot, taken)
    except BaseException:
        activation.let_go()
        raise
    if len(data) > _LEAST_TAUGHT:
        costs.thawing.learn(price(contents(activation)).thaw, thread_time() - began)
    return activation


def _fill(
    activation: Activation, exchange: Exchange, snapshot: snapshot_pb2.ConnectionSnapshot, taken: float
) -> None:
    activation.schedule.paused = True
    activation.schedule.turns = snapshot.turns
    activation.moves = snapshot.moves + 1
    activation.origin = snapshot.keyed.origin
    usage = activation.usage
    usage.restore(snapshot.load, snapshot.recent_load, taken, taken - snapshot.age)
    usage.freeze_ms = snapshot.freeze_ms
    usage.state_bytes = sum(len(actor.state) for actor in snapshot.actors)
    usage.weighing = snapshot.weighing_us / 1e6
    if len(snapshot.actors) != 1:
        raise SnapshotError(f"{len(snapshot.actors)} actors of one key")
    (actor,) = snapshot.actors
    cell = activation.cell = thaw_cell(activation, actor)
    activation.cells.take(cell, taken)
    clients = Clients(snapshot.clients)
    for each in snapshot.calls:
        activation.calls[each.stream], _ = thaw_incoming(activation, activation, each, taken, clients)
    for call in activation.calls.values():
        activation.calls.rearm(call)
    ended = {each.call.stream: thaw_ended(activation, cell, each, taken, clients) for each in actor.ended}
    thaw_turns(cell, actor, activation.calls, ended)
    for call in activation.calls.values():
        if call.origin is not None:
            cell.resume(call)
    for each_answers in snapshot.keyed.unsettled:
        activation.keep(thaw_answers(exchange, activation, each_answers))
    activation.host.thaw(snapshot.subscriptions)
    activation.waiting_bytes = waiting_bytes([cell])
    activation.phase.state = FROZEN
