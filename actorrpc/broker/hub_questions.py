"""What the broker asks its hubs, and what it makes of the answers."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import AsyncResult

from actorrpc.broker.hub_process import Answer, HubProcess
from actorrpc.pb import control_pb2
from actorrpc.pb.control_pb2 import MoveResult

__all__ = ["MOVE_GRACE", "Verdict", "judge", "list_connections", "move", "move_question"]

#: How late after the question a hub may begin with a move. After that it refuses: whoever asked may have been
#: told that the move failed.
BEGIN_WITHIN = 2.0
#: How much longer than the quiesce timeout the answer to a move may take: ``BEGIN_WITHIN``, the time that a
#: target has to get ready, and a reserve.
MOVE_GRACE = BEGIN_WITHIN + 6.0

#: How long a hub may take to name one page of its connections.
LISTING = 2.0
#: How long a connection that no hub has is looked for: it may be on its way between two hubs. The pauses
#: begin short, since that does not take long, and double.
SEARCH, FIRST_PAUSE, LONGEST_PAUSE = 1.0, 0.001, 0.05
#: How long only the hub that most likely has the connection is asked. Nearly all moves take less: a target
#: that is asked during the move may say that the connection is there already.
HEAD_START = 1.0


def list_connections(processes: Iterable[HubProcess]) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the rows of ``actorrpc connections --json``, and the hubs that have not named them all."""
    listings = [_Listing(process) for process in processes]
    gevent.joinall([gevent.spawn(listing.run) for listing in listings])
    rows = {row["id"]: row for listing in listings for row in listing.rows}
    return list(rows.values()), [listing.hub for listing in listings if not listing.complete]


class _Listing:
    """The connections of one hub, which names them a page at a time, so as not to hold up its clients."""

    def __init__(self, process: HubProcess) -> None:
        self.hub = process.hub
        self.rows: list[dict[str, Any]] = []
        self.complete = False
        self._process = process

    def run(self) -> None:
        """Ask until it has named all, or does not answer."""
        after = 0
        while not self.complete:
            wanted = control_pb2.ListConnections(after=after)
            result = self._process.ask(control_pb2.ToHub(list_connections=wanted))
            answer = result.wait(timeout=LISTING)  # None if it takes longer
            if not isinstance(answer, control_pb2.Connections):
                return
            self.rows.extend(_row(self.hub, row) for row in answer.connections)
            after, self.complete = answer.more, not answer.more


def _row(hub: int, connection: control_pb2.Connection) -> dict[str, Any]:
    return {
        "id": connection.id,
        "hub": hub,
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
    }


@dataclass(frozen=True)
class Verdict:
    """What came of a request to move a connection. ``unknown``: no hub has it."""

    moved: bool
    text: str
    unknown: bool = False


def move(
    processes: Iterable[HubProcess], connection: str, target: int, timeout: float, first: int | None = None
) -> Verdict:
    """Have the hub that serves the connection move it, within ``timeout`` seconds.

    Hub ``first`` is asked first, and the others only if it does not know the connection.
    """
    asked = list(processes)
    search = _Search(connection, target)
    search.ask([process for process in asked if process.hub == first])
    if not search.found_within(HEAD_START):
        search.ask([process for process in asked if process.hub != first])
        search.go_on(asked, SEARCH)
        search.found_within(timeout)
    return judge(search.answers, connection, target)


class _Search:
    """Looks for the hub that has a connection, and asks it to move it.

    The connection may be on its way between two hubs, also while a third is silent, or dead without the
    broker having noticed: so hubs that do not know the connection are asked again.
    """

    def __init__(self, connection: str, target: int) -> None:
        self._connection, self._target = connection, target
        #: By hub: the answer to the last question, once it is there.
        self._results: dict[int, AsyncResult[Answer | None]] = {}

    @property
    def answers(self) -> dict[int, MoveResult | None]:
        """What each hub has answered last, None for silence."""
        values = {hub: result.value for hub, result in self._results.items()}
        return {hub: value if isinstance(value, MoveResult) else None for hub, value in values.items()}

    def ask(self, processes: Iterable[HubProcess]) -> None:
        question = move_question(self._connection, self._target)
        self._results.update({process.hub: process.ask(question) for process in processes})

    def found_within(self, seconds: float) -> bool:
        """Wait until a hub says that it has the connection, or all have answered."""
        results = gevent.iwait(list(self._results.values()), timeout=seconds)
        return any(_knows(result.value) for result in results)

    def go_on(self, processes: Collection[HubProcess], seconds: float) -> None:
        """Ask all that have answered again and again, until one has the connection."""
        deadline = time.monotonic() + seconds
        pause = FIRST_PAUSE
        while not self.found_within(pause) and time.monotonic() < deadline:
            if all(result.ready() for result in self._results.values()):
                gevent.sleep(pause)
            self.ask([process for process in processes if self._results[process.hub].ready()])
            pause = min(2 * pause, LONGEST_PAUSE)


def move_question(
    connection: str, target: int, by: control_pb2.Move.Asker = control_pb2.Move.PERSON
) -> control_pb2.ToHub:
    """Ask a hub to move a connection, now or not at all."""
    until = time.monotonic() + BEGIN_WITHIN
    move = control_pb2.Move(connection=connection, target=target, until=until, by=by)
    return control_pb2.ToHub(move=move)


def _knows(answer: Answer | None) -> bool:
    """Whether the hub that answered has the connection."""
    return isinstance(answer, MoveResult) and answer.outcome != MoveResult.UNKNOWN_CONNECTION


def judge(answers: Mapping[int, MoveResult | None], connection: str, target: int) -> Verdict:
    """What the hubs' answers mean together; None stands for a hub that has not answered."""
    # The target last: it may have been asked when the connection had just come.
    for hub in sorted(answers, key=lambda hub: hub == target):
        if (answer := answers[hub]) is not None and _knows(answer):
            return _verdict(hub, answer, connection, target)
    silent = ", ".join(str(hub) for hub, answer in answers.items() if answer is None)
    if silent:
        return Verdict(
            False, f"{connection} is not on any hub that answers, and hub {silent} does not answer"
        )
    return Verdict(False, f"no such connection: {connection}", unknown=True)


def _verdict(hub: int, answer: MoveResult, connection: str, target: int) -> Verdict:
    """What the answer of the hub that has the connection means."""
    if answer.outcome != MoveResult.MOVED:
        why = answer.why or f"hub {hub} has no link to hub {target}"
        return Verdict(False, f"{connection} stays on hub {hub}: {why}")
    if hub == target:
        return Verdict(True, f"{connection} is already on hub {target}")
    return Verdict(True, f"moved {connection} to hub {target}")
