"""What a program costs, without any clock: turns as they are counted, lengths of queues, calls of functions.

Each is bounded by what was asked for: messages, replies, moves. The bounds are linear, so that what is
quadratic shows.
"""

from __future__ import annotations

import cProfile
from typing import TYPE_CHECKING, Any

from . import probes
from .reference import Fault

if TYPE_CHECKING:
    from .world import World

__all__ = ["Costs"]

#: Calls of the hub's functions for each unit of work, and for each round of the loop.
PER_UNIT = 60
PER_ROUND = 40
FIXED = 6000

#: Moves, of all connections, that may follow each other while no message is taken and no reply made.
MOST_MOVES = 30


class Costs:
    """Counts while it is entered."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: Turns that handlers, iterables and topics had.
        self.units = 0
        self.replies = 0
        self.published = 0
        self.moves = 0
        self.rounds = 0
        self._samples = 0
        self._moves_before = 0
        #: Messages, replies and the like that were new.
        self.progressed = 0
        self._profile = cProfile.Profile(builtins=False)
        self._gone: set[int] = set()
        #: Counting calls takes as long as all else: some programs have to do.
        self._profiled = len(world.program.batches) % 3 == 1

    def __enter__(self) -> None:
        if self._profiled:
            self._profile.enable()

    def __exit__(self, *_: object) -> None:
        if self._profiled:
            self._profile.disable()

    def progress(self) -> None:
        """Something new has happened."""
        self._moves_before = self.moves
        self.progressed += 1

    def is_livelock(self) -> bool:
        """Whether connections have moved often, and little else has happened."""
        return self.moves - self._moves_before > MOST_MOVES or (
            self.moves > 3 * (self.progressed + MOST_MOVES)
        )

    def note_gone(self, client: int) -> None:
        self._gone.add(client)

    def rested_gone(self, client: int) -> bool:
        """Whether the hub knows that a client has gone."""
        return client in self._gone

    def sample(self) -> None:
        """Look at the queues, now and then: a turn runs."""
        self._samples += 1
        if self._samples > 32 and self._samples % 64:
            return
        world = self._world
        for id, (_, connection) in probes.connections(world.nodes).items():
            client = world.ids.index(id)
            calls = [call for call in world.calls if call.cell.client == client]
            waiting = sum(len(call.messages) - call.handled + 2 for call in calls)
            most = 2 * (waiting + self.published) + 40
            for name, length in probes.queues(connection):
                if length > most:
                    world.fault("queue", f"{name} has {length} entries, and {most} would be many")

    def check(self) -> None:
        """At the end: compare turns and calls with their bounds."""
        world = self._world
        turns = probes.turns_of(world.nodes)
        # Messages of calls that had ended, their half-close, and on_call, may be turns as well.
        most = self.units + sum(len(call.messages) - call.handled + 2 for call in world.calls)
        if turns > most:
            raise Fault("turns", f"{turns} turns are counted, for {most} things to do")
        if not self._profiled:
            return
        self._profile.disable()
        total, worst = self.calls()
        streams = sum(len(call.messages) + 3 for call in world.calls)
        bound = FIXED + PER_UNIT * (streams + self.units + self.replies + self.published * 4)
        # Each time that an actor has room again, its topic's home sends all that is left.
        bound += PER_UNIT * self.published * (self.published // world.program.topic_room)
        bound += PER_ROUND * self.rounds + 1500 * (self.moves + len(world.aborted))
        if total > bound:
            raise Fault("work", f"{total} calls of functions, of at most {bound}: {worst}")

    def calls(self) -> tuple[int, list[tuple[int, str]]]:
        """Calls of the product's functions, and the most often called."""
        found: list[tuple[int, str]] = []
        for entry in self._profile.getstats():
            code: Any = entry.code
            if not isinstance(code, str) and "/actorrpc/" in code.co_filename:
                found.append((entry.callcount, f"{code.co_name}, line {code.co_firstlineno}"))
        found.sort(reverse=True)
        return sum(count for count, _ in found), found[:6]
