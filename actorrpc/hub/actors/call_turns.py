"""``CallTurns``: how the turns of calls run: what the handler is called with, and what becomes of its answer.

Where a call cannot take its next message yet (its last turn still runs, its iterable is not exhausted, or
its client is far behind), the message moves from the queue to ``call.held``, once. When the call can take it,
a HELD turn is queued, which takes the first of them, and queues the next one behind itself.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from google.protobuf.message import Message

from actorrpc.errors import StatusCode
from actorrpc.hub.actors.mailbox import Mailbox
from actorrpc.hub.actors.turns import (
    CALL_END,
    CLOSE,
    CONNECT,
    END,
    HELD,
    MESSAGE,
    PULL,
    REQUEST,
    RESUME,
    THAW,
    TOPIC,
)
from actorrpc.hub.calls.call import UNSENT_HIGH, ServerCall
from actorrpc.hub.calls.failures import contain, fail
from actorrpc.hub.calls.variables import run_in
from actorrpc.hub.phase import label
from actorrpc.hub.runtime.runners import Runner
from actorrpc.log import about

__all__ = ["CallTurns"]

log = logging.getLogger("actorrpc.hub")


class CallTurns(Mailbox):
    """The turns of calls, for the handlers of one instance."""

    __slots__ = ("instance", "name", "stage_id")

    #: The service's, once it has been made.
    instance: Any
    #: The service's full name, and where it lives, for the log.
    name: str
    stage_id: str

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
        runner.turn = call
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
            call.runner = runner.turn = None
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
        self._queue_next(call)
        self.schedule.ready(self)

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

    # ---- iterables that handlers return

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
        turn = runner.turn
        runner.turn, runner.shielded = call, True
        try:
            run_in(call, iterator.close)
        except BaseException as error:
            log.exception(
                "closing an iterable of %s raised, on %s",
                self.name,
                label(self.stage_id),
                extra=about(self.name, connection=self.stage_id, call=call.id),
            )
            contain(error)
        finally:
            runner.turn, runner.shielded = turn, False
            if call.parsed:
                call.host.release(call)
            if self.ends is not None:
                self.ends.closed(call)
                self._queue_end(call)

    @property
    def closing(self) -> bool:
        """Whether iterables of calls that have ended wait to be closed: their turns do not travel."""
        return any(turn[0] == CLOSE for queue in (self.mailbox, self.concurrent) for turn in queue)

    def close_iterators(self) -> None:
        """Run these turns now, before others that wait."""
        for _, _, (iterator, call) in self._take_out(lambda turn: turn[0] == CLOSE):
            self._close(iterator, call)

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

    def resume(self, call: ServerCall[Any]) -> None:
        """Queue the turn that calls the handler again whose iterable stayed behind."""
        self._queue_of(call).appendleft((RESUME, call, None))

    # ---- their ends

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
            self.queue().append((CALL_END, None, ended))
            self.schedule.ready(self)


def _can_close(iterator: object) -> bool:
    """Whether it has a ``close``, as generators have. It is the app's: to look may raise anything."""
    try:
        return hasattr(iterator, "close")
    except BaseException:
        log.exception("an iterable cannot be asked for its close")
        return False


_TURNS: dict[int, Callable[[CallTurns, ServerCall[Any], Any], None]] = {
    REQUEST: CallTurns._request,
    MESSAGE: CallTurns._message,
    END: CallTurns._end,
    PULL: CallTurns._pull,
    RESUME: CallTurns._resume,
}
