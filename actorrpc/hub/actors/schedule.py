"""When the turns of one connection run: which start, for how long before others have the hub, and when they
pause.

Turns of one stage run in slices: after ``TURN_SLICE`` others get the hub. What waits is started once the
loop comes round, or at once where its owner asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

import gevent

from actorrpc.errors import CallCancelled
from actorrpc.hub.calls.call import Receiver
from actorrpc.hub.metering.usage import Part, Usage
from actorrpc.hub.resources import Resources
from actorrpc.hub.runtime.runners import Runner, Runners
from actorrpc.loop.timers import after

__all__ = ["Owner", "Receivers", "Schedule"]

#: How long the turns of one stage may run before others get the hub, in seconds.
TURN_SLICE = 0.002


class Owner(Protocol):
    """Whose turns these are."""

    def flush(self) -> None:
        """Turns have run: write what they sent."""

    def turn_ended(self) -> None:
        """A turn has ended, though the schedule is closed."""


class Receivers(Protocol):
    """Whatever may have turns to run."""

    def __len__(self) -> int: ...
    @property
    def receivers(self) -> Iterable[Receiver]: ...


@dataclass(slots=True, eq=False, repr=False)
class Schedule:
    """When turns run. Its methods are called in the hub's greenlet, or in a turn."""

    _owner: Owner
    _receivers: Receivers
    _resources: Resources
    usage: Usage
    runners: Runners = field(init=False)
    #: Turns so far, in all hubs.
    turns: int = 0
    #: No turn may start: their owner moves, or is closed.
    paused: bool = False
    #: Only last turns are left.
    closed: bool = False
    #: Runners in its turns, and those of them that have blocked. A dict in place of a set, for its order.
    running: int = 0
    blocked: dict[Runner, None] | None = None
    now: float = 0.0
    slice_over: bool = False
    _slice_end: float = 0.0
    #: Whose turns are to be started, each once (its ``queued``). They are few, and an empty deque has 600
    #: bytes.
    _ready: list[Receiver] = field(default_factory=list)
    #: What runs now, or is to run when the loop comes round, sees to all that is ready and to be written.
    work_due: bool = False
    #: What to call once nothing has to be waited for, and what says why something has.
    _quiet: tuple[Callable[[], None], Callable[[], str]] | None = None

    def __post_init__(self) -> None:
        self.runners = self._resources.runners

    # ---- what is to start

    def ready(self, receiver: Receiver) -> None:
        """See to it that the turns of a cell start, in the hub's greenlet."""
        self.will_run(receiver)
        self.wake()

    def will_run(self, receiver: Receiver) -> None:
        """As ``ready``, where ``run_ready`` follows in any case."""
        if not receiver.queued:
            receiver.queued = True
            self._ready.append(receiver)

    def wake(self) -> None:
        """Something may have to be written or run: look once, when the loop has come round."""
        if not self.work_due:
            self.work_due = True
            self.runners.hub.loop.run_callback(self._work)

    def begin(self, now: float) -> None:
        """The owner works, from now on until ``end``: what becomes ready is started by its ``run_ready``."""
        self.now = now
        self._slice_end = now + TURN_SLICE
        self.work_due = True

    def run_ready(self) -> None:
        """Start what is ready, until the slice is used up."""
        ready = self._ready
        while ready and not self.slice_over:
            receiver = ready.pop(0)
            receiver.queued = False
            if len(self._receivers) < 2:  # what is spent is spent for it
                receiver.start()
            else:
                receiver.part.within(receiver.start)

    @property
    def has_ready(self) -> bool:
        """Whether there is something for ``run_ready`` to do."""
        return bool(self._ready)

    def end(self) -> None:
        """The owner's work is over."""
        self.work_due = False
        if self._ready and not self.slice_over:  # since it was closed meanwhile; else a timer goes on
            self.wake()

    def _work(self) -> None:
        usage = self.usage
        self.begin_slice()
        mark = usage.begin(self.now)
        self.work_due = True
        try:
            self.run_ready()
            self._owner.flush()
        finally:
            self.end()
        usage.spend(mark)

    # ---- while turns run

    def run(self, job: Callable[[Runner], None], part: Part) -> None:
        """Run turns, in the hub's greenlet, until they end or block. The job ends with ``runner_left``."""
        self.running += 1
        runner = self.runners.start(job, part)
        if runner is not None:
            if self.blocked is None:
                self.blocked = {}
            self.blocked[runner] = None
            # What it computed before it blocked is of the slice.
            now = self.now = monotonic()
            if now > self._slice_end and not self.slice_over:
                self._end_slice()

    def begin_slice(self) -> None:
        """Turns begin after the loop did something else: what that took is not theirs.

        A slice is turns in a row. A turn that ends after the slice's end ends it (``use_slice``), so that
        nothing is gained by beginning often.
        """
        now = self.now = monotonic()
        if now > self._slice_end:
            self._slice_end = now + TURN_SLICE

    def use_slice(self, runner: Runner) -> None:
        """Something has been taken from a queue, on that runner: end the slice when it is used up."""
        now = self.now = monotonic()
        if now > self._slice_end and not self.slice_over:
            if now - runner.resumed < TURN_SLICE:  # it had blocked, and others had the hub
                self._slice_end = runner.resumed + TURN_SLICE
                return
            self._end_slice()

    def _end_slice(self) -> None:
        self.slice_over = True
        self.usage.meter.runnable += 1
        # A timer: callbacks run many times before the loop looks at others.
        after(0, self._continue)

    def _continue(self) -> None:
        """A new slice, after others had the hub."""
        self.usage.meter.runnable -= 1
        self.slice_over = False
        for receiver in self._receivers.receivers:
            if receiver.mailbox or receiver.concurrent:
                self.will_run(receiver)
        self._work()

    def count_turn(self, runner: Runner) -> None:
        """A turn has ended: count it."""
        self.turns += 1
        self.use_slice(runner)
        resources = self._resources
        resources.turns += 1
        if resources.on_turn is not None:
            resources.on_turn(self.usage.id, self.turns)

    def runner_left(self, receiver: Receiver) -> None:
        """A runner has left the cell: nothing waits there, or it may not go on."""
        self.running -= 1
        if self.blocked:
            self.blocked.pop(gevent.getcurrent(), None)  # type: ignore[call-overload]
        if self.closed:
            self._owner.turn_ended()
        if self._quiet is not None:
            self.notice_quiet()
        elif (receiver.mailbox or receiver.concurrent) and not self.paused and not self.slice_over:
            self.ready(receiver)
        else:
            self.wake()  # what was taken may open windows, or let more be read

    def interrupt_blocked(self) -> None:
        """Tell handlers of calls that had ended before: the client has gone."""
        for runner in list(self.blocked or ()):
            self.runners.interrupt(runner, CallCancelled("the connection has gone"))

    # ---- pauses

    def quiesce(self, on_quiet: Callable[[], None], unquiet: Callable[[], str]) -> None:
        """Start no more turns; call ``on_quiet`` once ``unquiet()`` has nothing that has to be waited for."""
        self.paused = True
        self._quiet = on_quiet, unquiet
        if self.work_due or gevent.getcurrent() is not self.runners.hub:
            self.notice_quiet()  # after that work, and off this stack
        else:
            self._check_quiet()

    def notice_quiet(self) -> None:
        """Something that a quiesce may wait for has come about."""
        if self._quiet is not None:
            self.runners.hub.loop.run_callback(self._check_quiet)

    def _check_quiet(self) -> None:
        if self._quiet is not None:
            on_quiet, unquiet = self._quiet
            if not unquiet():
                self._quiet = None
                on_quiet()

    def resume(self) -> None:
        """Turns may start again."""
        self.paused = False
        self._quiet = None

    def close(self) -> None:
        """What is left to run are last turns: those may start, whatever has been before."""
        self.resume()
        self.closed = True

    def forked(self) -> None:
        """This is a copy in a child of the hub's process: no turn starts."""
        self.paused = self.work_due = self.closed = True

    def let_go(self) -> None:
        """Nothing runs here any more: forget what knows this."""
        self._quiet = None
        self._ready.clear()
        self._owner = self._receivers = _GONE

    def __repr__(self) -> str:
        state = "paused" if self.paused else "closed" if self.closed else "open"
        return f"<Schedule {state}, {self.running} running, {len(self._ready)} ready, {self.turns} turns>"


class _Gone:
    """Stands for the owner of a schedule that has been let go, and for its receivers."""

    receivers = ()

    def flush(self) -> None: ...
    def turn_ended(self) -> None: ...
    def __len__(self) -> int:
        return 0


_GONE = _Gone()
