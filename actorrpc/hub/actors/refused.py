"""Where calls stand that get no actor, since it could not be made or they are refused, until each is told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from actorrpc.call import Call
from actorrpc.errors import RpcError
from actorrpc.hub.calls.failures import fail
from actorrpc.hub.calls.variables import run_as_turn
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.runtime.runners import Runner

if TYPE_CHECKING:
    from actorrpc.hub.serving.connection import Connection

__all__ = ["Limbo"]


class Limbo:
    """To its calls it stands where their cell was: nothing that comes for them is handled any more.

    An interceptor's ``on_error`` may block. It runs on a runner of its own for each call, so that it holds up
    no other, and is interrupted as a handler is.
    """

    __slots__ = ("connection", "part", "queued")

    #: As no cell has: no turn of its calls runs, and what it ends has a price.
    serves = False
    instance = ends = None
    mailbox = lane = ()

    def __init__(self, connection: Connection, part: Part) -> None:
        self.connection = connection
        self.part = part
        self.queued = False

    def take(self, call: Call[Any], error: RpcError) -> None:
        """End a call with what ``error`` says, after its interceptors, if there are some, have seen it."""
        call.cell = self
        connection = self.connection
        if call.route.chain is None:
            fail(call, error)
            return
        connection.running += 1  # it cannot move until then
        connection.runners.hub.loop.run_callback(self._start, partial(self._fail, call, error))

    def _start(self, job: Callable[[Runner], None]) -> None:
        self.connection.running -= 1
        self.connection.run(job, self.part)

    def _fail(self, call: Call[Any], error: RpcError, runner: Runner) -> None:
        try:
            if not call.ended:
                run_as_turn(call, runner, fail, call, error)
        finally:
            self.connection.drained(self)

    # ---- what a cell does

    def push(self, kind: int, call: Call[Any], payload: bytes | None) -> None:
        """Drop a message."""
        if payload is not None:
            self.connection.session.consumed(call.stream, len(payload))

    def start(self) -> None:
        """There is nothing to start."""

    def drained(self, call: Call[Any]) -> None:
        """No reply is to be sent."""

    def interrupted(self) -> None:
        """None of its turns waits."""

    def __repr__(self) -> str:
        return f"<Limbo of {self.connection!r}>"
