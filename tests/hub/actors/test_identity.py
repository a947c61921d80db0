"""Actors belong to a connection and an identity: two users on one connection never share one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import grpc
import pytest

import actorrpc
from actorrpc import RpcError, StatusCode
from actorrpc.errors import ConfigError
from actorrpc.hub.calls.identity import LONGEST
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support.hubs import Hubs, serving


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


class ByUser(actorrpc.Interceptor):
    def on_call(self, call: actorrpc.Call[Any]) -> None:
        call.identity = str(call.metadata.get("user", ""))


def user_of(call: actorrpc.Call[Any]) -> str:
    return str(call.metadata.get("user", ""))


class Counter(StatefulBase):
    """Counts its calls, says whose it is, and hears a topic."""

    left: list[str]

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self.state.count += 1
        return Item(number=self.state.count, text=call.identity)

    def Expand(self, request: Item, call: actorrpc.Call[Item]) -> None:
        call.send(Item(text=call.identity))

    def Listen(self, request: Item, call: actorrpc.Call[Item]) -> None:
        self.subscribe(request.text, call)
        call.send_initial_metadata({})

    def Notes(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return Item(text=" ".join(sorted(each.identity for each in self.calls if each is not call)))

    def Publish(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self.publish(request.text, request)
        return request

    def on_disconnect(self) -> None:
        self.left.append(f"{self._identity}: {self.state.count}")


def counting() -> type[Counter]:
    return type("Counting", (Counter,), {"left": []})


def ask(channel: grpc.Channel, user: str, method: str = "Unary", **item: Any) -> Item:
    metadata = [("user", user)] if user else []
    reply: Item = getattr(StatefulStub(channel), method)(Item(**item), metadata=metadata, timeout=10)
    return reply


def code(channel: grpc.Channel, user: str) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        ask(channel, user)
    error: Any = caught.value
    return error.code().name, error.details()


WAYS: dict[str, Callable[[type[StatefulBase]], actorrpc.App]] = {
    "on_call": lambda service: actorrpc.App([service], interceptors=[ByUser()]),
    "function": lambda service: actorrpc.App([service], identity=user_of),
}
ways = pytest.mark.parametrize("app", WAYS.values(), ids=WAYS)


@ways
def test_each_identity_has_an_actor_of_its_own_and_so_has_the_connection(app):
    service = counting()
    with serving(app(service)) as hubs:
        with connect(hubs) as channel:
            found = [ask(channel, user) for user in ("ada", "bob", "", "ada", "bob", "ada", "")]
            assert [(reply.text, reply.number) for reply in found] == [
                ("ada", 1), ("bob", 1), ("", 1), ("ada", 2), ("bob", 2), ("ada", 3), ("", 2),
            ]  # fmt: skip
            assert len(hubs.nodes[0].connections) == 1
        hubs.wait_for(lambda: len(service.left) == 3)
    assert sorted(service.left) == [": 2", "ada: 3", "bob: 2"]


def test_a_service_without_state_sees_the_calls_of_one_identity_too():
    seen: dict[str, list[str]] = {}

    class Open(StatelessBase):
        def Expand(self, request, call):
            seen[call.identity] = [each.identity for each in self.calls]
            call.send(Item())

    with serving(actorrpc.App([Open], identity=user_of)) as hubs, connect(hubs) as channel:
        open_calls = []
        for user in ("ada", "bob"):
            call: Any = StatelessStub(channel).Expand(Item(), metadata=[("user", user)], timeout=10)
            next(call)
            open_calls.append(call)
        assert seen == {"ada": ["ada"], "bob": ["bob"]}


@ways
def test_all_of_them_travel_with_their_calls_and_topics(app):
    service = counting()
    with serving(app(service), 2) as hubs, connect(hubs) as channel:
        listening = {}
        for user in ("ada", "bob"):
            ask(channel, user)
            call: Any = StatefulStub(channel).Listen(
                Item(text=f"for {user}"), metadata=[("user", user)], timeout=30
            )
            call.initial_metadata()
            listening[user] = call
        for target in (1, 0, 1):
            assert hubs.move(target).why == ""
            for user, call in listening.items():
                ask(channel, "carl", "Publish", text=f"for {user}", number=target)
                assert next(call).number == target
                assert ask(channel, user, "Notes").text == user
        assert [ask(channel, user).number for user in ("ada", "bob", "carl")] == [2, 2, 1]
        connection = hubs.connection()
        assert hubs.ask(lambda: sorted(call.identity for call in connection.calls.values())) == ["ada", "bob"]


def test_what_an_on_call_has_set_the_function_is_not_asked_for():
    asked = []

    def identity(call):
        asked.append(call.metadata.get("user"))
        return "from the function"

    app = actorrpc.App([counting()], interceptors=[ByUser()], identity=identity)
    with serving(app) as hubs, connect(hubs) as channel:
        assert ask(channel, "ada").text == "ada"
        assert ask(channel, "").text == "from the function"
    assert asked == [None]


def _twice(call):
    call.identity = "ada"
    call.identity = "bob"


def _number(call):
    call.identity = 7


def _long(call):
    call.identity = "x" * (LONGEST + 1)


def _surrogate(call):
    call.identity = "\udc80"


@pytest.mark.parametrize(
    ("on_call", "kind"),
    [(_twice, RuntimeError), (_number, TypeError), (_long, ValueError), (_surrogate, ValueError)],
)
def test_what_cannot_be_one_is_refused(on_call, kind):
    raised: list[BaseException] = []

    class Wrong(actorrpc.Interceptor):
        def on_call(self, call):
            on_call(call)

        def on_error(self, call, error):
            raised.append(error)

    with serving(actorrpc.App([counting()], interceptors=[Wrong()])) as hubs, connect(hubs) as channel:
        assert code(channel, "ada") == ("UNKNOWN", "the handler failed")
        connection = hubs.connection()
        assert hubs.ask(lambda: dict(connection.cells)) == {}
    assert [type(error) for error in raised] == [kind]


def test_it_is_not_set_once_the_call_has_an_actor():
    class Late(StatefulBase):
        def Unary(self, request, call):
            with pytest.raises(RuntimeError, match="interceptor's on_call"):
                call.identity = "ada"
            return request

    with serving(actorrpc.App([Late], identity=user_of)) as hubs, connect(hubs) as channel:
        ask(channel, "")
    with serving(actorrpc.App([Late])) as hubs, connect(hubs) as channel:  # an app without identities
        ask(channel, "")


REFUSALS: dict[str, tuple[Callable[[Any], Any], tuple[str, str]]] = {
    "RpcError": (lambda call: _refuse(), ("PERMISSION_DENIED", "not you")),
    "a mistake": (lambda call: call.nothing, ("UNKNOWN", "the handler failed")),
    "None": (lambda call: None, ("UNKNOWN", "the handler failed")),
    "too long": (lambda call: "x" * (LONGEST + 1), ("UNKNOWN", "the handler failed")),
}


def _refuse() -> str:
    raise RpcError(StatusCode.PERMISSION_DENIED, "not you")


@pytest.mark.parametrize("name", REFUSALS)
def test_what_the_function_raises_refuses_the_call(name):
    identity, answer = REFUSALS[name]
    with serving(actorrpc.App([counting()], identity=identity)) as hubs, connect(hubs) as channel:
        assert code(channel, "ada") == answer
        connection = hubs.connection()
        assert hubs.ask(lambda: (dict(connection.calls), dict(connection.cells))) == ({}, {})


def test_what_is_no_function_is_no_identity():
    with pytest.raises(ConfigError, match="give App a function"):
        actorrpc.App([counting()], identity="ada")  # type: ignore[arg-type]


def test_the_function_may_block():
    going = threading.Event()

    def identity(call):
        while not going.is_set():
            gevent.sleep(0.001)
        return user_of(call)

    with serving(actorrpc.App([counting()], identity=identity)) as hubs, connect(hubs) as channel:
        calls = [
            StatefulStub(channel).Unary.future(Item(), metadata=[("user", user)], timeout=30)
            for user in ("ada", "bob")
        ]
        hubs.wait_for(lambda: sum(len(c.calls) for c in hubs.nodes[0].connections.values()) == 2)
        going.set()
        assert [(call.result().text, call.result().number) for call in calls] == [("ada", 1), ("bob", 1)]


def test_there_are_no_more_than_so_many():
    app = actorrpc.App([counting()], identity=user_of)
    with serving(app, max_identities=2) as hubs, connect(hubs) as channel:
        for user in ("ada", "bob", "", "ada"):
            ask(channel, user)
        assert code(channel, "carl")[0] == "RESOURCE_EXHAUSTED"
        assert ask(channel, "bob").number == 2
        connection = hubs.connection()
        assert hubs.ask(lambda: not connection.calls)


# ---- identities that nobody calls any more


@pytest.mark.parametrize("moved", [False, True], ids=["still", "moved"])
def test_actors_end_when_their_identity_has_had_no_call_for_a_while(moved):
    service = counting()
    app = actorrpc.App([service], identity=user_of)
    with serving(app, 2, identity_idle=0.2) as hubs, connect(hubs) as channel:
        ask(channel, "")
        ask(channel, "ada")
        if moved:
            assert hubs.move(1).why == ""
        hubs.wait_for(lambda: service.left)
        assert service.left == ["ada: 1"]
        connection = hubs.connection()
        assert hubs.ask(lambda: (len(connection.cells.identities), list(connection.cells))) == (
            0,
            ["shapes.Stateful"],
        )
        assert [ask(channel, "ada").number, ask(channel, "").number] == [1, 2], "a new one, and the same"


def test_an_open_call_keeps_them():
    service = counting()
    app = actorrpc.App([service], identity=user_of)
    with serving(app, identity_idle=0.1) as hubs, connect(hubs) as channel:
        call: Any = StatefulStub(channel).Expand(Item(), metadata=[("user", "ada")], timeout=30)
        next(call)
        for user in ("bob", "carl"):  # whose ends show that the time has passed
            ask(channel, user)
            hubs.wait_for(lambda user=user: f"{user}: 1" in service.left)
        assert ask(channel, "ada", "Notes").text == "ada"
        call.cancel()
        hubs.wait_for(lambda: "ada: 0" in service.left)


def test_what_runs_keeps_them():
    going = threading.Event()
    heard: list[str] = []
    left: list[str] = []

    class Hears(StatefulBase):
        def Unary(self, request, call):
            self.subscribe("news")
            return request

        def Publish(self, request, call):
            self.publish("news", request)
            return request

        def on_topic(self, topic, message):
            heard.append("begins")
            while not going.is_set():
                gevent.sleep(0.001)
            heard.append("ends")

        def on_disconnect(self):
            left.append(self._identity)

    with (
        serving(actorrpc.App([Hears], identity=user_of), identity_idle=0.1) as hubs,
        connect(hubs) as channel,
    ):
        ask(channel, "ada")
        ask(channel, "bob", "Publish")
        hubs.wait_for(lambda: "bob" in left and heard == ["begins"])
        connection = hubs.connection()
        hubs.wait_for(lambda: connection.cells.identities.due > connection.timer.times.idle_since + 0.2)
        assert "ada" not in left
        going.set()
        hubs.wait_for(lambda: "ada" in left)
        assert heard == ["begins", "ends"]
        assert hubs.ask(lambda: connection.host.subscriptions) == []


def test_an_actor_that_could_not_be_made_leaves_no_identity():
    class Broken(StatefulBase):
        def on_connect(self):
            raise RpcError(StatusCode.UNAVAILABLE, "not now")

    app = actorrpc.App([Broken], identity=user_of)
    with serving(app, max_identities=1) as hubs, connect(hubs) as channel:
        for user in ("ada", "bob"):
            assert code(channel, user) == ("UNAVAILABLE", "not now")
        connection = hubs.connection()
        assert hubs.ask(lambda: (len(connection.cells.identities), dict(connection.cells))) == (0, {})


def test_identities_whose_actors_cannot_be_made_do_not_add_up():
    class Broken(StatefulBase):
        def on_connect(self):
            raise RpcError(StatusCode.UNAVAILABLE, "not now")

    with serving(actorrpc.App([Broken], identity=user_of)) as hubs, connect(hubs) as channel:
        for number in range(300):
            code(channel, f"user {number}")
        connection = hubs.connection()
        assert hubs.ask(lambda: len(connection.cells.identities._looks)) < 100


def test_a_blocked_on_disconnect_keeps_the_connection_where_it_is():
    going = threading.Event()
    began: list[str] = []

    class Slow(Counter):
        left: list[str] = []

        def on_disconnect(self):
            began.append(self._identity)
            while not going.is_set():
                gevent.sleep(0.001)
            super().on_disconnect()

    app = actorrpc.App([Slow], identity=user_of)
    with serving(app, 2, identity_idle=0.1, quiesce_timeout=0.1) as hubs, connect(hubs) as channel:
        ask(channel, "ada")
        hubs.wait_for(lambda: began)
        assert hubs.move(1).why != ""
        assert ask(channel, "ada").number == 1, "an actor of its own, beside"
        going.set()
        hubs.wait_for(lambda: Slow.left)
        assert hubs.move(1).why == ""


class Watched(deque[Any]):
    """A mailbox that counts how often somebody looks whether something waits in it."""

    looks = 0

    def __bool__(self) -> bool:
        Watched.looks += 1
        return len(self) > 0


def test_the_end_of_a_connection_looks_at_each_of_its_actors_a_few_times():
    """And not at all of them at the end of each: with 10,000 identities that took more than a second."""
    many = 200
    service = counting()
    with serving(actorrpc.App([service], identity=user_of)) as hubs:
        with connect(hubs) as channel:
            for number in range(many):
                ask(channel, str(number))
            cells = hubs.connection().cells
            hubs.ask(lambda: [setattr(cell, "mailbox", Watched(cell.mailbox)) for cell in cells.values()])
            Watched.looks = 0
        hubs.wait_for(lambda: len(service.left) == many)
    assert Watched.looks < 20 * many
