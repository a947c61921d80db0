"""Hub processes as the broker sees them, with small programs in the place of hubs."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import gevent
import pytest
from gevent.event import Event
from gevent.queue import Queue

from actorrpc.broker.host.runtime_dir import Claim, RuntimeDir
from actorrpc.broker.processes.hub_process import HubProcess, introduce
from actorrpc.broker.processes.hub_slot import restart_delay
from actorrpc.broker.processes.low_priority import may_raise_again
from actorrpc.broker.processes.spawning import spawn
from actorrpc.broker.watching.dumps import NoStack
from actorrpc.pb.control_pb2 import Connections, ListConnections, Load, Moved, Start, ToHub
from tests.support.processes import environment
from tests.support.waiting import PATIENCE, until

PROLOGUE = """
import argparse, os, signal, socket, sys, time
from actorrpc.ipc.framing import FrameReader, encode
from actorrpc.ipc.hello import Hello as OurHello
from actorrpc.pb.control_pb2 import *
parser = argparse.ArgumentParser()
parser.add_argument("--control-fd", type=int)
parser.add_argument("--lock-fd", type=int)
parser.add_argument("--call-fd", type=int)
given = parser.parse_args()
control = socket.socket(fileno=given.control_fd)
reader = FrameReader()
def receive():
    while not (frame := reader.next_frame()):
        data, fds, _, _ = socket.recv_fds(control, 65536, 9)
        if not data: sys.exit(7)
        reader.receive(data, fds)
    return ToHub.FromString(frame[0]), frame[1]
def send(**kind):
    if (ready := kind.get("ready")) and not ready.HasField("hello"):
        ready.hello.CopyFrom(OurHello.own().to_message())
    control.sendall(encode(ToBroker(**kind)))
"""


class Owner:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.ready: Queue[str] = Queue()
        self.moved: Queue[Moved] = Queue()
        self.settled: Queue[int] = Queue()
        self.unlinked: Queue[tuple[int, int]] = Queue()
        self.stopping = Event()
        self.exited = Event()

    def hub_ready(self, process: HubProcess, error: str) -> None:
        self.ready.put(error)

    def hub_moved(self, process: HubProcess, moved: Moved) -> None:
        self.moved.put(moved)

    def hub_settled(self, process: HubProcess, version: int) -> None:
        self.settled.put(version)

    def hub_unlinked(self, process: HubProcess, serial: int, number: int) -> None:
        self.unlinked.put((serial, number))

    def hub_stopping(self, process: HubProcess) -> None:
        self.stopping.set()

    def hub_exited(self, process: HubProcess) -> None:
        self.exited.set()


class Started:
    def __init__(self, process: HubProcess, owner: Owner) -> None:
        self.process = process
        self.owner = owner

    def wait(self) -> str:
        assert self.owner.exited.wait(PATIENCE)
        return self.process.describe_exit()


Start_ = Callable[..., Started]


@pytest.fixture
def claim(tmp_path: Path) -> Iterator[Claim]:
    with RuntimeDir(str(tmp_path / "run")).claim() as claim:
        yield claim


@pytest.fixture
def start(claim: Claim, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start_]:
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    started = []

    def start(program: str, hub: int = 0, aside: bool = False) -> Started:
        owner = Owner()
        command = (sys.executable, "-c", PROLOGUE + textwrap.dedent(program))
        serial = claim.next_serial()
        process = HubProcess(
            hub, serial, claim, partial(spawn, serial, claim, command, None), owner, aside=aside
        )
        started.append(found := Started(process, owner))
        return found

    gevent.sleep(0)  # the loop makes its own descriptors
    before = len(os.listdir("/proc/self/fd"))
    yield start
    for found in started:
        found.process.kill()
        found.wait()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(not may_raise_again(), reason="who runs the tests may not raise a priority again")
def test_who_starts_aside_of_another_has_a_low_priority_until_it_is_ready(start: Start_) -> None:
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    program = """
        receive()
        send(ready=Ready())
        receive()
    """
    hub, other = start(program, aside=True), start(program)
    assert os.getpriority(os.PRIO_PROCESS, hub.process.pid) > usual
    assert os.getpriority(os.PRIO_PROCESS, other.process.pid) == usual
    hub.process.send(ToHub(start=Start()))
    assert hub.owner.ready.get(timeout=PATIENCE) == ""
    assert os.getpriority(os.PRIO_PROCESS, hub.process.pid) == usual


def test_one_that_follows_a_quick_death_has_to_serve_for_a_while(
    start: Start_, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before others give it what they have."""
    hub = start(
        """
        send(ready=Ready())
        receive()
        """
    )
    assert hub.owner.ready.get(timeout=PATIENCE) == ""
    process = hub.process
    assert process.reliable
    process.unproven = True
    assert not process.reliable
    monkeypatch.setattr("actorrpc.broker.processes.hub_process.QUICK", 0.0)
    assert process.reliable
    process.draining = True
    assert (process.reliable, process.state) == (False, "draining")
    process.held = True
    assert (process.reliable, process.state) == (False, "serving")


def test_the_life_of_a_process(start: Start_, claim: Claim) -> None:
    hub = start("""
        message, (listener,) = receive()
        send(ready=Ready(error=f"{message.start.app} {os.fstat(listener).st_ino}"))
        sys.exit(3)
    """)
    assert hub.process.state == "starting"
    assert claim.directory.living_hubs() == {hub.process.serial: hub.process.pid}
    assert int(Path(claim.directory.hub_path(hub.process.serial)).read_text()) == hub.process.pid
    with open("/dev/null") as null:
        hub.process.send(ToHub(start=Start(app="a:b")), [null.fileno()])
        assert hub.owner.ready.get(timeout=PATIENCE) == f"a:b {os.fstat(null.fileno()).st_ino}"
    assert hub.wait() == "exited with status 3"
    assert claim.directory.living_hubs() == {}
    assert hub.process.send(ToHub(start=Start())) is False


def test_last_words_come_before_the_exit(start: Start_) -> None:
    hub = start("""
        send(load=Load(turns=7))
        send(moved=Moved(connection="0-1-1"))
        send(settled=Settled(version=5))
        send(unlinked=Unlinked(serial=3, number=2**63 - 1))
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert hub.wait() == "was killed by SIGKILL"
    assert hub.process.load == Load(turns=7)
    assert hub.owner.moved.get_nowait().connection == "0-1-1"
    assert hub.owner.settled.get_nowait() == 5
    assert hub.owner.unlinked.get_nowait() == (3, 2**63 - 1)


def test_the_end_of_the_link_is_not_the_end_of_the_process(start: Start_) -> None:
    hub = start("""
        send(ready=Ready())
        receive()
        control.close()
        signal.sigwait([signal.SIGUSR1])
    """)
    hub.owner.ready.get(timeout=PATIENCE)
    asked = hub.process.ask(ToHub(list_connections=ListConnections()))
    assert asked.get(timeout=PATIENCE) is None
    assert hub.process.exit_code is None
    assert hub.process.ask(ToHub(list_connections=ListConnections())).get(timeout=0) is None
    hub.process.stop(1)  # cannot be said any more, so it is signalled
    assert hub.wait() == "was killed by SIGTERM"


def test_answers_find_their_questions(start: Start_) -> None:
    hub = start("""
        asked = [receive()[0].list_connections.request for _ in range(2)]
        for request in reversed([*asked, 99]):
            send(connections=Connections(request=request))
        receive()
    """)
    questions = [hub.process.ask(ToHub(list_connections=ListConnections())) for _ in range(3)]
    assert questions[1].get(timeout=PATIENCE) == Connections(request=2)
    assert questions[0].get(timeout=PATIENCE) == Connections(request=1)
    assert questions[2].get(timeout=PATIENCE) is None, "it died without an answer"


def test_states(start: Start_, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = start("""
        send(ready=Ready())
        message, _ = receive()
        assert message.stop.drain_timeout == 4
    """)
    hub.owner.ready.get(timeout=PATIENCE)
    assert hub.process.state == "serving"
    monkeypatch.setattr("actorrpc.broker.processes.hub_process.SILENCE", 0)
    assert hub.process.state == "silent"
    hub.process.stop(4)
    assert hub.process.state == "stopping"
    assert hub.wait() == "exited with status 0"


def test_a_process_that_does_not_serve_yet_is_ended_by_a_signal(start: Start_) -> None:
    hub = start("receive()")
    hub.process.stop(4)
    assert hub.wait() == "was killed by SIGTERM"


def test_it_starts_with_signals_to_the_group_blocked_and_nothing_of_ours_open(start: Start_) -> None:
    hub = start("""
        assert {signal.SIGINT, signal.SIGHUP} <= signal.pthread_sigmask(signal.SIG_BLOCK, [])
        ours = {0, 1, 2, given.control_fd, given.lock_fd, given.call_fd}
        assert not [fd for fd in range(256) if fd not in ours and os.path.exists(f"/proc/self/fd/{fd}")]
        send(load=Load(turns=1))
    """)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert hub.wait() == "exited with status 0"


def test_introduced_hubs_can_talk(start: Start_) -> None:
    program = """
        message, (fd,) = receive()
        peer = socket.socket(fileno=fd)
        peer.sendall(b"from %d" % (1 - message.peer.hub))
        who = f"{message.peer.hub}.{message.peer.serial} by {message.peer.number}"
        send(ready=Ready(error=f"{who}: {peer.recv(99).decode()}"))
        assert peer.recv(99) == b""
    """
    one, other = start(program, 0), start(program, 1)
    introduce(one.process, other.process, 2**63 - 1)
    assert one.owner.ready.get(timeout=PATIENCE) == f"1.{other.process.serial} by {2**63 - 1}: from 1"
    assert other.owner.ready.get(timeout=PATIENCE) == f"0.{one.process.serial} by {2**63 - 1}: from 0"
    one.process.kill()
    assert other.wait() == "exited with status 0", "the broker keeps no dup"


def test_a_program_that_does_not_exist(claim: Claim) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        HubProcess(0, 1, claim, partial(spawn, 1, claim, ("/no/such/program",), None), Owner())
    assert len(os.listdir("/proc/self/fd")) == before
    assert claim.directory.living_hubs() == {}


def test_a_process_whose_link_has_broken_cannot_be_heard(start: Start_) -> None:
    hub = start("""
        send(ready=Ready())
        control.close()
        signal.pause()
    """)
    assert hub.owner.ready.get(timeout=PATIENCE) == ""
    until(lambda: not hub.process.linked, sleep=gevent.sleep)
    assert hub.process.exit_code is None


def test_the_stack_of_a_process(start: Start_) -> None:
    hub = start("""
        from actorrpc.hub.watching.dumps import dump_on_signal
        signum, reader = dump_on_signal()
        socket.send_fds(control, [encode(ToBroker(dumps=Dumps(signal=signum)), 1)], [reader])
        send(ready=Ready())
        def held():
            time.sleep(1000)
        held()
    """)
    with pytest.raises(NoStack, match="cannot be asked"):
        hub.process.stack()
    hub.owner.ready.get(timeout=PATIENCE)

    def functions() -> list[str]:
        return [place.function for place in hub.process.stack()]

    until(lambda: functions() == ["<module>", "held"], sleep=gevent.sleep, told=lambda: str(functions()))
    hub.process.kill()
    hub.wait()
    with pytest.raises(NoStack, match="ended"):
        hub.process.stack()


def test_a_process_that_ends_while_its_stack_is_wanted(start: Start_) -> None:
    """It does not write, and nobody closes the pipe under the one who reads."""
    hub = start("""
        from actorrpc.hub.watching.dumps import dump_on_signal
        signum, reader = dump_on_signal()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signum])
        socket.send_fds(control, [encode(ToBroker(dumps=Dumps(signal=signum)), 1)], [reader])
        send(ready=Ready())
        signal.pause()
    """)
    hub.owner.ready.get(timeout=PATIENCE)
    asked = gevent.spawn(hub.process.stack)
    gevent.sleep(0)
    hub.process.kill()
    hub.wait()
    with pytest.raises(NoStack):
        asked.get(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("quick_deaths", "delay"), [(0, 0), (1, 0.1), (2, 0.2), (3, 0.4), (7, 6.4), (8, 10), (100_000, 10)]
)
def test_restart_delay(quick_deaths: int, delay: float) -> None:
    assert restart_delay(quick_deaths) == pytest.approx(delay)


def test_what_was_said_of_an_earlier_drain_is_not_taken_for_this_one(start: Start_) -> None:
    hub = start("""
        send(load=Load(draining=Draining()))
        receive()
    """)
    hub.process.draining = True
    until(lambda: hub.process.empty, sleep=gevent.sleep)
    hub.process.draining = True  # a reload finds it drained
    assert hub.process.empty
    hub.process.draining = False
    hub.process.draining = True
    assert not hub.process.empty
