"""Why a connection cannot move now, in words for `actorrpc connections` and the logs."""

from __future__ import annotations

from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.phase import CLOSED, CLOSING
from actorrpc.hub.serving.connection import Connection

__all__ = ["what_runs", "why_pinned", "why_unquiet"]


def why_pinned(connection: CallStage) -> str:
    """Why the connection cannot move, however long one waits; "" if it can."""
    if connection.phase.state in (CLOSING, CLOSED):
        return "it is being closed"
    if isinstance(connection, Connection) and (why := connection.pinned):
        return why
    for call in connection.calls.values():
        if call.iterator is not None and not call.cursor_set:
            return f"the iterable that {call.method} returned is not exhausted, and sets no call.cursor"
    return ""


def why_unquiet(connection: CallStage) -> str:
    """What a freeze has to wait for; "" if nothing.

    The words say nothing that grows, so that those of many connections can be counted: see ``what_runs``.
    """
    if (running := what_runs(connection)) is not None:
        return f"{running[0]} running"
    for call in connection.calls.values():
        if call.receiver.on_its_way:
            return f"a call of {call.route.method.name} has not reached its actor"
    if connection.schedule.running:
        return "the handler of a call that has ended still runs"
    if connection.host.unacknowledged:
        return "published messages are not acknowledged"
    if connection.host.tells:
        return "what was told to other actors has not reached them"
    for subscription in connection.host.subscriptions:
        if subscription.pending:
            return f"the subscription to {subscription.group!r} is not established"
    return ""


def what_runs(connection: CallStage) -> tuple[str, float] | None:
    """Which handler or hook a freeze has to wait for first, if any, and since when it runs, on the monotonic
    clock."""
    for call in connection.calls.values():
        if call.runner is not None:
            what = "on_call before" if call.receiver.admits else "handler"
            return f"{what} {call.route.method.name}", call.since
    for cell in connection.cells.values():
        if cell.hook:
            return f"{cell.hook} of {cell.name}", cell.since
    return None
