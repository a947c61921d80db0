"""Where calls wait for the interceptors' ``on_call``, before their service learns of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from actorrpc.errors import RpcError
from actorrpc.hub.actors.mailbox import is_mostly_stale
from actorrpc.hub.actors.schedule import Schedule
from actorrpc.hub.actors.turns import END
from actorrpc.hub.calls.call import Receiver, ServerCall
from actorrpc.hub.calls.failures import fail
from actorrpc.hub.calls.variables import run_as_turn
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.runtime.runners import Runner

__all__ = ["Admission"]


class Admission(Receiver):
    """The calls of one connection whose ``on_call`` has to run. To them it stands where their cell will.

    Like a cell it runs its turns in order, and goes on with the next one when a hook blocks. A call's
    messages wait in ``call.held``. What is let through is given to ``admit(call)``, which may raise RpcError.
    """

    __slots__ = ("_admit_call", "_schedule", "_stale", "concurrent")

    admits = True

    def __init__(self, schedule: Schedule, admit: Callable[[ServerCall[Any]], None]) -> None:
        self._schedule = schedule
        self._admit_call = admit
        self.part = Part(schedule.usage)
        self.queued = False
        #: Calls that were interrupted since the queue was last cleared of them.
        self._stale = 0
        #: Calls whose turn has not begun.
        self.concurrent: deque[ServerCall[Any]] = deque()

    def add(self, call: ServerCall[Any]) -> None:
        """Queue a call."""
        call.receiver = self
        self.concurrent.append(call)

    def push(self, kind: int, call: ServerCall[Any], payload: Any) -> None:
        """Keep a message, or the half-close, for when the call has been admitted."""
        call.hold(None if kind == END else payload)

    def interrupted(self) -> None:
        """A call was cancelled. Those that have ended go when they come up, or when most are such."""
        self._stale += 1
        if is_mostly_stale(self._stale, len(self.concurrent)):
            self._stale = 0
            open_calls = [call for call in self.concurrent if not call.ended]
            self.concurrent.clear()
            self.concurrent.extend(open_calls)

    def start(self) -> None:
        schedule = self._schedule
        while self.concurrent and not schedule.paused and not schedule.slice_over:
            schedule.run(self._drain, self.part)

    def _drain(self, runner: Runner) -> None:
        schedule = self._schedule
        try:
            while self.concurrent and not schedule.paused and not schedule.slice_over:
                self._admit(self.concurrent.popleft(), runner)
                schedule.count_turn(runner)
        finally:
            schedule.runner_left(self)

    def _admit(self, call: ServerCall[Any], runner: Runner) -> None:
        if call.ended:
            return
        if call.deadline is not None and monotonic() >= call.deadline:
            call.host.expire(call)
            return
        run_as_turn(call, runner, _run_hooks, call)
        if not call.ended:
            call.since = 0.0  # no handler has had it
            try:
                self._admit_call(call)
            except RpcError as error:  # it has too many identities
                fail(call, error)

    def __repr__(self) -> str:
        return f"<Admission {len(self.concurrent)} calls wait>"


def _run_hooks(call: ServerCall[Any]) -> None:
    assert call.route.chain is not None
    try:
        call.route.chain.admit(call)
    except BaseException as error:
        fail(call, error)
