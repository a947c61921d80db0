"""A server in a thread: what clients see, moves at will, errors, its end, and that nothing is left of it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryDirectory
from typing import Any

import gevent
import grpc
import grpc.aio
import pytest

import actorrpc
from actorrpc import hub_values as shared
from actorrpc import testing
from actorrpc.net.addresses import parse_address
from actorrpc.testing import thread as loops
from tests.apps.shapes import Stateful, app
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support import raw
from tests.support.raw_client import RawClient
from tests.support.waiting import PATIENCE

pytest_plugins = ["actorrpc.testing.fixtures"]


#: A call of a client that has nothing but a socket.
UNARY = raw.headers(
    1,
    [(name, "/shapes.Stateful/Unary" if name == ":path" else value) for name, value in raw.request("Unary")],
) + raw.data(1, raw.message(b""), raw.END_STREAM)


@pytest.fixture
def server() -> Iterator[testing.Server]:
    with testing.serve(app) as server:
        yield server


def stub_of(server: testing.Server) -> Any:
    """A client of its own."""
    return StatefulStub(server.channel())


def count(stub: Any) -> int:
    """One call; how many the actor has had."""
    number: int = stub.Unary(Item(), timeout=PATIENCE).number
    return number


def test_several_addresses_and_unix_sockets() -> None:
    with TemporaryDirectory(prefix="actorrpc-") as folder:
        bind = [f"unix:{folder}/socket", "127.0.0.1:0"]
        with testing.serve(app, bind=bind) as server:
            assert server.address == bind[0] and len(server.addresses) == 2
            assert count(stub_of(server)) == 1, "a channel is to the first"
            with grpc.insecure_channel(server.addresses[1]) as channel:
                assert count(StatefulStub(channel)) == 1
                peers = [each.peer for each in server.connections]
                assert peers[0] == f"unix:pid={os.getpid()},uid={os.getuid()}"
                assert peers[1].startswith("127.0.0.1:")
                server.move_all()
                assert [each.peer for each in server.connections] == peers
        assert os.listdir(folder) == []


class Sharing(StatefulBase):
    """Answers with what its hubs share."""

    made: list[list[int]] = []
    numbers = actorrpc.per_hub(list[int], close=made.append)

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self.numbers.append(1)
        return Item(number=len(self.numbers))


def test_what_hubs_share_is_closed_with_the_last_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_serving", 0)  # whatever other tests have left
    sharing = actorrpc.App([Sharing])
    with testing.serve(app), testing.serve(sharing, move_every=1) as server:
        assert [count(stub_of(server)) for _ in range(3)] == [1, 2, 3]
        server.stop()
        assert Sharing.made == []
    assert Sharing.made == [[1, 1, 1]]


# ---- moves


def test_a_connection_moves_when_it_is_told_to(server: testing.Server) -> None:
    stub = stub_of(server)
    assert count(stub) == 1
    (before,) = server.connections
    assert (before.hub, before.moves, server.moves) == (0, 0, 0)
    server.move()
    (after,) = server.connections
    assert (after.id, after.peer, after.hub, after.moves, server.moves) == (before.id, before.peer, 1, 1, 1)
    assert count(stub) == 2
    assert "freeze" in stub.Notes(Item(), timeout=PATIENCE).text
    server.move(hub=1)  # it is there
    server.move(after.id, 0)
    assert [each.hub for each in server.connections] == [0]
    assert count(stub) == 3


def test_open_calls_move_along(server: testing.Server) -> None:
    stub = StatefulStub(server.channel())
    listening = stub.Listen(Item(text="news"), timeout=PATIENCE)
    listening.initial_metadata()  # its handler has run
    assert [each.calls for each in server.connections] == [1]
    server.move()
    other = stub_of(server)
    other.Publish(Item(text="news", number=7), timeout=PATIENCE)
    assert next(listening).number == 7
    listening.cancel()


def test_all_connections_move(server: testing.Server) -> None:
    server.move_all()
    stubs = [stub_of(server) for _ in range(5)]
    assert [count(stub) for stub in stubs] == [1] * 5
    server.move_all()
    assert [each.hub for each in server.connections] == [1] * 5
    assert [count(stub) for stub in stubs] == [2] * 5
    assert server.moves == 5


@pytest.mark.parametrize("every", [1, 3])
def test_connections_move_by_themselves(every: int, actorrpc_server: testing.Serve) -> None:
    server = actorrpc_server(app, hubs=3, move_every=every)
    stub = stub_of(server)
    assert [count(stub) for _ in range(12)] == list(range(1, 13))
    assert len(server.connections) == 1  # none is on its way
    assert server.moves == 12 // every


def test_moves_at_will_and_by_themselves_at_once(actorrpc_server: testing.Serve) -> None:
    server = actorrpc_server(app, move_every=1)
    stub = stub_of(server)
    count(stub)
    with ThreadPoolExecutor(1) as pool:
        counted = pool.submit(lambda: [count(stub) for _ in range(200)])
        for hub in range(40):
            server.move(hub=hub % 2)
        assert counted.result(PATIENCE)[-1] == 201
    assert server.errors == []


def test_what_does_not_move_says_why(actorrpc_server: testing.Serve) -> None:
    server = actorrpc_server(app, config=actorrpc.Config(quiesce_timeout=0.01))
    with pytest.raises(LookupError, match="none before the first call"):
        server.move()
    busy, idle = stub_of(server), stub_of(server)
    count(busy)
    (first,) = server.connections
    count(idle)
    second = server.connections[1]
    with pytest.raises(LookupError, match=f"name one of {first.id}, {second.id}"):
        server.move()
    for wrong in ({"connection": "9-9-9"}, {"connection": first.id, "hub": 2}):
        with pytest.raises(LookupError, match=r"no connection 9-9-9|hub 2 is not there"):
            server.move(**wrong)
    running = busy.Unary.future(Item(sleep=PATIENCE), timeout=PATIENCE)
    while not server.connections[0].calls:
        pass
    with pytest.raises(testing.NotMoved, match=f"{first.id}: .*Unary"):
        server.move(first.id)
    with pytest.raises(testing.NotMoved, match=first.id):
        server.move_all()
    assert [each.hub for each in server.connections] == [0, 1]
    running.cancel()


def test_one_hub(actorrpc_server: testing.Serve) -> None:
    server = actorrpc_server(app, hubs=1)
    count(stub_of(server))
    with pytest.raises(LookupError, match="one hub only"):
        server.move()


# ---- clients


def test_each_channel_is_a_client_of_its_own(server: testing.Server) -> None:
    assert [count(stub_of(server)), count(stub_of(server))] == [1, 1]
    with grpc.insecure_channel(server.address) as one, grpc.insecure_channel(server.address) as other:
        assert [count(StatefulStub(one)), count(StatefulStub(other))] == [1, 2]


def test_channels_have_options_and_need_grpcio(
    server: testing.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = StatelessStub(server.channel(("grpc.max_receive_message_length", 10)))
    with pytest.raises(grpc.RpcError) as error:
        stub.Unary(Item(body=bytes(100)), timeout=PATIENCE)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(RuntimeError, match="pip install grpcio"):
        server.channel()


def test_a_client_of_asyncio(server: testing.Server) -> None:
    async def call() -> list[int]:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub: Any = StatefulStub(channel)
            numbers = []
            for _ in range(3):
                numbers.append((await stub.Unary(Item(), timeout=PATIENCE)).number)
                await asyncio.to_thread(server.move)
                server.move()
            talk = stub.Talk(timeout=PATIENCE)
            await talk.write(Item(text="hello"))
            server.move()
            assert (await talk.read()).text == "hello"
            await talk.done_writing()
            return numbers

    assert asyncio.run(call()) == [1, 2, 3]


def test_servers_side_by_side(actorrpc_server: testing.Serve) -> None:
    servers = [actorrpc_server(app, move_every=1) for _ in range(3)]
    with testing.serve(app) as inner:
        stubs = [stub_of(server) for server in (*servers, inner)]
        for number in range(1, 20):
            assert [count(stub) for stub in stubs] == [number] * 4
        inner.move()
    assert [count(stub) for stub in stubs[:3]] == [20] * 3
    assert len({server.address for server in servers}) == 3


# ---- errors


class Raises(StatefulBase):
    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        if request.text == "answer":
            raise actorrpc.RpcError(actorrpc.StatusCode.NOT_FOUND, "as the app has it")
        raise ZeroDivisionError(request.text)

    def on_disconnect(self) -> None:
        raise KeyError("nobody sees this")


def test_errors_of_handlers_and_hooks_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    with testing.serve(actorrpc.App([Raises])) as server, testing.serve(app) as other:
        stub = stub_of(server)
        for text in ("answer", "bug"):
            with pytest.raises(grpc.RpcError):
                stub.Unary(Item(text=text), timeout=PATIENCE)
        (error,) = server.errors
        assert isinstance(error, ZeroDivisionError) and error.__traceback__ is not None
        assert "ZeroDivisionError: bug" in caplog.text
        logging.getLogger("actorrpc.hub").error("of the test's own", exc_info=ValueError())
    assert [type(each) for each in server.errors] == [ZeroDivisionError, KeyError]
    assert other.errors == []


def test_all_errors_are_kept_however_few_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with testing.serve(actorrpc.App([Raises])) as server:
        for _ in range(20):
            with pytest.raises(grpc.RpcError):
                stub_of(server).Unary(Item(text="bug"), timeout=PATIENCE)
        assert len(server.errors) == 20
    assert caplog.text.count("Traceback") < 20


def test_handlers_cannot_ask_their_own_server() -> None:
    servers: list[testing.Server] = []

    class Asks(StatefulBase):
        def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
            servers[0].move()
            return request

    with testing.serve(actorrpc.App([Asks])) as server:
        servers.append(server)
        with pytest.raises(grpc.RpcError):
            stub_of(server).Unary(Item(), timeout=PATIENCE)
        (error,) = server.errors
    assert isinstance(error, RuntimeError) and "not for handlers" in str(error)


def test_what_ends_a_program_ends_no_server() -> None:
    class Exits(StatefulBase):
        def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
            gevent.spawn(exit, 3).join()
            raise SystemExit(3)

    with testing.serve(actorrpc.App([Exits])) as server:
        stub = stub_of(server)
        for _ in range(2):
            with pytest.raises(grpc.RpcError):
                stub.Unary(Item(), timeout=PATIENCE)
        assert [type(each) for each in server.errors] == [SystemExit] * 4


# ---- beginning and end


def _threads() -> set[threading.Thread]:
    """The threads that live. What Python keeps of one that it did not start itself, such as grpcio's, goes
    when a later thread gets the same number: so there may be fewer afterwards, and not more."""
    return {each for each in threading.enumerate() if each.is_alive()}


def test_what_cannot_be_served_is_told_to_the_caller(server: testing.Server) -> None:
    before = _threads()
    with pytest.raises(actorrpc.ConfigError, match="cannot listen"):
        testing.serve(app, bind=server.address).__enter__()
    with pytest.raises(actorrpc.ConfigError, match="cannot bind"):
        testing.serve(app, bind="nowhere").__enter__()
    for wrong in ({"hubs": 0}, {"hubs": 1, "move_every": 1}, {"move_every": -1}):
        with pytest.raises(actorrpc.ConfigError, match="hub"):
            testing.serve(app, **wrong).__enter__()
    for no_app in ([Stateful], Stateful, "tests.apps.shapes:app"):
        with pytest.raises(TypeError, match=r"takes an actorrpc\.App"):
            testing.serve(no_app).__enter__()
    assert _threads() <= before


def test_a_loop_that_cannot_be_made_is_told_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_hub() -> Any:
        raise OSError("no descriptor is left")

    threads = _threads()
    monkeypatch.setattr(gevent, "get_hub", no_hub)
    with pytest.raises(OSError, match="no descriptor is left"):
        testing.serve(app).__enter__()
    monkeypatch.undo()
    assert _threads() <= threads


def test_it_may_stop_in_the_midst_of_the_block(server: testing.Server) -> None:
    stub = stub_of(server)
    talk = stub.Talk(iter(()), timeout=PATIENCE)
    list(talk)
    listening = stub.Listen(Item(text="news"), timeout=PATIENCE)
    listening.initial_metadata()
    server.stop()
    with pytest.raises(grpc.RpcError) as error:
        next(listening)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    server.stop()
    for ask in (server.move, server.move_all, lambda: server.connections):
        with pytest.raises(RuntimeError, match="stopped> no longer serves"):
            ask()


def test_calls_may_end_in_the_drain_timeout(server: testing.Server) -> None:
    stub = stub_of(server)
    count(stub)
    talk_ends = threading.Event()

    def requests() -> Iterator[Item]:
        yield Item(text="first")
        assert talk_ends.wait(PATIENCE)
        yield Item(text="last")

    talk = stub.Talk(requests(), timeout=PATIENCE)
    assert next(talk).text == "first"
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(server.stop, PATIENCE)
        while _accepts(server.address):
            pass
        talk_ends.set()
        assert [each.text for each in talk] == ["last"]
        stopped.result(PATIENCE)


def _accepts(address: str) -> bool:
    try:
        socket.create_connection(parse_address(address)).close()
    except ConnectionRefusedError:
        return False
    return True


def _descriptors() -> dict[str, str]:
    gc.collect()
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass  # the one that listed them
    return found


def test_nothing_is_left(actorrpc_server: testing.Serve) -> None:
    def use() -> None:
        with testing.serve(app, hubs=3, move_every=2) as server:
            address = parse_address(server.address)
            with socket.create_connection(address), RawClient(server.address) as client:
                client.send(UNARY)
                client.wait_for(raw.HEADERS, raw.END_STREAM)
                server.move_all()
        client.close()

    use()
    threads, descriptors = _threads(), _descriptors()
    filters = list(logging.getLogger("actorrpc.hub").filters)
    for _ in range(5):
        use()
    assert _threads() <= threads
    assert _descriptors() == descriptors
    assert logging.getLogger("actorrpc.hub").filters == filters


class Stubborn(StatefulBase):
    """Does not end when it is told to."""

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        while True:
            try:
                gevent.sleep(PATIENCE)
            except actorrpc.CallCancelled:
                pass


def test_a_handler_that_does_not_end_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorrpc.hub.node.STOP_GRACE", 0.01)
    with testing.serve(actorrpc.App([Stubborn])) as server, RawClient(server.address) as client:
        client.send(UNARY)
        while not (server.connections and server.connections[0].calls):
            pass
        server.stop()
        client.wait_for_end()


def test_a_handler_that_blocks_the_thread_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Blocks(StatefulBase):
        def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
            entered.set()
            go_on.wait(PATIENCE)
            return request

    config = actorrpc.Config(quiesce_timeout=0)
    with testing.serve(actorrpc.App([Blocks]), config=config) as server:
        stub = stub_of(server)
        running = stub.Unary.future(Item(), timeout=PATIENCE)
        assert entered.wait(PATIENCE)
        monkeypatch.setattr("actorrpc.testing.server.PATIENCE", 0.01)
        with pytest.raises(loops.Stuck, match=r"(?s)test_serve\.py.*in Unary"):
            server.move(hub=1)
        go_on.set()
        running.result(PATIENCE)
        monkeypatch.undo()


def test_what_it_is_shows() -> None:
    with testing.serve(app) as server:
        assert repr(server) == f"<Server {server.address} serving>"
    assert repr(server) == f"<Server {server.address} stopped>"
