"""An actor is made once for its connection, however long that takes; all calls wait for the one instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import grpc
import pytest

import actorrpc
from actorrpc import RpcError, StatusCode
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient


class Open(actorrpc.Interceptor):
    """Lets all calls through."""

    def on_call(self, call):
        pass


interceptors = pytest.mark.parametrize("interceptors", [[], [Open()]], ids=["at-once", "admitted"])
hooks = pytest.mark.parametrize("hook", ["__init__", "__new__", "on_connect"])


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


class Counting(StatefulBase):
    """Counts its calls."""

    def Unary(self, request, call):
        self.state.count += 1
        return Item(number=self.state.count)

    @actorrpc.concurrent
    def Beside(self, request, call):
        return Item(number=self.state.count)


class Stateless(StatelessBase):
    """Answers."""

    def Unary(self, request, call):
        return request


def with_hook(base: type[Any], hook: str, run: Callable[[], None]) -> type[Any]:
    """A class of services whose instances are made by way of a hook."""

    def make(cls: type[Any]) -> Any:
        run()
        return object.__new__(cls)

    return type(base.__name__, (base,), {hook: make if hook == "__new__" else lambda self: run()})


def outcome(call: Any) -> str:
    error = call.exception(10)
    return "OK" if error is None else f"{error.code().name} {error.details()}"


class Door:
    """Where making an actor blocks, until the test opens it."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.entered = 0
        self._open = False
        self.error = error

    def enter(self) -> None:
        self.entered += 1
        while not self._open:
            gevent.sleep(0.001)
        if self.error is not None:
            raise self.error

    def open(self) -> None:
        self._open = True


@interceptors
@hooks
def test_calls_wait_for_the_one_instance(interceptors, hook):
    door = Door()
    app = actorrpc.App([with_hook(Counting, hook, door.enter)], interceptors=interceptors)
    with serving(app) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        calls = [stub.Unary.future(Item()) for _ in range(3)] + [stub.Beside.future(Item())]
        connection = hubs.connection()
        hubs.wait_for(lambda: len(connection.calls) == 4 and door.entered)
        door.open()
        assert sorted(call.result(10).number for call in calls[:3]) == [1, 2, 3]
        assert calls[3].result(10).number in range(4)
        assert door.entered == 1


@interceptors
@pytest.mark.parametrize("hook", ["__init__", "__new__"])
def test_so_do_those_of_a_service_without_state(interceptors, hook):
    door = Door()
    app = actorrpc.App([with_hook(Stateless, hook, door.enter)], interceptors=interceptors)
    with serving(app) as hubs, connect(hubs) as channel:
        calls = [StatelessStub(channel).Unary.future(Item(number=n)) for n in range(3)]
        connection = hubs.connection()
        hubs.wait_for(lambda: len(connection.calls) == 3 and door.entered)
        door.open()
        assert [call.result(10).number for call in calls] == [0, 1, 2]
        assert door.entered == 1


@interceptors
@hooks
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RpcError(StatusCode.UNAVAILABLE, "not now"), "UNAVAILABLE not now"),
        (ValueError("x"), "UNKNOWN the actor could not be made"),
        (SystemExit(3), "UNKNOWN the actor could not be made"),
        (KeyboardInterrupt(), "UNKNOWN the actor could not be made"),
    ],
    ids=repr,
)
def test_if_it_cannot_be_made_all_that_wait_are_told_and_the_next_call_tries_again(
    interceptors, hook, error, expected
):
    door = Door(error)
    app = actorrpc.App([with_hook(Counting, hook, door.enter)], interceptors=interceptors)
    with serving(app) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        calls = [stub.Unary.future(Item()) for _ in range(3)] + [stub.Beside.future(Item())]
        connection = hubs.connection()
        hubs.wait_for(lambda: len(connection.calls) == 4 and door.entered)
        door.open()
        assert [outcome(call) for call in calls] == [expected] * 4
        assert hubs.ask(lambda: (dict(connection.cells), dict(connection.calls), door.entered)) == ({}, {}, 1)
        door.error = None
        assert stub.Unary(Item(), timeout=10).number == 1
        assert door.entered == 2


class Explains(actorrpc.Interceptor):
    """Its on_error blocks for the first call."""

    def __init__(self) -> None:
        self.gate = gevent.event.Event()
        self.seen: list[str] = []

    def on_error(self, call, error):
        if call.stream.id == 1 and not self.gate.is_set():
            self.seen.append("blocked")
            try:
                self.gate.wait()
            except BaseException as interruption:
                self.seen.append(type(interruption).__name__)
                raise
        return RpcError(StatusCode.UNAVAILABLE, "not now")


def begin(id: int, method: str) -> bytes:
    fields = [(name, value.replace("test.Test", "shapes.Stateful")) for name, value in raw.request(method)]
    return raw.headers(id, fields)


def unary(id: int, method: str = "Unary") -> bytes:
    return begin(id, method) + raw.data(id, raw.message(b""), raw.END_STREAM)


@hooks
@pytest.mark.parametrize("then", ["it goes on", "cancel", "deadline", "the client goes"])
def test_if_it_cannot_be_made_an_on_error_that_blocks_holds_up_its_own_call_only(then, hook):
    door, explains = Door(ValueError("x")), Explains()
    app = actorrpc.App([with_hook(Counting, hook, door.enter)], interceptors=[explains])
    with serving(app, 2) as hubs, RawClient(hubs.address) as client:
        client.send(unary(1) + unary(3) + unary(5, "Beside"))
        connection = hubs.connection()
        hubs.wait_for(lambda: len(connection.calls) == 3 and door.entered)
        door.open()
        assert {client.wait_for(raw.HEADERS, raw.END_STREAM)[2] for _ in range(2)} == {3, 5}
        assert hubs.ask(lambda: ([*connection.calls], explains.seen)) == ([1], ["blocked"])
        if then == "it goes on":
            hubs.ask(explains.gate.set)
            assert client.wait_for(raw.HEADERS, raw.END_STREAM)[2] == 1
            assert explains.seen == ["blocked"]
        else:
            if then == "cancel":
                client.send(raw.frame(raw.RST_STREAM, 0, 1, bytes(4)))
            elif then == "deadline":  # as its timer does
                hubs.ask(lambda: connection.expire(connection.calls[1]))
            else:
                client.close()
            hubs.wait_for(lambda: len(explains.seen) == 2)
            assert explains.seen[1] == ("DeadlineExceeded" if then == "deadline" else "CallCancelled")
        hubs.wait_for(lambda: not connection.schedule.running and not connection.calls)
        if then == "the client goes":
            hubs.wait_for(lambda: not hubs.nodes[0].connections and not hubs.nodes[0]._finishing)
        else:
            door.error = None
            client.send(unary(7))
            client.wait_for(raw.DATA)
            assert hubs.move(1).why == ""


def test_what_comes_for_a_call_while_its_on_error_blocks_is_dropped_and_acknowledged():
    door, explains = Door(ValueError("x")), Explains()
    app = actorrpc.App([with_hook(Counting, "on_connect", door.enter)], interceptors=[explains])
    message = raw.data(1, raw.message(Item(body=bytes(10_000)).SerializeToString()))
    windows = dict.fromkeys(("stream_window_bytes", "max_stream_window_bytes"), 65_535)
    with serving(app, **windows) as hubs, RawClient(hubs.address) as client:
        client.send(begin(1, "Talk") + message)
        hubs.wait_for(lambda: door.entered)
        door.open()
        hubs.wait_for(lambda: explains.seen)
        for _ in range(5):  # more than a window
            client.send(message * 4)
            while client.wait_for(raw.WINDOW_UPDATE)[2] != 1:
                pass
        client.send(raw.data(1, b"", raw.END_STREAM) + raw.frame(raw.PING, 0, 0, bytes(8)))
        client.wait_for(raw.PING, raw.ACK)
        connection = hubs.connection()
        inbound = connection.session.inbound
        assert hubs.ask(lambda: ([*connection.calls], inbound.waiting, inbound.held)) == ([1], 0, 0)
        hubs.ask(explains.gate.set)
        assert client.wait_for(raw.HEADERS, raw.END_STREAM)[2] == 1
        hubs.wait_for(lambda: not connection.schedule.running and not connection.calls)


def test_turns_of_an_actor_that_could_not_be_made_do_not_run():
    """It had subscribed, and was sent a message, before its on_connect failed."""
    heard: list[str] = []
    door = Door(ValueError("x"))

    class Subscriber(StatefulBase):
        def on_connect(self):
            self.subscribe("news")
            self.publish("news", Item(text="mine"))
            door.enter()

        def on_topic(self, topic, message):
            heard.append(message.text)

        def Unary(self, request, call):
            return request

    with serving(actorrpc.App([Subscriber])) as hubs, connect(hubs) as channel:
        call = StatefulStub(channel).Unary.future(Item())
        connection = hubs.connection()
        hubs.wait_for(lambda: connection.cells and len(connection.cells["shapes.Stateful"].mailbox) == 2)
        cell = connection.cells["shapes.Stateful"]
        door.open()
        assert outcome(call) == "UNKNOWN the actor could not be made"
        hubs.wait_for(lambda: not connection.schedule.running)
        assert heard == []
        assert hubs.ask(lambda: (len(cell.mailbox), connection.host.subscriptions)) == (0, [])


@interceptors
@hooks
def test_a_client_that_goes_meanwhile_leaves_nothing(interceptors, hook):
    door = Door()
    ran: list[str] = []

    class Leaving(with_hook(Counting, hook, door.enter)):  # type: ignore[misc]
        def on_disconnect(self):
            ran.append("on_disconnect")

        def Unary(self, request, call):
            ran.append("Unary")
            return request

    with serving(actorrpc.App([Leaving], interceptors=interceptors)) as hubs:
        node = hubs.nodes[0]
        with RawClient(hubs.address) as client:
            fields = [
                (name, value.replace("/test.Test/", "/shapes.Stateful/"))
                for name, value in raw.request("Unary")
            ]
            client.send(raw.headers(1, fields) + raw.data(1, raw.message(b""), raw.END_STREAM))
            hubs.wait_for(lambda: door.entered)
        hubs.wait_for(lambda: not node.connections and node._finishing)
        door.open()
        hubs.wait_for(lambda: not node._finishing)
        assert ran == ["on_disconnect"]


def test_an_actor_that_waits_to_be_made_moves_and_is_made_there():
    """A move that began before the turn could."""
    made: list[object] = []

    class Slow(Counting):
        def __init__(self):
            made.append(self)

    class Other(StatelessBase):
        def Unary(self, request, call):
            gevent.sleep(request.sleep)
            return request

    with serving(actorrpc.App([Slow, Other]), 2) as hubs, connect(hubs) as channel:
        other = StatelessStub(channel).Unary.future(Item(sleep=0.2))
        connection = hubs.connection()
        hubs.wait_for(lambda: connection.schedule.running)
        results: list[Any] = []
        hubs.ask(lambda: hubs.nodes[0].mover.move(connection.id, 1, results.append))
        call = StatefulStub(channel).Unary.future(Item())
        hubs.wait_for(lambda: "shapes.Stateful" in connection.cells)
        assert not made
        assert (other.result(10).sleep, call.result(10).number) == (0.2, 1)
        assert len(made) == 1 and not results[0].why
        assert hubs.connection().id in hubs.nodes[1].connections


ERRORS = [ValueError("no"), SystemExit(3), KeyboardInterrupt(), gevent.GreenletExit(), gevent.Timeout()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["__init__", "upgrade"])
def test_one_that_cannot_be_made_elsewhere_stays_and_leaves_nothing_there(where, error):
    class Sedentary(Counting):
        state_version = 1 + (where == "upgrade")

        def __init__(self):
            if where == "__init__":
                raise error

        @classmethod
        def upgrade(cls, old_version, state):
            raise error

    with serving(actorrpc.App([Counting]), 2) as hubs, connect(hubs) as channel:
        target = hubs.nodes[1]

        def change() -> None:
            target.resources.serve(actorrpc.App([Sedentary]))

        hubs.ask(change)
        stub = StatefulStub(channel)
        assert stub.Unary(Item(), timeout=10).number == 1
        why = hubs.move(1).why
        assert type(error).__name__ in why and "shapes.Stateful" in why
        assert stub.Unary(Item(), timeout=10).number == 2
        assert hubs.ask(lambda: (dict(target.mover.handoffs.targets), dict(target.connections))) == ({}, {})
