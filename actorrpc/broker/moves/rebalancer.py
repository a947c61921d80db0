"""Decides nothing: it shows a policy (``balancing.policies``) what the hubs report, twice a second, and
carries out the moves that this decides on.

Users may write policies. A policy runs in a thread of its own, so that the broker does not hang with it; what
it raises is logged, and what it decides is checked before anything is done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import gevent
from gevent import get_hub
from gevent.event import AsyncResult, Event

from actorrpc.balancing.decide import MOVES_AT_ONCE, Decisions, PolicyFailed, decide
from actorrpc.balancing.policies.simple import Nothing
from actorrpc.balancing.recorder import Recorder
from actorrpc.balancing.view import (
    KEPT,
    ConnectionLoad,
    Explains,
    History,
    HubLoad,
    Move,
    Past,
    Policy,
    Stay,
    View,
)
from actorrpc.broker.moves.hub_questions import MOVE_GRACE, move_question
from actorrpc.broker.moves.journal import BY_OTHERS, Journal
from actorrpc.broker.moves.relief import LOW, Relief
from actorrpc.broker.processes.hub_process import Answer, HubProcess
from actorrpc.config import Config
from actorrpc.forks import users_code
from actorrpc.log import about
from actorrpc.loop.duties import brief, reason
from actorrpc.pb import control_pb2

__all__ = ["PERIOD", "PLAN_TIMEOUT", "Rebalancer", "hub_load"]

log = logging.getLogger("actorrpc.broker")

#: Seconds between two plans. Hubs report twice as often.
PERIOD = 0.5
#: How long a plan may take; for 1,000 hubs the built-in policies take 50 ms.
PLAN_TIMEOUT = 1.0
#: Who asks for a move away from a hub that has too much memory, in the journal.
BY_MEMORY = "--max-memory"
#: So many seconds ago a decision not to move something still says why it stays.
LATELY = 10.0
#: The same failure of a policy is logged no more often than this, in seconds.
COMPLAINT_PAUSE = 60.0


class Rebalancer:
    """Asks a policy, which users know by ``name``, twice a second, from ``start`` to the end of the block."""

    def __init__(self, name: str, policy: Policy) -> None:
        self.name = name
        self.paused = False
        self.journal = Journal()
        self._policy = policy
        self._relief = Relief(0)
        self._serving: Callable[[], Sequence[HubProcess]] = list
        self._config: Callable[[], Config] = Config
        self._recorder: Recorder | None = None
        #: Writes down what the journal has of the past, for another broker.
        self._write: Callable[[], None] = lambda: None
        self._history = History()
        #: The policy's moves that have been asked for, by connection.
        self._under_way: dict[str, Move] = {}
        #: Moves that have ended: a plan must not see its history change.
        self._news: list[Past] = []
        self._planning = False
        self._plan_ms = 0.0
        self._wake = Event()
        self._greenlet: Any = None

    def start(
        self,
        serving: Callable[[], Sequence[HubProcess]],
        config: Callable[[], Config],
        recorder: Recorder | None,
        write: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin to ask the policy. ``serving()`` returns the hubs that serve, and ``config()`` what they were
        told; a reload may change both. ``write()`` writes down what ``journal.past`` has."""
        self._write = write
        self._serving = serving
        self._config = config
        self._recorder = recorder
        self._greenlet = gevent.spawn(self._run)

    def __enter__(self) -> Rebalancer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._greenlet is not None:
            self._greenlet.kill()
        self._write()

    def pause(self) -> str:
        self.paused = True
        return "paused: no moves are begun until `actorrpc rebalance resume`"

    def resume(self) -> str:
        self.paused = False
        self._wake.set()
        return f"policy {self.name} moves connections"

    def now(self) -> str:
        """Plan at once, also while paused, and say what has been begun."""
        if not self._serving():
            return "no hub serves yet"
        if self._planning:
            return "the policy is still busy with its last plan"
        try:
            moves, stays = self._plan()
        except PolicyFailed as error:
            return f"policy {self.name} {error}"
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
            "under_way": len(self._under_way),
            "plan_ms": round(self._plan_ms, 3),
        }

    def why_stays(self, hub: int, connection: ConnectionLoad) -> str:
        """What the policy says of a connection that can move, and does not; "" if it says nothing."""
        if connection.id in self._under_way:
            return "it is being moved"
        if self.paused:
            return "rebalancing is paused, until `actorrpc rebalance resume`"
        if isinstance(self._policy, Nothing):
            return "the policy none moves nothing"
        now = time.monotonic()
        if isinstance(self._policy, Explains) and not self._planning:
            view = View(now, self._loads(now), self._history)
            return self._explained(self._policy, view, hub, connection)
        since = datetime.now(timezone.utc) - timedelta(seconds=LATELY)
        subjects = (connection.id, f"hub {hub}", "")
        return self.journal.why_stays(subjects, since.isoformat(timespec="milliseconds"))

    def _explained(self, policy: Explains, view: View, hub: int, connection: ConnectionLoad) -> str:
        self._planning = True
        result: AsyncResult[str] = get_hub().threadpool.spawn(_why_stays, policy, view, hub, connection)
        result.rawlink(self._planned)
        return result.wait(PLAN_TIMEOUT) or ""

    def hub_moved(
        self,
        source: int,
        target: int,
        moved: control_pb2.Moved,
        cause: str = "",
        generation: int | None = None,
    ) -> None:
        """A handoff has ended, whoever asked for it; ``cause`` and ``generation`` as in ``Journal.ended``.
        What goes to another process of its hub is no policy's concern."""
        move = Move(moved.connection, source, target, BY_OTHERS)
        self.journal.ended(move, moved.aborted, moved.pause_ms, cause, generation)
        if source == target:
            return
        ours = self._under_way.get(moved.connection)
        foreign = ours is None or (ours.source, ours.target) != (move.source, move.target)
        if foreign and len(self._news) < KEPT:  # a bound, in case the policy never returns
            now = time.monotonic()
            began = now - moved.pause_ms / 1000
            self._news.append(Past(move, began, now, moved.aborted, moved.of_connection))
        if self._recorder is not None:
            self._recorder.moved(moved.connection, source, target, moved.aborted)

    def _run(self) -> None:
        while True:
            self._wake.wait(PERIOD)
            self._wake.clear()
            try:
                self._write()
                if self._recorder is not None:
                    self._recorder.reported(self._loads(time.monotonic()).values())
                if not self.paused:
                    self._relieve()
                if self.paused and not self._planning:
                    self._tell_history()
                elif not self._planning:
                    self._plan()
            except PolicyFailed as error:
                self._complain(str(error), error=error.__cause__)
            except Exception:
                log.exception("error in the rebalancer, which goes on")

    def _loads(self, now: float) -> dict[int, HubLoad]:
        return {process.hub: self._load(process, now) for process in self._serving()}

    def _load(self, process: HubProcess, now: float) -> HubLoad:
        config = self._config()
        return hub_load(process, now, config.max_connections, config.max_memory)

    def _relieve(self) -> None:
        """Move connections away from hubs that have too much memory, whatever the policy decides, or none.

        The policy hears of it as of what a person moves: it may be in the middle of a plan.
        """
        if (limit := self._config().max_memory) != self._relief.limit:
            self._relief = Relief(limit)
        if not limit:
            return
        now = time.monotonic()
        hubs = [(process.load, self._load(process, now)) for process in self._serving()]
        for move in self._relief.plan(now, hubs, self._under_way):
            self._begin(move, BY_MEMORY)

    def _tell_history(self) -> None:
        """Add what has ended since the last plan. A policy that has broken its history gets a new one."""
        news, self._news = self._news, []
        try:
            for past in news:
                known = self._history.in_flight.get(past.move.connection)
                if known is not None and known.move is past.move:
                    ended = past.ended or past.began
                    self._history.ended(past.move.connection, ended, past.aborted, past.of_connection)
                else:
                    self._history.heard(past)
        except Exception as error:
            self._history = History()
            self._complain("has changed its history, and gets a new one", error=error)

    def _plan(self) -> tuple[list[Move], list[Stay]]:
        """Ask the policy, and begin its moves. Returns those, and what it lets stay.

        Raises PolicyFailed.
        """
        self._tell_history()
        now = time.monotonic()
        view = View(now, self._loads(now), self._history)
        decisions = self._ask(view)
        for fault, example in decisions.faults.items():
            self._complain(f"is not obeyed: {fault}", example)
        for stay in decisions.stays:
            self.journal.stayed(stay, self.name)
        begun = [move for move in decisions.moves if self._begin(move, self.name)]
        for move in begun:
            self._history.begun(move, now)
        return begun, decisions.stays

    def _ask(self, view: View) -> Decisions:
        """What the policy decides. Raises PolicyFailed if it raises, or takes too long."""
        self._planning = True
        began = time.monotonic()
        under_way = frozenset(self._under_way)
        result: AsyncResult[Decisions | PolicyFailed] = get_hub().threadpool.spawn(
            _decisions, self._policy, view, under_way
        )
        result.rawlink(self._planned)
        decided = result.wait(PLAN_TIMEOUT)
        if not result.ready():
            raise PolicyFailed(
                f"takes longer than {PLAN_TIMEOUT} s; it is not asked again until it comes back"
            )
        self._plan_ms = (time.monotonic() - began) * 1000
        if isinstance(decided, Decisions):
            return decided
        raise decided or PolicyFailed("could not be asked")

    def _planned(self, result: Any) -> None:
        self._planning = False

    def _begin(self, move: Move, by: str) -> bool:
        """Ask for a move; False if it must wait."""
        processes = {process.hub: process for process in self._serving()}
        source, target = processes.get(move.source), processes.get(move.target)
        if source is None or target is None or len(self._under_way) >= MOVES_AT_ONCE:
            return False
        self._under_way[move.connection] = move
        self.journal.begun(move, by)
        gevent.spawn(self._move, source, target.serial, move)
        return True

    def _move(self, source: HubProcess, target: int, move: Move) -> None:
        began = time.monotonic()
        answer: Answer | None = None
        try:
            question = move_question(move.connection, target, control_pb2.Move.POLICY)
            answer = source.ask(question).wait(self._config().quiesce_timeout + MOVE_GRACE)
            aborted = _why_aborted(move, answer)
        except Exception as error:
            ids = about(hub=move.source, connection=move.connection)
            log.exception("%r could not be asked for", move, extra=ids)
            aborted = f"it could not be asked for: {reason(error)}"
        of_connection = isinstance(answer, control_pb2.MoveResult) and answer.of_connection
        del self._under_way[move.connection]
        self.journal.settled(move, aborted)
        self._news.append(Past(move, began, time.monotonic(), aborted, of_connection))

    def _complain(self, what: str, example: str = "", error: BaseException | None = None) -> None:
        # What it raised is known by the place; its text may be another each time.
        kind = about(what if error is None else "", lines=1, seconds=COMPLAINT_PAUSE)
        like = example and f", as in {example}"
        log.error("policy %s %s%s", self.name, what, like, exc_info=error, extra=kind)

    def __repr__(self) -> str:
        state = "paused" if self.paused else "running"
        return f"<Rebalancer {self.name} {state}, {len(self._under_way)} moves under way>"


def _decisions(policy: Policy, view: View, under_way: frozenset[str]) -> Decisions | PolicyFailed:
    """In a thread: what it raised there would be reported by gevent, too."""
    try:
        with users_code():
            return decide(policy, view, under_way)
    except PolicyFailed as failure:
        return failure


def _why_stays(policy: Explains, view: View, hub: int, connection: ConnectionLoad) -> str:
    """In a thread, as ``_decisions``."""
    try:
        with users_code():
            return brief(str(policy.why_stays(view, hub, connection)))
    except BaseException as error:
        return f"the policy cannot say: {reason(error)}"


def _why_aborted(move: Move, answer: Answer | None) -> str:
    if not isinstance(answer, control_pb2.MoveResult):
        return f"hub {move.source} does not answer"
    if answer.outcome == control_pb2.MoveResult.MOVED:
        return ""
    return answer.why or "it cannot be moved"


def hub_load(process: HubProcess, now: float, limit: int, max_memory: int = 0) -> HubLoad:
    """What a hub has last reported, as policies see it. ``limit`` is --max-connections, 0 for none, and so is
    ``max_memory``: a hub that comes near it has no room."""
    load = process.load
    room = max(limit - load.connections, 0) if limit else None
    return HubLoad(
        hub=process.hub,
        busy=load.busy,
        connections=load.connections,
        heaviest=[_connection_load(each) for each in load.heaviest],
        others=[_connection_load(each) for each in load.others],
        lag_ms=load.lag_p99_ms,
        room=0 if max_memory and load.memory > LOW * max_memory else room,
        serving=process.state == "serving",
        stale=now - process.reported,
        groups=dict(load.groups),
    )


def _connection_load(row: control_pb2.ConnectionLoad) -> ConnectionLoad:
    return ConnectionLoad(
        row.id,
        row.load,
        row.recent,
        row.state_bytes,
        row.freeze_ms,
        row.age,
        row.why,
        row.group,
        row.move_ms,
        row.too_heavy,
    )
