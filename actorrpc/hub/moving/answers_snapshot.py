"""Calls by key and by reference as they travel with the actor that is called: with what it has said on them,
and their callers may not have heard."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from actorrpc.errors import SnapshotError
from actorrpc.hub.actors.call_stage import CallStage, Restorer
from actorrpc.hub.actors.cell import Cell, key_of
from actorrpc.hub.exchange.answers import Answers
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.exchange.incoming import IncomingCall
from actorrpc.hub.exchange.messages import answer_from, fill_answer
from actorrpc.hub.moving.call_snapshot import freeze_call, make_call, thaw_parsed
from actorrpc.hub.moving.clients import Clients
from actorrpc.pb import control_pb2, snapshot_pb2
from actorrpc.wire.head import freeze_head, thaw_head

__all__ = ["freeze_answers", "freeze_incoming", "thaw_answers", "thaw_incoming", "waiting_bytes"]


def freeze_incoming(call: Any, now: float, clients: Clients) -> snapshot_pb2.CallSnapshot:
    snapshot = freeze_call(call, now, clients)
    snapshot.answers.CopyFrom(freeze_answers(call.stream))
    snapshot.answers.peer, snapshot.answers.calling = call.peer, call.calling
    snapshot.answers.waiting.extend(call.waiting)
    snapshot.answers.origin = call.made_for
    snapshot.answers.identity = call.receiver.identity
    return snapshot


def freeze_answers(answers: Answers) -> snapshot_pb2.AnswersSnapshot:
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


def thaw_incoming(
    stage: CallStage, owner: Restorer, snapshot: snapshot_pb2.CallSnapshot, taken: float, clients: Clients
) -> tuple[IncomingCall[Any], Cell]:
    """A call of an actor that is on ``stage`` already. ``owner`` is whose its answers are."""
    told = snapshot.answers
    answers = thaw_answers(stage.resources.exchange, owner, told)
    call: Any = make_call(owner, answers, snapshot, taken, clients)
    service = call.route.service.__rpc__.name
    cell = stage.cells.get(key_of(service, told.identity))
    if cell is None:
        raise SnapshotError(f"a call of {service} without its actor")
    answers.call = call
    call.come_from(told.peer, told.calling, tuple(told.waiting), told.origin)
    call.receiver = cell
    if snapshot.begun:
        call.since = taken
        if cell.ends is not None:
            cell.ends.began(call)
    if snapshot.parsed:
        thaw_parsed(stage, call, snapshot.parsed)
    return call, cell


def thaw_answers(exchange: Exchange, owner: Any, snapshot: snapshot_pb2.AnswersSnapshot) -> Answers:
    try:
        head = thaw_head(snapshot.head)
        kept = [answer_from(control_pb2.Answer.FromString(each)) for each in snapshot.kept]
    except (ValueError, DecodeError) as error:
        raise SnapshotError(f"answers that cannot have been: {error}") from error
    answers = exchange.restore(snapshot.call, snapshot.caller, head)
    answers.restore(snapshot.number, kept, over=snapshot.over, headers_sent=snapshot.headers_sent)
    answers.one_way = snapshot.one_way
    answers.caller_moves = snapshot.caller_moves
    answers.owner = owner
    return answers


def waiting_bytes(cells: list[Cell]) -> int:
    """Bytes of such calls' requests that wait in mailboxes."""
    return sum(
        len(payload)
        for cell in cells
        for queue in (cell.mailbox, cell.concurrent)
        for _, call, payload in queue
        if isinstance(call, IncomingCall) and isinstance(payload, bytes)
    )
