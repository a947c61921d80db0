"""Hubs and brokers that are killed or stopped in mid-conversation: real processes, real signals."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import grpc
import pytest

from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.server_process import ServerProcess, served

#: A call that has not ended after so many seconds never will.
HANGING = 60.0
#: Messages that may be unanswered.
AHEAD = 100


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with served() as server:
        yield server


class Conversation:
    """A client with one open bidirectional stream, whose every message is answered."""

    def __init__(self, server: ServerProcess, hub: int) -> None:
        known = {connection["id"] for connection in server.connections()}
        self.channel = grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub = StatefulStub(self.channel)
        self._outgoing: queue.Queue[Item | None] = queue.Queue()
        self._replies = self.stub.Talk(iter(self._outgoing.get, None))
        self._sent = 0
        self.say()
        (self.id,) = {connection["id"] for connection in server.connections()} - known
        assert server.move(self.id, hub) == ""
        server.wait_for(lambda: (self.id, hub) in places(server))  # its new hub may still be reading of it

    def say(self) -> None:
        """Send the next number and wait for it to come back."""
        self._outgoing.put(Item(number=self._sent))
        assert next(self._replies).number == self._sent
        self._sent += 1

    def close(self) -> None:
        self._outgoing.put(None)
        self.channel.close()


def places(server: ServerProcess) -> list[tuple[str, int]]:
    """The connections that are listed, and the hub of each."""
    return [(row["id"], row["hub"]) for row in server.connections()]


def pid_of(server: ServerProcess, hub: int) -> int:
    return int(server.status()["hubs"][hub]["pid"])


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie, which an orphan may stay for a while."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_killed_hub_takes_only_its_own_connections_with_it(server):
    doomed, safe = Conversation(server, 0), Conversation(server, 1)
    other = server.status()["hubs"][1]
    os.kill(pid_of(server, 0), signal.SIGKILL)
    with pytest.raises(grpc.RpcError) as caught:
        doomed.say()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    safe.say()

    def restarted() -> bool:
        hub = server.status()["hubs"][0]
        return (hub["restarts"], hub["state"]) == (1, "serving")

    server.wait_for(restarted)
    safe.say()
    assert server.status()["hubs"][1]["pid"] == other["pid"]
    assert server.run("move", safe.id, "0").returncode == 0, "the new process has links to the others"
    safe.say()
    assert doomed.stub.Unary(Item(), wait_for_ready=True).number == 1
    doomed.close()
    safe.close()


def test_a_killed_broker_takes_nothing_with_it(server):
    talks = [Conversation(server, hub) for hub in (0, 1)]
    pids = [pid_of(server, hub) for hub in (0, 1)]
    server.process.kill()
    server.process.wait()
    for talk in talks:
        talk.say()
    assert StatefulStub(talks[0].channel).Unary(Item()).number == 3
    with grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        assert StatefulStub(channel).Unary(Item(), timeout=10).number == 1, "new connections are accepted too"
    asked = server.run("status")
    assert (asked.returncode, asked.stdout) == (2, "")
    assert len(asked.stderr.splitlines()) == 1
    moved = server.run("move", talks[0].id, "1")
    assert moved.returncode == 2 and "hubs of a dead broker serve on" in moved.stderr
    for talk in talks:
        talk.say()
        talk.close()
    assert server.run("stop").returncode == 0
    assert not any(runs(pid) for pid in pids)


def test_a_connection_comes_back_from_a_target_that_is_silent(server):
    """The target is stopped: the source gives up, serves, and the target drops what it was sent."""
    talk = Conversation(server, 0)
    target = pid_of(server, 1)
    os.kill(target, signal.SIGSTOP)
    try:
        # At once, not with a command: the broker itself asks for no move to a hub that is silent for seconds.
        assert "did not answer" in server.move(talk.id, 1)
        talk.say()
    finally:
        os.kill(target, signal.SIGCONT)
    server.wait_for(lambda: server.status()["hubs"][1]["state"] == "serving")
    talk.say()
    assert server.move(talk.id, 1) == ""
    talk.say()
    assert [(each["id"], each["hub"]) for each in server.connections()] == [(talk.id, 1)]
    talk.close()


@pytest.mark.parametrize("victim", [0, 1], ids=["source", "target"])
def test_a_hub_killed_while_connections_move_leaves_no_client_hanging(victim):
    """Whatever the step: each call ends or is answered, and a dead connection's client hears of it."""
    with served("--move-every", "1") as server:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.insecure_channel(server.address, options=options) for _ in range(4)]
        results: list[str] = []
        restarted = threading.Event()

        def numbers(ahead: threading.Semaphore) -> Iterator[Item]:
            """Until the hub is there again: a busy machine takes its time for that, and for each move."""
            for number in count():
                ahead.acquire()
                yield Item(number=number)
                if restarted.is_set():
                    return

        def chat(channel: grpc.Channel) -> None:
            heard, ahead = 0, threading.Semaphore(AHEAD)
            try:
                for reply in StatefulStub(channel).Talk(numbers(ahead)):
                    assert reply.number == heard
                    heard += 1
                    ahead.release()
                results.append("done")
            except grpc.RpcError as error:
                results.append(error.code().name)
                ahead.release()  # grpcio's thread waits for a number

        threads = [threading.Thread(target=chat, args=(channel,), daemon=True) for channel in channels]
        for thread in threads:
            thread.start()
        server.wait_for(lambda: server.status()["moves"]["done"] > 200)
        os.kill(pid_of(server, victim), signal.SIGKILL)
        server.wait_for(lambda: server.status()["hubs"][victim]["restarts"] == 1)
        server.wait_for(lambda: server.status()["hubs"][victim]["state"] == "serving")
        restarted.set()
        for thread in threads:
            thread.join(HANGING)
        assert len(results) == len(threads)
        assert set(results) <= {"done", "UNAVAILABLE"}
        for channel in channels:
            assert StatefulStub(channel).Unary(Item(), wait_for_ready=True, timeout=HANGING).number >= 1
            channel.close()
