"""One storm between two censuses, and everything that was wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.chaos.census import Census, leaks, take_census
from tests.chaos.mover import Moves
from tests.chaos.storm import Plan, Storm
from tests.interop.served import Served

__all__ = ["Outcome", "experiment"]

#: Moves before the first census: what is made once, such as stacks and caches, is there then.
WARM_UP = 2_000
#: What a process's resident memory may grow by, in kB. The broker's grows by 17 MB in its first 20,000 moves,
#: and by nothing in the next 280,000.
RSS_LIMIT = 24 * 1024


@dataclass
class Outcome:
    """What is known at the end. ``leaked`` and ``log`` are empty if all is well."""

    storm: Storm
    before: Census
    after: Census
    log: list[str]

    @property
    def leaked(self) -> list[str]:
        return leaks(self.before, self.after, RSS_LIMIT)

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
    server = Served(app=f"tests.apps.storm:{'app' if plan.intercepted else 'plain'}", hubs=plan.hubs)
    try:
        warm = Storm(server, replace(plan, moves=WARM_UP, rate=1000, seed=plan.seed + 1))
        warm.blow()
        assert not warm.faults, warm.faults
        before = take_census(server)
        storm = Storm(server, plan)
        storm.blow(progress)
        after = take_census(server)
    finally:
        log = server.close()
    return Outcome(storm, before, after, log.splitlines())
