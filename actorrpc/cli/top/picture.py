"""What the broker has answered: hubs, and the heaviest connections and keyed actors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from actorrpc.pb.admin_pb2 import Reply

__all__ = ["Hub", "Picture", "Row"]


@dataclass(frozen=True)
class Hub:
    """One process of a hub, as the status has it."""

    id: int
    pid: int | None
    generation: int | None
    serial: int | None
    state: str
    connections: int
    cpu: float
    busy: float
    lag_ms: float
    memory: int
    over_memory: bool
    #: Calls that have begun in this process.
    calls: int
    #: How far its drain is; None: it is not drained.
    draining: Mapping[str, Any] | None


@dataclass(frozen=True)
class Row:
    """A connection, or a keyed actor: then ``id`` is its service and key."""

    kind: str
    id: str
    hub: int
    peer: str
    services: tuple[str, ...]
    calls: int
    state_bytes: int
    load: float
    recent: float
    age: float
    moved: int
    movable: bool
    why: str
    running: float

    def has(self, text: str) -> bool:
        """Whether it has a text, in lower case, in its id, its client's address or a service."""
        return any(text in each.lower() for each in (self.id, self.peer, *self.services))


@dataclass(frozen=True)
class Picture:
    """One answer. ``at`` is when it was given, on the machine's monotonic clock."""

    at: float = 0.0
    broker: int = 0
    addresses: tuple[str, ...] = ()
    policy: str = ""
    paused: bool = False
    moves: Mapping[str, float] = field(default_factory=dict)
    reload: Mapping[str, Any] | None = None
    scale: Mapping[str, Any] | None = None
    hubs: tuple[Hub, ...] = ()
    rows: tuple[Row, ...] = ()
    #: Not all connections that may match have been looked at.
    more: bool = False
    warnings: tuple[str, ...] = ()

    @staticmethod
    def of(reply: Reply) -> Picture:
        """Read an answer to ``Request.Top``."""
        found = json.loads(reply.json)
        status = found["status"]
        return Picture(
            at=found["at"],
            broker=status["broker_pid"],
            addresses=tuple(each["address"] for each in status["addresses"]),
            policy=status["rebalance"]["policy"],
            paused=status["rebalance"]["paused"],
            moves=status["moves"],
            reload=status["reload"],
            scale=status["scale"],
            hubs=tuple(map(_hub, status["hubs"])),
            rows=tuple(map(_row, found["heaviest"])),
            more=found["more"],
            warnings=tuple(reply.warnings),
        )


def _hub(row: Mapping[str, Any]) -> Hub:
    return Hub(
        id=row["id"],
        pid=row["pid"],
        generation=row["generation"],
        serial=row["serial"],
        state=row["state"],
        connections=row["connections"],
        cpu=row["cpu"],
        busy=row["busy"],
        lag_ms=row["lag_p99_ms"],
        memory=row["memory"],
        over_memory=row["over_memory"],
        calls=row["calls"],
        draining=row["draining"],
    )


def _row(row: Mapping[str, Any]) -> Row:
    return Row(
        kind=row["kind"],
        id=row["id"],
        hub=row["hub"],
        peer=row.get("peer", ""),
        services=(row["service"],) if row["kind"] == "actor" else tuple(row["services"]),
        calls=row["calls"],
        state_bytes=row["state_bytes"],
        load=row["load"],
        recent=row["recent"],
        age=row["age"],
        moved=row["moved"],
        movable=row["movable"],
        why=row["why"],
        running=row["running"],
    )
