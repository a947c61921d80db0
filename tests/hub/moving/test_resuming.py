"""Iterables that go on in another hub, states of another version, and states of any size."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import gevent
import grpc
import pytest

import actorrpc
from actorrpc.hub.actors.schedule import Schedule
from actorrpc.hub.moving.memfd import INLINE_BYTES, packed, unpacked
from actorrpc.hub.phase import QUIESCING
from actorrpc.pb import control_pb2
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item, Tally
from tests.support.hubs import Hubs, serving


def connect(hubs: Hubs, *options: tuple[str, object]) -> grpc.Channel:
    local = ("grpc.use_local_subchannel_pool", 1)
    return grpc.insecure_channel(hubs.address, options=[local, *options])


def moved(hubs: Hubs, target: int) -> None:
    result = hubs.move(target)
    assert (result.outcome, result.why) == (result.MOVED, "")


# ---- iterables


class Counting:
    """What both services do: count up to a number from where the cursor says."""

    def Expand(self, request, call):
        log.append("called")
        try:
            for number in range(int(call.cursor or b"0"), request.number):
                call.cursor = b"%d" % (number + 1)
                yield Item(number=number, body=request.body)
        finally:
            log.append("closed")

    def Talk(self, message, call):
        for part in range(int(call.cursor or b"0"), 50):
            call.cursor = b"%d" % (part + 1)
            yield Item(number=message.number * 100 + part, body=bytes(20_000))
        call.cursor = b"0"

    def Talk_end(self, call):
        for part in range(int(call.cursor or b"0"), 50):
            call.cursor = b"%d" % (part + 1)
            yield Item(number=-part, body=bytes(20_000))


class Stateful(Counting, StatefulBase):
    pass


class Stateless(Counting, StatelessBase):
    pass


log: list[str] = []
app = actorrpc.App([Stateful, Stateless])
STUBS = pytest.mark.parametrize("stub_class", (StatefulStub, StatelessStub))
SMALL = ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    log.clear()
    yield


@STUBS
def test_an_iterable_with_a_cursor_goes_on_where_it_was(stub_class) -> None:
    with serving(app, 2) as hubs, connect(hubs, *SMALL) as channel:
        replies = stub_class(channel).Expand(Item(number=1000, body=bytes(5000)))
        seen = [next(replies).number]
        for number in range(6):
            moved(hubs, (number + 1) % 2)
            seen += [next(replies).number for _ in range(40)]
        hubs.wait_for(lambda: log.count("closed") == 6)
        seen += [reply.number for reply in replies]
        assert seen == list(range(1000))
        hubs.wait_for(lambda: log.count("called") == log.count("closed") == 7)


@STUBS
def test_iterables_for_each_message_and_for_the_end(stub_class) -> None:
    """Messages wait while an iterable is pulled, and still do after a move."""
    with serving(app, 2) as hubs, connect(hubs, *SMALL) as channel:
        replies = stub_class(channel).Talk(Item(number=number) for number in range(4))
        seen = []
        for number in range(25):
            seen += [next(replies).number for _ in range(8)]
            moved(hubs, (number + 1) % 2)
        seen += [reply.number for reply in replies]
        expected = [number * 100 + part for number in range(4) for part in range(50)]
        assert seen == expected + [-part for part in range(50)]


def test_a_move_that_is_given_up_leaves_the_iterable_as_it_is() -> None:
    """Here because of its request, which would have to travel too."""
    with serving(app, 2, max_state_bytes=10_000) as hubs, connect(hubs, *SMALL) as channel:
        replies = StatefulStub(channel).Expand(Item(number=300, body=bytes(20_000)))
        next(replies)
        assert "over the limit of 10000" in hubs.move(1).why
        assert [reply.number for reply in replies] == list(range(1, 300))
        hubs.wait_for(lambda: log == ["called", "closed"])


def test_a_cursor_of_an_earlier_turn_does_not_count() -> None:
    """It says nothing of this iterable: the connection stays where it is."""

    class Old(StatelessBase):
        def Talk(self, message, call):
            if message.number == 0:
                call.cursor = b"mine"
                return [Item(text="begun")]
            return (Item(number=number, body=bytes(20_000)) for number in range(100))

    with serving(actorrpc.App([Old]), 2) as hubs, connect(hubs, *SMALL) as channel:
        go = threading.Event()

        def messages() -> Iterator[Item]:
            yield Item(number=0)
            go.wait(20)
            yield Item(number=1)

        replies = StatelessStub(channel).Talk(messages())
        assert next(replies).text == "begun"
        moved(hubs, 1)
        go.set()
        assert next(replies).number == 0
        assert "sets no call.cursor" in hubs.move(0).why
        assert [reply.number for reply in replies] == list(range(1, 100))


def test_a_call_that_is_cancelled_before_its_iterable_goes_on() -> None:
    with serving(app, 2) as hubs, connect(hubs, *SMALL) as channel:
        replies = StatefulStub(channel).Expand(Item(number=10_000, body=bytes(5000)))
        next(replies)
        moved(hubs, 1)
        replies.cancel()
        hubs.wait_for(lambda: log.count("called") == log.count("closed"))
        connection = hubs.connection()
        hubs.wait_for(lambda: not connection.calls)
        moved(hubs, 0)


def test_the_loop_does_not_spin_while_an_iterable_waits(monkeypatch) -> None:
    """Each reply that was waited for finds the connection's slice used up: a timer begins the next one."""

    class Slow(StatelessBase):
        def Expand(self, request, call):
            for number in range(20):
                gevent.sleep(0.005)
                yield Item(number=number)

    rounds = []
    work = Schedule._work
    monkeypatch.setattr(Schedule, "_work", lambda schedule: rounds.append(1) or work(schedule))
    with serving(actorrpc.App([Slow])) as hubs, connect(hubs) as channel:
        assert len(list(StatelessStub(channel).Expand(Item()))) == 20
    assert len(rounds) < 200


def test_an_iterable_that_waits_to_be_closed_is_closed_before_the_move() -> None:
    """What it does last is the actor's, and travels; the move does not fail because of it."""
    go = threading.Event()

    class Tidy(StatefulBase):
        def Expand(self, request, call):
            try:
                for number in range(1000):
                    call.cursor = b"%d" % number
                    yield Item(number=number, body=bytes(5000))
            finally:
                self.state.count += 1

        def Unary(self, request, call):
            while not go.is_set():
                gevent.sleep(0.001)
            return Item(number=self.state.count)

    with serving(actorrpc.App([Tidy]), 2) as hubs, connect(hubs, *SMALL) as channel:
        stub = StatefulStub(channel)
        replies = stub.Expand(Item())
        next(replies)
        connection = hubs.connection()
        blocked = stub.Unary.future(Item())
        hubs.wait_for(lambda: connection.schedule.running)
        replies.cancel()
        hubs.wait_for(lambda: len(connection.calls) == 1)
        mover = threading.Thread(target=moved, args=(hubs, 1))
        mover.start()
        hubs.wait_for(lambda: connection.phase.state == QUIESCING)
        go.set()
        mover.join(20)
        assert blocked.result(20).number == 0
        assert stub.Unary(Item()).number == 1
        assert hubs.connection() is not connection


def test_what_an_abandoned_iterable_does_last_reaches_nobody(caplog) -> None:
    class Chatty(StatelessBase):
        def Expand(self, request, call):
            try:
                for number in range(int(call.cursor or b"0"), 200):
                    call.cursor = b"%d" % (number + 1)
                    yield Item(number=number, body=bytes(5000))
            finally:
                call.send(Item(number=-1))

    with serving(actorrpc.App([Chatty]), 2) as hubs, connect(hubs, *SMALL) as channel:
        replies = StatelessStub(channel).Expand(Item())
        next(replies)
        moved(hubs, 1)
        assert [reply.number for reply in replies][:199] == list(range(1, 200))
    assert "is served by another hub now" in caplog.text


# ---- versions of a state


class Version1(StatefulBase):
    def Unary(self, request, call):
        self.state.count += 1
        return Item(number=self.state.count)


class Version2(Version1):
    """Counts tens."""

    state_version = 2

    @classmethod
    def upgrade(cls, old_version: int, state: Tally) -> Tally:
        assert old_version == 1
        state.count *= 10
        return state


class Forgetful(Version1):
    state_version = 2


class Wrong(Version1):
    state_version = 2

    @classmethod
    def upgrade(cls, old_version, state):
        return "nothing"


def versions(hubs: Hubs, old: type[StatefulBase], new: type[StatefulBase]) -> None:
    """Hub 0 runs the old code, hub 1 the new."""
    for node, service in zip(hubs.nodes, (old, new), strict=True):
        hubs.ask(lambda node=node, service=service: _serve(node, service))


def _serve(node, service) -> None:
    node.resources.serve(actorrpc.App([service]))


def test_an_older_state_is_upgraded() -> None:
    with serving(actorrpc.App([Version1]), 2) as hubs, connect(hubs) as channel:
        versions(hubs, Version1, Version2)
        stub = StatefulStub(channel)
        assert stub.Unary(Item()).number == 1
        moved(hubs, 1)
        assert stub.Unary(Item()).number == 11


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (Version2, Version1, "version 2, and this hub knows version 1"),
        (Version1, Forgetful, "Forgetful.upgrade"),
        (Version1, Wrong, "returned str, not its state"),
    ],
)
def test_a_state_that_cannot_be_read_stays_where_it_is(old, new, why: str, caplog) -> None:
    with serving(actorrpc.App([old]), 2) as hubs, connect(hubs) as channel:
        versions(hubs, old, new)
        stub = StatefulStub(channel)
        assert stub.Unary(Item()).number == 1
        result = hubs.move(1)
        assert result.outcome == result.ABORTED and why in result.why
        assert stub.Unary(Item()).number == 2


# ---- large states


class Large(StatefulBase):
    def Unary(self, request, call):
        if request.number:
            self.state.notes.append("x" * request.number)
        return Item(number=sum(map(len, self.state.notes)))


def memfds() -> int:
    links = (os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd.isdigit())
    found = 0
    try:
        for link in links:
            found += "actorrpc-snapshot" in link
    except FileNotFoundError:  # the listing's own descriptor
        pass
    return found


@pytest.mark.parametrize("size", (INLINE_BYTES - 100, INLINE_BYTES, 1 << 20, 32 << 20))
def test_a_large_state_travels(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorrpc.hub.moving.source.READY_TIMEOUT", 60.0)  # a busy machine reads 32 MB slowly
    with serving(actorrpc.App([Large]), 2) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        assert stub.Unary(Item(number=size), timeout=60).number == size
        for target in (1, 0, 1):
            moved(hubs, target)
            assert stub.Unary(Item(), timeout=60).number == size
        assert memfds() == 0


def test_a_state_over_the_limit_stays_and_says_so() -> None:
    with serving(actorrpc.App([Large]), 2, max_state_bytes=1 << 20) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item(number=1 << 20))
        assert "over the limit of 1048576" in hubs.move(1).why
        assert stub.Unary(Item()).number == 1 << 20
        assert memfds() == 0


def test_a_target_refuses_what_is_not_all_there() -> None:
    prepare = control_pb2.Prepare()
    snapshot = bytes(INLINE_BYTES + 1)
    with packed(prepare, snapshot) as fds:
        with unpacked(prepare, fds, 1 << 20) as view:
            assert bytes(view) == snapshot
        with pytest.raises(ValueError, match="over the limit of 1000"), unpacked(prepare, fds, 1000):
            pass
        with pytest.raises(ValueError, match="is incomplete"), unpacked(prepare, (), 1 << 20):
            pass
        with pytest.raises(PermissionError):
            os.truncate(fds[0], 5)
        prepare.snapshot_bytes += 1
        with pytest.raises(ValueError, match="is incomplete"), unpacked(prepare, fds, 1 << 20):
            pass
    small = control_pb2.Prepare()
    with packed(small, b"small") as fds, unpacked(small, fds, 10) as view:
        assert (fds, view, small.snapshot_bytes) == ((), b"small", 0)


def test_without_a_descriptor_for_it_a_large_state_stays(monkeypatch) -> None:
    def none_left(name: str, flags: int) -> int:
        raise OSError(24, "Too many open files")

    with serving(actorrpc.App([Large]), 2) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item(number=1 << 20))
        monkeypatch.setattr(os, "memfd_create", none_left)
        assert "Too many open files" in hubs.move(1).why
        assert stub.Unary(Item()).number == 1 << 20
