"""Connections that another hub would refuse, since it runs other code: their moves are not begun."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import pytest

import actorrpc
from actorrpc.hub.moving.fit import known_states, why_unfit
from actorrpc.pb.control_pb2 import MoveResult
from tests.apps.shapes import Stateless
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item, Tally
from tests.support.hubs import serving

NAME, OTHER = "shapes.Stateful", "shapes.Stateless"


class Stateful(StatefulBase):
    state: Tally
    state_version = 3

    def Unary(self, request, call):
        self.state.count += 1
        return Item(number=self.state.count)


def connection(*services: type[actorrpc.Service]) -> Any:
    cells = {each: SimpleNamespace(name=each.__rpc__.name, service=each) for each in services}
    return SimpleNamespace(cells=cells)


def test_a_hub_knows_its_states() -> None:
    app = actorrpc.App([Stateful, Stateless])
    assert known_states(app.services) == {NAME: 3, OTHER: 0}


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({}, ""),
        ({NAME: 3, OTHER: 0}, ""),
        ({NAME: 4, OTHER: 0}, ""),
        ({NAME: 2, OTHER: 0}, f"the state of {NAME} has version 3, and the code of hub 1 knows version 2"),
        ({NAME: 3}, f"the code of hub 1 does not serve {OTHER}"),
    ],
)
def test_states_go_to_who_knows_them(known: dict[str, int], why: str) -> None:
    assert why_unfit(connection(Stateful, Stateless), known, 1) == why


def test_who_has_called_nothing_fits_anywhere() -> None:
    assert why_unfit(connection(), {"other.Service": 1}, 1) == ""


@pytest.mark.parametrize("by_policy", [False, True])
def test_a_move_that_would_be_refused_holds_nothing_up(by_policy: bool) -> None:
    with serving(actorrpc.App([Stateful]), 2) as hubs, grpc.insecure_channel(hubs.address) as channel:
        stub: Any = StatefulStub(channel)
        assert stub.Unary(Item()).number == 1
        mover, link = hubs.nodes[0].mover, hubs.nodes[0].links.by_serial[1]
        link.states = {NAME: 2}
        results: list[Any] = []
        id = hubs.connection().id

        def move() -> int:
            mover.move(id, 1, results.append, by_policy=by_policy)
            return len(mover.handoffs.sources)

        assert hubs.ask(move) == 0, "it is not brought to rest, nor frozen"
        (result,) = results
        assert (result.outcome, result.of_connection) == (MoveResult.ABORTED, False)
        assert result.why.startswith(f"the state of {NAME} has version 3")
        link.states = {NAME: 3}
        assert hubs.move(1).outcome == MoveResult.MOVED
        assert stub.Unary(Item()).number == 2
