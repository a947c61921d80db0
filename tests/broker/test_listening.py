"""Real servers that listen on several addresses: served by all hubs, whatever becomes of hubs and broker."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support import raw
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Follow, Serve
from tests.support.processes import is_free
from tests.support.proxy_headers import LINE
from tests.support.raw_client import RawClient
from tests.support.server_process import ServerProcess
from tests.support.waiting import until

Connect = Callable[[str], CountingClient]

in_both_modes = pytest.mark.parametrize("accept", ["reuseport", "acceptor"])


@dataclass(frozen=True)
class Places:
    """What a server listens on, and where."""

    path: Path
    abstract: str

    @property
    def binds(self) -> tuple[str, ...]:
        addresses = ("127.0.0.1:0", f"unix:{self.path}", self.abstract, "[::1]:0")
        return tuple(word for address in addresses for word in ("--bind", address))


@pytest.fixture
def places() -> Iterator[Places]:
    with TemporaryDirectory(prefix="actorrpc-") as folder:
        yield Places(Path(folder, "socket"), f"unix-abstract:{Path(folder).name}")


def addresses(server: ServerProcess) -> list[str]:
    return [each["address"] for each in server.status()["addresses"]]


def kill_broker(server: ServerProcess) -> None:
    os.kill(server.pid, signal.SIGKILL)
    server.wait()


def start(
    serve: Serve, places: Places, *options: object, accept: str = "reuseport", hubs: int = 2
) -> ServerProcess:
    return serve(*places.binds, "--accept", accept, *options, bind=None, hubs=hubs)


@in_both_modes
def test_each_is_told_of_and_served_by_all_hubs(
    serve: Serve, connect: Connect, places: Places, accept: str
) -> None:
    server = start(serve, places, "--unix-mode", "600", accept=accept)
    told = [server.address, *[server.read_line() for _ in range(3)]]
    status = server.status()
    there = [each["address"] for each in status["addresses"]]
    assert told == [there[0], *[f"ready on {address} (2 hubs)\n" for address in there[1:]]]
    assert status["addresses"][0] == {"address": status["address"], "tls": False}
    assert there[1:3] == [f"unix:{places.path}", places.abstract]
    assert there[0].startswith("127.0.0.1:") and there[3].startswith("[::1]:")
    assert places.path.stat().st_mode & 0o777 == 0o600
    clients = [connect(address) for address in there for _ in range(4)]
    for client in clients:
        client.call()
    server.wait_for(lambda: sum(hub["connections"] for hub in server.status()["hubs"]) == 16)
    own = f"unix:pid={os.getpid()},uid={os.getuid()}"
    rows = [row for row in server.connections() if row["peer"] == own]
    assert len(rows) == 8, "both unix sockets'"
    assert {row["hub"] for row in rows} == {0, 1}, "unix sockets' clients are given to the least loaded"
    for row in rows:
        assert server.move(row["id"], 1 - row["hub"]) == ""
    for client in clients:
        client.call()
    assert f"serving on {' and '.join(there)}, broker" in server.run("status").stdout


@in_both_modes
def test_reload_and_scale_keep_them(serve: Serve, connect: Connect, places: Places, accept: str) -> None:
    server = start(serve, places, accept=accept)
    there = addresses(server)
    clients = [connect(address) for address in there]

    def call_all() -> None:
        clients.extend(connect(address) for address in there)
        for client in clients:
            client.call()

    call_all()
    for command in (
        ("reload",),
        ("scale", 3),
        ("drain", 0),
        ("drain", 0, "--undo"),
        ("scale", 1),
        ("scale", 2),
        ("reload",),
    ):
        done = server.run(*command)
        assert done.returncode == 0, done.stderr
        call_all()
    assert addresses(server) == there


@in_both_modes
def test_while_a_hub_starts_again_others_accept(
    serve: Serve, connect: Connect, places: Places, accept: str
) -> None:
    server = start(serve, places, accept=accept)
    for hub in (0, 1, 0):
        os.kill(server.hub(hub)["pid"], signal.SIGKILL)
        for address in addresses(server):
            for _ in range(3):
                connect(address).call()
        server.wait_for(lambda hub=hub: server.hub(hub)["state"] == "serving")  # type: ignore[misc]


@in_both_modes
def test_the_next_broker_has_them_all(
    serve: Serve, follow: Follow, connect: Connect, places: Places, accept: str
) -> None:
    server = start(serve, places, accept=accept)
    there = addresses(server)
    clients = [connect(address) for address in there]
    for client in clients:
        client.call()
    for dead in (True, False, True):
        if dead:
            kill_broker(server)
            clients += [connect(address) for address in there]
            for client in clients:
                client.call()
            server = follow(server, *places.binds, "--accept", accept, bind=None)
        else:
            before, server = (
                server,
                follow(server, *places.binds, "--accept", accept, "--takeover", bind=None),
            )
            assert before.wait() == 0
        assert addresses(server) == there
        assert places.path.is_socket(), "it is not the former broker's to remove"
        clients += [connect(address) for address in there]
        for client in clients:
            client.call()
        os.kill(server.hub(0)["pid"], signal.SIGKILL)  # the new broker has its queues
        clients = [connect(address) for address in there]
        for client in clients:
            client.call()
        server.wait_for(lambda server=server: server.hub(0)["state"] == "serving")  # type: ignore[misc]
    assert server.run("stop").returncode == 0
    assert server.wait() == 0
    assert not places.path.exists()


@in_both_modes
def test_without_a_broker_those_that_are_left_accept(
    serve: Serve, connect: Connect, places: Places, accept: str
) -> None:
    server = start(serve, places, accept=accept)
    there, hubs = addresses(server), server.status()["hubs"]
    kill_broker(server)
    os.kill(hubs[0]["pid"], signal.SIGKILL)
    for address in there:
        for _ in range(3):
            connect(address).call()
    stopped = server.run("stop")
    assert "stopped 1 hub of a dead broker" in stopped.stdout
    assert not places.path.exists(), "its file goes with the last"


@pytest.mark.parametrize("left", [("--bind", "127.0.0.1:0"), ()], ids=["fewer", "none"])
def test_other_addresses_are_no_takeover(
    serve: Serve, follow: Follow, places: Places, left: tuple[str, ...]
) -> None:
    server = start(serve, places)
    there = addresses(server)
    kill_broker(server)
    other = follow(server, *left, bind=None, ready=False)
    assert other.wait() == 2
    assert f"they listen on {' and '.join(there)}, not on 127.0.0.1:" in other.log
    by_outcome = [word for address in there for word in ("--bind", address)]
    server = follow(server, *by_outcome, bind=None)
    assert addresses(server) == there


def test_a_file_that_was_replaced_is_another_servers(serve: Serve, connect: Connect, places: Places) -> None:
    one = start(serve, places)
    client = connect(f"unix:{places.path}")
    client.call()
    places.path.unlink()
    other = serve(bind=f"unix:{places.path}")
    client.call()
    assert one.run("reload").returncode == 0
    assert one.run("stop").returncode == 0 and one.wait() == 0
    connect(f"unix:{places.path}").call()
    assert len(other.connections()) == 1


def test_one_that_is_listened_on_is_left_alone(serve: Serve, connect: Connect, places: Places) -> None:
    one = serve(bind=f"unix:{places.path}")
    other = serve("--bind", f"unix:{places.path}", ready=False)
    assert other.wait() == 2
    assert f"error: cannot listen on unix:{places.path}: somebody listens there\n" in other.log
    connect(one.address).call()


def test_one_that_a_killed_server_has_left_is_replaced(
    serve: Serve, connect: Connect, places: Places
) -> None:
    one = serve(bind=f"unix:{places.path}")
    pids = [hub["pid"] for hub in one.status()["hubs"]]
    for pid in (one.pid, *pids):
        os.kill(pid, signal.SIGKILL)
    one.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert places.path.is_socket()
    connect(serve(bind=f"unix:{places.path}").address).call()


def test_if_one_cannot_be_had_none_is_listened_on(serve: Serve, places: Places) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger, socket.create_server(("127.0.0.1", 0)) as free:
        first, second = (f"127.0.0.1:{sock.getsockname()[1]}" for sock in (free, stranger))
        free.close()
        binds = ("--bind", first, "--bind", second, "--bind", f"unix:{places.path}")
        server = serve(*binds, bind=None, ready=False)
        assert server.wait() == 2
    assert server.log == f"actorrpc: error: cannot listen on {second}: Address already in use\n"
    assert is_free(first) and not places.path.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--bind unix:/" + "x" * 107, "may have 107 bytes, and this has 108"),
        ("--bind unix:/nowhere/at/all", "cannot listen on unix:/nowhere/at/all: No such file or directory"),
        ("--bind 127.0.0.1:1 --bind 127.0.0.1:1", "127.0.0.1:1 is given twice"),
        ("--bind unix:/proc/a --unix-mode rw", "unix_mode cannot be 'rw': write three octal digits"),
        ("--bind 127.0.0.1:0 " * 65, "there may be 64 addresses at most, not 65"),
        ("--bind 127.0.0.1:0 --unix-mode 600", "unix_mode is for unix:PATH, and there is none"),
        ("--bind 127.0.0.1:0 --proxy-protocol 10.0.0.1/8", "proxy_protocol cannot be '10.0.0.1/8'"),
    ],
)
def test_what_cannot_be_listened_on(serve: Serve, options: str, told: str) -> None:
    server = serve(*options.split(), bind=None, ready=False)
    assert server.wait() == 2
    assert told in server.log and server.log.count("\n") == 1


def test_the_limit_of_connections_is_for_all_together(serve: Serve, places: Places) -> None:
    server = start(serve, places, "--max-connections", 2, "--full-timeout", 0)
    clients = [RawClient(address) for address in addresses(server)[:3] for _ in range(2)]
    try:
        server.wait_for(lambda: sum(hub["connections"] for hub in server.status()["hubs"]) == 4)
        for client in clients:
            client.sock.setblocking(False)
        served = [client for client in clients if said(client)]
        assert len(served) == 4
        served[0].close()
        until(lambda: sum(map(said, clients)) == 5)
    finally:
        for client in clients:
            client.close()


def said(client: RawClient) -> bool:
    """Whether a hub has said something to it, or has once."""
    if client.sock.fileno() >= 0 and not client.frames:
        try:
            client.receive()
        except BlockingIOError:
            pass
    return bool(client.frames)


def test_a_client_that_waits_at_a_unix_socket_is_told_that_all_is_full(
    serve: Serve, connect: Connect, places: Places
) -> None:
    server = start(serve, places, "--max-connections", 1, "--full-timeout", 0.5)
    for address in addresses(server)[1:3]:
        connect(address).call()
    with RawClient(f"unix:{places.path}") as late:
        late.send(raw.headers(1, raw.request("Unary"), raw.END_HEADERS | raw.END_STREAM))
        late.wait_for(raw.SETTINGS)
        late.wait_for(raw.HEADERS)
        late.wait_for(raw.GOAWAY)


@in_both_modes
def test_clients_behind_a_proxy_stay_who_they_are(serve: Serve, places: Places, accept: str) -> None:
    server = start(serve, places, "--proxy-protocol", "127.0.0.1", "--proxy-protocol", "unix", accept=accept)
    there = addresses(server)
    opened = []
    try:
        for number, address in enumerate(there[:3], 1):
            begin = LINE % b"TCP4 203.0.113.%d 127.0.0.1 1 2" % number + raw.OPEN
            opened.append(RawClient(address, begin))
            opened[-1].wait_for(raw.SETTINGS)
        wanted = ["203.0.113.1:1", "203.0.113.2:1", "203.0.113.3:1"]
        assert sorted(row["peer"] for row in server.connections()) == wanted
        assert server.run("reload").returncode == 0
        assert sorted(row["peer"] for row in server.connections()) == wanted
        with socket.create_connection(("::1", int(there[3].rpartition(":")[2]))) as stranger:
            stranger.sendall(raw.OPEN)  # no header is asked for of others
            assert stranger.recv(1)
    finally:
        for client in opened:
            client.close()
