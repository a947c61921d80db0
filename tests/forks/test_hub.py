"""Children that are forked from a hub: nobody but the hub answers, and none of its sockets lives on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apps.shapes_pb2 import Item
from tests.forks.bystander import Bystander
from tests.forks.ways import MANNERS, WAYS, Child, descriptors
from tests.support.fixtures import Serve
from tests.support.raw_client import RawClient
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until

APP = "tests.forks.app:app"

#: The child is a fresh program, which never had anything of the hub.
FRESH = [way for way in WAYS if "spawn" in way or "forkserver" in way or way == "subprocess"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of one hub, for tests that do it no harm."""
    server = ServerProcess(folder=tmp_path_factory.mktemp("hub"), app=APP, hubs=1)
    try:
        server.until_ready()
        yield server
    finally:
        server.close()  # servers of forkserver and workers of pools end when they see that the hub has


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("way", WAYS)
def test_a_child_has_no_part_in_its_hub(
    hub: ServerProcess, connect: Callable[[str], Bystander], child: Child, way: str, manner: str
) -> None:
    """Ten others are answered by the hub alone, and none of its sockets is the child's, nor its lock."""
    bystanders = [connect(hub.address) for _ in range(10)]
    (pid,) = {each.answered_by() for each in bystanders}
    starter = connect(hub.address)
    own = set(starter.ask("own").split("\n"))
    assert starter.ask(way, child.folder, manner) == "started"
    child.wait()
    for _ in range(10):
        assert {each.answered_by() for each in bystanders} == {pid}
    of_hub, of_child = descriptors(pid), child.descriptors()
    sockets = {name for name in of_hub.values() if name.startswith("socket:")}
    assert len(sockets) > len(bystanders)
    shared = sockets & set(of_child.values())
    assert shared == (set() if way in FRESH else own)
    assert not [name for name in of_child.values() if name.endswith(".pid")]
    assert child.alive


@pytest.mark.parametrize("way", ["subprocess", "posix_spawn", "Process spawn"])
def test_a_program_does_not_ignore_what_its_hub_ignores(
    hub: ServerProcess, connect: Callable[[str], Bystander], child: Child, way: str
) -> None:
    ours = {signal.SIGINT, signal.SIGHUP}
    starter = connect(hub.address)
    assert not ours & signals_in(int(starter.answered_by()), "SigIgn", "SigBlk")
    assert starter.ask(way, child.folder, "blocks") == "started"
    pid = child.wait()
    assert not ours & signals_in(pid, "SigIgn", "SigBlk")
    os.kill(pid, signal.SIGHUP)
    until(lambda: not child.alive)


def signals_in(pid: int, *masks: str) -> set[int]:
    """The signals in these masks of a process's status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    bits = [int(value, 16) for name, _, value in (line.partition(":") for line in lines) if name in masks]
    assert len(bits) == len(masks)
    return {number for number in range(1, 65) if any(mask >> (number - 1) & 1 for mask in bits)}


def test_a_moved_connection_ends_with_its_hub_while_a_child_of_the_first_lives(
    serve: Serve, connect: Callable[[str], Bystander], child: Child
) -> None:
    server = serve(app=APP)
    starter = connect(server.address)
    with RawClient(server.address) as client:
        client.wait_for(4)  # SETTINGS
        (row,) = until(lambda: [row for row in server.connections() if row["peer"] == client.name])
        until(lambda: server.hub(row["hub"])["connections"])
        hubs = {hub["id"]: hub["pid"] for hub in server.status()["hubs"]}
        while starter.answered_by() != hubs[row["hub"]]:
            starter = connect(server.address)
        assert starter.ask("os.fork", child.folder, "blocks") == "started"
        child.wait()
        other = 1 - row["hub"]
        assert server.run("move", row["id"], other).returncode == 0
        os.kill(hubs[other], signal.SIGKILL)
        client.wait_for_end()
    assert child.alive
    child.end()


def test_a_port_is_free_when_its_server_has_ended_while_a_child_lives(
    serve: Serve, connect: Callable[[str], Bystander], child: Child
) -> None:
    server = serve(app=APP, hubs=1)
    client = connect(server.address)
    assert client.ask("Process fork", child.folder, "blocks") == "started"
    child.wait()
    server.kill()
    again = serve("--runtime-dir", server.runtime_dir, app=APP, hubs=1, bind=server.address)
    assert again.address == server.address
    assert child.alive
    child.end()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize(
    ("task", "result"),
    [
        ("process", 3),
        ("pipe", 1_000_000),
        ("queue", "put"),
        ("lock", (False, True, False)),
        ("pool", [0, 1, 4, 9, 16]),
        ("manager", {"one": 1}),
        ("executor", [0, 1, 4, 9, 16]),
    ],
)
def test_multiprocessing_works_in_a_handler(
    hub: ServerProcess, connect: Callable[[str], Bystander], task: str, result: object, method: str
) -> None:
    """And the hub serves others meanwhile."""
    other, client = connect(hub.address), connect(hub.address)
    item = Item(text=task, body=method.encode())
    begun: Any = client.stub.Beside
    future = begun.future(item, timeout=PATIENCE, wait_for_ready=True)
    other.answered_by()
    assert future.result().text == repr(result)
    other.answered_by()


@pytest.mark.parametrize(
    ("task", "result"),
    [
        ("run", True),
        ("run_preexec", "text"),
        ("returns", 0),
        ("shares", (0, b"its own", True)),
        ("raises", 1),
        ("exits", 7),
        ("exits_with_message", 1),
        ("offloaded", 0),
        ("greenlet_returns", [0]),
        ("greenlet_exits", [7]),
        ("greenlet_leaves_work", [9]),
        ("gevent_works", 4 + 4 + 6),
        ("kills_a_greenlet", (0, True)),
        ("deadlocks", 1),
        ("terminated", -signal.SIGTERM),
    ],
)
def test_what_a_child_does_and_how_it_ends(
    hub: ServerProcess, connect: Callable[[str], Bystander], task: str, result: object
) -> None:
    client = connect(hub.address)
    before = client.answered_by()
    assert client.ask(task, "text") == repr(result)
    assert client.answered_by() == before


def test_a_childs_end_tells_its_reason(hub: ServerProcess, connect: Callable[[str], Bystander]) -> None:
    client = connect(hub.address)
    client.ask("exits_with_message")
    client.ask("raises")
    until(lambda: "the child's last words\n" in hub.log)
    until(lambda: "ZeroDivisionError: in the child" in hub.log)


def test_a_child_is_told_of_the_end_of_no_call(
    hub: ServerProcess, connect: Callable[[str], Bystander]
) -> None:
    client = connect(hub.address)
    for task in ("returns", "raises", "exits", "greenlet_returns"):
        client.ask(task)
    assert "on_call_end runs in a child" not in hub.log


def test_a_child_that_kills_a_greenlet_of_its_parent_goes_on(
    hub: ServerProcess, connect: Callable[[str], Bystander], tmp_path: Path
) -> None:
    """Each of them has ended its own."""
    said = connect(hub.address).ask("goes_on_without_a_greenlet", tmp_path / "left")
    assert said == repr((8, True))


def test_children_that_come_out_of_a_generator_end_well(
    hub: ServerProcess, connect: Callable[[str], Bystander]
) -> None:
    client = connect(hub.address)
    replies = client.stub.Expand(Item(), timeout=PATIENCE)
    assert [(each.text, each.number) for each in replies] == [("", 0), ("", 0)]
    client.answered_by()


def test_a_child_of_an_actor_that_arrives_keeps_no_snapshot(
    serve: Serve,
    connect: Callable[[str], Bystander],
    child: Child,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORKS_FOLDER", str(child.folder))
    server = serve(app=APP)
    client = connect(server.address)
    client.ask("grow", 500_000)
    (child.folder / "wanted").touch()
    (row,) = server.connections()
    other = 1 - row["hub"]
    moved = server.run("move", row["id"], other)
    assert moved.returncode == 0, moved.stderr
    child.wait()
    assert not [name for name in child.descriptors().values() if "snapshot" in name]
    assert client.answered_by() == server.hub(other)["pid"]
    child.end()


def test_a_child_wakes_none_of_the_hubs_greenlets(
    hub: ServerProcess, connect: Callable[[str], Bystander], tmp_path: Path
) -> None:
    assert connect(hub.address).ask("wakes_nobody", tmp_path / "woken") == repr((0, True))


def test_a_child_is_told_that_calls_and_actors_are_the_hubs(
    hub: ServerProcess, connect: Callable[[str], Bystander], tmp_path: Path
) -> None:
    said = eval(connect(hub.address).ask("uses_the_call", tmp_path / "said"))
    assert len(said) == 4
    assert {line.split(",")[0] for line in said} == {"this process is a child"}


def test_finally_blocks_of_other_handlers_do_not_run_in_a_child(
    hub: ServerProcess, connect: Callable[[str], Bystander], tmp_path: Path
) -> None:
    client, left = connect(hub.address), tmp_path / "left"
    waiting: Any = client.stub.Expand(Item(text=str(left)), timeout=PATIENCE)
    next(waiting)
    for task in ("returns", "exits", "greenlet_returns", "greenlet_exits", "gevent_works"):
        connect(hub.address).ask(task)
    assert not left.exists()
    waiting.cancel()
    until(left.exists)
    assert left.read_text().split() == [str(hub.hub(0)["pid"])]


def test_a_child_may_serve(hub: ServerProcess, connect: Callable[[str], Bystander], tmp_path: Path) -> None:
    client = connect(hub.address)
    begun: Any = client.stub.Beside
    ended = begun.future(Item(text="serves", body=str(tmp_path).encode()), timeout=PATIENCE)
    until((tmp_path / "address").exists)
    address = (tmp_path / "address").read_text()
    inner = connect(address)
    assert inner.answered_by() == inner.answered_by() != hub.hub(0)["pid"]
    assert inner.ask("exits") == "7", "a child of a child"
    (tmp_path / "stop").touch()
    assert ended.result().text == "5"
