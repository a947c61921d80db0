"""What the broker asks its hubs for `actorrpc why` and `top`: about one connection, and the heaviest."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.event import AsyncResult

from actorrpc.broker.moves.hub_questions import PATIENT_SEARCH, SEARCH, actor_row, connection_row
from actorrpc.broker.processes.hub_process import Answer, HubProcess
from actorrpc.pb import control_pb2

__all__ = ["Found", "Heaviest", "find", "list_heaviest"]

#: How long a hub may take to answer.
ANSWER = 2.0
#: Between two looks for a connection that no hub has.
PAUSE = 0.02
#: Of each hub no more are named in one answer to `top`.
OF_EACH = 32


@dataclass(frozen=True)
class Found:
    """Which process has a connection or keyed actor, and what that says of it; ``process`` None: none has it.
    ``silent`` are those that do not answer."""

    process: HubProcess | None
    described: control_pb2.Described
    silent: list[HubProcess] = field(default_factory=list)

    @property
    def row(self) -> dict[str, Any]:
        """The form of ``actorrpc why --json``, as far as the hub knows it."""
        assert self.process is not None
        described = self.described
        is_actor = described.HasField("actor")
        if is_actor:
            row = actor_row(self.process, described.actor)
            row = {"id": f"{row['service']}/{row['key']}", "recent": round(described.actor.recent, 4)} | row
        else:
            row = connection_row(self.process, described.connection)
            del row["cpu"], row["actors"]  # since that was last asked, by whomever
            row["recent"] = round(described.connection.recent, 4)
        kind = "actor" if is_actor else "connection"
        return {"kind": kind, **row, "rank": described.rank, "of": described.count}


def find(processes: Iterable[HubProcess], id: str, first: int | None, arriving: bool = False) -> Found:
    """Find who has a connection or keyed actor. The process with the serial ``first`` is asked before the
    others, and all of them again, as long as for a move: it may be on its way between two of them.
    ``arriving`` as for ``hub_questions.move``."""
    asked = list(processes)
    deadline = time.monotonic() + (PATIENT_SEARCH if arriving else SEARCH)
    found = _ask([process for process in asked if process.serial == first], id)
    if found.process is not None:
        return found
    while True:
        found = _ask([process for process in asked if process not in found.silent], id, found.silent)
        if found.process is not None or time.monotonic() >= deadline:
            return found
        gevent.sleep(PAUSE)


def _ask(processes: list[HubProcess], id: str, silent: Iterable[HubProcess] = ()) -> Found:
    question = control_pb2.Describe(id=id)
    results = {each: each.ask(control_pb2.ToHub(describe=question)) for each in processes}
    gevent.wait(list(results.values()), timeout=ANSWER)
    quiet = [*silent]
    for process, result in results.items():
        answer = result.value
        if not isinstance(answer, control_pb2.Described):
            quiet.append(process)
        elif answer.HasField("connection") or answer.HasField("actor"):
            return Found(process, answer)
    return Found(None, control_pb2.Described(), quiet)


@dataclass(frozen=True)
class Heaviest:
    """The heaviest connections and keyed actors of all hubs, the heaviest first, in the form of ``actorrpc
    connections --json`` and ``actors --json``, with their ``kind`` and ``recent``."""

    rows: list[dict[str, Any]]
    #: Not all that may match have been looked at.
    more: bool
    silent: list[HubProcess]


def list_heaviest(processes: Iterable[HubProcess], limit: int, match: str) -> Heaviest:
    """No more than ``limit``, and of each hub ``OF_EACH``, of those that have ``match`` in them."""
    question = control_pb2.ListHeaviest(limit=min(limit, OF_EACH), match=match)
    results: dict[HubProcess, AsyncResult[Answer | None]] = {
        each: each.ask(control_pb2.ToHub(list_heaviest=question)) for each in processes
    }
    gevent.wait(list(results.values()), timeout=ANSWER)
    answers = {
        process: result.value
        for process, result in results.items()
        if isinstance(result.value, control_pb2.Heaviest)
    }
    named: list[tuple[float, HubProcess, control_pb2.Connection | control_pb2.KeyedActor]] = []
    for process, answer in answers.items():
        named += [(each.load, process, each) for each in answer.connections]
        named += [(each.load, process, each) for each in answer.actors]
    named.sort(key=lambda each: each[0], reverse=True)
    rows = [_heavy_row(process, each) for _, process, each in named[:limit]]
    more = any(answer.more for answer in answers.values())
    return Heaviest(rows, more, [process for process in results if process not in answers])


def _heavy_row(process: HubProcess, named: control_pb2.Connection | control_pb2.KeyedActor) -> dict[str, Any]:
    if isinstance(named, control_pb2.KeyedActor):
        row = {"kind": "actor", "id": f"{named.service}/{named.key}", **actor_row(process, named)}
    else:
        row = {"kind": "connection", **connection_row(process, named)}
    return {**row, "recent": round(named.recent, 4)}
