"""Real servers with a hub that says nothing: who is told, what of its stack, and what becomes of it."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from actorrpc.broker.moves.hub_questions import BEGIN_WITHIN
from tests.apps.shapes_pb2 import Item
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Serve
from tests.support.processes import group_members
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until

APP = "tests.apps.blocking:app"
#: A hub is silent after two seconds, whatever it is to be reported after.
HANG = 2.5
#: What holds a hub in one call of C's cannot be told that it is enough.
LONG = 6.0

Connect = Callable[[str], CountingClient]


def hold(client: CountingClient, how: str, seconds: float = LONG, until: Path | None = None) -> Any:
    """Have the client's hub held as the app does it, but where it blocks no longer than until there is this
    file. Returns the call."""
    item = Item(text=how, sleep=seconds, body=os.fsencode(until) if until else b"")
    return client.stub.Unary.future(item, timeout=PATIENCE)


def connected_to(server: ServerProcess, connect: Connect, hub: int) -> tuple[CountingClient, str]:
    """A client of a hub, and its connection."""
    client = connect(server.address)
    known = {row["id"] for row in server.connections()}
    client.stub.Notes(Item(), timeout=PATIENCE, wait_for_ready=True)
    (row,) = [row for row in server.connections() if row["id"] not in known]
    if row["hub"] != hub:
        assert server.move(row["id"], hub) == ""
        # Its new hub may still be reading of it, and not list it yet.
        server.wait_for(lambda: (row["id"], hub) in [(r["id"], r["hub"]) for r in server.connections()])
    return client, row["id"]


def reported(server: ServerProcess) -> str:
    """The report of a silent hub, once it is there, with what follows it."""
    wanted = re.compile(r"WARNING broker: hub .* has said nothing .*(\n +.*)*\n")
    found = server.wait_for(lambda: wanted.search(server.log))
    return found[0]


@pytest.mark.parametrize("how", ["block", "compute", "fork"])
def test_a_held_hub_is_reported_with_its_handler_and_comes_back(
    serve: Serve, connect: Connect, how: str, tmp_path: Path
) -> None:
    server = serve("--hang-timeout", HANG, app=APP)
    client, id = connected_to(server, connect, 0)
    neighbour, other = connected_to(server, connect, 1)
    pid = server.hub(0)["pid"]
    call = hold(client, how, LONG if how == "compute" else PATIENCE, until=tmp_path / "enough")
    report = reported(server)
    first, *stack = report.splitlines()
    assert f"hub 0 (pid {pid}) has said nothing for" in first
    assert "its loop is held by Unary (tests/apps/blocking.py, line " in first
    assert any(line.endswith("in Unary") for line in stack)
    assert len(stack) < 20
    # Others go on, in calls and in new connections of whichever queue, and moves end.
    assert server.move(other, 0) == "hub 0 is silent"
    with ThreadPoolExecutor() as pool:
        move = pool.submit(server.move, id, 1)
        assert neighbour.stub.Notes(Item(), timeout=PATIENCE) == Item()
        for _ in range(4):
            connect(server.address).call()
        assert not call.done()
        assert server.hub(0)["pid"] == pid
        asked = time.monotonic()  # or before: the broker has answered another question since
        until(lambda: time.monotonic() > asked + BEGIN_WITHIN)  # after that it refuses
        # What computes is not told when to end, and may have done so while it could still begin.
        held = how != "compute" or not call.done()
        (tmp_path / "enough").touch()
        # Or it was held until after the broker's patience.
        assert re.search("stays on hub 0|hub 0 does not answer", move.result()) or not held
    assert call.result().number == 1, "its state is as it was"
    (back,) = server.wait_for(lambda: re.findall(r"hub 0 .pid \d+. is heard again: .*", server.log))
    assert float(re.findall(r"silent for ([\d.]+) s", back)[0]) >= HANG
    assert server.hub(0)["pid"] == pid
    assert server.log.count("has said nothing") == 1
    assert server.move(id, 1) == ""
    assert client.stub.Unary(Item(), timeout=PATIENCE).number == 2


def test_a_stopped_hub_is_reported_without_a_stack_and_killed_in_the_end(
    serve: Serve, connect: Connect
) -> None:
    server = serve("--hang-timeout", HANG, "--kill-timeout", 4, app=APP)
    client, _ = connected_to(server, connect, 0)
    neighbour, _ = connected_to(server, connect, 1)
    pid, other = (hub["pid"] for hub in server.status()["hubs"])
    os.kill(pid, signal.SIGSTOP)
    call = hold(client, "wait", 0)
    report = reported(server)
    assert "it is stopped (SIGSTOP, or a debugger), and its stack cannot be had" in report
    assert report.count("\n") == 1
    with pytest.raises(grpc.RpcError) as raised:
        call.result()
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    killed = rf"ERROR broker: hub 0 \(pid {pid}\) has said nothing for [\d.]+ s .--kill-timeout.: killed"
    server.wait_for(lambda: re.search(killed, server.log))
    server.wait_for(lambda: (row := server.hub(0))["state"] == "serving" and row["pid"] != pid)
    assert server.hub(1)["pid"] == other
    assert neighbour.stub.Notes(Item(), timeout=PATIENCE) == Item()


def test_a_hub_without_a_handler_for_the_signal_is_reported_and_lives(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    server = serve("--hang-timeout", HANG, app=APP, hubs=1)
    client, _ = connected_to(server, connect, 0)
    call = hold(client, "forget", PATIENCE, until=tmp_path / "enough")
    assert "it has no handler for the signal any more, and its stack cannot be had" in reported(server)
    (tmp_path / "enough").touch()
    assert call.result().number == 1


def test_an_app_keeps_its_signal(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    """The app has taken the one that comes first."""
    server = serve("--hang-timeout", HANG, app=APP, hubs=1)
    client, _ = connected_to(server, connect, 0)
    call = hold(client, "block", PATIENCE, until=tmp_path / "enough")
    assert "held by Unary" in reported(server)
    (tmp_path / "enough").touch()
    assert call.result().number == 1
    heard = client.stub.Beside(Item(), timeout=PATIENCE).number
    assert heard == 0
    os.kill(server.hub(0)["pid"], signal.SIGRTMAX - 1)
    until(lambda: client.stub.Beside(Item(), timeout=PATIENCE).number == 1)


def pipes(pid: int) -> set[str]:
    """The pipes that a process has, but for its standard streams."""
    found = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # it has just been closed
            link = os.readlink(f"/proc/{pid}/fd/{number}")
            if int(number) > 2 and link.startswith("pipe:"):
                found.add(link)
    return found


def test_a_child_of_a_hub_has_nothing_of_its_pipe(serve: Serve, connect: Connect) -> None:
    server = serve("--hang-timeout", 0, "--drain-timeout", 0, app=APP, hubs=1)
    client, _ = connected_to(server, connect, 0)
    hub = server.hub(0)["pid"]
    (shared,) = pipes(server.pid) & pipes(hub)
    call = hold(client, "fork", 1000)
    (child,) = server.wait_for(lambda: set(group_members(server.pid)) - {server.pid, hub})
    until(lambda: shared not in pipes(child))
    call.cancel()
    os.kill(child, signal.SIGKILL)


def test_nothing_is_said_of_a_hub_while_the_broker_was_stopped_itself(serve: Serve) -> None:
    server = serve("--hang-timeout", HANG, "--kill-timeout", HANG)
    pids = [hub["pid"] for hub in server.status()["hubs"]]
    os.kill(server.pid, signal.SIGSTOP)
    time.sleep(HANG + 1)  # nothing can be waited for: nobody is to notice
    os.kill(server.pid, signal.SIGCONT)
    began = time.monotonic()
    server.wait_for(lambda: time.monotonic() > began + 2 and server.status())
    assert [hub["pid"] for hub in server.status()["hubs"]] == pids
    assert "has said nothing" not in server.log


def test_nobody_is_reported_or_killed_where_that_is_not_wanted(serve: Serve, connect: Connect) -> None:
    server = serve("--hang-timeout", 0, "--kill-timeout", 0, app=APP, hubs=1)
    client, _ = connected_to(server, connect, 0)
    assert hold(client, "block", 4).result().number == 1
    assert server.log == ""


def test_slow_turns_are_logged_where_that_is_wanted(serve: Serve, connect: Connect) -> None:
    server = serve("--slow-turn", 0.2, app=APP, hubs=1)
    client, id = connected_to(server, connect, 0)
    hold(client, "wait", 0.8).result()
    assert server.log == ""
    for _ in range(7):
        hold(client, "block", 0.8).result()
    told = rf"a slow turn: shapes.Stateful/Unary held the loop for [\d.]+ s or more, on connection {id}\n"
    server.wait_for(lambda: re.search(rf"and 2 more in the last \d+ s like: {told}", server.log))
    assert len(re.findall(rf"WARNING hub 0: {told}", server.log)) == 5
    assert ", in Unary\n" in server.log


# ---- what people ask


def asked(server: ServerProcess, hub: int) -> tuple[dict[str, Any], str]:
    """What `actorrpc stacks --json` prints, and its warnings."""
    done = server.run("stacks", hub, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found, done.stderr


def test_what_all_greenlets_do(serve: Serve, connect: Connect) -> None:
    server = serve(app=APP, hubs=1)
    client, id = connected_to(server, connect, 0)
    calls = [client.stub.Beside.future(Item(text="wait", sleep=1000)) for _ in range(3)]
    calls.append(client.stub.Beside.future(Item(text="wait in a greenlet", sleep=1000)))
    calls[-1].result()
    found, warnings = asked(server, 0)
    assert warnings == ""
    assert (found["hub"], found["pid"], found["answers"]) == (0, server.hub(0)["pid"], True)
    rows = {row["runs"]: row for row in found["stacks"] if row["kind"] == "greenlet"}
    handlers = rows["shapes.Stateful/Beside"]
    assert (handlers["count"], handlers["connections"]) == (3, [id])
    functions = [frame["function"] for frame in handlers["frames"]]
    assert functions[0] == "run" and functions[-2:] == ["obey", "sleep"] and "Beside" in functions
    assert rows["sleep"]["count"] == 1, "the greenlet that a handler has spawned"
    assert rows["Event.wait"]["count"] == 1, "the one that the app had from the beginning"
    assert len(rows) == 3
    places = [frame["file"] for row in found["stacks"] for frame in row["frames"]]
    assert not any(place.endswith("slow_turns.py") for place in places), "nobody has asked for them"
    text = server.run("stacks", 0).stdout
    assert f"hub 0 (pid {found['pid']}): 5 greenlets, " in text
    assert f"\n3 greenlets in shapes.Stateful/Beside, on {id}\n    /" in text
    assert "tests/apps/blocking.py:" in text
    for call in calls:
        call.cancel()


@pytest.mark.parametrize("how", ["block", "compute"])
def test_what_holds_a_hub_that_does_not_answer(serve: Serve, connect: Connect, how: str) -> None:
    server = serve("--hang-timeout", 0, "--drain-timeout", 0, app=APP, hubs=1)
    client, _ = connected_to(server, connect, 0)
    call = hold(client, how, 1000)
    server.wait_for(lambda: server.hub(0)["state"] == "silent")
    found, warnings = asked(server, 0)
    assert "hub 0 does not answer: its loop is held by Unary (tests/apps/blocking.py, line " in warnings
    (row,) = found["stacks"]
    assert (found["answers"], row["kind"], row["count"]) == (False, "thread", 1)
    assert "Unary" in [frame["function"] for frame in row["frames"]]
    if how == "block":  # each time it is given some time to answer
        assert "no answer\n\n1 thread\n    /" in server.run("stacks", 0).stdout
    call.cancel()


def test_a_stopped_hub_cannot_be_looked_at(serve: Serve) -> None:
    server = serve("--hang-timeout", 0, hubs=1)
    os.kill(server.hub(0)["pid"], signal.SIGSTOP)
    try:
        found, warnings = asked(server, 0)
    finally:
        os.kill(server.hub(0)["pid"], signal.SIGCONT)
    assert found["stacks"] == []
    assert "does not answer: it is stopped (SIGSTOP, or a debugger), and its stack cannot be had" in warnings


def test_a_hub_that_is_not_there(serve: Serve) -> None:
    server = serve(hubs=1)
    done = server.run("stacks", 1)
    assert (done.returncode, done.stderr) == (
        2,
        "actorrpc: error: no such hub: 1 (there are hubs 0 to 0)\n",
    )
