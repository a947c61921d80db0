"""Turns: the mailbox of one service on one connection, and how each turn runs.

A turn is one message handled, or a hook. Turns of an actor never overlap: one runner drains the mailbox.
Turns of concurrent methods, and of services without state, go to the ``lane``: when one of them blocks,
another runner goes on with the next. Messages of one call stay in order in either.

Where a call cannot take its next message yet (its last turn still runs, its iterable is not exhausted, or
its client is far behind), the message moves from the queue to ``call.held``, once. When the call can take it,
a HELD turn is queued, which takes the first of them, and queues the next one behind itself.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic
from typing import Any

import gevent
from google.protobuf.message import Message

from actorrpc.actor import MOVED, Actor, Held, Service, make, overrides, state_of
from actorrpc.errors import RpcError, SnapshotError, StatusCode
from actorrpc.hub.actors.stage import Stage
from actorrpc.hub.actors.turns import (
    CALL_END,
    CLOSE,
    CONNECT,
    DISCONNECT,
    END,
    HELD,
    MESSAGE,
    PULL,
    REQUEST,
    RESUME,
    THAW,
    TOPIC,
    Turn,
    freeze_turn,
    message_class,
    thaw_turn,
)
from actorrpc.hub.calls.call import UNSENT_HIGH, ServerCall
from actorrpc.hub.calls.call_ends import CallEnds, Ended
from actorrpc.hub.calls.failures import contain, fail
from actorrpc.hub.calls.variables import run_in
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.phase import CLOSED
from actorrpc.hub.runtime.runners import Runner
from actorrpc.log import about
from actorrpc.pb import snapshot_pb2

__all__ = ["Cell", "is_mostly_stale", "key_of"]

log = logging.getLogger("actorrpc.hub")

#: So many calls may be cancelled before their turns are looked for.
_FEW_STALE = 64

#: The lane of a service without methods that run beside others: nothing is ever put there. (An empty deque
#: has 760 bytes.)
_NO_LANE: deque[Turn] = deque(maxlen=0)


class Cell:
    """One service on one connection: its instance, its waiting turns, and whether one runs."""

    serves = True
    admits = False

    __slots__ = (
        "beside",
        "connected",
        "ends",
        "frozen",
        "hook",
        "identity",
        "instance",
        "key",
        "lane",
        "mailbox",
        "part",
        "parting",
        "queued",
        "running",
        "schedule",
        "service",
        "since",
        "stage",
        "stale",
        "state",
        "thawing",
        "topic_bytes",
        "topic_turns",
    )

    def __init__(
        self,
        stage: Stage,
        service: type[Service],
        state: Message | None = None,
        *,
        identity: str = "",
        beside: bool,
    ) -> None:
        """A cell whose instance is still to be made (``make``), with a new state if it is not given one.

        ``beside``: some of its turns may run side by side.
        """
        self.stage = stage
        self.schedule = stage.schedule
        self.service = service
        #: Whose actor it is; "": the connection's.
        self.identity = identity
        #: What its stage knows it by.
        self.key = key_of(service.__rpc__.name, identity)
        self.state = state
        self.mailbox: deque[Turn] = deque()
        self.lane: deque[Turn] = deque() if beside else _NO_LANE
        #: The schedule has it among those whose turns it is to start.
        self.queued = False
        #: A runner drains the mailbox.
        self.running = False
        #: So many drain the lane.
        self.beside = 0
        #: on_disconnect is due when all else has come to its end.
        self.parting = False
        #: The instance has been made and on_connect has run, so that other turns may.
        self.connected = True
        #: on_freeze has begun, here or in the hub that the connection left, and no on_thaw since.
        self.frozen = False
        #: on_thaw has to run before the lane's turns may.
        self.thawing = False
        #: The hook or topic turn that runs, for `actorrpc connections`, and since when.
        self.hook = ""
        self.since = 0.0
        #: What it has spent.
        self.part = Part(stage.schedule.usage)
        #: Calls that were interrupted since `drop_ended`: their turns may still wait.
        self.stale = 0
        #: Messages of topics among what waits, and their bytes.
        self.topic_turns = self.topic_bytes = 0
        #: The service's, once it has been made.
        self.instance: Any = None
        #: What its on_call_end needs; None: it has none.
        self.ends = CallEnds() if self.overrides("on_call_end") else None

    def make(self) -> None:
        """Make the instance. Raises whatever its class does."""
        self.instance = make(self.service, self.stage.host, self.identity, self.state)
        self.state = None

    def prepare(self) -> None:
        """Make the instance. Where the app's code has a part in it, or has an on_connect, queue the turn for
        that: it may block, and all calls that come meanwhile wait for the one instance."""
        service = self.service
        makes_itself = service.__init__ is not object.__init__ or service.__new__ is not object.__new__
        if makes_itself or self.overrides("on_connect"):
            self.connected = False
            self.mailbox.append((CONNECT, None, None))
        else:
            self.make()

    @property
    def name(self) -> str:
        """The service's full name."""
        return self.service.__rpc__.name

    @property
    def busy(self) -> bool:
        """Whether something of it runs, or waits to run."""
        return bool(self.running or self.beside or self.mailbox or self.lane)

    @property
    def state_bytes(self) -> int:
        """The size of the state, serialized."""
        return state_of(self.instance).ByteSize() if isinstance(self.instance, Actor) else 0

    def overrides(self, hook: str) -> bool:
        """Whether the user's class has the hook: the empty ones cost no turn."""
        return overrides(self.service, hook)

    # ---- queueing and draining

    def push(self, kind: int, call: ServerCall[Any], payload: Any) -> None:
        """Queue a turn of a call; the schedule starts it when it next looks."""
        # As `_queue_of`, without a call for each message.
        (self.lane if call.route.concurrent else self.mailbox).append((kind, call, payload))

    def _queue_of(self, call: ServerCall[Any]) -> deque[Turn]:
        """Where the turns of a call wait."""
        return self.lane if call.route.concurrent else self.mailbox

    def push_topic(self, topic: str, type_name: str, payload: bytes) -> None:
        """Queue a topic's message for the actor itself."""
        self.mailbox.append((TOPIC, None, (topic, type_name, payload)))
        self._count_topic(payload)

    def _count_topic(self, payload: bytes) -> None:
        self.topic_turns += 1
        self.topic_bytes += len(payload)

    def start(self) -> None:
        """Run what waits, in the gevent hub's greenlet, until it blocks or the slice is used up."""
        schedule = self.schedule
        if self.mailbox and not self.running and not schedule.paused:
            self.running = True
            schedule.run(self._drain_mailbox, self.part)
        while self.lane and self._lane_open and not schedule.paused and not schedule.slice_over:
            self.beside += 1
            schedule.run(self._drain_lane, self.part)

    @property
    def _lane_open(self) -> bool:
        return self.connected and not self.thawing and (self.ends is None or not self.ends.full)

    def _drain_mailbox(self, runner: Runner) -> None:
        try:
            self._drain(self.mailbox, runner)
        finally:
            self.running = False
            self._left()

    def _drain_lane(self, runner: Runner) -> None:
        try:
            if self._lane_open:
                self._drain(self.lane, runner)
        finally:
            self.beside -= 1
            self._left()

    def _left(self) -> None:
        """A runner has no more to do here."""
        if self.parting and not self.busy:
            self.parting = False
            self.mailbox.append((DISCONNECT, None, None))
        self.schedule.drained(self)

    def _drain(self, queue: deque[Turn], runner: Runner) -> None:
        schedule = self.schedule
        while queue and not schedule.paused and not schedule.slice_over:
            if self.ends is not None and queue is self.lane and not self._lane_open:
                break
            kind, call, payload = queue.popleft()
            if call is None:
                self._own_turn(kind, payload)
                counts = kind == TOPIC  # a hook is no message
            else:
                counts = self._call_turn(kind, call, payload, runner)
            if counts:
                schedule.count_turn(runner)
            else:
                schedule.use_slice(runner)

    # ---- turns of calls

    def _call_turn(self, kind: int, call: ServerCall[Any], payload: Any, runner: Runner) -> bool:
        """Run a turn, unless its call cannot take it. Whether it ran, and was one of the call's messages or
        replies: RESUME only repeats one, and were it counted, a connection that moves after each turn would
        move and move and never send the next reply."""
        if call.ended:
            call.drop(payload)
            return False
        # What is held goes first: the client may have read some, but not all, of what was in the way.
        if kind < TOPIC and (
            call.held
            or call.runner is not None
            or call.origin is not None
            or call.stream.unsent_bytes > UNSENT_HIGH
        ):
            call.hold(payload)
            return False
        now = self.schedule.now
        if call.deadline is not None and now >= call.deadline:
            call.drop(payload)
            call.host.expire(call)
            return False
        if kind == HELD:
            call.resuming = False
            if not self._takes(call):
                return False
            kind, payload = self._next_held(call)
        call.runner = runner
        call.since = runner.since = now
        if call.variables is not None:
            runner.gr_context = call.variables
        try:
            _TURNS[kind](self, call, payload)
        except BaseException as error:
            fail(call, error)
        finally:
            # What a handler set in its context is for the call's next turn, and not for another call's.
            if (variables := runner.gr_context) is not None:
                call.variables, runner.gr_context = variables, None
            call.runner = None
            if call.parsed and call.iterator is None:
                call.host.release(call)
            if call.iterator is not None or call.held:
                self._leave_turn(call)
            if self.ends is not None:
                self._queue_end(call)
        return kind != RESUME

    def _leave_turn(self, call: ServerCall[Any]) -> None:
        if call.ended:
            self.close_iterator(call)
        else:
            self._queue_next(call)

    def _takes(self, call: ServerCall[Any]) -> bool:
        """Whether the call can take its next message."""
        return call.runner is None and call.origin is None and not call.congested

    def _queue_next(self, call: ServerCall[Any]) -> None:
        """Queue the turn that takes the next reply of the call's iterable, or the next message that it holds,
        if there is one and it may run."""
        if call.iterator is not None:
            if not call.pulling and not call.congested:
                call.pulling = True
                self.push(PULL, call, None)
        elif call.held and self._takes(call):
            self.release(call, first=True)

    def _next_held(self, call: ServerCall[Any]) -> tuple[int, bytes | None]:
        """The kind and payload of the first message that the call holds."""
        assert isinstance(call.held, deque)
        payload = call.held.popleft()
        if payload is None:
            return END, None
        return (MESSAGE if call.route.method.client_streaming else REQUEST), payload

    def release(self, call: ServerCall[Any], *, first: bool = False) -> None:
        """Queue the turn that takes the first message which the call holds; before all others, if they came
        later, but for the hooks that come before any turn."""
        if call.held and not call.resuming:
            call.resuming = True
            queue = self._queue_of(call)
            if first:
                queue.insert(int(bool(queue) and queue[0][0] in (CONNECT, THAW)), (HELD, call, None))
            else:
                queue.append((HELD, call, None))

    def drained(self, call: ServerCall[Any]) -> None:
        """The client has taken what was sent on the call: it goes on."""
        self._queue_next(call)
        self.schedule.ready(self)

    def keep_last_turns(self) -> None:
        """The client has gone: what is left to run is what closes iterables, an on_thaw that is due, the
        calls' on_call_end, and at last, when what is blocked has ended too, on_disconnect."""
        self.thaw_hook()  # the move that it was frozen for is given up
        self._take_out(lambda turn: turn[0] not in (CLOSE, THAW, CALL_END))
        if self.connected and self.overrides("on_disconnect"):
            self.mailbox.append((DISCONNECT, None, None))

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
            self.mailbox.appendleft((THAW, None, None))

    def leave(self) -> None:
        """The actor lives in another hub now: nobody here may use what is left of it."""
        if self.instance is not None:
            self.instance.__dict__["state"] = MOVED
        # What waits knows its call, and that the cell: all is to be freed at once.
        self.mailbox.clear()
        self.lane.clear()
        self.ends = None

    def abandon_iterators(self, calls: Iterable[ServerCall[Any]]) -> None:
        """Close what the handlers of its calls returned, here, since they are called again elsewhere."""
        left: list[tuple[Any, ServerCall[Any]]] = []
        for call in calls:
            if _can_close(call.iterator):
                left.append((call.iterator, call))
            elif call.parsed:
                call.host.release(call)

        def close_all(runner: Runner) -> None:
            for iterator, call in left:
                self._close(iterator, call)

        if left:
            self.schedule.runners.start(close_all, self.part)

    def interrupted(self) -> None:
        """A call was cancelled, or its deadline has passed. Its turns go when they come up, or when most of
        what waits is such: else a client that begins calls which end at once would fill the mailbox of an
        actor that is blocked."""
        self.stale += 1
        if is_mostly_stale(self.stale, len(self.mailbox) + len(self.lane)):
            self.drop_ended()

    def drop_ended(self) -> None:
        """Take the turns of calls that have ended out of the queues."""
        self.stale = 0
        for _, call, payload in self._take_out(lambda turn: turn[1] is not None and turn[1].ended):
            call.drop(payload)

    def _take_out(self, unwanted: Callable[[Turn], bool]) -> list[Turn]:
        """Take turns out of both queues, and return them; the others stay in their order."""
        taken: list[Turn] = []
        for queue in (self.mailbox, self.lane):
            turns = list(queue)
            queue.clear()
            for turn in turns:
                (taken if unwanted(turn) else queue).append(turn)
        return taken

    def _taken(self, call: ServerCall[Any], payload: bytes, *, again: bool = False) -> Message:
        """The message for the handler, which is about to be called."""
        message = call.take(payload, again=again)
        if self.ends is not None:
            self.ends.began(call)
        return message

    def _request(self, call: ServerCall[Any], payload: bytes) -> None:
        route = call.route
        call.cursor_set = False
        result = route.handler(self.instance, self._taken(call, payload), call)
        if route.method.server_streaming:
            self._answer_stream(call, result, REQUEST, payload)
        else:
            self._answer(call, result)

    def _message(self, call: ServerCall[Any], payload: bytes) -> None:
        route = call.route
        call.cursor_set = False
        result = route.handler(self.instance, self._taken(call, payload), call)
        if route.method.server_streaming:
            self._answer_stream(call, result, MESSAGE, payload)
        elif result is not None:
            end = route.method.end_handler
            raise TypeError(f"{call.method} takes a stream: return its reply from {end}")

    def _end(self, call: ServerCall[Any], payload: None) -> None:
        route = call.route
        assert route.end_handler is not None
        call.cursor_set = False
        if self.ends is not None:
            self.ends.began(call)
        result = route.end_handler(self.instance, call)
        if not route.method.server_streaming:
            self._answer(call, result)
        elif result is not None:
            self._answer_stream(call, result, END, None)

    def _answer(self, call: ServerCall[Any], reply: object) -> None:
        if call.ended:
            return
        if not isinstance(reply, call.route.method.reply):
            wanted = call.route.method.reply.DESCRIPTOR.full_name
            raise TypeError(f"{call.method} must return a {wanted}, not {type(reply).__name__}")
        call.reply(reply)

    def _resume(self, call: ServerCall[Any], payload: None) -> None:
        """Call the handler again whose iterable stayed behind, in the hub that the connection left."""
        assert call.origin is not None
        route = call.route
        kind, message = call.origin
        call.origin = None
        if message is None:
            assert route.end_handler is not None
            replies = route.end_handler(self.instance, call)
        else:
            replies = route.handler(self.instance, self._taken(call, message, again=True), call)
        self._answer_stream(call, replies, kind, message)

    def _answer_stream(self, call: ServerCall[Any], replies: Any, kind: int, message: bytes | None) -> None:
        """Pull replies, one in each turn from now on. ``kind`` and ``message``: the turn that they answer."""
        if replies is None:
            return
        if call.ended:
            if _can_close(replies):
                self._close(replies, call)
            return
        call.origin = (kind, message)
        call.iterator = iter(replies)

    def _pull(self, call: ServerCall[Any], payload: None) -> None:
        call.pulling = False
        assert call.iterator is not None
        try:
            reply = next(call.iterator)
        except StopIteration:
            assert call.origin is not None
            kind, _ = call.origin
            call.iterator = call.origin = None
            if kind != MESSAGE and not call.ended:
                call.finish()
            return
        self.schedule.runners.leave_child()  # one that was forked there has come out
        call.send(reply)

    # ---- turns of the actor's own

    def _own_turn(self, kind: int, payload: Any) -> None:
        if kind == TOPIC:
            topic, type_name, message = payload
            self.stage.host.took(self, message)
            self.run_hook("on_topic", topic, message_class(type_name).FromString(message))
        elif kind == CONNECT:
            self._connect()
        elif kind == DISCONNECT:
            if self.mailbox or self.lane or self.beside:
                self.parting = True
            else:
                self.run_hook("on_disconnect")
        elif kind == THAW:
            self.frozen = False
            self.run_hook("on_thaw")
            self.thawing = False
            self._open_lane()
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
            hook = "on_connect"
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
            self._open_lane()
            if stage.phase.state == CLOSED:
                self.keep_last_turns()

    def _open_lane(self) -> None:
        """Turns that may run side by side need not wait for what is next in the mailbox."""
        if self.lane:
            self.schedule.ready(self)

    def discard(self) -> None:
        """Drop all that waits: the instance could not be made."""
        for _, call, payload in self._take_out(lambda turn: True):
            if call is not None:
                call.drop(payload)

    def close_iterator(self, call: ServerCall[Any]) -> None:
        """Close the iterable of a call that has ended, as a turn: a generator's ``finally`` blocks run."""
        if _can_close(call.iterator):
            if self.ends is not None:
                self.ends.closes(call)
            self._queue_of(call).append((CLOSE, None, (call.iterator, call)))
            self.schedule.ready(self)
        elif call.parsed:
            call.host.release(call)
        call.iterator = call.origin = None

    def _close(self, iterator: Any, call: ServerCall[Any]) -> None:
        runner: Any = gevent.getcurrent()
        runner.shielded = True
        try:
            run_in(call, iterator.close)
        except BaseException as error:
            log.exception(
                "closing an iterable of %s raised, on connection %s",
                self.name,
                self.stage.id,
                extra=about(self.name),
            )
            contain(error)
        finally:
            runner.shielded = False
            if call.parsed:
                call.host.release(call)
            if self.ends is not None:
                self.ends.closed(call)
                self._queue_end(call)

    @property
    def closing(self) -> bool:
        """Whether iterables of calls that have ended wait to be closed: their turns do not travel."""
        return any(turn[0] == CLOSE for queue in (self.mailbox, self.lane) for turn in queue)

    def close_iterators(self) -> None:
        """Run these turns now, before others that wait."""
        for _, _, (iterator, call) in self._take_out(lambda turn: turn[0] == CLOSE):
            self._close(iterator, call)

    def call_ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        """A call has ended: have the actor hear of it, if it knows the call. For a cell that has ``ends``."""
        assert self.ends is not None
        self.ends.ended(call, status, message)
        self._queue_end(call)

    def _queue_end(self, call: ServerCall[Any]) -> None:
        """Queue on_call_end, if the call has ended and nothing of it runs."""
        assert self.ends is not None
        ended = self.ends.take(call)
        if ended is not None:
            self.mailbox.append((CALL_END, None, ended))
            self.schedule.ready(self)

    def say_goodbye(self, runner: Runner) -> None:
        """Run on_disconnect where the actor ends before its connection does."""
        try:
            self.run_hook("on_disconnect")
        finally:
            self.schedule.drained(self)

    def _tell_end(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        assert self.ends is not None
        self.ends.waiting -= 1
        # As all that is done for a call, in its context.
        self.run_hook("on_call_end", call, status, message, through=partial(run_in, call))
        self._open_lane()

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
        kind = about(hook, self.name)
        log.exception("%s of %s raised, on connection %s", hook, self.name, self.stage.id, extra=kind)

    def _hook(self, name: str, *args: Any, through: Callable[..., None] | None = None) -> None:
        function = getattr(self.instance, name)
        self._as_hook(name, function if through is None else partial(through, function), *args)

    def _as_hook(self, name: str, function: Callable[..., Any], *args: Any) -> None:
        """Run it in a context of its own, as ``actorrpc connections`` shows it. It is not interrupted when
        the client goes: what on_connect begins, on_disconnect ends."""
        runner: Any = gevent.getcurrent()
        self.hook = name
        self.since = runner.since = monotonic()
        runner.shielded = True
        try:
            function(*args)
        finally:
            self.hook = ""
            runner.shielded = False
            runner.gr_context = None

    # ---- moving

    def freeze(self) -> snapshot_pb2.ActorSnapshot:
        """The state, and the turns that wait."""
        service = self.service
        kind = service.__rpc__.state
        if kind is None:
            state = None
        else:
            state = (kind() if self.instance is None else self.instance.state).SerializeToString()
        return snapshot_pb2.ActorSnapshot(
            service=self.name,
            state=state,
            # An instance that has not been made yet is made before the snapshot's turns are queued.
            connected=self.connected or (self.instance is None and not self.overrides("on_connect")),
            mailbox=[freeze_turn(turn) for turn in self.mailbox if turn[0] <= CALL_END],
            concurrent=[freeze_turn(turn) for turn in self.lane if turn[0] <= CALL_END],
            state_version=service.state_version if issubclass(service, Actor) else 0,
            identity=self.identity,
        )

    def thaw_turns(
        self, snapshot: snapshot_pb2.ActorSnapshot, calls: dict[int, ServerCall[Any]], ended: dict[int, Ended]
    ) -> None:
        """Queue the turns of a snapshot, whose calls are here by their streams."""
        self.connected = snapshot.connected
        if not self.connected:
            self.mailbox.append((CONNECT, None, None))
        for turn in snapshot.mailbox:
            if turn.kind == CALL_END:
                self._thaw_end(turn.stream, ended)
            else:
                self.mailbox.append(thaw_turn(turn, calls))
        for each in snapshot.concurrent:
            self.push(*thaw_turn(each, calls))  # this hub's app may say otherwise
        for turn in snapshot.mailbox:
            if turn.kind == TOPIC:
                self._count_topic(turn.payload)

    def resume(self, call: ServerCall[Any]) -> None:
        """Queue the turn that calls the handler again whose iterable stayed behind."""
        self._queue_of(call).appendleft((RESUME, call, None))

    def _thaw_end(self, stream: int, ended: dict[int, Ended]) -> None:
        if stream not in ended:
            raise SnapshotError(f"the end of a call on stream {stream}, which is not told")
        if self.ends is not None:  # else this hub's app has no on_call_end any more
            self.ends.waiting += 1
            self.mailbox.append((CALL_END, None, ended[stream]))

    def __repr__(self) -> str:
        return (
            f"<Cell {self.name} {len(self.mailbox)}+{len(self.lane)} turns wait{', running' * self.running}>"
        )


def key_of(service: str, identity: str) -> str:
    """What a connection knows the cell by that serves a service, by its full name, for an identity."""
    return f"{service} of {identity}" if identity else service


def is_mostly_stale(stale: int, waiting: int) -> bool:
    """Whether so many interrupted calls are worth looking for among what waits."""
    return stale > max(_FEW_STALE, waiting // 2)


def _can_close(iterator: object) -> bool:
    """Whether it has a ``close``, as generators have. It is the app's: to look may raise anything."""
    try:
        return hasattr(iterator, "close")
    except BaseException:
        log.exception("an iterable cannot be asked for its close")
        return False


_TURNS: dict[int, Callable[[Cell, ServerCall[Any], Any], None]] = {
    REQUEST: Cell._request,
    MESSAGE: Cell._message,
    END: Cell._end,
    PULL: Cell._pull,
    RESUME: Cell._resume,
}
