"""``Cell``: one actor, or one service without state, where it lives: its instance, its hooks, its end."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

import gevent
from google.protobuf.message import Message

from actorrpc.actor import MOVED, Actor, Held, Service, make, overrides, state_of
from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.actors.call_turns import CallTurns
from actorrpc.hub.actors.mailbox import NO_CONCURRENT_TURNS
from actorrpc.hub.actors.stage import Stage
from actorrpc.hub.actors.turns import CALL_END, CLOSE, CONNECT, DISCONNECT, THAW, TOPIC, message_class
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.calls.call_ends import CallEnds, Ended
from actorrpc.hub.calls.failures import contain
from actorrpc.hub.calls.variables import run_in
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.phase import CLOSED, label
from actorrpc.hub.runtime.runners import Runner
from actorrpc.log import about

__all__ = ["Cell", "key_of"]

log = logging.getLogger("actorrpc.hub")


class Cell(CallTurns):
    """One service on one stage. ``Mailbox`` says when its turns run, ``CallTurns`` how those of calls do."""

    serves = True

    __slots__ = ("frozen", "hook", "identity", "key", "service", "since", "stage", "state")

    def __init__(
        self,
        stage: Stage,
        service: type[Service],
        state: Message | None = None,
        *,
        identity: str = "",
        concurrent: bool,
    ) -> None:
        """A cell whose instance is still to be made (``make``), with a new state if it is not given one.

        ``concurrent``: some of its turns may run side by side.
        """
        schedule = stage.schedule
        super().__init__(
            schedule,
            deque() if concurrent else NO_CONCURRENT_TURNS,
            CallEnds() if overrides(service, "on_call_end") else None,
            Part(schedule.usage),
        )
        self.stage = stage
        self.stage_id = stage.id
        self.service = service
        self.name = service.__rpc__.name
        #: Whose actor it is; "": the connection's.
        self.identity = identity
        #: What its stage knows it by.
        self.key = key_of(self.name, identity)
        self.state = state
        self.instance = None
        #: on_freeze has begun, here or in the hub that the connection left, and no on_thaw since.
        self.frozen = False
        #: The hook or topic turn that runs, for `actorrpc connections`, and since when.
        self.hook = ""
        self.since = 0.0

    def make(self) -> None:
        """Make the instance. Raises whatever its class does."""
        self.instance = make(self.service, self.stage.host, self.identity, self.state, self.stage.key)
        self.state = None

    def prepare(self) -> None:
        """Make the instance. Where the app's code has a part in it, or has an on_connect, queue the turn for
        that: it may block, and all calls that come meanwhile wait for the one instance."""
        service = self.service
        makes_itself = service.__init__ is not object.__init__ or service.__new__ is not object.__new__
        if makes_itself or self.overrides(self.stage.first_hook):
            self.connected = False
            self.queue().append((CONNECT, None, None))
        else:
            self.make()

    @property
    def state_bytes(self) -> int:
        """The size of the state, serialized."""
        return state_of(self.instance).ByteSize() if isinstance(self.instance, Actor) else 0

    def overrides(self, hook: str) -> bool:
        """Whether the user's class has the hook: the empty ones cost no turn."""
        return overrides(self.service, hook)

    def _own_turn(self, kind: int, payload: Any) -> None:
        if kind == TOPIC:
            topic, type_name, message = payload
            self.stage.host.took(self, message)
            self.run_hook("on_topic", topic, message_class(type_name).FromString(message))
        elif kind == CONNECT:
            self._connect()
        elif kind == DISCONNECT:
            if self.mailbox or self.concurrent or self.concurrent_running:
                self.parting = True
            else:
                self.run_hook(self.stage.last_hook)
        elif kind == THAW:
            self.frozen = False
            self.run_hook("on_thaw")
            self.thawing = False
            self._start_concurrent()
        elif kind == CLOSE:
            self._close(*payload)
        elif kind == CALL_END:
            self._tell_end(*payload)

    def _connect(self) -> None:
        """Make the instance, if a move has not brought it, and run on_connect."""
        stage = self.stage
        hook = "__init__"
        try:
            if self.instance is None:
                self._as_hook(hook, self.make)
            hook = stage.first_hook
            if self.overrides(hook):
                if stage.phase.state == CLOSED:  # the client has gone meanwhile
                    return
                self._hook(hook)
        except RpcError as error:
            stage.discard(self.key, error)
        except BaseException as error:
            self.schedule.runners.leave_child(error)
            self._log_raised(hook)
            what = "actor" if issubclass(self.service, Actor) else "service"
            stage.discard(self.key, RpcError(StatusCode.UNKNOWN, f"the {what} could not be made"))
            contain(error)
        else:
            self.connected = True
            self._start_concurrent()
            if stage.phase.state == CLOSED:
                self.keep_last_turns()

    def _start_concurrent(self) -> None:
        """Turns that may run side by side need not wait for what is next in the mailbox."""
        if self.concurrent:
            self.schedule.ready(self)

    def _tell_end(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        assert self.ends is not None
        self.ends.waiting -= 1
        # As all that is done for a call, in its context.
        self.run_hook("on_call_end", call, status, message, through=partial(run_in, call))
        self._start_concurrent()

    @property
    def ended_calls(self) -> list[Ended]:
        """The calls whose on_call_end waits, in order."""
        return [payload for kind, _, payload in self.mailbox if kind == CALL_END]

    def run_hook(self, name: str, *args: Any, through: Callable[..., None] | None = None) -> bool:
        """Run a hook, ``through(hook, *args)`` if that is given; what it raises is logged. Whether it raised
        nothing."""
        try:
            self._hook(name, *args, through=through)
        except BaseException as error:
            self.schedule.runners.leave_child(error)
            self._log_raised(name)
            contain(error)
            return False
        return True

    def _log_raised(self, hook: str) -> None:
        kind = about(hook, self.name, connection=self.stage.id)
        log.exception("%s of %s raised, on %s", hook, self.name, label(self.stage.id), extra=kind)

    def _hook(self, name: str, *args: Any, through: Callable[..., None] | None = None) -> None:
        function = getattr(self.instance, name)
        self._as_hook(name, function if through is None else partial(through, function), *args)

    def _as_hook(self, name: str, function: Callable[..., Any], *args: Any) -> None:
        """Run it in a context of its own, as ``actorrpc connections`` shows it. It is not interrupted when
        the client goes: what on_connect begins, on_disconnect ends."""
        runner: Any = gevent.getcurrent()
        self.hook = name
        self.since = runner.since = monotonic()
        runner.turn, runner.shielded = self, True
        try:
            function(*args)
        finally:
            self.hook = ""
            runner.turn, runner.shielded = None, False
            runner.gr_context = None

    def discard(self) -> None:
        """Drop all that waits: the instance could not be made."""
        for _, call, payload in self._take_out(lambda turn: True):
            if call is not None:
                call.drop(payload)

    def keep_last_turns(self) -> None:
        """The client has gone: what is left to run is what closes iterables, an on_thaw that is due, the
        calls' on_call_end, and at last, when what is blocked has ended too, on_disconnect."""
        self.thaw_hook()  # the move that it was frozen for is given up
        self._take_out(lambda turn: turn[0] not in (CLOSE, THAW, CALL_END))
        if self.connected and self.overrides(self.stage.last_hook):
            self.queue().append((DISCONNECT, None, None))

    def disconnect(self, runner: Runner) -> None:
        """Run on_disconnect where the actor ends before its connection does."""
        try:
            self.run_hook("on_disconnect")
        finally:
            self.schedule.runner_left(self)

    def hold(self) -> None:
        """The state has been written down: until ``unhold`` or ``leave``, whoever uses it waits."""
        if isinstance(self.instance, Actor):
            Held(self.instance, self.stage.phase.settle)

    def unhold(self) -> None:
        """The actor stays here, or has come."""
        if isinstance(self.instance, Actor):
            self.instance.__dict__["state"] = state_of(self.instance)

    def thaw_hook(self) -> None:
        """Queue on_thaw, before all other turns, if it is due and does not wait already."""
        if self.frozen and not self.thawing and self.overrides("on_thaw"):
            self.thawing = True
            self.queue().appendleft((THAW, None, None))

    def leave(self) -> None:
        """The actor lives in another hub now: nobody here may use what is left of it."""
        if self.instance is not None:
            self.instance.__dict__["state"] = MOVED
        # What waits knows its call, and that the cell: all is to be freed at once.
        if self.mailbox:
            self.mailbox.clear()
        self.concurrent.clear()
        self.ends = None

    def __repr__(self) -> str:
        waiting = f"{len(self.mailbox)}+{len(self.concurrent)} turns wait"
        return f"<Cell {self.name} {waiting}{', running' * self.running}>"


def key_of(service: str, identity: str) -> str:
    """What a stage knows the cell by that serves a service, by its full name, for an identity."""
    return f"{service} of {identity}" if identity else service
