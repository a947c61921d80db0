"""What hubs say to each other of calls, as messages and back."""

from __future__ import annotations

from itertools import chain
from time import monotonic

from actorrpc.errors import StatusCode
from actorrpc.hub.directory.names import Name
from actorrpc.hub.exchange.answers import Answer
from actorrpc.hub.exchange.outgoing import END, HEADERS, MESSAGE, Fields, Request
from actorrpc.hub.securing.facts import client_from, client_written
from actorrpc.pb import control_pb2
from actorrpc.wire.fields import pairs

__all__ = ["answer_from", "answer_message", "fill_answer", "invoke_message", "request_from"]


def invoke_message(id: int, name: Name, request: Request, attempt: int) -> control_pb2.Invoke:
    service, key = name
    deadline = request.deadline
    return control_pb2.Invoke(
        call=id,
        service=service,
        key=key,
        method=request.method,
        metadata=chain.from_iterable(request.fields),
        time_remaining=None if deadline is None else max(0.0, deadline - monotonic()),
        request=request.message,
        identity=request.identity,
        context=[_note(key, value, key in request.passed_on) for key, value in request.context],
        peer=request.peer,
        origin=request.origin,
        waiting=request.waiting,
        caller=request.caller,
        one_way=request.one_way,
        attempt=attempt,
        client=client_written(request.client),
    )


def request_from(invoke: control_pb2.Invoke) -> Request:
    remaining = invoke.time_remaining if invoke.HasField("time_remaining") else None
    return Request(
        method=invoke.method,
        message=invoke.request,
        fields=pairs(invoke.metadata),
        deadline=None if remaining is None else monotonic() + remaining,
        identity=invoke.identity,
        peer=invoke.peer,
        origin=invoke.origin,
        client=client_from(invoke.client) if invoke.client else None,
        context=tuple(
            (note.key, note.data if note.HasField("data") else note.text) for note in invoke.context
        ),
        passed_on=frozenset(note.key for note in invoke.context if note.passed_on),
        waiting=tuple(invoke.waiting),
        caller=invoke.caller,
        one_way=invoke.one_way,
    )


def answer_message(id: int, answer: Answer) -> control_pb2.HubToHub:
    message = control_pb2.HubToHub()
    message.answer.call = id
    fill_answer(message.answer, answer)
    return message


def fill_answer(message: control_pb2.Answer, answer: Answer) -> None:
    """Write an answer down."""
    message.number, kind, data = answer
    if kind == HEADERS:
        message.initial_metadata.fields.extend(chain.from_iterable(data[0]))
        message.initial_metadata.SetInParent()
    elif kind == MESSAGE:
        message.message = data[0]
    else:
        status, text, fields, reply = data
        message.end.status = status
        message.end.message = text
        if fields:
            message.end.trailing_metadata.fields.extend(chain.from_iterable(fields))
        if reply is not None:
            message.end.reply = reply


def answer_from(message: control_pb2.Answer) -> Answer:
    if message.HasField("message"):
        return message.number, MESSAGE, (message.message,)
    if message.HasField("end"):
        end = message.end
        reply = end.reply if end.HasField("reply") else None
        status = StatusCode(end.status)
        return message.number, END, (status, end.message, _fields(end.trailing_metadata), reply)
    return message.number, HEADERS, (_fields(message.initial_metadata),)


def _fields(fields: control_pb2.Fields) -> Fields:
    return pairs(fields.fields)


def _note(key: str, value: str | bytes, passed_on: bool) -> control_pb2.Note:
    if isinstance(value, str):
        return control_pb2.Note(key=key, text=value, passed_on=passed_on)
    return control_pb2.Note(key=key, data=value, passed_on=passed_on)
