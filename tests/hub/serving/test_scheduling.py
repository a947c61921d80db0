"""Which turn runs when, and what it costs: each thing is queued once, and waits only for what it must."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import gevent
import gevent.event
import grpc
import pytest

import actorrpc
from actorrpc.hub.actors.cell import Cell
from actorrpc.hub.actors.schedule import TURN_SLICE, Schedule
from actorrpc.hub.actors.turns import CLOSE, TOPIC
from actorrpc.hub.moving import departure
from actorrpc.hub.moving.move_cost import MoveCosts
from actorrpc.hub.moving.snapshot import freeze
from actorrpc.hub.serving.connection import Connection
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient

#: A client whose calls have no window until it opens one, and whose connection's is never in the way.
NO_WINDOW = raw.PREFACE + raw.settings((raw.INITIAL_WINDOW_SIZE, 0)) + raw.window_update(0, 1 << 30)

EMPTY = raw.message(b"")


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


def begin(id: int, method: str, service: str = "Stateful", *extra: tuple[str, str]) -> bytes:
    fields = raw.request(method, *extra)
    return raw.headers(
        id, [(name, value.replace("test.Test", f"shapes.{service}")) for name, value in fields]
    )


def unary(id: int, method: str, service: str = "Stateful") -> bytes:
    return begin(id, method, service) + raw.data(id, EMPTY, raw.END_STREAM)


def in_frames(id: int, messages: bytes) -> bytes:
    return b"".join(raw.data(id, messages[at : at + 16_380]) for at in range(0, len(messages), 16_380))


def replies_of(client: RawClient, id: int, count: int) -> list[Item]:
    """The first replies on a stream, however they are cut into frames."""
    found: list[Item] = []
    body, at = b"", 0
    while len(found) < count:
        body += b"".join(frame[3] for frame in client.frames if frame[0] == raw.DATA and frame[2] == id)
        client.frames = [frame for frame in client.frames if frame[0] != raw.DATA or frame[2] != id]
        while len(body) - at >= 5 and len(body) - at >= 5 + int.from_bytes(body[at + 1 : at + 5], "big"):
            end = at + 5 + int.from_bytes(body[at + 1 : at + 5], "big")
            found.append(Item.FromString(body[at + 5 : end]))
            at = end
        if len(found) < count:
            client.receive()
    return found


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The kind of each turn that was taken from a queue, whether or not it then ran."""
    taken: list[int] = []
    call_turn = Cell._call_turn

    def counted(self: Cell, kind: int, *args: Any) -> Any:
        taken.append(kind)
        return call_turn(self, kind, *args)

    monkeypatch.setattr(Cell, "_call_turn", counted)
    return taken


# ---- queues


@pytest.mark.parametrize("service", ("Stateless", "Stateful"))
def test_an_iterable_is_queued_once_however_many_replies_it_gives(service: str, steps: list[int]) -> None:
    ready = []

    class Expanding:
        def Expand(self: Any, request, call):
            connection = self._host._connection
            for number in range(20_000):
                ready.append(len(connection.schedule._ready))
                yield Item(number=number)

    base = StatelessBase if service == "Stateless" else StatefulBase
    stub = StatelessStub if service == "Stateless" else StatefulStub
    kind = type("Kind", (Expanding, base), {})
    with serving(actorrpc.App([kind])) as hubs, connect(hubs) as channel:
        replies = stub(channel).Expand(Item(), timeout=30)
        assert [reply.number for reply in replies] == list(range(20_000))
    assert max(ready) <= 2, "a cell waits more than once"
    assert len(steps) <= 20_000 + 2


def test_messages_that_cannot_run_yet_are_looked_at_once(steps: list[int]) -> None:
    class Echo(StatefulBase):
        def Talk(self, message, call):
            call.send(Item(body=bytes(70_000)))

    count = 2_000
    with serving(actorrpc.App([Echo])) as hubs, RawClient(hubs.address, NO_WINDOW) as client:
        client.send(begin(1, "Talk") + in_frames(1, EMPTY * count))
        connection = hubs.connection()
        hubs.wait_for(lambda: connection.calls and len(connection.calls[1].held) == count - 1)
        for reply in range(1, 40):
            client.send(raw.window_update(1, 70_009))
            hubs.wait_for(lambda reply=reply: connection.schedule.turns == reply + 1)
        assert len(steps) <= count + 2 * 40


@pytest.mark.parametrize("service", ("Stateless", "Stateful"))
def test_messages_behind_a_turn_that_blocks_are_turns_once(service: str, steps: list[int]) -> None:
    class Collecting:
        def Collect(self, message, call):
            gevent.sleep(0)

        def Collect_end(self, call):
            return Item(text="all")

    kind = type("Kind", (Collecting, StatelessBase if service == "Stateless" else StatefulBase), {})
    count = 2_000
    with serving(actorrpc.App([kind])) as hubs, RawClient(hubs.address) as client:
        body = in_frames(1, EMPTY * count)
        client.send(begin(1, "Collect", service) + body + raw.data(1, b"", raw.END_STREAM))
        connection = hubs.connection()
        client.wait_for(raw.HEADERS, raw.END_STREAM)
        assert connection.schedule.turns == count + 1
        assert len(steps) <= 2 * (count + 1)


# ---- reading goes on


@pytest.fixture
def full() -> Any:
    """A bidirectional call that answers each message, and others."""

    class Echo(StatefulBase):
        def Talk(self, message, call):
            call.send(Item(number=message.number, body=bytes(10_000)))

        def Talk_end(self, call):
            call.finish()

        def Unary(self, request, call):
            return Item(text="answered")

    with serving(actorrpc.App([Echo]), max_mailbox=20) as hubs:
        yield hubs


def fill(hubs: Hubs, client: RawClient, count: int) -> Any:
    """Send more messages than may wait, and read no reply. Returns the connection."""
    messages = b"".join(raw.message(Item(number=number).SerializeToString()) for number in range(count))
    client.send(begin(1, "Talk") + in_frames(1, messages))
    connection = hubs.connection()
    hubs.wait_for(lambda: connection.session.inbound.unsplit.size)
    return connection


def test_a_client_that_reads_late_gets_every_reply(full: Hubs) -> None:
    with RawClient(full.address, NO_WINDOW) as client:
        connection = fill(full, client, 500)
        client.send(raw.data(1, b"", raw.END_STREAM) + raw.window_update(1, 1 << 24))
        assert [reply.number for reply in replies_of(client, 1, 500)] == list(range(500))
        client.wait_for(raw.HEADERS, raw.END_STREAM)
        full.wait_for(lambda: not connection.calls and not connection.session.inbound.unsplit.size)


def test_grpcio_reads_late(full: Hubs) -> None:
    with connect(full) as channel:
        replies = StatefulStub(channel).Talk((Item(number=number) for number in range(4_000)), timeout=60)
        connection = full.connection()
        full.wait_for(lambda: connection.session.inbound.unsplit.size)
        assert [reply.number for reply in replies] == list(range(4_000))


def test_a_full_mailbox_holds_up_neither_pings_nor_other_calls(full: Hubs) -> None:
    with RawClient(full.address, NO_WINDOW) as client:
        fill(full, client, 500)
        client.send(raw.frame(raw.PING, 0, 0, b"12345678"))
        client.wait_for(raw.PING, raw.ACK)
        client.send(unary(3, "Unary") + raw.window_update(3, 1000))
        assert client.wait_for(raw.DATA)[2] == 3


def test_a_call_with_a_full_mailbox_can_be_cancelled(full: Hubs) -> None:
    with RawClient(full.address, NO_WINDOW) as client:
        connection = fill(full, client, 500)
        client.send(raw.frame(raw.RST_STREAM, 0, 1, bytes(4)))
        full.wait_for(lambda: not connection.calls)
        inbound = connection.session.inbound
        full.wait_for(lambda: (inbound.waiting, inbound.held, inbound.unsplit.size) == (0, 0, 0))


def test_a_client_with_a_full_mailbox_that_goes_is_gone(full: Hubs) -> None:
    client = RawClient(full.address, NO_WINDOW)
    connection = fill(full, client, 500)
    client.close()
    full.wait_for(lambda: connection.phase.state == "closed" and not full.nodes[0].connections)


def test_a_full_mailbox_moves() -> None:
    class Echo(StatefulBase):
        def Talk(self, message, call):
            call.send(Item(number=message.number, body=bytes(10_000)))

        def Talk_end(self, call):
            call.finish()

    with (
        serving(actorrpc.App([Echo]), 2, max_mailbox=20) as hubs,
        RawClient(hubs.address, NO_WINDOW) as client,
    ):
        fill(hubs, client, 500)
        client.send(raw.data(1, b"", raw.END_STREAM))
        for target in (1, 0, 1):
            assert hubs.move(target).why == ""
        client.send(raw.window_update(1, 1 << 24))
        assert [reply.number for reply in replies_of(client, 1, 500)] == list(range(500))
        client.wait_for(raw.HEADERS, raw.END_STREAM)


# ---- what may run runs


def test_calls_that_may_run_beside_do_not_wait_for_the_turn_after_on_connect() -> None:
    gate = gevent.event.Event()

    class Connecting(StatefulBase):
        def on_connect(self):
            gevent.sleep(0.01)

        def Unary(self, request, call):
            gate.wait()
            return request

        @actorrpc.concurrent
        def Beside(self, request, call):
            return Item(text="beside")

    with serving(actorrpc.App([Connecting])) as hubs, RawClient(hubs.address) as client:
        client.send(unary(1, "Unary") + unary(3, "Beside"))
        assert client.wait_for(raw.DATA)[2] == 3
        hubs.ask(gate.set)
        assert client.wait_for(raw.DATA)[2] == 1


def test_on_thaw_comes_before_what_a_window_lets_go_on_that_opened_on_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    class Hears(StatefulBase):
        def on_thaw(self):
            order.append("on_thaw")

        def Talk(self, message, call):
            order.append(f"message {message.number}")
            call.send(Item(body=bytes(70_000)))

    with serving(actorrpc.App([Hears]), 2) as hubs, RawClient(hubs.address, NO_WINDOW) as client:
        messages = b"".join(raw.message(Item(number=number).SerializeToString()) for number in (1, 2))
        client.send(begin(1, "Talk") + raw.data(1, messages))
        connection = hubs.connection()
        hubs.wait_for(lambda: any(call.held for call in connection.calls.values()))

        def freeze_and_open(connection: Connection, costs: MoveCosts, limit: float, format: int) -> bytes:
            data = freeze(connection, costs, limit, format)
            client.send(raw.window_update(1, 1 << 20))
            return data

        monkeypatch.setattr(departure, "freeze", freeze_and_open)
        assert hubs.move(1).why == ""
        replies_of(client, 1, 2)
    assert order == ["message 1", "on_thaw", "message 2"]


def test_calls_that_may_run_beside_do_not_wait_for_the_turn_after_on_thaw() -> None:
    gate, thawing = gevent.event.Event(), gevent.event.Event()

    class Thawing(StatefulBase):
        def on_thaw(self):
            thawing.wait()

        def Unary(self, request, call):
            if request.number:
                gate.wait()
            return request

        @actorrpc.concurrent
        def Beside(self, request, call):
            return Item(text="beside")

    blocked = raw.message(Item(number=1).SerializeToString())
    with serving(actorrpc.App([Thawing]), 2) as hubs, RawClient(hubs.address) as client:
        client.send(unary(1, "Unary"))
        client.wait_for(raw.DATA)
        assert hubs.move(1).why == ""
        client.send(begin(3, "Unary") + raw.data(3, blocked, raw.END_STREAM) + unary(5, "Beside"))
        connection = hubs.connection()
        hubs.wait_for(lambda: len(connection.calls) == 2)
        hubs.ask(thawing.set)
        assert client.wait_for(raw.DATA)[2] == 5
        hubs.ask(gate.set)
        assert client.wait_for(raw.DATA)[2] == 3


# ---- iterables are closed


class Endless:
    """Replies without end, which wait for a window. The first call's iterable takes its time to be closed."""

    begun: list[int]
    closed: list[int]
    gate: Any

    def replies(self: Any, number: int) -> Any:
        self.begun.append(number)
        try:
            while True:
                yield Item(body=bytes(70_000))
        finally:
            if number == 1:
                self.gate.wait()
            self.closed.append(number)


def cancel_all(hubs: Hubs, client: RawClient, ids: list[int]) -> None:
    connection = hubs.connection()
    client.send(b"".join(raw.frame(raw.RST_STREAM, 0, id, bytes(4)) for id in ids))
    hubs.wait_for(lambda: not connection.calls.keys() & set(ids))


@pytest.mark.parametrize("service", ("Stateless", "Stateful"))
def test_an_iterable_whose_close_blocks_keeps_none_beside_from_being_closed(service: str) -> None:
    class Expanding(Endless):
        begun, closed, gate = [], [], gevent.event.Event()

        @actorrpc.concurrent
        def Expand(self, request, call):
            return self.replies(call.stream.id)

    ids = list(range(1, 41, 2))
    kind = type("Kind", (Expanding, StatelessBase if service == "Stateless" else StatefulBase), {})
    with serving(actorrpc.App([kind])) as hubs, RawClient(hubs.address, NO_WINDOW) as client:
        client.send(b"".join(unary(id, "Expand", service) for id in ids))
        hubs.wait_for(lambda: len(Expanding.begun) == len(ids))
        cancel_all(hubs, client, ids)
        hubs.wait_for(lambda: len(Expanding.closed) == len(ids) - 1)
        assert sorted(Expanding.closed) == ids[1:]
        hubs.ask(Expanding.gate.set)
        hubs.wait_for(lambda: len(Expanding.closed) == len(ids))


def test_a_turn_that_blocks_keeps_no_iterable_of_a_call_beside_from_being_closed() -> None:
    class Blocking(Endless, StatefulBase):
        begun, closed, gate = [], [], gevent.event.Event()

        def Unary(self, request, call):
            self.begun.append(0)
            self.gate.wait()
            return request

        @actorrpc.concurrent
        def Expand(self, request, call):
            return self.replies(call.stream.id)

    ids = list(range(3, 43, 2))
    with serving(actorrpc.App([Blocking])) as hubs, RawClient(hubs.address, NO_WINDOW) as client:
        client.send(unary(1, "Unary") + b"".join(unary(id, "Expand") for id in ids))
        hubs.wait_for(lambda: len(Blocking.begun) == 1 + len(ids))
        cancel_all(hubs, client, ids)
        hubs.wait_for(lambda: len(Blocking.closed) == len(ids))
        assert hubs.connection().calls.keys() == {1}
        hubs.ask(Blocking.gate.set)


def test_closing_iterables_before_a_move_looks_at_what_waits_a_few_times_however_many_they_are() -> None:
    looks: list[int] = []
    closed: list[Any] = []
    gate = gevent.event.Event()

    class Blocking(StatefulBase):
        def Unary(self, request, call):
            gate.wait()
            return request

    class Iterable:
        def close(self) -> None:
            closed.append(self)

    class Turn(tuple[Any, ...]):
        def __getitem__(self, key: Any) -> Any:
            looks.append(1)
            return super().__getitem__(key)

        def __eq__(self, other: object) -> bool:
            looks.append(1)
            return super().__eq__(other)

        __hash__ = tuple.__hash__

    with serving(actorrpc.App([Blocking])) as hubs, RawClient(hubs.address) as client:
        client.send(unary(1, "Unary"))
        connection = hubs.connection()
        (call,) = hubs.wait_for(lambda: [call for call in connection.calls.values() if call.runner])
        cell = call.receiver
        others = [Turn((TOPIC, None, number)) for number in range(500)]
        closing = [Turn((CLOSE, None, (Iterable(), call))) for _ in range(500)]

        def close() -> list[Any]:
            cell.mailbox = deque(others + closing)
            connection.resources.runners.start(lambda runner: cell.close_iterators(), cell.part)
            left, cell.mailbox = [*cell.mailbox], deque()
            return left

        assert all(left is other for left, other in zip(hubs.ask(close), others, strict=True))
        assert len(closed) == 500
        assert len(looks) <= 4 * len(others + closing)
        hubs.ask(gate.set)
        client.wait_for(raw.HEADERS, raw.END_STREAM)


@pytest.mark.parametrize("moves", (0, 2))
def test_a_request_that_waited_for_room_is_a_request(moves: int) -> None:
    """Another turn fills its call before its own begins; an iterable answers it, and ends it."""
    gate = gevent.event.Event()

    class Filling(StatefulBase):
        def Unary(self, request, call):
            gate.wait()
            for other in self.calls:
                if other is not call:
                    for _ in range(3):
                        other.send(Item(body=bytes(30_000)))
            return request

        def Expand(self, request, call):
            for number in range(3):
                yield Item(number=number)

    with serving(actorrpc.App([Filling]), 2) as hubs, RawClient(hubs.address, NO_WINDOW) as client:
        client.send(unary(1, "Unary") + unary(3, "Expand"))
        connection = hubs.connection()
        hubs.wait_for(lambda: len(connection.calls) == 2)
        hubs.ask(gate.set)
        hubs.wait_for(lambda: connection.calls[3].held)
        for move in range(moves):
            assert hubs.move(1 - move).why == ""
        client.send(raw.window_update(1, 1 << 20) + raw.window_update(3, 1 << 20))
        while client.wait_for(raw.HEADERS, raw.END_STREAM)[2] != 3:
            pass
        body = b"".join(frame[3] for frame in client.frames if frame[0] == raw.DATA and frame[2] == 3)
        assert body.endswith(b"".join(raw.message(Item(number=n).SerializeToString()) for n in range(3)))


# ---- slices


def test_a_stream_goes_on_while_its_connection_moves_after_each_turn() -> None:
    """The client says nothing meanwhile; each move is worth at least a reply."""

    class Counting(StatefulBase):
        def Expand(self, request, call):
            for number in range(int(call.cursor or b"0"), 200):
                call.cursor = b"%d" % (number + 1)
                gevent.sleep(0)
                yield Item(number=number)

    with serving(actorrpc.App([Counting]), 2, move_every=1) as hubs, connect(hubs) as channel:
        replies = StatefulStub(channel).Expand(Item(), timeout=30)
        assert [reply.number for reply in replies] == list(range(200))
        assert len(hubs.moved) <= 210


def test_a_move_sends_no_more_to_a_client_that_does_not_read() -> None:
    """The handler is called again in each hub, and its iterable waits there as it did before."""
    yielded = []

    class Endless(StatefulBase):
        def Expand(self, request, call):
            for number in range(int(call.cursor or b"0"), 1_000):
                call.cursor = b"%d" % (number + 1)
                yielded.append(number)
                yield Item(number=number, body=bytes(10_000))

    with serving(actorrpc.App([Endless]), 2) as hubs, RawClient(hubs.address, NO_WINDOW) as client:
        client.send(unary(1, "Expand"))
        hubs.wait_for(lambda: len(yielded) == 7)
        for move in range(10):
            assert hubs.move((move + 1) % 2).why == ""
        assert hubs.ask(lambda: len(yielded)) == 7


def test_time_in_which_a_handler_was_blocked_is_not_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = []
    proceed = Schedule._continue

    def counted(self: Schedule) -> None:
        slices.append(self)
        proceed(self)

    monkeypatch.setattr(Schedule, "_continue", counted)

    class Waiting(StatefulBase):
        def Collect(self, message, call):
            gevent.sleep(0.003)

        def Collect_end(self, call):
            return Item()

    with serving(actorrpc.App([Waiting])) as hubs, connect(hubs) as channel:
        StatefulStub(channel).Collect(iter([Item()] * 50), timeout=30)
    assert len(slices) < 25  # once for each of them, were it the connection's; the machine may be busy


def compute_until(time_: float) -> None:
    while time.monotonic() < time_:
        pass


@pytest.mark.parametrize("where", ("handler", "on_call"))
def test_turns_that_compute_and_then_block_let_others_have_the_hub(where: str) -> None:
    order: list[str] = []
    gate = gevent.event.Event()

    def run(kind: str) -> None:
        if kind == "Stateless" and not order:
            other.send(unary(3, "Unary"))  # it is there before the second of them could begin
        order.append(kind)
        if kind == "Stateless":
            compute_until(time.monotonic() + 2 * TURN_SLICE)
            gate.wait()

    class Enters(actorrpc.Interceptor):
        def on_call(self, call):
            if where == "on_call" and call.stream.id > 1:
                run(call.method.split("/")[1].removeprefix("shapes."))

    class Stateless(StatelessBase):
        def Unary(self, request, call):
            if where == "handler":
                run("Stateless")
            return request

    class Stateful(StatefulBase):
        def Unary(self, request, call):
            if where == "handler" and call.stream.id > 1:
                run("Stateful")
            return request

    app = actorrpc.App([Stateless, Stateful], interceptors=[Enters()] if where == "on_call" else [])
    with serving(app) as hubs, RawClient(hubs.address) as client, RawClient(hubs.address) as other:
        for each in (client, other):
            each.send(unary(1, "Unary"))
            each.wait_for(raw.HEADERS, raw.END_STREAM)
        client.send(b"".join(unary(id, "Unary", "Stateless") for id in range(3, 43, 2)))
        other.wait_for(raw.HEADERS, raw.END_STREAM)
        hubs.wait_for(lambda: len(order) == 21)
        assert order.index("Stateful") < 10
        hubs.ask(gate.set)
        for _ in range(20):
            client.wait_for(raw.HEADERS, raw.END_STREAM)


def test_a_deadline_that_passes_while_a_turn_computes_that_then_blocks_is_seen() -> None:
    ran: list[str] = []
    gate = gevent.event.Event()

    class Computing(StatefulBase):
        @actorrpc.concurrent
        def Beside(self, request, call):
            ran.append("computes")
            for other in self.calls:
                if other is not call:
                    compute_until(other.deadline)
            gate.wait()
            return request

        @actorrpc.concurrent
        def Unary(self, request, call):
            ran.append("over time")
            return request

    with serving(actorrpc.App([Computing])) as hubs, RawClient(hubs.address) as client:
        late = begin(3, "Unary", "Stateful", ("grpc-timeout", "20m")) + raw.data(3, EMPTY, raw.END_STREAM)
        client.send(unary(1, "Beside") + late)
        assert client.wait_for(raw.HEADERS, raw.END_STREAM)[2] == 3
        assert ran == ["computes"]
        hubs.ask(gate.set)
        assert client.wait_for(raw.HEADERS, raw.END_STREAM)[2] == 1
