"""Real hubs that have more memory than they should."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.apps.shapes_pb2 import Item
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Serve
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until

APP = "tests.apps.heavy:app"
MB = 2**20


class Client(CountingClient):
    """A client whose actor has a state of so many bytes."""

    def grow(self, size: int) -> None:
        self.calls += 1
        reply = self.stub.Unary(Item(number=size), timeout=PATIENCE, wait_for_ready=True)
        assert reply.number == self.calls


class Clients:
    def __init__(self) -> None:
        self.opened = ExitStack()

    def __call__(self, server: ServerProcess, count: int) -> list[Client]:
        clients = []
        for _ in range(count):
            clients.append(client := Client(server.address))
            self.opened.callback(client.close)
            client.call()
        return clients


@pytest.fixture
def clients() -> Iterator[Clients]:
    clients = Clients()
    with clients.opened:
        yield clients


def memory(server: ServerProcess) -> list[int]:
    return [hub["memory"] for hub in server.status()["hubs"]]


def over(server: ServerProcess) -> list[int]:
    return [hub["id"] for hub in server.status()["hubs"] if hub["over_memory"]]


def counts(server: ServerProcess) -> list[int]:
    return [hub["connections"] for hub in server.status()["hubs"]]


def resting(serve: Serve) -> int:
    """What a hub that serves this app has at first."""
    server = serve(app=APP, hubs=1)
    found: list[int] = until(lambda: [each for each in memory(server) if each])
    server.close()
    return found[0]


def gather(server: ServerProcess, hub: int) -> None:
    """Have all connections on one hub."""
    for row in server.connections():
        assert server.move(row["id"], hub) == ""


@pytest.mark.parametrize("accept", ("reuseport", "acceptor"))
def test_a_hub_that_has_too_much_gives_to_others_until_it_has_not(
    serve: Serve, clients: Clients, accept: str
) -> None:
    limit = resting(serve) + 80 * MB  # of 100 that come
    server = serve("--max-memory", limit, "--accept", accept, app=APP)
    crowd = clients(server, 50)
    gather(server, 0)
    known = {row["id"] for row in server.connections()}
    for client in crowd:
        client.grow(2 * MB)
    until(lambda: over(server) == [0], told=lambda: f"{memory(server)} {server.log}")

    def is_over_no_more() -> bool:
        """What comes meanwhile goes to the other hub."""
        newcomers = clients(server, 4)
        new = {row["id"]: row["hub"] for row in server.connections() if row["id"] not in known}
        known.update(new)
        for client in newcomers:
            client.close()
        still = over(server) == [0]
        assert not still or list(new.values()) == [1] * 4
        return not still

    until(is_over_no_more, told=lambda: f"{memory(server)} {server.log}")
    until(lambda: "no longer over --max-memory" in server.log)
    assert over(server) == []
    for client in crowd:
        client.call()
    journal = json.loads(server.run("moves", "--json").stdout)
    moves = [row for row in journal if row["by"] == "--max-memory"]
    assert {(row["source"], row["target"]) for row in moves} == {(0, 1)}
    assert all(row["reason"].startswith("hub 0 has ") for row in moves)
    assert 0 < len([row for row in moves if row["outcome"] == "moved"]) < 50
    assert server.log.count("over --max-memory of") == 1
    assert memory(server)[1] <= limit


def test_all_have_too_much_and_serve_on(serve: Serve, clients: Clients) -> None:
    server = serve("--max-memory", MB, app=APP)
    until(lambda: "all hubs are over --max-memory" in server.log)
    crowd = clients(server, 20)
    for client in crowd:
        client.call()
    until(lambda: sum(counts(server)) == 20)
    assert over(server) == [0, 1]
    assert server.log.count("all hubs are over") == 1
    assert json.loads(server.run("moves", "--json").stdout) == []


def test_a_pause_holds_it_back(serve: Serve, clients: Clients) -> None:
    limit = resting(serve) + 40 * MB
    server = serve("--max-memory", limit, app=APP)
    assert server.run("rebalance", "pause").returncode == 0
    crowd = clients(server, 30)
    gather(server, 0)
    for client in crowd:
        client.grow(2 * MB)
    until(lambda: over(server) == [0])
    until(lambda: counts(server) == [30, 0])  # each hub reports for itself, when it is its time
    journal = json.loads(server.run("moves", "--json").stdout)
    assert not [row for row in journal if row["by"] == "--max-memory"]
    assert server.run("rebalance", "resume").returncode == 0
    until(lambda: counts(server)[1] > 0)
