"""Turns that hold the loop for too long are logged, with their stacks; turns that wait are not."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

import actorrpc
from actorrpc.hub.watching.slow_turns import SlowTurns
from actorrpc.log import LIMITS
from tests.apps.blocking import Stateful, Stateless, app, block
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.hubs import Hubs
from tests.support.waiting import PATIENCE, until

SLOW = 0.3
#: How long something takes that is slow, also on a machine that has other things to do.
LONG = 1.0


class Guard(actorrpc.Interceptor):
    def on_call(self, call: actorrpc.Call[Any]) -> None:
        block(float(call.metadata.get("block", 0)))


class Watched:
    """A hub whose turns are watched, a client, and what has been logged."""

    def __init__(self, app: actorrpc.App, log: pytest.LogCaptureFixture) -> None:
        self.hubs = Hubs(app)
        self.slow = self.hubs.ask(lambda: SlowTurns(SLOW))
        self.channel = grpc.insecure_channel(self.hubs.address)
        self.stub = StatefulStub(self.channel)
        self._log = log

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._log.records if "slow turn" in record.msg]

    @property
    def stacks(self) -> list[str]:
        return [record.detail for record in self._log.records if "slow turn" in record.msg]  # type: ignore[attr-defined]

    def ask(self, text: str, seconds: float = LONG) -> None:
        self.stub.Unary(Item(text=text, sleep=seconds), timeout=PATIENCE)

    def close(self) -> None:
        self.channel.close()
        self.hubs.ask(self.slow.close)
        self.hubs.close()


@pytest.fixture
def watched(caplog: pytest.LogCaptureFixture) -> Iterator[Watched]:
    caplog.set_level(logging.WARNING, "actorrpc.hub")
    LIMITS.forget()
    watched = Watched(app, caplog)
    yield watched
    watched.close()


@pytest.mark.parametrize("how", ["block", "compute"])
def test_a_turn_that_holds_the_loop_is_told_once(watched: Watched, how: str) -> None:
    watched.ask(how)
    until(lambda: watched.lines)
    watched.ask("", 0)
    (line,) = watched.lines
    connection = watched.hubs.connection().id
    wanted = r"a slow turn: shapes.Stateful/Unary held the loop for ([\d.]+) s or more, on connection "
    found = re.fullmatch(wanted + connection, line)
    assert found and float(found[1]) >= SLOW
    (stack,) = watched.stacks
    assert ", in Unary\n" in stack and "blocking.py" in stack
    assert len(stack.splitlines()) < 60


def test_what_waits_does_not_hold_the_loop(watched: Watched) -> None:
    for _ in range(20):
        watched.ask("", 0)
    calls = [watched.stub.Beside.future(Item(text="wait", sleep=LONG)) for _ in range(50)]
    for call in calls:
        call.result()
    watched.ask("wait", LONG)
    assert watched.lines == []


def test_what_was_waited_for_does_not_count(watched: Watched) -> None:
    watched.ask("wait and block", LONG)
    (line,) = until(lambda: watched.lines)
    seconds = re.findall(r"for ([\d.]+) s", line)[0]
    assert SLOW <= float(seconds) < 1.9 * LONG
    assert "in wait_and_block" in watched.stacks[0]


def test_hooks_of_interceptors_and_actors_have_their_names(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "actorrpc.hub")

    class Slow(Stateful):
        def on_connect(self) -> None:
            block(LONG)

    watched = Watched(actorrpc.App([Stateless, Slow], interceptors=[Guard()]), caplog)
    try:
        watched.stub.Notes(Item(), metadata=[("block", str(LONG))], timeout=PATIENCE)
        until(lambda: len(watched.lines) == 2)
    finally:
        watched.close()
    first, second = watched.lines
    assert "a slow turn: interceptors of shapes.Stateful/Notes held" in first
    assert "a slow turn: on_connect of shapes.Stateful held" in second
    assert "in on_call" in watched.stacks[0] and "in on_connect" in watched.stacks[1]
