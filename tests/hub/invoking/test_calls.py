"""What a call of an actor by an actor is, and what comes of it: in one hub, and from hub to hub."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import grpc
import pytest

import actorrpc
from actorrpc import StatusCode
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.hub.invoking.acting import Stage, note, staged


@pytest.fixture(params=[1, 2], ids=["one hub", "two hubs"])
def stage(request) -> Iterator[Stage]:
    """Of two hubs, the room "b" lives in another than "a"."""
    with staged(request.param) as stage:
        stage.place(a=0, b=request.param - 1)
        yield stage


def test_a_call_has_its_reply(stage):
    stage.acts["a.Post"] = lambda room, request, call: RoomStub(room.actor("b")).Post(request)
    assert stage.post("a", "hello").text == "hello"
    assert stage.post("a", "again") == Line(room="b", text="again", number=2)


def test_what_ends_a_call_ends_the_one_that_made_it(stage):
    def refuse(room, request, call):
        raise actorrpc.RpcError(StatusCode.ALREADY_EXISTS, "there is one", {"why": "x", "raw-bin": b"\xff"})

    stage.acts["a.Post"] = lambda room, request, call: RoomStub(room.actor("b")).Post(request)
    stage.acts["b.Post"] = refuse
    with pytest.raises(grpc.RpcError) as caught:
        stage.post("a")
    error = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.ALREADY_EXISTS, "there is one")
    assert [*map(tuple, error.trailing_metadata())] == [("why", "x"), ("raw-bin", b"\xff")]


def test_an_error_says_what_the_status_says(stage):
    seen = []

    def refuse(room, request, call):
        call.set_trailing_metadata({"several": ["1", "2"]})
        raise actorrpc.RpcError(StatusCode.ABORTED, "not now")

    def ask(room, request, call):
        try:
            RoomStub(room.actor("b")).Post(request)
        except actorrpc.CallError as error:
            seen.append((error.code, error.message, error.trailing_metadata, error.metadata))
        return request

    stage.acts.update({"a.Post": ask, "b.Post": refuse})
    stage.post("a")
    several = (("several", "1"), ("several", "2"))
    assert seen == [(StatusCode.ABORTED, "not now", several, {"several": ["1", "2"]})]


def test_with_call_has_the_metadata_and_the_status(stage):
    seen = []

    def answer(room, request, call):
        call.send_initial_metadata({"first": call.metadata["asked"], "raw-bin": call.metadata["raw-bin"]})
        call.set_trailing_metadata({"last": "z"})
        return note(room, request, call)

    def ask(room, request, call):
        metadata = (("asked", "x"), ("raw-bin", b"\0\xff"))
        reply, made = RoomStub(room.actor("b")).Post.with_call(request, timeout=20, metadata=metadata)
        seen.extend([made.initial_metadata(), made.trailing_metadata(), made.code(), made.details()])
        seen.append(0 < made.time_remaining() <= 20)
        seen.append(made.is_active())
        return reply

    stage.acts.update({"a.Post": ask, "b.Post": answer})
    assert stage.post("a", "hello").text == "hello"
    initial, trailing = (("first", "x"), ("raw-bin", b"\0\xff")), (("last", "z"),)
    assert seen == [initial, trailing, StatusCode.OK, "", True, False]


def test_futures_go_on_side_by_side(stage):
    def wait_for_the_other(room, request, call):
        room.state.notes.append(request.text)
        while room.key == "b" and not released:
            gevent.sleep(0.001)
        released.append(room.key)
        return request

    released, ended = [], []

    def ask(room, request, call):
        futures = [RoomStub(room.actor(key)).Post.future(Line(text=key)) for key in ("b", "c")]
        assert not futures[0].done() and futures[0].running()
        with pytest.raises(TimeoutError):
            futures[0].result(timeout=0)
        futures[1].add_done_callback(ended.append)
        replies = [future.result(timeout=20).text for future in reversed(futures)]
        gevent.sleep(0)
        assert ended == [futures[1]] and futures[0].exception() is None
        return Line(text=" ".join(replies))

    stage.acts.update({"a.Post": ask, "b.Post": wait_for_the_other, "c.Post": wait_for_the_other})
    assert stage.post("a").text == "c b"
    assert released == ["c", "b"]


def test_a_deadline_ends_a_call_on_both_sides(stage):
    ended = []

    def block(room, request, call):
        try:
            gevent.sleep(60)
        except actorrpc.DeadlineExceeded:
            ended.append(room.key)
            raise

    def ask(room, request, call):
        with pytest.raises(actorrpc.CallError) as caught:
            RoomStub(room.actor("b")).Post(request, timeout=1)
        return Line(text=str(caught.value))

    stage.acts.update({"a.Post": ask, "b.Post": block})
    assert stage.post("a").text == "DEADLINE_EXCEEDED: the deadline has passed"
    stage.hubs.wait_for(lambda: ended == ["b"])


def test_deadlines_shrink_along_the_chain(stage):
    def ask(room, request, call):
        RoomStub(room.actor("b")).Post(request, timeout=1000)
        return RoomStub(room.actor("b")).Beside(request)

    seen = []

    def answer(room, request, call):
        seen.append(call.time_remaining())
        return request

    stage.acts.update({"a.Post": ask, "b.Post": answer, "b.Beside": answer})
    stage.post("a")  # within 20 seconds, which grpcio rounds up
    assert len(seen) == 2 and all(0 < remaining < 25 for remaining in seen)
    stage.client.Post(Line(room="a"))
    assert seen[3] is None and 900 < seen[2] <= 1000


def test_who_cleans_up_after_its_deadline_may_call(stage):
    def block(room, request, call):
        try:
            gevent.sleep(60)
        finally:
            RoomStub(room.actor("b")).Post(request, timeout=20)

    stage.acts["a.Post"] = block
    with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
        stage.client.Post(Line(room="a", text="cleaned up"), timeout=0.05)
    b = "rooms.Room/b"
    cells = [node.actors.by_id[b].cell for node in stage.hubs.nodes if b in node.actors.by_id]
    stage.hubs.wait_for(lambda: cells[0].instance.state.notes == ["cleaned up"])


def test_a_deadline_that_has_passed_calls_nobody(stage):
    def ask(room, request, call):
        with pytest.raises(actorrpc.CallError, match="DEADLINE_EXCEEDED"):
            RoomStub(room.actor("b")).Post(request, timeout=0)
        return request

    stage.acts["a.Post"] = ask
    stage.post("a")
    assert stage.notes("b") == ""


def test_who_is_cancelled_cancels_what_it_waits_for(stage):
    begun, ended = [], []

    def block(room, request, call):
        begun.append(room.key)
        try:
            gevent.sleep(60)
        except actorrpc.CallCancelled:
            ended.append(room.key)
            raise

    stage.acts["a.Post"] = lambda room, request, call: RoomStub(room.actor("b")).Post(request)
    stage.acts["b.Post"] = block
    future = stage.client.Post.future(Line(room="a"))
    stage.hubs.wait_for(lambda: begun)
    future.cancel()
    stage.hubs.wait_for(lambda: ended)
    stage.hubs.wait_for(lambda: not any(node.exchange.outgoing for node in stage.hubs.nodes))


def test_a_future_that_is_cancelled_or_dropped_ends_its_call(stage):
    begun, ended = [], []

    def block(room, request, call):
        begun.append(room.key)
        try:
            gevent.sleep(60)
        except actorrpc.CallCancelled:
            ended.append(room.key)
            raise

    def ask(room, request, call):
        future = RoomStub(room.actor("b")).Post.future(request)
        while not begun:
            gevent.sleep(0.001)
        if request.text == "cancel":
            assert future.cancel() and not future.cancel()
            assert future.cancelled() and future.done()
            with pytest.raises(actorrpc.CallError, match="CANCELLED"):
                future.result()
            begun.clear()
        return request

    stage.acts.update({"a.Post": ask, "b.Post": block})
    stage.post("a", "cancel")
    stage.hubs.wait_for(lambda: len(ended) == 1)
    stage.post("a", "drop")
    stage.hubs.wait_for(lambda: len(ended) == 2)


def test_replies_come_one_by_one(stage):
    def ask(room, request, call):
        replies = RoomStub(room.actor("b")).Recite(request, timeout=20)
        assert replies.initial_metadata() == (("room", "b"),)
        texts = [reply.text for reply in replies]
        assert replies.code() is StatusCode.OK and replies.trailing_metadata() == (("last", "z"),)
        return Line(text=" ".join(texts))

    def recite(room, request, call):
        call.send_initial_metadata({"room": room.key})
        call.set_trailing_metadata({"last": "z"})
        for number in range(3):
            yield Line(text=str(number))

    stage.acts.update({"a.Post": ask, "b.Recite": recite})
    assert stage.post("a").text == "0 1 2"


def test_a_stream_that_fails_raises_after_its_replies(stage):
    def ask(room, request, call):
        replies = RoomStub(room.actor("b")).Recite(request)
        first = next(replies).text
        with pytest.raises(actorrpc.CallError, match="DATA_LOSS: torn"):
            next(replies)
        with pytest.raises(actorrpc.CallError, match="DATA_LOSS: torn"):
            next(replies)
        return Line(text=first)

    def recite(room, request, call):
        yield Line(text="first")
        raise actorrpc.RpcError(StatusCode.DATA_LOSS, "torn")

    stage.acts.update({"a.Post": ask, "b.Recite": recite})
    assert stage.post("a").text == "first"


def test_an_iterable_waits_for_a_reader_that_is_behind(stage):
    pulled, high = [], []

    def ask(room, request, call):
        replies = RoomStub(room.actor("b")).Recite(request)
        count = 0
        for count, reply in enumerate(replies, 1):
            assert reply.number == count - 1
            if count % 20 == 0:
                gevent.sleep(0.002)
            high.append(len(pulled) - count)
        return Line(number=count)

    def recite(room, request, call):
        for number in range(400):
            pulled.append(number)
            call.cursor = b"x"
            yield Line(number=number, text="x" * 10_000)

    stage.acts.update({"a.Post": ask, "b.Recite": recite})
    assert stage.post("a").number == 400
    assert max(high) < 100, "it waits"


def test_a_stream_that_nobody_reads_to_its_end_is_given_up(stage):
    ended = []

    def recite(room, request, call):
        try:
            for number in range(10_000):
                yield Line(number=number, text="x" * 10_000)
        finally:
            ended.append(room.key)

    stage.acts["a.Post"] = lambda room, request, call: next(RoomStub(room.actor("b")).Recite(request))
    stage.acts["b.Recite"] = recite
    assert stage.post("a").number == 0
    stage.hubs.wait_for(lambda: ended)
    stage.hubs.wait_for(lambda: not any(node.exchange.outgoing for node in stage.hubs.nodes))


def test_a_message_over_the_limit_is_refused_where_it_is_sent():
    with staged(max_receive_message_bytes=1000) as stage:
        large = Line(text="x" * 1001)
        stage.acts["a.Post"] = lambda room, request, call: RoomStub(room.actor("b")).Post(large)
        with pytest.raises(grpc.RpcError, match="over the limit of 1000") as caught:
            stage.post("a")
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda stub: stub.Post(Line(), metadata=(("Upper", "x"),)), ValueError),
        (lambda stub: stub.Post(Line(), metadata=(("a-bin", "x"),)), TypeError),
        (lambda stub: stub.Post(Line(), credentials=object()), ValueError),
        (lambda stub: stub.Post("a line"), TypeError),
    ],
)
def test_what_cannot_be_sent_is_an_error_at_once(call, error):
    def ask(room, request, given):
        with pytest.raises(error):
            call(RoomStub(room.actor("b")))
        return request

    with staged() as stage:
        stage.acts["a.Post"] = ask
        stage.post("a")


def test_an_actor_is_called_with_one_message(stage):
    def ask(room, request, call):
        with pytest.raises(actorrpc.RpcError, match=r"UNIMPLEMENTED.*a stream of requests"):
            RoomStub(room.actor("b")).Talk(iter([request]))
        return request

    stage.acts["a.Post"] = ask
    stage.post("a")


def test_calls_within_a_hub_touch_no_socket():
    with staged(2) as stage:
        rooms = [f"room {number}" for number in range(20)]  # of which the other hub is the home of some
        stage.place(a=0, **dict.fromkeys(rooms, 0))
        links = stage.hubs.nodes[0].links
        said = []
        send = links.send
        for part in (stage.hubs.nodes[0].exchange, stage.hubs.nodes[0].directory):
            stage.hubs.ask(lambda part=part: setattr(part, "_send", lambda *m: said.append(m) or send(*m)))

        def ask(room, request, call):
            for key in rooms:
                RoomStub(room.actor(key)).Post(request)
            return request

        stage.acts["a.Post"] = ask
        stage.post("a", "x")
        assert [stage.notes(room) for room in rooms] == ["x"] * 20
        assert said == []


def test_who_cannot_wait_is_told_so():
    with staged() as stage:
        stage.post("a")
        room = stage.hubs.nodes[0].actors.by_id["rooms.Room/a"].cell.instance

        def ask() -> object:
            with pytest.raises(RuntimeError, match=r"cannot wait for /rooms\.Room/Post: a callback"):
                RoomStub(room.actor("b")).Post(Line(text="x"))
            return RoomStub(room.actor("b")).Post.future(Line(text="y"))

        future = stage.hubs.ask(ask)
        stage.hubs.wait_for(future.done)
        with pytest.raises(RuntimeError, match="the hub's own greenlets"):
            future.result()
        with pytest.raises(RuntimeError, match="the hub's own greenlets"):
            RoomStub(room.actor("b")).Post(Line())
        assert stage.notes("b").endswith("y")


def test_an_app_s_own_greenlet_may_call():
    replies = []

    def ask(room, request, call):
        gevent.spawn(lambda: replies.append(RoomStub(room.actor("b")).Post(request, timeout=20)))
        return request

    with staged() as stage:
        stage.acts["a.Post"] = ask
        stage.post("a", "x")
        stage.hubs.wait_for(lambda: [reply.text for reply in replies] == ["x"])
