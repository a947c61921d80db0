"""Handlers that call by grpcio, in real hubs: only they wait."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any

import grpc
import pytest

from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.fixtures import Serve
from tests.support.processes import ACTORRPC, ROOT
from tests.support.waiting import PATIENCE

APP = "tests.apps.calling:app"

#: More than the threads that a hub has for everything else.
MANY = 40


class Backend(grpc.GenericRpcHandler):
    """A server that answers when it is told to."""

    def __init__(self) -> None:
        self.called: SimpleQueue[None] = SimpleQueue()
        self.ended: SimpleQueue[None] = SimpleQueue()
        self.answer = Event()

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            self._wait, request_deserializer=Item.FromString, response_serializer=Item.SerializeToString
        )

    def _wait(self, request: Item, context: Any) -> Item:
        context.add_callback(lambda: self.ended.put(None))
        self.called.put(None)
        assert self.answer.wait(PATIENCE)
        return request


@pytest.fixture
def backend() -> Iterator[tuple[Backend, str]]:
    handler = Backend()
    server = grpc.server(ThreadPoolExecutor(MANY))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, f"127.0.0.1:{port}"
    handler.answer.set()
    server.stop(None).wait()


@contextmanager
def client(address: str) -> Iterator[StatefulStub]:
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield StatefulStub(channel)


def item(way: str, address: str, offload: bool = False) -> Item:
    return Item(text=way, body=address.encode(), number=int(offload))


@pytest.mark.parametrize("offload", [False, True], ids=["handler", "offload"])
@pytest.mark.parametrize("app", [APP, "tests.apps.calling_at_once:app"], ids=["late", "early"])
def test_calls_to_the_own_hub(serve: Serve, app: str, offload: bool) -> None:
    """grpcio is imported in a handler, in a thread of ``offload``, or by the app, before it serves."""
    address = serve(app=app, hubs=1).address
    with client(address) as stub:
        for way, number in (("future", 0), ("call", 0), ("stream", 2)):
            assert stub.Beside(item(way, address, offload), timeout=PATIENCE).number == number
            assert stub.Beside(item(way, address, not offload), timeout=PATIENCE).number == number


def test_others_are_served_while_many_calls_wait(serve: Serve, backend: tuple[Backend, str]) -> None:
    handler, address = backend
    server = serve(app=APP, hubs=1)
    with client(server.address) as stub, client(server.address) as other:
        waiting = [stub.Beside.future(item("call", address), timeout=PATIENCE) for _ in range(MANY)]
        for _ in waiting:
            handler.called.get(timeout=PATIENCE)
        # Also in threads, and with a call of its own.
        assert other.Unary(Item(number=1, text="json"), timeout=PATIENCE).number == 1
        assert other.Beside(item("stream", server.address), timeout=PATIENCE).number == 2
        assert not any(each.done() for each in waiting)
        handler.answer.set()
        assert [each.result() for each in waiting] == [Item()] * MANY


def test_a_call_that_is_left_is_cancelled(serve: Serve, backend: tuple[Backend, str]) -> None:
    handler, address = backend
    server = serve(app=APP, hubs=1)
    with client(server.address) as stub:
        left = [stub.Beside.future(item("kept", address), timeout=PATIENCE) for _ in range(MANY)]
        for _ in left:
            handler.called.get(timeout=PATIENCE)
        for each in left:
            each.cancel()
        for _ in left:
            handler.ended.get(timeout=PATIENCE)
        assert stub.Beside(item("call", server.address), timeout=PATIENCE) == Item()


def test_imported_in_a_thread_and_used_in_a_handler(serve: Serve) -> None:
    address = serve(app=APP, hubs=1).address
    with client(address) as stub:
        stub.Unary(Item(text="grpc"), timeout=PATIENCE)
        assert stub.Beside(item("call", address), timeout=PATIENCE) == Item()


def test_imported_before_gevent_has_patched(serve: Serve, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import grpc\n")
    # gevent warns of what has been imported already.
    environment = (f"PYTHONPATH={site}:{ROOT}", "PYTHONWARNINGS=ignore")
    address = serve(app=APP, hubs=1, program=("env", *environment, *ACTORRPC, "serve")).address
    with client(address) as stub:
        assert stub.Beside(item("call", address), timeout=PATIENCE) == Item()


def test_one_channel_for_handlers_and_threads(serve: Serve) -> None:
    """The locks of a channel are shared then, and gevent's would forget who waits for them, now and then."""
    address = serve(app=APP, hubs=1).address
    with client(address) as stub:
        assert stub.Beside(item("locks", address), timeout=PATIENCE).text == "SharedRLock SharedRLock"
        waiting = [
            stub.Beside.future(item("kept", address, offload), timeout=PATIENCE)
            for offload in (True, False, True) * 100
        ]
        assert [each.result() for each in waiting] == [Item()] * len(waiting)


def test_asyncio_s_channels_are_refused(serve: Serve) -> None:
    """They would stop the hub for good."""
    address = serve(app=APP, hubs=1).address
    with client(address) as stub:
        for offload in (False, True):
            refused = stub.Beside(item("asyncio", address, offload), timeout=PATIENCE)
            assert refused.text.startswith("grpc.aio does not work in a hub")
        assert stub.Beside(item("call", address), timeout=PATIENCE) == Item()


def test_a_forked_child_calls(serve: Serve) -> None:
    address = serve(app=APP, hubs=1).address
    with client(address) as stub:
        assert stub.Beside(item("child", address), timeout=PATIENCE).number == 7
        assert stub.Beside(item("call", address), timeout=PATIENCE) == Item()
