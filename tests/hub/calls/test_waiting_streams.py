"""A response stream that waits between its replies: what that holds up, and the forms that hold up nothing.

docs/guide/turns.md has them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gevent.event
import grpc
import pytest

import actorrpc
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.hubs import Hubs, serving
from tests.support.waiting import PATIENCE


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


class Waiting(StatefulBase):
    """Unary is what happens; Expand and Listen tell their clients of it."""

    news: Any

    def Unary(self, request, call):
        return request

    def Publish(self, request, call):
        self.publish("news", request)
        return request


class Sleeping(Waiting):
    """The form to avoid: it waits between two replies, in a turn."""

    def Expand(self, request, call):
        call.cursor = call.cursor or b"0"
        while True:
            call.cursor = b"%d" % (int(call.cursor) + 1)
            yield Item(number=int(call.cursor))
            self.news.wait()


def test_a_generator_that_waits_holds_up_other_calls_and_moves():
    service = type("Sleeping", (Sleeping,), {"news": gevent.event.Event()})
    with serving(actorrpc.App([service]), 2, quiesce_timeout=0.01) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        replies = stub.Expand(Item(), timeout=PATIENCE)
        assert next(replies).number == 1
        other = stub.Unary.future(Item(number=5), timeout=PATIENCE)
        connection = hubs.connection()
        hubs.wait_for(lambda: len(connection.cells["shapes.Stateful"].mailbox) == 1)
        assert "handler Expand running" in hubs.move(1).why
        assert not other.done()
        hubs.ask(service.news.set)
        assert other.result(PATIENCE).number == 5


class Kept(Waiting):
    """Later turns send on the call."""

    def Expand(self, request, call):
        self.state.notes.append(call.id)
        call.send(Item(number=1))

    def Publish(self, request, call):
        for kept in self.calls:
            if kept.id in self.state.notes:
                kept.send(request)
        return request

    def on_call_end(self, call, status, message):
        if call.id in self.state.notes:
            self.state.notes.remove(call.id)

    def Notes(self, request, call):
        return Item(text=" ".join(self.state.notes))


class Subscribed(Waiting):
    """A topic sends on the call."""

    def Expand(self, request, call):
        self.subscribe("news", call)
        call.send(Item(number=1))

    def Notes(self, request, call):
        return Item()


@pytest.mark.parametrize("service", [Kept, Subscribed])
def test_a_call_that_is_kept_holds_up_neither(service):
    """Nothing of it runs while it waits, in whichever hub: what happens is sent on it."""
    with serving(actorrpc.App([service]), 3) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        replies = stub.Expand(Item(), timeout=PATIENCE)
        assert next(replies).number == 1
        for number, hub in enumerate([1, 2, 0, 1], start=2):
            assert stub.Unary(Item(number=number), timeout=PATIENCE).number == number
            connection = hubs.connection()
            assert hubs.ask(lambda connection=connection: connection.schedule.running) == 0
            assert hubs.move(hub).why == ""
            stub.Publish(Item(number=number), timeout=PATIENCE)
            assert next(replies).number == number
        replies.cancel()
        connection = hubs.connection()
        hubs.wait_for(lambda: not connection.calls)
        assert stub.Notes(Item(), timeout=PATIENCE).text == "", "what was noted of it is forgotten"


class Ticking(Waiting):
    """By the clock: a concurrent iterable with a cursor."""

    waits: list[int]

    @actorrpc.concurrent
    def Listen(self, request, call):
        call.cursor = call.cursor or b"0"
        while True:
            self.waits.append(int(call.cursor))
            self.news.wait()
            self.news.clear()
            call.cursor = b"%d" % (int(call.cursor) + 1)
            yield Item(number=int(call.cursor))


def test_an_iterable_by_the_clock_holds_up_no_call_and_a_move_until_its_next_reply():
    waits: list[int] = []
    service = type("Ticking", (Ticking,), {"news": gevent.event.Event(), "waits": waits})
    with serving(actorrpc.App([service]), 2, quiesce_timeout=PATIENCE) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        replies = stub.Listen(Item(), timeout=PATIENCE)
        source, target = hubs.nodes
        for number in range(4):
            hubs.wait_for(lambda number=number: waits[-1:] == [number])
            assert stub.Unary(Item(number=number), timeout=PATIENCE).number == number
            connection = hubs.connection()
            results: list[Any] = []
            hubs.ask(partial(source.mover.move, connection.id, target.hub, results.append))
            assert hubs.ask(results.copy) == [], "it waits for the reply that is under way"
            hubs.ask(service.news.set)
            assert next(replies).number == number + 1
            assert hubs.wait_for(lambda results=results: results)[0].why == ""
            source, target = target, source
        replies.cancel()
