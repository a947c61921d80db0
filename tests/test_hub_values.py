"""per_hub: one value for each process that serves, when it is made, and when it is closed."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import gevent.event
import pytest
from gevent.threadpool import ThreadPool

import actorrpc
from actorrpc import hub_values as shared
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase
from tests.apps.shapes_pb2 import Item


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody else's values, and no server of another test."""
    monkeypatch.setattr(shared, "_serving", 0)
    before, shared._made[:] = shared._made[:], []
    yield
    shared._made[:] = before


class Engine:
    """Counts itself, and notes what is done to it."""

    def __init__(self, log: list[str], name: str = "engine") -> None:
        self.log, self.name = log, name
        log.append(f"made {name}")

    def close(self) -> None:
        self.log.append(f"closed {self.name}")


def test_it_is_made_once_for_whoever_reads_it():
    log: list[str] = []
    engine = actorrpc.per_hub(lambda: Engine(log))

    class Actor(StatefulBase):
        db = engine

    class Service(StatelessBase):
        db = engine

    class Interceptor(actorrpc.Interceptor):
        db = engine

    assert log == []
    found = {id(each) for each in (Actor().db, Actor().db, Service().db, Interceptor().db, engine.get())}
    assert len(found) == 1 and log == ["made engine"]
    assert Actor.db is engine


def test_another_declaration_is_another_value():
    class Actor(StatefulBase):
        left = actorrpc.per_hub(dict)
        right = actorrpc.per_hub(dict)

    class Derived(Actor):
        pass

    assert Actor().left is Derived().left is not Actor().right


def test_those_who_ask_at_once_get_one_value():
    door, made = gevent.event.Event(), []

    def make() -> object:
        made.append(object())
        door.wait()
        return made[-1]

    value = actorrpc.per_hub(make)
    asking = [gevent.spawn(value.get) for _ in range(5)]
    gevent.idle()
    door.set()
    assert {id(each.get()) for each in asking} == {id(each) for each in made} and len(made) == 1


def test_so_do_threads():
    """As functions that are offloaded do."""
    began, door, made = threading.Event(), threading.Event(), []

    def make() -> object:
        made.append(object())
        began.set()
        assert door.wait(20)
        return made[-1]

    value, found = actorrpc.per_hub(make), []
    threads = [threading.Thread(target=lambda: found.append(value.get())) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert began.wait(20)
    door.set()
    for thread in threads:
        thread.join(20)
    assert found == made * 4


@pytest.mark.parametrize("waits", ["greenlets", "threads"])
def test_so_do_those_who_wait_for_a_thread_with_a_loop_of_its_own(waits):
    """As an offloaded function has that waits in a patched process. Nobody runs that loop afterwards."""
    began, door = threading.Event(), threading.Event()

    def make() -> object:
        began.set()
        assert door.wait(20)
        return object()

    value = actorrpc.per_hub(make)
    pool = ThreadPool(5)
    pool.apply(gevent.sleep)
    first = pool.spawn(value.get)
    assert began.wait(20)
    if waits == "greenlets":
        asking = [gevent.spawn(value.get) for _ in range(4)]
        gevent.idle()
    else:
        asked = threading.Semaphore(0)
        asking = [pool.spawn(lambda: (asked.release(), value.get())[1]) for _ in range(4)]
        assert all(asked.acquire(timeout=20) for _ in asking)
    door.set()
    with gevent.Timeout(20):
        assert len({each.get() for each in (first, *asking)}) == 1
    pool.kill()


def test_who_waits_may_be_interrupted():
    door = gevent.event.Event()
    value = actorrpc.per_hub(lambda: door.wait())
    making, waiting = gevent.spawn(value.get), gevent.spawn(value.get)
    gevent.idle()
    waiting.kill()
    assert waiting.ready() and value._waiting == [] and shared._awaited == {}
    door.set()
    assert making.get() is True


def test_a_callback_of_the_loop_cannot_wait():
    """As an interceptor's on_end: it is told so, and holds up nobody."""
    door, told = gevent.event.Event(), gevent.event.AsyncResult()
    value = actorrpc.per_hub(lambda: door.wait())
    making = gevent.spawn(value.get)
    gevent.idle()

    def ask() -> None:
        try:
            value.get()
        except BaseException as error:
            told.set(error)

    gevent.get_hub().loop.run_callback(ask)
    assert "blocking function" in str(told.get(timeout=20))
    door.set()
    assert making.get() is True


@pytest.mark.parametrize("error", [ValueError, SystemExit, actorrpc.CallCancelled])
def test_a_factory_that_raises_is_tried_again_by_the_next(error):
    door, attempts = gevent.event.Event(), []

    def make() -> int:
        attempts.append(len(attempts))
        if attempts[-1] == 0:
            door.wait()
            raise error("not yet")
        return attempts[-1]

    value = actorrpc.per_hub(make)
    first = gevent.spawn(pytest.raises(error, match="not yet").__enter__)
    first.join()

    def ask() -> object:
        try:
            return value.get()
        except BaseException as raised:
            return type(raised)

    asking = [gevent.spawn(ask) for _ in range(3)]
    gevent.idle()
    door.set()
    assert [each.get() for each in asking] == [error, 1, 1]


def test_one_that_is_killed_while_it_makes_lets_another_make():
    attempts: list[int] = []

    def make() -> int:
        attempts.append(len(attempts))
        if len(attempts) == 1:
            gevent.event.Event().wait()
        return attempts[-1]

    value = actorrpc.per_hub(make)
    first, second = gevent.spawn(value.get), gevent.spawn(value.get)
    gevent.idle()
    first.kill()
    assert second.get() == 1


def test_a_factory_that_asks_for_its_own_value_is_told():
    value: Any = actorrpc.per_hub(lambda: value.get())
    with pytest.raises(RuntimeError, match="asks for what it is to make"):
        value.get()


def test_so_are_two_that_ask_for_each_other_at_once():
    """Neither can wait for the other."""
    door = gevent.event.Event()
    left: Any = actorrpc.per_hub(lambda: (door.wait(), right.get()))
    right: Any = actorrpc.per_hub(lambda: (door.wait(), left.get()))
    asking = [gevent.spawn(each.get) for each in (left, right)]
    gevent.idle()
    door.set()
    for each in asking:
        with pytest.raises(RuntimeError, match="asks for what it is to make"):
            each.get(timeout=20)


def _generate() -> Iterator[int]:
    yield 1


async def _wait() -> int:
    return 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"factory": 5}, "takes what makes the value, not the value: 5 cannot be called"),
        ({"factory": dict, "close": 5}, "takes what closes it: 5 cannot be called"),
        ({"factory": _generate}, "is a generator. Give it a plain function"),
        ({"factory": _wait}, "is async. Give it a plain function"),
        ({"factory": dict, "close": _wait}, "is async. Give it a plain function"),
    ],
    ids=["no function", "no function closes", "generator", "async", "async closes"],
)
def test_what_cannot_be_made_is_refused(arguments, words):
    with pytest.raises(TypeError) as caught:
        actorrpc.per_hub(**arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize("base", [StatefulBase, StatelessBase, actorrpc.Interceptor])
def test_nobody_sets_it(base):
    kind = type("Kind", (base,), {"db": actorrpc.per_hub(dict)})
    kind.db.__set_name__(kind, "db")
    with pytest.raises(AttributeError, match=r"Kind\.db is one value for the whole hub.*cannot be set"):
        kind().db = {}


@pytest.mark.parametrize("base", [StatefulBase, StatelessBase])
def test_what_cannot_be_set_says_how_to_share(base):
    with pytest.raises(actorrpc.LostAttributeError, match=r"`db = actorrpc\.per_hub\(factory\)`"):
        base().db = {}


# ---- the end


def app_of(**values: Any) -> actorrpc.App:
    def unary(self: Any, request: Item, call: Any) -> Item:
        return Item(text=" ".join(str(getattr(self, name) is not None) for name in values))

    return actorrpc.App([type("Shares", (StatefulBase,), {"Unary": unary, **values})])


def call(server: actorrpc.Server) -> Item:
    """Over grpcio, in a thread: this one has the loop."""
    import grpc

    def ask() -> Item:
        with grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            return StatefulStub(channel).Unary(Item(), timeout=20)

    result: Item = gevent.get_hub().threadpool.apply(ask)
    return result


def test_what_was_made_is_closed_when_the_server_has_stopped_and_made_anew_by_the_next(caplog):
    """The last that was made first; what raises is logged; what was not made is not closed."""
    log: list[str] = []

    def closing(name: str) -> Any:
        return actorrpc.per_hub(lambda: Engine(log, name), close=Engine.close)

    def close_and_raise(engine: Engine) -> None:
        gevent.sleep(0)  # it may block
        engine.close()
        raise SystemExit(3)

    one, two, unused = closing("one"), actorrpc.per_hub(lambda: Engine(log, "two"), close=close_and_raise), {}
    unused["three"] = closing("three")
    unclosed = actorrpc.per_hub(lambda: Engine(log, "four"))
    app = app_of(one=one, two=two, unclosed=unclosed)
    for _ in range(2):
        log.clear()
        with actorrpc.Server(app) as server:
            assert call(server).text == "True True True"
            assert call(server).text == "True True True"
            assert log == ["made one", "made two", "made four"]
        assert log[3:] == ["closed two", "closed one"]
    assert caplog.text.count("closing Shares.two raised") == 2
    server.stop()
    assert len(log) == 5, "once"


def test_it_is_closed_after_the_last_turn():
    log: list[str] = []

    def on_disconnect(self: Any) -> None:
        gevent.sleep(0)
        self.log(f"on_disconnect, {self.db.name}")

    values = {
        "db": actorrpc.per_hub(lambda: Engine(log), close=Engine.close),
        "on_disconnect": on_disconnect,
        "log": lambda self, line: log.append(line),
    }
    with actorrpc.Server(app_of(**values)) as server:
        call(server)
    assert log == ["made engine", "on_disconnect, engine", "closed engine"]


def test_servers_of_one_process_share_it_until_the_last_has_stopped():
    log: list[str] = []
    app = app_of(db=actorrpc.per_hub(lambda: Engine(log), close=Engine.close))
    with actorrpc.Server(app) as left:
        with actorrpc.Server(app) as right:
            call(left)
            call(right)
        assert log == ["made engine"]
        call(left)
    assert log == ["made engine", "closed engine"]


def test_a_server_that_begins_while_they_are_closed_has_its_own():
    log: list[str] = []
    closing, door = gevent.event.Event(), gevent.event.Event()
    db = actorrpc.per_hub(lambda: Engine(log), close=Engine.close)
    slow = actorrpc.per_hub(lambda: Engine(log, "slow"), close=lambda engine: (closing.set(), door.wait()))
    app = app_of(db=db, slow=slow)
    first = actorrpc.Server(app)
    call(first)
    stopping = gevent.spawn(first.stop)
    assert closing.wait(20)
    with actorrpc.Server(app) as second:
        call(second)
        door.set()
        stopping.get(timeout=20)
        assert log == ["made engine", "made slow", "made engine", "made slow", "closed engine"]
        call(second)
    assert log[5:] == ["closed engine"]


def test_what_closes_may_ask_for_itself_and_what_was_made_before(caplog):
    """And for nothing else: nothing is made then."""
    log: list[str] = []
    first = actorrpc.per_hub(lambda: Engine(log, "first"), close=lambda engine: second.get())
    second: Any = actorrpc.per_hub(
        lambda: Engine(log, "second"),
        close=lambda engine: log.append(f"{first.get().name}, {second.get().name}"),
    )
    unmade = actorrpc.per_hub(lambda: Engine(log, "unmade"))
    third = actorrpc.per_hub(lambda: Engine(log, "third"), close=lambda engine: unmade.get())
    for each in (first, second, third):
        each.get()
    shared.enter()
    shared.leave()
    assert log == ["made first", "made second", "made third", "first, second"]
    assert caplog.text.count("is asked for by what is closed") == 2


def test_a_hub_does_not_wait_for_ever(caplog):
    value = actorrpc.per_hub(dict, close=lambda value: gevent.event.Event().wait())
    value.get()
    shared.enter()
    shared.leave(0.01)
    assert "was not closed within 0.01 s, and is given up" in caplog.text


# ---- children


class Goodbye:
    """Would say good-bye to a database when it is freed."""

    def __init__(self, fd: int) -> None:
        self.fd, self.pid = fd, os.getpid()

    def __del__(self) -> None:
        os.write(self.fd, b"freed by parent" if os.getpid() == self.pid else b"freed by child")


def in_child(job: Callable[[], object]) -> str:
    """What a function returns in a forked child."""
    ours, theirs = multiprocessing.Pipe()
    pid = os.fork()
    if not pid:
        try:
            theirs.send(str(job()))
        finally:
            os._exit(0)
    assert ours.poll(20)
    os.waitpid(pid, 0)
    result: str = ours.recv()
    ours.close()
    theirs.close()
    return result


def test_a_child_makes_its_own_and_harms_not_its_parents():
    said, says = os.pipe()
    value = actorrpc.per_hub(lambda: Goodbye(says), close=lambda goodbye: None)
    mine = value.get()
    assert mine.pid == os.getpid()

    def look() -> str:
        own = value.get()
        gc.collect()
        return f"{own.pid == os.getpid()} {own is value.get()} {len(shared._made)} {shared._serving}"

    assert in_child(look) == "True True 1 0"
    assert value.get() is mine
    del mine
    shared.enter()
    shared.leave()
    assert os.read(said, 100) == b"freed by parent"
    os.close(said)
    os.close(says)


def test_so_does_one_that_is_forked_while_it_is_made():
    door, attempts = gevent.event.Event(), []

    def make() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            door.wait()
        return len(attempts)

    value = actorrpc.per_hub(make)
    making = gevent.spawn(value.get)
    gevent.idle()
    assert in_child(value.get) == "2"
    door.set()
    assert making.get() == 1


def test_to_import_the_package_imports_no_gevent():
    program = "import sys, actorrpc; sys.exit('gevent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
