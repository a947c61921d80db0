"""on_call_end: an actor hears once of the end of each call that a handler of it has seen, however it ends."""

from __future__ import annotations

import contextvars
import queue
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import gevent.event
import grpc
import pytest

import actorrpc
from actorrpc import RpcError, StatusCode
from actorrpc.hub.calls import call_ends
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient
from tests.support.waiting import PATIENCE


class Noting(StatefulBase):
    """Keeps what it knows of its calls in ``state``, and tells the test what it sees.

    A message's text says what its handler does: "block", "fail", "refuse", "iterate", "" to reply or finish,
    or "stay" to keep the call.
    """

    seen: queue.Queue[Any]

    def Unary(self, request, call):
        return self._handle(request, call) or Item()

    def Expand(self, request, call):
        if request.text == "":
            call.finish()
        return self._handle(request, call)

    def Collect(self, message, call):
        self._handle(message, call)

    def Collect_end(self, call):
        return Item()

    def Talk(self, message, call):
        if message.text == "":
            call.finish()
        return self._handle(message, call)

    @actorrpc.concurrent
    def Beside(self, request, call):
        return self._handle(request, call) or Item()

    @actorrpc.concurrent
    def Listen(self, request, call):
        if request.text == "":
            call.finish()
        return self._handle(request, call)

    def Notes(self, request, call):
        return Item(text=" ".join(self.state.notes))

    def _handle(self, message, call):
        self.state.notes.append(call.id)
        self.seen.put("begun")
        try:
            if message.text == "block":
                gevent.event.Event().wait()
            elif message.text == "fail":
                raise ZeroDivisionError
            elif message.text == "refuse":
                raise RpcError(StatusCode.NOT_FOUND, "no such thing")
            elif message.text == "iterate":
                return self._replies()
        finally:
            self.seen.put("handled")
        return None

    def _replies(self):
        try:
            while True:
                yield Item(body=bytes(70_000))
        finally:
            self.seen.put("closed")

    def on_call_end(self, call, status, message):
        assert call.ended and call not in self.calls
        if call.method.endswith("Notes"):
            return
        self.state.notes.remove(call.id)
        self.seen.put((call.method.rpartition("/")[2], status.name, message))

    def on_disconnect(self):
        self.seen.put(f"disconnected, knows {len(self.state.notes)}")


def noting(**attributes: Any) -> Any:
    return type("Noting", (Noting,), {"seen": queue.Queue(), **attributes})


def take(service: Any, count: int) -> list[Any]:
    return [service.seen.get(timeout=PATIENCE) for _ in range(count)]


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


def begin(channel: grpc.Channel, method: str, text: str, hold: Any = None) -> Any:
    """Begin a call, which goes on until ``hold`` is set if its client streams."""
    stub = getattr(StatefulStub(channel), method)
    if method in ("Unary", "Beside"):
        return stub.future(Item(text=text))
    if method in ("Expand", "Listen"):
        return stub(Item(text=text))

    def messages() -> Iterator[Item]:
        yield Item(text=text)
        if hold is not None:
            hold.get(timeout=PATIENCE)

    return stub.future(messages()) if method == "Collect" else stub(messages())


ANSWERED = {
    "": ("OK", ""),
    "fail": ("UNKNOWN", "the handler failed"),
    "refuse": ("NOT_FOUND", "no such thing"),
}


@pytest.mark.parametrize("text", ANSWERED, ids=["OK", "fail", "refuse"])
@pytest.mark.parametrize("method", ["Unary", "Expand", "Collect", "Talk", "Beside", "Listen"])
def test_a_call_that_its_handler_ends(method, text):
    service = noting()
    with serving(actorrpc.App([service])) as hubs, connect(hubs) as channel:
        call = begin(channel, method, text)
        call.initial_metadata()
        assert take(service, 3) == ["begun", "handled", (method, *ANSWERED[text])]
        assert call.code().name == ANSWERED[text][0]
        assert StatefulStub(channel).Notes(Item()).text == ""
    assert take(service, 1) == ["disconnected, knows 0"]


OPEN = [
    ("Unary", "block"),
    ("Expand", "block"),
    ("Expand", "stay"),
    ("Expand", "iterate"),
    ("Collect", "block"),
    ("Collect", "stay"),
    ("Talk", "block"),
    ("Talk", "stay"),
    ("Talk", "iterate"),
    ("Beside", "block"),
    ("Listen", "stay"),
    ("Listen", "iterate"),
]


def _cancel(hubs: Hubs, channel: grpc.Channel, call: Any) -> None:
    call.cancel()


def _expire(hubs: Hubs, channel: grpc.Channel, call: Any) -> None:
    """As its timer does."""
    connection = hubs.connection()
    hubs.ask(lambda: connection.expire(connection.calls[min(connection.calls)]))


def _go(hubs: Hubs, channel: grpc.Channel, call: Any) -> None:
    """As when its socket has come to its end: grpcio cancels its calls before."""
    hubs.ask(hubs.connection().close)


def _age(hubs: Hubs, channel: grpc.Channel, call: Any) -> None:
    """As when it has reached its age, and the time that its calls have then is over, too."""
    connection = hubs.connection()
    timer = connection.timer
    hubs.ask(lambda: (timer._age(connection), timer._end_grace(connection)))


def _stop(hubs: Hubs, channel: grpc.Channel, call: Any) -> None:
    hubs.ask(lambda: hubs.nodes[0].stop(0.0, lambda: None))


ENDS: dict[str, tuple[Callable[..., None], str, str]] = {
    "cancelled": (_cancel, "CANCELLED", "the client cancelled the call"),
    "expired": (_expire, "DEADLINE_EXCEEDED", "the deadline has passed"),
    "gone": (_go, "CANCELLED", "the connection has gone"),
    "aged": (_age, "UNAVAILABLE", "the connection has reached its age"),
    "stopped": (_stop, "UNAVAILABLE", "the server is shutting down"),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("method", "text"), OPEN, ids=lambda value: value)
def test_a_call_that_ends_from_outside(method, text, end):
    """When its handler has been interrupted, and its iterable closed; and before on_disconnect."""
    how, status, message = ENDS[end]
    service = noting()
    hold: queue.Queue[None] = queue.Queue()
    with serving(actorrpc.App([service])) as hubs, connect(hubs) as channel:
        call = begin(channel, method, text, hold)
        first = ["begun"] if text == "block" else ["begun", "handled"]
        assert take(service, len(first)) == first
        if text == "iterate":
            next(call)
        how(hubs, channel, call)
        hold.put(None)
        rest = {"block": ["handled"], "iterate": ["closed"]}.get(text, [])
        assert take(service, len(rest) + 1) == [*rest, (method, status, message)]
        channel.close()
        assert take(service, 1) == ["disconnected, knows 0"]
        assert service.seen.empty()


# ---- which calls are told of


def fields(method: str) -> list[tuple[str, str]]:
    return [(n, v.replace("/test.Test/", "/shapes.Stateful/")) for n, v in raw.request(method)]


def test_a_message_that_is_refused_ends_a_call_that_is_known():
    """And one that no handler has seen is not told of."""
    service = noting()
    large = raw.message(Item(body=bytes(3000)).SerializeToString())
    app = actorrpc.App([service])
    with serving(app, max_receive_message_bytes=1000) as hubs, RawClient(hubs.address) as client:
        client.send(raw.headers(1, fields("Talk")) + raw.data(1, large))
        client.wait_for(raw.HEADERS, raw.END_STREAM)
        known = raw.message(Item(text="stay").SerializeToString())
        client.send(raw.headers(3, fields("Talk")) + raw.data(3, known))
        assert take(service, 2) == ["begun", "handled"]
        client.send(raw.data(3, large))
        assert take(service, 1) == [("Talk", "CANCELLED", "the client cancelled the call")]
    assert take(service, 1) == ["disconnected, knows 0"]


class Refusing(actorrpc.Interceptor):
    """Refuses as a call's metadata says: in on_call, or in on_request."""

    def on_call(self, call):
        if call.metadata.get("refuse") == "call":
            raise RpcError(StatusCode.PERMISSION_DENIED, "no")

    def on_request(self, call, message):
        if call.metadata.get("refuse") == "request":
            raise RpcError(StatusCode.PERMISSION_DENIED, "no")
        return message


@pytest.mark.parametrize("where", ["call", "request"])
def test_a_call_that_an_interceptor_refuses_is_not_told_of(where):
    service = noting()
    with serving(actorrpc.App([service], interceptors=[Refusing()])) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.Unary(Item(), metadata=[("refuse", where)])
        stub.Unary(Item())
        assert take(service, 3) == ["begun", "handled", ("Unary", "OK", "")]
    assert take(service, 1) == ["disconnected, knows 0"]


def test_a_call_whose_turn_never_began_is_not_told_of():
    """It was cancelled while it waited behind another."""
    service = noting()
    with serving(actorrpc.App([service])) as hubs, connect(hubs) as channel:
        blocked = begin(channel, "Unary", "block")
        take(service, 1)
        waiting = begin(channel, "Unary", "")
        connection = hubs.connection()
        hubs.wait_for(lambda: len(connection.calls) == 2)
        waiting.cancel()
        hubs.wait_for(lambda: len(connection.calls) == 1)
        blocked.cancel()
        assert take(service, 2) == ["handled", ("Unary", "CANCELLED", "the client cancelled the call")]
    assert take(service, 1) == ["disconnected, knows 0"]


def test_an_actor_that_nobody_calls_any_more_has_heard_of_all_ends():
    service = noting(on_disconnect=lambda self: self.seen.put(f"{len(self.state.notes)} left"))
    app = actorrpc.App([service], identity=lambda call: str(call.metadata.get("user", "")))
    with serving(app, identity_idle=0.05) as hubs, connect(hubs) as channel:
        StatefulStub(channel).Unary(Item(), metadata=[("user", "ada")])
        assert take(service, 4) == ["begun", "handled", ("Unary", "OK", ""), "0 left"]


# ---- when, and what it may do


def test_what_the_client_said_before_comes_before():
    """And what it said afterwards, later: it takes its place in the mailbox."""
    order: list[str] = []
    door = gevent.event.Event()

    class Ordered(StatefulBase):
        def Listen(self, request, call):
            return None

        def Unary(self, request, call):
            order.append(request.text)
            if request.text == "block":
                door.wait()
            return request

        def on_call_end(self, call, status, message):
            if call.method.endswith("Listen"):
                order.append("end")

    with serving(actorrpc.App([Ordered])) as hubs, RawClient(hubs.address) as client:

        def say(stream: int, text: str, method: str = "Unary") -> bytes:
            data = raw.message(Item(text=text).SerializeToString())
            return raw.headers(stream, fields(method)) + raw.data(stream, data, raw.END_STREAM)

        client.send(say(1, "", "Listen") + say(3, "block"))
        hubs.wait_for(lambda: order)
        client.send(
            say(5, "before") + raw.frame(raw.RST_STREAM, 0, 1, (8).to_bytes(4, "big")) + say(7, "after")
        )
        connection = hubs.connection()
        hubs.wait_for(lambda: len(connection.cells["shapes.Stateful"].mailbox) == 3)
        hubs.ask(door.set)
        hubs.wait_for(lambda: len(order) == 4)
    assert order == ["block", "before", "end", "after"]


@pytest.mark.parametrize("what", ["handler", "iterable"])
def test_it_waits_for_what_runs_beside(what):
    """A concurrent call has ended for its client, and something of it still runs."""
    log: list[str] = []
    door = gevent.event.Event()

    class Slow(StatefulBase):
        @actorrpc.concurrent
        def Listen(self, request, call):
            log.append("begun")
            if what == "iterable":
                return self._replies()
            try:
                gevent.event.Event().wait()
            finally:
                self._take_time()

        def _take_time(self):
            log.append("interrupted")
            door.wait()
            log.append("done")

        def _replies(self):
            try:
                while True:
                    yield Item(body=bytes(70_000))
            finally:
                self._take_time()

        def Unary(self, request, call):
            log.append("another turn")
            return request

        def on_call_end(self, call, status, message):
            log.append(call.method.rpartition("/")[2])

    with serving(actorrpc.App([Slow])) as hubs, connect(hubs) as channel:
        call = StatefulStub(channel).Listen(Item())
        hubs.wait_for(lambda: log)
        if what == "iterable":
            next(call)
        call.cancel()
        hubs.wait_for(lambda: len(log) == 2)
        StatefulStub(channel).Unary(Item())
        hubs.wait_for(lambda: len(log) == 4)
        assert log == ["begun", "interrupted", "another turn", "Unary"]
        hubs.ask(door.set)
        hubs.wait_for(lambda: len(log) == 6)
    assert log[4:] == ["done", "Listen"]


def test_what_it_raises_is_logged_and_nothing_else(caplog):
    ran: list[str] = []

    class Raising(StatefulBase):
        def Unary(self, request, call):
            return Item(number=len(ran))

        def on_call_end(self, call, status, message):
            ran.append(call.id)
            raise SystemExit(3)

    with serving(actorrpc.App([Raising])) as hubs, connect(hubs) as channel:
        assert [StatefulStub(channel).Unary(Item()).number for _ in range(2)] == [0, 1]
        hubs.wait_for(lambda: len(ran) == 2)
    assert caplog.text.count("on_call_end of shapes.Stateful raised") == 2


def test_it_may_block_and_publish_and_subscribe_like_any_turn():
    service = noting()

    class Telling(service):
        def on_call_end(self, call, status, message):
            gevent.sleep(0)
            self.subscribe("ends")
            self.subscribe("ends", call)  # which has ended: nothing comes of it
            self.publish("ends", Item(text=status.name))

        def on_topic(self, topic, message):
            self.seen.put(message.text)

    with serving(actorrpc.App([Telling])) as hubs, connect(hubs) as channel:
        call = begin(channel, "Expand", "")
        assert take(service, 3) == ["begun", "handled", "OK"]
        assert call.code() is grpc.StatusCode.OK


def test_it_runs_in_the_calls_context_and_sees_what_was_noted_on_the_call():
    var = contextvars.ContextVar("var", default="unset")
    seen: list[str] = []

    class Contexts(StatefulBase):
        def Unary(self, request, call):
            var.set("set")
            call.context["who"] = "ada"
            return request

        def on_call_end(self, call, status, message):
            seen.append(f"{var.get()} {call.context['who']} {call.metadata.get('key')}")

    with serving(actorrpc.App([Contexts])) as hubs, connect(hubs) as channel:
        StatefulStub(channel).Unary(Item(), metadata=[("key", "value")])
        hubs.wait_for(lambda: seen)
    assert seen == ["set ada value"]


def test_a_call_that_ends_in_on_call_end_is_told_of_next():
    """It finishes another."""
    service = noting()

    class Chained(service):
        def on_call_end(self, call, status, message):
            super().on_call_end(call, status, message)
            for other in self.calls:
                if other.route.method.server_streaming:
                    other.finish(StatusCode.ABORTED, "so")
                    return

    with serving(actorrpc.App([Chained])) as hubs, connect(hubs) as channel:
        calls = [begin(channel, "Listen", "stay") for _ in range(3)]
        assert take(service, 6).count("begun") == 3
        calls[0].cancel()
        assert [end[1] for end in take(service, 3)] == ["CANCELLED", "ABORTED", "ABORTED"]


def test_ends_that_wait_are_bounded(monkeypatch):
    """Concurrent calls come and go beside a turn that blocks: when enough ends wait, they wait, too."""
    monkeypatch.setattr(call_ends, "MAX_WAITING", 3)
    service = noting()
    with serving(actorrpc.App([service])) as hubs, connect(hubs) as channel:
        blocked = begin(channel, "Unary", "block")
        take(service, 1)
        calls = [begin(channel, "Beside", "") for _ in range(3)]
        assert [call.result(PATIENCE) for call in calls] == [Item()] * 3
        late = [begin(channel, "Beside", "") for _ in range(3)]
        connection = hubs.connection()
        cell = connection.cells["shapes.Stateful"]
        hubs.wait_for(lambda: len(cell.concurrent) == 3)
        assert hubs.ask(lambda: cell.ends.waiting) == 3
        take(service, 6)
        assert service.seen.empty()
        blocked.cancel()
        assert [call.result(PATIENCE) for call in late] == [Item()] * 3
        assert sorted(map(str, take(service, 14))).count("('Beside', 'OK', '')") == 6
        assert hubs.ask(lambda: cell.ends.waiting) == 0


# ---- moving


class Gated(Noting):
    """Blocks in a turn until the test lets it go on."""

    door: Any

    def Notes(self, request, call):
        self.seen.put("blocks")
        self.door.wait()
        return Item(text=" ".join(self.state.notes))


def gated(**attributes: Any) -> Any:
    return type("Gated", (Gated,), {"seen": queue.Queue(), "door": gevent.event.Event(), **attributes})


@pytest.mark.parametrize("end", ["before", "while"])
def test_it_travels(end):
    """The call ended before the move began, or while it waits: the actor hears of it once, where it is then,
    and in the order in which things came."""
    service = gated()
    app = actorrpc.App([service])
    with serving(app, 2, quiesce_timeout=60) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        kept = stub.Expand(Item(text="stay"), timeout=1000)
        take(service, 2)
        notes = stub.Notes.future(Item())
        assert take(service, 1) == ["blocks"]
        connection = hubs.connection()
        if end == "before":
            kept.cancel()
            hubs.wait_for(lambda: len(connection.calls) == 1)
        results: list[Any] = []
        hubs.ask(lambda: hubs.nodes[0].mover.move(connection.id, 1, results.append))
        later = stub.Unary.future(Item(text="later"))
        hubs.wait_for(
            lambda: len(connection.cells["shapes.Stateful"].mailbox) == (2 if end == "before" else 1)
        )
        if end == "while":
            kept.cancel()
            hubs.wait_for(lambda: len(connection.calls) == 2)
        assert service.seen.empty()
        hubs.ask(service.door.set)
        assert hubs.wait_for(lambda: results)[0].why == ""
        ended = ("Expand", "CANCELLED", "the client cancelled the call")
        expected = [ended, "begun", "handled"] if end == "before" else ["begun", "handled", ended]
        assert take(service, 3) == expected
        assert notes.result(PATIENCE).text and later.result(PATIENCE) == Item()
        assert hubs.ask(lambda: [*hubs.nodes[1].connections]) == [connection.id]
        assert take(service, 1) == [("Unary", "OK", "")]
    assert take(service, 1) == ["disconnected, knows 0"]


def test_what_is_known_of_the_call_travels_with_its_end():
    seen: list[tuple[Any, ...]] = []

    def on_call_end(self, call, status, message):
        if call.method.endswith("Expand"):
            about = call.identity, call.context["who"], call.metadata["key"], call.cursor, call.peer
            seen.append((call.id, *about, status, message, self.connection_id))
            with pytest.raises(RuntimeError, match="has been finished"):
                call.send(Item())

    def expand(self, request, call):
        call.context["who"] = b"ada"
        call.cursor = b"here"
        self.seen.put("begun")

    def unary(self, request, call):
        next(each for each in self.calls if each is not call).finish(StatusCode.ABORTED, "so \ud800")
        self.seen.put("finished")
        self.door.wait()
        return request

    service = gated(on_call_end=on_call_end, Expand=expand, Unary=unary)
    app = actorrpc.App([service], identity=lambda call: str(call.metadata["user"]))
    with serving(app, 3, quiesce_timeout=60) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        user = ("user", "ada")
        kept = stub.Expand(Item(), metadata=[user, ("key", "value")])
        take(service, 1)
        waiting = stub.Unary.future(Item(), metadata=[user])
        take(service, 1)
        with pytest.raises(grpc.RpcError):
            next(kept)
        connection = hubs.connection()
        call, peer = f"{connection.id}/1", connection.peer
        results: list[Any] = []
        hubs.ask(lambda: hubs.nodes[0].mover.move(connection.id, 1, results.append))
        assert hubs.ask(lambda: seen == [])
        hubs.ask(service.door.set)
        waiting.result(PATIENCE)
        assert hubs.wait_for(lambda: results)[0].why == ""
        hubs.wait_for(lambda: seen)
        expected = (
            call,
            "ada",
            b"ada",
            "value",
            b"here",
            peer,
            StatusCode.ABORTED,
            "so \ud800",
            connection.id,
        )
        assert seen == [expected]
        assert hubs.move(2).why == ""
    assert seen == [expected]


def cancelled_beside_a_turn(hubs: Hubs, service: Any, stub: StatefulStub) -> Any:
    """A call that the client cancelled, whose end waits for the turn of another, which is the result."""
    kept = stub.Expand(Item(text="stay"))
    take(service, 2)
    notes = stub.Notes.future(Item())
    take(service, 1)
    connection = hubs.connection()
    kept.cancel()
    hubs.wait_for(lambda: len(connection.calls) == 1)
    return notes


@pytest.mark.parametrize("there", ["no hook", "no method"])
def test_a_hub_whose_app_is_another(there):
    """Without the hook it drops the end; without the method it takes no call of it, nor the end of one."""
    service = gated()
    with serving(actorrpc.App([service]), 2, quiesce_timeout=60) as hubs, connect(hubs) as channel:
        target = hubs.nodes[1]
        if there == "no hook":
            target.resources.serve(actorrpc.App([type("Deaf", (StatefulBase,), {})]))
        else:
            target.resources.routes = {
                path: each for path, each in target.resources.routes.items() if "Expand" not in path
            }
        stub = StatefulStub(channel)
        notes = cancelled_beside_a_turn(hubs, service, stub)
        results: list[Any] = []
        id = hubs.connection().id
        hubs.ask(lambda: hubs.nodes[0].mover.move(id, 1, results.append))
        hubs.ask(service.door.set)
        why = hubs.wait_for(lambda: results)[0].why
        notes.result(PATIENCE)
        if there == "no hook":
            assert why == ""
            cells = hubs.connection().cells
            assert hubs.ask(lambda: [*cells["shapes.Stateful"].mailbox]) == []
        else:
            assert why.endswith("/shapes.Stateful/Expand is not served here")
            assert take(service, 1) == [("Expand", "CANCELLED", "the client cancelled the call")]


def test_a_move_that_is_given_up_loses_and_repeats_no_end():
    service = gated()
    with serving(actorrpc.App([service]), 2, quiesce_timeout=0.01) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        notes = cancelled_beside_a_turn(hubs, service, stub)
        assert "running" in hubs.move(1).why
        hubs.ask(service.door.set)
        notes.result(PATIENCE)
        assert take(service, 1) == [("Expand", "CANCELLED", "the client cancelled the call")]
        assert hubs.move(1).why == ""
    assert take(service, 1) == ["disconnected, knows 0"]
