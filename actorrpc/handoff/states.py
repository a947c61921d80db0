"""The two-phase handoff as two tables: a missing row is an event that cannot happen.

The source keeps its socket and state until it has sent COMMIT. The target serves at COMMIT, or when the
source is dead: the link's end after READY says so, because a source that gives up says ABORT first and
serves again only when the kernel has that ABORT. So at every moment one process owns the connection.

    source                                              target

    SERVING
       │ move                                           (nothing)
    QUIESCING ── stuck ─────────────► SERVING
       │ quiet
    FROZEN ───── unfit ─────────────► SERVING
       │ offered          ── PREPARE(fd, snapshot) ──►  NEW ── unfit ──► REFUSED
       │                                                 │ thawed
    IN_FLIGHT ── refused, link lost ► SERVING            │
       │  │                                              │
       │  └ overdue ► ABORTING ──── ABORT ────────────► PREPARED ── abort ─► DISCARDED
       │                 └ abort sent, link lost ► SERVING │  │
       │ ready  ◄──────────────── READY ─────────────────┘  └ link lost ──► SERVING
       ▼                  ── COMMIT ──────────────────►  SERVING
     MOVED
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = [
    "SOURCE",
    "TARGET",
    "SourceAction",
    "SourceEvent",
    "SourceState",
    "TargetAction",
    "TargetEvent",
    "TargetState",
]


class SourceState(Enum):
    QUIESCING = auto()
    FROZEN = auto()
    IN_FLIGHT = auto()
    ABORTING = auto()
    #: The end of a move that led to nothing: this hub serves the connection.
    SERVING = auto()
    #: The end of a move: another hub serves it.
    MOVED = auto()
    #: The connection was closed before it was offered.
    GONE = auto()


class SourceEvent(Enum):
    QUIET = auto()
    STUCK = auto()
    OFFERED = auto()
    UNFIT = auto()
    CLOSED = auto()
    READY = auto()
    REFUSED = auto()
    OVERDUE = auto()
    ABORT_SENT = auto()
    LINK_LOST = auto()


class SourceAction(Enum):
    FREEZE = auto()
    WAIT = auto()
    RESUME = auto()
    COMMIT = auto()
    ABORT = auto()
    FORGET = auto()


S, E, A = SourceState, SourceEvent, SourceAction

SOURCE: dict[tuple[SourceState, SourceEvent], tuple[SourceState, SourceAction]] = {
    (S.QUIESCING, E.QUIET): (S.FROZEN, A.FREEZE),
    (S.QUIESCING, E.STUCK): (S.SERVING, A.RESUME),
    (S.QUIESCING, E.OVERDUE): (S.SERVING, A.RESUME),
    (S.QUIESCING, E.LINK_LOST): (S.SERVING, A.RESUME),
    (S.QUIESCING, E.CLOSED): (S.GONE, A.FORGET),
    (S.FROZEN, E.OFFERED): (S.IN_FLIGHT, A.WAIT),
    (S.FROZEN, E.UNFIT): (S.SERVING, A.RESUME),
    (S.IN_FLIGHT, E.READY): (S.MOVED, A.COMMIT),
    (S.IN_FLIGHT, E.REFUSED): (S.SERVING, A.RESUME),
    (S.IN_FLIGHT, E.LINK_LOST): (S.SERVING, A.RESUME),
    (S.IN_FLIGHT, E.OVERDUE): (S.ABORTING, A.ABORT),
    # The target's answer crossed our ABORT, which settles the matter when the target reads it.
    (S.ABORTING, E.READY): (S.ABORTING, A.WAIT),
    (S.ABORTING, E.REFUSED): (S.ABORTING, A.WAIT),
    (S.ABORTING, E.OVERDUE): (S.ABORTING, A.WAIT),
    (S.ABORTING, E.ABORT_SENT): (S.SERVING, A.RESUME),
    (S.ABORTING, E.LINK_LOST): (S.SERVING, A.RESUME),
}


class TargetState(Enum):
    NEW = auto()
    PREPARED = auto()
    #: The ends: this hub serves the connection; it never took it; it has let it go again.
    SERVING = auto()
    REFUSED = auto()
    DISCARDED = auto()


class TargetEvent(Enum):
    THAWED = auto()
    UNFIT = auto()
    COMMIT = auto()
    ABORT = auto()
    LINK_LOST = auto()


class TargetAction(Enum):
    SAY_READY = auto()
    REFUSE = auto()
    SERVE = auto()
    DISCARD = auto()


TARGET: dict[tuple[TargetState, TargetEvent], tuple[TargetState, TargetAction]] = {
    (TargetState.NEW, TargetEvent.THAWED): (TargetState.PREPARED, TargetAction.SAY_READY),
    (TargetState.NEW, TargetEvent.UNFIT): (TargetState.REFUSED, TargetAction.REFUSE),
    (TargetState.PREPARED, TargetEvent.COMMIT): (TargetState.SERVING, TargetAction.SERVE),
    (TargetState.PREPARED, TargetEvent.LINK_LOST): (TargetState.SERVING, TargetAction.SERVE),
    (TargetState.PREPARED, TargetEvent.ABORT): (TargetState.DISCARDED, TargetAction.DISCARD),
}
