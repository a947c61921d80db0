"""What handlers hold of their requests: counted from the turn on, in all shapes of calls, until it is let go,
and who gets no more of it. (``tests/turns`` holds the same for programs of all kinds.)"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.event
import grpc
import pytest
from google.protobuf.struct_pb2 import ListValue, Value
from hypothesis import given
from hypothesis import strategies as st

import actorrpc
from actorrpc.config import Config
from actorrpc.errors import RpcError, SnapshotError, StatusCode
from actorrpc.hub.metering import allocator
from actorrpc.hub.metering.parsed import Parsed
from actorrpc.hub.metering.weight import scale_of
from actorrpc.hub.moving.departure import resume
from actorrpc.hub.moving.move_cost import MoveCosts
from actorrpc.hub.moving.snapshot import freeze, thaw
from actorrpc.hub.node import Node
from actorrpc.hub.serving.connection import Connection
from actorrpc.service import Method, ServiceSpec
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support.hubs import Hubs, serving

KB = 1024
MB = 1024 * KB
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
BODY = bytes(100 * KB)


def connect(hubs: Hubs, **more: Any) -> grpc.Channel:
    """A channel with a connection of its own, whose windows do not grow."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
    return grpc.insecure_channel(hubs.address, options=options, **more)


class Gates:
    """Where handlers wait; in the hubs' thread."""

    def __init__(self) -> None:
        self.open = gevent.event.Event()
        self.waiting = 0

    def wait(self) -> None:
        self.waiting += 1
        try:
            self.open.wait()
        finally:
            self.waiting -= 1


gates: list[Gates] = []


class Unclosable:
    """An iterable without ``close``."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __iter__(self) -> Unclosable:
        return self

    def __next__(self) -> Item:
        self._left -= 1
        if self._left < 0:
            raise StopIteration
        return Item(body=bytes(200 * KB))


def behave(request: Item, call: actorrpc.Call[Item]) -> None:
    if request.text == "wait":
        gates[0].wait()
    elif request.text == "stubborn":
        try:
            gates[0].wait()
        except actorrpc.CallInterrupted:
            gates[0].wait()
    elif request.text == "raise":
        raise RpcError(StatusCode.NOT_FOUND, "no")
    elif request.text == "bug":
        raise ValueError("a secret")
    elif request.text == "end":
        call.finish(StatusCode.ABORTED, "enough")


class Shapes:
    def Unary(self, request, call):
        behave(request, call)
        return Item()

    def Expand(self, request, call):
        if request.text == "unclosable":
            call.cursor = b"x"
            return Unclosable(request.number)
        return self._replies(request, call)

    def _replies(self, request, call) -> Iterator[Item]:
        for number in range(int(call.cursor or b"0"), request.number):
            call.cursor = b"%d" % (number + 1)
            yield Item(number=number, body=bytes(200 * KB))
        behave(request, call)

    def Collect(self, message, call):
        behave(message, call)

    def Collect_end(self, call):
        return Item()

    def Talk(self, message, call):
        behave(message, call)
        call.send(Item())


class Stateless(Shapes, StatelessBase):
    pass


class Stateful(Shapes, StatefulBase):
    pass


APP = actorrpc.App([Stateless, Stateful])


@pytest.fixture(params=(StatelessStub, StatefulStub))
def stub_type(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(autouse=True)
def _gates() -> Iterator[None]:
    gates.append(Gates())
    yield
    gates.clear()


def held(hubs: Hubs, node: int = 0) -> int:
    return hubs.nodes[node].resources.parsed.held


def nothing_held(hubs: Hubs) -> None:
    """Wait for it; what each connection has is its own part."""
    for node in hubs.nodes:
        hubs.wait_for(lambda node=node: not node.resources.parsed.held)
        assert (
            hubs.ask(lambda node=node: [each.parsed for each in node.connections.values() if each.parsed])
            == []
        )


def wait_for_reader(hubs: Hubs) -> None:
    """An iterable has more than its client takes."""
    connection = hubs.connection()
    hubs.wait_for(
        lambda: held(hubs) and not connection.schedule.running and connection.session.outbound.unsent_bytes
    )


def begin(stub: Any, shape: str, item: Item) -> Any:
    """A call with one message, to be given to ``code_of``."""
    method = getattr(stub, shape)
    if shape == "Unary":
        return method.future(item)
    if shape == "Collect":
        return method.future(iter([item]))
    return method(item) if shape == "Expand" else method(iter([item]))


def code_of(call: Any, shape: str = "Unary") -> grpc.StatusCode:
    """The status that the call ends with, once all its replies have been read."""
    if shape in ("Expand", "Talk"):
        with suppress(grpc.RpcError):
            for _ in call:
                pass
    return call.code()  # type: ignore[no-any-return]


SHAPES = ("Unary", "Expand", "Collect", "Talk")


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_waiting_handler_has_is_counted(stub_type: Any, shape: str) -> None:
    with serving(APP) as hubs, connect(hubs) as channel:
        call = begin(stub_type(channel), shape, Item(text="wait", body=BODY))
        hubs.wait_for(lambda: gates[0].waiting)
        assert 2 * len(BODY) <= held(hubs) <= 3 * len(BODY)
        assert held(hubs) == hubs.connection().parsed
        hubs.ask(gates[0].open.set)
        assert code_of(call, shape) is grpc.StatusCode.OK
        nothing_held(hubs)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("what", ("", "raise", "bug", "end"))
def test_nothing_is_counted_when_it_is_over(stub_type: Any, shape: str, what: str) -> None:
    if what == "end" and shape in ("Unary", "Collect"):
        what = "raise"
    with serving(APP) as hubs, connect(hubs) as channel:
        code_of(begin(stub_type(channel), shape, Item(text=what, body=BODY)), shape)
        nothing_held(hubs)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", ("cancel", "deadline", "gone"))
def test_a_handler_that_goes_on_still_holds_it(stub_type: Any, shape: str, way: str) -> None:
    """The call has ended, for its client; the memory is taken still."""
    with serving(APP) as hubs, connect(hubs) as channel:
        call = begin(stub_type(channel), shape, Item(text="stubborn", body=BODY))
        hubs.wait_for(lambda: gates[0].waiting)
        connection = hubs.connection()
        before = held(hubs)
        (open_call,) = connection.calls.values()
        if way == "cancel":
            call.cancel()
        elif way == "deadline":
            hubs.ask(lambda: connection.expire(open_call))
        else:
            channel.close()
        hubs.wait_for(lambda: open_call.ended and gates[0].waiting)
        assert held(hubs) == before == connection.parsed
        hubs.ask(gates[0].open.set)
        nothing_held(hubs)
        assert hubs.wait_for(lambda: connection.parsed == 0)


@pytest.mark.parametrize("text", ("", "unclosable", "raise"))
@pytest.mark.parametrize("way", ("read", "cancel", "gone"))
def test_what_an_iterable_has_is_counted_until_it_is_gone(stub_type: Any, text: str, way: str) -> None:
    with serving(APP) as hubs, connect(hubs) as channel:
        call = stub_type(channel).Expand(Item(number=30, text=text, body=BODY))
        wait_for_reader(hubs)
        if way == "read":
            assert code_of(call, "Expand") is (
                grpc.StatusCode.NOT_FOUND if text == "raise" else grpc.StatusCode.OK
            )
        elif way == "cancel":
            call.cancel()
        else:
            channel.close()
        nothing_held(hubs)


@pytest.mark.parametrize("text", ("", "unclosable"))
def test_it_moves_with_the_connection(stub_type: Any, text: str) -> None:
    with serving(APP, 2) as hubs, connect(hubs) as channel:
        call = stub_type(channel).Expand(Item(number=30, text=text, body=BODY))
        wait_for_reader(hubs)
        size = held(hubs)
        for target in (1, 0, 1):
            result = hubs.move(target)
            assert (result.outcome, result.why) == (result.MOVED, "")
            hubs.wait_for(lambda target=target: (held(hubs, target), held(hubs, 1 - target)) == (size, 0))
        for _ in call:
            pass
        nothing_held(hubs)


def snapshot_of(hubs: Hubs) -> bytes:
    """The only connection, frozen. Nothing of it goes on."""

    def frozen() -> bytes:
        connection = next(iter(hubs.nodes[0].connections.values()))
        connection.schedule.paused = True
        return freeze(connection, MoveCosts())

    return hubs.ask(frozen)


def test_what_has_come_with_a_connection_is_counted_before_its_handler_is_called_again() -> None:
    """And it is not, if the connection is not served after all."""
    with serving(APP) as hubs, connect(hubs) as channel:
        call = StatelessStub(channel).Expand(Item(number=30, body=BODY))
        wait_for_reader(hubs)
        size = held(hubs)
        data = snapshot_of(hubs)

        def come_and_go() -> tuple[int, int, int]:
            node = Node(APP, Config(), hub=7)
            connection: Connection = thaw(node, node.resources, node.mover.costs, data)
            come = (node.resources.parsed.held, connection.parsed)
            connection.let_go()
            gone = node.resources.parsed.held
            node.close()
            return (*come, gone)

        assert hubs.ask(come_and_go) == (size, size, 0)

        def come_where_no_room_is() -> str:
            node = Node(APP, Config(max_parsed_hub_bytes=2 * size - 1), hub=7)
            with pytest.raises(SnapshotError) as caught:
                thaw(node, node.resources, node.mover.costs, data)
            assert node.resources.parsed.held == 0
            node.close()
            return str(caught.value)

        assert (
            hubs.ask(come_where_no_room_is) == f"its handlers have messages that take {size} bytes: no room"
        )
        hubs.ask(lambda: resume(next(iter(hubs.nodes[0].connections.values()))))
        call.cancel()
        nothing_held(hubs)


def test_a_call_too_many_of_a_connection_ends_and_the_others_do_not() -> None:
    with serving(APP, max_parsed_bytes=MB) as hubs, connect(hubs) as channel, connect(hubs) as other:
        stub = StatelessStub(channel)
        item = Item(text="wait", body=BODY)
        calls = []
        for number in range(4):
            calls.append(stub.Unary.future(item))
            hubs.wait_for(lambda number=number: gates[0].waiting == number + 1)
        refused = stub.Unary.future(item)
        assert refused.code() is EXHAUSTED
        assert refused.details().endswith(f"bytes, parsed: {MB} is the limit")
        assert stub.Unary(Item(text="small")) == Item()
        bystander = StatelessStub(other).Unary.future(item)
        hubs.wait_for(lambda: gates[0].waiting == 5)
        hubs.ask(gates[0].open.set)
        assert [code_of(call) for call in (*calls, bystander)] == [grpc.StatusCode.OK] * 5
        nothing_held(hubs)
        assert stub.Unary(item) == Item()


def test_of_a_hub_a_connection_gets_what_it_leaves_to_others() -> None:
    with serving(APP, max_parsed_hub_bytes=2 * MB) as hubs:
        channels = [connect(hubs) for _ in range(4)]
        calls, taken = [], []  # a call that nobody knows is cancelled
        for channel in channels:
            stub = StatelessStub(channel)
            count = 0
            while True:
                waiting = len(calls) - len(taken)
                call = stub.Unary.future(Item(text="wait", body=BODY))
                hubs.wait_for(lambda call=call, waiting=waiting: call.done() or gates[0].waiting > waiting)
                calls.append(call)
                if call.done():
                    break
                count += 1
            assert call.code() is EXHAUSTED
            assert "of the hub's 2097152 bytes" in call.details()
            taken.append(count)
            assert held(hubs) <= 2 * MB
        assert taken == [4, 2, 1, 1]
        assert StatelessStub(channels[-1]).Unary(Item()) == Item()
        hubs.ask(gates[0].open.set)
        nothing_held(hubs)
        for channel in channels:
            channel.close()


def test_a_compressed_message_counts_with_what_it_comes_to() -> None:
    with (
        serving(APP, max_parsed_bytes=MB) as hubs,
        connect(hubs, compression=grpc.Compression.Gzip) as channel,
    ):
        stub = StatelessStub(channel)
        call = stub.Unary.future(Item(text="wait", body=bytes(800 * KB)))
        hubs.wait_for(lambda: gates[0].waiting)
        assert stub.Unary.future(Item(body=bytes(800 * KB))).code() is EXHAUSTED
        hubs.ask(gates[0].open.set)
        assert code_of(call) is grpc.StatusCode.OK


class Lists(actorrpc.Service):
    __rpc__ = ServiceSpec("test.Lists", (Method("Take", ListValue, Item),))

    def Take(self, request, call):
        gates[0].wait()
        return Item(number=len(request.values))


LISTS = actorrpc.App([Lists])


def taking(channel: grpc.Channel) -> Any:
    reply = Item.FromString
    return channel.unary_unary("/test.Lists/Take", ListValue.SerializeToString, reply)


VALUES = ListValue(values=[Value(string_value="*2: BJRZ bjrz")] * 20_000)
SIZE = VALUES.ByteSize()
MAY_TAKE = SIZE + scale_of(ListValue.DESCRIPTOR).weigh(VALUES.SerializeToString())

measured = pytest.mark.skipif(allocator.used is None, reason="the libc does not say what is used")


@measured
def test_a_large_message_counts_with_what_it_takes() -> None:
    """It may take more: there is room for one of them in a connection, if that counted."""
    with serving(LISTS, max_parsed_bytes=MAY_TAKE) as hubs, connect(hubs) as channel:
        calls = []
        for count in (1, 2, 3):
            calls.append(taking(channel).future(VALUES))
            hubs.wait_for(lambda count=count: calls[-1].done() or gates[0].waiting == count)
            assert 3 * SIZE * count < held(hubs) < MAY_TAKE * count // 3
        hubs.ask(gates[0].open.set)
        assert [call.result().number for call in calls] == [20_000] * 3
        nothing_held(hubs)


@measured
@pytest.mark.parametrize("limits", ({"max_parsed_bytes": 3 * SIZE}, {"max_parsed_hub_bytes": MAY_TAKE - 1}))
def test_a_large_message_for_which_no_room_is(limits: dict[str, int]) -> None:
    """For what it takes in the connection, or for what it may take in the hub."""
    with serving(LISTS, **limits) as hubs, connect(hubs) as channel:
        assert taking(channel).future(VALUES).code() is EXHAUSTED
        nothing_held(hubs)


def test_what_is_no_message_is_not_counted_any_more() -> None:
    with serving(LISTS) as hubs, connect(hubs) as channel:
        call = channel.unary_unary("/test.Lists/Take")
        assert call.future(b"\x0a\x00" * 100_000 + b"\x0a").code() is grpc.StatusCode.INTERNAL
        nothing_held(hubs)


def test_no_limit() -> None:
    with serving(APP, max_parsed_bytes=0, max_parsed_hub_bytes=0) as hubs, connect(hubs) as channel:
        calls = [
            StatelessStub(channel).Unary.future(Item(text="wait", body=bytes(4 * MB - 99))) for _ in range(9)
        ]
        hubs.wait_for(lambda: gates[0].waiting == 9)
        hubs.ask(gates[0].open.set)
        assert [code_of(call) for call in calls] == [grpc.StatusCode.OK] * 9
        nothing_held(hubs)


# ---- the sums by themselves

LIMIT, HUB_LIMIT = 300, 1000
STEPS = st.lists(
    st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 400)), st.integers(0, 9)), max_size=60
)


@given(STEPS)
def test_the_sums(steps: list[tuple[int, int | None, int]]) -> None:
    """Nobody has more than the limits say, a refusal changes nothing and is never without a reason."""
    parsed = Parsed(Config(max_parsed_bytes=LIMIT, max_parsed_hub_bytes=HUB_LIMIT))
    connections: list[Any] = [SimpleNamespace(parsed=0) for _ in range(6)]
    sizes: list[dict[int, int]] = [{} for _ in connections]
    calls: list[list[Any]] = [[SimpleNamespace(parsed=0) for _ in range(10)] for _ in connections]
    for number, size, stream in steps:
        connection, own, call = connections[number], sizes[number], calls[number][stream]
        mine, total = sum(own.values()), sum(sum(each.values()) for each in sizes)
        if size is None:
            parsed.release(connection, call)
            own.pop(stream, None)
        elif not own.get(stream):
            try:
                parsed.hold(connection, call, size)
            except RpcError as error:
                assert error.code is StatusCode.RESOURCE_EXHAUSTED
                assert mine + size > LIMIT or mine + size > HUB_LIMIT - total - size
            else:
                assert mine + size <= min(LIMIT, HUB_LIMIT - total - size)
                own[stream] = size
        assert [each.parsed for each in connections] == [sum(each.values()) for each in sizes]
        assert parsed.held == sum(each.parsed for each in connections) <= HUB_LIMIT
