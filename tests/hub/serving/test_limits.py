"""Limits, each with the option that sets it and the error that a client sees; and compression."""

from __future__ import annotations

import threading

import gevent
import gevent.event
import grpc
import pytest

import actorrpc
from actorrpc.config import Config
from actorrpc.wire.server import ServerSession
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def connect(hubs: Hubs, *options: tuple[str, object], **more: object) -> grpc.Channel:
    local = ("grpc.use_local_subchannel_pool", 1)
    return grpc.insecure_channel(hubs.address, options=[local, *options], **more)


def error_of(call: object) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        list(call) if hasattr(call, "__next__") else call()  # type: ignore[operator]
    return caught.value


class Compressing(StatefulBase):
    def Unary(self, request, call):
        call.set_compression(request.text or None)
        return Item(number=int(call.request_compressed), body=bytes(request.number))

    def Talk(self, message, call):
        if message.text:
            call.set_compression(message.text)
        call.send(Item(number=int(call.request_compressed), body=message.body), compress=message.status == 0)


COMPRESSING = actorrpc.App([Compressing])


@pytest.mark.parametrize("compression", (grpc.Compression.Gzip, grpc.Compression.Deflate))
def test_requests_may_be_compressed(compression: grpc.Compression) -> None:
    with serving(COMPRESSING) as hubs, connect(hubs, compression=compression) as channel:
        stub = StatefulStub(channel)
        assert stub.Unary(Item(body=bytes(100_000))).number == 1
        assert [reply.number for reply in stub.Talk(iter([Item(body=bytes(1000))] * 3))] == [1, 1, 1]


def test_an_unknown_method_is_unimplemented_however_large_its_message() -> None:
    head = [(name, "/no.Service/Method" if name == ":path" else value) for name, value in raw.request("")]
    too_large = raw.data(1, (50_000_000).to_bytes(5, "big"))
    with (
        serving(app) as hubs,
        RawClient(hubs.address, raw.OPEN + raw.headers(1, head) + too_large) as client,
    ):
        *_, block = client.wait_for(raw.HEADERS, raw.END_STREAM)
        assert b"grpc-status\x0212" in block and b"unknown method" in block


def test_a_request_that_is_too_large_once_decompressed() -> None:
    with (
        serving(COMPRESSING, max_receive_message_bytes=10_000) as hubs,
        connect(hubs, compression=grpc.Compression.Gzip) as channel,
    ):
        stub = StatefulStub(channel)
        error = error_of(lambda: stub.Unary(Item(body=bytes(10_001))))
        assert error.code() is EXHAUSTED and "more than 10000 bytes" in error.details()
        assert stub.Unary(Item(body=bytes(9_000))).number == 1


@pytest.mark.parametrize("encoding", ("gzip", "deflate"))
def test_replies_may_be_compressed(encoding: str) -> None:
    with serving(COMPRESSING, max_send_message_bytes=2000) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        reply = stub.Unary(Item(text=encoding, number=100_000))
        assert len(reply.body) == 100_000, "the limit is for what is sent"
        error = error_of(lambda: stub.Unary(Item(text="identity", number=100_000)))
        assert error.code() is EXHAUSTED and "over the limit of 2000" in error.details()
        items = [
            Item(text=encoding, body=bytes(100_000)),
            Item(body=bytes(5), status=1),
            Item(body=bytes(9000)),
        ]
        assert [len(reply.body) for reply in stub.Talk(iter(items))] == [100_000, 5, 9000]


def test_a_client_that_accepts_nothing_gets_plain_messages() -> None:
    options = ("grpc.compression_enabled_algorithms_bitset", 1)
    with serving(COMPRESSING, max_send_message_bytes=2000) as hubs, connect(hubs, options) as channel:
        stub = StatefulStub(channel)
        assert len(stub.Unary(Item(text="gzip", number=1000)).body) == 1000
        assert error_of(lambda: stub.Unary(Item(text="gzip", number=3000))).code() is EXHAUSTED


def test_compression_that_comes_too_late_or_is_unknown() -> None:
    class Late(StatelessBase):
        def Talk(self, message, call):
            try:
                call.set_compression(message.text)
            except (RuntimeError, ValueError) as error:
                call.send(Item(text=str(error)))
            else:
                call.send(Item(text="fine"))

    with serving(actorrpc.App([Late])) as hubs, connect(hubs) as channel:
        texts = ["lz4", "gzip", "deflate", "identity", "identity", "gzip"]
        replies = [reply.text for reply in StatelessStub(channel).Talk(Item(text=text) for text in texts)]
        assert "'lz4' is not known" in replies[0]
        assert "have been sent, without gzip" in replies[1] and "without deflate" in replies[2]
        assert replies[3:5] == ["fine", "fine"] and "without gzip" in replies[5]


def test_compressed_messages_and_the_choice_to_compress_travel() -> None:
    """They wait in a mailbox while the connection moves."""
    go = gevent.event.Event
    gates: list[gevent.event.Event] = []
    seen: list[tuple[int, bool]] = []

    class Slow(StatefulBase):
        def Talk(self, message, call):
            if message.number == 0:
                call.set_compression("gzip")
                gates.append(go())
                gates[0].wait()
            seen.append((message.number, call.request_compressed))
            call.send(Item(number=message.number, body=message.body))

    with (
        serving(actorrpc.App([Slow]), 2, max_send_message_bytes=5000, quiesce_timeout=10) as hubs,
        connect(hubs, compression=grpc.Compression.Gzip) as channel,
    ):
        replies = StatefulStub(channel).Talk(Item(number=n, body=bytes(50_000)) for n in range(5))
        connection = hubs.connection()
        hubs.wait_for(lambda: gates and connection.session.inbound.waiting == 4)
        results: list[object] = []
        hubs.ask(lambda: hubs.nodes[0].mover.move(connection.id, 1, results.append))
        hubs.ask(lambda: gates[0].set())
        assert [(reply.number, len(reply.body)) for reply in replies] == [(n, 50_000) for n in range(5)]
        assert hubs.connection().moves == 1
        assert seen == [(n, True) for n in range(5)]


def test_what_waits_on_all_calls_of_a_connection() -> None:
    """1,000 calls, none of which has much to send, for a client that reads nothing."""
    with serving(app, max_unsent_connection_bytes=1_000_000) as hubs:
        requests = [(n, v.replace("/test.Test/", "/shapes.Stateless/")) for n, v in raw.request("Unary")]
        body = raw.message(Item(body=bytes(15_000)).SerializeToString())
        begin = raw.OPEN + raw.settings((raw.INITIAL_WINDOW_SIZE, 0))
        with RawClient(hubs.address, begin) as client:
            for id in range(1, 401, 2):
                client.send(raw.headers(id, requests) + raw.data(id, body, raw.END_STREAM))
            ended = [client.wait_for(raw.HEADERS, raw.END_STREAM) for _ in range(100)]
            assert all(
                b"grpc-status\x018" in block.replace(b"\x0b", b"") or b"8" in block for *_, block in ended
            )
            outbound = hubs.connection().session.outbound
            assert 900_000 < hubs.ask(lambda: outbound.unsent_bytes) <= 1_000_000
            client.send(raw.settings((raw.INITIAL_WINDOW_SIZE, 65_535)) + raw.window_update(0, 1 << 20))
            ended += [client.wait_for(raw.HEADERS, raw.END_STREAM) for _ in range(60)]
            assert hubs.wait_for(lambda: outbound.unsent_bytes == 0)


def test_a_full_mailbox_makes_its_client_wait() -> None:
    gate: list[gevent.event.Event] = []
    taken = []

    class Blocked(StatefulBase):
        def Talk(self, message, call):
            if not gate:
                gate.append(gevent.event.Event())
            gate[0].wait()
            taken.append(message.number)

    with serving(actorrpc.App([Blocked]), max_mailbox=100) as hubs, connect(hubs) as channel:
        more = threading.Event()

        def messages():
            for number in range(500):
                yield Item(number=number)
            more.wait(20)
            for number in range(500, 20_000):
                yield Item(number=number)

        replies = StatefulStub(channel).Talk(messages())
        connection = hubs.connection()
        hubs.wait_for(lambda: connection.session.inbound.waiting > 100)
        assert hubs.wait_for(lambda: connection.session.inbound.unsplit.size)
        more.set()
        hubs.wait_for(lambda: gate)
        assert hubs.ask(lambda: connection.session.inbound.waiting) < 10_000
        hubs.ask(lambda: gate[0].set())
        assert list(replies) == [] and taken == list(range(20_000))
        assert not connection.session.inbound.unsplit.streams


def test_calls_that_are_cancelled_do_not_fill_the_mailbox_of_a_blocked_actor() -> None:
    gate: list[gevent.event.Event] = []

    class Blocked(StatefulBase):
        def Unary(self, request, call):
            gate.append(gevent.event.Event())
            gate[0].wait()
            return request

    request = [(n, v.replace("/test.Test/", "/shapes.Stateful/")) for n, v in raw.request("Unary")]
    message = raw.message(Item(number=1).SerializeToString())
    with serving(actorrpc.App([Blocked]), flood_burst=0) as hubs, RawClient(hubs.address) as client:
        client.send(raw.headers(1, request) + raw.data(1, message, raw.END_STREAM))
        connection = hubs.connection()
        hubs.wait_for(lambda: gate)
        for id in range(3, 10_003, 2):
            call = raw.headers(id, request) + raw.data(id, message, raw.END_STREAM)
            client.send(call + raw.frame(raw.RST_STREAM, 0, id, bytes(4)))
        hubs.wait_for(lambda: connection.session.last_stream == 10_001)
        cell = connection.cells["shapes.Stateful"]
        assert hubs.ask(lambda: len(cell.mailbox)) <= 130
        assert hubs.ask(lambda: connection.session.inbound.waiting) <= 130
        hubs.ask(lambda: gate[0].set())
        client.wait_for(raw.HEADERS, raw.END_STREAM)
        hubs.wait_for(lambda: connection.session.inbound.waiting == 0)


@pytest.mark.parametrize("encoding", (grpc.Compression.NoCompression, grpc.Compression.Gzip))
def test_a_message_of_64_MiB_each_way(encoding: grpc.Compression) -> None:
    size = 64 << 20
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    limits = {"max_receive_message_bytes": size + 100, "max_unsent_bytes": 2 * size}
    with (
        serving(app, max_unsent_connection_bytes=2 * size, **limits) as hubs,
        connect(hubs, *unlimited, compression=encoding) as channel,
    ):
        reply = StatelessStub(channel).Unary(Item(number=7, body=bytes(size)), timeout=60)
        assert (reply.number, len(reply.body)) == (7, size)
        replies = StatelessStub(channel).Talk(iter([Item(body=bytes(size // 4))] * 4), timeout=60)
        assert [len(reply.body) for reply in replies] == [size // 4] * 4


def test_a_large_message_is_not_copied_again_for_each_frame() -> None:
    """What it takes grows with the size, not with its square: counted in bytes moved, not in seconds."""
    moved = []
    for size in (1 << 20, 1 << 22):
        session = ServerSession(Config(max_receive_message_bytes=1 << 23, connection_window_bytes=1 << 24))
        session.receive_data(raw.OPEN + raw.headers(1, raw.request("Hold")))
        stream = session.streams[1]
        total = 0
        body = raw.message(bytes(size))
        for start in range(0, len(body), 16_384):
            before = [id(piece) for piece in stream.partial]
            stream.receive_window = 1 << 24
            session.receive_data(raw.data(1, body[start : start + 16_384]))
            total += sum(len(piece) for piece in stream.partial if id(piece) not in before)
        moved.append(total / size)
    assert moved[1] < 2 * moved[0] < 4


@pytest.mark.parametrize(
    "limits", ({"max_mailbox": 20}, {"stream_window_bytes": 65_535}), ids=("mailbox", "window")
)
def test_a_handler_that_goes_on_without_a_word_lets_more_come(limits: dict[str, int]) -> None:
    """What it takes must be told to the client though no reply goes out and no turn is left to run."""
    gate: list[gevent.event.Event] = []

    class Blocked(StatefulBase):
        def Collect(self, message, call):
            if not gate:
                gate.append(gevent.event.Event())
                gate[0].wait()

        def Collect_end(self, call):
            return Item(text="all")

    request = [(n, v.replace("/test.Test/", "/shapes.Stateful/")) for n, v in raw.request("Collect")]
    message = raw.message(Item(body=bytes(3_000)).SerializeToString())
    with serving(actorrpc.App([Blocked]), **limits) as hubs, RawClient(hubs.address) as client:
        client.send(raw.headers(1, request) + raw.data(1, message) * 21)
        connection = hubs.connection()
        hubs.wait_for(lambda: gate and connection.session.inbound.waiting == 20)
        if "max_mailbox" in limits:
            client.send(raw.data(1, message) * 2)
            hubs.wait_for(lambda: connection.session.inbound.unsplit.size)
        hubs.ask(lambda: gate[0].set())
        if "stream_window_bytes" in limits:
            while client.wait_for(raw.WINDOW_UPDATE)[2] != 1:
                pass  # that of the connection
        client.send(raw.data(1, b"", raw.END_STREAM))
        client.wait_for(raw.HEADERS, raw.END_STREAM)
