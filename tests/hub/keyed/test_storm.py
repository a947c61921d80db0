"""Real clients, while their connections and the actors that they call move all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable

import grpc
import pytest

from actorrpc.loop.timers import every
from tests.apps.rooms import app, guarded
from tests.apps.rooms_actorrpc import CounterStub, RoomStub
from tests.apps.rooms_pb2 import Line
from tests.support.hubs import Hubs
from tests.support.keyed import PATIENCE

HUBS = 3
POSTS = 30
LINES = 200
KEYS = "abc"
#: Seconds between two moves of the connections, which have no turns of their own.
MOVE_EVERY = 0.005


def at_rest(hubs: Hubs) -> bool:
    return not any(node.exchange.outgoing or node.exchange.answering for node in hubs.nodes)


@pytest.mark.parametrize("serves", (app, guarded), ids=("plain", "intercepted"))
def test_calls_whose_both_ends_move_after_every_few_turns(serves: object) -> None:
    hubs = Hubs(serves, HUBS, move_every=3)  # type: ignore[arg-type]
    try:
        moving = hubs.ask(lambda: every(MOVE_EVERY, _move_connections, hubs))
        failures: list[BaseException] = []
        jobs = [lambda key=key: _visit(hubs, key) for key in KEYS for _ in range(2)]
        threads = [threading.Thread(target=_caught, args=(job, failures)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        hubs.ask(moving.close)
        assert not failures, failures
        with grpc.insecure_channel(hubs.address) as channel:
            for key in KEYS:
                notes = RoomStub(channel).Notes(Line(room=key), timeout=PATIENCE)
                assert notes.number == 2 * POSTS
                assert notes.text.split().count("activate") == 1, "it has moved, and not been made anew"
                assert notes.text.split().count("freeze") >= notes.text.split().count("thaw") > 0
        hubs.wait_for(lambda: at_rest(hubs))
        moved = hubs.ask(lambda: [each for each in hubs.moved if not each.aborted])
        assert {"/" in each.connection for each in moved} == {True, False}, "both kinds have moved"
    finally:
        hubs.close()


def _move_connections(hubs: Hubs) -> None:
    for node in hubs.nodes:
        for connection in [*node.connections]:
            node.mover.move_on(connection)


def _visit(hubs: Hubs, key: str) -> None:
    with grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub, counter = RoomStub(channel), CounterStub(channel)
        news = stub.Listen(Line(room=key), timeout=2 * PATIENCE)
        news.initial_metadata()
        lines = stub.Recite(Line(room=key, number=LINES, text="x" * 500), timeout=2 * PATIENCE)
        numbers = [stub.Post(Line(room=key), timeout=PATIENCE).number for _ in range(POSTS)]
        assert numbers == sorted({*numbers})
        assert [line.number for line in lines] == [*range(LINES)]
        heard = [next(news).number]
        while heard[-1] < numbers[-1]:
            heard.append(next(news).number)
        assert heard == [*range(heard[0], heard[-1] + 1)]
        assert heard[0] <= numbers[0]
        assert counter.Count(Line(), metadata=[("actor-key", key)], timeout=PATIENCE).number >= 1
        news.cancel()


def _caught(job: Callable[[], None], failures: list[BaseException]) -> None:
    try:
        job()
    except BaseException as error:
        failures.append(error)
