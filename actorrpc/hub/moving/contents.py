"""What of a connection would travel, counted: that takes a twentieth of the time that its move would."""

from __future__ import annotations

from typing import Any

from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.moving.move_cost import Contents
from actorrpc.wire.fields import FIELD_OVERHEAD
from actorrpc.wire.head import RequestHead

__all__ = ["contents"]


def contents(connection: CallStage) -> Contents:
    """Count. A thousand calls take half a millisecond; states are as large as when they were weighed last."""
    usage = connection.usage
    found = Contents(
        calls=len(connection.calls),
        cells=len(connection.cells),
        subscriptions=len(connection.host.subscriptions),
        bytes=connection.pending_bytes,
        state_bytes=usage.state_bytes,
        weighing=usage.weighing,
    )
    heads: set[RequestHead] = set()
    for call in connection.calls.values():
        heads.add(call.stream.head)
        _count_call(call, found)
    for head in heads:
        _count_head(head, found)
    for cell in connection.cells.values():
        found.turns += len(cell.mailbox) + len(cell.concurrent)
        found.bytes += cell.topic_bytes
        if cell.ends is not None:
            for call, *_ in cell.ended_calls:  # each has a head of its own on the way
                found.calls += 1
                _count_call(call, found)
                _count_head(call.stream.head, found)
    return found


def _count_call(call: ServerCall[Any], found: Contents) -> None:
    stream = call.stream
    found.bytes += stream.partial_size + stream.unsent_bytes + len(call.cursor)
    if call.held:
        found.held += len(call.held)
    if call.origin is not None:
        found.bytes += len(call.origin[1] or b"")
    for _, value in call.noted:
        found.entries += 1
        found.bytes += len(value)
    found.metadata += len(call.initial) + len(call.trailing)


def _count_head(head: RequestHead, found: Contents) -> None:
    number = head.count
    found.heads += 1
    found.fields += number
    found.bytes += head.size - FIELD_OVERHEAD * number
