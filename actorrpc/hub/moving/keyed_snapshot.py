"""A keyed actor as a ``ConnectionSnapshot``, and back: its calls, with what it has said on them and its
callers may not have heard."""

from __future__ import annotations

from time import monotonic, thread_time
from typing import Any

from google.protobuf.message import DecodeError

from actorrpc.errors import SnapshotError
from actorrpc.hub.actors.cell import Cell
from actorrpc.hub.exchange.answers import Answers
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.exchange.messages import answer_from, fill_answer
from actorrpc.hub.keyed.activation import Activation
from actorrpc.hub.keyed.activations import Activations
from actorrpc.hub.moving.call_snapshot import (
    freeze_call,
    freeze_cell,
    make_call,
    thaw_cell,
    thaw_ended,
    thaw_parsed,
    thaw_turns,
)
from actorrpc.hub.moving.contents import contents
from actorrpc.hub.moving.move_cost import MoveCosts, price, too_long
from actorrpc.hub.phase import FROZEN
from actorrpc.ipc.hello import SNAPSHOTS
from actorrpc.pb import control_pb2, snapshot_pb2
from actorrpc.wire.head import freeze_head, thaw_head

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
    snapshot = snapshot_pb2.ConnectionSnapshot(
        format=format,
        taken_at=now,
        id=activation.id,
        keyed=snapshot_pb2.KeyedSnapshot(
            service=service,
            key=key,
            epoch=activation.epoch,
            origin=activation.origin,
            unsettled=[_freeze_answers(answers) for answers in activation.unsettled],
        ),
        calls=[_freeze_call(call, now) for call in activation.calls.values()],
        actors=[freeze_cell(cell, None, now) for cell in activation.cells.values()],
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


def _freeze_call(call: Any, now: float) -> snapshot_pb2.CallSnapshot:
    snapshot = freeze_call(call, now)
    snapshot.answers.CopyFrom(_freeze_answers(call.stream))
    snapshot.answers.peer, snapshot.answers.calling = call.peer, call.calling
    snapshot.answers.waiting.extend(call.waiting)
    snapshot.answers.origin = call.made_for
    return snapshot


def _freeze_answers(answers: Answers) -> snapshot_pb2.AnswersSnapshot:
    return snapshot_pb2.AnswersSnapshot(
        call=answers.id,
        caller=answers.caller,
        head=freeze_head(answers.head),
        number=answers.number,
        kept=[_written(answer) for answer in answers.kept],
        over=answers.over,
        headers_sent=answers.headers_sent,
        one_way=answers.one_way,
        caller_moves=answers.caller_moves,
    )


def _written(answer: Any) -> bytes:
    message = control_pb2.Answer()
    fill_answer(message, answer)
    return message.SerializeToString()


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
    for each in snapshot.calls:
        call = activation.calls[each.stream] = _thaw_call(activation, exchange, cell, each, taken)
        activation.calls.rearm(call)
    ended = {each.call.stream: thaw_ended(activation, cell, each, taken) for each in actor.ended}
    thaw_turns(cell, actor, activation.calls, ended)
    for call in activation.calls.values():
        if call.origin is not None:
            cell.resume(call)
    for each_answers in snapshot.keyed.unsettled:
        activation.keep(_thaw_answers(activation, exchange, each_answers))
    activation.host.thaw(snapshot.subscriptions)
    activation.waiting_bytes = sum(
        len(payload)
        for queue in (cell.mailbox, cell.concurrent)
        for _, call, payload in queue
        if call is not None and isinstance(payload, bytes)
    )
    activation.phase.state = FROZEN


def _thaw_call(
    activation: Activation, exchange: Exchange, cell: Cell, snapshot: snapshot_pb2.CallSnapshot, taken: float
) -> Any:
    answers = _thaw_answers(activation, exchange, snapshot.answers)
    call = answers.call = make_call(activation, answers, snapshot, taken)
    told = snapshot.answers
    call.come_from(told.peer, told.calling, tuple(told.waiting), told.origin)  # type: ignore[attr-defined]
    call.receiver = cell
    if snapshot.begun:
        call.since = taken
        if cell.ends is not None:
            cell.ends.began(call)
    if snapshot.parsed:
        thaw_parsed(activation, call, snapshot.parsed)
    return call


def _thaw_answers(
    activation: Activation, exchange: Exchange, snapshot: snapshot_pb2.AnswersSnapshot
) -> Answers:
    try:
        head = thaw_head(snapshot.head)
        kept = [answer_from(control_pb2.Answer.FromString(each)) for each in snapshot.kept]
    except (ValueError, DecodeError) as error:
        raise SnapshotError(f"answers that cannot have been: {error}") from error
    answers = exchange.restore(snapshot.call, snapshot.caller, head)
    answers.restore(snapshot.number, kept, over=snapshot.over, headers_sent=snapshot.headers_sent)
    answers.one_way = snapshot.one_way
    answers.caller_moves = snapshot.caller_moves
    answers.owner = activation
    return answers
