"""Actors are called by threads of the app."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from weakref import WeakSet

import gevent
import pytest
from gevent.event import Event as LoopEvent

import actorrpc
from actorrpc import CallError, RpcError, StatusCode, testing
from actorrpc.hub.invoking import references, tells
from actorrpc.ref_pb2 import ActorRef
from tests.apps.rooms import Room as Rooms
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.hub.invoking.acting import Stage, keeps, note, staged

#: For what is to happen, in seconds.
PATIENCE = 30.0


@pytest.fixture(params=[1, 2], ids=["one hub", "two hubs"])
def stage(request) -> Iterator[Stage]:
    with staged(request.param) as stage:
        stage.place(b=request.param - 1)
        yield stage


def invoking(stage: Stage) -> Any:
    return stage.hubs.nodes[0].resources.invoking


def stub(stage: Stage, room: str = "b") -> Any:
    """A stub on what ``app.actor`` returns in the first hub. This thread is none of the hub's."""
    return RoomStub(invoking(stage).actor(None, room))


def until_nothing_is_open(stage: Stage) -> None:
    stage.hubs.wait_for(
        lambda: (
            not any(
                node.exchange.outgoing or node.exchange.answering or node.resources.invoking.threads._open
                for node in stage.hubs.nodes
            )
        )
    )


class Gate:
    """Where an actor waits until the test lets it go on."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._event = stage.hubs.ask(LoopEvent)
        self.arrived = threading.Event()
        self.calls: list[Any] = []

    def act(self, room: Any, request: Line, call: Any) -> Line:
        self.calls.append(call)
        self.arrived.set()
        self._event.wait()
        return note(room, request, call)

    def open(self) -> None:
        self._stage.hubs.ask(self._event.set)

    def wait(self) -> None:
        assert self.arrived.wait(PATIENCE)


@pytest.fixture
def gate(stage: Stage) -> Iterator[Gate]:
    gate = Gate(stage)
    stage.acts["b.Post"] = gate.act
    yield gate
    gate.open()


def in_thread(function: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


# ---- one reply


def test_the_reply_is_waited_for(stage):
    assert stub(stage).Post(Line(text="x"), timeout=PATIENCE).text == "x"
    assert stub(stage).Post(Line(text="y")).number == 2
    until_nothing_is_open(stage)


def test_metadata_goes_both_ways_and_nobody_calls(stage):
    seen: list[Any] = []

    def act(room, request, call):
        seen.append((call.metadata["sent"], call.metadata["raw-bin"], call.identity, call.caller, call.key))
        call.send_initial_metadata({"first": "1"})
        call.set_trailing_metadata({"last": "2"})
        return request

    stage.acts["b.Post"] = act
    reply, call = stub(stage).Post.with_call(
        Line(text="x"), PATIENCE, metadata=(("sent", "yes"), ("raw-bin", b"\0"))
    )
    assert reply.text == "x"
    assert seen == [("yes", b"\0", "", None, "b")]
    assert dict(call.initial_metadata()) == {"first": "1"}
    assert dict(call.trailing_metadata()) == {"last": "2"}
    assert (call.code(), call.details(), call.done(), call.cancelled()) == (StatusCode.OK, "", True, False)
    assert 0 < call.time_remaining() <= PATIENCE


def test_what_the_actor_raises_comes_to_the_thread(stage):
    def act(room, request, call):
        raise RpcError(StatusCode.ABORTED, "not now", {"why": "busy"})

    stage.acts["b.Post"] = act
    with pytest.raises(CallError) as caught:
        stub(stage).Post(Line(), timeout=PATIENCE)
    assert caught.value.code is StatusCode.ABORTED
    assert caught.value.message == "not now"
    assert caught.value.metadata["why"] == ["busy"]
    future = stub(stage).Post.future(Line(), timeout=PATIENCE)
    assert future.exception(PATIENCE).code is StatusCode.ABORTED
    assert dict(future.trailing_metadata()) == {"why": "busy"}


def test_a_deadline_ends_the_wait_and_the_actor_hears_of_it(stage, gate):
    with pytest.raises(CallError) as caught:
        stub(stage).Post(Line(), timeout=0.05)
    assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
    if gate.calls:  # else it has ended on its way there
        stage.hubs.wait_for(lambda: gate.calls[0].ended)
    gate.open()
    until_nothing_is_open(stage)


def test_a_deadline_that_is_past_is_none_that_the_actor_sees(stage):
    seen: list[Any] = []
    stage.acts["b.Post"] = keeps(seen, lambda room, request, call: request.text)
    with pytest.raises(CallError) as caught:
        stub(stage).Post(Line(text="late"), timeout=0)
    assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
    stub(stage).Post(Line(text="in time"), timeout=PATIENCE)
    assert seen == ["in time"]
    until_nothing_is_open(stage)


def test_a_deadline_does_not_wait_for_a_loop_that_is_held_up():
    """By a handler that blocks it, say; or by this thread, where it waits for the one that calls."""
    with staged() as stage:
        stage.place(b=0)
        calling = stage.hubs.ask(
            lambda: in_thread(lambda: stub(stage).Post(Line(), timeout=0.05)).exception(PATIENCE)
        )
        assert calling.code is StatusCode.DEADLINE_EXCEEDED
        until_nothing_is_open(stage)
        assert stage.notes("b") == ""


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda post: post(Line(text="x" * 2000)), RpcError),
        (lambda post: post(Line(), metadata=(("Upper Case", "x"),)), ValueError),
        (lambda post: post(Line(), credentials=object()), ValueError),
        (lambda post: post("no message"), TypeError),
    ],
)
def test_what_cannot_be_sent_is_refused_in_the_thread(call, error):
    with staged(max_receive_message_bytes=1000) as stage:
        for post in (stub(stage).Post, stub(stage).Post.future):
            with pytest.raises(error):
                call(post)
        until_nothing_is_open(stage)


def test_who_has_no_such_actor_says_so(stage):
    target = invoking(stage).actor(None, "b")
    call = target.unary_unary(
        "/rooms.Nowhere/Post",
        request_serializer=Line.SerializeToString,
        response_deserializer=Line.FromString,
    )
    with pytest.raises(CallError, match=r"rooms\.Nowhere is not served here") as caught:
        call(Line(), timeout=PATIENCE)
    assert caught.value.code is StatusCode.UNIMPLEMENTED
    assert call.future(Line()).code() is StatusCode.UNIMPLEMENTED
    with pytest.raises(RpcError, match=r"rooms\.Nowhere is not served here"):
        call.tell(Line())


def test_a_reply_that_does_not_parse(stage):
    target = invoking(stage).actor(None, "b")
    call = target.unary_unary(
        "/rooms.Room/Post",
        request_serializer=Line.SerializeToString,
        response_deserializer=lambda payload: Line.FromString(b"\xff"),
    )
    with pytest.raises(CallError, match="does not parse") as caught:
        call(Line(text="x"), timeout=PATIENCE)
    assert caught.value.code is StatusCode.INTERNAL


def test_a_thread_that_is_interrupted_cancels_its_call(stage, gate):
    class Interrupt(Exception):
        pass

    begun: list[int] = []

    def call() -> None:
        begun.append(threading.get_ident())
        stub(stage).Post(Line(), timeout=PATIENCE)

    class Interrupted(threading.Thread):
        """Of a loop of its own, a greenlet that is killed."""

        def run(self) -> None:
            calling = gevent.spawn(call)
            gevent.sleep(0)
            gate.wait()
            calling.kill(Interrupt)
            self.error = calling.exception
            gevent.get_hub().destroy(destroy_loop=True)

    thread = Interrupted()
    thread.start()
    thread.join(PATIENCE)
    assert isinstance(thread.error, Interrupt)
    stage.hubs.wait_for(lambda: gate.calls[0].cancelled)
    gate.open()
    until_nothing_is_open(stage)


def test_a_thread_with_a_loop_of_its_own_lets_that_run(stage, gate):
    def run() -> list[str]:
        said: list[str] = []
        calling = gevent.spawn(lambda: said.append(stub(stage).Post(Line(text="x"), timeout=PATIENCE).text))
        gevent.spawn(lambda: (gate.wait(), said.append("other"), gate.open()))
        calling.join()
        gevent.get_hub().destroy(destroy_loop=True)
        return said

    assert in_thread(run).result(PATIENCE) == ["other", "x"]


# ---- futures


def test_a_future_waits_as_long_as_it_is_told(stage, gate):
    future = stub(stage).Post.future(Line(text="x"), timeout=PATIENCE)
    gate.wait()
    assert (future.done(), future.running(), future.is_active()) == (False, True, True)
    for wait in (future.result, future.exception, future.traceback):
        with pytest.raises(TimeoutError, match=r"/rooms\.Room/Post has not ended within 0\.01 seconds"):
            wait(0.01)
    gate.open()
    assert future.result(PATIENCE).text == "x"
    assert future.result().text == "x"
    assert future.exception() is None
    assert future.traceback() is None
    assert (future.done(), future.running(), future.code()) == (True, False, StatusCode.OK)
    assert not future.cancel()
    until_nothing_is_open(stage)


def test_a_future_that_is_cancelled(stage, gate):
    future = stub(stage).Post.future(Line(text="x"), timeout=PATIENCE)
    gate.wait()
    waiting = [in_thread(future.result) for _ in range(3)]
    assert future.cancel()
    assert future.done() and future.cancelled() and not future.cancel()
    for each in (*waiting, in_thread(future.result)):
        error = each.exception(PATIENCE)
        assert isinstance(error, CallError) and error.code is StatusCode.CANCELLED
    stage.hubs.wait_for(lambda: gate.calls[0].cancelled)
    gate.open()
    until_nothing_is_open(stage)


def test_one_that_is_cancelled_before_the_loop_has_it_is_never_made(stage):
    seen: list[Any] = []
    stage.acts["b.Post"] = keeps(seen, lambda room, request, call: request.text)

    def hold_up() -> bool:
        """The loop takes nothing meanwhile."""
        return in_thread(lambda: stub(stage).Post.future(Line(text="never")).cancel()).result(PATIENCE)

    assert stage.hubs.ask(hold_up)
    stub(stage).Post(Line(text="then"), timeout=PATIENCE)
    assert seen == ["then"]
    until_nothing_is_open(stage)


def test_a_future_that_nobody_has_is_withdrawn(stage, gate):
    future = stub(stage).Post.future(Line(text="x"), timeout=PATIENCE)
    gate.wait()
    del future
    gc.collect()
    stage.hubs.wait_for(lambda: gate.calls[0].cancelled)
    gate.open()
    until_nothing_is_open(stage)


def test_callbacks_run_in_a_thread_of_their_own_and_may_wait(stage, gate):
    called: list[Any] = []
    go_on, over = threading.Event(), threading.Event()

    def first(future: Any) -> None:
        assert go_on.wait(PATIENCE)
        called.append((future.result().text, threading.get_ident()))
        # It may call itself.
        called.append((stub(stage, "c").Post(Line(text="c"), timeout=PATIENCE).text, threading.get_ident()))

    future = stub(stage).Post.future(Line(text="x"), timeout=PATIENCE)
    future.add_done_callback(first)
    future.add_done_callback(lambda future: 1 / 0)
    assert future.add_callback(over.set)
    gate.open()
    assert future.result(PATIENCE).text == "x"
    assert stub(stage, "d").Post(Line(text="d"), timeout=PATIENCE).text == "d", "nothing is held up"
    assert not called
    go_on.set()
    assert over.wait(PATIENCE), "one that raises ends nothing"
    assert [text for text, _ in called] == ["x", "c"]
    assert not {thread for _, thread in called} & {threading.get_ident(), stage.hubs._thread.ident}
    # Once it has ended: at once, here.
    future.add_done_callback(lambda future: called.append(threading.get_ident()))
    assert called[-1] == threading.get_ident()
    assert not future.add_callback(over.set)


def test_many_threads_may_have_one_future(stage, gate):
    future = stub(stage).Post.future(Line(text="x"), timeout=PATIENCE)
    waiting = [in_thread(future.result) for _ in range(20)]
    in_loop = [
        stage.hubs.ask(lambda: gevent.spawn(future.result)),  # also in the hub's own greenlets
    ]
    gate.open()
    assert {each.result(PATIENCE).text for each in waiting} == {"x"}
    assert stage.hubs.wait_for(lambda: in_loop[0].ready() and in_loop[0].value.text) == "x"


def test_in_the_loop_itself_nobody_waits_for_a_thread_s_call(stage, gate):
    future = stub(stage).Post.future(Line(text="x"), timeout=PATIENCE)
    with pytest.raises(RuntimeError, match="a callback of gevent's loop cannot wait"):
        stage.hubs.ask(future.result)


# ---- streams


def recite(room, request, call):
    call.send_initial_metadata({"recites": room.key})
    call.set_trailing_metadata({"over": "yes"})
    for number in range(request.number):
        yield Line(number=number)
    if request.text:
        raise RpcError(StatusCode.DATA_LOSS, request.text)


def test_a_stream_of_replies(stage):
    stage.acts["b.Recite"] = recite
    replies = stub(stage).Recite(Line(number=300), timeout=PATIENCE)
    assert dict(replies.initial_metadata()) == {"recites": "b"}
    assert [each.number for each in replies] == [*range(300)]
    assert (replies.code(), dict(replies.trailing_metadata())) == (StatusCode.OK, {"over": "yes"})
    assert [*replies] == []
    assert replies.result() is replies
    until_nothing_is_open(stage)


def test_a_stream_that_fails_has_what_came_before(stage):
    stage.acts["b.Recite"] = recite
    replies = stub(stage).Recite(Line(number=3, text="the rest is lost"), timeout=PATIENCE)
    numbers = []
    with pytest.raises(CallError, match="the rest is lost") as caught:
        for each in replies:
            numbers.append(each.number)
    assert numbers == [0, 1, 2]
    assert caught.value.code is StatusCode.DATA_LOSS
    until_nothing_is_open(stage)


def test_who_does_not_take_holds_the_actor_up(stage):
    """Without an end of what waits there; and then takes it all."""
    said: list[int] = []

    def endless(room, request, call):
        for number in range(2000):
            said.append(number)
            yield Line(number=number, text="x" * 10_000)

    stage.acts["b.Recite"] = endless
    replies = stub(stage).Recite(Line(), timeout=PATIENCE)
    assert next(replies).number == 0
    conversation = replies._conversation
    stage.hubs.wait_for(lambda: conversation.congested)
    assert stub(stage, "c").Post(Line(text="c"), timeout=PATIENCE).text == "c"
    assert len(said) < 1000
    assert [each.number for each in replies] == [*range(1, 2000)]
    until_nothing_is_open(stage)


def test_two_threads_share_a_stream(stage):
    stage.acts["b.Recite"] = recite
    replies = stub(stage).Recite(Line(number=500), timeout=PATIENCE)
    threads = [in_thread(lambda: [each.number for each in replies]) for _ in range(2)]
    taken = [each.result(PATIENCE) for each in threads]
    assert sorted(number for numbers in taken for number in numbers) == [*range(500)]
    assert all(numbers == sorted(numbers) for numbers in taken)


def test_a_stream_that_is_left_is_withdrawn(stage):
    ended = threading.Event()

    def endless(room, request, call):
        try:
            while True:
                yield Line()
                gevent.sleep(0)
        finally:
            ended.set()

    stage.acts["b.Recite"] = endless
    for leave in (lambda replies: replies.cancel(), lambda replies: None):
        replies = stub(stage).Recite(Line(), timeout=PATIENCE)
        next(replies)
        leave(replies)
        if replies.cancelled():
            with pytest.raises(CallError) as caught:
                for _ in replies:
                    pass
            assert caught.value.code is StatusCode.CANCELLED
            del caught
        del replies
        gc.collect()
        assert ended.wait(PATIENCE)
        ended.clear()
        until_nothing_is_open(stage)


# ---- tells


def numbers(count: int) -> str:
    return " ".join(map(str, range(count)))


def test_what_a_thread_tells_is_handled_in_its_order(stage):
    for number in range(200):
        stub(stage).Post.tell(Line(text=str(number)))
    assert stub(stage).Notes(Line(), timeout=PATIENCE).text == numbers(200)


def test_a_thread_s_calls_come_after_what_it_has_told_wherever_the_actor_moves():
    with staged(2) as stage:
        stage.place(b=1)
        futures: list[Any] = []
        moved: list[Any] = []
        for number in range(60):
            if number % 20 == 10:
                here = stage.where("b")
                stage.hubs.ask(lambda here=here: stage.begin_move("rooms.Room/b", 1 - here, moved))
            if number % 3:
                stub(stage).Post.tell(Line(text=str(number)))
            else:
                futures.append(stub(stage).Post.future(Line(text=str(number)), timeout=PATIENCE))
        assert [each.result().text for each in futures] == [str(number) for number in range(0, 60, 3)]
        assert stub(stage).Notes(Line(), timeout=PATIENCE).text == numbers(60)
        until_nothing_is_open(stage)


def test_too_much_that_is_told_is_refused_in_the_thread(monkeypatch):
    monkeypatch.setattr(tells, "MAX_WAITING", 3)
    with staged(2) as stage:
        stage.place(b=1)
        links = stage.hubs.nodes[0].links
        kept: list[Any] = []
        send = stage.hubs.nodes[0].exchange._send
        stage.hubs.ask(lambda: setattr(stage.hubs.nodes[0].exchange, "_send", lambda *m: kept.append(m)))
        with pytest.raises(RpcError, match="3 messages that were told wait") as caught:
            for number in range(10):
                stub(stage).Post.tell(Line(text=str(number)))
        assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED

        def go_on() -> None:
            stage.hubs.nodes[0].exchange._send = send
            for each in kept:
                links.send(*each)

        stage.hubs.ask(go_on)
        assert stub(stage).Notes(Line(), timeout=PATIENCE).text == numbers(4)


# ---- threads of all kinds


def test_many_threads_at_once_lose_and_mix_up_nothing(stage):
    def call(thread: int) -> list[str]:
        room = stub(stage, f"room {thread % 7}")
        replies = []
        for number in range(30):
            text = f"{thread}.{number}"
            if number % 3 == 0:
                room.Post.tell(Line(text=text))
                replies.append(text)
            elif number % 3 == 1:
                replies.append(room.Post(Line(text=text), timeout=PATIENCE).text)
            else:
                replies.append(room.Post.future(Line(text=text), timeout=PATIENCE).result().text)
        return replies

    with ThreadPoolExecutor(20) as pool:
        for thread, replies in enumerate(pool.map(call, range(20))):
            assert replies == [f"{thread}.{number}" for number in range(30)]
    for room in range(7):
        notes = stage.notes(f"room {room}").split()
        threads = range(room, 20, 7)
        assert len(notes) == 30 * len(threads)
        for thread in threads:
            assert [each for each in notes if each.startswith(f"{thread}.")] == [
                f"{thread}.{number}" for number in range(30)
            ]
    until_nothing_is_open(stage)


def test_calls_are_made_while_the_actor_moves():
    with staged(2) as stage:
        stage.place(b=0)
        stop = threading.Event()

        def call() -> int:
            made = 0
            while not stop.is_set():
                assert stub(stage).Post(Line(text="x"), timeout=PATIENCE).text == "x"
                made += 1
            return made

        calling = [in_thread(call) for _ in range(3)]
        for hub in (1, 0, 1, 0):
            stage.move("b", hub)
        stop.set()
        made = sum(each.result(PATIENCE) for each in calling)
        assert len(stage.notes("b").split()) == made


def test_a_function_that_is_offloaded_calls_another_actor(stage):
    def act(room, request, call):
        return room.offload(lambda: stub(stage, "c").Post(Line(text=request.text), timeout=PATIENCE))

    stage.acts["b.Post"] = act
    assert stage.post("b", "x").text == "x"
    assert stage.notes("c") == "x"


def test_what_an_actor_s_own_target_is_for(stage):
    said: list[str] = []

    def act(room, request, call):
        target = RoomStub(room.actor("c"))
        for method in (target.Post, target.Post.future, target.Post.tell, target.Recite):
            with pytest.raises(
                RuntimeError, match=r"not for other threads: these call stubs on app\.actor\(key\)"
            ) as caught:
                room.offload(lambda method=method: method(Line()))
            said.append(str(caught.value))
        return request

    stage.acts["b.Post"] = act
    stage.post("b")
    assert len(said) == 4


def test_a_thread_of_grpcio_s_calls(stage):
    """A callback of a channel runs in such a one."""
    replies: list[Line] = []
    called = threading.Event()

    def done(future: Any) -> None:
        replies.append(stub(stage, "c").Post(future.result(), timeout=PATIENCE))
        called.set()

    stage.client.Post.future(Line(room="b", text="x"), timeout=PATIENCE).add_done_callback(done)
    assert called.wait(PATIENCE)
    assert replies[0].text == "x"


def test_an_app_s_threads_call_and_publish():
    numbers: list[int] = []
    threads: list[threading.Thread] = []

    def run() -> None:
        room = RoomStub(app.actor("a"))
        numbers.extend(room.Post(Line(), timeout=PATIENCE).number for _ in range(3))
        app.publish("topic", Line())

    def on_start() -> None:
        threads.append(threading.Thread(target=run))
        threads[0].start()

    app = actorrpc.App([Rooms], on_start=on_start)
    with testing.serve(app, hubs=2) as server:
        threads[0].join(PATIENCE)
        assert numbers == [1, 2, 3]
        assert RoomStub(server.channel()).Post(Line(room="a"), timeout=PATIENCE).number == 4
        run()  # in this one
        assert numbers[3:] == [5, 6, 7]


def test_app_s_on_start_may_wait_for_a_thread_that_calls():
    """The hub's loop runs meanwhile, though it serves nobody yet."""
    app: actorrpc.App

    def on_start() -> None:
        def run() -> None:
            replies.append(RoomStub(app.actor("a")).Post(Line(text="x"), timeout=PATIENCE).text)

        gevent.get_hub().threadpool.apply(run)

    replies: list[str] = []
    app = actorrpc.App([Rooms], on_start=on_start)
    with testing.serve(app):
        assert replies == ["x"]


# ---- references


def test_a_reference_is_called_in_a_thread(stage, monkeypatch):
    # Those alone that run: other tests make hubs which last until they are collected.
    running = WeakSet(node.resources.invoking for node in stage.hubs.nodes)
    monkeypatch.setattr(references, "_invoking", running)
    room = ActorRef(service="rooms.Room", key="b", server=invoking(stage).server)
    assert (
        in_thread(lambda: RoomStub(room).Post(Line(text="x"), timeout=PATIENCE)).result(PATIENCE).text == "x"
    )
    room.server = b"another"
    error = in_thread(lambda: RoomStub(room).Post(Line(), timeout=PATIENCE)).exception(PATIENCE)
    assert isinstance(error, CallError) and error.code is StatusCode.NOT_FOUND


def test_where_several_servers_run_the_reference_s_is_called():
    with staged() as one, staged() as other:
        servers = [invoking(each).server for each in (one, other)]
        assert servers[0] != servers[1]
        for stage, server in zip((one, other), servers, strict=True):
            room = ActorRef(service="rooms.Room", key="b", server=server)
            in_thread(lambda room=room: RoomStub(room).Post.tell(Line(text="x"))).result(PATIENCE)
            assert stage.notes("b") == "x"
        room = ActorRef(service="rooms.Room", key="b", server=b"a third")
        with pytest.raises(RuntimeError, match="several servers run in this process"):
            in_thread(lambda: RoomStub(room)).result(PATIENCE)


# ---- the hub stops, or forks


def test_a_hub_that_stops_ends_what_waits_for_it():
    """Though the actor of another hub would have answered."""
    with staged(2) as stage:
        gate = Gate(stage)
        stage.acts["b.Post"] = gate.act
        stage.acts["b.Recite"] = lambda room, request, call: iter(gate.act, None)
        stage.place(b=1)
        room = stub(stage)
        future = room.Post.future(Line())
        called: list[Any] = []
        over = threading.Event()
        future.add_done_callback(lambda future: (called.append(future.code()), over.set()))
        gate.wait()
        waiting = [
            in_thread(lambda: room.Post(Line())),
            in_thread(future.result),
            in_thread(lambda: next(room.Recite(Line()))),
        ]
        stage.hubs.wait_for(lambda: len(invoking(stage).threads._open) == 3)
        stopped = threading.Event()
        stage.hubs.ask(lambda: stage.hubs.nodes[0].stop(0, stopped.set))
        assert stopped.wait(PATIENCE)
        for each in waiting:
            error = each.exception(PATIENCE)
            assert isinstance(error, CallError) and error.code is StatusCode.UNAVAILABLE
            assert "this hub has stopped" in error.message
        assert over.wait(PATIENCE) and called == [StatusCode.UNAVAILABLE]
        for call in (room.Post, room.Post.future, room.Post.tell, room.Recite):
            with pytest.raises(RuntimeError, match="this hub has stopped"):
                call(Line())
        assert not future.cancel()
        gate.open()


def test_what_the_loop_has_not_taken_ends_with_the_hub():
    with staged() as stage:
        room = stub(stage)
        results: list[Future[Any]] = []

        def hold_up_and_close() -> None:
            results.extend(
                in_thread(call) for call in (lambda: room.Post(Line()), lambda: room.Post.tell(Line()))
            )
            asking = invoking(stage).threads._asking
            while len(asking._asked) < 2:
                pass
            invoking(stage).threads.close()

        stage.hubs.ask(hold_up_and_close)
        called, told = (each.exception(PATIENCE) for each in results)
        assert isinstance(called, CallError) and called.code is StatusCode.UNAVAILABLE
        assert isinstance(told, RuntimeError)


def test_threads_call_until_the_hub_stops_and_none_is_left_waiting():
    for _ in range(5):
        with staged() as stage:
            room = stub(stage)
            begun = threading.Barrier(9)

            def call(room=room, begun=begun) -> BaseException:
                begun.wait(PATIENCE)
                with pytest.raises((CallError, RuntimeError)) as caught:
                    while True:
                        room.Post(Line())
                        room.Post.tell(Line())
                return caught.value

            calling = [in_thread(call) for _ in range(8)]
            begun.wait(PATIENCE)
        for each in calling:
            error = each.result(PATIENCE)
            if isinstance(error, CallError):
                assert error.code is StatusCode.UNAVAILABLE
            else:
                assert "this hub has stopped" in str(error) or "shutting down" in str(error), error


def test_in_a_child_nothing_is_called(stage, gate):
    future = stub(stage).Post.future(Line(text="x"), timeout=PATIENCE)
    gate.wait()
    room = stub(stage)
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        said = []
        try:
            for call in (
                lambda: room.Post(Line()),
                lambda: room.Post.tell(Line()),
                lambda: future.result(),
                lambda: future.cancel(),
                lambda: future.add_done_callback(print),
            ):
                try:
                    call()
                except RuntimeError as error:
                    said.append("a child, forked from a hub" in str(error))
            os.write(writer, repr(said).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    os.close(writer)
    assert said == repr([True] * 5)
    gate.open()
    assert future.result(PATIENCE).text == "x", "its parent goes on"


def test_what_raises_where_the_loop_begins_it_is_no_wait_for_ever(stage, monkeypatch, caplog):
    exchange = stage.hubs.nodes[0].exchange

    def fail(*args: Any) -> None:
        raise ZeroDivisionError("it broke")

    monkeypatch.setattr(exchange, "begin", fail)
    with pytest.raises(CallError, match="could not begin") as caught:
        stub(stage).Post(Line())
    assert caught.value.code is StatusCode.INTERNAL
    monkeypatch.undo()
    until_nothing_is_open(stage)
