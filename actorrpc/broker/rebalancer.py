"""Runs a policy over what the hubs report, and its moves.

A policy is the user's to write. It runs in a thread of its own, so that one that does not come back keeps
nobody waiting; what it raises is logged, and what it decides is checked before anything is done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import gevent
from gevent import get_hub
from gevent.event import AsyncResult, Event

from actorrpc.broker.balancer import KEPT, ConnectionLoad, History, HubLoad, Move, Past, Policy, Stay, View
from actorrpc.broker.journal import Journal
from actorrpc.broker.process import HubProcess
from actorrpc.broker.recording import Recording
from actorrpc.config import Config
from actorrpc.pb import control_pb2

__all__ = ["MOVES_AT_ONCE", "PERIOD", "PLAN_TIMEOUT", "Rebalancer", "hub_load"]

log = logging.getLogger("actorrpc.broker")

#: Seconds between two plans. Hubs report twice as often.
PERIOD = 0.5
#: What a plan may take; 1,000 hubs take the built-in policies 50 ms.
PLAN_TIMEOUT = 1.0
#: Moves under way together; what a policy asks for beyond that, it may ask for again.
MOVES_AT_ONCE = 64
#: What the answer to a move may take longer than the quiesce timeout.
MOVE_GRACE = 6.0
#: The same failure of a policy is logged no more often than this, in seconds.
COMPLAINT_PAUSE = 60.0


class PolicyFailed(Exception):
    """Its text goes on where "policy NAME" begins."""


class Rebalancer:
    """Asks a policy, which users know by ``name``, twice a second while the block runs and it is started."""

    def __init__(self, name: str, policy: Policy, config: Config) -> None:
        self.name = name
        self.paused = False
        self.journal = Journal()
        self._policy = policy
        self._limit = config.max_connections
        self._patience = config.quiesce_timeout + MOVE_GRACE
        self._serving: Callable[[], Sequence[HubProcess]] = list
        self._recording: Recording | None = None
        self._history = History()
        #: Moves that have ended since the last plan: a plan must not see its history change.
        self._news: list[Past] = []
        self._planning = False
        self._plan_ms = 0.0
        self._complained: dict[str, float] = {}
        self._wake = Event()
        self._greenlet: Any = None

    def start(self, serving: Callable[[], Sequence[HubProcess]], recording: Recording | None) -> None:
        """From now on ``serving()`` are the hubs that can be asked."""
        self._serving = serving
        self._recording = recording
        self._greenlet = gevent.spawn(self._run)

    def __enter__(self) -> Rebalancer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._greenlet is not None:
            self._greenlet.kill()

    # ---- what users ask

    def pause(self) -> str:
        self.paused = True
        return "paused: no moves are begun until `actorrpc rebalance resume`"

    def resume(self) -> str:
        self.paused = False
        self._wake.set()
        return f"policy {self.name} moves connections"

    def now(self) -> str:
        """Plan at once, also while paused, and say what has been begun."""
        if self._planning:
            return "the policy is still busy with its last plan"
        try:
            decided = self._plan()
        except PolicyFailed as error:
            return f"policy {self.name} {error}"
        moves = [each for each in decided if isinstance(each, Move)]
        stays = [each for each in decided if isinstance(each, Stay)]
        lines = [
            f"{move.connection} from hub {move.source} to {move.target}: {move.reason}" for move in moves
        ]
        lines += [f"{stay.what or 'nothing'} stays: {stay.reason}" for stay in stays]
        return "\n".join([f"{len(moves)} move{'s' * (len(moves) != 1)} begun", *lines])

    def status(self) -> dict[str, Any]:
        """What ``actorrpc status --json`` has under ``rebalance``."""
        return {
            "policy": self.name,
            "paused": self.paused,
            "under_way": len(self._history.in_flight),
            "plan_ms": round(self._plan_ms, 3),
        }

    # ---- what the hubs say

    def hub_moved(self, process: HubProcess, moved: control_pb2.Moved) -> None:
        """A handoff has ended, whoever asked for it."""
        move = Move(moved.connection, process.hub, moved.target, "asked for")
        self.journal.ended(move, moved.aborted, moved.pause_ms)
        if moved.connection not in self._history.in_flight and len(self._news) < KEPT:
            self._news.append(Past(move, time.monotonic(), aborted=moved.aborted))
        if self._recording is not None:
            self._recording.moved(moved.connection, process.hub, moved.target, moved.aborted)

    # ---- the loop

    def _run(self) -> None:
        while True:
            self._wake.wait(PERIOD)
            self._wake.clear()
            try:
                if self._recording is not None:
                    self._recording.report(self._loads(time.monotonic()).values())
                if not self.paused and not self._planning:
                    self._plan()
            except PolicyFailed as error:
                self._complain(str(error), error.__cause__)
            except Exception:
                log.exception("error in the rebalancer, which goes on")

    def _loads(self, now: float) -> dict[int, HubLoad]:
        return {process.hub: hub_load(process, now, self._limit) for process in self._serving()}

    def _plan(self) -> list[Move | Stay]:
        """Ask the policy, and carry out what it decides. Returns what was begun, and what shall stay."""
        now = time.monotonic()
        for past in self._news:
            self._history.in_flight.setdefault(past.move.connection, past)
            self._history.ended(past.move.connection, now, past.aborted)
        self._news.clear()
        view = View(now, self._loads(now), self._history)
        return [each for each in self._ask(view) if self._carry_out(each, view)]

    def _ask(self, view: View) -> list[Move | Stay]:
        """What the policy decides. Raises PolicyFailed if it raises, or takes too long."""
        self._planning = True
        began = time.monotonic()
        result: AsyncResult[list[Move | Stay] | Exception] = get_hub().threadpool.spawn(
            _decisions, self._policy, view
        )
        result.rawlink(self._planned)
        decided = result.wait(PLAN_TIMEOUT)
        if decided is None:
            raise PolicyFailed(
                f"takes longer than {PLAN_TIMEOUT} s; it is not asked again until it comes back"
            )
        self._plan_ms = (time.monotonic() - began) * 1000
        if isinstance(decided, Exception):
            raise PolicyFailed(f"raised {type(decided).__name__}: {decided}") from decided
        return decided

    def _planned(self, result: Any) -> None:
        self._planning = False

    def _carry_out(self, decision: Move | Stay, view: View) -> bool:
        """Write down a decision and begin it; False if it is none, or cannot be begun."""
        if isinstance(decision, Stay):
            self.journal.stayed(decision, self.name)
            return True
        if fault := _fault(decision, view):
            self._complain(f"asked for {decision!r}: {fault}")
            return False
        process = next((each for each in self._serving() if each.hub == decision.source), None)
        if process is None or len(view.history.in_flight) >= MOVES_AT_ONCE:
            return False
        view.history.begun(decision, view.now)
        self.journal.begun(decision, self.name)
        gevent.spawn(self._move, process, decision)
        return True

    def _move(self, process: HubProcess, move: Move) -> None:
        question = control_pb2.ToHub(move=control_pb2.Move(connection=move.connection, target=move.target))
        answer = process.ask(question).wait(self._patience)
        if not isinstance(answer, control_pb2.MoveResult):
            aborted = f"hub {move.source} does not answer"
        elif answer.outcome == control_pb2.MoveResult.MOVED:
            aborted = ""
        else:
            aborted = answer.why or "it cannot be moved"
        self.journal.settled(move, aborted)
        self._news.append(Past(move, time.monotonic(), aborted=aborted))

    def _complain(self, what: str, error: BaseException | None = None) -> None:
        now = time.monotonic()
        if now - self._complained.get(what, -COMPLAINT_PAUSE) < COMPLAINT_PAUSE:
            return
        if len(self._complained) > 100:
            self._complained.clear()
        self._complained[what] = now
        log.error("policy %s %s", self.name, what, exc_info=error)

    def __repr__(self) -> str:
        state = "paused" if self.paused else "running"
        return f"<Rebalancer {self.name} {state}, {len(self._history.in_flight)} moves under way>"


def _decisions(policy: Policy, view: View) -> list[Move | Stay] | Exception:
    """In a thread: what the policy decides, or what it raised."""
    try:
        return list(policy.plan(view))
    except Exception as error:
        return error


def _fault(decision: object, view: View) -> str:
    """What is wrong with a decision of a policy; "" if it can be begun."""
    if not isinstance(decision, Move):
        return "it is neither a Move nor a Stay"
    if decision.source == decision.target:
        return "source and target are one hub"
    for hub in (decision.source, decision.target):
        if hub not in view.loads:
            return f"there is no hub {hub}"
    if decision.connection in view.history.in_flight:
        return "the connection is being moved already"
    return ""


def hub_load(process: HubProcess, now: float, limit: int) -> HubLoad:
    """What a hub has last reported, as policies see it. ``limit`` is --max-connections, 0 for none."""
    load = process.load
    return HubLoad(
        hub=process.hub,
        busy=load.busy,
        connections=load.connections,
        heaviest=[_connection_load(each) for each in load.heaviest],
        others=[_connection_load(each) for each in load.others],
        lag_ms=load.lag_p99_ms,
        room=max(limit - load.connections, 0) if limit else None,
        serving=process.state == "serving",
        stale=now - process.reported,
        groups=dict(load.groups),
    )


def _connection_load(row: control_pb2.ConnectionLoad) -> ConnectionLoad:
    return ConnectionLoad(
        row.id, row.load, row.recent, row.state_bytes, row.freeze_ms, row.age, row.why, row.group
    )
