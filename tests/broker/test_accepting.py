"""Real servers that accept: how connections spread, what is full, and what waits while processes die."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import grpc
import pytest

from actorrpc.net.addresses import parse_address
from tests.support import raw
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Serve
from tests.support.processes import group_members
from tests.support.raw_client import RawClient
from tests.support.server_process import ServerProcess
from tests.support.waiting import until

Connect = Callable[[str], CountingClient]

MODES = ("reuseport", "acceptor")
in_both_modes = pytest.mark.parametrize("accept", MODES)


class Crowd:
    """Clients that have sent their preface on sockets of their own."""

    def __init__(self) -> None:
        self.opened = ExitStack()

    def __call__(self, server: ServerProcess, count: int) -> list[RawClient]:
        clients = []
        for _ in range(count):
            clients.append(self.opened.enter_context(RawClient(server.address)))
        return clients


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    crowd = Crowd()
    with crowd.opened:
        yield crowd


def are_served(clients: list[RawClient]) -> None:
    """Each gets what a hub says first, on the connection that it made."""
    for client in clients:
        client.wait_for(raw.SETTINGS)


def connections(server: ServerProcess) -> list[int]:
    return [row["connections"] for row in server.status()["hubs"]]


def until_counted(server: ServerProcess, count: int) -> list[int]:
    until(lambda: sum(connections(server)) == count)
    return connections(server)


def pid(server: ServerProcess, hub: int) -> int:
    found: int = server.hub(hub)["pid"]
    return found


def is_stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    until(lambda: is_stopped(pid))


def queue_lengths(server: ServerProcess) -> list[int]:
    """How many connections wait in each listening socket's queue, as the kernel tells it."""
    port = f"{int(server.address.rpartition(':')[2]):04X}"
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    # The state is 0A for a listening socket, whose "rx_queue" is the length (Linux, net/ipv4/tcp_ipv4.c).
    return [int(row[4].split(":")[1], 16) for row in rows if row[3] == "0A" and row[1].endswith(f":{port}")]


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


# ---- what is told


@in_both_modes
def test_status_tells_the_mode_and_each_has_its_queues(serve: Serve, accept: str) -> None:
    server = serve("--accept", accept, hubs=3)
    assert server.status()["accept"] == accept
    assert len(queue_lengths(server)) == (3 if accept == "reuseport" else 1)


# ---- how connections spread, and what is full


def test_an_acceptor_gives_all_hubs_the_same_number(serve: Serve, crowd: Crowd) -> None:
    server = serve("--accept", "acceptor", hubs=4)
    are_served(crowd(server, 100))
    until_counted(server, 100)

    def even() -> bool:
        """A hub that had no core for a while was given none meanwhile: who comes later makes up for it."""
        found = connections(server)
        if max(found) - min(found) > 4:
            are_served(crowd(server, 4))
            return False
        return True

    until(even)


@in_both_modes
def test_hubs_fill_one_another_up_and_then_clients_wait(serve: Serve, connect: Connect, accept: str) -> None:
    server = serve("--accept", accept, "--max-connections", 5, "--full-timeout", 0)
    clients = [connect(server.address) for _ in range(10)]
    for client in clients:
        client.call()
    assert until_counted(server, 10) == [5, 5]
    late = [connect(server.address).begin_slow_call(0) for _ in range(2)]
    until(lambda: sum(queue_lengths(server)) == 2)
    for client in clients[3:5]:
        client.close()
    for call in late:
        assert call.result().number == 1
    for client in clients[5:]:
        client.call()
    assert until_counted(server, 10) == [5, 5]


@in_both_modes
def test_a_client_that_has_waited_long_enough_learns_why(serve: Serve, connect: Connect, accept: str) -> None:
    server = serve("--accept", accept, "--max-connections", 2, "--full-timeout", 0.5)
    clients = [connect(server.address) for _ in range(4)]
    for client in clients:
        client.call()
    with pytest.raises(grpc.RpcError) as caught:
        connect(server.address).call()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == "the server is full: 2 connections on each of 2 hubs"
    for client in clients:
        client.call()


def test_a_full_hub_refuses_a_move(serve: Serve, connect: Connect) -> None:
    server = serve("--max-connections", 1)
    clients = [connect(server.address) for _ in range(2)]
    for client in clients:
        client.call()
    (id,) = [row["id"] for row in server.connections() if row["hub"] == 0]
    done = server.run("move", id, 1)
    assert done.returncode == 1
    assert done.stderr == f"actorrpc: error: {id} stays on hub 0: hub 1 has 1 connections, its limit\n"
    for client in clients:
        client.call()


# ---- processes that die


@in_both_modes
@pytest.mark.parametrize("hub", [0, 1])
def test_who_waits_for_a_hub_that_is_killed_is_served(
    serve: Serve, crowd: Crowd, accept: str, hub: int
) -> None:
    """In the queue of a stopped hub, or on the link from the acceptor to it."""
    server = serve("--accept", accept, hubs=2)
    victim = pid(server, hub)
    stop(victim)
    clients = crowd(server, 60)
    os.kill(victim, signal.SIGKILL)
    are_served(clients)
    until(lambda: server.hub(hub)["restarts"] == 1 and server.hub(hub)["state"] == "serving")
    are_served(crowd(server, 20))
    until_counted(server, 80)


def test_who_waits_for_the_only_hub_is_served_by_its_next_process(serve: Serve, crowd: Crowd) -> None:
    server = serve(hubs=1)
    victim = pid(server, 0)
    stop(victim)
    clients = crowd(server, 60)
    assert sum(queue_lengths(server)) == 60
    os.kill(victim, signal.SIGKILL)
    are_served(clients)
    assert server.hub(0)["restarts"] == 1


@in_both_modes
def test_nobody_waits_for_a_hub_that_restarts_late(serve: Serve, crowd: Crowd, accept: str) -> None:
    """Each quick death doubles the delay; meanwhile another hub accepts from the queue."""
    server = serve("--accept", accept, hubs=2)
    for restarts in range(5):
        until(lambda wanted=restarts: server.hub(0)["restarts"] == wanted and server.hub(0)["pid"])
        os.kill(pid(server, 0), signal.SIGKILL)
        until(lambda: server.hub(0)["state"] != "serving")
    clients = crowd(server, 40)
    are_served(clients)
    assert server.hub(0)["restarts"] == 4, "they did not wait for the restart"
    assert until_counted(server, 40) == [0, 40]


@in_both_modes
def test_others_accept_for_a_hub_that_is_silent(serve: Serve, crowd: Crowd, accept: str) -> None:
    server = serve("--accept", accept, hubs=2)
    victim = pid(server, 0)
    stop(victim)
    until(lambda: server.hub(0)["state"] == "silent")
    clients = crowd(server, 40)
    are_served(clients)
    os.kill(victim, signal.SIGCONT)
    until(lambda: server.hub(0)["state"] == "serving")
    are_served(crowd(server, 10))


@in_both_modes
def test_others_accept_for_a_hub_that_drains(
    serve: Serve, crowd: Crowd, connect: Connect, accept: str
) -> None:
    server = serve("--accept", accept, "--drain-timeout", 20, hubs=2)
    clients = [connect(server.address) for _ in range(12)]
    for client in clients:
        client.call()
    assert all(until_counted(server, 12))
    slow = [client.begin_slow_call(3) for client in clients]
    until(lambda: sum(row["calls"] for row in server.connections()) == 12)
    os.kill(pid(server, 0), signal.SIGTERM)
    until(lambda: (hub := server.hub(0))["state"] != "serving" or hub["restarts"])  # or it is over
    are_served(crowd(server, 40))
    for call in slow:
        assert call.result().number == 2
    until(lambda: server.hub(0)["restarts"] == 1 and server.hub(0)["state"] == "serving")


@in_both_modes
def test_without_a_broker_hubs_accept_as_before(serve: Serve, crowd: Crowd, accept: str) -> None:
    server = serve("--accept", accept, hubs=3)
    hubs = [row["pid"] for row in server.status()["hubs"]]
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    are_served(crowd(server, 60))
    if accept == "acceptor":
        # The next hub takes over the queue, and nobody in it is lost.
        for victim in hubs[:2]:
            stop(victim)
            clients = crowd(server, 20)
            os.kill(victim, signal.SIGKILL)
            are_served(clients)
    done = server.run("stop")
    assert done.returncode == 0
    until(lambda: not group_members(server.pid))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(parse_address(server.address))


def test_without_a_broker_the_lowest_hub_that_is_heard_accepts(serve: Serve, crowd: Crowd) -> None:
    server = serve("--accept", "acceptor", "--drain-timeout", 0.5, hubs=3)
    first = pid(server, 0)
    stop(first)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    are_served(crowd(server, 20))
    os.kill(first, signal.SIGCONT)
    assert server.run("stop").returncode == 0
    until(lambda: not group_members(server.pid))


@in_both_modes
def test_others_accept_for_a_hub_that_is_out_of_descriptors(serve: Serve, crowd: Crowd, accept: str) -> None:
    server = serve("--accept", accept, hubs=2)
    crowded = pid(server, 0)
    soft, hard = resource.prlimit(crowded, resource.RLIMIT_NOFILE)
    # No more than it has.
    resource.prlimit(crowded, resource.RLIMIT_NOFILE, (open_files(crowded), hard))
    are_served(crowd(server, 40))
    until(lambda: "hub 1 accepts from queue 0" in server.log)
    assert server.hub(0)["state"] == "serving", "it still reports"
    resource.prlimit(crowded, resource.RLIMIT_NOFILE, (soft, hard))
    before = connections(server)[0]

    def accepts_again() -> bool:
        are_served(crowd(server, 5))
        return connections(server)[0] > before

    until(accepts_again)


@in_both_modes
def test_at_the_limit_of_descriptors_accepting_pauses_and_goes_on_by_itself(
    serve: Serve, crowd: Crowd, accept: str
) -> None:
    server = serve("--accept", accept, hubs=1)
    hub = pid(server, 0)
    soft, hard = resource.prlimit(hub, resource.RLIMIT_NOFILE)
    first = crowd(server, 5)
    are_served(first)
    limit = open_files(hub) + 3
    resource.prlimit(hub, resource.RLIMIT_NOFILE, (limit, hard))
    waiting = crowd(server, 20)
    until(lambda: sum(queue_lengths(server)) >= 16 and f"may have {limit} open files" in server.log)
    # Who leaves makes room for one who waits, and nothing more is said.
    for client in first:
        client.close()
    are_served(waiting[:6])
    until(lambda: sum(queue_lengths(server)) <= 12)
    resource.prlimit(hub, resource.RLIMIT_NOFILE, (soft, hard))
    are_served(waiting)
    until(lambda: "accepts connections again, after" in server.log)
    assert server.log.count("accepting pauses") == 1
    assert server.log.count("accepts connections again") == 1


# ---- what is left


@in_both_modes
def test_nothing_is_left_of_a_thousand_connections(serve: Serve, accept: str) -> None:
    server = serve("--accept", accept, "--max-connections", 60, "--full-timeout", 0)
    pids = [server.pid, pid(server, 0), pid(server, 1)]

    def round_of(count: int) -> None:
        crowd = Crowd()
        with crowd.opened:
            are_served(crowd(server, count))
        until_counted(server, 0)

    round_of(100)  # what a process has is opened when it is first needed
    before = [open_files(each) for each in pids]
    for _ in range(10):
        round_of(100)
    until(lambda: all(open_files(each) <= count for each, count in zip(pids, before, strict=True)))
