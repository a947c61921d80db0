"""The kinds of turns, and one turn as a ``TurnSnapshot`` and back."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from actorrpc.errors import SnapshotError
from actorrpc.hub.calls.call import ServerCall
from actorrpc.pb.snapshot_pb2 import TurnSnapshot
from actorrpc.wire.compression import Compressed

__all__ = [
    "CALL_END",
    "CLOSE",
    "CONNECT",
    "DISCONNECT",
    "END",
    "HELD",
    "MESSAGE",
    "PULL",
    "REQUEST",
    "RESUME",
    "THAW",
    "TOPIC",
    "Turn",
    "freeze_turn",
    "message_class",
    "thaw_turn",
]

# Kinds of turns. The first six travel; what the others stand for is found again where they thaw.
REQUEST = TurnSnapshot.REQUEST  #: the one request of a unary or server-streaming call
MESSAGE = TurnSnapshot.MESSAGE  #: one message of a client-streaming or bidirectional call
END = TurnSnapshot.END  #: the client half-closed such a call
TOPIC = TurnSnapshot.TOPIC  #: one message of a topic, for the actor itself
HELD = TurnSnapshot.HELD  #: the first message that the call holds
CALL_END = TurnSnapshot.CALL_END  #: on_call_end; the payload is the call, which has ended, and how
PULL = 10  #: the next reply of an iterable
RESUME = 11  #: the turn that made an iterable, again, after a move
CONNECT = 12  #: on_connect
DISCONNECT = 13  #: on_disconnect
THAW = 14  #: on_thaw
CLOSE = 15  #: an iterable of a call that has ended; the payload is the iterable

#: ``(kind, call, payload)``; a TOPIC's payload is ``(topic, type name, bytes)``.
Turn = tuple[int, Any, Any]


def freeze_turn(turn: Turn) -> TurnSnapshot:
    kind: Any
    kind, call, payload = turn
    if kind == TOPIC:
        topic, type_name, message = payload
        return TurnSnapshot(kind=TOPIC, topic=topic, type=type_name, payload=message)
    if kind == CALL_END:
        return TurnSnapshot(kind=CALL_END, stream=payload[0].stream.id)
    compressed = isinstance(payload, Compressed)
    return TurnSnapshot(kind=kind, stream=call.stream.id, payload=payload or b"", compressed=compressed)


def thaw_turn(turn: TurnSnapshot, calls: dict[int, ServerCall[Any]]) -> Turn:
    if turn.kind == TOPIC:
        return TOPIC, None, (turn.topic, turn.type, turn.payload)
    call = calls.get(turn.stream)
    if call is None:
        raise SnapshotError(f"a turn of stream {turn.stream}, which has no call")
    if turn.kind == HELD:
        call.resuming = True
    if turn.kind in (END, HELD):
        return turn.kind, call, None
    return turn.kind, call, Compressed(turn.payload) if turn.compressed else turn.payload


@cache
def message_class(name: str) -> type[Message]:
    """The class of a message type that the app has imported, by its full name. Raises KeyError."""
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))
