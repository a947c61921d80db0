"""`actorrpc why` of real servers: where it is, what keeps it there, what it costs, where it has been."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import grpc
import pytest

from actorrpc.pb.admin_pb2 import Request
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.support.fixtures import Connect, Follow, Serve
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until


def why(server: ServerProcess, *name: str) -> dict[str, Any]:
    done = server.run("why", *name, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def said(server: ServerProcess, *name: str) -> str:
    """The paragraph, in one line."""
    done = server.run("why", *name)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def only(server: ServerProcess) -> dict[str, Any]:
    (row,) = server.connections()
    return row


def test_the_whole_of_it(serve: Serve, connect: Connect) -> None:
    server = serve("--policy", "steady")
    client = connect(server.address)
    client.call()
    row = only(server)
    id, hub = row["id"], row["hub"]
    text = said(server, id)
    assert text.startswith(f"Connection {id} from {row['peer']} is on hub {hub} (generation 1, pid ")
    assert "with actors of shapes.Stateful, with no open calls. Nothing keeps it from moving." in text
    assert "of a core" in text and "a move would stop its two hubs for" in text
    assert text.endswith("ago and has not moved.")
    # The balancer has seen a plan by now, or will have.
    server.wait_for(lambda: f"hub {hub} is at " in why(server, id)["stays"])

    assert server.run("move", id, 1 - hub).returncode == 0
    assert "has moved once: at 20" in said(server, id)
    assert f"UTC from hub {hub} to hub {1 - hub}, by hand, with a pause of " in said(server, id)
    assert server.run("drain", 1 - hub).returncode == 0
    assert f"from hub {1 - hub} to hub {hub}, drain of hub {1 - hub}, with a pause" in said(server, id)
    assert server.run("reload").returncode == 0
    assert f"from hub {hub} to its next process, reload to generation 2, with a pause" in said(server, id)
    found = why(server, id)
    assert (found["moved"], [each["outcome"] for each in found["moves"]]) == (3, 3 * ["moved"])
    assert found["generation"] == 2
    assert server.run("rebalance", "pause").returncode == 0
    assert "rebalancing is paused" in said(server, id)
    client.call()


def test_hubs_that_go(serve: Serve, connect: Connect) -> None:
    server = serve()
    client = connect(server.address)
    client.call()
    id = only(server)["id"]
    assert server.move(id, 1) == ""
    assert server.run("scale", 1).returncode == 0
    assert "from hub 1 to hub 0, scale to 1 hub, with a pause" in said(server, id)
    assert server.run("scale", 2).returncode == 0
    os.kill(server.hub(0)["pid"], signal.SIGTERM)
    # Between two hubs it is on none.
    server.wait_for(lambda: [row["hub"] for row in server.connections()] == [1])
    assert "from hub 0 to hub 1, hub 0 was told to end, with a pause" in said(server, id)
    client.call()


def held(server: ServerProcess, connect: Connect) -> tuple[dict[str, Any], Any]:
    """The only connection, which a handler keeps where it is, and the call of that."""
    client = connect(server.address)
    client.call()
    slow = client.begin_slow_call(PATIENCE)
    until(lambda: only(server)["calls"] == 1)
    return only(server), slow


def test_a_hub_that_is_drained_and_keeps_it(serve: Serve, connect: Connect) -> None:
    server = serve("--quiesce-timeout", "60")
    row, slow = held(server, connect)
    server.request(Request(drain=Request.Drain(hub=row["hub"])))
    found = why(server, row["id"])
    assert (found["hub"], found["hub_state"], found["movable"]) == (row["hub"], "draining", False)
    assert f"(generation 1, pid {found['pid']}, and draining)" in said(server, row["id"])
    slow.cancel()


def test_what_pins_it_and_an_attempt_that_came_to_nothing(serve: Serve, connect: Connect) -> None:
    server = serve("--quiesce-timeout", "0.2")
    row, slow = held(server, connect)
    assert "handler Unary running" in server.move(row["id"], 1 - row["hub"])
    text = said(server, row["id"])
    assert "It cannot move now: handler Unary running, for " in text
    assert f"not from hub {row['hub']} to hub {1 - row['hub']}, by hand: handler Unary running" in text
    found = why(server, row["id"])
    assert (found["movable"], found["running"] > 0, found["stays"], found["moved"]) == (False, True, "", 0)
    slow.cancel()


def test_the_balancer_that_moves_nothing(server: ServerProcess, connect: Connect) -> None:
    client = connect(server.address)
    client.call()
    assert "The balancer (none): the policy none moves nothing." in said(server, only(server)["id"])


def test_a_keyed_actor(serve: Serve) -> None:
    server = serve(app="tests.apps.rooms:app")
    with grpc.insecure_channel(server.address) as channel:
        RoomStub(channel).Post(Line(room="a/b c"), timeout=PATIENCE)
        found = why(server, "rooms.Room", "a/b c")
        assert (found["kind"], found["key"], found["moved"]) == ("actor", "a/b c", 0)
        assert why(server, "rooms.Room/a/b c")["id"] == found["id"]
        assert said(server, "rooms.Room", "a/b c").startswith("Actor a/b c of rooms.Room is on hub ")
        assert server.run("move", found["id"], 1 - found["hub"]).returncode == 0
        text = said(server, "rooms.Room", "a/b c")
        assert "It was activated" in text and f"to hub {1 - found['hub']}, by hand, with a pause of" in text


def test_another_broker_knows_where_it_has_been(serve: Serve, follow: Follow, connect: Connect) -> None:
    server = serve()
    client = connect(server.address)
    client.call()
    row = only(server)
    assert server.run("move", row["id"], 1 - row["hub"]).returncode == 0
    # What is half a second old is written down.
    past = server.runtime_dir / "moves"
    until(lambda: past.exists() and row["id"].encode() in past.read_bytes())
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    done = server.run("why", row["id"])
    assert done.returncode == 2
    assert "hubs of a dead broker serve on" in done.stderr
    after = follow(server)
    text = said(after, row["id"])
    assert "has moved once: at 20" in text and "by hand, with a pause of" in text
    assert server.run("stop").returncode == 0
    after.wait()
    assert not past.exists()


def test_a_broker_that_takes_over_knows_all_of_it(serve: Serve, follow: Follow, connect: Connect) -> None:
    server = serve()
    client = connect(server.address)
    client.call()
    row = only(server)
    assert server.move(row["id"], 1 - row["hub"]) == ""
    after = follow(server, "--takeover")
    assert server.wait() == 0
    assert "has moved once: at 20" in said(after, row["id"])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (("0-1001-4000",), "no hub has the connection 0-1001-4000: it has ended, or its hub has. "
         "`actorrpc connections` lists"),
        (("shapes.Nobody", "key"), "no hub has the keyed actor shapes.Nobody/key: it has been passivated, or "
         "nobody has called it. `actorrpc actors` lists"),
        (("nonsense",), "'nonsense' is no connection's id, such as 0-1001-17, and no keyed"),
        (("1-1-1", "\u2028"), "no hub has the keyed actor 1-1-1/"),
        (("a", "b", "c"), "give one connection, or a service and a key, and not 'a b c'"),
        ((), "Missing argument 'CONNECTION | SERVICE KEY'"),
    ],
)  # fmt: skip
def test_what_there_is_not(server: ServerProcess, name: tuple[str, ...], error: str) -> None:
    done = server.run("why", *name)
    assert (done.returncode, done.stdout) == (2, "")
    assert error in done.stderr
    assert done.stderr.count("\n") == 1


def test_one_that_has_ended_after_a_move(server: ServerProcess, connect: Connect) -> None:
    client = connect(server.address)
    client.call()
    until(lambda: len(server.connections()) == 1)
    row = only(server)
    assert server.run("move", row["id"], 1 - row["hub"]).returncode == 0
    client.close()
    until(lambda: not server.connections())
    done = server.run("why", row["id"])
    assert done.returncode == 2
    assert f"it has ended, or its hub has; it moved to hub {1 - row['hub']} at 20" in done.stderr


def test_a_hub_that_does_not_answer(serve: Serve, connect: Connect) -> None:
    server = serve("--hang-timeout", "0", hubs=1)
    client = connect(server.address)
    client.call()
    row = only(server)
    pid = server.hub(0)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = server.run("why", row["id"])
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done.returncode == 1
    assert "hub 0 does not answer: try again, or see what holds it with `actorrpc stacks 0`" in done.stderr
