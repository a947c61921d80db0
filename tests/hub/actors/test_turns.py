"""Turns: what overlaps and what does not, hooks, interruption, backpressure, fairness."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator

import gevent
import gevent.event
import gevent.queue
import gevent.socket
import grpc
import pytest

import actorrpc
from actorrpc.net.addresses import parse_address
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item, Tally
from tests.support.hubs import Hubs, serving


@pytest.fixture(scope="module")
def hubs() -> Iterator[Hubs]:
    with serving(app) as hubs:
        yield hubs


def connect(hubs: Hubs, *options: tuple[str, object]) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1), *options])


class Gate:
    """Lets a handler wait for the test, and the test for the handler."""

    def __init__(self) -> None:
        self.entered: queue.Queue[str] = queue.Queue()
        self._opened: set[str] = set()

    def wait(self, name: str) -> None:
        self.entered.put(name)
        while name not in self._opened:
            gevent.sleep(0.001)

    def open(self, *names: str) -> None:
        self._opened.update(names)

    def next(self) -> str:
        return self.entered.get(timeout=10)


def test_turns_of_an_actor_never_overlap_but_a_concurrent_method_runs_beside():
    gate = Gate()

    class Gated(StatefulBase):
        def Unary(self, request, call):
            gate.wait(request.text)
            return request

        @actorrpc.concurrent
        def Beside(self, request, call):
            gate.wait(request.text)
            return request

    with serving(actorrpc.App([Gated])) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        first = stub.Unary.future(Item(text="first"))
        assert gate.next() == "first"
        second = stub.Unary.future(Item(text="second"))
        beside = [stub.Beside.future(Item(text=name)) for name in ("x", "y")]
        assert sorted([gate.next(), gate.next()]) == ["x", "y"]
        assert gate.entered.empty(), "the second turn began while the first one runs"
        gate.open("y", "x")
        assert [call.result(10).text for call in beside] == ["x", "y"]
        gate.open("second", "first")
        assert gate.next() == "second"
        assert [first.result(10).text, second.result(10).text] == ["first", "second"]


def test_calls_of_a_stateless_service_overlap_but_messages_of_one_call_do_not():
    gate = Gate()

    class Gated(StatelessBase):
        def Talk(self, message, call):
            gate.wait(message.text)
            call.send(message)

    with serving(actorrpc.App([Gated])) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        left = stub.Talk(iter([Item(text="l1"), Item(text="l2"), Item(text="l3")]))
        assert gate.next() == "l1"
        right = stub.Talk(iter([Item(text="r1"), Item(text="r2")]))
        assert gate.next() == "r1"
        gate.open("r1", "r2")
        assert gate.next() == "r2"
        assert [reply.text for reply in right] == ["r1", "r2"]
        gate.open("l3", "l2", "l1")
        assert [reply.text for reply in left] == ["l1", "l2", "l3"]


def _read_a_socket() -> None:
    left, right = gevent.socket.socketpair()
    with left, right:
        left.recv(1)


WAITS: dict[str, Callable[[], object]] = {
    "sleep": lambda: gevent.sleep(60),
    "event": lambda: gevent.event.Event().wait(),
    "queue": lambda: gevent.queue.Queue().get(),
    "socket": _read_a_socket,
    "thread pool": lambda: gevent.get_hub().threadpool.apply(time.sleep, (2,)),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
@pytest.mark.parametrize("how", ["deadline", "cancel", "disconnect"])
def test_an_interrupted_handler_runs_its_finally_blocks(how, wait):
    seen: queue.Queue[str] = queue.Queue()

    class Blocked(StatefulBase):
        def Unary(self, request, call):
            seen.put("began")
            try:
                wait()
            except Exception:
                seen.put("swallowed")
            except actorrpc.CallInterrupted as error:
                seen.put(type(error).__name__)
                raise
            finally:
                seen.put("finally")
            return request

        def Notes(self, request, call):
            seen.put("next turn")
            return request

        def on_disconnect(self):
            seen.put("disconnect")

    with serving(actorrpc.App([Blocked])) as hubs:
        channel = connect(hubs)
        call = StatefulStub(channel).Unary.future(Item(), timeout=60 if how == "deadline" else None)
        assert seen.get(timeout=10) == "began"
        if how == "disconnect":
            channel.close()
        else:
            waiting = StatefulStub(channel).Notes.future(Item())
            connection = hubs.connection()
            hubs.wait_for(lambda: len(connection.cells["shapes.Stateful"].mailbox) == 1)
            if how == "cancel":
                call.cancel()
            else:  # as its timer does
                hubs.ask(lambda: connection.expire(connection.calls[min(connection.calls)]))
        expected = "DeadlineExceeded" if how == "deadline" else "CallCancelled"
        assert [seen.get(timeout=10) for _ in range(2)] == [expected, "finally"]
        if how != "disconnect":
            assert seen.get(timeout=10) == "next turn", "the actor is not free at once"
            waiting.result(10)
        channel.close()
        assert seen.get(timeout=10) == "disconnect"
        hubs.wait_for(lambda: not hubs.nodes[0].connections)


def test_hooks_run_in_order_and_see_the_state():
    log: list[str] = []

    class Hooked(StatefulBase):
        def on_connect(self):
            gevent.sleep(0.01)  # later turns wait for it
            self.state.notes.append("hello")
            log.append("connect")

        def on_disconnect(self):
            log.append("disconnect " + self.state.notes[0])

        def Unary(self, request, call):
            log.append("turn " + self.state.notes[0])
            return request

        @actorrpc.concurrent
        def Beside(self, request, call):
            return Item(text=self.state.notes[0])

    with serving(actorrpc.App([Hooked])) as hubs:
        with connect(hubs) as channel:
            stub = StatefulStub(channel)
            assert stub.Beside(Item()).text == "hello"
            stub.Unary(Item())
        hubs.wait_for(lambda: "disconnect hello" in log)
    assert log == ["connect", "turn hello", "disconnect hello"]


def test_stopping_waits_for_on_disconnect():
    log: list[str] = []

    class Slow(StatefulBase):
        def on_disconnect(self):
            gevent.sleep(0.1)
            log.append("disconnect")

        def Unary(self, request, call):
            return request

    with serving(actorrpc.App([Slow])) as hubs:
        channel = connect(hubs)
        StatefulStub(channel).Unary(Item())
    channel.close()
    assert log == ["disconnect"]


def test_on_connect_that_raises_fails_the_call_and_the_next_call_tries_again():
    attempts: list[int] = []

    class Choosy(StatefulBase):
        def on_connect(self):
            attempts.append(len(attempts))
            if len(attempts) == 1:
                raise actorrpc.RpcError(actorrpc.StatusCode.UNAUTHENTICATED, "who are you?")
            if len(attempts) == 2:
                raise ZeroDivisionError

        def Unary(self, request, call):
            return Item(number=len(attempts))

    with serving(actorrpc.App([Choosy])) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        codes = []
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Unary(Item())
            codes.append(caught.value.code())
        assert codes == [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNKNOWN]
        assert stub.Unary(Item()).number == 3


def test_what_a_move_would_lose_is_refused_at_once():
    class Careless(StatefulBase):
        cache = actorrpc.transient(dict)

        def Unary(self, request, call):
            self.cache["kept here"] = 1
            self.cache = {"also": "fine"}
            self.state = Tally(count=7)
            try:
                self.state = Item()
            except TypeError:
                pass
            self.nick = "ada"
            return request

        def Notes(self, request, call):
            return Item(number=self.state.count, text=repr(self.cache))

    class Stateless(StatelessBase):
        def Unary(self, request, call):
            self.nick = "ada"

    with serving(actorrpc.App([Careless, Stateless])) as hubs, connect(hubs) as channel:
        for stub in (StatefulStub(channel), StatelessStub(channel)):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Unary(Item())
            assert caught.value.code() is grpc.StatusCode.UNKNOWN
        notes = StatefulStub(channel).Notes(Item())
        assert (notes.number, notes.text) == (7, "{'also': 'fine'}")
    with pytest.raises(actorrpc.LostAttributeError, match=r"shapes\.Tally.*self\.state\.nick.*transient"):
        actor = Careless.__new__(Careless)
        actor.nick = "ada"


def test_a_client_that_does_not_read_ends_its_call_only(hubs):
    class Pusher(StatefulBase):
        def Listen(self, request, call):
            for _ in range(400):
                call.send(Item(body=b"x" * 50_000))

        def Unary(self, request, call):
            return request

    options = ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)
    app = actorrpc.App([Pusher])
    with serving(app, max_unsent_bytes=1_000_000) as hubs, connect(hubs, *options) as channel:
        stub = StatefulStub(channel)
        replies = stub.Listen(Item())
        assert stub.Unary(Item(number=1), timeout=10).number == 1
        with pytest.raises(grpc.RpcError) as caught:
            for _ in replies:
                pass
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "bytes wait for the client" in caught.value.details()
        assert stub.Unary(Item(number=2), timeout=10).number == 2


def test_replies_that_the_client_does_not_read_hold_back_its_requests(hubs):
    """A client that only writes is stopped by its own unread replies, with bounded memory at the server."""
    sent = []

    def requests() -> Iterator[Item]:
        for number in range(2_000):
            sent.append(number)
            yield Item(number=number, body=b"x" * 16_000)

    options = ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)
    with connect(hubs, *options) as channel:
        replies = StatelessStub(channel).Talk(requests())
        stub = StatelessStub(channel)
        before = -1
        while len(sent) > before:  # until a whole round trip lets no more through
            before = len(sent)
            for _ in range(20):
                stub.Unary(Item(), timeout=10)
        assert len(sent) < 200
        assert [reply.number for reply in replies] == list(range(2_000))


def test_an_iterable_is_pulled_as_the_window_allows():
    made: list[int] = []
    closed = threading.Event()

    class Endless(StatelessBase):
        def Expand(self, request, call):
            try:
                number = 0
                while True:
                    made.append(number)
                    yield Item(number=number, body=b"x" * 16_000)
                    number += 1
            finally:
                closed.set()

        def Unary(self, request, call):
            return Item(number=len(made))

    with serving(actorrpc.App([Endless])) as hubs:
        options = ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)
        with connect(hubs, *options) as channel:
            stub = StatelessStub(channel)
            replies = stub.Expand(Item())
            counts = [0, 1]
            while counts[-1] > counts[-2]:
                for _ in range(20):
                    number = stub.Unary(Item()).number
                counts.append(number)
            assert counts[-1] < 200
            assert [next(replies).number for _ in range(500)] == list(range(500))
            replies.cancel()
            assert closed.wait(10)


def test_iterables_of_a_bidirectional_call_are_sent_in_the_order_of_its_messages():
    class Doubler(StatefulBase):
        def Talk(self, message, call):
            return (Item(number=message.number, text=text) for text in "ab")

        def Talk_end(self, call):
            return [Item(text="end")]

    with serving(actorrpc.App([Doubler])) as hubs, connect(hubs) as channel:
        replies = StatefulStub(channel).Talk(Item(number=number) for number in range(100))
        expected = [(number, text) for number in range(100) for text in "ab"] + [(0, "end")]
        assert [(reply.number, reply.text) for reply in replies] == expected


def test_wrong_replies_are_errors_that_name_the_method(caplog):
    class Wrong(StatelessBase):
        def Unary(self, request, call):
            return "no message"

        def Expand(self, request, call):
            return [Tally()]

        def Collect(self, message, call):
            return Item()

    with serving(actorrpc.App([Wrong])) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        calls = (
            lambda: stub.Unary(Item()),
            lambda: list(stub.Expand(Item())),
            lambda: stub.Collect(iter([Item()])),
            lambda: StatelessStub(channel).Talk(iter([Item()])).result() or list(stub.Talk(iter([Item()]))),
        )
        codes = []
        for call in calls:
            with pytest.raises(grpc.RpcError) as caught:
                call()
            codes.append(caught.value.code().name)
    assert codes == ["UNKNOWN", "UNKNOWN", "UNKNOWN", "UNIMPLEMENTED"]
    for words in ("must return a shapes.Item, not str", "replies with shapes.Item", "from Collect_end"):
        assert words in caplog.text


def test_a_busy_connection_does_not_starve_another(hubs):
    """While one connection has thousands of turns to run, another gets its answers in between."""
    with connect(hubs) as busy, connect(hubs) as calm:
        stub = StatelessStub(calm)
        stub.Unary(Item())
        replies = StatelessStub(busy).Talk(Item(number=number) for number in range(8_000))
        answered_meanwhile = 0
        received = []

        def read() -> None:
            received.extend(reply.number for reply in replies)

        reader = threading.Thread(target=read)
        reader.start()
        while reader.is_alive():
            stub.Unary(Item(), timeout=10)
            answered_meanwhile += 1
        reader.join()
    assert received == list(range(8_000))
    assert answered_meanwhile > 20


def test_replies_of_one_turn_of_the_loop_go_out_in_one_send(hubs):
    """32 requests that arrive together are answered together."""
    from h2.connection import H2Connection

    client = H2Connection()
    client.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/shapes.Stateless/Unary"),
        (":authority", hubs.address),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
    with socket.create_connection(parse_address(hubs.address), timeout=10) as sock:
        for stream in range(1, 65, 2):
            client.send_headers(stream, headers)
            client.send_data(stream, b"\0\0\0\0\0", end_stream=True)
        sock.sendall(client.data_to_send())
        ended = 0
        chunks = []
        while ended < 32:
            chunks.append(sock.recv(1 << 20))
            events = client.receive_data(chunks[-1])
            ended += sum(type(event).__name__ == "StreamEnded" for event in events)
    assert len(chunks) <= 2


def test_offload_runs_blocking_code_beside_the_loop():
    class Offloading(StatefulBase):
        def Unary(self, request, call):
            names = [threading.current_thread().name, self.offload(lambda: threading.current_thread().name)]
            started = time.monotonic()
            self.offload(time.sleep, 0.2)
            assert time.monotonic() - started >= 0.2
            return Item(text="different" if names[0] != names[1] else "same")

        @actorrpc.concurrent
        def Beside(self, request, call):
            return request

    with serving(actorrpc.App([Offloading])) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Beside(Item())
        blocked = stub.Unary.future(Item())
        while not blocked.done():
            stub.Beside(Item(), timeout=5)
        assert blocked.result().text == "different"


def test_calls_lists_the_open_ones():
    class Lister(StatefulBase):
        def Listen(self, request, call):
            call.send(Item(number=len(self.calls)))

        def Unary(self, request, call):
            for each in self.calls:
                if each is not call:
                    each.send(Item(text=each.method))
                    each.finish(actorrpc.StatusCode.ABORTED, "enough")
            return Item(number=len(self.calls))

    with serving(actorrpc.App([Lister])) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        open_calls = []
        for count in (1, 2, 3):
            open_calls.append(stub.Listen(Item()))
            assert next(open_calls[-1]).number == count
        assert stub.Unary(Item()).number == 1
        for call in open_calls:
            assert next(call).text == "/shapes.Stateful/Listen"
            with pytest.raises(grpc.RpcError) as caught:
                next(call)
            assert caught.value.code() is grpc.StatusCode.ABORTED
