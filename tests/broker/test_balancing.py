"""A user's policy in a real broker: what it asks for is done, and what it breaks is its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.counting_client import CountingClient
from tests.support.fixtures import Serve
from tests.support.server_process import ServerProcess
from tests.support.waiting import until

Connect = Callable[[str], CountingClient]

POLICIES = '''
from actorrpc.balancing.view import Move, Stay


class ToHubOne:
    """Moves what hub 0 names to hub 1."""

    def plan(self, view):
        if any(hub.hub == 0 and hub.heaviest for hub in view.loads.values()):
            for each in view.loads[0].heaviest:
                yield Move(each.id, 0, 1, "hub 1 is nicer", each.load)
        else:
            yield Stay("", "hub 0 has nothing to move")


class Raises:
    def plan(self, view):
        raise RuntimeError("on purpose")


class Spins:
    def plan(self, view):
        while True:
            pass


class Cannot:
    def __init__(self):
        raise OSError("no")


class Planless:
    pass
'''


def with_policy(serve: Serve, folder: Path, name: str, *options: object, ready: bool = True) -> ServerProcess:
    (folder / "my_policies.py").write_text(POLICIES)
    return serve("--policy", f"my_policies:{name}", *options, cwd=folder, ready=ready)


def moves(server: ServerProcess) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(server.run("moves", "--json").stdout)
    return rows


def test_a_users_policy_moves_connections(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    record = tmp_path / "record"
    server = with_policy(serve, tmp_path, "ToHubOne", "--record", record)
    assert server.run("rebalance", "pause").stdout.startswith("paused")
    clients = [connect(server.address) for _ in range(8)]
    for client in clients:
        client.call()
    on_hub_0 = [row["id"] for row in server.connections() if row["hub"] == 0]
    assert server.status()["rebalance"]["paused"]
    assert server.run("rebalance", "resume").stdout == "policy my_policies:ToHubOne moves connections\n"

    def all_on_hub_1() -> bool:
        for client in clients:
            client.call()  # what is idle is not named
        return all(row["hub"] == 1 for row in server.connections())

    until(all_on_hub_1)
    moved = [row for row in moves(server) if row["kind"] == "move" and row["outcome"] == "moved"]
    assert {row["what"] for row in moved} >= set(on_hub_0)
    assert {row["reason"] for row in moved} == {"hub 1 is nicer"}
    until(lambda: any(row["kind"] == "stay" for row in moves(server)))
    assert "hub 1 is nicer" in server.run("moves").stdout

    def recorded() -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in record.read_text().splitlines(keepends=True) if line[-1:] == "\n"
        ]

    assert {line["moved"]["connection"] for line in recorded() if "moved" in line} >= set(on_hub_0)

    def names_a_connection() -> bool:
        for client in clients:
            client.call()
        return any(hub["heaviest"] for line in recorded() if "hubs" in line for hub in line["hubs"])

    until(names_a_connection)  # hubs are written down only once in a while


def test_a_policy_that_fails_harms_nobody(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    for name, complaint in (("Raises", "RuntimeError: on purpose"), ("Spins", "takes longer than")):
        server = with_policy(serve, tmp_path, name)
        client = connect(server.address)
        client.call()
        until(lambda server=server, complaint=complaint: complaint in server.log)
        client.call()
        (row,) = server.connections()
        other = 1 - row["hub"]
        assert server.run("move", row["id"], other).returncode == 0
        client.call()
        assert server.run("stop").returncode == 0


def test_a_policy_that_cannot_be_made(serve: Serve, tmp_path: Path) -> None:
    for name, why in (
        ("Cannot", "policy 'my_policies:Cannot' cannot be made: OSError: no"),
        ("Planless", "policy 'my_policies:Planless' has no plan(view)"),
        ("Absent", "policy 'my_policies:Absent' does not import: AttributeError"),
    ):
        server = with_policy(serve, tmp_path, name, ready=False)
        assert server.wait() == 2
        assert why in server.log
        assert server.log.count("\n") == 1


def test_what_would_stop_two_hubs_for_too_long_moves_only_by_hand(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    """Whatever the policy: here it asks for all that it is shown, and the least move takes longer."""
    server = with_policy(serve, tmp_path, "ToHubOne", "--max-move-time", "1e-6")
    client = connect(server.address)
    client.call()
    (row,) = server.connections()
    if row["hub"] != 0:
        assert server.run("move", row["id"], 0).returncode == 0

    def refused() -> list[dict[str, object]]:
        client.call()  # what is idle is not named
        return [each for each in moves(server) if each["outcome"] == "aborted"]

    until(refused)
    assert {(each["by"], each["what"]) for each in refused()} == {("my_policies:ToHubOne", row["id"])}
    for each in refused():
        assert str(each["why"]).startswith("a move would stop its two hubs for ")
    (row,) = server.connections()
    assert row["hub"] == 0 and row["movable"] and row["move_ms"] > 0
    assert row["why"].startswith("no policy moves it: a move would stop its two hubs for ")
    assert server.run("move", row["id"], 1).returncode == 0
    assert [each["hub"] for each in server.connections()] == [1]
    client.call()
