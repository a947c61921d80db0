"""A frozen connection stands still: what app and deadlines do meanwhile is done once, by who serves then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import gevent
import grpc
import pytest

import actorrpc
from actorrpc.hub.phase import FROZEN
from tests.apps.shapes import Stateful, Stateless
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item, Tally
from tests.support.hubs import Hubs, serving

PATIENCE = 20.0


class Frozen:
    """Two hubs, a client, its one stream, and a move that stands still between freeze and READY."""

    def __init__(self, hubs: Hubs, channel: grpc.Channel) -> None:
        self.hubs = hubs
        self.stub = StatefulStub(channel)
        self.results: list[Any] = []
        self.ended: list[tuple[str, str]] = []
        self.replied: list[int] = []

    def listen(self, **options: Any) -> Any:
        stream = self.stream = self.stub.Listen(Item(text="news"), **options)
        dict(stream.initial_metadata())
        return stream

    @property
    def connection(self) -> Any:
        return self.hubs.connection()

    def freeze(self) -> Any:
        """Begin to move; the target does not read. Returns the connection, once it is frozen."""
        connection = self.connection
        source, target = self.hubs.nodes

        def begin() -> None:
            link = target.links.by_serial[0]
            link._reader.stop()
            source.mover.move(connection.id, 1, self.results.append)

        self.hubs.ask(begin)
        self.hubs.wait_for(lambda: connection.phase.state == FROZEN)
        return connection

    def let_move(self) -> None:
        link = self.hubs.nodes[1].links.by_serial[0]
        self.hubs.ask(lambda: link._reader.start(link._read))
        self.hubs.wait_for(lambda: self.results)
        assert self.results[0].why == ""

    def give_up(self) -> None:
        self.hubs.ask(lambda: self.hubs.nodes[0].mover.handoffs.give_up("somebody says so"))
        self.hubs.wait_for(lambda: self.results)
        assert self.results[0].why == "somebody says so"
        link = self.hubs.nodes[1].links.by_serial[0]
        self.hubs.ask(lambda: link._reader.start(link._read))


@pytest.fixture
def frozen() -> Iterator[Frozen]:
    ended: list[tuple[str, str]] = []
    replied: list[int] = []

    class Ends(actorrpc.Interceptor):
        def on_reply(self, call: Any, message: Item) -> Item:
            replied.append(message.number)
            return message

        def on_end(self, call: Any, status: actorrpc.StatusCode, message: str) -> None:
            ended.append((call.method, status.name))

    app = actorrpc.App([Stateless, Stateful], interceptors=[Ends()])
    with serving(app, 2) as hubs, grpc.insecure_channel(hubs.address) as channel:
        found = Frozen(hubs, channel)
        found.ended, found.replied = ended, replied
        yield found


both_ways = pytest.mark.parametrize("over", [Frozen.let_move, Frozen.give_up])


@both_ways
def test_a_deadline_that_passes_meanwhile_ends_the_call_once(
    frozen: Frozen, over: Callable[[Frozen], None]
) -> None:
    stream = frozen.listen(timeout=0.3)
    (call,) = frozen.connection.calls.values()
    frozen.freeze()
    frozen.hubs.wait_for(lambda: monotonic() > call.deadline + 0.05)
    frozen.hubs.ask(lambda: None)
    assert frozen.ended == []
    over(frozen)
    with pytest.raises(grpc.RpcError) as raised:
        next(stream)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    frozen.hubs.wait_for(lambda: frozen.ended)
    assert frozen.stub.Unary(Item()).number == 1
    frozen.hubs.wait_for(lambda: len(frozen.ended) == 2)
    # CANCELLED where the client's own word was there before this hub looked at its clock.
    assert [method for method, _ in frozen.ended] == ["/shapes.Stateful/Listen", "/shapes.Stateful/Unary"]
    assert frozen.ended[0][1] in ("DEADLINE_EXCEEDED", "CANCELLED")


def _assign_state(actor: Any, call: Any) -> None:
    actor.state = Tally(count=77)


def _write_state(actor: Any, call: Any) -> None:
    actor.state.count = 77


#: What an app's own greenlet may do to a connection.
DEEDS: dict[str, Callable[[Any, Any], None]] = {
    "send": lambda actor, call: call.send(Item(number=1)),
    "finish": lambda actor, call: call.finish(actorrpc.StatusCode.ABORTED, "so"),
    "initial metadata": lambda actor, call: call.send_initial_metadata({"a": "b"}),
    "trailing metadata": lambda actor, call: call.set_trailing_metadata({"a": "b"}),
    "context": lambda actor, call: call.context.update({"a": "b"}),
    "cursor": lambda actor, call: setattr(call, "cursor", b"1"),
    "compression": lambda actor, call: call.set_compression("gzip"),
    "publish": lambda actor, call: actor.publish("news", Item(number=1)),
    "subscribe": lambda actor, call: actor.subscribe("others", call),
    "unsubscribe": lambda actor, call: actor.unsubscribe("news", call),
    "write state": _write_state,
    "assign state": _assign_state,
}
each_deed = pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)


class Doing:
    """A deed in a greenlet of the hubs' loop, and what came of it."""

    def __init__(self, frozen: Frozen, deed: Callable[[Any, Any], None], connection: Any) -> None:
        self._hubs = frozen.hubs
        self.actor = connection.cells["shapes.Stateful"].instance
        (self.call,) = connection.calls.values()
        self.outcome: list[BaseException | None] = []
        self._deed = deed

    def in_greenlet(self) -> None:
        """Begin. When this returns, the deed has returned, raised, or waits."""
        self._hubs.ask(lambda: gevent.spawn(self.at_once))
        self._hubs.ask(lambda: None)
        self._hubs.ask(lambda: None)

    def at_once(self) -> None:
        try:
            self._deed(self.actor, self.call)
        except BaseException as error:
            self.outcome.append(error)
        else:
            self.outcome.append(None)

    def result(self) -> BaseException | None:
        return self._hubs.wait_for(lambda: self.outcome)[0]


@each_deed
def test_what_the_app_does_meanwhile_waits_and_is_refused_once_it_has_moved(
    frozen: Frozen, deed: Callable[[Any, Any], None]
) -> None:
    frozen.listen()
    doing = Doing(frozen, deed, frozen.freeze())
    doing.in_greenlet()
    assert doing.outcome == [], "it returned, and is lost"
    frozen.let_move()
    error = doing.result()
    assert isinstance(error, RuntimeError)
    assert "served by another hub" in str(error)


@each_deed
def test_what_the_app_does_meanwhile_waits_and_goes_on_where_the_move_is_given_up(
    frozen: Frozen, deed: Callable[[Any, Any], None]
) -> None:
    frozen.listen()
    doing = Doing(frozen, deed, frozen.freeze())
    doing.in_greenlet()
    assert doing.outcome == []
    frozen.give_up()
    error = doing.result()
    if deed in (DEEDS["initial metadata"], DEEDS["compression"]):
        assert "sent" in str(error), "as it would without a move"
    else:
        assert error is None


@both_ways
def test_an_on_reply_sees_what_is_sent_where_the_call_is_served_then(
    frozen: Frozen, over: Callable[[Frozen], None]
) -> None:
    stream = frozen.listen()
    doing = Doing(frozen, DEEDS["send"], frozen.freeze())
    doing.in_greenlet()
    assert frozen.replied == []
    over(frozen)
    refused = doing.result()
    assert frozen.replied == ([] if refused else [1])
    assert bool(refused) == (over is Frozen.let_move)
    stream.cancel()


@each_deed
def test_what_a_callback_of_the_loop_does_meanwhile_is_refused(
    frozen: Frozen, deed: Callable[[Any, Any], None]
) -> None:
    """It is the loop that it would keep waiting."""
    frozen.listen()
    doing = Doing(frozen, deed, frozen.freeze())
    frozen.hubs.ask(doing.at_once)
    assert isinstance(doing.outcome[0], RuntimeError)
    assert "is on its way to another hub" in str(doing.outcome[0])
    frozen.let_move()


@each_deed
def test_what_the_app_does_later_is_refused(frozen: Frozen, deed: Callable[[Any, Any], None]) -> None:
    frozen.listen()
    doing = Doing(frozen, deed, frozen.freeze())
    frozen.let_move()
    frozen.hubs.ask(doing.at_once)
    assert isinstance(doing.outcome[0], RuntimeError)
    assert "served by another hub" in str(doing.outcome[0])


def test_what_was_done_is_there_where_the_move_is_given_up(frozen: Frozen) -> None:
    stream = frozen.listen()
    doing = Doing(
        frozen, lambda actor, call: (_write_state(actor, call), call.send(Item(number=5))), frozen.freeze()
    )
    doing.in_greenlet()
    frozen.give_up()
    assert next(stream).number == 5
    assert frozen.stub.Notes(Item()).number == 77


def test_a_frozen_connection_can_be_listed(frozen: Frozen) -> None:
    frozen.listen()
    frozen.freeze()
    (row,) = frozen.hubs.ask(frozen.hubs.nodes[0].list_connections)
    assert row.state_bytes > 0
    frozen.let_move()


def test_every_send_that_returned_is_heard() -> None:
    """A greenlet of the app's sends while its connection goes to and fro."""
    sent: list[int] = []

    class Pumping(Stateful):
        def Listen(self, request: Item, call: actorrpc.Call[Item]) -> None:
            def pump() -> None:
                while not stop:
                    call.send(Item(number=len(sent) + 1))
                    sent.append(len(sent) + 1)
                    gevent.sleep(0)

            gevent.spawn(pump).link_exception(lambda greenlet: None)

    stop: list[bool] = []
    with (
        serving(actorrpc.App([Stateless, Pumping]), 2) as hubs,
        grpc.insecure_channel(hubs.address) as channel,
    ):
        stub = StatefulStub(channel)
        frozen = Frozen(hubs, channel)
        stream = stub.Listen(Item())
        assert next(stream).number == 1
        frozen.freeze()
        at_freeze = len(sent)
        for _ in range(20):
            hubs.ask(lambda: None)
        assert len(sent) == at_freeze
        frozen.give_up()
        hubs.wait_for(lambda: len(sent) > at_freeze)
        frozen.results.clear()
        frozen.freeze()
        frozen.let_move()
        count = hubs.ask(lambda: len(sent))
        assert [next(stream).number for _ in range(count - 1)] == list(range(2, count + 1))
        assert hubs.ask(lambda: len(sent)) == count
