"""Servers that run: what they tell, what they do when a hub or their broker dies, and how they stop."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from actorrpc.net.addresses import parse_address
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Serve
from tests.support.processes import ROOT, actorrpc, environment, group_members
from tests.support.server_process import ServerProcess
from tests.support.waiting import until

Connect = Callable[[str], CountingClient]


def test_what_is_printed_and_told(server: ServerProcess) -> None:
    found = server.status()
    assert found["address"] == server.address
    assert found["broker_pid"] == server.pid
    assert found["moves"].keys() == {"done", "aborted", "pause_ms_p50", "pause_ms_p99"}
    assert [row["id"] for row in found["hubs"]] == [0, 1]
    for row in found["hubs"]:
        assert list(row) == [
            "id", "pid", "generation", "serial", "restarts", "state", "draining", "connections", "cpu",
            "lag_ms", "busy", "lag_p99_ms", "runnable", "calls", "memory", "over_memory", "unsent_bytes",
            "shared",
        ]  # fmt: skip
        assert (row["generation"], row["state"], row["draining"]) == (1, "serving", None)
        assert row["shared"] == {"connections": 0, "calls": 0, "refused": 0, "first": ""}
        assert Path(server.runtime_dir, f"hub-{row['serial']}.pid").read_text() == f"{row['pid']}\n"
    assert server.log == ""


def test_people_get_tables(server: ServerProcess, connect: Connect) -> None:
    connect(server.address).call()
    first, moves, policy, *table = server.run("status").stdout.splitlines()
    assert first == f"serving on {server.address}, broker {server.pid}"
    assert moves.startswith("moves: ")
    assert policy.startswith("policy ")
    columns = ["id", "pid", "generation", "serial", "state", "connections", "cpu", "lag_ms"]
    assert table[0].split() == columns
    assert len(table) == 3
    head, row = server.run("connections").stdout.splitlines()
    assert head.split() == [
        "id", "hub", "peer", "services", "calls", "state_bytes", "cpu", "move_ms", "movable", "why",
    ]  # fmt: skip
    assert re.match(r"[01]-100\d-\d+  [01]    127.0.0.1:\d+  shapes.Stateful  0 .* yes$", row)


def test_a_connection_moves_while_its_client_goes_on(server: ServerProcess, connect: Connect) -> None:
    client = connect(server.address)
    client.call()
    (row,) = [row for row in server.connections() if row["services"]]
    moves = server.status()["moves"]["done"]
    here, there = row["hub"], 1 - row["hub"]
    done = server.run("move", row["id"], there)
    assert (done.returncode, done.stdout) == (0, f"moved {row['id']} to hub {there}\n")
    client.call()
    done = server.run("move", row["id"], there)
    assert (done.returncode, done.stdout) == (0, f"{row['id']} is already on hub {there}\n")
    assert server.run("move", row["id"], here).returncode == 0
    client.call()
    assert [found["hub"] for found in server.connections() if found["id"] == row["id"]] == [here]
    found = server.status()["moves"]
    assert found["done"] == moves + 2
    assert 0 < found["pause_ms_p50"] <= found["pause_ms_p99"]


def test_what_a_connection_takes_is_shown_and_travels(server: ServerProcess, connect: Connect) -> None:
    client = connect(server.address)
    client.call()
    known = {row["id"] for row in server.connections()}
    (row,) = [row for row in server.connections() if row["services"] and not row["freeze_ms"]]
    assert row["id"] in known
    assert list(row) == [
        "id", "hub", "generation", "serial", "peer", "services", "calls", "state_bytes", "cpu", "movable",
        "why", "actors", "load", "freeze_ms", "age", "identities", "move_ms", "running", "moved",
        "awaits",
    ]  # fmt: skip
    assert 0 < row["move_ms"] < 50
    assert list(row["actors"]) == row["services"]
    assert row["actors"]["shapes.Stateful"] == row["cpu"] >= 0 <= row["load"]
    assert server.run("move", row["id"], 1 - row["hub"]).returncode == 0
    (moved,) = [found for found in server.connections() if found["id"] == row["id"]]
    assert moved["freeze_ms"] > 0 and moved["age"] >= row["age"]
    hubs = server.status()["hubs"]
    assert all(hub["memory"] > 10_000_000 and 0 <= hub["busy"] <= 1 for hub in hubs)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (("move", "9-9-9", 1), "no such connection: 9-9-9"),
        (("move", "9-9-9", 2), "no such hub: 2 (there are hubs 0 to 1)"),
        (
            ("move", "9-9-9", "one"),
            "Invalid value for 'HUB': 'one' is not a valid integer range. (see `actorrpc move --help`)",
        ),
    ],
)
def test_a_move_that_was_asked_for_wrongly(
    server: ServerProcess, command: tuple[object, ...], error: str
) -> None:
    done = server.run(*command)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"actorrpc: error: {error}\n")


def test_a_second_broker_is_refused(server: ServerProcess) -> None:
    done = actorrpc("serve", "a:b", "--runtime-dir", server.runtime_dir)
    assert done.returncode == 2
    path = server.runtime_dir
    assert done.stderr == (
        f"actorrpc: error: the runtime directory {path} is in use by a live broker (pid {server.pid}): "
        f"name another with --runtime-dir, or end that one with `actorrpc stop --runtime-dir {path}`\n"
    )


def test_its_port_is_refused_to_a_second_server(server: ServerProcess, tmp_path: Path) -> None:
    done = actorrpc("serve", "a:b", "--bind", server.address, "--runtime-dir", tmp_path / "run")
    assert done.returncode == 2
    assert f"cannot listen on {server.address}: Address already in use" in done.stderr


def test_ctrl_c_is_the_brokers_business(serve: Serve) -> None:
    server = serve()
    for row in server.status()["hubs"]:
        os.kill(row["pid"], signal.SIGINT)
    assert [row["state"] for row in server.status()["hubs"]] == ["serving"] * 2
    os.killpg(server.pid, signal.SIGINT)
    assert server.wait() == 0
    assert "Traceback" not in server.log
    assert not server.runtime_dir.exists()


@pytest.mark.parametrize("hubs", [1, 3])
def test_stop(serve: Serve, hubs: int) -> None:
    server = serve(hubs=hubs)
    done = server.run("stop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")
    assert not server.runtime_dir.exists()
    assert server.wait() == 0
    assert server.log == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(parse_address(server.address))
    assert server.run("stop").returncode == 2


def test_stop_lets_calls_end(serve: Serve, connect: Connect) -> None:
    server = serve("--drain-timeout", 20)
    client = connect(server.address)
    client.call()
    call = client.begin_slow_call(seconds=0.5)
    until(lambda: any(row["calls"] for row in server.connections()))
    assert server.run("stop").returncode == 0
    assert call.result().number == 2


def test_a_hub_that_does_not_stop_is_killed(serve: Serve) -> None:
    server = serve("--drain-timeout", 0.1)
    os.kill(server.hub(1)["pid"], signal.SIGSTOP)
    server.process.terminate()
    assert server.wait() == 0
    assert "killing hubs that do not stop" in server.log


def test_a_second_ctrl_c_kills_at_once(serve: Serve, connect: Connect) -> None:
    server = serve("--drain-timeout", 1000)
    client = connect(server.address)
    client.call()
    call = client.begin_slow_call(seconds=1000)
    until(lambda: any(row["calls"] for row in server.connections()))
    os.kill(server.pid, signal.SIGINT)
    until(lambda: {row["state"] for row in server.status()["hubs"]} == {"stopping"})
    assert not call.done()
    os.kill(server.pid, signal.SIGINT)
    assert server.wait() == 0


def test_a_hub_that_is_killed_starts_again_and_the_other_does_not(serve: Serve, connect: Connect) -> None:
    server = serve()
    survivor, victim = server.status()["hubs"]
    descriptors = len(os.listdir(f"/proc/{server.pid}/fd"))
    clients = [connect(server.address) for _ in range(8)]
    for client in clients:
        client.call()
    on_survivor = server.hub(survivor["id"])["connections"]
    os.kill(victim["pid"], signal.SIGKILL)
    reborn = until(lambda: (row := server.hub(1))["restarts"] == 1 and row["state"] == "serving" and row)
    assert reborn["pid"] != victim["pid"]
    assert server.hub(0)["pid"] == survivor["pid"]
    assert server.hub(0)["connections"] >= on_survivor
    until(lambda: f"hub 1 (pid {victim['pid']}) was killed by SIGKILL" in server.log)

    until(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) <= descriptors)

    # The new hub accepts, and has its links: what it accepts can move to the other.
    def accepted_by_reborn() -> list[str]:
        connect(server.address).call()
        return [row["id"] for row in server.connections() if row["id"].startswith(f"1-{reborn['serial']}-")]

    id = until(accepted_by_reborn)[0]
    assert server.run("move", id, 0).stdout == f"moved {id} to hub 0\n"


def test_connections_that_wait_survive_a_hub_restart(serve: Serve, connect: Connect) -> None:
    server = serve(hubs=1)
    os.kill(server.hub(0)["pid"], signal.SIGSTOP)
    client = connect(server.address)
    call = client.begin_slow_call(seconds=0)
    until(lambda: waiting_connections(server.address))
    os.kill(server.hub(0)["pid"], signal.SIGKILL)
    assert call.result().number == 1
    assert server.hub(0)["restarts"] == 1


def waiting_connections(address: str) -> int:
    """How many connections lie in the queues of the listening sockets (proc(5): rx_queue)."""
    port = f":{int(address.rpartition(':')[2]):04X} "
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines() if port in line]
    return sum(int(fields[4].partition(":")[2], 16) for fields in lines if fields[3] == "0A")


def test_a_hub_that_cannot_start_again_is_tried_again(serve: Serve, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    app = f"import os\nif os.path.exists({str(broken)!r}): raise RuntimeError('broken')\n"
    (tmp_path / "fragile.py").write_text(app + "from tests.apps.shapes import app")
    server = serve(app="fragile:app", cwd=tmp_path, hubs=1)
    broken.touch()
    os.kill(server.hub(0)["pid"], signal.SIGKILL)
    until(lambda: "hub 0 cannot start: app 'fragile:app' does not import" in server.log)
    until(lambda: server.hub(0)["state"] == "restarting" and server.hub(0)["pid"] is None)
    broken.unlink()
    row = until(lambda: (row := server.hub(0))["state"] == "serving" and row)
    assert row["restarts"] > 1


def test_a_frozen_hub_is_silent_and_not_dead(serve: Serve) -> None:
    server = serve()
    frozen = server.hub(1)["pid"]
    os.kill(frozen, signal.SIGSTOP)
    until(lambda: server.hub(1)["state"] == "silent")
    done = server.run("move", "0-1001-1", 1)
    assert (done.returncode, done.stderr) == (1, "actorrpc: error: hub 1 is silent\n")
    done = server.run("connections", "--json")
    assert done.stderr == "actorrpc: warning: hub 1 does not answer; its connections are not listed\n"
    assert done.stdout == "[]\n"
    os.kill(frozen, signal.SIGCONT)
    until(lambda: server.hub(1)["state"] == "serving")
    assert server.hub(1)["pid"] == frozen


def test_a_frozen_broker_is_not_missed(serve: Serve, connect: Connect) -> None:
    server = serve()
    client = connect(server.address)
    client.call()
    os.kill(server.pid, signal.SIGSTOP)
    client.call()
    connect(server.address).call()
    os.kill(server.pid, signal.SIGCONT)
    assert server.status()["address"] == server.address


def test_hubs_outlive_their_broker_until_they_are_stopped(serve: Serve, connect: Connect) -> None:
    server = serve()
    hubs = [row["pid"] for row in server.status()["hubs"]]
    client = connect(server.address)
    client.call()
    server.process.kill()
    server.wait()
    client.call()
    connect(server.address).call()
    until(lambda: server.log.count("the broker has gone; this hub serves on") == 2)
    assert sorted(group_members(server.pid)) == sorted(hubs)

    pids = f"(pids {hubs[0]}, {hubs[1]})"
    for command in (("status",), ("serve", "a:b")):
        done = server.run(*command)
        assert done.returncode == 2
        assert pids in done.stderr
        assert f"`actorrpc stop --runtime-dir {server.runtime_dir}` ends them" in done.stderr

    done = server.run("stop")
    assert (done.returncode, done.stdout) == (0, "stopped 2 hubs of a dead broker\n")
    assert group_members(server.pid) == []
    assert not server.runtime_dir.exists()
    done = server.run("stop")
    assert (done.returncode, done.stderr) == (2, f"actorrpc: error: no broker runs in {server.runtime_dir}\n")


def test_orphans_that_do_not_stop_are_killed(serve: Serve) -> None:
    server = serve("--drain-timeout", 0, hubs=1)
    pid = server.hub(0)["pid"]
    server.process.kill()
    server.wait()
    os.kill(pid, signal.SIGSTOP)
    assert server.run("stop").stdout == "stopped 1 hub of a dead broker\n"
    assert group_members(server.pid) == []


def test_ipv6(serve: Serve, connect: Connect) -> None:
    server = serve(bind="[::1]:0", hubs=1)
    assert server.address.startswith("[::1]:")
    assert server.status()["address"] == server.address
    connect(server.address).call()


FROM_PYTHON = """
    import signal, sys, threading
    import actorrpc
    directory = sys.argv[sys.argv.index("--runtime-dir") + 1]
    before = signal.getsignal(signal.SIGINT)
    def on_ready(address):
        print("ready on", address, flush=True)
    def serve():
        actorrpc.serve(sys.argv[1], bind="127.0.0.1:0", hubs=1, runtime_dir=directory, on_ready=on_ready)
    MAIN
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    print("returned", flush=True)
"""


@pytest.mark.parametrize(
    "call",
    [
        "serve()",
        "thread = threading.Thread(target=serve); thread.start(); thread.join()",
        "import gevent.monkey; gevent.monkey.patch_all(); serve()",
    ],
)
def test_serve_from_python(serve: Serve, connect: Connect, call: str) -> None:
    program = textwrap.dedent(FROM_PYTHON).replace("MAIN", call)
    server = serve(program=(sys.executable, "-c", program), hubs=1)
    connect(server.address).call()
    assert server.run("stop").stdout == "stopped\n"
    assert server.read_line() == "returned\n"
    assert server.wait() == 0
    assert not server.runtime_dir.exists()


def test_serve_from_python_says_what_is_wrong() -> None:
    program = """
        import actorrpc
        try:
            actorrpc.serve("nonsense", hubs=0)
        except actorrpc.ConfigError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "at least one hub is needed, not 0\n"


EXITS = """
    import sys, threading
    import gevent
    import actorrpc
    from tests.apps.shapes_actorrpc import StatefulBase

    def leave(kind):
        raise kind(3)

    KINDS = {"exit": SystemExit, "interrupt": KeyboardInterrupt, "system": SystemError}

    class Exits(StatefulBase):
        def Unary(self, request, call):
            how, _, what = request.text.partition(" ")
            kind = KINDS.get(what)
            if how == "raise":
                leave(kind)
            elif how == "offload":
                self.offload(leave, kind)
            elif how == "spawn":
                gevent.spawn(leave, kind).join()
            elif how == "later":
                gevent.spawn_later(0, leave, kind)
                gevent.sleep(0.01)
            elif how == "callback":
                gevent.get_hub().loop.run_callback(leave, kind)
                gevent.sleep(0.01)
            elif how == "pool":
                gevent.get_hub().threadpool.spawn(leave, kind).wait()
            elif how == "thread":
                thread = threading.Thread(target=leave, args=(kind,))
                thread.start()
                thread.join()
            return request

    app = actorrpc.App([Exits])
"""


def test_nothing_that_an_app_raises_ends_a_hub(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "exits.py").write_text(textwrap.dedent(EXITS))
    server = serve(app="exits:app", hubs=1, cwd=tmp_path)
    pid = server.status()["hubs"][0]["pid"]
    with grpc.insecure_channel(server.address) as channel:
        stub = StatefulStub(channel)
        for how in ("raise", "offload", "spawn", "later", "callback", "pool", "thread"):
            for what in ("exit", "interrupt", "system"):
                error = stub.Unary.future(Item(text=f"{how} {what}")).exception(20)
                details = error.details() if isinstance(error, grpc.RpcError) else ""
                assert details == ("the handler failed" if how in ("raise", "offload") else ""), (how, what)
        assert stub.Unary(Item(text="fine"), timeout=20).text == "fine"
    assert [(row["pid"], row["restarts"]) for row in server.status()["hubs"]] == [(pid, 0)]
    until(lambda: server.log.count("it does not end the hub") == 3 * 4)
    assert server.run("stop").returncode == 0
