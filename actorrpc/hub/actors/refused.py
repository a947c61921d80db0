"""Calls that get no actor, since it cannot be made or they are refused: each ends after its ``on_error``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from actorrpc.errors import RpcError
from actorrpc.hub.actors.schedule import Schedule
from actorrpc.hub.calls.call import Receiver, ServerCall
from actorrpc.hub.calls.failures import fail
from actorrpc.hub.calls.variables import run_as_turn
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.runtime.runners import Runner

__all__ = ["RefusedCalls"]


class RefusedCalls(Receiver):
    """To its calls it stands where their cell was: nothing that comes for them is handled any more.

    An interceptor's ``on_error`` may block. It runs on a runner of its own for each call, so that it holds up
    no other, and is interrupted as a handler is.
    """

    __slots__ = ("_schedule",)

    def __init__(self, schedule: Schedule, part: Part) -> None:
        self._schedule = schedule
        self.part = part
        self.queued = False

    def take(self, call: ServerCall[Any], error: RpcError) -> None:
        """End a call with what ``error`` says, after its interceptors, if there are some, have seen it."""
        call.receiver = self
        if call.route.chain is None:
            fail(call, error)
            return
        schedule = self._schedule
        schedule.running += 1  # its connection cannot move until then
        schedule.runners.hub.loop.run_callback(self._start, partial(self._fail, call, error))

    def _start(self, job: Callable[[Runner], None]) -> None:
        self._schedule.running -= 1
        self._schedule.run(job, self.part)

    def _fail(self, call: ServerCall[Any], error: RpcError, runner: Runner) -> None:
        try:
            if not call.ended:
                run_as_turn(call, runner, fail, call, error)
        finally:
            self._schedule.runner_left(self)
