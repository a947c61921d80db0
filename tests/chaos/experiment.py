"""One storm between two censuses, and everything that was wrong with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from actorrpc.hub.exchange.exchange import MOVED, ORPHANS
from tests.apps.turn_book import VARIABLE
from tests.chaos.census import Census, leaks, take_census
from tests.chaos.deaths import Death
from tests.chaos.logs import unexpected
from tests.chaos.mover import Moves
from tests.chaos.reloads import Reloaded
from tests.chaos.storm import Plan, Storm
from tests.chaos.streams import MAX_MAILBOX
from tests.support.endpoints import Endpoint, Identity
from tests.support.server_process import served

__all__ = ["Outcome", "experiment"]

#: Moves before the first census: what is made once, such as stacks and caches, is there then.
WARM_UP = 2_000
#: What a process's resident memory may grow by, in kB. The broker's grows by 17 MB in its first 20,000 moves,
#: and by nothing in the next 280,000.
RSS_LIMIT = 24 * 1024
#: For so many seconds after a hub's process has ended each hub has a timer, to ask whose calls it has then.
ASKED = MOVED + ORPHANS


@dataclass
class Outcome:
    """What is known at the end. ``leaked`` and ``log`` are empty if all is well; ``log`` are the lines that
    should not be there."""

    storm: Storm
    deaths: list[Death]
    reloads: list[Reloaded]
    before: Census
    after: Census
    log: list[str]
    #: When the second census was taken, by the monotonic clock.
    counted_at: float

    @property
    def leaked(self) -> list[str]:
        before = dict(self.before)
        for death in self.deaths:
            before[f"hub {death.hub}", "restarts"] += 1
        ends = [death.at for death in self.deaths] + [reload.at for reload in self.reloads]
        if self.counted_at < max(ends, default=-ASKED) + ASKED:
            for hub in range(self.storm.plan.hubs):
                before[f"hub {hub}", "watchers"] += 1
        return leaks(before, self.after, RSS_LIMIT)

    @property
    def wrong(self) -> list[str]:
        """Everything that should not be, late deadlines aside."""
        return [
            *self.storm.faults,
            *(f"{count} moves were aborted: {why}" for why, count in self.storm.moves.aborted.items()),
            *(f"leaked: {leak}" for leak in self.leaked),
            *(f"logged: {line}" for line in self.log),
        ]


def experiment(plan: Plan, progress: Callable[[Moves], None] = lambda moves: None) -> Outcome:
    """Serve, count, blow a storm, count again and stop. Raises AssertionError if the warm-up fails."""
    app = f"tests.apps.storm:{'app' if plan.intercepted else 'plain'}"
    # Its app forks where there are threads, of which Python warns from 3.12 on.
    quiet = replace(plan, moves=WARM_UP, rate=1000, seed=plan.seed + 1, deaths_every=0, reloads_every=0)
    with TemporaryDirectory(prefix="books-") as folder, TemporaryDirectory(prefix="tls-") as certificates:
        books, turns = Path(folder, "books"), Path(folder, "turns")
        books.mkdir()
        variables = {"STORM_BOOKS": str(books), VARIABLE: str(turns)}
        identity = Identity(Path(certificates))
        options = ("--max-mailbox", MAX_MAILBOX, *identity.options)
        with served(*options, app=app, hubs=plan.hubs, strict=False, variables=variables) as server:
            tls = Endpoint(server.read_line().split()[2], identity)
            warm = Storm(server, quiet, books, turns, tls)
            warm.blow()
            assert not warm.faults, warm.faults
            before = take_census(server)
            storm = Storm(server, plan, books, turns, tls)
            storm.blow(progress)
            after = take_census(server)
            counted_at = time.monotonic()
    deaths: list[Death] = storm.deaths.all if storm.deaths else []
    reloads: list[Reloaded] = storm.reloads.all if storm.reloads else []
    log = unexpected(server.log.splitlines(), deaths, reloads)
    return Outcome(storm, deaths, reloads, before, after, log, counted_at)
