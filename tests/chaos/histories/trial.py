"""One trial: clients, moves and troubles for a while, and everything that was wrong with it."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.chaos.histories.clients import Clients, Failure
from tests.chaos.histories.history import check
from tests.chaos.histories.saboteur import CALM, HUBS, VIOLENT, Brokers, Mover, Saboteur, Trouble
from tests.support.server_process import served

__all__ = ["APP", "Outcome", "Plan", "judge", "trial"]

APP = "tests.apps.tally:app"
#: How a call may end that a trouble has struck.
STRUCK = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
#: Seconds, for whoever reads of a failure.
NEAR = 5.0
#: What a caller is told whose actor died.
ENDED = "the hub has ended"
_NAME = re.compile("'.*'")


@dataclass(frozen=True)
class Plan:
    seconds: float
    seed: int = 1
    kinds: tuple[str, ...] = (*CALM, *VIOLENT)
    callers: int = 12
    connections: int = 6
    listeners: int = 3
    keys: int = 8
    #: The longest pause between two moves of a key and a connection, in seconds.
    pause: float = 0.1


@dataclass
class Outcome:
    """``wrong`` is empty if all is well."""

    operations: int = 0
    activations: int = 0
    #: Turns that ran in another process than the one before them.
    moves_seen: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    #: By status, those that a trouble excuses.
    failed: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in ("operations", "activations", "moves_seen")}
        counted = ("counts", "failed", "troubles", "moved", "refused")
        counts = {name: dict(getattr(self, name)) for name in counted}
        return {**plain, **counts, "violations": len(self.wrong)}


def judge(failures: Iterable[Failure], troubles: Iterable[Trouble]) -> list[Failure]:
    """Those that no trouble excuses: what goes on while nobody dies or is stopped does not fail. And where a
    hub was only stopped, nobody is told that it has ended."""
    violent = [each for each in troubles if each.violent]
    deadly = [each for each in violent if each.what == "kill a hub"]
    return [
        failure
        for failure in failures
        if failure.status not in STRUCK or not _strikes(deadly if ENDED in failure.why else violent, failure)
    ]


def _strikes(troubles: list[Trouble], failure: Failure) -> bool:
    return any(each.began <= failure.ended and failure.began <= each.ended for each in troubles)


def trial(plan: Plan, progress: Callable[[Clients, Saboteur], object] = lambda *_: None) -> Outcome:
    """Serve, call, make trouble, and look at what the clients have noted."""
    keys = [f"key {number}" for number in range(plan.keys)]
    actors = [f"tally.Tally/{key}" for key in keys]
    options = ("--drain-timeout", 30)
    with TemporaryDirectory(prefix="tally-") as folder, ExitStack() as stack:
        book = Path(folder, "book")
        named = {"app": APP, "hubs": HUBS, "variables": {"TALLY_BOOK": str(book)}}
        server = stack.enter_context(served(*options, **named))
        brokers = Brokers(server, *options, **named)
        mover = Mover(brokers, actors, plan.pause, random.Random(f"moves {plan.seed}"))
        saboteur = Saboteur(brokers, plan.kinds, random.Random(f"troubles {plan.seed}"))
        clients = Clients(
            server.address,
            callers=plan.callers,
            connections=plan.connections,
            keys=keys,
            listeners=plan.listeners,
            seed=f"calls {plan.seed}",
        )
        try:
            with clients:
                mover.start()
                try:
                    until = time.monotonic() + plan.seconds
                    while time.monotonic() < until:
                        saboteur.step()
                        progress(clients, saboteur)
                finally:
                    mover.stop()
                clients.end()
            log, ran = brokers.now.log, book.read_bytes()
        finally:
            brokers.close()
    return _outcome(clients, saboteur, mover, log, [ran[at : at + 8] for at in range(0, len(ran), 8)])


def _outcome(clients: Clients, saboteur: Saboteur, mover: Mover, log: str, ran: list[bytes]) -> Outcome:
    history = clients.history
    bad = judge(clients.failures, saboteur.troubles)
    wrong = [*clients.faults, *check(history), *(_told(each, saboteur.troubles) for each in bad)]
    wrong += [f"call {call.hex()} ran {times} times" for call, times in Counter(ran).items() if times > 1]
    if len(ran) < (answered := sum(not each.failed for each in history)):
        wrong.append(f"{answered} calls were answered, and {len(ran)} are in the book")
    if "Traceback" in log:
        wrong.append(f"it is in the log: {log[log.index('Traceback') :][:3000]}")
    return Outcome(
        operations=len(history),
        activations=len({each.activation for each in history if not each.failed}),
        moves_seen=clients.moved,
        counts=clients.counts,
        failed=Counter(map(_kind, clients.failures)) - Counter(map(_kind, bad)),
        troubles=saboteur.counts,
        moved=mover.moved,
        refused=mover.refused,
        wrong=wrong,
    )


def _told(failure: Failure, troubles: list[Trouble]) -> str:
    near = [
        each for each in troubles if each.ended > failure.began - NEAR and each.began < failure.ended + NEAR
    ]
    return f"without a death: {failure}, near {near}"


def _kind(failure: Failure) -> str:
    """Its status, and what the client was told, without the name of the actor."""
    return f"{failure.status}: {_NAME.sub('...', failure.why)}"
