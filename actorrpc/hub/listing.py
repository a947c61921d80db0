"""What `actorrpc connections` shows of the connections of one hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

from actorrpc.hub.metering.usage import shares
from actorrpc.hub.moving.move_cost import Cost, too_long
from actorrpc.hub.moving.obstacles import what_runs, why_pinned, why_unquiet
from actorrpc.hub.serving.connection import Connection
from actorrpc.pb import control_pb2

__all__ = ["describe", "list_some"]

#: How long the others wait while some connections are described, in seconds: a hundred take so long.
LISTING = 0.002

Price = Callable[[Connection], Cost]


def list_some(connections: Mapping[str, Connection], price: Price, after: int) -> control_pb2.Connections:
    """Those after a place, 0 for the first: as many as ``LISTING`` seconds allow. ``more`` is the place to go
    on from, and ``price`` says what moving one would cost."""
    page = control_pb2.Connections()
    until = monotonic() + LISTING
    for connection in connections.values():  # in the order of their places
        if connection.place <= after:
            continue
        if page.connections and monotonic() > until:
            page.more = after
            break
        page.connections.append(describe(connection, price(connection)))
        after = connection.place
    return page


def describe(connection: Connection, cost: Cost) -> control_pb2.Connection:
    """One of them, whose move would cost so much."""
    pinned = why_pinned(connection)
    why = pinned or why_unquiet(connection)
    running = None if pinned else what_runs(connection)
    usage = connection.usage
    now = monotonic()
    share = usage.share()
    too_heavy = "" if why else too_long(cost, connection.resources.config.max_move_time)
    return control_pb2.Connection(
        id=connection.id,
        peer=connection.peer,
        services=sorted({cell.name for cell in connection.cells.values()}),
        calls=len(connection.calls),
        state_bytes=connection.cells.state_bytes,
        cpu=share,
        actors=shares([(cell.name, cell.part) for cell in connection.cells.values()], share),
        identities=len(connection.cells.identities or ()),
        load=usage.load(now),
        freeze_ms=usage.freeze_ms,
        age=now - usage.born,
        movable=not why,
        why=why or (too_heavy and f"no policy moves it: {too_heavy}"),
        running=now - running[1] if running is not None else 0.0,
        move_ms=cost.total * 1e3,
    )
