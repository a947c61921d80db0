"""What `actorrpc connections`, `actors` and `why` show of one hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import monotonic

from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.keyed.activation import Activation
from actorrpc.hub.metering.usage import shares
from actorrpc.hub.moving.move_cost import Cost, too_long
from actorrpc.hub.moving.obstacles import what_runs, why_pinned, why_unquiet
from actorrpc.hub.serving.connection import Connection
from actorrpc.net.peers import Unserved
from actorrpc.pb import control_pb2

__all__ = ["describe", "describe_actor", "describe_any", "describe_unserved", "list_actors", "list_some"]

#: How long the others wait while some connections are described, in seconds: a hundred take so long.
LISTING = 0.002

#: A place among those that are not served yet has this bit, and their numbers are below it.
_UNSERVED = 1 << 63
_LAST = _UNSERVED - 1

Price = Callable[[Connection], Cost]


def list_some(
    connections: Mapping[str, Connection],
    unserved: Callable[[], Iterable[Unserved]],
    id: Callable[[int], str],
    price: Price,
    after: int,
) -> control_pb2.Connections:
    """Those after a place, 0 for the first: as many as ``LISTING`` seconds allow. ``more`` is the place to go
    on from, and ``price`` says what moving one would cost.

    Those come first that are not served yet, whose number says the ``id``: one that is served meanwhile is
    named again, and none is missing.
    """
    page = control_pb2.Connections()
    until = monotonic() + LISTING
    if not after or after & _UNSERVED:
        if _list_unserved(page, unserved(), id, after, until):
            return page
        after = 0
    for connection in connections.values():  # in the order of their places
        if connection.place <= after:
            continue
        if page.connections and monotonic() > until:
            page.more = after or _UNSERVED | _LAST
            break
        page.connections.append(describe(connection, price(connection)))
        after = connection.place
    return page


def _list_unserved(
    page: control_pb2.Connections,
    unserved: Iterable[Unserved],
    id: Callable[[int], str],
    after: int,
    until: float,
) -> bool:
    """Put them on a page; returns whether it is full."""
    after &= _LAST
    rows = [each for each in unserved if each.remote.number > after]
    for each in sorted(rows, key=lambda each: each.remote.number):
        if page.connections and monotonic() > until:
            page.more = _UNSERVED | after
            return True
        page.connections.append(describe_unserved(each, id(each.remote.number)))
        after = each.remote.number
    return False


def describe_unserved(unserved: Unserved, id: str) -> control_pb2.Connection:
    """One that is not served yet, and is to have this id."""
    return control_pb2.Connection(
        id=id,
        peer=unserved.remote.peer,
        age=monotonic() - unserved.since,
        why=unserved.why,
        awaits=unserved.awaits,
    )


def list_actors(
    activations: Mapping[str, Activation], price: Callable[[CallStage], Cost], after: int
) -> control_pb2.Actors:
    """The same of keyed actors."""
    page = control_pb2.Actors()
    until = monotonic() + LISTING
    for activation in activations.values():
        if activation.place <= after:
            continue
        if page.actors and monotonic() > until:
            page.more = after
            break
        page.actors.append(describe_actor(activation, price(activation)))
        after = activation.place
    return page


def describe_actor(activation: Activation, cost: Cost) -> control_pb2.KeyedActor:
    """One of them, whose move would cost so much."""
    why, running, too_heavy = _obstacles(activation, cost)
    usage, now = activation.usage, monotonic()
    service, key = activation.name
    return control_pb2.KeyedActor(
        service=service,
        key=key,
        calls=len(activation.calls),
        state_bytes=activation.cells.state_bytes,
        load=usage.load(now),
        recent=usage.recent(now),
        movable=not why,
        why=why or too_heavy,
        running=running,
        move_ms=cost.total * 1e3,
        age=now - usage.born,
        idle=activation.idle_for,
        moves=activation.moves,
    )


def _obstacles(stage: CallStage, cost: Cost) -> tuple[str, float, str]:
    """Why it cannot move, and for how many seconds that has been running; and why no policy moves it."""
    pinned = why_pinned(stage)
    why = pinned or why_unquiet(stage)
    running = None if pinned else what_runs(stage)
    heavy = "" if why else too_long(cost, stage.resources.config.max_move_time)
    since = monotonic() - running[1] if running is not None else 0.0
    return why, since, heavy and f"no policy moves it: {heavy}"


def describe_any(stage: CallStage | None, cost: Callable[[CallStage], Cost]) -> control_pb2.Described:
    """A connection or a keyed actor; None: it is not here."""
    if isinstance(stage, Activation):
        return control_pb2.Described(actor=describe_actor(stage, cost(stage)))
    if isinstance(stage, Connection):
        return control_pb2.Described(connection=describe(stage, cost(stage), shared=False))
    return control_pb2.Described()


def describe(connection: Connection, cost: Cost, *, shared: bool = True) -> control_pb2.Connection:
    """One of them, whose move would cost so much. ``shared``: with what its services have taken since that
    was last asked; else ``cpu`` is smoothed over about a second."""
    why, running, too_heavy = _obstacles(connection, cost)
    usage, cells = connection.usage, connection.cells
    now = monotonic()
    share = usage.share() if shared else usage.recent(now)
    return control_pb2.Connection(
        id=connection.id,
        peer=connection.peer,
        services=sorted({cell.name for cell in cells.values()}),
        calls=len(connection.calls),
        state_bytes=cells.state_bytes,
        cpu=share,
        actors=shares([(cell.name, cell.part) for cell in cells.values()], share) if shared else None,
        identities=len(cells.identities or ()),
        load=usage.load(now),
        recent=usage.recent(now),
        freeze_ms=usage.freeze_ms,
        age=now - usage.born,
        movable=not why,
        why=why or too_heavy,
        running=running,
        move_ms=cost.total * 1e3,
        moves=connection.moves,
    )
