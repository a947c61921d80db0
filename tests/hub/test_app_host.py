"""What an app may do beside calls: when its hooks run, when what it publishes goes out, and from where."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import get_hub
from gevent.event import Event
from gevent.monkey import get_original

import actorrpc
from actorrpc.errors import ConfigError, RpcError, StatusCode
from actorrpc.hub import app_host
from actorrpc.hub.app_host import AppHost
from tests.apps.shapes import Stateless
from tests.apps.shapes_pb2 import Item
from tests.support.waiting import PATIENCE, until

start_new_thread: Callable[..., object] = get_original("_thread", "start_new_thread")


#: No calls are made here.
NO_INVOKING: Any = None


class FakeTopics:
    """Keeps what is published. ``answers``: it is acknowledged at once."""

    def __init__(self) -> None:
        self.published: list[tuple[str, int]] = []
        self.unacknowledged: list[Callable[[], None]] = []
        self.answers = True
        self.full = False

    def publish(
        self, topic: str, type: str, payload: bytes, acknowledged: Callable[[], None], group: str
    ) -> None:
        self.reserve(topic, type, payload, acknowledged, group)()

    def reserve(
        self, topic: str, type: str, payload: bytes, acknowledged: Callable[[], None], group: str
    ) -> Callable[[], None]:
        assert (type, group) == ("shapes.Item", topic)
        if self.full:
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, "too much waits")

        def publish() -> None:
            self.published.append((topic, Item.FromString(payload).number))
            if self.answers:
                acknowledged()
            else:
                self.unacknowledged.append(acknowledged)

        return publish

    @property
    def numbers(self) -> list[int]:
        return [number for _, number in self.published]


class Hub:
    """An app, and its host in a hub, which a test takes through its life."""

    def __init__(
        self, on_start: Callable[[], object] | None = None, on_stop: Callable[[], object] | None = None
    ) -> None:
        self.app = actorrpc.App([Stateless], on_start=on_start, on_stop=on_stop)
        self.topics = FakeTopics()
        topics: Any = self.topics
        self.host = AppHost(self.app, topics, NO_INVOKING)
        self.stopped = Event()

    def serve(self) -> None:
        self.host.start()
        self.host.joined()

    def stop(self, seconds: float = PATIENCE) -> None:
        self.host.stop(seconds, self.stopped.set)

    def publish(self, number: int) -> None:
        self.app.publish("topic", Item(number=number))


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    hub.serve()
    yield hub
    hub.host.close()


def in_thread(function: Callable[[], object]) -> Callable[[], object]:
    """Call a function in a thread of the system's. Returns what waits for what it returns, or raises."""
    ended: list[tuple[object, BaseException | None]] = []

    def run() -> None:
        try:
            ended.append((function(), None))
        except BaseException as error:
            ended.append((None, error))

    start_new_thread(run, ())

    def wait() -> object:
        until(lambda: ended, sleep=gevent.sleep)
        result, error = ended[0]
        if error is not None:
            raise error
        return result

    return wait


# ---- publishing


def test_a_greenlet_publishes_at_once(hub: Hub) -> None:
    hub.publish(1)
    assert hub.topics.published == [("topic", 1)]


def test_threads_publish_each_in_its_order(hub: Hub) -> None:
    def publish(first: int) -> None:
        for number in range(first, first + 300):
            hub.publish(number)

    waits = [in_thread(lambda first=first: publish(first)) for first in (0, 1000)]  # type: ignore[misc]
    for number in range(2000, 2100):
        hub.publish(number)
        gevent.sleep(0)
    for wait in waits:
        wait()
    for first, count in ((0, 300), (1000, 300), (2000, 100)):
        own = [number for number in hub.topics.numbers if first <= number < first + 1000]
        assert own == [*range(first, first + count)]


def test_a_thread_has_a_loop_of_its_own(hub: Hub) -> None:
    """Its other greenlets go on while one of them waits."""

    def run() -> list[str]:
        said: list[str] = []
        other = gevent.spawn(said.append, "other")
        publishing = gevent.spawn(lambda: (hub.publish(1), said.append("published")))
        gevent.joinall([other, publishing], raise_error=True)
        get_hub().destroy()
        return said

    assert in_thread(run)() == ["other", "published"]
    assert hub.topics.numbers == [1]


def test_a_greenlet_of_a_thread_that_is_interrupted_leaves_nothing(hub: Hub) -> None:
    interrupted = threading.Event()

    def run() -> None:
        publishing = gevent.spawn(hub.publish, 1)
        gevent.sleep(0)
        publishing.kill()
        interrupted.set()
        get_hub().destroy()

    wait = in_thread(run)
    assert interrupted.wait(PATIENCE)  # which holds this loop
    wait()
    hub.publish(2)
    until(lambda: not hub.host._asking._asked, sleep=gevent.sleep)
    assert hub.topics.numbers == [2]


def test_what_is_raised_comes_to_who_publishes(hub: Hub) -> None:
    with pytest.raises(TypeError, match="what is published is a Protobuf message, not 'text'"):
        hub.app.publish("topic", "text")  # type: ignore[arg-type]
    hub.topics.full = True
    for publish in (lambda: hub.publish(1), in_thread(lambda: hub.publish(1))):
        with pytest.raises(RpcError) as caught:
            publish()
        assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
    hub.topics.full = False
    hub.stop()
    assert hub.stopped.wait(PATIENCE), "what was refused is not waited for"


def test_before_the_hub_has_joined_messages_wait_and_keep_their_order() -> None:
    hub = Hub(on_start=lambda: hub.publish(1))
    hub.host.start()
    hub.publish(2)
    in_thread(lambda: hub.publish(3))()
    assert hub.topics.published == []
    hub.host.joined()
    hub.publish(4)
    hub.host.joined()  # it hears of other homes
    assert hub.topics.numbers == [1, 2, 3, 4]
    hub.host.close()


def test_too_much_may_wait_then_too() -> None:
    hub = Hub()
    hub.host.start()
    hub.topics.full = True
    with pytest.raises(RpcError):
        hub.publish(1)
    hub.host.joined()
    hub.stop()
    assert hub.stopped.wait(PATIENCE)


NOWHERE = r"this process does not serve the app, so that app\.publish has nowhere to go"


def test_where_nothing_serves_it_says_so() -> None:
    hub = Hub()
    with pytest.raises(RuntimeError, match=NOWHERE):
        hub.publish(1)
    hub.serve()
    hub.publish(2)
    hub.stop()
    assert hub.stopped.wait(PATIENCE)
    with pytest.raises(RuntimeError, match=NOWHERE):
        hub.publish(3)
    assert hub.topics.numbers == [2]


def test_two_servers_of_one_process_do_not_know_whose_it_is(hub: Hub) -> None:
    topics: Any = FakeTopics()
    other = AppHost(hub.app, topics, NO_INVOKING)
    other.start()
    with pytest.raises(RuntimeError, match=r"2 servers of this process serve the app"):
        hub.publish(1)
    other.close()
    hub.publish(2)
    assert hub.topics.numbers == [2]


def test_a_child_cannot_publish_and_its_parent_goes_on(hub: Hub) -> None:
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        try:
            hub.host.forked()  # as actorrpc.forks does for a node
            try:
                hub.publish(1)
            except RuntimeError as error:
                os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    os.close(writer)
    assert said.startswith("this process does not serve the app")
    hub.publish(2)
    assert hub.topics.numbers == [2]


def test_a_thread_that_waits_when_the_hub_stops_is_told(hub: Hub) -> None:
    loop: Any = SimpleNamespace(run_callback_threadsafe=id)  # which will not run again
    hub.host._asking._loop = loop
    wait = in_thread(lambda: hub.publish(1))
    until(lambda: hub.host._asking._asked, sleep=gevent.sleep)
    hub.host.close()
    with pytest.raises(RuntimeError, match="this hub has stopped"):
        wait()
    with pytest.raises(RuntimeError, match="this hub has stopped"):  # who has got hold of it before
        hub.host.publish("topic", Item())
    with pytest.raises(RuntimeError, match="this hub has stopped"):
        in_thread(lambda: hub.host.publish("topic", Item()))()
    assert hub.topics.published == []


# ---- hooks


def test_on_stop_runs_and_what_it_publishes_is_seen_home() -> None:
    hub = Hub(on_stop=lambda: hub.publish(1))
    hub.serve()
    hub.topics.answers = False
    hub.stop()
    until(lambda: hub.topics.unacknowledged, sleep=gevent.sleep)
    gevent.sleep(0)
    assert not hub.stopped.is_set()
    hub.topics.unacknowledged[0]()
    assert hub.stopped.wait(PATIENCE)


def test_a_home_that_does_not_answer_is_not_waited_for_for_ever(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app_host, "LEAST", 0.01)
    hub.topics.answers = False
    hub.publish(1)
    hub.publish(2)
    hub.stop()
    assert hub.stopped.wait(PATIENCE)
    assert "2 publications have not come to their homes" in caplog.text


def test_what_waits_for_a_hub_that_never_joined_is_not_waited_for() -> None:
    hub = Hub(on_start=lambda: hub.publish(1))
    hub.host.start()
    hub.stop()
    assert hub.stopped.wait(PATIENCE)
    assert hub.topics.published == []


def test_on_stop_that_raises_or_hangs_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app_host, "LEAST", 0.01)

    def leave() -> None:
        raise SystemExit("it is over")

    for on_stop, said in (
        (leave, "on_stop raised"),
        (lambda: gevent.sleep(PATIENCE), "on_stop has not ended"),
    ):
        hub = Hub(on_stop=on_stop)
        hub.serve()
        hub.stop(0.0)
        assert hub.stopped.wait(PATIENCE)
        assert said in caplog.text


def test_on_stop_has_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_host, "LEAST", 0.0)
    over = Event()
    hub = Hub(on_stop=over.wait)
    hub.serve()
    hub.stop(PATIENCE)
    for _ in range(5):
        gevent.sleep(0.001)  # turns of the loop, with the timers that are due
    assert not hub.stopped.is_set()
    over.set()
    assert hub.stopped.wait(PATIENCE)


@pytest.mark.parametrize(
    "error", [ValueError("no database"), SystemExit("no database")], ids=["error", "exit"]
)
def test_on_start_that_raises_keeps_the_hub_from_serving(error: BaseException) -> None:
    ended: list[int] = []

    def on_start() -> None:
        raise error

    hub = Hub(on_start, on_stop=lambda: ended.append(1))
    with pytest.raises(ConfigError, match=r"^on_start raised \w+: no database \(.*in on_start\)$") as caught:
        hub.host.start()
    assert "in on_start" in caught.value.trace
    with pytest.raises(RuntimeError, match=NOWHERE):
        hub.publish(1)
    hub.stop()
    assert hub.stopped.is_set() and not ended, "what has not begun does not stop"


def test_what_is_no_hook_is_refused() -> None:
    async def late() -> None: ...

    def generator() -> Iterator[None]:
        yield

    for hook, said in ((1, "a function without arguments"), (late, "coroutine"), (generator, "generator")):
        for name in ("on_start", "on_stop"):
            with pytest.raises(ConfigError, match=f"{name}=.*{said}"):
                actorrpc.App([Stateless], **{name: hook})  # type: ignore[arg-type]
