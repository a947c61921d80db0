"""A server under a service manager: what it tells, what it is given, and the units that say so.

The service manager is the test: it listens where $NOTIFY_SOCKET says, and opens the listening socket.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from threading import Thread

import pytest

from tests.support import raw
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Follow, Serve
from tests.support.processes import ACTORRPC, ROOT
from tests.support.programs import program
from tests.support.raw_client import RawClient
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until

UNITS = ROOT / "examples" / "systemd"

#: Is started as systemd starts a service: the socket is descriptor 3, and the pid is the service's.
ACTIVATED = """
import os, sys
fds = [int(fd) for fd in os.environ.pop("GIVEN").split()]
for number, fd in enumerate(fds):
    os.dup2(fd, 3 + number)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()))
os.environ["LISTEN_FDNAMES"] = os.environ.pop("NAMES") or ":".join(["grpc.socket"] * len(fds))
os.execv(sys.executable, [sys.executable, "-m", "actorrpc", "serve", *sys.argv[1:]])
"""


class Manager:
    """Hears what a service tells, from ``listen`` on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: list[dict[str, str]] = []
        self._heard: Queue[dict[str, str]] = Queue()
        self._thread = Thread(target=self._listen)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))

    def listen(self) -> None:
        self._thread.start()

    def _listen(self) -> None:
        while message := self._sock.recv(4096):
            self._heard.put(dict(line.split("=", 1) for line in message.decode().split("\n")))

    def until(self, name: str, value: str, patience: float = PATIENCE) -> dict[str, str]:
        """The next message that says so. Raises Empty if for so long there is none at all."""
        while True:
            self.messages.append(message := self._heard.get(timeout=patience))
            if message.get(name) == value:
                return message

    def close(self) -> None:
        if self._thread.is_alive():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"", str(self.path))
            self._thread.join()
        self._sock.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    manager.listen()
    yield manager
    manager.close()


def told_environment(pid: int) -> set[str]:
    """What a process was started with, and has not forgotten for its children's sake."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return {variable.partition(b"=")[0].decode() for variable in variables}


OURS = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}


# ---- what it tells


def test_a_service_manager_is_told_of_the_whole_life(
    serve: Serve, manager: Manager, connect: Callable[[str], CountingClient]
) -> None:
    variables = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"}
    server = serve("--drain-timeout", 3, variables=variables)
    ready = manager.until("READY", "1")
    assert ready["MAINPID"] == str(server.pid)
    assert ready["STATUS"] == "2 of 2 hubs serving, connections: 0"
    connect(server.address).call()
    manager.until("STATUS", "2 of 2 hubs serving, connections: 1")
    for _ in range(5):
        manager.until("WATCHDOG", "1")
    for hub in server.status()["hubs"]:
        assert not OURS & told_environment(hub["pid"])
    os.kill(server.pid, signal.SIGTERM)
    stopping = manager.until("STOPPING", "1")
    assert stopping["EXTEND_TIMEOUT_USEC"] == "5000000"
    assert server.wait() == 0
    assert server.log == ""


def test_a_broker_whose_loop_stands_is_not_heard(serve: Serve, manager: Manager) -> None:
    server = serve(variables={"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"})
    manager.until("WATCHDOG", "1")
    os.kill(server.pid, signal.SIGSTOP)
    with pytest.raises(Empty):
        while True:
            manager.until("WATCHDOG", "1", patience=1.0)
    os.kill(server.pid, signal.SIGCONT)
    manager.until("WATCHDOG", "1")


def test_it_is_not_ready_before_all_hubs_are(serve: Serve, manager: Manager) -> None:
    variables = {"NOTIFY_SOCKET": str(manager.path)}
    server = serve(app="nowhere:app", ready=False, variables=variables)
    manager.until("STOPPING", "1")
    assert server.wait() == 2
    assert not any("READY" in message for message in manager.messages)


@pytest.mark.parametrize("trouble", ["full", "gone"])
def test_a_service_manager_that_does_not_listen_holds_nothing_up(
    serve: Serve, tmp_path: Path, trouble: str, connect: Callable[[str], CountingClient]
) -> None:
    path = tmp_path / "notify"
    manager = Manager(path)
    if trouble == "gone":
        manager.close()
    else:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler, pytest.raises(BlockingIOError):
            while True:
                filler.sendto(b"X=1", socket.MSG_DONTWAIT, str(path))
    server = serve(variables={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "100000"})
    client = connect(server.address)
    for _ in range(10):
        client.call()
    assert server.log.count("the service manager cannot be told") == 1
    if trouble == "full":  # and what it should have heard, it hears when it listens again
        manager.listen()
        assert manager.until("READY", "1")["MAINPID"] == str(server.pid)
        manager.close()
    assert server.run("stop").returncode == 0
    assert server.wait() == 0


def test_the_broker_that_takes_over_is_the_main_process_and_reports_where_the_last_one_did(
    serve: Serve, follow: Follow, manager: Manager
) -> None:
    variables = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"}
    server = serve(hubs=1, variables=variables)
    manager.until("READY", "1")
    other = follow(server, "--takeover", hubs=1)  # started from a shell, which knows nothing of it
    manager.until("MAINPID", str(other.pid))
    assert server.wait() == 0
    assert manager.until("READY", "1")["MAINPID"] == str(other.pid)
    for _ in range(5):
        manager.until("WATCHDOG", "1")
    assert "STOPPING" not in {name for message in manager.messages for name in message}


# ---- the socket that it is given


def activated(
    serve: Callable[..., ServerProcess],
    *given: socket.socket,
    options: tuple[object, ...] = (),
    names: str = "",
    **named: object,
) -> ServerProcess:
    for sock in given:
        sock.set_inheritable(True)
    fds = [sock.fileno() for sock in given]
    return serve(
        *options,
        **{"bind": None, **named},
        program=(sys.executable, "-c", ACTIVATED),
        variables={"GIVEN": " ".join(map(str, fds)), "NAMES": names},
        pass_fds=fds,
    )


@pytest.fixture
def given() -> Iterator[socket.socket]:
    # Higher than 3, where the test puts it.
    with socket.create_server(("127.0.0.1", 0), backlog=64) as sock:
        yield sock


def test_the_next_broker_takes_the_hubs_over_with_the_same_socket(
    serve: Serve, follow: Follow, given: socket.socket, connect: Callable[[str], CountingClient]
) -> None:
    server = activated(serve, given)
    client = connect(server.address)
    client.call()
    before = [hub["pid"] for hub in server.status()["hubs"]]
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    server = activated(partial(follow, server), given)
    assert [hub["pid"] for hub in server.status()["hubs"]] == before
    client.call()
    connect(server.address).call()


def test_a_given_socket_is_the_acceptors_and_outlives_the_server(serve: Serve, given: socket.socket) -> None:
    address = "{}:{}".format(*given.getsockname())
    with RawClient(address) as early:  # waits in the queue of the service manager
        server = activated(serve, given, hubs=3)
        early.wait_for(raw.SETTINGS)
        assert server.address == address
        assert server.status()["accept"] == "acceptor"
        clients = [RawClient(address) for _ in range(8)]
        for client in clients:
            client.wait_for(raw.SETTINGS)
        until(lambda: sum(hub["connections"] for hub in server.status()["hubs"]) == 9)
        for hub in server.status()["hubs"]:
            assert hub["connections"] > 0, "a busy machine's hubs may get different numbers, but all get some"
            assert not OURS & told_environment(hub["pid"])
        for client in clients:
            client.close()
    assert server.run("stop").returncode == 0
    assert server.wait() == 0
    # Nobody is refused while no server runs: who comes now waits for the next.
    with RawClient(address) as late:
        activated(serve, given)
        late.wait_for(raw.SETTINGS)


@pytest.mark.parametrize(
    ("options", "bind", "told"),
    [
        (
            ("--accept", "reuseport"),
            None,
            "--accept reuseport needs a socket for each hub, and the service manager",
        ),
        ((), "127.0.0.1:0", "--bind 127.0.0.1:0 needs a socket, and the service manager has given those"),
    ],
)
def test_what_does_not_go_with_a_given_socket(
    serve: Serve, given: socket.socket, options: tuple[str, ...], bind: str | None, told: str
) -> None:
    server = activated(serve, given, options=options, bind=bind, ready=False)
    assert server.wait() == 2
    assert server.log.startswith(f"actorrpc: error: {told}")
    assert server.log.count("\n") == 1


def test_the_acceptor_may_be_asked_for(serve: Serve, given: socket.socket) -> None:
    assert activated(serve, given, options=("--accept", "acceptor")).status()["accept"] == "acceptor"


def test_several_sockets_of_several_kinds(
    serve: Serve, follow: Follow, given: socket.socket, connect: Callable[[str], CountingClient]
) -> None:
    """Also by the next broker; and a file that the service manager has made stays."""
    with TemporaryDirectory(prefix="actorrpc-") as folder, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"{folder}/socket")
        unix.listen(64)
        server = activated(serve, given, unix)
        addresses = ["{}:{}".format(*given.getsockname()), f"unix:{folder}/socket"]
        assert [each["address"] for each in server.status()["addresses"]] == addresses
        clients = [connect(address) for address in addresses]
        for client in clients:
            client.call()
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        server = activated(partial(follow, server), given, unix)
        clients += [connect(address) for address in addresses]
        for client in clients:
            client.call()
        assert server.run("stop").returncode == 0
        assert server.wait() == 0
        assert os.path.exists(f"{folder}/socket")


# ---- the units


def units(folder: Path) -> Path:
    """The units, with a path of this installation, since systemd looks whether a program is there."""
    command = folder / "actorrpc"
    command.write_text(f'#!/bin/sh\nexec {" ".join(ACTORRPC)} "$@"\n')
    command.chmod(0o755)
    for unit in UNITS.iterdir():
        (folder / unit.name).write_text(unit.read_text().replace("/srv/app/env/bin/actorrpc", str(command)))
    return folder


def verify(folder: Path) -> str:
    """What systemd finds wrong with the units of a folder."""
    paths = sorted(str(path) for path in folder.glob("actorrpc.*"))
    assert len(paths) == 2
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", *paths],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.stdout + done.stderr


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    assert verify(units(tmp_path)) == ""


def test_systemd_would_find_something(tmp_path: Path) -> None:
    service = units(tmp_path) / "actorrpc.service"
    service.write_text(service.read_text().replace("KillMode=process", "KillMode=hubs"))
    assert "Failed to parse kill mode" in verify(tmp_path)


def test_the_unit_serves_with_options_that_there_are() -> None:
    from actorrpc.cli.commands import cli

    text = (UNITS / "actorrpc.service").read_text()
    (line,) = re.findall(r"^ExecStart=\S+ serve server:app (.*)$", text, re.M)
    flags = {flag for each in cli.commands["serve"].params for flag in each.opts}
    assert set(re.findall(r"--[\w-]+", line)) <= flags
