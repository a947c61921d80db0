"""What handlers do wrong, and what happens at the worst moment: nobody else may notice."""

from __future__ import annotations

import contextvars
import queue
import sys
import threading
import time
from typing import Any

import gevent
import gevent.event
import grpc
import hpack
import pytest

import actorrpc
from actorrpc.hub.moving.departure import resume
from actorrpc.hub.moving.move_cost import MoveCosts
from actorrpc.hub.moving.snapshot import freeze
from actorrpc.hub.node import Node
from actorrpc.hub.topics import numbered_log as topic_log
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient


def connect(hubs: Hubs, *options: tuple[str, object]) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1), *options])


def code_of(call: Any) -> grpc.StatusCode:
    error = call.exception(10)
    return grpc.StatusCode.OK if error is None else error.code()


def _timeout() -> None:
    raise gevent.Timeout(1)


def _blocked_timeout() -> None:
    with gevent.Timeout(0.01):
        gevent.sleep(9)


def _greenlet_exit() -> None:
    raise gevent.GreenletExit


def _bad_error() -> None:
    class Half(actorrpc.RpcError):
        def __init__(self) -> None:
            pass

    raise Half


@pytest.mark.parametrize(
    "misdeed",
    [_timeout, _blocked_timeout, _greenlet_exit, sys.exit, _bad_error],
    ids=lambda function: function.__name__,
)
def test_whatever_a_handler_raises_ends_its_call_only(misdeed):
    class Bad(StatefulBase):
        def Unary(self, request, call):
            if request.text == "now":
                misdeed()
            return request

    with serving(actorrpc.App([Bad])) as hubs, connect(hubs) as channel, connect(hubs) as other:
        stub = StatefulStub(channel)
        assert code_of(stub.Unary.future(Item(text="now"))) is grpc.StatusCode.UNKNOWN
        for each in (channel, other):
            assert StatefulStub(each).Unary(Item(number=1), timeout=10).number == 1


@pytest.mark.parametrize("message", ["no file \udcff", KeyError("x"), None])
def test_error_messages_of_any_kind_arrive(message):
    class Bad(StatefulBase):
        def Unary(self, request, call):
            metadata = {"Upper": "case"} if message is None else {}  # which cannot be sent
            raise actorrpc.RpcError(actorrpc.StatusCode.NOT_FOUND, message, metadata)

    with serving(actorrpc.App([Bad])) as hubs, connect(hubs) as channel:
        assert code_of(StatefulStub(channel).Unary.future(Item())) is grpc.StatusCode.NOT_FOUND


def test_a_timeout_that_a_handler_forgot_hits_nobody_else():
    class Forgetful(StatefulBase):
        def Unary(self, request, call):
            if request.text:
                gevent.Timeout(0.02).start()
            return request

    with serving(actorrpc.App([Forgetful])) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item(text="forget"))
        end = time.monotonic() + 0.2
        while time.monotonic() < end:  # over the moment at which it fires
            code_of(stub.Unary.future(Item(), timeout=10))
        assert code_of(stub.Unary.future(Item(), timeout=10)) is grpc.StatusCode.OK


def test_a_timeout_that_a_handler_forgot_hits_nobody_who_is_blocked_when_it_fires():
    """The stack on which it was started has another client's turn by then."""
    gate = gevent.event.Event()
    timeouts: list[gevent.Timeout] = []
    ran_on: list[Any] = []

    class Forgetful(StatefulBase):
        def Unary(self, request, call):
            ran_on.append(gevent.getcurrent())
            if request.text:
                timeouts.append(gevent.Timeout(60))
                timeouts[0].start()
            else:
                gate.wait()
            return request

    with serving(actorrpc.App([Forgetful])) as hubs, connect(hubs) as alice, connect(hubs) as bob:
        StatefulStub(alice).Unary(Item(text="forget"), timeout=10)
        call = StatefulStub(bob).Unary.future(Item(), timeout=20)
        hubs.wait_for(lambda: len(ran_on) == 2)
        assert ran_on[0] is ran_on[1]
        hubs.ask(lambda: ran_on[0].throw(timeouts[0]))  # as its timer does
        hubs.ask(timeouts[0].close)
        hubs.ask(gate.set)
        assert code_of(call) is grpc.StatusCode.OK


def test_a_timeout_of_its_own_turn_hits_it():
    """Also where the stack had another turn just before."""

    class Waits(StatefulBase):
        def Unary(self, request, call):
            with gevent.Timeout(request.sleep, False):
                gevent.event.Event().wait()
            return request

    with serving(actorrpc.App([Waits])) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        calls = [stub.Unary.future(Item(sleep=0.001 * n), timeout=20) for n in range(1, 20)]
        assert {code_of(call) for call in calls} == {grpc.StatusCode.OK}


def test_a_handlers_context_is_not_for_the_next_call():
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")

    class Contextual(StatefulBase):
        def Unary(self, request, call):
            before = user.get()
            user.set(request.text)
            gevent.sleep(0)
            return Item(text=f"{before} then {user.get()}")

    with serving(actorrpc.App([Contextual])) as hubs, connect(hubs) as alice, connect(hubs) as bob:
        assert StatefulStub(alice).Unary(Item(text="alice")).text == "nobody then alice"
        assert StatefulStub(bob).Unary(Item(text="bob")).text == "nobody then bob"


def test_an_iterable_returned_while_a_move_waits_keeps_the_connection_here():
    entered: queue.Queue[int] = queue.Queue()
    go: list[int] = []

    class Slow(StatefulBase):
        def Expand(self, request, call):
            entered.put(1)
            while not go:
                gevent.sleep(0.001)
            return [Item(number=number) for number in range(3)]

    with serving(actorrpc.App([Slow]), 2, quiesce_timeout=20) as hubs, connect(hubs) as channel:
        replies = StatefulStub(channel).Expand(Item())
        entered.get(timeout=10)
        connection, results = hubs.connection(), []
        hubs.ask(lambda: hubs.nodes[0].mover.move(connection.id, 1, results.append))
        hubs.wait_for(lambda: connection.phase.state == "quiescing")
        go.append(1)
        assert [reply.number for reply in replies] == [0, 1, 2]
        assert hubs.wait_for(lambda: results)[0].why.startswith("the iterable that")


def test_what_cannot_be_frozen_stays_and_goes_on():
    class Odd(StatefulBase):
        def Unary(self, request, call):
            with pytest.raises(TypeError, match="must be bytes"):
                call.cursor = "text"
            return request

    def broken(*args: Any) -> bytes:
        raise ValueError("cannot be serialized")

    with serving(actorrpc.App([Odd]), 2) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("actorrpc.hub.moving.departure.freeze", broken)
            assert hubs.move(1).why == "ValueError: cannot be serialized"
        stub.Unary(Item())
        assert not hubs.move(1).why


def test_a_greenlet_of_a_handlers_own_is_told_that_its_call_has_moved():
    errors: queue.Queue[str] = queue.Queue()
    go: list[int] = []

    class Spawner(StatefulBase):
        def Listen(self, request, call):
            def later() -> None:
                while not go:
                    gevent.sleep(0.001)
                for action in (lambda: call.send(Item()), call.finish, lambda: self.publish("t", Item())):
                    try:
                        action()
                    except RuntimeError as error:
                        errors.put(str(error))

            gevent.spawn(later)
            call.send_initial_metadata({"a": "b"})

    with serving(actorrpc.App([Spawner]), 2) as hubs, connect(hubs) as channel:
        replies = StatefulStub(channel).Listen(Item())
        dict(replies.initial_metadata())
        assert not hubs.move(1).why
        go.append(1)
        assert all("is served by another hub now" in errors.get(timeout=10) for _ in range(3))


def test_use_from_another_thread_is_an_error():
    errors: queue.Queue[BaseException] = queue.Queue()

    class Threaded(StatefulBase):
        def Listen(self, request, call):
            def work() -> None:
                try:
                    call.send(Item())
                except RuntimeError as error:
                    errors.put(error)

            gevent.sleep(0)
            self.offload(work)
            call.finish()

    with serving(actorrpc.App([Threaded])) as hubs, connect(hubs) as channel:
        list(StatefulStub(channel).Listen(Item()))
        assert "not for other threads" in str(errors.get(timeout=10))


def test_windows_are_given_back_for_messages_that_no_handler_took():
    """Refused, expired and cancelled calls leave nothing of the connection's window behind."""

    class Refusing(StatefulBase):
        def on_connect(self):
            raise actorrpc.RpcError(actorrpc.StatusCode.UNAUTHENTICATED, "no")

    class Slow(StatelessBase):
        def Unary(self, request, call):
            gevent.sleep(request.sleep)
            return request

    with (
        serving(actorrpc.App([Refusing, Slow]), connection_window_bytes=200_000) as hubs,
        connect(hubs) as channel,
    ):
        for _ in range(40):
            call = StatefulStub(channel).Unary.future(Item(body=b"x" * 50_000))
            assert code_of(call) is grpc.StatusCode.UNAUTHENTICATED
        slow = [
            StatelessStub(channel).Unary.future(Item(sleep=1, body=b"x"), timeout=0.05) for _ in range(50)
        ]
        empty = [StatelessStub(channel).Unary.future(Item(), timeout=0.05) for _ in range(50)]
        for call in slow + empty:
            code_of(call)
        assert StatelessStub(channel).Unary(Item(number=1, body=b"x" * 50_000), timeout=10).number == 1
        connection = hubs.connection()
        hubs.wait_for(lambda: connection.session.inbound.held == 0)


def test_no_turn_begins_for_a_client_that_has_gone():
    begun: list[int] = []
    entered = threading.Event()

    class Slow(StatefulBase):
        def Unary(self, request, call):
            begun.append(request.number)
            entered.set()
            gevent.sleep(60)

    with serving(actorrpc.App([Slow])) as hubs:
        channel = connect(hubs)
        stub = StatefulStub(channel)
        calls = [stub.Unary.future(Item(number=number)) for number in range(10)]
        assert entered.wait(10)
        connection = hubs.connection()
        hubs.wait_for(lambda: sum(len(cell.mailbox) for cell in connection.cells.values()) == 9)
        hubs.ask(connection.close)  # as when the socket ends; a client that closes resets call by call
        assert [code_of(call) for call in calls] == [grpc.StatusCode.UNAVAILABLE] * 10
        assert len(begun) == 1
        channel.close()


def test_stopping_interrupts_blocked_handlers():
    seen: queue.Queue[Any] = queue.Queue()

    class Slow(StatefulBase):
        def Unary(self, request, call):
            try:
                gevent.sleep(60)
            except actorrpc.CallInterrupted as error:
                seen.put((str(error), call.cancelled))
                raise

    with serving(actorrpc.App([Slow])) as hubs:
        with connect(hubs) as channel:
            blocked = StatefulStub(channel).Unary.future(Item())
            connection = hubs.connection()
            hubs.wait_for(lambda: any(call.runner for call in connection.calls.values()))
            stopped: list[int] = []
            hubs.ask(lambda: hubs.nodes[0].stop(0, lambda: stopped.append(1)))
            assert code_of(blocked) is grpc.StatusCode.UNAVAILABLE
            assert seen.get(timeout=10) == ("the server is shutting down", True)
        hubs.wait_for(lambda: stopped)
        hubs.nodes[0] = Node(app, hubs.nodes[0].resources.config)  # for the fixture to stop


def test_a_failed_on_connect_leaves_no_subscription():
    attempts: list[int] = []
    got: list[int] = []

    class Choosy(StatefulBase):
        def on_connect(self):
            self.subscribe("news")
            attempts.append(1)
            if len(attempts) == 1:
                raise actorrpc.RpcError(actorrpc.StatusCode.UNAVAILABLE, "later")

        def on_topic(self, topic, message):
            got.append(message.number)

        def Publish(self, request, call):
            self.publish("news", request)
            return request

        def Unary(self, request, call):
            return request

    with serving(actorrpc.App([Choosy]), 2) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        assert code_of(stub.Unary.future(Item())) is grpc.StatusCode.UNAVAILABLE
        stub.Publish(Item(number=7))
        assert not hubs.move(1).why
        stub.Publish(Item(number=8))
        hubs.wait_for(lambda: len(got) >= 2)
        assert got == [7, 8]


def test_a_generator_is_closed_in_a_turn():
    overlaps: list[str] = []
    closed = threading.Event()

    class Careful(StatefulBase):
        busy = actorrpc.transient(list)

        def Expand(self, request, call):
            try:
                while True:
                    yield Item(body=b"x" * 100_000)
            finally:
                overlaps.extend(self.busy)
                gevent.sleep(0.01)
                closed.set()

        def Unary(self, request, call):
            self.busy.append("Unary")
            gevent.sleep(request.sleep)
            self.busy.clear()
            return request

    with serving(actorrpc.App([Careful]), 2) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        replies = stub.Expand(Item())
        next(replies)
        blocked = stub.Unary.future(Item(sleep=0.2))
        connection = hubs.connection()
        hubs.wait_for(lambda: any(call.runner for call in connection.calls.values()))
        replies.cancel()
        blocked.result(10)
        assert closed.wait(10)
        assert overlaps == []


def test_topics_that_nobody_hears_cost_nothing():
    with serving(app, 1) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        for number in range(100):
            stub.Publish(Item(text=f"topic {number}"))
        assert hubs.ask(lambda: hubs.nodes[0].resources.topics._home.logs.logs) == {}


def test_a_subscription_that_fell_behind_says_so_and_an_actor_goes_on(monkeypatch, caplog):
    monkeypatch.setattr(topic_log, "KEEP_MESSAGES", 3)
    with serving(app, 2) as hubs, connect(hubs) as channel, connect(hubs) as other:
        stub, publisher = StatefulStub(channel), StatefulStub(other)
        replies = stub.Listen(Item(text="fast", status=1))
        dict(replies.initial_metadata())
        connection = hubs.connection()
        hubs.ask(lambda: freeze(connection, MoveCosts()))
        assert connection.phase.state == "frozen"
        for number in range(10):
            publisher.Publish(Item(text="fast", number=number))
        hubs.ask(lambda: resume(connection))
        with pytest.raises(grpc.RpcError) as caught:
            next(replies)
        assert caught.value.code() is grpc.StatusCode.DATA_LOSS
        publisher.Publish(Item(text="fast", number=10))
        hubs.wait_for(lambda: "fast: 10" in connection.cells["shapes.Stateful"].instance.state.notes)
        assert "messages 1 to 7 are lost" in caplog.text


WHOLE = raw.END_HEADERS | raw.END_STREAM


@pytest.mark.parametrize("flood", ["ping", "unknown method"])
def test_a_client_that_asks_and_never_reads_is_not_read_either(flood):
    with serving(app, permit_keepalive_time=0, flood_burst=0) as hubs, RawClient(hubs.address) as client:
        client.sock.settimeout(1)
        connection = hubs.connection()
        encoder, stream, sent = hpack.Encoder(), 1, 0
        fields = [(":method", "POST"), (":scheme", "http"), (":path", "/no/" + "x" * 200)]
        fields += [("content-type", "application/grpc"), ("te", "trailers")]
        with pytest.raises(TimeoutError):
            while sent < 100_000_000:
                if flood == "ping":
                    data = raw.frame(raw.PING, 0, 0, b"abcdefgh") * 1000
                else:
                    frames = []
                    for _ in range(1000):
                        frames.append(raw.frame(raw.HEADERS, WHOLE, stream, encoder.encode(fields)))
                        stream += 2
                    data = b"".join(frames)
                client.send(data)
                sent += len(data)
        assert hubs.ask(lambda: connection.session.outbound.pending) < 12_000_000
        with connect(hubs) as channel:
            assert StatelessStub(channel).Unary(Item(number=1), timeout=10).number == 1


def test_a_client_that_leaves_early_leaves_nothing_behind():
    log: list[str] = []
    go: list[int] = []

    class Slow(StatefulBase):
        def on_connect(self):
            log.append("connect")
            while not go:
                gevent.sleep(0.001)

        def on_disconnect(self):
            log.append("disconnect")

    with serving(actorrpc.App([Slow])) as hubs:
        fields = [(":method", "POST"), (":scheme", "http"), (":path", "/shapes.Stateful/Unary")]
        request = raw.headers(1, [*fields, ("content-type", "application/grpc"), ("te", "trailers")])
        node = hubs.nodes[0]
        for whole in (False, True):  # before the message has come, and while on_connect runs
            with RawClient(hubs.address, raw.OPEN + request) as client:
                hubs.wait_for(lambda: any(c.calls for c in node.connections.values()))
                if whole:
                    client.send(raw.data(1, raw.message(b""), raw.END_STREAM))
                    hubs.wait_for(lambda: log)
            hubs.wait_for(lambda: not node.connections)
        go.append(1)
        hubs.wait_for(lambda: not node._finishing)
        assert log == ["connect", "disconnect"]


@pytest.mark.parametrize("what", ["send", "finish"])
def test_a_single_reply_is_returned_not_sent(what, caplog):
    class Wrong(StatefulBase):
        def Unary(self, request, call):
            call.send(request) if what == "send" else call.finish()
            return request

    with serving(actorrpc.App([Wrong])) as hubs, connect(hubs) as channel:
        call = StatefulStub(channel).Unary.future(Item(), timeout=10)
        assert code_of(call) is grpc.StatusCode.UNKNOWN
        assert "has a single reply: return it" in caplog.text


def test_a_slow_actor_leaves_its_topics_messages_at_their_home(monkeypatch):
    monkeypatch.setattr("actorrpc.hub.actors.sinks.MAX_WAITING", 10)
    go: list[int] = []

    class Slow(StatefulBase):
        def Unary(self, request, call):
            self.subscribe("busy")
            return request

        def on_topic(self, topic, message):
            while not go:
                gevent.sleep(0.001)
            self.state.notes.append(str(message.number))

        @actorrpc.concurrent
        def Beside(self, request, call):
            for number in range(request.number):
                self.publish("busy", Item(number=number))
            return Item(number=len(self.state.notes))

    with serving(actorrpc.App([Slow])) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item())
        stub.Beside(Item(number=100))
        cell = hubs.connection().cells["shapes.Stateful"]
        assert hubs.ask(lambda: len(cell.mailbox)) <= 10
        go.append(1)
        hubs.wait_for(lambda: len(cell.instance.state.notes) == 100)
        assert list(cell.instance.state.notes) == [str(number) for number in range(100)]


def test_old_messages_of_a_topic_are_dropped():
    log = topic_log.TopicLog("e")
    for number in range(5):
        log.append("t", b"x", now=float(number))
    log.drop_before(3.0)
    assert (log.kept, log.size) == (3, 2)
