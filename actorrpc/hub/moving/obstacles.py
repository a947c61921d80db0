"""Why a connection cannot move now, in words for `actorrpc connections` and the logs."""

from __future__ import annotations

from time import monotonic

from actorrpc.hub.phase import CLOSED, CLOSING
from actorrpc.hub.serving.connection import Connection

__all__ = ["why_pinned", "why_unquiet"]


def why_pinned(connection: Connection) -> str:
    """Why the connection cannot move, however long one waits; "" if it can."""
    if connection.phase.state in (CLOSING, CLOSED):
        return "it is being closed"
    for call in connection.calls.values():
        if call.iterator is not None and not call.cursor_set:
            return f"the iterable that {call.method} returned is not exhausted, and sets no call.cursor"
    return ""


def why_unquiet(connection: Connection) -> str:
    """What a freeze has to wait for; "" if nothing."""
    now = monotonic()
    for call in connection.calls.values():
        if call.runner is not None:
            what = "on_call before" if call.receiver.admits else "handler"
            return f"{what} {call.route.method.name} running for {now - call.since:.1f} s"
    for cell in connection.cells.values():
        if cell.hook:
            return f"{cell.hook} of {cell.name} running for {now - cell.since:.1f} s"
    if connection.schedule.running:
        return "the handler of a call that has ended still runs"
    if connection.host.unacknowledged:
        return f"{connection.host.unacknowledged} published messages are not acknowledged"
    for subscription in connection.host.subscriptions:
        if subscription.pending:
            return f"the subscription to {subscription.group!r} is not established"
    return ""
