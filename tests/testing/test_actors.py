"""Actors by hand: handlers are plain methods, and what they ask of a hub is checked, and written down."""

from __future__ import annotations

import contextvars
import subprocess
import sys
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

import actorrpc
from actorrpc import testing
from actorrpc.hub.calls.intercepted import InterceptedCall
from tests.apps.intercepted import app as intercepted
from tests.apps.shapes import Stateful, Stateless
from tests.apps.shapes_actorrpc import StatefulBase, StatelessBase
from tests.apps.shapes_pb2 import Item, Tally


def test_a_handler_is_a_method_and_the_state_is_the_tests() -> None:
    actor = testing.actor(Stateful, state=Tally(count=41))
    reply = actor.Unary(Item(text="hello"), testing.call(actor.Unary))
    assert reply.number == 42 == actor.state.count
    assert testing.actor(Stateful).state == Tally()


def test_hooks_are_the_tests_to_call() -> None:
    actor = testing.actor(Stateful)
    assert not actor.state.notes
    actor.on_connect()
    actor.on_freeze()
    assert list(actor.state.notes) == ["connect", "freeze"]


def test_what_a_handler_raises_is_raised() -> None:
    actor = testing.actor(Stateless)
    with pytest.raises(actorrpc.RpcError) as error:
        actor.Unary(Item(status=5, text="no such thing"), testing.call(actor.Unary))
    assert error.value.code is actorrpc.StatusCode.NOT_FOUND


def test_streams() -> None:
    actor = testing.actor(Stateless)
    expand = testing.call(actor.Expand)
    assert [each.number for each in actor.Expand(Item(number=3), expand)] == [0, 1, 2]
    collect = testing.call(actor.Collect)
    actor.Collect(Item(number=2), collect)
    actor.Collect(Item(number=5), collect)
    assert actor.Collect_end(collect).number == 7
    talk = testing.call(actor.Talk)
    item = Item(number=1)
    actor.Talk(item, talk)
    item.number = 2  # what was sent, was sent
    actor.Talk(item, talk)
    assert talk.sent == [Item(number=1), Item(number=2)]
    assert talk.status is None and not talk.ended
    actor.Talk_end(talk)
    assert (talk.status, talk.status_message, talk.ended) == (actorrpc.StatusCode.OK, "", True)


def test_a_single_reply_ends_its_call() -> None:
    """As a hub has it before it calls on_call_end."""
    actor = testing.actor(Stateful)
    unary, other = testing.call(actor.Unary), testing.call(actor.Unary)
    with pytest.raises(TypeError, match=r"must return a shapes\.Item, not Tally"):
        unary.reply(Tally())
    assert unary.status is None and unary in actor.calls
    unary.reply(actor.Unary(Item(), unary))
    assert (unary.status, unary.ended, actor.calls) == (actorrpc.StatusCode.OK, True, (other,))
    other.cancel()
    other.reply(Item())
    assert other.status is actorrpc.StatusCode.CANCELLED
    with pytest.raises(RuntimeError, match="has a stream of replies"):
        testing.call(actor.Expand).reply(Item())


def test_more_than_a_window_can_be_sent() -> None:
    actor = testing.actor(Stateless)
    talk = testing.call(actor.Talk)
    for _ in range(20):
        actor.Talk(Item(body=bytes(1_000_000)), talk)
    assert len(talk.sent) == 20
    assert not talk.congested


def test_a_call_checks_what_it_is_told_as_a_real_one() -> None:
    actor = testing.actor(Stateless)
    unary, talk = testing.call(actor.Unary), testing.call(actor.Talk)
    with pytest.raises(RuntimeError, match="has a single reply"):
        unary.send(Item())
    with pytest.raises(TypeError, match=r"replies with shapes\.Item, not Tally"):
        talk.send(Tally())
    with pytest.raises(ValueError, match="use lower-case letters"):
        talk.set_trailing_metadata({"Upper": "x"})
    with pytest.raises(TypeError, match="must be bytes"):
        talk.cursor = "text"  # type: ignore[assignment]
    with pytest.raises(TypeError, match="travel with the call"):
        talk.context["key"] = 5  # type: ignore[assignment]
    talk.finish(actorrpc.StatusCode.ABORTED, "enough")
    assert (talk.status, talk.status_message) == (actorrpc.StatusCode.ABORTED, "enough")
    with pytest.raises(RuntimeError, match="has been finished"):
        talk.send(Item())


def test_metadata() -> None:
    actor = testing.actor(Stateless)
    call = testing.call(
        actor.Unary,
        metadata={
            "initial": "begin",
            "trailing-bin": [b"\0", b"\xff"],
            "grpc-previous-rpc-attempts": "2",
        },
    )
    assert call.metadata["grpc-previous-rpc-attempts"] == "2"
    actor.Unary(Item(), call)
    assert dict(call.initial_metadata) == {"initial": "begin"}
    assert call.trailing_metadata.get_all("trailing-bin") == (b"\0", b"\xff")
    with pytest.raises(RuntimeError, match="has been sent already"):
        call.send_initial_metadata({"too": "late"})
    later = testing.call(actor.Unary)
    later.set_initial_metadata({"goes": "out later"})
    assert dict(later.initial_metadata) == {"goes": "out later"}
    for bad in ({"Upper": "x"}, {"te": "x"}, {"grpc-timeout": "1S"}, {":path": "/"}):
        with pytest.raises(ValueError, match="metadata key"):
            testing.call(actor.Unary, metadata=bad)
    with pytest.raises(ValueError, match="would refuse"):
        testing.call(actor.Unary, metadata={"large": "x" * 20_000})


def test_compression() -> None:
    actor = testing.actor(Stateless)
    call = testing.call(actor.Talk)
    call.set_compression("gzip")
    call.send(Item(text="x" * 1000))
    assert call.compression == "gzip" and call.sent == [Item(text="x" * 1000)]
    with pytest.raises(ValueError, match="not known"):
        call.set_compression("snappy")


def test_deadlines_and_cancellation() -> None:
    actor = testing.actor(Stateful)
    assert testing.call(actor.Talk).time_remaining() is None
    call = testing.call(actor.Talk, timeout=60)
    assert 0 < (call.time_remaining() or 0) <= 60
    call.expire()
    assert (call.status, call.time_remaining()) == (actorrpc.StatusCode.DEADLINE_EXCEEDED, 0)
    assert call.cancelled and call.ended
    other = testing.call(actor.Talk)
    other.cancel()
    assert other.status is actorrpc.StatusCode.CANCELLED
    other.send(Item())  # dropped, as on a real one
    other.finish()
    assert other.sent == [] and other.status is actorrpc.StatusCode.CANCELLED


def test_open_calls_are_the_actors() -> None:
    actor = testing.actor(Stateful)
    first, second = testing.call(actor.Talk), testing.call(actor.Listen)
    assert actor.calls == (first, second)
    assert first.id == f"{actor.connection_id}/1" and second.id == f"{actor.connection_id}/3"
    assert first.method == "/shapes.Stateful/Talk"
    first.finish()
    assert actor.calls == (second,)
    second.cancel()
    assert actor.calls == ()


def test_topics_are_written_down() -> None:
    actor = testing.actor(Stateful)
    listen = testing.call(actor.Listen)
    actor.Listen(Item(text="news"), listen)
    assert (("news", listen)) in testing.subscriptions(actor)
    item = Item(text="news", number=1)
    actor.Publish(item, testing.call(actor.Publish))
    ((topic, message),) = testing.published(actor)
    assert topic == "news"
    item.number = 2
    assert message.number == 1  # type: ignore[attr-defined]
    actor.subscribe("mine")
    actor.subscribe("mine")
    assert testing.subscriptions(actor).count(testing.Subscription("mine", None)) == 1
    actor.unsubscribe("mine")
    actor.unsubscribe("never was")
    listen.cancel()
    assert testing.subscriptions(actor) == []
    actor.subscribe("late", listen)
    assert testing.subscriptions(actor) == []


def test_topics_are_checked_as_by_a_hub() -> None:
    stateless = testing.actor(Stateless)
    with pytest.raises(TypeError, match="give it an on_topic"):
        stateless.subscribe("news")
    with pytest.raises(TypeError, match="only a response stream"):
        stateless.subscribe("news", testing.call(stateless.Unary))
    with pytest.raises(TypeError, match="is a Protobuf message"):
        stateless.publish("news", "text")  # type: ignore[arg-type]
    with pytest.raises(actorrpc.RpcError) as error:
        stateless.publish("news", Item(body=bytes(70_000_000)))
    assert error.value.code is actorrpc.StatusCode.RESOURCE_EXHAUSTED


class Keeper(StatefulBase):
    made = actorrpc.transient(count().__next__)

    def __init__(self) -> None:
        self.state.notes.append(f"made for {self.connection_id}")


def test_the_instance_is_made_as_in_a_hub() -> None:
    actor = testing.actor(Keeper, connection_id="7-1-3", peer="[::1]:5")
    assert list(actor.state.notes) == ["made for 7-1-3"]
    assert testing.call(actor.Unary).peer == "[::1]:5"
    first = actor.made
    assert actor.made == first != testing.actor(Keeper).made
    with pytest.raises(actorrpc.LostAttributeError, match=r"self\.state\.colour"):
        actor.colour = "red"  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="must be a Tally"):
        actor.state = Item()  # type: ignore[assignment]
    assert testing.actor(Keeper).connection_id != testing.actor(Keeper).connection_id


def test_offload_is_done_at_once_and_sees_context_variables() -> None:
    actor = testing.actor(Stateless)
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    variable.set(3)

    def work(add: int) -> int:
        variable.set(variable.get() + add)
        return variable.get()

    assert actor.offload(work, add=4) == 7
    assert variable.get() == 3
    with pytest.raises(ZeroDivisionError):
        actor.offload(lambda: 1 // 0)


def test_identities() -> None:
    actor = testing.actor(Stateful, identity="ada")
    assert testing.call(actor.Unary).identity == "ada"
    assert testing.call(actor.Unary, identity="bob").identity == "bob"
    with pytest.raises(ValueError, match="at most"):
        testing.actor(Stateful, identity="x" * 2000)


class Room(StatefulBase):
    __rpc__ = replace(StatefulBase.__rpc__, keyed=actorrpc.Keyed())

    def __init__(self) -> None:
        self.state.notes.append(f"made for {self.key}")


def test_a_keyed_actor() -> None:
    room = testing.actor(Room, key="lobby", state=Tally(count=4))
    assert (room.key, room.state.count, list(room.state.notes)) == ("lobby", 4, ["made for lobby"])
    call = testing.call(room.Unary)
    assert (call.key, call.identity) == ("lobby", "")
    assert testing.call(room.Unary, key="hall", identity="ada").key == "hall"
    with pytest.raises(RuntimeError, match=r"^Room\.connection_id: a keyed actor belongs to no connection"):
        room.connection_id  # noqa: B018
    with pytest.raises(actorrpc.LostAttributeError, match="would be lost when the actor moves"):
        room.colour = "red"  # type: ignore[attr-defined]
    with pytest.raises(actorrpc.LostAttributeError):
        room.key = "hall"  # type: ignore[misc]
    room.on_activate()
    room.on_passivate()


def test_only_keyed_actors_have_keys() -> None:
    actor = testing.actor(Stateful)
    assert testing.call(actor.Unary).key == ""
    with pytest.raises(
        RuntimeError, match=r"^Stateful\.key: shapes\.Stateful has an actor for each connection"
    ):
        actor.key  # noqa: B018
    with pytest.raises(actorrpc.LostAttributeError, match="would be lost when the connection moves"):
        actor.colour = "red"  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="Stateful is not keyed"):
        testing.call(actor.Unary, key="lobby")
    for service in (Stateful, Stateless):
        with pytest.raises(TypeError, match="is not keyed"):
            testing.actor(service, key="lobby")
    with pytest.raises(TypeError, match="Room is keyed: give the key"):
        testing.actor(Room)
    for wrong in ({"identity": "ada"}, {"connection_id": "0-1-2"}):
        with pytest.raises(TypeError, match="Room is keyed: it has neither"):
            testing.actor(Room, key="lobby", **wrong)
    with pytest.raises(actorrpc.RpcError, match="INVALID_ARGUMENT: a key is too long"):
        testing.actor(Room, key="x" * 257)


def test_an_interceptor_can_be_tried_on_a_call() -> None:
    class Auth(actorrpc.Interceptor):
        def on_call(self, call: actorrpc.Call[Any]) -> None:
            call.identity = str(call.metadata["user"])

    call = testing.call(testing.actor(Stateful).Unary, metadata={"user": "ada"})
    Auth().on_call(call)
    assert call.identity == "ada"
    with pytest.raises(RuntimeError, match="set already"):
        Auth().on_call(call)
    with pytest.raises(TypeError, match="must be a str"):
        testing.call(testing.actor(Stateful).Unary).identity = 5  # type: ignore[assignment]


def test_services_of_an_app_with_interceptors() -> None:
    for service in intercepted.services.values():
        assert not isinstance(testing.call(testing.actor(service).Unary), InterceptedCall)


class Misspelt(StatefulBase):
    def Unari(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return request


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(actorrpc.ConfigError, match="Unari"):
        testing.actor(Misspelt)
    with pytest.raises(actorrpc.ConfigError, match="is not a service"):
        testing.actor(str)  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"Stateful has a shapes\.Tally as its state"):
        testing.actor(Stateful, state=Item())
    with pytest.raises(TypeError, match="Stateless has no state"):
        testing.actor(Stateless, state=Tally())
    actor = testing.actor(Stateful)
    for wrong in (Stateful.Unary, test_identities, 5):
        with pytest.raises(TypeError, match="takes the handler of an actor"):
            testing.call(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="does not handle calls"):
        testing.call(actor.on_connect)
    with pytest.raises(TypeError, match=r"was not made by actorrpc\.testing\.actor"):
        testing.published(StatelessBase())
    with pytest.raises(AttributeError, match="nothing"):
        testing.nothing  # noqa: B018


def test_actors_by_hand_make_no_loop() -> None:
    program = (
        "import sys; from actorrpc import testing; from tests.apps.shapes import Stateful, Item\n"
        "actor = testing.actor(Stateful); actor.Unary(Item(), testing.call(actor.Unary))\n"
        "from gevent._hub_local import get_hub_if_exists\n"
        "print(get_hub_if_exists(), {'actorrpc.hub.node', 'pytest', 'grpc'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "None set()\n"
