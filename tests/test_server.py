"""``actorrpc.Server``: what it does without a broker."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

import actorrpc
from actorrpc.hub.metering import Usage
from actorrpc.hub.node import Node
from tests.apps.shapes import app

PATIENCE = 60.0


def test_what_connections_spend_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = Event()
    settle = Node.settle

    def watched(node: Node) -> None:
        settle(node)
        settled.set()

    monkeypatch.setattr(Node, "settle", watched)
    with actorrpc.Server(app) as server:
        meter = server._node.meter
        usage, light = Usage(meter, "heavy"), Usage(meter, "light")
        usage.spend(meter.clock() - meter.charged - 0.1)
        light.spend(meter.clock() - meter.charged)
        assert meter.active == [usage, light]
        light.close()
        with gevent.Timeout(PATIENCE):
            settled.wait()
        assert meter.active == []
        assert usage.due == 0 < usage.load(meter.clock())
    assert not server._settler.active


def test_its_timer_does_not_keep_the_loop_alive() -> None:
    """A program that waits for what cannot come is told so by gevent, also while a timer runs."""
    before = gevent.get_hub().loop.activecnt
    with actorrpc.Server(app) as server:
        assert server._settler.active and not server._settler.ref
    assert gevent.get_hub().loop.activecnt == before
