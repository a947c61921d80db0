"""Real hubs that are killed, stopped or cut off at each step of a handoff: one owner, or a closed socket.

``faults`` names the points. Hub 0 is the source and hub 1 the target; hub 2 looks on.
"""

from __future__ import annotations

import os
import queue
import select
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.processes import ROOT
from tests.support.server_process import ServerProcess

#: "At once", on a machine that has other things to do. A client that hangs would do so for `HANG`.
PROMPT, HANG = 5.0, 30.0

GOES_ON, CLOSED = "goes on", "closed"


class Talk:
    """A client with one open bidirectional stream, whose every message is answered."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub = StatefulStub(self.channel)
        self._outgoing: queue.Queue[Item | None] = queue.Queue()
        self._replies = self.stub.Talk(iter(self._outgoing.get, None), timeout=HANG)
        self._sent = 0
        self.say()

    def say(self) -> None:
        """Send the next number and wait for it to come back."""
        self._outgoing.put(Item(number=self._sent))
        assert next(self._replies).number == self._sent
        self._sent += 1

    def is_closed_at_once(self) -> None:
        """The stream ends without a word of ours."""
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            next(self._replies)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - began < PROMPT

    def close(self) -> None:
        self._outgoing.put(None)
        self.channel.close()


class Stage:
    """A server, a connection on each hub, and the pids before anything went wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pids: list[int] = []
        self.talks: list[Talk] = []
        self.ids: list[str] = []
        self._fifos: list[int] = []
        self._movers: list[threading.Thread] = []
        self.server = ServerProcess(app="tests.chaos.faults:app", hubs=3)
        try:
            self.server.until_ready()
            self.pids = [hub["pid"] for hub in self.hubs()]
            for hub in range(3):
                self._open(hub)
        except BaseException:
            self.close()
            raise
        self.peer = next(each["peer"] for each in self.server.connections() if each["id"] == self.ids[0])
        for talk in self.talks:
            talk.say()  # so that each hub has all of a connection that has just come to it
        self.fds = [self.count_fds(pid) for pid in self.pids]

    def _open(self, hub: int) -> None:
        self.talks.append(Talk(self.server.address))
        (new,) = [each for each in self.server.connections() if each["id"] not in self.ids]
        self.ids.append(new["id"])
        if new["hub"] != hub:
            assert self.ask_to_move(new["id"], hub) == ""

    def hubs(self) -> Any:
        return self.server.status()["hubs"]

    def ask_to_move(self, id: str, hub: int) -> str:
        """Why it did not move, "" if it did."""
        try:
            return self.server.move(id, hub)
        except OSError as error:
            return f"the broker is dead: {error}"

    @property
    def talk(self) -> Talk:
        return self.talks[0]

    def will(self, hub: int, point: str, what: str) -> int:
        """Let a hub stumble; the descriptor is readable when it has."""
        file = self.folder / f"{self.pids[hub]}.{point}"
        os.mkfifo(fifo := file.with_name(file.name + ".reached"))
        file.write_text(what)
        self._fifos.append(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))
        return self._fifos[-1]

    def move(self) -> threading.Thread:
        """Have the connection of hub 0 moved to hub 1; the command may find nobody to answer it."""
        mover = threading.Thread(target=lambda: self.ask_to_move(self.ids[0], 1))
        mover.start()
        self._movers.append(mover)
        return mover

    @staticmethod
    def wait_until_reached(fifo: int) -> None:
        assert select.select([fifo], [], [], HANG)[0], "the hub never came to that point"

    @staticmethod
    def count_fds(pid: int) -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    def holders(self) -> list[int]:
        """The hubs that have a descriptor of the client's connection."""
        port = int(self.peer.rpartition(":")[2])
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        inodes = {row[9] for row in rows if int(row[2].rpartition(":")[2], 16) == port}
        return [hub for hub, pid in enumerate(self.pids) if inodes & set(_socket_inodes(pid))]

    def is_closed(self) -> None:
        self.talk.is_closed_at_once()

    def goes_on(self, hub: int) -> None:
        self.talk.say()
        self.server.wait_for(lambda: self.holders() == [hub])
        self.talk.say()

    def recovers(self, killed: int) -> None:
        """The killed hub is there again, and the others are as they were: connections, descriptors, moves."""
        for hub, talk in enumerate(self.talks[1:], 1):
            if hub != killed:
                talk.say()
                assert talk.stub.Unary(Item(), timeout=HANG).number > 1
        self.server.wait_for(lambda: self._serves(killed))
        for hub in {0, 1, 2} - {killed}:
            assert self.hubs()[hub]["pid"] == self.pids[hub]
        for target in (killed, 2):
            self.server.wait_for(lambda target=target: self._takes(target))
            self.talks[2].say()  # else on_thaw may still have to run, which pins it
        assert self.talk.stub.Unary(Item(), wait_for_ready=True, timeout=HANG).number >= 1
        self.talk.close()
        self.server.wait_for(lambda: self.count_fds(self.pids[2]) == self.fds[2])
        expected = self.fds[1] if killed == 0 else self.fds[0] - 1  # without the connection that was here
        self.server.wait_for(lambda: self.count_fds(self.pids[1 - killed]) == expected)

    def _takes(self, hub: int) -> bool:
        """It does, unless the broker's word of its neighbours has not come there yet."""
        why = self.ask_to_move(self.ids[2], hub)
        assert why == "" or why.endswith("the hub has not been told yet where topics are")
        return why == ""

    def _serves(self, hub: int) -> bool:
        row = self.hubs()[hub]
        return (row["restarts"], row["state"]) == (1, "serving")

    def close(self) -> None:
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        for talk in self.talks:
            talk.close()
        self.server.close()
        for mover in self._movers:
            mover.join(HANG)
        for fifo in self._fifos:
            os.close(fifo)


def _socket_inodes(pid: int) -> Iterator[str]:
    try:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            name = os.readlink(fd)
            if name.startswith("socket:["):
                yield name[8:-1]
    except FileNotFoundError:
        return


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("ACTORRPC_TEST_FAULTS", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stage = Stage(tmp_path)
    try:
        yield stage
    finally:
        stage.close()


@pytest.mark.parametrize(
    ("point", "then"),
    [
        ("before_freeze", CLOSED),
        ("after_freeze", CLOSED),
        ("before_commit", CLOSED),
        ("before_release", GOES_ON),  # COMMIT has been sent
        ("after_release", GOES_ON),
    ],
)
def test_a_source_that_is_killed(stage, point, then):
    reached = stage.will(0, point, f"kill {stage.pids[0]}")
    stage.move()
    stage.wait_until_reached(reached)
    if then == CLOSED:
        stage.is_closed()
    else:
        stage.goes_on(1)
    stage.recovers(0)


@pytest.mark.parametrize(
    ("point", "then"),
    [
        ("before_say_ready", GOES_ON),
        ("before_serve", CLOSED),
        ("after_serve", CLOSED),
    ],
)
def test_a_target_that_is_killed(stage, point, then):
    reached = stage.will(1, point, f"kill {stage.pids[1]}")
    stage.move()
    stage.wait_until_reached(reached)
    if then == CLOSED:
        stage.is_closed()
    else:
        stage.goes_on(0)
    stage.recovers(1)


def test_a_target_that_is_killed_when_it_is_ready(stage):
    """The source has not said COMMIT: it sees that nobody would hear it, and serves on."""
    stopped = stage.will(0, "before_commit", f"stop {stage.pids[0]}")
    stage.move()
    stage.wait_until_reached(stopped)
    os.kill(stage.pids[1], signal.SIGKILL)
    stage.server.wait_for(lambda: stage.hubs()[1]["pid"] != stage.pids[1])
    os.kill(stage.pids[0], signal.SIGCONT)
    stage.goes_on(0)
    stage.recovers(1)


def test_a_source_that_is_killed_with_its_offer_unread(stage):
    """The target is stopped, so that what was sent to it stays in the kernel: no socket is among it."""
    os.kill(stage.pids[1], signal.SIGSTOP)
    reached = stage.will(0, "after_freeze", f"kill {stage.pids[0]}")
    stage.move()
    stage.wait_until_reached(reached)
    stage.is_closed()
    os.kill(stage.pids[1], signal.SIGCONT)
    stage.recovers(0)


def test_a_source_that_is_killed_after_it_gave_up_a_silent_target(stage):
    os.kill(stage.pids[1], signal.SIGSTOP)
    stage.move().join(HANG)
    stage.goes_on(0)
    os.kill(stage.pids[0], signal.SIGKILL)
    stage.is_closed()
    os.kill(stage.pids[1], signal.SIGCONT)
    stage.recovers(0)


@pytest.mark.parametrize("killed", [0, 1], ids=["source", "target"])
def test_the_socket_lies_unread_with_a_stopped_target(stage, killed):
    """It is the target's already: the source's death does not matter, and the target's is seen at once."""
    stopped = stage.will(1, "after_say_ready", f"stop {stage.pids[1]}")
    stage.move().join(HANG)
    stage.wait_until_reached(stopped)
    assert stage.holders() == [], "only the kernel has it"
    os.kill(stage.pids[killed], signal.SIGKILL)
    if killed == 1:
        stage.is_closed()
    else:
        os.kill(stage.pids[1], signal.SIGCONT)
        stage.goes_on(1)
    stage.recovers(killed)


# Not after READY: the target may then throw away a COMMIT that it has not read, which closes the connection.
@pytest.mark.parametrize(
    ("hub", "point"), [(0, "after_freeze"), (1, "before_say_ready"), (0, "before_commit")]
)
def test_a_link_that_breaks_between_living_hubs(stage, hub, point):
    reached = stage.will(hub, point, "break")
    mover = stage.move()
    stage.wait_until_reached(reached)
    mover.join(HANG)
    stage.talk.say()
    assert len(stage.holders()) == 1
    for talk in stage.talks:
        talk.say()


@pytest.mark.parametrize(
    ("hub", "point"), [(0, "before_freeze"), (0, "after_freeze"), (0, "before_commit"), (1, "before_serve")]
)
def test_a_broker_that_is_killed_while_a_connection_moves(stage, hub, point):
    reached = stage.will(hub, point, f"kill {stage.server.process.pid}")
    stage.move()
    stage.wait_until_reached(reached)
    stage.server.process.wait(HANG)
    stage.goes_on(1)
    for talk in stage.talks:
        talk.say()
