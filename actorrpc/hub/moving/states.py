"""The two-phase handoff as two tables: a missing row is an event that cannot happen.

Who has the socket owns the connection. It travels with COMMIT, the last message of a handoff: until the
kernel has taken that message the source has the only descriptor, and from then on the target. So at every
moment one process owns the connection, whatever becomes of the link; and since nobody else holds a
descriptor, the owner's death closes the connection at once.

    source                                              target

    SERVING
       │ move                                           (nothing)
    QUIESCING ── stuck, link lost ──► SERVING
       │ quiet
    FROZEN ───── unfit ─────────────► SERVING
       │ offered            ── PREPARE(snapshot) ────►  NEW ── unfit ──► REFUSED
       │                                                 │ thawed
    IN_FLIGHT ── refused, link lost ► SERVING            │
       │  └───── overdue ─── ABORT ─► SERVING         PREPARED ── abort, link lost ──► DISCARDED
       │ ready  ◄──────────────── READY ─────────────────┤
    COMMITTING ─ unfit ───── ABORT ─► SERVING            │
       │  └───── link lost ─────────► SERVING            │
       │ commit sent        ── COMMIT(socket) ───────►   │ commit
       ▼                                                 ▼
     MOVED                                            SERVING

A connection that is closed before the target has it makes its source GONE.
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
    #: The target is ready, and the kernel has not taken COMMIT yet.
    COMMITTING = auto()
    #: The end of a move that led to nothing: this hub serves the connection.
    SERVING = auto()
    #: The end of a move: another hub serves it.
    MOVED = auto()
    #: The connection was closed before the target had it.
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
    COMMIT_SENT = auto()
    LINK_LOST = auto()


class SourceAction(Enum):
    FREEZE = auto()
    WAIT = auto()
    RESUME = auto()
    COMMIT = auto()
    #: Say ABORT, so that the target drops what it holds, and serve. Nobody waits for that ABORT to arrive.
    ABORT = auto()
    RELEASE = auto()
    FORGET = auto()
    #: Say ABORT about a connection that has been closed.
    ABANDON = auto()


S, E, A = SourceState, SourceEvent, SourceAction

SOURCE: dict[tuple[SourceState, SourceEvent], tuple[SourceState, SourceAction]] = {
    (S.QUIESCING, E.QUIET): (S.FROZEN, A.FREEZE),
    (S.QUIESCING, E.STUCK): (S.SERVING, A.RESUME),
    (S.QUIESCING, E.OVERDUE): (S.SERVING, A.RESUME),
    (S.QUIESCING, E.LINK_LOST): (S.SERVING, A.RESUME),
    (S.QUIESCING, E.CLOSED): (S.GONE, A.FORGET),
    (S.FROZEN, E.OFFERED): (S.IN_FLIGHT, A.WAIT),
    (S.FROZEN, E.UNFIT): (S.SERVING, A.RESUME),
    (S.IN_FLIGHT, E.READY): (S.COMMITTING, A.COMMIT),
    (S.IN_FLIGHT, E.REFUSED): (S.SERVING, A.RESUME),
    (S.IN_FLIGHT, E.LINK_LOST): (S.SERVING, A.RESUME),
    (S.IN_FLIGHT, E.OVERDUE): (S.SERVING, A.ABORT),
    (S.IN_FLIGHT, E.CLOSED): (S.GONE, A.ABANDON),
    (S.COMMITTING, E.COMMIT_SENT): (S.MOVED, A.RELEASE),
    (S.COMMITTING, E.UNFIT): (S.SERVING, A.ABORT),
    (S.COMMITTING, E.LINK_LOST): (S.SERVING, A.RESUME),
    # COMMIT cannot be taken back from the link's queue: only its end, or the kernel, decides now.
    (S.COMMITTING, E.OVERDUE): (S.COMMITTING, A.WAIT),
    (S.COMMITTING, E.CLOSED): (S.GONE, A.FORGET),
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
    #: COMMIT came without the socket, for which this process had no room. The client sees a close.
    SOCKET_LOST = auto()
    ABORT = auto()
    LINK_LOST = auto()


class TargetAction(Enum):
    SAY_READY = auto()
    REFUSE = auto()
    SERVE = auto()
    DISCARD = auto()
    #: The source can say nothing more: find out whose it is. Of a keyed actor only.
    ASK = auto()


TARGET: dict[tuple[TargetState, TargetEvent], tuple[TargetState, TargetAction]] = {
    (TargetState.NEW, TargetEvent.THAWED): (TargetState.PREPARED, TargetAction.SAY_READY),
    (TargetState.NEW, TargetEvent.UNFIT): (TargetState.REFUSED, TargetAction.REFUSE),
    (TargetState.PREPARED, TargetEvent.COMMIT): (TargetState.SERVING, TargetAction.SERVE),
    (TargetState.PREPARED, TargetEvent.SOCKET_LOST): (TargetState.DISCARDED, TargetAction.DISCARD),
    (TargetState.PREPARED, TargetEvent.ABORT): (TargetState.DISCARDED, TargetAction.DISCARD),
    (TargetState.PREPARED, TargetEvent.LINK_LOST): (TargetState.DISCARDED, TargetAction.DISCARD),
}
