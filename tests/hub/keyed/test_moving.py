"""Keyed actors and their clients' connections move after every few turns, and nobody notices."""

from __future__ import annotations

import threading

import grpc
import pytest

import actorrpc
from tests.apps.rooms import app, guarded
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.support.keyed import PATIENCE, home, move, rooms

A = "rooms.Room/a"
CALLS = 40
RECITED = 50


class Caller(threading.Thread):
    """Posts in a room of its own, over a connection of its own, and reads long streams between."""

    def __init__(self, address: str, room: str) -> None:
        super().__init__()
        self._address, self._room = address, room
        self.wrong: BaseException | None = None

    def run(self) -> None:
        try:
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(self._address, options) as channel:
                self._call(RoomStub(channel))
        except BaseException as error:
            self.wrong = error

    def _call(self, stub: RoomStub) -> None:
        for number in range(CALLS):
            line = Line(room=self._room, text=f"{self._room}{number}")
            assert stub.Post(line, timeout=PATIENCE).number == number + 1
            if number % 20 == 0:
                recited = stub.Recite(Line(room=self._room, number=RECITED), timeout=PATIENCE)
                assert [line.number for line in recited] == [*range(RECITED)]


@pytest.mark.parametrize("serves", (app, guarded), ids=("plain", "intercepted"))
@pytest.mark.parametrize("count", (2, 3))
@pytest.mark.parametrize("every", (1, 3))
def test_nothing_is_lost_doubled_or_out_of_order(serves: actorrpc.App, count: int, every: int) -> None:
    with rooms(serves, count, move_every=every) as (hubs, stub):
        stream = stub.Listen(Line(room="a"), timeout=PATIENCE)
        stream.initial_metadata()
        callers = [Caller(hubs.address, room) for room in "abc"]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert [caller.wrong for caller in callers] == [None] * 3
        assert [next(stream).text for _ in range(CALLS)] == [f"a{number}" for number in range(CALLS)]
        assert len([moved for moved in hubs.moved if not moved.aborted]) > CALLS
        stream.cancel()
        exchanges = [node.exchange for node in hubs.nodes]
        hubs.wait_for(lambda: not any(each.outgoing or each.answering for each in exchanges))


def test_its_hooks_run_and_its_state_goes_along() -> None:
    with rooms(app, 2) as (hubs, stub):
        stub.Post(Line(room="a"), timeout=PATIENCE)
        assert move(hubs, A, 1).why == ""
        notes = stub.Notes(Line(room="a"), timeout=PATIENCE)
        assert (notes.number, notes.text) == (1, "activate a freeze thaw")
        assert home(hubs, A).hub == 1


def test_a_call_waits_for_the_end_of_a_move() -> None:
    with rooms(app, 2) as (hubs, stub):
        stub.Post(Line(room="a"), timeout=PATIENCE)
        slow = stub.Beside.future(Line(room="a", sleep=0.3), timeout=PATIENCE)
        activation = home(hubs, A).actors.by_id[A]
        hubs.wait_for(lambda: activation.schedule.running)
        results: list[object] = []
        hubs.ask(lambda: hubs.nodes[0].mover.move(A, 1, results.append))
        waiting = stub.Post.future(Line(room="a"), timeout=PATIENCE)
        assert waiting.result().number == 2
        assert slow.result().number == 1
        hubs.wait_for(lambda: results)
        assert home(hubs, A).hub == 1
