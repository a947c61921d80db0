"""Links between hubs that live and break: they are made again, and no client notices."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.fixtures import Serve
from tests.support.links import break_link, link_between
from tests.support.server_process import ServerProcess
from tests.support.traffic import traffic
from tests.support.waiting import PATIENCE

PAIRS = ((0, 1), (0, 2), (1, 2))


def pids(server: ServerProcess) -> list[int]:
    return [row["pid"] for row in server.status()["hubs"]]


def break_and_wait(server: ServerProcess, one: int, other: int) -> None:
    """Break a link, and wait until there is another."""
    running = pids(server)
    broken = break_link(running[one], running[other])
    server.wait_for(lambda: link_between(running[one], running[other]) not in (broken, None))


def until_linked(server: ServerProcess, running: list[int]) -> None:
    server.wait_for(lambda: all(link_between(running[one], running[other]) for one, other in PAIRS))


def move_to(server: ServerProcess, hub: int, connections: list[str]) -> None:
    for connection in connections:
        assert server.move(connection, hub) == "", server.log


@contextmanager
def client_in(server: ServerProcess, hub: int) -> Iterator[tuple[Any, str]]:
    """A client whose connection is in a hub, and what that is called."""
    before = {each["id"] for each in server.connections()}
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(server.address, options=options) as channel:
        stub: Any = StatefulStub(channel)
        stub.Unary(Item(), timeout=PATIENCE)
        (own,) = {each["id"] for each in server.connections()} - before
        move_to(server, hub, [own])
        yield stub, own


def test_a_link_that_breaks_is_made_again_and_no_call_fails(serve: Serve) -> None:
    server = serve(hubs=3)
    with traffic(server.address, 6) as clients:
        for one, other in PAIRS:
            break_and_wait(server, one, other)
            clients.go_on()
            ours = [row["id"] for row in server.connections()]
            for hub in (one, other, one):
                move_to(server, hub, ours)
            clients.go_on()
        done = server.run("reload")
        assert done.returncode == 0, done.stderr + server.log
        clients.go_on()
    assert server.status()["moves"]["aborted"] == 0
    assert server.log.count("have a new link") == len(PAIRS)


def test_links_that_break_under_topics_and_moves_lose_and_repeat_nothing(serve: Serve) -> None:
    """A subscriber and a publisher in other hubs than the topics' homes, which are everywhere; and the links
    break while a hub's topics go to others."""
    server = serve(hubs=3)
    topics = [f"topic {number}" for number in range(6)]
    with client_in(server, 0) as (subscriber, _), client_in(server, 1) as (publisher, _):
        heard = [subscriber.Listen(Item(text=topic), timeout=3 * PATIENCE) for topic in topics]
        for topic, each in zip(topics, heard, strict=True):
            assert dict(each.initial_metadata())
            # Its own publication comes back when the subscription stands.
            subscriber.Publish(Item(text=topic, number=0), timeout=PATIENCE)
            assert next(each).number == 0
        for number, step in enumerate(("break", "drain", "break", "undo", "break"), 1):
            running = pids(server)
            if step == "break":
                for one, other in PAIRS:
                    break_link(running[one], running[other])
            else:
                undo = ["--undo"] if step == "undo" else []
                for one, other in ((0, 2), (1, 2)):
                    break_link(running[one], running[other])
                assert server.run("drain", 2, *undo).returncode == 0, server.log
            for topic in topics:
                publisher.Publish(Item(text=topic, number=number), timeout=PATIENCE)
            assert [next(each).number for each in heard] == [number] * len(topics)
            until_linked(server, running)


def test_who_has_no_descriptor_left_for_a_link_gets_it_when_he_has(serve: Serve) -> None:
    server = serve(hubs=2)
    one, other = pids(server)
    limits = resource.prlimit(one, resource.RLIMIT_NOFILE)
    with client_in(server, 1) as (client, own):
        # None that it opens from now on would have so low a number.
        resource.prlimit(one, resource.RLIMIT_NOFILE, (3, limits[1]))
        break_link(one, other)
        server.wait_for(lambda: server.log.count("no room for the socket that came with peer") > 1)
        assert "link" in server.move(own, 0)
        assert client.Unary(Item(), timeout=PATIENCE).number == 2
        resource.prlimit(one, resource.RLIMIT_NOFILE, limits)
        server.wait_for(lambda: server.move(own, 0) == "")
        assert client.Unary(Item(), timeout=PATIENCE).number == 3


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_nobody_is_linked_to_who_has_ended(serve: Serve, signum: signal.Signals) -> None:
    server = serve(hubs=3)
    before = pids(server)
    os.kill(before[1], signum)
    server.wait_for(lambda: server.hub(1)["pid"] not in (before[1], None))
    server.wait_for(lambda: server.hub(1)["state"] == "serving")
    until_linked(server, pids(server))
    assert "new link" not in server.log
