"""A hub that is told to expect a connection."""

from __future__ import annotations

import os

import grpc

import actorrpc
from actorrpc.hub import rehearsal
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.hub.serving import serving


class Stateful(StatefulBase):
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def Unary(self, request, call):
        self.state.count += 1
        return Item(number=self.state.count)


def test_it_leaves_nothing_behind_and_runs_nothing_of_the_apps(monkeypatch, caplog):
    monkeypatch.setattr(rehearsal, "WARM", 0.0)
    with serving(actorrpc.App([Stateful]), 2) as hubs:
        node = hubs.nodes[1]
        hubs.ask(node.expect)

        def held() -> tuple[int, int]:
            return hubs.ask(lambda: (len(os.listdir("/proc/self/fd")), hubs._loop.activecnt))

        before = held()
        for _ in range(20):
            hubs.ask(node.expect)
        assert held() == before
        assert (Stateful.made, node.connections, repr(node.handoffs)) == (
            0,
            {},
            "<Handoffs: 0 leaving, 0 arriving>",
        )
        with grpc.insecure_channel(hubs.address) as channel:
            stub = StatefulStub(channel)
            assert stub.Unary(Item()).number == 1
            hubs.ask(node.expect)
            assert hubs.move(1).outcome == 0
            assert stub.Unary(Item()).number == 2
    assert not caplog.records


def test_it_is_not_repeated_while_arrivals_are_warm(monkeypatch):
    monkeypatch.setattr(rehearsal, "WARM", 60.0)
    thawed = []
    thaw = rehearsal.thaw
    monkeypatch.setattr(rehearsal, "thaw", lambda *arguments: thawed.append(1) or thaw(*arguments))
    with serving(actorrpc.App([Stateful]), 1) as hubs:
        for _ in range(3):
            hubs.ask(hubs.nodes[0].expect)
    assert len(thawed) == 1
