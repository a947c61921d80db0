"""How connections end: what the client still gets, which hooks run, and what is left of it here."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import gevent.event
import grpc
import pytest

import actorrpc
from actorrpc.hub.moving import target
from actorrpc.hub.moving.target import Target
from actorrpc.hub.phase import CLOSING
from actorrpc.hub.serving.connection import Connection
from actorrpc.net import linger
from actorrpc.net.transport import Transport
from actorrpc.service import ServiceSpec
from actorrpc.wire.server import ServerSession
from actorrpc.wire.stream import Stream
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support import raw
from tests.support.collector import alive, no_collector
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient

#: Windows that hold back nothing.
WIDE = (
    raw.PREFACE
    + raw.settings((raw.INITIAL_WINDOW_SIZE, (1 << 31) - 1), (raw.MAX_FRAME_SIZE, 1 << 20))
    + raw.window_update(0, 1 << 30)
)


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


def unary(
    stream: int,
    method: str,
    service: str = "Stateful",
    item: Item | None = None,
    *extra: tuple[str, str],
) -> bytes:
    fields = [(n, v.replace("/test.Test/", f"/shapes.{service}/")) for n, v in raw.request(method, *extra)]
    payload = b"" if item is None else item.SerializeToString()
    return raw.headers(stream, fields) + raw.data(stream, raw.message(payload), raw.END_STREAM)


# ---- the last bytes


SIZE = 6 << 20


class Large(StatefulBase):
    """Its reply is more than the kernel takes at once."""

    def Unary(self, request, call):
        gevent.sleep(request.sleep)
        return Item(body=bytes(SIZE))


class SlowReader(RawClient):
    """A client that reads when it is told to, into a small buffer."""

    def __init__(self, address: str) -> None:
        self.got = 0
        self.finished = False
        super().__init__(address, b"", polite=True, receive_buffer=65536)

    def _take(self, frame: raw.Frame) -> None:
        super()._take(frame)
        type_, flags, _, payload = self.frames.pop()
        if type_ == raw.DATA:
            self.got += len(payload)
        self.finished = self.finished or bool(type_ == raw.HEADERS and flags & raw.END_STREAM)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How often a closing connection has looked at what its client has taken; it does so quickly."""
    found: list[int] = []
    look = linger.Linger._look

    def counted(self: linger.Linger) -> None:
        found.append(self._left)
        look(self)

    monkeypatch.setattr(linger.Linger, "_look", counted)
    monkeypatch.setattr(linger, "LINGER", 0.05)
    yield lambda: len(found)


def _aged(hubs: Hubs) -> None:
    """As if it had reached its age."""
    connection = hubs.connection()
    hubs.ask(lambda: connection.timer._age(connection))


def _stopped(hubs: Hubs) -> None:
    hubs.ask(lambda: hubs.nodes[0].stop(10.0, lambda: None))


def _idle(hubs: Hubs) -> None:
    hubs.ask(hubs.connection().shutdown)


@pytest.mark.parametrize("end", [_aged, _stopped, _idle], ids=lambda end: end.__name__)
def test_a_client_that_goes_on_reading_gets_its_last_reply(end, looks):
    """However long it takes: each time that the server looks, some more has been taken."""
    with serving(actorrpc.App([Large])) as hubs:
        client = SlowReader(hubs.address)
        client.send(WIDE + unary(1, "Unary", item=Item(sleep=0.05)))
        connection = hubs.connection()
        hubs.wait_for(lambda: connection.calls)
        end(hubs)
        while not client.ended:
            seen = looks()
            target = client.got + (256 << 10)
            while not client.ended and client.got < target:
                client.receive()
            if connection.phase.state == CLOSING and not client.ended:
                hubs.wait_for(lambda seen=seen: looks() > seen or connection.phase.state != CLOSING)
        assert client.finished
        assert client.got == len(raw.message(Item(body=bytes(SIZE)).SerializeToString()))
        client.close()


@pytest.mark.parametrize("trickle", [False, True])
def test_a_client_that_stalls_does_not_hold_it(trickle, looks, monkeypatch):
    """Nor does one that takes next to nothing."""
    monkeypatch.setattr(linger, "PATIENCE", 0.3)
    with serving(actorrpc.App([Large])) as hubs:
        client = SlowReader(hubs.address)
        client.send(WIDE + unary(1, "Unary"))
        connection = hubs.connection()
        hubs.wait_for(lambda: connection.session.outbound.unsent_bytes)
        # Most of it, so that the rest is framed and the session is over.
        while connection.session.streams:
            client.receive()
        _aged(hubs)
        while connection.phase.state != CLOSING:
            client.receive()
        if trickle:
            done: list[bool] = []
            while not done:
                client.sock.recv(10)
                hubs.ask(lambda: done.append(True) if not hubs.nodes[0].connections else None)
        hubs.wait_for(lambda: not hubs.nodes[0].connections)
        client.close()


def test_a_client_that_broke_the_rules_is_given_a_second_only(looks, monkeypatch):
    monkeypatch.setattr("actorrpc.net.pump.LINGER", 0.2)
    with serving(actorrpc.App([Large])) as hubs:
        client = SlowReader(hubs.address)
        client.send(WIDE + unary(1, "Unary"))
        connection = hubs.connection()
        hubs.wait_for(lambda: connection.session.outbound.unsent_bytes)
        client.send(raw.frame(raw.DATA, 0, 0, b""))
        hubs.wait_for(lambda: not hubs.nodes[0].connections)
        client.close()


# ---- hooks


class Noting(StatefulBase):
    """Notes which of its hooks run."""

    log: list[str]
    blocks: dict[str, list[int]]

    def Unary(self, request, call):
        return request

    def _note(self, hook):
        name = type(self).__name__
        self.log.append(f"{name} {hook}")
        while f"{name} {hook}" in self.blocks:
            gevent.sleep(0.001)

    def on_freeze(self):
        self._note("on_freeze")

    def on_thaw(self):
        self._note("on_thaw")

    def on_disconnect(self):
        self._note("on_disconnect")


def two_actors() -> tuple[actorrpc.App, list[str], dict[str, Any]]:
    """An app of two services, what they note, and the hooks that block."""
    log: list[str] = []
    blocks: dict[str, Any] = {}
    A = type("A", (Noting,), {"log": log, "blocks": blocks})
    spec = ServiceSpec("shapes.Second", A.__rpc__.methods, A.__rpc__.state)
    B = type("B", (Noting,), {"log": log, "blocks": blocks, "__rpc__": spec})
    return actorrpc.App([A, B]), log, blocks


def call_both(client: RawClient) -> None:
    """A call of each of the two has ended."""
    client.send(unary(1, "Unary") + unary(3, "Unary", "Second"))
    for _ in range(2):
        client.wait_for(raw.HEADERS, raw.END_STREAM)


def test_a_client_that_goes_during_on_freeze_is_not_frozen_further():
    """The one that was frozen is thawed before it is told; the other is told only."""
    app, log, blocks = two_actors()
    blocks["A on_freeze"] = True
    with serving(app, 2) as hubs:
        node = hubs.nodes[0]
        with RawClient(hubs.address) as client:
            call_both(client)
            id = hubs.connection().id
            results: list[Any] = []
            hubs.ask(lambda: node.mover.move(id, 1, results.append))
            hubs.wait_for(lambda: log)
        hubs.wait_for(lambda: not node.connections)
        del blocks["A on_freeze"]
        hubs.wait_for(lambda: not node._finishing)
    assert [line for line in log if line[0] == "A"] == ["A on_freeze", "A on_thaw", "A on_disconnect"]
    assert [line for line in log if line[0] == "B"] == ["B on_disconnect"]
    assert "closed" in results[0].why


def test_one_that_breaks_the_rules_during_on_freeze_is_not_frozen_further():
    app, log, blocks = two_actors()
    blocks["A on_freeze"] = True
    with serving(app, 2) as hubs:
        node = hubs.nodes[0]
        with RawClient(hubs.address) as client:
            call_both(client)
            connection = hubs.connection()
            results: list[Any] = []
            hubs.ask(lambda: node.mover.move(connection.id, 1, results.append))
            hubs.wait_for(lambda: log)
            client.send(raw.frame(raw.DATA, 0, 0, b""))
            hubs.wait_for(lambda: connection.phase.state == CLOSING)
            del blocks["A on_freeze"]
            client.wait_for(raw.GOAWAY)
        hubs.wait_for(lambda: not node._finishing and not node.connections)
    assert [line for line in log if line[0] == "A"] == ["A on_freeze", "A on_thaw", "A on_disconnect"]
    assert [line for line in log if line[0] == "B"] == ["B on_disconnect"]
    assert "closed" in results[0].why


def test_on_thaw_of_a_move_that_was_given_up_is_for_those_that_were_frozen():
    app, log, blocks = two_actors()
    blocks["A on_freeze"] = True
    with serving(app, 2, quiesce_timeout=0.05) as hubs, RawClient(hubs.address) as client:
        call_both(client)
        assert hubs.move(1).why
        del blocks["A on_freeze"]
        hubs.wait_for(lambda: len(log) == 2)
        assert log == ["A on_freeze", "A on_thaw"]
        assert hubs.move(1).why == ""
        hubs.wait_for(lambda: len(log) == 6)
        assert sorted(log[2:]) == ["A on_freeze", "A on_thaw", "B on_freeze", "B on_thaw"]


def test_a_service_that_is_first_called_during_on_freeze_is_frozen_before_it_is_thawed():
    """And no other is frozen twice."""
    app, log, blocks = two_actors()
    blocks["A on_freeze"] = True
    with serving(app, 2, quiesce_timeout=20) as hubs, RawClient(hubs.address) as client:
        client.send(unary(1, "Unary"))
        client.wait_for(raw.HEADERS, raw.END_STREAM)
        connection = hubs.connection()
        results: list[Any] = []
        hubs.ask(lambda: hubs.nodes[0].mover.move(connection.id, 1, results.append))
        hubs.wait_for(lambda: log)
        client.send(unary(3, "Unary", "Second"))
        hubs.wait_for(lambda: connection.calls)
        del blocks["A on_freeze"]
        assert hubs.wait_for(lambda: results)[0].why == ""
        assert client.wait_for(raw.HEADERS, raw.END_STREAM)[2] == 3
        hubs.wait_for(lambda: {"A on_thaw", "B on_thaw"} <= {*log})
        assert [line for line in log if line[0] == "A"] == ["A on_freeze", "A on_thaw"]
        assert [line for line in log if line[0] == "B"] == ["B on_freeze", "B on_thaw"]


def test_an_on_thaw_that_waits_comes_before_on_disconnect():
    """The client has gone by the time its connection is served again."""
    app, log, _ = two_actors()
    with serving(app, 2) as hubs:
        there = hubs.nodes[1]
        client = RawClient(hubs.address, raw.OPEN + unary(1, "Unary"))
        client.wait_for(raw.HEADERS, raw.END_STREAM)
        id = hubs.connection().id

        def move_and_go() -> None:
            hubs.nodes[0].mover.move(id, 1, lambda result: None)
            client.close()  # before the loop comes round to anything else

        hubs.ask(move_and_go)
        hubs.wait_for(lambda: "A on_disconnect" in log)
        hubs.wait_for(lambda: not there.connections and not there._finishing)
    assert log == ["A on_freeze", "A on_thaw", "A on_disconnect"]


@pytest.mark.parametrize("what", ["a turn beside", "an iterable", "an iterable beside"])
def test_on_disconnect_comes_when_all_else_has_ended(what):
    """Also what is interrupted, or closed, takes its time."""
    log: list[str] = []
    gate = gevent.event.Event()

    class Slow(StatefulBase):
        @actorrpc.concurrent
        def Beside(self, request, call):
            log.append("begun")
            try:
                gevent.event.Event().wait()
            finally:
                gate.wait()
                self.state.count += 1
                log.append("ended")

        def Expand(self, request, call):
            log.append("begun")
            try:
                while True:
                    yield Item()
                    try:
                        gevent.event.Event().wait()
                    except actorrpc.CallCancelled:
                        gate.wait()
            finally:
                self.state.count += 1
                log.append("ended")

        @actorrpc.concurrent
        def Listen(self, request, call):
            log.append("begun")
            return self.replies()

        def replies(self):
            try:
                while True:
                    yield Item(body=bytes(70_000))
            finally:
                gate.wait()
                self.state.count += 1
                log.append("ended")

        def on_disconnect(self):
            log.append(f"on_disconnect {self.state.count}")

    method = {"a turn beside": "Beside", "an iterable": "Expand", "an iterable beside": "Listen"}[what]
    with serving(actorrpc.App([Slow])) as hubs:
        node = hubs.nodes[0]
        with RawClient(hubs.address) as client:
            client.send(unary(1, method))
            if method != "Beside":
                client.wait_for(raw.DATA)
            hubs.wait_for(lambda: log)
        hubs.wait_for(lambda: not node.connections)
        assert hubs.ask(log.copy) == ["begun"]
        hubs.ask(gate.set)
        hubs.wait_for(lambda: not node._finishing)
    assert log == ["begun", "ended", "on_disconnect 1"]


# ---- what is left


class Sends(StatefulBase):
    """Sends more than its client reads, in all ways."""

    made: list[Any]

    def __init__(self):
        self.made.append(weakref.ref(self))

    def Expand(self, request, call):
        self.made.append(call.id)
        for _ in range(7):
            call.send(Item(body=bytes(1 << 20)))

    def Listen(self, request, call):
        def replies():
            while True:
                yield Item(body=bytes(1 << 20))

        return replies()

    def Unary(self, request, call):
        gevent.sleep(20)
        return request


class Passes(actorrpc.Interceptor):
    def on_call(self, call):
        pass


def left_at(node: Any) -> list[Connection]:
    """Connections that a hub had: other tests may have left some of theirs."""
    return [
        each
        for each in gc.get_objects()
        if isinstance(each, Connection) and getattr(each, "resources", None) is node.resources
    ]


@pytest.mark.parametrize("interceptors", [[], [Passes()]], ids=["plain", "intercepted"])
@pytest.mark.parametrize("method", ["Expand", "Listen", "Unary"])
@pytest.mark.parametrize("end", ["client", "server", "fault"])
@pytest.mark.parametrize("hooks", [{}, {"on_call_end": lambda self, call, status, message: None}], ids=len)
def test_a_closed_connection_leaves_nothing_for_the_collector(method, end, interceptors, hooks):
    made: list[Any] = []
    service = type("Sends", (Sends,), {"made": made, **hooks})
    kinds = (Connection, ServerSession, Transport, Stream, actorrpc.Call)
    with serving(actorrpc.App([service], interceptors=interceptors)) as hubs:
        node = hubs.nodes[0]
        with no_collector():
            with RawClient(hubs.address) as client:
                client.send(unary(1, method))
                hubs.wait_for(lambda: made and any(c.calls for c in node.connections.values()))
                if method != "Unary":
                    client.wait_for(raw.DATA)
                if end == "server":
                    hubs.ask(lambda: next(iter(node.connections.values())).close("enough"))
                elif end == "fault":
                    client.send(raw.frame(raw.DATA, 0, 0, b""))
                    client.wait_for(raw.GOAWAY)
            hubs.wait_for(lambda: not node.connections and not node._finishing)
            # The step of the loop in which it was closed has to end.
            hubs.wait_for(lambda: made[0]() is None)
            hubs.wait_for(lambda: not alive(*kinds))


def test_nor_does_one_that_has_moved_with_turns_that_waited():
    """A message of a call, and the end of another."""
    entered: list[Any] = []

    class Waits(Sends):
        made = entered

        def Unary(self, request, call):
            self.made.append("blocks")
            door.wait()
            return request

        def Expand(self, request, call):
            self.made.append("open")

        def on_call_end(self, call, status, message):
            pass

    door = gevent.event.Event()
    kinds = (Connection, ServerSession, Transport, Stream, actorrpc.Call)
    with serving(actorrpc.App([Waits]), 2, quiesce_timeout=60) as hubs:
        source, target = hubs.nodes
        with no_collector(), RawClient(hubs.address) as client:
            client.send(unary(1, "Expand") + unary(3, "Unary"))
            hubs.wait_for(lambda: "blocks" in entered)
            client.send(unary(5, "Notes") + raw.frame(raw.RST_STREAM, 0, 1, bytes(4)))
            (id,) = hubs.ask(lambda: [*source.connections])
            hubs.wait_for(lambda: len(source.connections[id].cells["shapes.Stateful"].mailbox) == 2)
            hubs.ask(lambda: source.mover.move(id, 1, lambda result: None))
            hubs.ask(door.set)
            hubs.wait_for(lambda: target.connections and not source.mover.handoffs)
            # Its own there, with the session, and perhaps a call that is still under way.
            hubs.wait_for(lambda: entered[0]() is None)
            hubs.wait_for(lambda: not left_at(source) and alive(*kinds) <= 5)
        hubs.wait_for(lambda: not target.connections and not target._finishing)


def test_unsent_bytes_go_at_once_also_while_the_last_turns_run():
    class Lingers(Sends):
        made = []

        def on_disconnect(self):
            entered.append(1)
            while not leave:
                gevent.sleep(0.001)

    entered: list[int] = []
    leave: list[int] = []
    with serving(actorrpc.App([Lingers])) as hubs:
        with RawClient(hubs.address) as client:
            client.send(unary(1, "Expand"))
            client.wait_for(raw.DATA)
            connection = hubs.connection()
            assert hubs.ask(
                lambda: connection.session.outbound.unsent_bytes + connection.pump.transport.unsent
            )
        hubs.wait_for(lambda: entered)
        outbound = connection.session.outbound
        assert (outbound.unsent_bytes, outbound.pending, connection.pump.transport.unsent) == (0, 0, 0)
        assert not connection.session.streams
        leave.append(1)
        hubs.wait_for(lambda: not hubs.nodes[0]._finishing)


# ---- the app's socket.setdefaulttimeout


def test_a_default_timeout_of_the_apps_holds_up_nobody(monkeypatch):
    """Neither one that has moved, nor one that another hub has accepted."""
    modes: list[bool] = []
    attach = Transport.attach

    def watched(self: Transport, sock: socket.socket) -> None:
        modes.append(sock.gettimeout() == 0.0)
        attach(self, sock)

    monkeypatch.setattr(Transport, "attach", watched)

    class Echo(StatelessBase):
        def Unary(self, request, call):
            return request

    with serving(actorrpc.App([Echo]), 2, spread=True) as hubs:
        socket.setdefaulttimeout(30)
        try:
            channels = [connect(hubs) for _ in range(4)]
            stubs = [StatelessStub(channel) for channel in channels]
            for stub in stubs:
                assert stub.Unary(Item(number=1), timeout=10).number == 1
            moved = list(hubs.nodes[0].connections)
            assert [hubs.move(1, id).why for id in moved] == [""] * len(moved)
            for stub in stubs:
                assert stub.Unary(Item(number=2), timeout=10).number == 2
        finally:
            socket.setdefaulttimeout(None)
            for channel in channels:
                channel.close()
    assert len(modes) >= 5 and all(modes)


# ---- what figures are based on


def held_back(entered: list[str], leave: list[str]) -> actorrpc.App:
    """Its calls say that they have begun, and end when their text may leave."""

    class Slow(StatefulBase):
        def Unary(self, request, call):
            entered.append(request.text)
            while request.text not in leave:
                gevent.sleep(0.001)
            return request

    return actorrpc.App([Slow])


def test_a_turn_runs_since_it_began_also_after_a_move():
    entered: list[str] = []
    leave: list[str] = []
    with serving(held_back(entered, leave), 2, quiesce_timeout=10) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        first = stub.Unary.future(Item(text="first"))
        hubs.wait_for(lambda: entered)
        second = stub.Unary.future(Item(text="second"))
        connection = hubs.connection()
        hubs.wait_for(lambda: len(connection.calls) == 2)
        hubs.ask(lambda: hubs.nodes[0].mover.move(connection.id, 1, lambda result: None))
        leave.append("first")
        first.result(10)
        hubs.wait_for(lambda: entered == ["first", "second"])
        (row,) = hubs.ask(hubs.nodes[1].list_connections)
        assert row.why == "handler Unary running"
        assert 0 < row.running < 20
        leave.append("second")
        second.result(10)


def test_a_deadline_that_passes_on_the_way_keeps_the_handler_from_running(monkeypatch):
    entered: list[str] = []
    leave: list[str] = []
    say_ready = Target._say_ready

    def late(target: Target) -> None:
        gevent.get_hub().loop.timer(0.3).start(say_ready, target)

    monkeypatch.setitem(target._ACTIONS, target.TargetAction.SAY_READY, late)
    with serving(held_back(entered, leave), 2, quiesce_timeout=10) as hubs, RawClient(hubs.address) as client:
        client.send(unary(1, "Unary", item=Item(text="first")))
        hubs.wait_for(lambda: entered)
        client.send(unary(3, "Unary", "Stateful", Item(text="second"), ("grpc-timeout", "200m")))
        connection = hubs.connection()
        hubs.wait_for(lambda: len(connection.calls) == 2)
        hubs.ask(lambda: hubs.nodes[0].mover.move(connection.id, 1, lambda result: None))
        leave.append("first")
        assert client.wait_for(raw.HEADERS, raw.END_STREAM)[2] == 1
        assert client.wait_for(raw.HEADERS, raw.END_STREAM)[2] == 3
    assert entered == ["first"]


def test_idleness_counts_from_the_end_of_a_call_that_blocked():
    class Slow(StatefulBase):
        def Unary(self, request, call):
            gevent.sleep(request.sleep)
            return request

    with serving(actorrpc.App([Slow])) as hubs, RawClient(hubs.address) as client:
        client.send(unary(1, "Unary", item=Item(sleep=0.3)))
        client.wait_for(raw.HEADERS, raw.END_STREAM)
        connection = hubs.connection()
        # The client has said nothing since it began the call.
        idle_for_less = hubs.ask(lambda: connection.timer.times.idle_since - connection.timer.times.heard)
        assert idle_for_less >= 0.25


# ---- stacks, and the list of connections


def test_stacks_that_nobody_needs_are_given_back(monkeypatch):
    monkeypatch.setattr("actorrpc.hub.runtime.runners._REST", 0.0)

    class Slow(StatelessBase):
        def Unary(self, request, call):
            while not leave:
                gevent.sleep(0.001)
            return request

    leave: list[int] = []
    with serving(actorrpc.App([Slow])) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        calls = [stub.Unary.future(Item()) for _ in range(200)]
        connection = hubs.connection()
        hubs.wait_for(lambda: connection.schedule.running == 200)
        leave.append(1)
        for call in calls:
            call.result(10)
        runners = hubs.nodes[0].resources.runners
        hubs.wait_for(lambda: len(runners._free) >= 200)
        free = list(runners._free)
        looks = 0
        while len(runners._free) > 8 and looks < 30:
            hubs.ask(runners.trim)
            assert stub.Unary(Item(), timeout=10) == Item()
            looks += 1
        assert len(runners._free) == 8 and looks <= 12
        assert sum(runner.dead for runner in free) == len(free) - 8
        # Those that are used stay, and all still work.
        leave.clear()
        calls = [stub.Unary.future(Item()) for _ in range(20)]
        hubs.wait_for(lambda: connection.schedule.running == 20)
        hubs.ask(runners.trim)
        leave.append(1)
        assert [call.result(10) for call in calls] == [Item()] * 20


def test_connections_are_listed_in_portions(monkeypatch):
    """Each as long as it may be; those that come meanwhile are in the last, and none comes twice."""
    with serving(actorrpc.App([Large])) as hubs:
        clients = [RawClient(hubs.address, b"") for _ in range(40)]
        node = hubs.nodes[0]
        hubs.wait_for(lambda: len(node.connections) == 40)
        monkeypatch.setattr("actorrpc.hub.listing.LISTING", 0.0)
        rows: list[str] = []
        gone: list[str] = []
        more = 0
        while not rows or more:
            page = hubs.ask(lambda after=more: node.list_some(after))
            assert len(page.connections) == 1
            rows.extend(row.id for row in page.connections)
            more = page.more
            if len(rows) == 10:  # two go, one that is listed and one that is not, and another comes
                gone += [list(node.connections)[index] for index in (5, 20)]
                for id in gone:
                    hubs.ask(lambda id=id: node.connections[id].close("the test says so"))
                clients.append(RawClient(hubs.address, b""))
                hubs.wait_for(lambda: len(node.connections) == 39)
        assert len(rows) == len(set(rows)) == 40
        assert set(rows) == {*node.connections, gone[0]}
        monkeypatch.setattr("actorrpc.hub.listing.LISTING", 10.0)
        page = hubs.ask(lambda: node.list_some(0))
        assert (len(page.connections), page.more) == (39, 0)
        for client in clients:
            client.close()
