"""What an app does beside calls where its server is embedded, or a test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

import actorrpc
from actorrpc import testing
from actorrpc.errors import ConfigError
from actorrpc.testing.hubs import Hubs
from tests.apps.shapes import Stateful
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.processes import python
from tests.support.waiting import PATIENCE, until


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def app(said: list[str]) -> Iterator[actorrpc.App]:
    def hook(name: str) -> Callable[[], None]:
        def run() -> None:
            said.append(name)
            app.publish("topic", Item(text=name))

        return run

    yield (app := actorrpc.App([Stateful], on_start=hook("start"), on_stop=hook("stop")))
    with pytest.raises(RuntimeError, match="this process does not serve the app"):
        app.publish("topic", Item())


def test_in_a_test_s_server_hooks_run_once_and_the_test_may_publish(
    app: actorrpc.App, said: list[str]
) -> None:
    with testing.serve(app, hubs=2, move_every=1) as server:
        assert said == ["start"]
        replies: Any = StatefulStub(server.channel()).Listen(Item(text="topic"), timeout=PATIENCE)
        assert dict(replies.initial_metadata())
        for number in range(50):  # from the test's own thread
            app.publish("topic", Item(number=number))
            if number % 10 == 0:
                server.move()
        assert [next(replies).number for _ in range(50)] == [*range(50)]
        replies.cancel()
    assert said == ["start", "stop"]


def test_in_an_embedded_server(app: actorrpc.App, said: list[str]) -> None:
    with actorrpc.Server(app) as server:
        assert said == ["start"]
        app.publish("topic", Item())
        with pytest.raises(ConfigError, match="another server of this process serves the app"):
            actorrpc.Server(app)
        app.publish("topic", Item())
        assert said == ["start"] and not server.connection_count
    assert said == ["start", "stop"]


SCRIPT = """
import os
import actorrpc
from tests.apps.shapes import Stateless
from tests.apps.shapes_pb2 import Item

app = actorrpc.App([Stateless])

def publish(where):
    try:
        app.publish("topic", Item())
        print(where, "has published", flush=True)
    except RuntimeError as error:
        print(where, str(error).partition(",")[0], flush=True)

publish("the script")
with actorrpc.Server(app):
    publish("the server")
    if not (pid := os.fork()):
        publish("the child")
        with actorrpc.Server(app):
            publish("the child's server")
        os._exit(0)
    os.waitpid(pid, 0)
    publish("its parent")
"""


def test_a_script_and_a_child_do_not_serve() -> None:
    done = python("-c", SCRIPT)
    assert done.stdout.splitlines() == [
        "the script this process does not serve the app",
        "the server has published",
        "the child this process does not serve the app",
        "the child's server has published",
        "its parent has published",
    ], done.stderr


@pytest.mark.parametrize("serve", [actorrpc.Server, lambda app: testing.serve(app).__enter__()])
def test_a_server_whose_app_cannot_start(serve: Callable[[actorrpc.App], object]) -> None:
    def on_start() -> None:
        raise ValueError("there is no database")

    with pytest.raises(ConfigError, match=r"on_start raised ValueError: there is no database"):
        serve(actorrpc.App([Stateful], on_start=on_start))


def test_what_is_published_at_the_end_is_numbered_though_the_other_hub_has_ended(app: actorrpc.App) -> None:
    """All its topics have a home then."""
    hubs = Hubs(app, actorrpc.Config(), 2)
    first, second = hubs.nodes
    first.host.start()
    stopping = gevent.spawn(hubs.stop, 0.0)
    until(stopping.ready, sleep=gevent.sleep)
    assert first.topics.home_of("topic") == first.topics.home_of("other") == 0
    assert first.host._unacknowledged == 0 and second.host._unacknowledged == 0
