"""Where a topic's messages go: out on the call that subscribed, or into the mailbox of the actor that did.

These are the ``Sink``s of ``actorrpc.hub.topics.engine``.
"""

from __future__ import annotations

import logging
from sys import intern
from typing import Any

from actorrpc.errors import StatusCode
from actorrpc.hub.actors.cell import Cell
from actorrpc.hub.actors.stage import Stage
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.metering.rates import counted_as
from actorrpc.hub.phase import FROZEN, label
from actorrpc.log import about

__all__ = ["ActorSink", "CallSink", "may_have_more"]

log = logging.getLogger("actorrpc.hub")

#: Topic messages that wait for an actor, and their bytes, beyond which its topics wait at their homes.
MAX_WAITING = 1024
MAX_WAITING_BYTES = 4 * 1024 * 1024


class _Sink:
    __slots__ = ("_connection",)

    def __init__(self, connection: Stage) -> None:
        self._connection = connection

    @property
    def frozen(self) -> bool:
        return self._connection.phase.state == FROZEN

    def begun(self) -> None:
        self._connection.host.settled()

    def lost(self, topic: str, first: int, last: int) -> None:
        log.error(
            "subscription to %r on %s fell too far behind: messages %d to %d are lost",
            topic,
            label(self._connection.id),
            first,
            last,
            extra=about(connection=self._connection.id),
        )


class CallSink(_Sink):
    """Sends a topic's messages on a call, whose own flow control bounds what waits there."""

    __slots__ = ("_call", "_type")

    def __init__(self, connection: Stage, call: ServerCall[Any]) -> None:
        super().__init__(connection)
        self._call = call
        self._type = intern(call.route.method.reply.DESCRIPTOR.full_name)

    def take(self, topic: str, type: str, payload: bytes) -> bool:
        call = self._call
        if type == self._type:
            call.send_published(payload)
        else:
            log.error(
                "topic %r: a %s was published, and %s sends %s",
                counted_as(topic),
                type,
                call.method,
                self._type,
                extra=about(call.method, connection=self._connection.id, call=call.id),
            )
            call.stop(StatusCode.INTERNAL, "a topic carried a message of another type")
        return True

    def lost(self, topic: str, first: int, last: int) -> None:
        """The call ends with DATA_LOSS rather than skip messages silently."""
        super().lost(topic, first, last)
        self._call.stop(StatusCode.DATA_LOSS, f"messages of {topic!r} were lost")

    def __repr__(self) -> str:
        return f"<CallSink {self._call!r}>"


class ActorSink(_Sink):
    """Makes turns of a topic's messages, as many as may wait. That some were lost, an actor is told in the
    log only."""

    __slots__ = ("_cell",)

    def __init__(self, connection: Stage, cell: Cell) -> None:
        super().__init__(connection)
        self._cell = cell

    def take(self, topic: str, type: str, payload: bytes) -> bool:
        cell = self._cell
        waiting, size = cell.topic_turns, cell.topic_bytes + len(payload)
        if waiting and (waiting >= MAX_WAITING or size > MAX_WAITING_BYTES):
            self._connection.host.leave_behind(cell, topic)
            return False
        cell.push_topic(topic, type, payload)
        cell.schedule.ready(cell)
        return True

    def __repr__(self) -> str:
        return f"<ActorSink {self._cell!r}>"


def may_have_more(cell: Cell) -> bool:
    """Whether an actor has taken half of what may wait for it, so that it is worthwhile to ask again."""
    return cell.topic_turns <= MAX_WAITING // 2 and cell.topic_bytes <= MAX_WAITING_BYTES // 2
