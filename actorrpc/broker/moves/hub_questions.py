"""What the broker asks its hubs, to move a connection or to list them all, and what the answers mean."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.event import AsyncResult

from actorrpc.broker.processes.hub_process import Answer, HubProcess
from actorrpc.pb import control_pb2
from actorrpc.pb.control_pb2 import MoveResult

__all__ = [
    "MOVE_GRACE",
    "Verdict",
    "actor_row",
    "connection_row",
    "judge",
    "list_actors",
    "list_connections",
    "move",
    "move_question",
]

#: How late after the question a hub may begin with a move. After that it refuses: whoever asked may have been
#: told that the move failed.
BEGIN_WITHIN = 2.0
#: How much longer than the quiesce timeout the answer to a move may take: ``BEGIN_WITHIN``, the time that a
#: target has to get ready, and a reserve.
MOVE_GRACE = BEGIN_WITHIN + 6.0

#: How long a hub may take to name one page of its connections.
LISTING = 2.0
#: How often hubs are asked again that do not name what has just come to them: what lies in a link is read at
#: the latest in the step of the loop after that in which a question was.
MORE_LOOKS = 2
#: How long a connection that no hub has is looked for: it may be on its way between two hubs. The pauses
#: begin short, since that does not take long, and double.
SEARCH, FIRST_PAUSE, LONGEST_PAUSE = 1.0, 0.001, 0.05
#: The same of one that is known to be on its way: the hub that it goes to may be very busy.
PATIENT_SEARCH = 8.0
#: How long the answer of a hub is waited for that may just have moved the connection to its target.
LAST_WORD = 0.2
#: How long only the hub that most likely has the connection is asked. Nearly all moves take less: a target
#: that is asked during the move may say that the connection is there already.
HEAD_START = 1.0


def list_connections(
    processes: Iterable[HubProcess], arriving: Mapping[str, int] | None = None
) -> tuple[list[dict[str, Any]], list[HubProcess]]:
    """Return the rows of ``actorrpc connections --json``, and the processes that do not answer to the end.

    ``arriving`` are connections that have moved lately, with the serials of their targets: these may not have
    read of it when they are asked, and are asked again for one that is missing. It may have ended, too.
    """
    asked, arriving = list(processes), arriving or {}
    rows, silent = _list(asked)
    for _ in range(MORE_LOOKS):
        missing = {serial for id, serial in arriving.items() if id not in rows}
        found, _ = _list([each for each in asked if each.serial in missing and each not in silent])
        rows.update(found)
    return list(rows.values()), silent


def _list(processes: Iterable[HubProcess]) -> tuple[dict[str, dict[str, Any]], list[HubProcess]]:
    listings = [_Listing(process) for process in processes]
    gevent.joinall([gevent.spawn(listing.run) for listing in listings])
    rows = {row["id"]: row for listing in listings for row in listing.rows}
    return rows, [listing.process for listing in listings if not listing.complete]


def list_actors(processes: Iterable[HubProcess]) -> tuple[list[dict[str, Any]], list[HubProcess]]:
    """Return the rows of ``actorrpc actors --json``, and the processes that do not answer to the end. What
    moves meanwhile is named once, and may be missing."""
    listings = [_ActorListing(process) for process in processes]
    gevent.joinall([gevent.spawn(listing.run) for listing in listings])
    rows = {(row["service"], row["key"]): row for listing in listings for row in listing.rows}
    return [rows[name] for name in sorted(rows)], [each.process for each in listings if not each.complete]


class _Listing:
    """The connections of one hub, which names them a page at a time, so as not to hold up its clients."""

    def __init__(self, process: HubProcess) -> None:
        self.process = process
        self.rows: list[dict[str, Any]] = []
        self.complete = False

    def run(self) -> None:
        """Ask until it has named all, or does not answer."""
        after = 0
        while not self.complete:
            answer = self.process.ask(self.question(after)).wait(timeout=LISTING)  # None if it takes longer
            if not isinstance(answer, control_pb2.Connections | control_pb2.Actors):
                return
            self.rows.extend(self.found(answer))
            after, self.complete = answer.more, not answer.more

    def question(self, after: int) -> control_pb2.ToHub:
        return control_pb2.ToHub(list_connections=control_pb2.ListConnections(after=after))

    def found(self, answer: Any) -> list[dict[str, Any]]:
        """The rows of a page."""
        return [connection_row(self.process, row) for row in answer.connections]


class _ActorListing(_Listing):
    """The keyed actors of one hub."""

    def question(self, after: int) -> control_pb2.ToHub:
        return control_pb2.ToHub(list_actors=control_pb2.ListActors(after=after))

    def found(self, answer: Any) -> list[dict[str, Any]]:
        return [actor_row(self.process, row) for row in answer.actors]


def actor_row(process: HubProcess, actor: control_pb2.KeyedActor) -> dict[str, Any]:
    """One of ``actorrpc actors --json``."""
    return {
        "service": actor.service,
        "key": actor.key,
        "hub": process.hub,
        "generation": process.generation,
        "serial": process.serial,
        "calls": actor.calls,
        "state_bytes": actor.state_bytes,
        "load": round(actor.load, 4),
        "movable": actor.movable,
        "why": actor.why,
        "running": round(actor.running, 1),
        "move_ms": round(actor.move_ms, 1),
        "age": round(actor.age, 1),
        "idle": round(actor.idle, 1),
        "moved": actor.moves,
    }


def connection_row(process: HubProcess, connection: control_pb2.Connection) -> dict[str, Any]:
    """One of ``actorrpc connections --json``."""
    return {
        "id": connection.id,
        "hub": process.hub,
        "generation": process.generation,
        "serial": process.serial,
        "peer": connection.peer,
        "services": list(connection.services),
        "calls": connection.calls,
        "state_bytes": connection.state_bytes,
        "cpu": round(connection.cpu, 4),
        "movable": connection.movable,
        "why": connection.why,
        "actors": {name: round(share, 4) for name, share in sorted(connection.actors.items())},
        "load": round(connection.load, 4),
        "freeze_ms": round(connection.freeze_ms, 3),
        "age": round(connection.age, 1),
        "identities": connection.identities,
        "move_ms": round(connection.move_ms, 1),
        "running": round(connection.running, 1),
        "moved": connection.moves,
        "awaits": connection.awaits,
    }


@dataclass(frozen=True)
class Verdict:
    """What came of a request to move a connection. ``unknown``: no hub has it."""

    moved: bool
    text: str
    unknown: bool = False
    #: The hub that has it and has not moved it, and why not.
    hub: int | None = field(default=None, compare=False)
    why: str = field(default="", compare=False)


def move(
    processes: Iterable[HubProcess],
    connection: str,
    target: HubProcess,
    timeout: float,
    first: int | None = None,
    arriving: bool = False,
) -> Verdict:
    """Have the hub that serves the connection move it to a process, within ``timeout`` seconds.

    The process with the serial ``first`` is asked first, and all the others only where it does not know the
    connection. ``arriving``: it has moved lately, so that some hub has it, and may not know yet.
    """
    asked = list(processes)
    search = _Search(connection, target.serial)
    search.ask([process for process in asked if process.serial == first])
    if not search.found_within(HEAD_START):
        search.ask([process for process in asked if process.serial != first])
        search.go_on(asked, PATIENT_SEARCH if arriving else SEARCH)
        search.found_within(timeout)
    search.hear_source(target)
    return judge(search.answers, connection, target)


class _Search:
    """Looks for the hub that has a connection, and asks it to move it.

    The connection may be on its way between two hubs, also while a third is silent, or dead without the
    broker having noticed: so hubs that do not know the connection are asked again.
    """

    def __init__(self, connection: str, target: int) -> None:
        self._connection, self._target = connection, target
        #: The answer to the last question, once it is there.
        self._results: dict[HubProcess, AsyncResult[Answer | None]] = {}

    @property
    def answers(self) -> dict[HubProcess, MoveResult | None]:
        """What each process has answered last, None for silence."""
        values = {process: result.value for process, result in self._results.items()}
        return {each: value if isinstance(value, MoveResult) else None for each, value in values.items()}

    def ask(self, processes: Iterable[HubProcess]) -> None:
        question = move_question(self._connection, self._target)
        self._results.update({process: process.ask(question) for process in processes})

    def found_within(self, seconds: float) -> bool:
        """Wait until a hub says that it has the connection, or all have answered."""
        results = gevent.iwait(list(self._results.values()), timeout=seconds)
        return any(_knows(result.value) for result in results)

    def hear_source(self, target: HubProcess) -> None:
        """If the target alone says that it has the connection, the answer of the hub which has just moved it
        there may be due: wait for that for a moment."""
        if [process for process, answer in self.answers.items() if _knows(answer)] == [target]:
            others = [result for process, result in self._results.items() if process is not target]
            gevent.wait(others, timeout=LAST_WORD)

    def go_on(self, processes: Collection[HubProcess], seconds: float) -> None:
        """Ask all that have answered again and again, until one has the connection."""
        deadline = time.monotonic() + seconds
        pause = FIRST_PAUSE
        while not self.found_within(pause) and time.monotonic() < deadline:
            if all(result.ready() for result in self._results.values()):
                gevent.sleep(pause)
            self.ask([process for process in processes if self._results[process].ready()])
            pause = min(2 * pause, LONGEST_PAUSE)


def move_question(
    connection: str, target: int, by: control_pb2.Move.Asker = control_pb2.Move.PERSON
) -> control_pb2.ToHub:
    """To a hub: move this connection to the process with that serial, now or not at all."""
    until = time.monotonic() + BEGIN_WITHIN
    move = control_pb2.Move(connection=connection, target=target, until=until, by=by)
    return control_pb2.ToHub(move=move)


def _knows(answer: Answer | None) -> bool:
    """Whether the hub that answered has the connection."""
    return isinstance(answer, MoveResult) and answer.outcome != MoveResult.UNKNOWN_CONNECTION


def judge(answers: Mapping[HubProcess, MoveResult | None], connection: str, target: HubProcess) -> Verdict:
    """What the hubs' answers, None for silence, mean together."""
    # The target last: it may have been asked when the connection had just come.
    for process in sorted(answers, key=lambda process: process is target):
        if (answer := answers[process]) is not None and _knows(answer):
            return _verdict(process, answer, connection, target)
    silent = ", ".join(str(process.hub) for process, answer in answers.items() if answer is None)
    if silent:
        return Verdict(
            False, f"{connection} is not on any hub that answers, and hub {silent} does not answer"
        )
    what = "actor" if "/" in connection else "connection"
    return Verdict(False, f"no such {what}: {connection}", unknown=True)


def _verdict(process: HubProcess, answer: MoveResult, connection: str, target: HubProcess) -> Verdict:
    """What the answer of the process that has the connection means."""
    if answer.outcome != MoveResult.MOVED:
        no_link = answer.outcome == MoveResult.UNKNOWN_HUB
        why = f"it has no link to hub {target.hub}" if no_link else answer.why
        stays = f"{connection} stays on hub {process.hub}: {why}"
        return Verdict(False, stays, hub=process.hub, why=why)
    if process is target:
        return Verdict(True, f"{connection} is already on hub {target.hub}")
    return Verdict(True, f"moved {connection} to hub {target.hub}")
