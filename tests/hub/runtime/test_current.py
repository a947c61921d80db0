"""What is logged in a turn has the ids of its connection and its call."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import gevent
import grpc
import pytest

import actorrpc
from actorrpc.hub.runtime.current import running
from actorrpc.log import Ids
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support.hubs import Hubs

log = logging.getLogger("shop")


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.addFilter(Ids())
        self.records: dict[str, Any] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.records[record.getMessage()] = record


@pytest.fixture
def kept() -> Iterator[dict[str, Any]]:
    handler = Kept()
    log.addHandler(handler)
    yield handler.records
    log.removeHandler(handler)


class Stateless(StatelessBase):
    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        log.warning("begins %s", request.text)
        gevent.sleep(0.01)
        log.warning("goes on %s", request.text)
        self.offload(lambda: log.warning("elsewhere"))
        return Item(text=call.id)

    def Expand(self, request: Item, call: actorrpc.Call[Item]) -> Any:
        yield Item(text=call.id)
        log.warning("streams")


class Stateful(StatefulBase):
    def on_connect(self) -> None:
        log.warning("connected")


def test_a_turn_s_lines_name_its_connection_and_its_call(kept: dict[str, Any]) -> None:
    hubs = Hubs(actorrpc.App([Stateless, Stateful]))
    try:
        with grpc.insecure_channel(hubs.address) as channel:
            stub = StatelessStub(channel)
            calls = [stub.Unary.future(Item(text=text)) for text in ("a", "b", "c")]
            ids = [call.result().text for call in calls]
            (streamed,) = stub.Expand(Item())
            StatefulStub(channel).Unary.future(Item()).exception()
    finally:
        hubs.close()
    connection = ids[0].partition("/")[0]
    for text, id in zip("abc", ids, strict=True):
        for record in (kept[f"begins {text}"], kept[f"goes on {text}"]):
            assert (record.connection, record.call) == (connection, id)
    assert (kept["streams"].connection, kept["streams"].call) == (connection, streamed.text)
    assert (kept["connected"].connection, kept["connected"].call) == (connection, "")
    assert (kept["elsewhere"].connection, kept["elsewhere"].call) == ("", "")


def test_elsewhere_nothing_runs() -> None:
    assert running() == {}
