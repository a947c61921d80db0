"""What a call has from the turn that makes it: whose it is, who calls, and what of its context goes on."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

import actorrpc
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.hub.invoking.acting import Room, Stage, asks, keeps, staged


class Admits(actorrpc.Interceptor):
    """Notes which calls it has seen."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_call(self, call: actorrpc.Call[Line]) -> None:
        self.seen.append(f"{call.method} of {call.key}")
        call.context["tenant"] = "acme"
        call.context["raw"] = b"\xff"
        call.context["secret"] = "of the first alone"
        call.context.pass_on("tenant", "raw")


@pytest.fixture(params=[1, 2], ids=["one hub", "two hubs"])
def stage(request) -> Iterator[Stage]:
    admits = Admits()
    app = actorrpc.App(
        [Room], interceptors=[admits], identity=lambda call: str(call.metadata.get("user", ""))
    )
    with staged(request.param, app) as stage:
        stage.place(a=0, b=request.param - 1, c=0)
        stage.admits = admits
        yield stage


def tells(what):
    return lambda room, request, call: Line(text=repr(what(call)))


def test_a_call_has_the_identity_of_the_call_whose_turn_calls(stage):
    stage.acts.update({"a.Post": asks("b"), "b.Post": asks("c"), "c.Post": tells(lambda call: call.identity)})
    assert stage.post("a", metadata=[("user", "ann")]).text == "'ann'"
    assert stage.post("a").text == "''"


def test_it_has_it_still_when_that_call_has_been_finished(stage):
    seen = []

    def listen(room, request, call):
        call.finish()
        RoomStub(room.actor("b")).Post(request)

    stage.acts["a.Listen"] = listen
    stage.acts["b.Post"] = keeps(seen, lambda room, request, call: call.identity)
    assert list(stage.client.Listen(Line(room="a"), metadata=[("user", "ann")])) == []
    stage.hubs.wait_for(lambda: seen == ["ann"])


def test_what_no_turn_of_a_call_makes_has_none(stage):
    seen = []

    def spawn(room, request, call):
        gevent.spawn(lambda: RoomStub(room.actor("b")).Post(request))
        return request

    stage.acts["a.Post"] = spawn
    stage.acts["b.Post"] = keeps(seen, lambda room, request, call: (call.identity, {**call.context}))
    stage.post("a", metadata=[("user", "ann")])
    stage.hubs.wait_for(lambda: seen == [("", {})])
    stage.acts["d.on_activate"] = lambda room, request, call: RoomStub(room.actor("b")).Post(request)
    stage.post("d", metadata=[("user", "ann")])
    assert seen[1:] == [("", {})]


def test_a_call_knows_the_actor_that_calls(stage):
    def who(call):
        return call.caller and (call.caller.service, call.caller.key, call.caller.server == call_of.server)

    call_of = stage.hubs.nodes[0].resources.invoking
    stage.acts.update({"a.Post": asks("b"), "b.Post": tells(who)})
    assert stage.post("a").text == repr(("rooms.Room", "a", True))
    assert stage.post("b").text == "None"


def test_who_is_called_can_call_back_later(stage):
    def remember(room, request, call):
        RoomStub(call.caller).Post.tell(Line(text="from b"))
        return request

    stage.acts.update({"a.Post": asks("b"), "b.Post": remember})
    stage.acts["a.Beside"] = asks("b")
    heard = []
    stage.acts["a.Post"] = keeps(heard, lambda room, request, call: (request.text, call.caller.key))
    stage.client.Beside(Line(room="a"))
    stage.hubs.wait_for(lambda: heard == [("from b", "b")])


def test_the_client_s_address_is_its_own(stage):
    stage.acts.update({"a.Post": asks("b"), "b.Post": tells(lambda call: call.peer)})
    assert stage.post("a").text == "''"
    assert stage.post("b").text.startswith("'127.0.0.1:")


def test_interceptors_see_a_call_once(stage):
    stage.admits.seen.clear()
    stage.acts["a.Post"] = asks("b")
    stage.post("a")
    assert stage.admits.seen == ["/rooms.Room/Post of a"]


def test_of_the_context_goes_on_what_asks_for_it(stage):
    stage.acts.update(
        {"a.Post": asks("b"), "b.Post": asks("c"), "c.Post": tells(lambda call: dict(call.context))}
    )
    assert stage.post("c").text == repr({"tenant": "acme", "raw": b"\xff", "secret": "of the first alone"})
    assert stage.post("a").text == repr({"tenant": "acme", "raw": b"\xff"})


def test_it_goes_on_from_where_the_actor_moves_with_its_call(stage):
    if len(stage.hubs.nodes) < 2:
        return
    begun = []

    def block(room, request, call):
        begun.append(1)
        while len(begun) < 2:
            gevent.sleep(0.001)
        return request

    stage.acts.update({"a.Post": block, "a.Listen": lambda room, request, call: None})
    stage.acts["c.Post"] = tells(lambda call: (dict(call.context), call.identity, call.caller.key))
    stage.acts["b.Post"] = asks("a")
    blocking = stage.client.Post.future(Line(room="a"))
    stage.hubs.wait_for(lambda: begun)
    waiting = stage.client.Post.future(Line(room="b"), metadata=[("user", "ann")])  # which waits behind it
    actors = stage.hubs.nodes[0].actors
    stage.hubs.wait_for(lambda: len(actors.by_id["rooms.Room/a"].calls) == 2)
    results: list = []
    stage.hubs.ask(lambda: stage.begin_move("rooms.Room/a", 1, results))
    stage.acts["a.Post"] = asks("c")
    begun.append(2)
    blocking.result()
    stage.hubs.wait_for(lambda: results)
    assert waiting.result().text == repr(({"tenant": "acme", "raw": b"\xff"}, "ann", "a"))
    assert stage.where("a") == 1


def test_only_what_is_noted_is_passed_on():
    seen = []

    def ask(room, request, call):
        with pytest.raises(KeyError):
            call.context.pass_on("tenant")
        call.context["tenant"] = "acme"
        call.context.pass_on("tenant")
        seen.append(call.context.passed_on)
        del call.context["tenant"]
        seen.append(call.context.passed_on)
        return request

    with staged() as stage:
        stage.acts["a.Post"] = ask
        stage.post("a")
    assert seen == [{"tenant"}, frozenset()]


def test_an_actor_has_what_interceptors_have_noted_also_where_nothing_is_passed_on() -> None:
    """For a client's own call: what is not passed on goes no further."""

    class Notes(actorrpc.Interceptor):
        def on_call(self, call: actorrpc.Call[Line]) -> None:
            call.context["tenant"] = "acme"

    with staged(1, actorrpc.App([Room], interceptors=[Notes()])) as stage:
        stage.place(a=0, b=0)
        stage.acts["a.Post"] = tells(lambda call: dict(call.context))
        assert stage.post("a").text == "{'tenant': 'acme'}"
        stage.acts.update({"a.Post": asks("b"), "b.Post": tells(lambda call: dict(call.context))})
        assert stage.post("a").text == "{}"
