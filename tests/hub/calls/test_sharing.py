"""A connection that several clients seem to share: it is told of, and where that is wished its calls without
an identity are refused, before anything of an actor's is touched."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import actorrpc
from actorrpc import StatusCode
from actorrpc.errors import ConfigError
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient
from tests.support.waiting import PATIENCE

ADA, BOB = [("authorization", "ada")], [("authorization", "bob")]
VIA = [("via", "2 proxy")]

Metadata = list[tuple[str, str]]


class Counter(StatefulBase):
    """Counts its calls."""

    made: list[str]

    def on_connect(self) -> None:
        self.made.append(self.connection_id)

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self.state.count += 1
        return Item(number=self.state.count)

    def Talk(self, request: Item, call: actorrpc.Call[Item]) -> None:
        self.state.count += 1
        call.send(Item(number=self.state.count))


class Stateless(StatelessBase):
    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return request


class OnCall(actorrpc.Interceptor):
    """Says whose the calls are that say so themselves."""

    def on_call(self, call: actorrpc.Call[Any]) -> None:
        call.identity = str(call.metadata.get("user", ""))


class OnEnd(actorrpc.Interceptor):
    def __init__(self) -> None:
        self.seen: list[StatusCode] = []

    def on_end(self, call: actorrpc.Call[Any], status: StatusCode, message: str) -> None:
        self.seen.append(status)


def services() -> list[Any]:
    return [type("Counting", (Counter,), {"made": []}), Stateless]


ROUTES: dict[str, Callable[[], actorrpc.App]] = {
    "no interceptors": lambda: actorrpc.App(services()),
    "no on_call": lambda: actorrpc.App(services(), interceptors=[OnEnd()]),
    "on_call": lambda: actorrpc.App(services(), interceptors=[OnCall()]),
    "identity": lambda: actorrpc.App(services(), identity=lambda call: str(call.metadata.get("user", ""))),
}
routes = pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


def count(channel: grpc.Channel, metadata: Metadata) -> int:
    number: int = StatefulStub(channel).Unary(Item(), metadata=metadata, timeout=30).number
    return number


def refused(channel: grpc.Channel, metadata: Metadata) -> str:
    """What a call is told that is refused for its connection."""
    with pytest.raises(grpc.RpcError) as caught:
        count(channel, metadata)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    details: str = error.details()
    return details


def seen(hubs: Hubs) -> list[tuple[int, int, int]]:
    """Connections, calls, and refused calls, for each hub."""
    return hubs.ask(
        lambda: [(s.connections, s.calls, s.refused) for s in (node.report().shared for node in hubs.nodes)]
    )


def made(hubs: Hubs) -> list[str]:
    service: Any = hubs.nodes[0].resources.services["shapes.Stateful"]
    found: list[str] = service.made
    return found


@routes
def test_it_is_told_of_once_and_counted(route, caplog):
    caplog.set_level(logging.WARNING, logger="actorrpc.hub")
    with serving(route()) as hubs:
        with connect(hubs) as channel:
            assert [count(channel, who) for who in (ADA, ADA, BOB, ADA)] == [1, 2, 3, 4]
        with connect(hubs) as channel:
            assert [count(channel, who) for who in (ADA, [*ADA, *VIA])] == [1, 2]
        assert seen(hubs) == [(2, 3, 0)]
        first = hubs.ask(lambda: hubs.nodes[0].report().shared.first)
    assert first.startswith("/shapes.Stateful/Unary on connection 0-0-1 from ")
    assert first.endswith(": `authorization` is not the same in all calls")
    (record,) = caplog.records
    assert first in record.getMessage()
    assert "docs/operate/proxies.md" in record.getMessage()


@routes
def test_one_client_is_never_told_of(route, caplog):
    with serving(route(), shared_connections="refuse") as hubs:
        for who in (ADA, BOB):
            with connect(hubs) as channel:
                assert [count(channel, [*who, ("x-request-id", str(each))]) for each in range(3)] == [1, 2, 3]
        assert not hubs.ask(lambda: hubs.nodes[0].report().HasField("shared"))
    assert not caplog.records


@routes
def test_refused_from_the_first_that_differs_on(route):
    with serving(route(), shared_connections="refuse") as hubs, connect(hubs) as channel:
        assert [count(channel, ADA), count(channel, ADA)] == [1, 2]
        for who in (BOB, ADA, BOB):
            assert "`authorization` is not the same in all calls" in refused(channel, who)
        assert seen(hubs) == [(1, 3, 3)]
        assert hubs.connection().cells["shapes.Stateful"].instance.state.count == 2


@routes
def test_refused_before_an_actor_is_made(route):
    with serving(route(), shared_connections="refuse") as hubs, connect(hubs) as channel:
        assert "`via` is what a proxy adds" in refused(channel, VIA)
        assert "`via`" in refused(channel, [])
        assert not made(hubs)
        assert not hubs.connection().cells


@routes
def test_what_has_begun_goes_on(route):
    with serving(route(), shared_connections="refuse") as hubs, connect(hubs) as channel:
        requests: queue.Queue[Item | None] = queue.Queue()
        replies = StatefulStub(channel).Talk(iter(requests.get, None), metadata=ADA, timeout=30)
        requests.put(Item())
        assert next(replies).number == 1
        refused(channel, BOB)
        requests.put(Item())
        assert next(replies).number == 2
        requests.put(None)
        assert list(replies) == []


@routes
def test_services_without_state_are_not_concerned(route):
    with serving(route(), shared_connections="refuse") as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        for who in (ADA, BOB, VIA):
            assert stub.Unary(Item(number=7), metadata=who, timeout=30).number == 7
        assert count(channel, ADA) == 1  # and they are no evidence
        refused(channel, BOB)
        assert stub.Unary(Item(number=7), metadata=BOB, timeout=30).number == 7


@pytest.mark.parametrize("route", [ROUTES["on_call"], ROUTES["identity"]], ids=["on_call", "identity"])
def test_calls_with_an_identity_are_not_concerned(route):
    with serving(route(), shared_connections="refuse") as hubs, connect(hubs) as channel:
        ada, bob = [*ADA, *VIA, ("user", "ada")], [*BOB, ("user", "bob")]
        assert [count(channel, who) for who in (ada, bob, ada)] == [1, 1, 2]
        assert not hubs.ask(lambda: hubs.nodes[0].report().HasField("shared"))
        assert count(channel, ADA) == 1  # nobody's
        refused(channel, BOB)
        assert [count(channel, who) for who in (ada, bob)] == [3, 2]


def test_a_user_agent_that_differs():
    def call(stream: int, agent: str) -> bytes:
        fields = [
            (name, "/shapes.Stateful/Unary" if name == ":path" else value)
            for name, value in raw.request("Unary", ("user-agent", agent))
        ]
        return raw.headers(stream, fields) + raw.data(stream, raw.message(b""), raw.END_STREAM)

    app = actorrpc.App(services())
    with serving(app, shared_connections="refuse") as hubs, RawClient(hubs.address) as client:
        for stream, agent, status in ((1, "a", b"0"), (3, "a", b"0"), (5, "b", b"9"), (7, "a", b"9")):
            client.send(call(stream, agent))
            *_, block = client.wait_for(raw.HEADERS, raw.END_STREAM)
            assert b"grpc-status" + raw.literal(status) in block


@routes
def test_a_move_forgets_nothing(route):
    with serving(route(), 2, shared_connections="refuse") as hubs, connect(hubs) as channel:
        assert count(channel, ADA) == 1
        assert hubs.move(1).why == ""
        assert count(channel, ADA) == 2
        assert hubs.move(0).why == ""
        refused(channel, BOB)
        assert hubs.move(1).why == ""
        refused(channel, ADA)
        assert seen(hubs) == [(1, 1, 1), (0, 1, 1)]
        assert hubs.ask(lambda: hubs.nodes[1].report().shared.first) != ""


@pytest.mark.parametrize("first", [StatefulStub, StatelessStub], ids=["an actor's", "no actor's"])
def test_a_call_that_waits_for_an_on_call_and_comes_to_a_hub_without_is_looked_at_there(first):
    """While a server is brought to a new version of its app, say; with an actor there, and without one."""
    begun, may_end = threading.Event(), gevent.event.Event()

    class Slow(actorrpc.Interceptor):
        def on_call(self, call: actorrpc.Call[Any]) -> None:
            if "slow" in call.metadata:
                begun.set()
                may_end.wait(PATIENCE)

    app = actorrpc.App(services(), interceptors=[Slow()])
    with serving(app, 2, shared_connections="refuse") as hubs, connect(hubs) as channel:
        hubs.ask(lambda: change(hubs.nodes[1], actorrpc.App(services())))
        slow = first(channel).Unary.future(Item(number=1), metadata=[*ADA, ("slow", "1")], timeout=30)
        assert begun.wait(PATIENCE)
        connection = hubs.connection()
        results: list[Any] = []
        hubs.ask(lambda: hubs.nodes[0].mover.move(connection.id, 1, results.append))
        waiting = StatefulStub(channel).Unary.future(Item(), metadata=[*BOB, *VIA], timeout=30)
        hubs.wait_for(
            lambda: connection.cells.admission is not None and connection.cells.admission.concurrent
        )
        hubs.ask(may_end.set)
        assert slow.result().number == 1
        assert waiting.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert hubs.wait_for(lambda: results)[0].why == ""
        assert seen(hubs) == [(0, 0, 0), (1, 1, 1)]


def change(node: Any, app: actorrpc.App) -> None:
    """The hub runs another version of the app."""
    node.resources.serve(app)


def test_interceptors_see_what_is_refused():
    ends = OnEnd()
    app = actorrpc.App(services(), interceptors=[ends])
    with serving(app, shared_connections="refuse") as hubs, connect(hubs) as channel:
        refused(channel, VIA)
        hubs.wait_for(lambda: ends.seen)
    assert ends.seen == [StatusCode.FAILED_PRECONDITION]


def test_there_are_two_ways():
    with pytest.raises(ConfigError, match="shared_connections must be warn or refuse, not 'allow'"):
        actorrpc.Config(shared_connections="allow")


class Owned(StatefulBase):
    """Keeps whose first call it had, and says so."""

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        who = f"{call.metadata.get('authorization', '')} as {call.identity or 'nobody'}"
        if not self.state.notes:
            self.state.notes.append(who)
        if request.sleep:
            gevent.sleep(request.sleep)
        assert list(self.state.notes) == [who], "somebody else's"
        return Item(text=who)

    def Talk(self, request: Item, call: actorrpc.Call[Item]) -> None:
        call.send(self.Unary(request, call))


class SlowOnCall(OnCall):
    def on_call(self, call: actorrpc.Call[Any]) -> None:
        if "slow" in call.metadata:
            gevent.sleep(0.002)
        super().on_call(call)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["call", "open", "message", "reset", "move"]),
        st.sampled_from(["", "ada", "bob"]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=20,
)


@pytest.mark.parametrize("hooks", [[], [OnEnd()], [SlowOnCall()]], ids=["none", "no on_call", "on_call"])
@settings(max_examples=30)
@given(steps=STEPS)
def test_nobody_gets_at_anothers_actor_in_any_order(hooks, steps):
    """Calls that wait for on_call, for their turn and for a move, with an identity and without."""
    app = actorrpc.App([Owned], interceptors=hooks)
    with serving(app, 2, shared_connections="refuse") as hubs, RawClient(hubs.address) as client:
        talks: list[int] = []
        target = 0
        for number, (step, who, slow, identified) in enumerate(steps):
            id = 1 + 2 * number
            fields = [("authorization", who)] * bool(who) + [("slow", "1")] * slow
            fields += [("user", who)] * (identified and bool(who))
            message = raw.message(Item(sleep=0.002 * slow).SerializeToString())
            if step == "call":
                client.send(stateful(id, "Unary", fields) + raw.data(id, message, raw.END_STREAM))
            elif step == "open":
                client.send(stateful(id, "Talk", fields) + raw.data(id, message))
                talks.append(id)
            elif step == "message" and talks:
                client.send(raw.data(talks[-1], message))
            elif step == "reset" and talks:
                client.send(raw.frame(raw.RST_STREAM, 0, talks.pop(), bytes(4)))
            elif step == "move":
                target = 1 - target
                begin_move(hubs, target)
        client.send(raw.frame(raw.PING, 0, 0, b"are all?"))
        client.wait_for(raw.PING, raw.ACK)
        answered = [client.wait_for(raw.HEADERS, raw.END_STREAM) for step in steps if step[0] == "call"]
        assert not any(b"the handler failed" in frame[3] for frame in [*answered, *client.frames])


def stateful(id: int, method: str, fields: list[tuple[str, str]]) -> bytes:
    """The beginning of a call of an actor."""
    path = (":path", f"/shapes.Stateful/{method}")
    return raw.headers(
        id, [path if name == ":path" else (name, value) for name, value in raw.request(method, *fields)]
    )


def begin_move(hubs: Hubs, target: int) -> None:
    """Begin a move to a hub, whatever becomes of it."""
    connection = hubs.connection()

    def begin() -> None:
        for node in hubs.nodes:
            if connection.id in node.connections:
                node.mover.move(connection.id, target, lambda result: None)

    hubs.ask(begin)
