"""Handlers and hooks that are blocked when their call has ended: what is interrupted, when, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import grpc
import pytest

import actorrpc
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item, Tally
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


def block(seen: list[str]) -> None:
    """Wait for ever, and note how that ends."""
    seen.append("blocked")
    try:
        gevent.event.Event().wait()
    except BaseException as error:
        seen.append(type(error).__name__)
        raise


def fill(call: Any) -> None:
    """Send more than may wait for the client."""
    while not call.ended:
        call.send(Item(body=bytes(60_000)))


class Blocking(StatefulBase):
    """Expand, and Listen beside other turns, do something to their call and block; Beside does something to
    the other calls."""

    seen: list[str]
    deeds: dict[str, Callable[[Any, Any], None]] = {
        "": lambda actor, call: None,
        "fill": lambda actor, call: fill(call),
        "finish": lambda actor, call: call.finish(actorrpc.StatusCode.ABORTED, "so"),
        "subscribe": lambda actor, call: actor.subscribe("news", call),
        "publish": lambda actor, call: actor.publish("news", Tally()),
    }

    def Expand(self, request, call):
        self.deeds[request.text](self, call)
        block(self.seen)

    @actorrpc.concurrent
    def Listen(self, request, call):
        self.deeds[request.text](self, call)
        block(self.seen)

    @actorrpc.concurrent
    def Beside(self, request, call):
        for other in self.calls:
            if other is not call:
                self.deeds[request.text](self, other)
        return request

    def on_disconnect(self):
        self.seen.append("on_disconnect")


def blocking(**attributes: Any) -> tuple[type[Any], list[str]]:
    """A service that is ``Blocking``, and what it notes."""
    seen: list[str] = []
    return type("Blocking", (Blocking,), {"seen": seen, **attributes}), seen


def code_of(replies: Any) -> str:
    """The name of the status that a stream of replies ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        list(replies)
    return caught.value.code().name


def gone(hubs: Hubs) -> bool:
    """Whether nothing is left of any connection."""
    return not any(node.connections or node._finishing for node in hubs.nodes)


methods = pytest.mark.parametrize("method", ["Expand", "Listen"])


# ---- what is interrupted at once


@methods
@pytest.mark.parametrize(
    ("own", "of_others", "code"),
    [
        ("fill", "", "RESOURCE_EXHAUSTED"),
        ("", "fill", "RESOURCE_EXHAUSTED"),
        ("subscribe", "publish", "INTERNAL"),
    ],
    ids=["its own replies", "replies of another turn", "a topic"],
)
def test_a_handler_is_interrupted_at_once_when_a_limit_or_a_topic_ends_its_call(own, of_others, code, method):
    service, seen = blocking()
    with serving(actorrpc.App([service]), 2, max_unsent_bytes=100_000) as hubs:
        with connect(hubs) as channel:
            stub = StatefulStub(channel)
            replies = getattr(stub, method)(Item(text=own))
            hubs.wait_for(lambda: seen)
            if of_others:
                stub.Beside(Item(text=of_others), timeout=10)
            assert code_of(replies) == code
            hubs.wait_for(lambda: len(seen) == 2)
            assert seen == ["blocked", "CallCancelled"]
            assert hubs.move(1).why == ""
        hubs.wait_for(lambda: gone(hubs))
    assert seen == ["blocked", "CallCancelled", "on_disconnect"]


@pytest.mark.parametrize("messages", [0, 2])
def test_so_is_an_on_call_when_its_clients_mistake_ends_the_call(messages):
    seen: list[str] = []

    class Waits(actorrpc.Interceptor):
        def on_call(self, call):
            block(seen)

    service, _ = blocking()
    with serving(actorrpc.App([service], interceptors=[Waits()]), 2) as hubs:
        with RawClient(hubs.address) as client:
            fields = [(n, v.replace("test.Test", "shapes.Stateful")) for n, v in raw.request("Unary")]
            client.send(raw.headers(1, fields))
            hubs.wait_for(lambda: seen)
            client.send(raw.data(1, raw.message(b"") * messages, raw.END_STREAM))
            client.wait_for(raw.HEADERS, raw.END_STREAM)
            hubs.wait_for(lambda: len(seen) == 2)
            assert hubs.move(1).why == ""
        hubs.wait_for(lambda: gone(hubs))
    assert seen == ["blocked", "CallCancelled"]


# ---- what is interrupted when the client goes


@methods
@pytest.mark.parametrize("by", ["itself", "another turn"])
def test_a_handler_whose_call_has_been_finished_is_interrupted_when_its_client_goes(by, method):
    service, seen = blocking()
    with serving(actorrpc.App([service])) as hubs:
        with connect(hubs) as channel:
            stub = StatefulStub(channel)
            replies = getattr(stub, method)(Item(text="finish" if by == "itself" else ""))
            hubs.wait_for(lambda: seen)
            stub.Beside(Item(text="" if by == "itself" else "finish"), timeout=10)
            assert code_of(replies) == "ABORTED"
            stub.Beside(Item(), timeout=10)
            assert seen == ["blocked"]
        hubs.wait_for(lambda: gone(hubs))
    assert seen == ["blocked", "CallCancelled", "on_disconnect"]


def test_stopping_interrupts_a_handler_whose_call_has_been_finished():
    service, seen = blocking()
    with serving(actorrpc.App([service])) as hubs, connect(hubs) as channel:
        assert code_of(StatefulStub(channel).Expand(Item(text="finish"))) == "ABORTED"
        hubs.ask(lambda: hubs.nodes[0].stop(0, lambda: None))
        hubs.wait_for(lambda: gone(hubs))
    assert seen == ["blocked", "CallCancelled", "on_disconnect"]


# ---- what is not


@pytest.mark.parametrize("end", ["cancel", "fill"])
def test_what_a_handler_does_when_it_was_interrupted_is_not_interrupted_again(end):
    gate = gevent.event.Event()

    def last_words(actor: Any, request: Any, call: Any) -> None:
        try:
            block(actor.seen)
        finally:
            gate.wait()
            actor.seen.append("last words")

    service, seen = blocking(Listen=actorrpc.concurrent(last_words))
    with serving(actorrpc.App([service]), max_unsent_bytes=100_000) as hubs:
        with connect(hubs) as channel:
            stub = StatefulStub(channel)
            replies = stub.Listen(Item())
            hubs.wait_for(lambda: seen)
            if end == "cancel":
                replies.cancel()
            else:
                stub.Beside(Item(text="fill"), timeout=10)
            hubs.wait_for(lambda: len(seen) == 2)
        hubs.wait_for(lambda: not hubs.nodes[0].connections)
        assert hubs.ask(seen.copy) == ["blocked", "CallCancelled"]
        hubs.ask(gate.set)
        hubs.wait_for(lambda: gone(hubs))
    assert seen == ["blocked", "CallCancelled", "last words", "on_disconnect"]


HOOKS = ["on_connect", "on_topic", "on_thaw", "close", "close beside"]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_is_blocked_when_the_client_goes_comes_to_its_own_end(hook):
    gate = gevent.event.Event()

    def run(actor: Any, name: str) -> None:
        if name == hook:
            actor.seen.append("begins")
            gate.wait()
            actor.seen.append("ends")

    def replies(actor: Any, name: str) -> Any:
        try:
            while True:
                yield Item()
        finally:
            run(actor, name)

    def on_connect(actor: Any) -> None:
        actor.subscribe("news")
        run(actor, "on_connect")

    def publish(actor: Any, request: Any, call: Any) -> Any:
        actor.publish("news", Item())
        return request

    service, seen = blocking(
        on_connect=on_connect,
        on_topic=lambda self, topic, message: run(self, "on_topic"),
        on_thaw=lambda self: run(self, "on_thaw"),
        Unary=publish,
        Expand=lambda self, request, call: replies(self, "close"),
        Listen=actorrpc.concurrent(lambda self, request, call: replies(self, "close beside")),
    )
    with serving(actorrpc.App([service]), 2) as hubs:
        with connect(hubs) as channel:
            stub = StatefulStub(channel)
            call = stub.Unary.future(Item())
            if hook != "on_connect":
                call.result(10)
            if hook == "on_thaw":
                assert hubs.move(1).why == ""
            if "close" in hook:
                stream = stub.Expand(Item()) if hook == "close" else stub.Listen(Item())
                next(stream)
                stream.cancel()
            hubs.wait_for(lambda: seen)
        hubs.wait_for(lambda: not any(node.connections for node in hubs.nodes))
        assert hubs.ask(seen.copy) == ["begins"]
        hubs.ask(gate.set)
        hubs.wait_for(lambda: gone(hubs))
    assert seen == ["begins", "ends", "on_disconnect"]
