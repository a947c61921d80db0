"""A source lets go of what it has given away, and a listener goes on, whatever raises on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from actorrpc.hub.accepting.occupancy import Occupancy
from actorrpc.hub.accepting.reception import Reception
from actorrpc.hub.actors.cell import Cell
from actorrpc.hub.actors.service_host import ServiceHost
from actorrpc.hub.calls.open_calls import OpenCalls
from actorrpc.hub.metering.usage import Usage
from actorrpc.hub.moving.departure import Departure
from actorrpc.hub.node import Node
from actorrpc.hub.serving.connection import Connection
from actorrpc.hub.serving.lifetime_timer import LifetimeTimer
from actorrpc.net import transport
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.hubs import serving

#: What is done when a connection is let go, in its order.
STEPS: dict[str, tuple[Any, str]] = {
    "the release": (Departure, "release"),
    "the epoll set": (transport, "unregister"),
    "its times": (LifetimeTimer, "let_go"),
    "its deadlines": (OpenCalls, "stop_deadlines"),
    "iterables": (Cell, "abandon_iterators"),
    "subscriptions": (ServiceHost, "end_subscriptions"),
    "its usage": (Usage, "close"),
    "room for others": (Reception, "resume"),
    "word to others": (Occupancy, "changed"),
    "the node's end": (Node, "settled"),
}


def raise_after(function: Callable[..., Any], errors: list[Exception]) -> Callable[..., Any]:
    """The function, which raises one time when it has done its work."""

    def doing(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if errors:
            raise errors.pop()
        return result

    return doing


@pytest.mark.parametrize("step", STEPS)
def test_a_source_lets_go_whatever_raises(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name = STEPS[step]
    errors: list[Exception] = []
    monkeypatch.setattr(owner, name, raise_after(getattr(owner, name), errors))
    with serving(app, 2) as hubs, grpc.insecure_channel(hubs.address) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item())
        connection = hubs.connection()
        errors.append(ZeroDivisionError(step))
        assert hubs.move(1, connection.id).why == ""
        assert errors == [], "it was reached"
        assert hubs.ask(connection.pump.transport.fileno) == -1
        assert hubs.ask(lambda: [len(node.connections) for node in hubs.nodes]) == [0, 1]
        assert not hubs.ask(lambda: any(node.mover.handoffs for node in hubs.nodes))
        assert stub.Unary(Item()).number == 2
        assert len(hubs.moved) == 1


def test_a_listener_goes_on_after_a_connection_that_could_not_be_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gevent stops a watcher of a descriptor whose callback raises."""
    errors: list[Exception] = []
    make = Connection.__init__

    def failing(self: Connection, *args: Any, **others: Any) -> None:
        if errors:
            raise errors.pop()
        make(self, *args, **others)

    monkeypatch.setattr(Connection, "__init__", failing)
    with serving(app) as hubs:
        errors.append(ZeroDivisionError())
        with grpc.insecure_channel(hubs.address) as channel:
            reply = StatefulStub(channel).Unary(Item(), wait_for_ready=True, timeout=20)
            assert reply.number == 1
        assert errors == []
