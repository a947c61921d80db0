"""Interceptors: what each hook sees and changes, what it may do wrong, and what travels."""

from __future__ import annotations

import queue
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import grpc
import pytest

import actorrpc
from actorrpc import RpcError, StatusCode
from actorrpc.call import Context
from actorrpc.hub.calls.call import ServerCall
from tests.apps import intercepted, shapes
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item, Tally
from tests.hub.calls.replies import drained
from tests.support.hubs import Hubs, serving
from tests.support.shapes_contract import ShapesContract


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


def outcome(call: Any) -> tuple[str, str]:
    """The status that a future ends with."""
    error = call.exception(10)
    return ("OK", "") if error is None else (error.code().name, error.details())


@pytest.fixture(scope="module", params=[0, 1], ids=["still", "moved-every-turn"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    ended: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intercepted.log, "warning", lambda text, id, status: ended.append(id))
        with serving(intercepted.app, 2, move_every=request.param) as hubs:
            yield hubs.address
            assert any(not moved.aborted for moved in hubs.moved) == bool(request.param)
    assert set(Counter(ended).values()) == {1}, "each call ends once"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    return lambda: caplog.text


class TestShapes(ShapesContract):
    """All shapes behind interceptors, on one hub, and moved after every turn."""


class Notes(actorrpc.Interceptor):
    """Writes down each hook that runs."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.seen: queue.Queue[str] = queue.Queue()

    def note(self, what: str) -> None:
        self.seen.put(self.name + what)

    def on_call(self, call):
        self.note("call")

    def on_request(self, call, message):
        self.note(f"request {message.number}")
        changed = Item()
        changed.CopyFrom(message)
        changed.number += 1
        return changed

    def on_reply(self, call, message):
        self.note(f"reply {message.number}")
        return Item(number=message.number * 10)

    def on_error(self, call, error):
        self.note(f"error {error}")

    def on_end(self, call, status, message):
        self.note(f"end {status.name} {message}".strip())

    def take(self) -> list[str]:
        """What was noted up to the next end."""
        found = [self.seen.get(timeout=10)]
        while "end " not in found[-1]:
            found.append(self.seen.get(timeout=10))
        return found


class Echo(StatelessBase):
    """Replies with what it got."""

    def Unary(self, request, call):
        if request.text:
            raise RpcError(StatusCode.NOT_FOUND, request.text)
        return Item(number=request.number)

    def Expand(self, request, call):
        return [Item(number=request.number)] * 2

    def Collect(self, message, call):
        call.cursor += b"%d " % message.number

    def Collect_end(self, call):
        return Item(number=sum(map(int, call.cursor.split())))

    def Talk(self, message, call):
        call.send(Item(number=message.number))


SHAPES: dict[str, tuple[Callable[[StatelessStub], Any], list[str]]] = {
    "unary": (lambda stub: [stub.Unary(Item(number=1))], ["request 1", "reply 2"]),
    "response stream": (lambda stub: stub.Expand(Item(number=1)), ["request 1", "reply 2", "reply 2"]),
    "request stream": (
        lambda stub: [stub.Collect(iter([Item(number=1), Item(number=3)]))],
        ["request 1", "request 3", "reply 6"],
    ),
    "both": (
        lambda stub: stub.Talk(iter([Item(number=1), Item(number=3)])),
        ["request 1", "reply 2", "request 3", "reply 4"],
    ),
}


@pytest.mark.parametrize("move_every", [0, 1])
@pytest.mark.parametrize(("begin", "expected"), SHAPES.values(), ids=SHAPES)
def test_messages_are_seen_and_changed_in_all_shapes(begin, expected, move_every):
    notes = Notes()
    app = actorrpc.App([Echo], interceptors=[notes])
    with serving(app, 2, move_every=move_every) as hubs, connect(hubs) as channel:
        replies = [reply.number for reply in begin(StatelessStub(channel))]
        assert replies == [10 * int(each.split()[1]) for each in expected if "reply" in each]
        assert notes.take() == ["call", *expected, "end OK"]
        connection = hubs.connection()
        hubs.wait_for(lambda: not connection.calls)


def test_requests_go_through_them_in_order_and_the_rest_in_reverse():
    notes = Notes("outer ")
    inner = Notes("inner ")
    inner.seen = notes.seen
    with serving(actorrpc.App([Echo], interceptors=[notes, inner])) as hubs, connect(hubs) as channel:
        assert StatelessStub(channel).Unary(Item(number=1)).number == 300
        assert [*notes.take(), *notes.take()] == [
            *("outer call", "inner call", "outer request 1", "inner request 2"),
            *("inner reply 3", "outer reply 30", "inner end OK", "outer end OK"),
        ]


def test_an_app_without_interceptors_makes_plain_calls():
    with serving(actorrpc.App([Echo], interceptors=[])) as hubs, connect(hubs) as channel:
        StatelessStub(channel).Unary(Item())
        assert hubs.nodes[0].resources.call_type is ServerCall
        assert hubs.connection().cells.admission is None


class Refuse(actorrpc.Interceptor):
    def on_call(self, call):
        call.set_trailing_metadata({"why": "it says so"})
        raise RpcError(StatusCode.UNAUTHENTICATED, "who are you?", {"realm": "here"})


def test_a_refused_call_makes_no_actor():
    notes = Notes()
    app = actorrpc.App([shapes.Stateful], interceptors=[Refuse(), notes])
    with serving(app) as hubs, connect(hubs) as channel:
        for _ in range(2):
            call = StatefulStub(channel).Unary.future(Item(body=b"x" * 10_000))
            assert outcome(call) == ("UNAUTHENTICATED", "who are you?")
            assert dict(call.trailing_metadata()) == {"why": "it says so", "realm": "here"}
            assert notes.take() == [
                "error UNAUTHENTICATED: who are you?",
                "end UNAUTHENTICATED who are you?",
            ]
        connection = hubs.connection()
        assert connection.cells == {}
        hubs.wait_for(lambda: connection.session.inbound.held == 0)


def test_an_unknown_method_is_refused_unseen():
    notes = Notes()
    with serving(actorrpc.App([Echo], interceptors=[notes])) as hubs, connect(hubs) as channel:
        call = channel.unary_unary("/shapes.Stateless/Nope").future(b"")
        assert outcome(call) == ("UNIMPLEMENTED", "unknown method /shapes.Stateless/Nope")
        StatelessStub(channel).Unary(Item(number=1))
        assert notes.take()[0] == "call"


def test_metadata_of_interceptors_and_handlers_goes_out_together():
    class Tag(actorrpc.Interceptor):
        def on_call(self, call):
            call.set_initial_metadata({"id": "1", "dropped": "x"})
            call.set_initial_metadata({"dropped": []})
            call.set_trailing_metadata({"cost": "2", "kind": "call"})

        def on_reply(self, call, message):
            call.set_trailing_metadata({"kind": ["seen", "replied"]})
            return message

    class Tagging(StatelessBase):
        def Unary(self, request, call):
            call.send_initial_metadata({"by": "handler"})
            call.set_trailing_metadata({"cost": "3"})
            if request.text:
                raise RpcError(StatusCode.ABORTED)
            return request

        def Expand(self, request, call):
            return [Item()] * request.number

        def Talk(self, message, call):
            call.send(message)

    app = actorrpc.App([Tagging], interceptors=[Tag()])
    with serving(app, 2, move_every=1) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        call = stub.Unary.future(Item())
        assert list(call.initial_metadata()) == [("id", "1"), ("by", "handler")]
        assert sorted(call.trailing_metadata()) == [("cost", "3"), ("kind", "replied"), ("kind", "seen")]
        call = stub.Unary.future(Item(text="fail"))
        assert list(call.initial_metadata()) == [("id", "1"), ("by", "handler")]
        assert sorted(call.trailing_metadata()) == [("cost", "3"), ("kind", "call")]
        streams = stub.Expand(Item(number=2)), stub.Expand(Item()), stub.Talk(iter([Item()]))
        for call, kinds in zip(streams, (2, 1, 2), strict=True):
            assert dict(call.initial_metadata()) == {"id": "1"}
            list(call)
            assert len([key for key, _ in call.trailing_metadata() if key == "kind"]) == kinds


# ---- on_call that blocks


class Gate(actorrpc.Interceptor):
    """Lets a call with the metadata ``wait`` in when the test says so."""

    def __init__(self) -> None:
        self.entered: queue.Queue[str] = queue.Queue()
        self.open = False

    def on_call(self, call):
        if "wait" in call.metadata:
            self.entered.put(call.method)
            while not self.open:
                gevent.sleep(0.001)
        call.context["gate"] = "passed"


WAIT = [("wait", "")]


def test_while_on_call_blocks_its_messages_wait_and_others_go_on():
    gate = Gate()
    app = actorrpc.App([shapes.Stateful, Echo], interceptors=[gate])
    with serving(app) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        talk = stub.Talk((Item(number=number) for number in range(200)), metadata=WAIT)
        collect = StatelessStub(channel).Collect.future(iter([Item(number=5)] * 5), metadata=WAIT)
        unary = stub.Unary.future(Item(), metadata=WAIT)
        for _ in range(3):
            gate.entered.get(timeout=10)
        for number in range(1, 51):
            assert stub.Unary(Item()).number == number
        assert not unary.done()
        gate.open = True
        assert [reply.number for reply in talk] == list(range(200))
        assert (collect.result(10).number, unary.result(10).number > 50) == (25, True)


@pytest.mark.parametrize("how", ["deadline", "cancel", "connection"])
def test_what_ends_a_call_interrupts_its_on_call(how):
    seen: queue.Queue[str] = queue.Queue()
    notes = Notes()

    class Slow(actorrpc.Interceptor):
        def on_call(self, call):
            seen.put("began")
            try:
                gevent.sleep(60)
            finally:
                seen.put("finally")

    app = actorrpc.App([shapes.Stateful], interceptors=[notes, Slow()])
    with serving(app) as hubs, connect(hubs) as channel:
        call = StatefulStub(channel).Unary.future(Item(), timeout=0.2 if how == "deadline" else None)
        assert seen.get(timeout=10) == "began"
        connection = hubs.connection()
        if how == "cancel":
            call.cancel()
        elif how == "connection":
            hubs.ask(connection.close)
        assert seen.get(timeout=10) == "finally"
        ends = {
            "deadline": "end DEADLINE_EXCEEDED the deadline has passed",
            "cancel": "end CANCELLED the client cancelled the call",
            "connection": "end CANCELLED the connection has gone",
        }
        assert notes.take() == ["call", ends[how]]
        assert connection.cells == {}


def test_on_call_that_blocks_holds_up_a_move_for_the_quiesce_timeout_only():
    gate = Gate()
    app = actorrpc.App([Echo], interceptors=[gate])
    with serving(app, 2, quiesce_timeout=0.1) as hubs, connect(hubs) as channel:
        call = StatelessStub(channel).Unary.future(Item(number=3), metadata=WAIT)
        gate.entered.get(timeout=10)
        why = hubs.move(1).why
        assert why == "on_call before Unary running"
        gate.open = True
        assert call.result(10).number == 3
        assert not hubs.move(1).why


def test_an_actor_that_is_made_while_a_move_waits_has_both_hooks():
    gate = Gate()

    class Hooked(StatefulBase):
        def on_freeze(self):
            self.state.notes.append("freeze")

        def on_thaw(self):
            self.state.notes.append("thaw")

        def Notes(self, request, call):
            return Item(text=" ".join(self.state.notes))

    app = actorrpc.App([Hooked], interceptors=[gate])
    with serving(app, 2, quiesce_timeout=20) as hubs, connect(hubs) as channel:
        call = StatefulStub(channel).Notes.future(Item(), metadata=WAIT)
        gate.entered.get(timeout=10)
        connection, results = hubs.connection(), []
        hubs.ask(lambda: hubs.nodes[0].mover.move(connection.id, 1, results.append))
        hubs.wait_for(lambda: connection.phase.state == "quiescing")
        gate.open = True
        assert hubs.wait_for(lambda: results)[0].why == ""
        assert call.result(10).text == "freeze thaw"


def test_calls_that_begin_and_are_cancelled_while_a_move_waits_pile_up_nothing():
    gate = Gate()
    with (
        serving(actorrpc.App([Echo], interceptors=[gate]), 2, quiesce_timeout=20) as hubs,
        connect(hubs) as channel,
    ):
        stub = StatelessStub(channel)
        first = stub.Unary.future(Item(number=1), metadata=WAIT)
        gate.entered.get(timeout=10)
        connection, results = hubs.connection(), []
        hubs.ask(lambda: hubs.nodes[0].mover.move(connection.id, 1, results.append))
        hubs.wait_for(lambda: connection.phase.state == "quiescing")
        kept = stub.Unary.future(Item(number=2))
        hubs.wait_for(lambda: len(connection.cells.admission.concurrent) == 1)
        for _ in range(500):
            stub.Unary.future(Item()).cancel()
        hubs.wait_for(lambda: len(connection.calls) == 2)
        assert len(connection.cells.admission.concurrent) < 200
        gate.open = True
        assert hubs.wait_for(lambda: results)[0].why == ""
        assert [first.result(10).number, kept.result(10).number] == [1, 2]


@pytest.mark.parametrize("target", ["the same app", "an app without interceptors"])
def test_calls_that_wait_for_on_call_travel(target):
    gate = Gate()
    ran_at: list[str] = []

    class Where(StatefulBase):
        def Unary(self, request, call):
            ran_at.append(str(call.context.get("gate")))
            return request

        def Talk(self, message, call):
            call.send(message)

    app = actorrpc.App([Where], interceptors=[gate])
    with serving(app, 2, quiesce_timeout=20) as hubs, connect(hubs) as channel:
        if target == "an app without interceptors":
            plain = actorrpc.App([Where])
            hubs.ask(lambda: hubs.nodes[1].resources.serve(plain))
        stub = StatefulStub(channel)
        first = stub.Unary.future(Item(number=1), metadata=WAIT)
        gate.entered.get(timeout=10)
        connection, results = hubs.connection(), []
        hubs.ask(lambda: hubs.nodes[0].mover.move(connection.id, 1, results.append))
        hubs.wait_for(lambda: connection.phase.state == "quiescing")
        waiting = [stub.Unary.future(Item(number=number)) for number in range(2, 9)]
        talk = stub.Talk(iter([Item(number=1), Item(number=2)]))
        hubs.wait_for(lambda: len(connection.cells.admission.concurrent) == 8)
        gate.open = True
        assert hubs.wait_for(lambda: results)[0].why == ""
        assert [call.result(10).number for call in [first, *waiting]] == list(range(1, 9))
        assert [reply.number for reply in talk] == [1, 2]
        assert ran_at == ["passed"] + ["passed" if target == "the same app" else "None"] * 7


# ---- context


def test_the_context_travels_in_order():
    class Keeper(StatelessBase):
        def Talk(self, message, call):
            call.context[message.text] = message.body or message.text
            call.send(Item(text=repr(dict(call.context))))

    with serving(actorrpc.App([Keeper]), 2, move_every=1) as hubs, connect(hubs) as channel:
        items = [Item(text="zoë"), Item(text="", body=b"\xff\0"), Item(text="b"), Item(text="a", body=b"a")]
        replies = [reply.text for reply in StatelessStub(channel).Talk(iter(items))]
        assert replies[-1] == repr({"zoë": "zoë", "": b"\xff\0", "b": "b", "a": b"a"})
        hubs.wait_for(lambda: any(not moved.aborted for moved in hubs.moved))


def test_the_context_takes_only_what_can_travel():
    context = Context()
    context.update(user="ada", token=b"\0")
    context.setdefault("trace", "1")
    for key, value in (("user", 5), ("user", None), ("user", bytearray(b"x")), (b"user", "ada"), (1, "x")):
        with pytest.raises(TypeError, match=r"call\.context"):
            context[key] = value  # type: ignore[index,assignment]
    with pytest.raises(TypeError):
        context.update(user=[])
    with pytest.raises(TypeError):
        context.setdefault("list", [])
    for key, value in (("user", "\ud800"), ("\ud800", "x")):
        with pytest.raises(ValueError, match="not Unicode"):
            context[key] = value
    assert dict(context) == {"user": "ada", "token": b"\0", "trace": "1"}
    assert repr(context) == "Context({'user': 'ada', 'token': b'\\x00', 'trace': '1'})"
    del context["user"]
    assert len(context) == 2 and "user" not in context and context.pop("trace") == "1"


# ---- errors


class Translate(actorrpc.Interceptor):
    def __init__(self, instead: Callable[[BaseException], Any]) -> None:
        self.instead = instead

    def on_error(self, call, error):
        return self.instead(error)


def _raise(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("instead", "expected", "logged"),
    [
        (lambda error: None, ("NOT_FOUND", "lost"), 0),
        (lambda error: error, ("NOT_FOUND", "lost"), 0),
        (lambda error: RpcError(StatusCode.ABORTED, f"was {error}"), ("ABORTED", "was NOT_FOUND: lost"), 0),
        (lambda error: _raise(RpcError(StatusCode.ABORTED, "raised")), ("ABORTED", "raised"), 0),
        (lambda error: KeyError("secret"), ("UNKNOWN", "the handler failed"), 1),
        (lambda error: _raise(KeyError("secret")), ("UNKNOWN", "the handler failed"), 1),
        (lambda error: "no exception", ("UNKNOWN", "the handler failed"), 1),
    ],
)
def test_on_error_chooses_the_answer(instead, expected, logged, caplog):
    notes = Notes()
    app = actorrpc.App([Echo], interceptors=[notes, Translate(instead)])
    with serving(app) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        assert outcome(stub.Unary.future(Item(text="lost"))) == expected
        assert notes.take()[-1] == " ".join(["end", *expected])
        assert stub.Unary(Item()).number == 10
    assert caplog.text.count("Traceback (most recent call last)") in (logged, 2 * logged)  # with its cause
    assert len(caplog.records) == logged


def test_an_exception_that_on_error_translates_is_not_logged(caplog):
    def instead(error: BaseException) -> BaseException | None:
        return RpcError(StatusCode.INVALID_ARGUMENT, "no") if isinstance(error, ZeroDivisionError) else None

    app = actorrpc.App([shapes.Stateless], interceptors=[Translate(instead)])
    with serving(app) as hubs, connect(hubs) as channel:
        call = StatelessStub(channel).Unary.future(Item(text="bug"))
        assert outcome(call) == ("INVALID_ARGUMENT", "no")
    assert not caplog.records


def test_on_error_sees_an_on_connect_that_raises():
    class Choosy(StatefulBase):
        def on_connect(self):
            raise RpcError(StatusCode.UNAVAILABLE, "full", {"limit": "3"})

    notes = Notes()
    with serving(actorrpc.App([Choosy], interceptors=[notes])) as hubs, connect(hubs) as channel:
        call = StatefulStub(channel).Unary.future(Item())
        assert outcome(call) == ("UNAVAILABLE", "full")
        assert dict(call.trailing_metadata()) == {"limit": "3"}
        assert notes.take() == ["call", "error UNAVAILABLE: full", "end UNAVAILABLE full"]


@pytest.mark.parametrize("hook", ["on_call", "on_request", "on_reply"])
@pytest.mark.parametrize("what", ["raises", "returns"])
def test_a_hook_that_goes_wrong_ends_its_call_with_one_traceback(hook, what, caplog):
    def go_wrong(self: Any, call: Any, message: Any = None) -> Any:
        if what == "raises":
            raise ZeroDivisionError("the secret of the hook")
        return Tally()

    Wrong = type("Wrong", (actorrpc.Interceptor,), {hook: go_wrong})
    if hook == "on_call":
        Wrong.on_call = lambda self, call: go_wrong(self, call)
    if (hook, what) == ("on_call", "returns"):
        return  # what it returns is nothing to anybody
    with serving(actorrpc.App([Echo], interceptors=[Wrong()])) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        for call in (stub.Unary.future(Item()), stub.Collect.future(iter([Item()]))):
            assert outcome(call) == ("UNKNOWN", "the handler failed")
        for replies in (stub.Expand(Item()), stub.Talk(iter([Item()]))):
            with pytest.raises(grpc.RpcError) as caught:
                list(replies)
            assert caught.value.code() is grpc.StatusCode.UNKNOWN
        connection = hubs.connection()
        hubs.wait_for(lambda: not connection.calls)
    assert caplog.text.count("Traceback (most recent call last)") == 4
    wanted = (
        "ZeroDivisionError: the secret"
        if what == "raises"
        else f"Wrong.{hook} must return a shapes.Item, not Tally"
    )
    assert caplog.text.count(wanted) == 4


# ---- on_end


def test_on_end_tells_how_each_call_ended():
    class Ends(StatefulBase):
        def Unary(self, request, call):
            gevent.sleep(request.sleep)
            if request.text:
                raise RpcError(StatusCode.NOT_FOUND, request.text)
            return request

        def Expand(self, request, call):
            call.finish(StatusCode.DATA_LOSS, "finished so")

        def Listen(self, request, call):
            call.send_initial_metadata({})

    notes = Notes()
    with serving(actorrpc.App([Ends], interceptors=[notes]), 2) as hubs:
        channel = connect(hubs)
        stub = StatefulStub(channel)

        def end_of(call: Any) -> str:
            call.exception(10)
            return notes.take()[-1]

        assert end_of(stub.Unary.future(Item())) == "end OK"
        late = end_of(stub.Unary.future(Item(sleep=60), timeout=0.1))
        assert late == "end DEADLINE_EXCEEDED the deadline has passed"
        finished = stub.Expand(Item())
        with pytest.raises(grpc.RpcError):
            next(finished)
        assert notes.take()[-1] == "end DATA_LOSS finished so"
        listening = stub.Listen(Item())
        dict(listening.initial_metadata())
        assert not hubs.move(1).why
        listening.cancel()
        assert notes.take()[-1] == "end CANCELLED the client cancelled the call"
        listening = stub.Listen(Item())
        dict(listening.initial_metadata())
    assert notes.take()[-1] == "end UNAVAILABLE the server is shutting down"
    assert notes.seen.empty()
    channel.close()


def test_a_reply_over_the_limit_ends_once():
    notes = Notes()

    class Large(StatelessBase):
        def Unary(self, request, call):
            return Item(body=b"x" * 2_000)

        def Talk(self, message, call):
            call.send(Item(body=b"x" * 2_000))

    class Enlarge(actorrpc.Interceptor):
        def on_reply(self, call, message):
            return Item(body=message.body + b"x" * 2_000)

    app = actorrpc.App([Large], interceptors=[Ends(notes), Enlarge()])
    with serving(app, max_send_message_bytes=3_000) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        assert outcome(stub.Unary.future(Item()))[0] == "RESOURCE_EXHAUSTED"
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.Talk(iter([Item()])))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        ends = [notes.take(), notes.take()]
        assert all(len(end) == 1 and end[0].startswith("end RESOURCE_EXHAUSTED") for end in ends)
        assert notes.seen.empty()


class Ends(actorrpc.Interceptor):
    """Writes down ends only."""

    def __init__(self, notes: Notes) -> None:
        self.on_end_of = notes.on_end

    def on_end(self, call, status, message):
        self.on_end_of(call, status, message)


def test_a_send_in_another_thread_is_refused_before_on_reply_sees_it():
    seen: list[int] = []
    refused: list[str] = []

    class Sees(actorrpc.Interceptor):
        def on_reply(self, call, message):
            seen.append(message.number)
            return message

    class Offloads(StatefulBase):
        def Expand(self, request, call):
            try:
                self.offload(call.send, Item(number=1))
            except RuntimeError as error:
                refused.append(str(error))
            call.send(Item(number=2))
            call.finish()

    with serving(actorrpc.App([Offloads], interceptors=[Sees()])) as hubs, connect(hubs) as channel:
        assert [reply.number for reply in StatefulStub(channel).Expand(Item(), timeout=10)] == [2]
    assert seen == [2]
    assert len(refused) == 1 and "other threads" in refused[0]


def test_compression_and_interceptors_go_together():
    class Compress(actorrpc.Interceptor):
        def on_call(self, call):
            call.set_compression("gzip")

        def on_request(self, call, message):
            return Item(text=f"{message.text} {call.request_compressed}")

    class Parrot(StatelessBase):
        def Unary(self, request, call):
            return request

        def Talk(self, message, call):
            call.send(message)
            call.send(message, compress=False)

    app = actorrpc.App([Parrot], interceptors=[Notes(), Compress()])
    with serving(app, 2, move_every=1) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        gzip = {"compression": grpc.Compression.Gzip}
        assert stub.Unary.with_call(Item(text="a" * 2_000), **gzip)[1].code() is grpc.StatusCode.OK
        assert len(list(stub.Talk(iter([Item(text="a" * 2_000)] * 3), **gzip))) == 6


@pytest.mark.parametrize("misdeed", ["block", "raise"])
def test_on_end_that_goes_wrong_is_logged_and_no_more(misdeed, caplog):
    class Wrong(actorrpc.Interceptor):
        def on_end(self, call, status, message):
            if misdeed == "block":
                gevent.sleep(60)
            raise SystemExit

    notes = Notes()
    app = actorrpc.App([Echo], interceptors=[notes, Wrong()])
    with serving(app) as hubs, connect(hubs) as channel:
        for _ in range(3):
            assert StatelessStub(channel).Unary(Item(), timeout=10).number == 10
            assert notes.take()[-1] == "end OK"
    assert caplog.text.count("Wrong.on_end raised, for call ") == 3
    assert ("BlockingSwitchOutError" in caplog.text) == (misdeed == "block")


# ---- topics


def test_a_topics_messages_go_through_on_reply():
    class Sign(actorrpc.Interceptor):
        def on_reply(self, call, message):
            if message.status:
                raise RpcError(StatusCode.PERMISSION_DENIED, "not for you")
            return Item(number=message.number, body=b"signed")

    app = actorrpc.App([shapes.Stateful], interceptors=[Sign()])
    with serving(app, 2, move_every=1) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        replies = stub.Listen(Item(text="news"))
        dict(replies.initial_metadata())
        for number in range(5):
            stub.Publish(Item(text="news", number=number))
            assert next(replies) == Item(number=number, body=b"signed")
        with pytest.raises(grpc.RpcError):
            stub.Publish(Item(text="news", status=1))  # its own reply is refused too
        with pytest.raises(grpc.RpcError) as caught:
            next(replies)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


# ---- what App refuses


class Async(actorrpc.Interceptor):
    async def on_call(self, call):
        pass


class Narrow(actorrpc.Interceptor):
    def on_end(self, call):
        pass


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([Notes], "interceptors are instances: give App Notes(), not the class"),
        (["auth"], "'auth' is not an interceptor: derive it from actorrpc.Interceptor"),
        ([Echo], "is not an interceptor"),
        (Gate(), "give App a list of them"),
        ([Async()], "Async.on_call is async: actorrpc runs plain functions on gevent; drop the async"),
        ([Narrow()], "Narrow.on_end must take (self, call, status, message): too many positional arguments"),
    ],
)
def test_what_is_no_interceptor_is_refused_in_one_line(given, words):
    with pytest.raises(actorrpc.ConfigError) as caught:
        actorrpc.App([Echo], interceptors=given)
    assert words in str(caught.value) and "\n" not in str(caught.value)


# ---- nothing of a handler runs for a call that has ended


class Recorder(StatelessBase):
    """Notes what of it runs."""

    ran: list[str]

    def Unary(self, request, call):
        self.ran.append("Unary")
        return request

    def Expand(self, request, call):
        self.ran.append("Expand")
        return self.replies(request)

    def replies(self, request):
        for _ in range(3):
            self.ran.append("replies")
            yield request

    def Collect(self, message, call):
        self.ran.append("Collect")

    def Collect_end(self, call):
        self.ran.append("Collect_end")
        return Item()

    def Talk(self, message, call):
        self.ran.append("Talk")
        call.send(message)

    def Talk_end(self, call):
        self.ran.append("Talk_end")
        call.finish()


BEGIN = {
    "Unary": lambda stub: stub.Unary.future(Item(number=1), timeout=10),
    "Expand": lambda stub: drained(stub.Expand(Item(number=1), timeout=10)),
    "Collect": lambda stub: stub.Collect.future(iter([Item(number=1)] * 3), timeout=10),
    "Talk": lambda stub: drained(stub.Talk(iter([Item(number=1)] * 3), timeout=10)),
}
methods = pytest.mark.parametrize("method", BEGIN)


def ending(call: Any) -> tuple[str, str]:
    """The status that a call of any shape ends with."""
    return call.code().name, call.details()


@methods
@pytest.mark.parametrize("returns", ["the message", "nothing"])
@pytest.mark.parametrize("hook", ["on_call", "on_request"])
def test_a_hook_that_finishes_the_call_keeps_the_handler_from_running(hook, returns, method, logged):
    ran: list[str] = []

    class Denied(Recorder):
        pass

    Denied.ran = ran

    def deny(self: Any, call: Any, message: Any = None) -> Any:
        call.finish(StatusCode.PERMISSION_DENIED, "no")
        return message if returns == "the message" else None

    first, later = type("Deny", (actorrpc.Interceptor,), {hook: deny})(), Notes()
    with serving(actorrpc.App([Denied], interceptors=[first, later])) as hubs, connect(hubs) as channel:
        assert ending(BEGIN[method](StatelessStub(channel))) == ("PERMISSION_DENIED", "no")
        assert later.take() == [*(["call"] * (hook == "on_request")), "end PERMISSION_DENIED no"]
        connection = hubs.connection()
        hubs.wait_for(lambda: not connection.calls and not connection.schedule.running)
    assert ran == []
    assert logged() == ""


@methods
def test_a_hook_that_swallows_a_cancellation_keeps_it_from_nothing(method):
    """The deadline passes while on_request is blocked, which then returns the message."""
    ran: list[str] = []
    swallowed: list[BaseException] = []

    class Denied(Recorder):
        pass

    Denied.ran = ran

    class Stubborn(actorrpc.Interceptor):
        def on_request(self, call, message):
            try:
                gevent.sleep(20)
            except BaseException as error:
                swallowed.append(error)
            return message

    with serving(actorrpc.App([Denied], interceptors=[Stubborn()])) as hubs, connect(hubs) as channel:
        call = getattr(StatelessStub(channel), method)
        one = Item(number=1) if method in ("Unary", "Expand") else iter([Item(number=1)])
        alone = method in ("Unary", "Collect")
        begun = call.future(one, timeout=0.1) if alone else drained(call(one, timeout=0.1))
        assert ending(begun)[0] == "DEADLINE_EXCEEDED"
        hubs.wait_for(lambda: swallowed)
        connection = hubs.connection()
        hubs.wait_for(lambda: not connection.schedule.running)
    assert ran == []


@methods
def test_what_on_reply_finishes_goes_no_further(method, logged):
    """The reply is not sent, and an iterable is not pulled again; a handler of messages is not called."""
    ran: list[str] = []

    class Denied(Recorder):
        pass

    Denied.ran = ran

    class Deny(actorrpc.Interceptor):
        def on_reply(self, call, message):
            call.finish(StatusCode.PERMISSION_DENIED, "no")
            return message

    with serving(actorrpc.App([Denied], interceptors=[Deny()])) as hubs, connect(hubs) as channel:
        assert ending(BEGIN[method](StatelessStub(channel))) == ("PERMISSION_DENIED", "no")
        connection = hubs.connection()
        hubs.wait_for(lambda: not connection.calls and not connection.schedule.running)
    assert (
        ran
        == {
            "Unary": ["Unary"],
            "Expand": ["Expand", "replies"],
            "Collect": ["Collect"] * 3 + ["Collect_end"],
            "Talk": ["Talk"],
        }[method]
    )
    assert logged() == ""


@pytest.mark.parametrize("blocks", [False, True])
def test_a_message_that_finishes_its_call_is_the_last(blocks):
    ran: list[str] = []

    class Finishing(Recorder):
        def Collect(self, message, call):
            self.ran.append("Collect")
            if blocks:
                gevent.sleep(0.05)
            call.finish(StatusCode.ABORTED, "enough")

        def Talk(self, message, call):
            self.Collect(message, call)

    Finishing.ran = ran
    with serving(actorrpc.App([Finishing])) as hubs, connect(hubs) as channel:
        for method in ("Collect", "Talk"):
            assert ending(BEGIN[method](StatelessStub(channel))) == ("ABORTED", "enough")
        connection = hubs.connection()
        hubs.wait_for(lambda: not connection.calls and not connection.schedule.running)
    assert ran == ["Collect"] * 2


def test_an_iterable_that_comes_too_late_is_closed_and_not_begun():
    closed: list[str] = []

    class Cursor:
        def __iter__(self):
            closed.append("iter")
            return self

        def close(self):
            closed.append("close")

    class Finishing(StatelessBase):
        def Expand(self, request, call):
            call.finish(StatusCode.ABORTED, "enough")
            return Cursor()

    with serving(actorrpc.App([Finishing])) as hubs, connect(hubs) as channel:
        assert ending(drained(StatelessStub(channel).Expand(Item(), timeout=10))) == ("ABORTED", "enough")
    assert closed == ["close"]


def test_on_request_that_finishes_a_call_after_a_move_keeps_its_iterable_from_going_on():
    ran: list[str] = []

    class Resumes(StatelessBase):
        def Expand(self, request, call):
            ran.append("Expand")
            for number in range(int(call.cursor or b"0"), 10_000):
                call.cursor = b"%d" % (number + 1)
                yield Item(number=number, body=bytes(30_000))

    class Deny(actorrpc.Interceptor):
        def on_request(self, call, message):
            if call.cursor:
                call.finish(StatusCode.PERMISSION_DENIED, "no")
            return message

    with serving(actorrpc.App([Resumes], interceptors=[Deny()]), 2) as hubs, connect(hubs) as channel:
        call = StatelessStub(channel).Expand(Item(), timeout=10)
        next(call)
        assert hubs.move(1).why == ""
        assert ending(drained(call)) == ("PERMISSION_DENIED", "no")
    assert ran == ["Expand"]
