"""What `actorrpc top` shows of one hub: its heaviest connections and keyed actors.

A few dozen of them, once a second: what would take long to find out is as in the last report.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from time import monotonic

from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.keyed.activation import Activation
from actorrpc.hub.moving.obstacles import what_runs, why_pinned, why_unquiet
from actorrpc.hub.serving.connection import Connection
from actorrpc.pb import control_pb2

__all__ = ["MOST", "list_heaviest"]

#: No more are named in one answer, which takes a millisecond.
MOST = 64
#: For how many seconds it is looked for those that match, and how many are looked at in between.
LOOKING = 0.002
_LOOKS = 64


def list_heaviest(
    known: Iterable[CallStage], all: Iterable[CallStage], services: Iterable[str], limit: int, match: str
) -> control_pb2.Heaviest:
    """The first ``limit`` that match: of those whose load is known, the heaviest first, then of all others.
    ``match`` is in lower case, "" for all; ``services`` are those of the app."""
    answer = control_pb2.Heaviest()
    names = {name for name in services if match in name.lower()}
    for stage in islice(_matching(answer, known, all, match, names), min(limit, MOST)):
        if isinstance(stage, Activation):
            answer.actors.append(_actor(stage))
        elif isinstance(stage, Connection):
            answer.connections.append(_connection(stage))
    return answer


def _matching(
    answer: control_pb2.Heaviest,
    known: Iterable[CallStage],
    all: Iterable[CallStage],
    match: str,
    names: Collection[str],
) -> Iterator[CallStage]:
    """Those that have the match in their ids or peers, or actors of the services with these names."""
    seen = set()
    for stage in known:
        seen.add(stage.id)
        if _has(stage, match, names):
            yield stage
    until = monotonic() + LOOKING
    for at, stage in enumerate(all):
        if match and not at % _LOOKS and monotonic() > until:
            answer.more = True
            return
        if stage.id not in seen and _has(stage, match, names):
            yield stage


def _has(stage: CallStage, match: str, names: Collection[str]) -> bool:
    if match in stage.id.lower() or match in stage.peer.lower():
        return True
    return bool(names) and any(cell.name in names for cell in stage.cells.values())


def _obstacle(stage: CallStage) -> tuple[str, float]:
    """Why it cannot move, or no policy moves it, and for how many seconds what it waits for has been
    running."""
    pinned = why_pinned(stage)
    if not pinned and (running := what_runs(stage)) is not None:
        return f"{running[0]} running", monotonic() - running[1]
    return pinned or why_unquiet(stage), 0.0


def _heavy(stage: CallStage) -> str:
    return f"no policy moves it: {stage.usage.too_heavy}" if stage.usage.too_heavy else ""


def _connection(connection: Connection) -> control_pb2.Connection:
    why, running = _obstacle(connection)
    usage, now = connection.usage, monotonic()
    return control_pb2.Connection(
        id=connection.id,
        peer=connection.peer,
        services=sorted({cell.name for cell in connection.cells.values()}),
        calls=len(connection.calls),
        state_bytes=usage.state_bytes,
        cpu=usage.recent(now),
        load=usage.load(now),
        recent=usage.recent(now),
        age=now - usage.born,
        identities=len(connection.cells.identities or ()),
        movable=not why,
        why=why or _heavy(connection),
        running=running,
        move_ms=usage.move_ms,
        freeze_ms=usage.freeze_ms,
        moves=connection.moves,
    )


def _actor(activation: Activation) -> control_pb2.KeyedActor:
    why, running = _obstacle(activation)
    usage, now = activation.usage, monotonic()
    service, key = activation.name
    return control_pb2.KeyedActor(
        service=service,
        key=key,
        calls=len(activation.calls),
        state_bytes=usage.state_bytes,
        load=usage.load(now),
        recent=usage.recent(now),
        movable=not why,
        why=why or _heavy(activation),
        running=running,
        move_ms=usage.move_ms,
        age=now - usage.born,
        idle=activation.idle_for,
        moves=activation.moves,
    )
