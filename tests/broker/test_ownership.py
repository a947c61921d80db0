"""Real servers: who gives a connection away has let go of it, whatever its process lacks."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable

import grpc
import pytest

from tests.support.counting_client import CountingClient
from tests.support.fixtures import Serve
from tests.support.processes import ACTORRPC
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until

Connect = Callable[[str], CountingClient]


def descriptors(pid: int) -> set[int]:
    return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}


def no_more_descriptors(pid: int) -> None:
    """Let the process have those that it has, and no other."""
    have = descriptors(pid)
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    lowest = next(number for number in range(len(have) + 1) if number not in have)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest, hard))


def sockets(pid: int) -> list[str]:
    """What the process holds of TCP connections, by the kernel's numbers."""
    links = (os.readlink(f"/proc/{pid}/fd/{number}") for number in descriptors(pid))
    return [link for link in links if link.startswith("socket:")]


def moved(server: ServerProcess) -> tuple[int, int]:
    """Move the only connection to the other hub. Returns the pids of the hub it left and of its new one."""
    (row,) = server.connections()
    pids = [hub["pid"] for hub in server.status()["hubs"]]
    done = server.run("move", row["id"], 1 - row["hub"])
    assert done.returncode == 0, done.stderr + server.log
    return pids[row["hub"]], pids[1 - row["hub"]]


def is_of_one_hub(server: ServerProcess) -> bool:
    return sum(hub["connections"] for hub in server.status()["hubs"]) == 1


def sees_the_death_of(client: CountingClient, pid: int, server: ServerProcess) -> None:
    """A call that is open ends at once when its hub is killed: nobody else holds the socket."""
    call = client.begin_slow_call(60)
    until(lambda: [row["calls"] for row in server.connections()] == [1])
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(grpc.RpcError) as raised:
        call.result(timeout=PATIENCE)
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_source_without_a_descriptor_lets_go(serve: Serve, connect: Connect) -> None:
    server = serve()
    client = connect(server.address)
    client.call()
    (row,) = server.connections()
    source = server.hub(row["hub"])["pid"]
    before = sockets(source)
    no_more_descriptors(source)
    _, owner = moved(server)
    client.call()
    assert len(sockets(source)) == len(before) - 1
    until(lambda: is_of_one_hub(server))
    sees_the_death_of(client, owner, server)


@pytest.mark.parametrize("backend", ["poll", "select"])
def test_connections_move_with_every_backend_of_the_loop(
    serve: Serve, connect: Connect, backend: str
) -> None:
    server = serve(program=("env", f"GEVENT_BACKEND={backend}", *ACTORRPC, "serve"))
    client = connect(server.address)
    for _ in range(3):
        client.call()
        _, owner = moved(server)
    client.call()
    until(lambda: is_of_one_hub(server))
    sees_the_death_of(client, owner, server)
    assert "Traceback" not in server.log


def test_every_process_may_have_as_many_descriptors_as_the_hard_limit_says(serve: Serve) -> None:
    limited = ("prlimit", "--nofile=256:4096", *ACTORRPC, "serve")
    server = serve(program=limited)
    for pid in (server.pid, *(hub["pid"] for hub in server.status()["hubs"])):
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (4096, 4096)


def test_the_broker_goes_on_looking_after_queues_when_a_look_has_failed(serve: Serve) -> None:
    program = """
import sys
from actorrpc.broker.sharing.accept_queues import AcceptQueues
assign, times = AcceptQueues.assign, []
def failing(self, processes):
    times.append(None)
    if len(times) == 2:  # the first look of those that are repeated
        raise ZeroDivisionError("a mistake")
    assign(self, processes)
AcceptQueues.assign = failing
from actorrpc.cli.commands import main
sys.exit(main())
"""
    server = serve(program=(sys.executable, "-c", program, "serve"))
    until(lambda: "ZeroDivisionError: a mistake" in server.log)
    silent = server.hub(0)["pid"]
    os.kill(silent, signal.SIGSTOP)
    try:
        until(lambda: "hub 1 accepts from queue 0" in server.log)
    finally:
        os.kill(silent, signal.SIGCONT)
