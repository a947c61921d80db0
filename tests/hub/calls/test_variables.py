"""Context variables: a call keeps its own through all that runs for it, and nobody else sees them."""

from __future__ import annotations

import contextvars
import decimal
from typing import Any

import gevent
import grpc
import pytest

import actorrpc
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


class span:
    """As OpenTelemetry's spans are: a context manager whose end needs the context in which it began."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.token = user.set(f"{user.get()}/{self.name}")

    def __exit__(self, *error: object) -> None:
        user.reset(self.token)


class Spans(StatelessBase):
    """Tells in each reply what it sees, inside of a span of its own."""

    def Unary(self, request, call):
        return Item(text=user.get())

    def Expand(self, request, call):
        with span(request.text):
            for _ in range(3):
                yield Item(text=user.get())
                gevent.sleep(0.001)
                yield Item(text=user.get())
        yield Item(text=user.get())

    def Talk(self, message, call):
        call.send(Item(text=user.get()))
        user.set(message.text)

    def Talk_end(self, call):
        call.send(Item(text=user.get()))
        call.finish()


def test_a_generator_keeps_its_context_from_reply_to_reply_beside_others():
    with serving(actorrpc.App([Spans])) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        calls = {name: stub.Expand(Item(text=name), timeout=10) for name in ("a", "b", "c")}
        for name, call in calls.items():
            assert [reply.text for reply in call] == [f"nobody/{name}"] * 6 + ["nobody"]
        assert stub.Unary(Item(), timeout=10).text == "nobody"


def test_the_turns_of_a_call_share_one_context():
    with serving(actorrpc.App([Spans])) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        for _ in range(2):
            replies = stub.Talk(iter([Item(text="alice"), Item(text="bob")]), timeout=10)
            assert [reply.text for reply in replies] == ["nobody", "alice", "bob"]


def test_decimals_context_lasts_in_a_generator():
    class Divides(StatelessBase):
        def Expand(self, request, call):
            with decimal.localcontext() as context:
                context.prec = request.number
                for _ in range(2):
                    yield Item(text=str(decimal.Decimal(1) / 3))
            yield Item(text=str(len(str(decimal.Decimal(1) / 3))))

    with serving(actorrpc.App([Divides])) as hubs, connect(hubs) as channel:
        calls = [StatelessStub(channel).Expand(Item(number=number), timeout=10) for number in (3, 5)]
        assert [[reply.text for reply in call] for call in calls] == [
            ["0.333", "0.333", "30"],
            ["0.33333", "0.33333", "30"],
        ]


class Leaves(StatelessBase):
    """Sets a variable where it is closed, and tells what it saw there."""

    seen: list[str]

    def Unary(self, request, call):
        return Item(text=user.get())

    def Expand(self, request, call):
        user.set("alice")
        try:
            while True:
                yield Item(body=bytes(30_000))
        finally:
            self.seen.append(user.get())
            user.set("mallory")


@pytest.mark.parametrize("how", ["cancelled", "gone", "finished"])
def test_what_a_close_sets_is_not_for_the_next_call(how):
    seen: list[str] = []

    class Leaving(Leaves):
        pass

    Leaving.seen = seen
    with serving(actorrpc.App([Leaving])) as hubs, connect(hubs) as channel:
        fields = [
            (name, value.replace("/test.Test/", "/shapes.Stateless/"))
            for name, value in raw.request("Expand")
        ]
        with RawClient(hubs.address) as client:
            client.send(raw.headers(1, fields) + raw.data(1, raw.message(b""), raw.END_STREAM))
            connection = hubs.connection()
            # It waits for the client's window, outside of a turn.
            hubs.wait_for(
                lambda: any(c.iterator and c.congested and not c.runner for c in connection.calls.values())
            )
            if how == "cancelled":
                client.send(raw.frame(raw.RST_STREAM, 0, 1, b"\0\0\0\x08"))
            elif how == "finished":
                hubs.ask(lambda: connection.calls.end_all(actorrpc.StatusCode.ABORTED, "enough"))
            if how != "gone":
                hubs.wait_for(lambda: seen)
        hubs.wait_for(lambda: seen and not hubs.nodes[0].connections)
        stub = StatelessStub(channel)
        assert [stub.Unary(Item(), timeout=10).text for _ in range(3)] == ["nobody"] * 3
        assert seen == ["alice"]


def test_hooks_of_an_actor_have_contexts_of_their_own():
    seen: dict[str, str] = {}

    class Hooked(StatefulBase):
        def _note(self, name):
            seen[name] = user.get()
            user.set(name)

        def __init__(self):
            self._note("__init__")

        def on_connect(self):
            self._note("on_connect")
            self.subscribe("news")

        def on_freeze(self):
            self._note("on_freeze")

        def on_thaw(self):
            self._note("on_thaw")

        def on_topic(self, topic, message):
            self._note("on_topic")

        def on_disconnect(self):
            self._note("on_disconnect")

        def Unary(self, request, call):
            self._note("Unary")
            self.publish("news", request)
            return request

    with serving(actorrpc.App([Hooked]), 2) as hubs:
        with connect(hubs) as channel:
            StatefulStub(channel).Unary(Item(), timeout=10)
            hubs.wait_for(lambda: "on_topic" in seen)
            assert hubs.move(1).why == ""
            hubs.wait_for(lambda: "on_thaw" in seen)
        hubs.wait_for(lambda: "on_disconnect" in seen)
    names = ("__init__", "on_connect", "Unary", "on_topic", "on_freeze", "on_thaw", "on_disconnect")
    assert seen == dict.fromkeys(names, "nobody")


class Tracing(actorrpc.Interceptor):
    """Notes what each of its hooks sees, and adds its name."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {}
        self.tokens: dict[str, Any] = {}
        self.ended: list[str] = []

    def _note(self, name, call):
        self.seen.setdefault(call.id, []).append(f"{name} {user.get()}")
        return user.set(f"{user.get()}+{name}")

    def on_call(self, call):
        self.tokens[call.id] = self._note("call", call)
        gevent.sleep(0.001)

    def on_request(self, call, message):
        self._note("request", call)
        return message

    def on_reply(self, call, message):
        self._note("reply", call)
        return message

    def on_error(self, call, error):
        self._note("error", call)

    def on_end(self, call, status, message):
        self._note("end", call)
        user.reset(self.tokens[call.id])  # which needs the very context of on_call
        self.ended.append(call.id)


@pytest.mark.parametrize("text", ["", "fail", "cancel"])
def test_all_hooks_of_an_interceptor_run_in_the_calls_context(text):
    class Handles(StatelessBase):
        def Expand(self, request, call):
            user.set(user.get() + "+handler")
            yield Item(text=user.get())
            if request.text == "fail":
                raise ValueError("x")
            while request.text == "cancel":
                gevent.sleep(1)

    tracing = Tracing()
    with serving(actorrpc.App([Handles], interceptors=[tracing])) as hubs, connect(hubs) as channel:
        call = StatelessStub(channel).Expand(Item(text=text), timeout=10)
        assert next(call).text == "nobody+call+request+handler"
        if text == "cancel":
            call.cancel()
        with pytest.raises((grpc.RpcError, StopIteration)):
            next(call)
        hubs.wait_for(lambda: tracing.ended)
    (seen,) = tracing.seen.values()
    so_far, expected = "nobody", []
    for name in ("call", "request", "handler", "reply", *(["error"] if text == "fail" else []), "end"):
        if name != "handler":
            expected.append(f"{name} {so_far}")
        so_far += f"+{name}"
    assert seen == expected


def test_on_reply_runs_in_the_context_of_the_call_that_is_sent_to():
    """A handler sends on the call of another turn, which waits or is blocked, and a topic does."""
    tracing = Tracing()

    class Room(StatefulBase):
        def Expand(self, request, call):
            user.set("listener")
            call.send(Item(text="begun"))
            self.subscribe("news", call)

        @actorrpc.concurrent
        def Beside(self, request, call):
            user.set("speaker")
            self.calls[0].send(Item(text="direct"))
            self.publish("news", Item(text="published"))
            return Item(text=user.get())

    with serving(actorrpc.App([Room], interceptors=[tracing])) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        listening = stub.Expand(Item(), timeout=10)
        assert next(listening).text == "begun"
        assert stub.Beside(Item(), timeout=10).text == "speaker+reply"[:7]
        assert {next(listening).text for _ in range(2)} == {"direct", "published"}
        replies = [line for line in next(iter(tracing.seen.values())) if line.startswith("reply")]
        assert replies == ["reply listener", "reply listener+reply", "reply listener+reply+reply"]
        listening.cancel()
        hubs.wait_for(lambda: len(tracing.ended) == 2)


def test_a_thread_sees_what_its_turn_has_set():
    class Offloads(StatelessBase):
        def Unary(self, request, call):
            user.set(request.text)
            return Item(text=f"{self.offload(self.look)} {user.get()}")

        def look(self):
            before = user.get()
            user.set("thread")
            return before

    with serving(actorrpc.App([Offloads])) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        assert [stub.Unary(Item(text=text), timeout=10).text for text in "ab"] == ["a a", "b b"]


def test_nothing_is_made_for_a_call_without_variables():
    class Plain(StatefulBase):
        def Talk(self, message, call):
            call.send(Item(text=repr(call.variables)))

    with serving(actorrpc.App([Plain])) as hubs, connect(hubs) as channel:
        replies = StatefulStub(channel).Talk(iter([Item()] * 3), timeout=10)
        assert [reply.text for reply in replies] == ["None"] * 3


def test_they_do_not_move():
    """The next hub may be another process: what is to travel is for call.context."""
    with serving(actorrpc.App([Spans]), 2, move_every=1) as hubs, connect(hubs) as channel:
        replies = StatelessStub(channel).Talk(iter([Item(text="alice")] * 20), timeout=10)
        assert "nobody" in [reply.text for reply in replies][1:]
