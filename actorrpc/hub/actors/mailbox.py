"""``Mailbox``: the turns of one service that wait, and how they are run one after the other, or side by side.

A turn is one message handled, or a hook. Turns of an actor never overlap: one runner drains the mailbox.
Turns of concurrent methods, and of services without state, wait in a second queue: when one of them blocks,
another runner goes on with the next. Messages of one call stay in order in either.

How much may wait is bounded by ``wire.inbound`` (``max_mailbox``); ``hub.moving.snapshot`` writes what waits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from actorrpc.hub.actors.schedule import Schedule
from actorrpc.hub.actors.turns import DISCONNECT, TOPIC, Turn
from actorrpc.hub.calls.call import Receiver, ServerCall
from actorrpc.hub.calls.call_ends import CallEnds
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.runtime.runners import Runner

__all__ = ["NO_CONCURRENT_TURNS", "Mailbox", "is_mostly_stale"]

#: So many calls may be cancelled before their turns are looked for.
_FEW_STALE = 64

#: The second queue of a service without concurrent methods: nothing is ever put there. (An empty deque has
#: 760 bytes.)
NO_CONCURRENT_TURNS: deque[Turn] = deque(maxlen=0)


@dataclass(slots=True, eq=False, repr=False)
class Mailbox(Receiver, ABC):
    """What waits for one service, and whether a turn of it runs."""

    schedule: Schedule
    #: Turns that may run side by side; ``NO_CONCURRENT_TURNS`` if none may.
    concurrent: deque[Turn] = field()
    ends: CallEnds | None = field()
    part: Part
    #: Empty while nothing waits (``queue``): an empty deque has 760 bytes.
    mailbox: deque[Turn] | tuple[()] = ()
    queued: bool = False
    #: A runner drains the mailbox.
    running: bool = False
    #: How many runners drain ``concurrent``.
    concurrent_running: int = 0
    #: on_disconnect is due when all else has come to its end.
    parting: bool = False
    #: The instance has been made and on_connect has run, so that other turns may.
    connected: bool = True
    #: on_thaw has to run before concurrent turns may.
    thawing: bool = False
    #: Calls that were interrupted since `drop_ended`: their turns may still wait.
    stale: int = 0
    #: Messages of topics among what waits, and their bytes.
    topic_turns: int = 0
    topic_bytes: int = 0

    @abstractmethod
    def _call_turn(self, kind: int, call: ServerCall[Any], payload: Any, runner: Runner) -> bool:
        """Run a turn of a call. Whether it counts as a message or a reply."""

    @abstractmethod
    def _own_turn(self, kind: int, payload: Any) -> None:
        """Run a turn of the actor's own: a hook, or a topic's message."""

    def push(self, kind: int, call: ServerCall[Any], payload: Any) -> None:
        # As `_queue_of`, without a call for each message.
        (self.concurrent if call.route.concurrent else self.queue()).append((kind, call, payload))

    def _queue_of(self, call: ServerCall[Any]) -> deque[Turn]:
        """Where the turns of a call wait."""
        return self.concurrent if call.route.concurrent else self.queue()

    def queue(self) -> deque[Turn]:
        """The mailbox, for a turn that is to wait there."""
        if not isinstance(self.mailbox, deque):
            self.mailbox = deque()
        return self.mailbox

    def push_topic(self, topic: str, type_name: str, payload: bytes) -> None:
        """Queue a topic's message for the actor itself."""
        self.queue().append((TOPIC, None, (topic, type_name, payload)))
        self.topic_turns += 1
        self.topic_bytes += len(payload)

    def start(self) -> None:
        schedule = self.schedule
        if self.mailbox and not self.running and not schedule.paused:
            self.running = True
            schedule.run(self._drain_mailbox, self.part)
        while (
            self.concurrent and self._may_run_concurrent and not schedule.paused and not schedule.slice_over
        ):
            self.concurrent_running += 1
            schedule.run(self._drain_concurrent, self.part)

    @property
    def _may_run_concurrent(self) -> bool:
        return self.connected and not self.thawing and (self.ends is None or not self.ends.full)

    def _drain_mailbox(self, runner: Runner) -> None:
        try:
            self._drain(self.queue(), runner)
        finally:
            self.running = False
            if not self.mailbox:
                self.mailbox = ()
            self._left()

    def _drain_concurrent(self, runner: Runner) -> None:
        try:
            if self._may_run_concurrent:
                self._drain(self.concurrent, runner)
        finally:
            self.concurrent_running -= 1
            self._left()

    def _left(self) -> None:
        """A runner has no more to do here."""
        if self.parting and not self.busy:
            self.parting = False
            self.queue().append((DISCONNECT, None, None))
        self.schedule.runner_left(self)

    def _drain(self, queue: deque[Turn], runner: Runner) -> None:
        schedule = self.schedule
        while queue and not schedule.paused and not schedule.slice_over:
            if self.ends is not None and queue is self.concurrent and not self._may_run_concurrent:
                break
            kind, call, payload = queue.popleft()
            if call is None:
                self._own_turn(kind, payload)
                counts = kind == TOPIC  # a hook is not a message
            else:
                counts = self._call_turn(kind, call, payload, runner)
            if counts:
                schedule.count_turn(runner)
            else:
                schedule.use_slice(runner)

    def interrupted(self) -> None:
        """A call was cancelled, or its deadline has passed.

        Its turns are dropped when they come up, or as soon as most that wait are of such calls: else a client
        whose calls end at once would fill the mailbox of a blocked actor.
        """
        self.stale += 1
        if is_mostly_stale(self.stale, len(self.mailbox) + len(self.concurrent)):
            self.drop_ended()

    def drop_ended(self) -> None:
        """Take the turns of calls that have ended out of the queues."""
        self.stale = 0
        for _, call, payload in self._take_out(lambda turn: turn[1] is not None and turn[1].ended):
            call.drop(payload)

    def _take_out(self, unwanted: Callable[[Turn], bool]) -> list[Turn]:
        """Take turns out of both queues, and return them; the others stay in their order."""
        taken: list[Turn] = []
        for queue in (self.mailbox, self.concurrent):
            if not queue:
                continue
            turns = list(queue)
            queue.clear()
            for turn in turns:
                (taken if unwanted(turn) else queue).append(turn)
        return taken

    @property
    def busy(self) -> bool:
        """Whether something of it runs, or waits to run."""
        return bool(self.running or self.concurrent_running or self.mailbox or self.concurrent)


def is_mostly_stale(stale: int, waiting: int) -> bool:
    """Whether so many interrupted calls are worth looking for among what waits."""
    return stale > max(_FEW_STALE, waiting // 2)
