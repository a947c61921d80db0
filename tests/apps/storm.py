"""The app that the storm of moves calls: see storm.proto."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import gevent
from greenlet import greenlet

import actorrpc
from actorrpc.hub.runtime.runners import Runner
from actorrpc.hub.securing.transport import _warm
from tests.apps.bodies import body
from tests.apps.bookkeeper import Bookkeeper
from tests.apps.iterables import Opened, opened, whose
from tests.apps.peers import Guest, Peer
from tests.apps.storm_actorrpc import InspectorBase, StormBase
from tests.apps.storm_pb2 import Book, Counts, Job, Ledger, Number, Oddity, Post, Wish
from tests.apps.troubles import fail, fork

log = logging.getLogger("tests.storm")

#: Seconds between two replies of an iterable, so that moves find it in the midst of them.
BREATH = 0.004

#: What must not outlive its connection, or the call to a keyed actor, by the names of its classes.
COUNTED = (
    "Connection", "ServerSession", "Call", "Cell", "Source", "Target", "Subscription", "Transport",
    "Activation", "Relay", "OutgoingCall", "IncomingCall", "Answers", "Conversation", "ReplyStream", "_Tell",
)  # fmt: skip


def _stream_of(call: actorrpc.Call[Any]) -> int:
    return int(call.id.rpartition("/")[2])


def _noting(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler, which notes that it has seen the call."""

    @wraps(handler)
    def noting(self: Storm, message: Any, call: actorrpc.Call[Any]) -> Any:
        if _stream_of(call) not in self.state.known:
            self.state.known.append(_stream_of(call))
        return handler(self, message, call)

    return noting


class Storm(StormBase):
    state: Ledger

    def on_call_end(self, call: actorrpc.Call[Any], status: actorrpc.StatusCode, message: str) -> None:
        """Told once of each call that a handler has seen, in whichever hub. The log, which the storm reads,
        hears of others also when the client has gone."""
        self._check_context("on_call_end", call.id)
        if _stream_of(call) not in self.state.known or call in self.calls:
            log.error("on_call_end of %r, %s %s: it is not known, or open", call, status, message)
        else:
            self.state.known.remove(_stream_of(call))

    def on_disconnect(self) -> None:
        if self.state.known:
            log.error("on_call_end has not been told of %r", self.state.known)

    def on_freeze(self) -> None:
        self.state.freezes += 1
        self._check_context("on_freeze")

    def on_thaw(self) -> None:
        self.state.thaws += 1
        self._check_context("on_thaw")

    def on_topic(self, topic: str, message: Post) -> None:
        self._check_context("on_topic")
        if not message.number:  # a knock, to learn whether the subscription stands
            return
        publisher, number = message.publisher, message.number
        due = self.state.heard[publisher] + 1
        if number != due and not (due == 1 and self.state.late):
            odd = Oddity(publisher=publisher, number=number, due=due, at=time.monotonic())
            self.state.oddities.append(odd)
            if number < due:
                return
        self.state.heard[publisher] = number
        if message.last:
            self.state.finals.append(publisher)

    def _expect(self, what: str, number: int, expected: int) -> None:
        if number != expected:
            self.state.faults.append(f"{what}: {number} where {expected} was due")

    def _check(self, what: str, message: Number, expected: int) -> None:
        self._expect(what, message.number, expected)
        if message.body != body(message.number, len(message.body)):
            self.state.faults.append(f"{what}: the body of {message.number} is not its own")

    def _check_context(self, what: str, *own: str) -> None:
        """Nobody else's context variables are seen; then leave one behind, for others to see."""
        if whose.get() not in ("", *own):
            self.state.faults.append(f"{what} sees the context of {whose.get()}")
        whose.set(own[0] if own else f"{what} of {self.connection_id}")

    def _kept(self, method: str) -> list[actorrpc.Call[Number]]:
        return [call for call in self.calls if call.method.endswith(method)]

    def Count(self, request: Number, call: actorrpc.Call[Number]) -> Number:
        self.state.counted += 1
        self._check("Count", request, self.state.counted)
        self._check_context("Count", call.id)
        reply = Number(number=self.state.counted, body=request.body, pid=os.getpid())
        for watching in self._kept("/Watch"):
            watching.send(reply)
        return reply

    def Watch(self, request: Number, call: actorrpc.Call[Number]) -> None:
        call.send_initial_metadata({"watching": "yes"})

    def Upload(self, message: Number, call: actorrpc.Call[Number]) -> None:
        self.state.uploaded += 1
        call.cursor = b"%d" % (int(call.cursor or b"0") + 1)
        self._check("Upload", message, int(call.cursor))

    def Upload_end(self, call: actorrpc.Call[Number]) -> Number:
        return Number(number=int(call.cursor or b"0"))

    def Talk(self, message: Number, call: actorrpc.Call[Number]) -> None:
        self.state.talked += 1
        self._check_context("Talk", call.id)
        came, sent = map(int, (call.cursor or b"0 0").split())
        self._check("Talk", message, came + 1)
        for number in range(sent + 1, sent + 1 + message.replies):
            call.send(Number(number=number, body=body(number, len(message.body))))
        call.cursor = b"%d %d" % (came + 1, sent + message.replies)

    @actorrpc.concurrent
    def Recite(self, message: Number, call: actorrpc.Call[Number]) -> Iterator[Number]:
        came, sent, said = map(int, (call.cursor or b"0 0 -1").split())
        if said < 0:  # else it is called again, after a move
            self.state.recited += 1
            came, said = came + 1, 0
        self._check("Recite", message, came)
        self._check_compression(call, begun=bool(call.cursor))
        call.cursor = b"%d %d %d" % (came, sent, said)
        return self._recite(message, call, sent, said)

    def _recite(self, message: Number, call: actorrpc.Call[Number], sent: int, said: int) -> Iterator[Number]:
        with Opened(call):
            while said < message.replies:
                gevent.sleep(BREATH)
                sent, said = sent + 1, said + 1
                call.cursor = b"%d %d %d" % (message.number, sent, said)
                yield Number(number=sent, body=body(sent, len(message.body)))
        call.cursor = b"%d %d -1" % (message.number, sent)

    @actorrpc.concurrent
    def Murmur(self, request: Number, call: actorrpc.Call[Number]) -> Iterator[Number]:
        self._check("Murmur", request, 1)
        self._check_compression(call, begun=bool(call.cursor))
        call.cursor = call.cursor or b"0"  # else it could not move before the first reply
        return self._murmur(request, call, int(call.cursor))

    def _murmur(self, request: Number, call: actorrpc.Call[Number], number: int) -> Iterator[Number]:
        with Opened(call):
            while number < request.replies or not request.replies:
                gevent.sleep(BREATH)
                number += 1
                call.cursor = b"%d" % number
                yield Number(number=number, body=body(number, len(request.body)))

    def Pour(self, request: Wish, call: actorrpc.Call[Number]) -> Iterator[Number]:
        call.cursor = call.cursor or b"0"
        return self._pour(request, call, int(call.cursor))

    @actorrpc.concurrent
    def Drizzle(self, request: Wish, call: actorrpc.Call[Number]) -> Iterator[Number]:
        return self.Pour(request, call)

    def _pour(self, wish: Wish, call: actorrpc.Call[Number], number: int) -> Iterator[Number]:
        pid = os.getpid()
        with Opened(call):
            while number < wish.replies:
                if wish.raise_after and number == wish.raise_after:
                    raise actorrpc.RpcError(actorrpc.StatusCode.ABORTED, "enough")
                if wish.breathe_every and not number % wish.breathe_every:
                    gevent.sleep(BREATH)
                number += 1
                call.cursor = b"%d" % number
                yield Number(number=number, body=body(number, wish.size), pid=pid)
                if whose.get() != call.id:
                    raise actorrpc.RpcError(actorrpc.StatusCode.INTERNAL, f"the context of {whose.get()!r}")

    def Heap(self, message: Wish, call: actorrpc.Call[Number]) -> None:
        sent = int(call.cursor or b"0")
        call.cursor = b"%d" % (sent + message.replies)
        for number in range(sent + 1, sent + 1 + message.replies):
            call.send(Number(number=number, body=body(number, message.size), pid=os.getpid()))

    def Fork(self, request: Job, call: actorrpc.Call[Number]) -> Number:
        return Number(number=fork(request.what, request.seconds), pid=os.getpid())

    def Offload(self, request: Job, call: actorrpc.Call[Number]) -> Number:
        try:
            self.offload(fail, request.what)
        except (ValueError, SystemExit) as error:
            raise actorrpc.RpcError(actorrpc.StatusCode.ABORTED, type(error).__name__) from error
        raise AssertionError("it has not raised")

    def Barred(self, request: Number, call: actorrpc.Call[Number]) -> Number:
        self.state.faults.append("Barred: the handler of a call that an interceptor has ended")
        return request

    def _check_compression(self, call: actorrpc.Call[Number], *, begun: bool) -> None:
        """Both ways; of the replies that nobody has begun with, it is chosen here."""
        self._expect(f"{call.method}, request compressed", call.request_compressed, True)
        if begun:
            self._expect(f"{call.method}, replies compressed", call.compression == "gzip", True)
        else:
            call.set_compression("gzip")

    def Listen(self, request: Post, call: actorrpc.Call[Post]) -> None:
        self.state.late = request.late
        self.subscribe(request.room, call)
        self.subscribe(request.room)

    def Publish(self, request: Post, call: actorrpc.Call[Number]) -> Number:
        if request.number:
            self.state.published += 1
            self._expect("Publish", request.number, self.state.published)
        self.publish(request.room, request)
        return Number(number=request.number)

    def Silent(self, request: Number, call: actorrpc.Call[Number]) -> None:
        pass

    @actorrpc.concurrent
    def Blocked(self, request: Number, call: actorrpc.Call[Number]) -> Number:
        gevent.sleep(60)
        raise AssertionError("its deadline has not come")

    def Report(self, request: Number, call: actorrpc.Call[Ledger]) -> Ledger:
        self.state.connection, self.state.peer = self.connection_id, call.peer
        return self.state

    def Finish(self, request: Number, call: actorrpc.Call[Ledger]) -> Ledger:
        for kept in (*self._kept("/Watch"), *self._kept("/Listen")):
            kept.finish()
        if request.body:
            self.unsubscribe(request.body.decode())
        return self.Report(request, call)


for _method in Storm.__rpc__.methods:
    setattr(Storm, _method.name, _noting(getattr(Storm, _method.name)))


class Inspector(InspectorBase):
    def Census(self, request: Number, call: actorrpc.Call[Counts]) -> Counts:
        # A request that was there before the connection is read, and answered, while the handoff that brought
        # the connection here is still on the loop's stack: let that end first.
        gevent.sleep(0)
        gevent.get_hub().threadpool.kill()  # it has as many threads as were once busy together
        gc.collect()
        alive = Counter(type(each).__name__ for each in gc.get_objects())
        loop = gevent.get_hub().loop
        counts = {name: alive[name] for name in COUNTED}
        counts["greenlets"] = sum(isinstance(each, greenlet) and not _idle(each) for each in gc.get_objects())
        counts["watchers"] = loop.activecnt
        counts["open iterables"] = opened()
        counts["a timer for TLS connections"] = int(_warm.timed)
        counts["pending watchers"] = loop.pendingcnt
        return Counts(pid=os.getpid(), counts=counts)

    def Endings(self, request: Number, call: actorrpc.Call[Book]) -> Book:
        return bookkeeper.take()


def _idle(stack: greenlet) -> bool:
    """Whether it waits in the pool for the next turn: there are as many as once were busy together."""
    return isinstance(stack, Runner) and stack in stack.pool._free


bookkeeper = Bookkeeper()
app = actorrpc.App([Storm, Inspector, Peer, Guest], interceptors=[bookkeeper])
#: The same without interceptors, whose calls are made and admitted in another way.
plain = actorrpc.App([Storm, Inspector, Peer, Guest])
