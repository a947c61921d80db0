"""Real servers: a broker is killed, or leaves its hubs to another one, which takes them over as they are."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from actorrpc.broker.adoption.adoption import PATIENCE as PATIENCE_OF_BROKERS
from actorrpc.broker.host.record import Record
from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.ipc.framing import encode
from actorrpc.pb.admin_pb2 import Request
from actorrpc.pb.record_pb2 import Server
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Follow, Serve
from tests.support.processes import group_members
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until

Connect = Callable[[str], CountingClient]


def kill_broker(server: ServerProcess) -> None:
    os.kill(server.pid, signal.SIGKILL)
    server.wait()


def processes(server: ServerProcess) -> list[tuple[int, int, int]]:
    """Each hub's process: its number, serial and pid."""
    return [(hub["id"], hub["serial"], hub["pid"]) for hub in server.status()["hubs"]]


def where(server: ServerProcess) -> dict[str, int]:
    return {row["id"]: row["hub"] for row in server.connections()}


def exchange(server: ServerProcess) -> None:
    """Move each connection to the other one of two hubs."""
    for id, hub in where(server).items():
        assert server.move(id, 1 - hub) == ""


@pytest.mark.parametrize("accept", ["reuseport", "acceptor"])
def test_hubs_are_taken_over_as_they_are(serve: Serve, follow: Follow, connect: Connect, accept: str) -> None:
    broker = serve("--accept", accept)
    clients = [connect(broker.address) for _ in range(6)]
    for client in clients:
        client.call()
    slow = clients[0].begin_slow_call(3)
    done = 0
    known = known_by(broker)
    assert len(known) == 16
    for _ in range(3):
        before, places = processes(broker), where(broker)
        kill_broker(broker)
        for client in clients[1:]:
            client.call()
        clients.append(connect(broker.address))
        clients[-1].call()  # new connections are accepted meanwhile
        broker = follow(broker, "--accept", accept)
        assert processes(broker) == before
        now = where(broker)
        assert places.items() <= now.items()
        assert broker.status()["moves"]["done"] == done
        moves = [id for id, hub in now.items() if broker.move(id, 1 - hub) == ""]
        done += len(moves)
        assert len(moves) >= len(clients) - 1, "all but the one whose handler runs"
        for client in clients[1:]:
            client.call()
        until_counted(broker, done)
        assert known_by(broker) == known
    assert slow.result(timeout=PATIENCE).number == 2
    fresh = connect(broker.address)
    fresh.call()
    assert broker.run("stop").returncode == 0
    assert broker.wait() == 0
    assert not broker.runtime_dir.exists(), "the first broker made it, and the last one removes it"


def known_by(server: ServerProcess) -> bytes:
    """What the server is known by in references."""
    found = Record(RuntimeDir(str(server.runtime_dir))).read()
    assert found is not None
    return found.server


def until_counted(server: ServerProcess, moves: int) -> None:
    """Wait until so many moves have been written down."""
    record = Record(RuntimeDir(str(server.runtime_dir)))
    server.wait_for(lambda: (found := record.read()) is not None and found.moves.done == moves)


@pytest.mark.parametrize(
    ("options", "named", "differs"),
    [
        (
            (),
            {"app": "tests.apps.blocking:app"},
            "serve tests.apps.shapes:app, not tests.apps.blocking:app",
        ),
        ((), {"bind": "127.0.0.1:1"}, "not on 127.0.0.1:1"),
        (("--accept", "acceptor"), {}, "--accept reuseport, not acceptor"),
    ],
    ids=["app", "address", "accept"],
)
@pytest.mark.parametrize("dead", [True, False], ids=["dead", "alive"])
def test_what_differs_is_said_and_the_hubs_serve_on(
    serve: Serve,
    follow: Follow,
    connect: Connect,
    options: tuple[str, ...],
    named: dict[str, Any],
    differs: str,
    dead: bool,
) -> None:
    broker = serve()
    client = connect(broker.address)
    client.call()
    before = processes(broker)
    if dead:
        kill_broker(broker)
    other = follow(broker, *options, *([] if dead else ["--takeover"]), ready=False, **named)
    assert other.wait() == 2
    assert differs in other.log and "cannot be taken over" in other.log
    client.call()
    if dead:
        broker = follow(broker, bind=broker.address)  # as it came out, and not as it was typed
    assert processes(broker) == before
    client.call()
    exchange(broker)
    client.call()


def test_a_broker_that_lives_leaves_its_hubs_to_another(
    serve: Serve, follow: Follow, connect: Connect
) -> None:
    broker = serve()
    client = connect(broker.address)
    client.call()
    for _ in range(3):
        before = processes(broker)
        other = follow(broker, "--takeover")
        assert broker.wait() == 0
        broker = other
        assert processes(broker) == before
        exchange(broker)
        client.call()
    nobody = serve("--takeover")  # where there is nothing to take over it starts as always
    assert nobody.run("stop").returncode == 0


@pytest.mark.parametrize("record", ["of a later version", "no record", "a pipe", "missing"])
def test_hubs_whose_record_cannot_be_read_serve_on(
    serve: Serve, follow: Follow, connect: Connect, record: str
) -> None:
    broker = serve(hubs=1)
    client = connect(broker.address)
    client.call()
    kill_broker(broker)
    path = broker.runtime_dir / "server"
    path.unlink()
    if record == "a pipe":
        os.mkfifo(path)
    elif record != "missing":
        path.write_bytes(Server(format=99).SerializeToString() if record == "of a later version" else b"\xff")
    other = follow(broker, hubs=1, ready=False)
    assert other.wait() == 2
    assert "serve on" in other.log and "actorrpc stop --runtime-dir" in other.log
    client.call()
    assert broker.run("stop").stdout == "stopped 1 hub of a dead broker\n"


def test_a_hub_that_is_stopped_is_waited_for_if_there_is_no_other(
    serve: Serve, follow: Follow, connect: Connect
) -> None:
    broker = serve(hubs=1)
    client = connect(broker.address)
    client.call()
    stopped = broker.hub(0)["pid"]
    os.kill(stopped, signal.SIGSTOP)
    kill_broker(broker)
    try:
        other = follow(broker, hubs=1, ready=False)
        until(lambda: asked(other))
        time.sleep(PATIENCE_OF_BROKERS + 1)  # it is over
        assert other.process.poll() is None
    finally:
        os.kill(stopped, signal.SIGCONT)
    other.until_ready()
    assert other.hub(0)["pid"] == stopped
    client.call()


def asked(server: ServerProcess) -> bool:
    """Whether the broker can be asked: then it calls its hubs."""
    try:
        server.status()
    except OSError:
        return False
    return True


def test_who_does_not_ask_gets_no_hubs_of_a_broker_that_lives(serve: Serve, follow: Follow) -> None:
    broker = serve()
    other = follow(broker, ready=False)
    assert other.wait() == 2
    assert "in use by a live broker" in other.log
    assert broker.status()["broker_pid"] == broker.pid


def test_hubs_that_died_meanwhile_are_started_again(serve: Serve, follow: Follow, connect: Connect) -> None:
    """Also who waits in their queues, and what their topics' subscribers are told, goes on."""
    broker = serve(hubs=3)
    clients = [connect(broker.address) for _ in range(6)]
    for client in clients:
        client.call()
    before = processes(broker)
    lost = {id for id, hub in where(broker).items() if hub == 1}
    kill_broker(broker)
    os.kill(before[1][2], signal.SIGKILL)
    for _ in range(12):  # some of which come to the queue of the one that has died, which another keeps
        connect(broker.address).call()
    broker = follow(broker, hubs=3)
    broker.wait_for(lambda: [hub["state"] for hub in broker.status()["hubs"]] == ["serving"] * 3)
    now = processes(broker)
    assert [now[0], now[2]] == [before[0], before[2]] and now[1][1] > max(each[1] for each in before)
    assert broker.hub(1)["restarts"] == 1
    assert len(where(broker)) == 18 - len(lost)
    for _ in range(12):  # some of which come to the queue of the hub that had died
        client = connect(broker.address)
        client.call()
    for id in where(broker):
        for hub in (0, 1, 2):
            assert broker.move(id, hub) in ("", f"connection {id} is on hub {hub} already"), "all have links"


def test_a_hub_that_is_stopped_is_silent_until_it_speaks(
    serve: Serve, follow: Follow, connect: Connect
) -> None:
    broker = serve("--kill-timeout", 0)
    clients = [connect(broker.address) for _ in range(6)]
    for client in clients:
        client.call()
    before = processes(broker)
    stopped = before[1][2]
    os.kill(stopped, signal.SIGSTOP)
    kill_broker(broker)
    try:
        for _ in range(6):  # its queue is kept by the other
            connect(broker.address).call()
        broker = follow(broker, "--kill-timeout", 0)
        assert broker.hub(1)["state"] == "silent"
        assert processes(broker) == before
        # Some come to its queue, which nobody else has, and wait there.
        waiting = [connect(broker.address).begin_slow_call(0) for _ in range(6)]
        broker.wait_for(lambda: any(each.done() for each in waiting))
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert [each.result().number for each in waiting] == [1] * 6
    broker.wait_for(lambda: broker.hub(1)["state"] == "serving")
    exchange(broker)
    for client in clients:
        client.call()


def test_a_hub_that_is_drained_stays_so(serve: Serve, follow: Follow, connect: Connect) -> None:
    broker = serve()
    clients = [connect(broker.address) for _ in range(4)]
    for client in clients:
        client.call()
    assert broker.run("drain", 1).returncode == 0
    kill_broker(broker)
    broker = follow(broker)
    broker.wait_for(lambda: set(where(broker).values()) == {0})
    assert broker.hub(1)["state"] == "draining"
    assert "draining" in broker.move(next(iter(where(broker))), 1)
    assert broker.run("drain", 1, "--undo").returncode == 0
    broker.wait_for(lambda: broker.hub(1)["state"] == "serving")
    exchange(broker)
    for client in clients:
        client.call()


def test_where_no_hub_listens_any_more_the_next_broker_does(
    serve: Serve, follow: Follow, connect: Connect
) -> None:
    """A hub that is drained has let go of its listening socket; the one that had it has died."""
    broker = serve()
    address = broker.address
    assert broker.run("drain", 1).returncode == 0
    client = connect(address)
    client.call()
    before = processes(broker)
    kill_broker(broker)
    os.kill(before[0][2], signal.SIGKILL)
    broker = follow(broker)
    assert broker.address == address
    broker.wait_for(lambda: broker.hub(0)["state"] == "serving")
    assert processes(broker)[1] == before[1]
    connect(address).call()
    # The drained hub may have taken it while it was the only one, and gives it away then.
    broker.wait_for(lambda: set(where(broker).values()) == {0})


def test_a_hub_that_was_told_to_end_does_so(serve: Serve, follow: Follow, connect: Connect) -> None:
    broker = serve("--drain-timeout", 2 * PATIENCE)
    client = connect(broker.address)
    client.call()
    ((id, hub),) = where(broker).items()
    slow = client.begin_slow_call(10 * PATIENCE)
    before = processes(broker)
    os.kill(before[hub][2], signal.SIGTERM)
    broker.wait_for(lambda: broker.hub(hub)["draining"])
    kill_broker(broker)
    broker = follow(broker, "--drain-timeout", 2 * PATIENCE)
    slow.cancel()
    client.calls -= 1
    broker.wait_for(lambda: processes(broker)[hub][1] > before[hub][1])
    assert where(broker) == {id: 1 - hub}
    client.call()


def test_fewer_hubs_are_gone_on_with(serve: Serve, follow: Follow, connect: Connect) -> None:
    broker = serve("--drain-timeout", 2 * PATIENCE, hubs=3)
    clients = [connect(broker.address) for _ in range(6)]
    for client in clients:
        client.call()
    slow = [client.begin_slow_call(10 * PATIENCE) for client in clients]
    broker.wait_for(lambda: sum(row["calls"] for row in broker.connections()) == len(clients))
    broker.request(Request(scale=Request.Scale(hubs=1)))
    broker.wait_for(lambda: len([hub for hub in broker.status()["hubs"] if hub["draining"]]) == 2)
    kill_broker(broker)
    broker = follow(broker, "--drain-timeout", 2 * PATIENCE, hubs=3)
    for client, call in zip(clients, slow, strict=True):
        call.cancel()
        client.calls -= 1
    broker.wait_for(lambda: [hub["id"] for hub in broker.status()["hubs"]] == [0])
    assert set(where(broker).values()) == {0} and len(where(broker)) == 6
    for client in clients:
        client.call()


# ---- a reload was under way


def reload(broker: ServerProcess) -> None:
    """Begin one."""
    broker.request(Request(reload=Request.Reload()))


def phase(broker: ServerProcess) -> str:
    return str((broker.status()["reload"] or {}).get("phase"))


def generations(broker: ServerProcess) -> list[int]:
    return [hub["generation"] for hub in broker.status()["hubs"]]


APP = """
import os, time
from tests.apps.shapes import app
open(f"imported-{os.getpid()}", "w").close()
while os.path.exists("wait"):
    time.sleep(0.01)
open(f"ready-{os.getpid()}", "w").close()
"""


@pytest.fixture
def waiting(tmp_path: Path, serve: Serve) -> ServerProcess:
    """A server whose next generation does not become ready while a file ``wait`` is there."""
    (tmp_path / "held.py").write_text(APP)
    server = serve(app="held:app", cwd=tmp_path)
    (tmp_path / "wait").touch()
    return server


def test_a_reload_is_abandoned_if_its_hubs_were_not_ready(
    waiting: ServerProcess, tmp_path: Path, follow: Follow, connect: Connect
) -> None:
    client = connect(waiting.address)
    client.call()
    before = processes(waiting)
    reload(waiting)
    until(lambda: len(list(tmp_path.glob("imported-*"))) == 4)
    kill_broker(waiting)
    broker = follow(waiting, app="held:app", cwd=tmp_path)
    assert phase(broker) == "abandoned"
    assert "the broker ended" in broker.status()["reload"]["error"]
    broker.wait_for(lambda: processes(broker) == before)
    until(lambda: len(group_members(waiting.pid)) == 2)  # those that were starting have ended
    client.call()
    (tmp_path / "wait").unlink()
    assert broker.run("reload").returncode == 0
    assert generations(broker) == [3, 3], "the one that was abandoned has had its number"
    client.call()


def test_a_reload_is_finished_if_its_hubs_were_ready(
    waiting: ServerProcess, tmp_path: Path, follow: Follow, connect: Connect
) -> None:
    client = connect(waiting.address)
    client.call()
    reload(waiting)
    until(lambda: len(list(tmp_path.glob("imported-*"))) == 4)
    os.kill(waiting.pid, signal.SIGSTOP)  # it does not learn that they are ready
    (tmp_path / "wait").unlink()
    until(lambda: len(list(tmp_path.glob("ready-*"))) == 4)
    kill_broker(waiting)
    broker = follow(waiting, app="held:app", cwd=tmp_path)
    broker.wait_for(lambda: phase(broker) == "done")
    assert generations(broker) == [2, 2]
    client.call()
    exchange(broker)
    client.call()


def test_a_reload_whose_connections_move_goes_on(serve: Serve, follow: Follow, connect: Connect) -> None:
    broker = serve("--drain-timeout", 2 * PATIENCE)
    clients = [connect(broker.address) for _ in range(4)]
    for client in clients:
        client.call()
    slow = clients[0].begin_slow_call(10 * PATIENCE)
    broker.wait_for(lambda: sum(row["calls"] for row in broker.connections()) == 1)
    reload(broker)
    broker.wait_for(lambda: phase(broker) == "moving")
    for _ in range(2):
        kill_broker(broker)
        broker = follow(broker, "--drain-timeout", 2 * PATIENCE)
        assert phase(broker) == "moving"
    slow.cancel()
    clients[0].calls -= 1
    broker.wait_for(lambda: phase(broker) == "done")
    assert generations(broker) == [2, 2]
    assert len(where(broker)) == 4
    for client in clients:
        client.call()


def test_a_reload_under_way_goes_to_the_broker_that_takes_over(
    serve: Serve, follow: Follow, connect: Connect
) -> None:
    broker = serve("--drain-timeout", 2 * PATIENCE)
    client = connect(broker.address)
    client.call()
    slow = client.begin_slow_call(10 * PATIENCE)
    broker.wait_for(lambda: sum(row["calls"] for row in broker.connections()) == 1)
    reload(broker)
    broker.wait_for(lambda: phase(broker) == "moving")
    other = follow(broker, "--drain-timeout", 2 * PATIENCE, "--takeover")
    assert broker.wait() == 0
    assert phase(other) == "moving"
    slow.cancel()
    client.calls -= 1
    other.wait_for(lambda: phase(other) == "done")
    assert generations(other) == [2, 2]
    client.call()


def test_hubs_that_have_never_served_are_not_taken_over(tmp_path: Path, serve: Serve, follow: Follow) -> None:
    """The broker was killed while the first hubs were starting."""
    (tmp_path / "held.py").write_text(APP)
    (tmp_path / "wait").touch()
    broker = serve(app="held:app", cwd=tmp_path, ready=False)
    until(lambda: len(list(tmp_path.glob("imported-*"))) == 2)
    kill_broker(broker)
    (tmp_path / "wait").unlink()
    other = follow(broker, app="held:app", cwd=tmp_path)
    assert group_members(broker.pid) == []
    assert [serial for _, serial, _ in processes(other)] == [1003, 1004]
    with grpc.insecure_channel(other.address) as channel:
        assert StatefulStub(channel).Unary(Item(), timeout=PATIENCE).number == 1


def listening(pid: int) -> int:
    """How many descriptors of listening TCP sockets a process has; from proc(5)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}
    held = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            held += os.readlink(f"/proc/{pid}/fd/{fd}") in sockets
    return held


def test_hubs_accept_from_each_others_queues_only_while_there_is_no_broker(
    serve: Serve, follow: Follow
) -> None:
    """Each has its own queue, and keeps the other's; it accepts from that with a copy."""
    broker = serve()
    pids = [pid for _, _, pid in processes(broker)]
    for _ in range(2):
        broker.wait_for(lambda: [listening(pid) for pid in pids] == [2, 2])
        kill_broker(broker)
        until(lambda: [listening(pid) for pid in pids] == [3, 3])
        broker = follow(broker)
    broker.wait_for(lambda: [listening(pid) for pid in pids] == [2, 2])


def test_a_takeover_that_cannot_be_leaves_the_broker_alone(
    serve: Serve, follow: Follow, tmp_path: Path
) -> None:
    broker = serve()
    other = follow(broker, "--takeover", "--record", tmp_path / "no" / "file", ready=False)
    assert other.wait() == 2
    assert "cannot record" in other.log
    assert broker.status()["broker_pid"] == broker.pid


def test_a_broker_keeps_its_hubs_if_who_asked_for_them_has_gone(serve: Serve) -> None:
    """It was stopped meanwhile, say."""
    broker = serve()
    os.kill(broker.pid, signal.SIGSTOP)
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(broker.socket_path)
        asking.sendall(encode(Request(hand_over=Request.HandOver(pid=1))))
    os.kill(broker.pid, signal.SIGCONT)
    broker.wait_for(lambda: "does not get the hubs" in broker.log)
    assert broker.status()["broker_pid"] == broker.pid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")
def test_root_does_not_take_over_what_it_may_not_have(serve: Serve, follow: Follow) -> None:
    broker = serve()
    os.chown(broker.runtime_dir, 65534, -1)
    try:
        other = follow(broker, "--takeover", ready=False)
        assert other.wait() == 2
        assert "belongs to another user" in other.log
        assert broker.status()["broker_pid"] == broker.pid
    finally:
        os.chown(broker.runtime_dir, os.geteuid(), -1)


TRY = """
import signal, sys
from actorrpc import ConfigError, serve
from actorrpc.broker.adoption import adoption
adoption.LONGEST = 0.1  # is long
try:
    serve(sys.argv[2], bind=sys.argv[4], hubs=2, runtime_dir=sys.argv[8])
except ConfigError as error:
    print(error, flush=True)
signal.pause()
"""


def test_a_program_that_cannot_take_hubs_over_lets_go_of_them(serve: Serve, follow: Follow) -> None:
    broker = serve()
    before = processes(broker)
    kill_broker(broker)
    for _, _, pid in before:
        os.kill(pid, signal.SIGSTOP)
    program = [sys.executable, "-c", TRY, "serve"]
    trying = follow(broker, program=program, bind="127.0.0.1:0", ready=False)
    assert "none of them answers" in trying.read_line()
    for _, _, pid in before:
        os.kill(pid, signal.SIGCONT)
    assert processes(follow(broker)) == before


def test_a_hub_that_can_never_be_called_is_ended(serve: Serve, follow: Follow) -> None:
    """It would serve on for ever, and no broker would know it."""
    broker = serve()
    before = processes(broker)
    kill_broker(broker)
    path = Path(RuntimeDir(str(broker.runtime_dir)).call_path(before[0][1]))
    path.unlink()
    path.write_text("")
    broker = follow(broker)
    broker.wait_for(lambda: [hub["state"] for hub in broker.status()["hubs"]] == ["serving"] * 2)
    assert processes(broker)[1] == before[1]
    assert not Path(f"/proc/{before[0][2]}/exe").exists()


def test_a_hub_that_is_out_of_descriptors_has_one_for_the_next_broker(serve: Serve, follow: Follow) -> None:
    """What the old one leaves is not for the clients that wait."""
    broker = serve(hubs=1)
    pid = broker.hub(0)["pid"]
    held = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (held + 5, held + 5))
    host, port = broker.address.rsplit(":", 1)
    with ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(socket.create_connection((host, int(port))))
        until(lambda: "accepting pauses" in broker.log)
        kill_broker(broker)
        until(lambda: "serves on" in broker.log and len(os.listdir(f"/proc/{pid}/fd")) == held + 5)
        broker = follow(broker, hubs=1)
        assert broker.hub(0)["pid"] == pid
