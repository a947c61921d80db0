"""The log of a server: what its clients cause is limited, and whether anybody reads it concerns nobody."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tests.apps.shapes_actorrpc import StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Serve
from tests.support.processes import ACTORRPC
from tests.support.raw_client import RawClient
from tests.support.waiting import PATIENCE, until

Connect = Callable[[str], CountingClient]

BAD = 300
#: What is told of connections that are no HTTP/2: a line for each, or how many others there were.
LINE = re.compile(r"INFO hub 0: (?:and (\d+) more in the last \d+ s like: )?connection \S+ from ")


class Stalled:
    """A pipe that is full."""

    def __init__(self) -> None:
        self.reader, self.end = os.pipe()
        os.set_blocking(self.end, False)
        try:
            while True:
                os.write(self.end, b"\n" * 4096)
        except BlockingIOError:
            os.set_blocking(self.end, True)

    def close_reader(self) -> None:
        os.close(self.reader)
        self.reader = -1

    def read_until(self, enough: Callable[[str], bool]) -> str:
        text = ""
        while not enough(text):
            data = os.read(self.reader, 65536).decode()
            assert data, text
            text += data
        return text


@pytest.fixture
def stalled() -> Iterator[Stalled]:
    stalled = Stalled()
    yield stalled
    os.close(stalled.end)
    if stalled.reader >= 0:
        stalled.close_reader()


def misbehave(address: str, times: int = BAD) -> None:
    """Connect with what is no HTTP/2 at all, and see that each is answered."""
    for _ in range(times):
        with RawClient(address, b"nonsense") as client:
            client.wait_for_end()


def fail_calls(address: str, times: int = BAD) -> None:
    """Call a handler that raises."""
    with grpc.insecure_channel(address) as channel:
        stub = StatelessStub(channel)
        for _ in range(times):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Unary(Item(text="bug"), timeout=PATIENCE)
            assert caught.value.code() is grpc.StatusCode.UNKNOWN


def connections_told(log: str) -> int:
    """How many bad connections the log tells of."""
    return sum(int(found[1] or 1) for line in log.splitlines() if (found := LINE.search(line)))


def test_a_log_that_nobody_reads_stops_no_hub(serve: Serve, connect: Connect, stalled: Stalled) -> None:
    server = serve(hubs=1, stderr=stalled.end)
    client = connect(server.address)
    client.call()
    misbehave(server.address)
    fail_calls(server.address)
    client.call()
    log = stalled.read_until(lambda text: connections_told(text) == BAD)  # who reads again learns of all
    assert "ZeroDivisionError: the secret of the handler" in log
    assert len(log.split()) < 2000, "words"


STANDARD = ["2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full", ">/proc/self/fd/{}"]


@pytest.mark.parametrize("standard", STANDARD, ids=["no error", "none", "full disks", "not read"])
def test_a_server_needs_nobody_to_talk_to(
    serve: Serve, connect: Connect, stalled: Stalled, standard: str
) -> None:
    shell = ("sh", "-c", f'exec "$@" {standard.format(stalled.end)}', "sh")
    server = serve(hubs=1, ready=False, program=(*shell, *ACTORRPC, "serve"), pass_fds=[stalled.end])
    until(lambda: server.run("status").returncode == 0)
    server.address = server.status()["address"]
    connect(server.address).call()
    fail_calls(server.address, 10)
    assert [os.path.exists(f"/proc/{server.hub(0)['pid']}/fd/{fd}") for fd in range(3)] == [True] * 3
    assert server.run("stop").stdout == "stopped\n"
    assert server.wait() == 0


#: An app that configures its logging, as many do: whatever is not named is disabled then.
CONFIGURES = """
import logging.config
from tests.apps.shapes import app
logging.config.dictConfig({"version": 1})
"""


def test_an_app_that_configures_its_logging_leaves_the_hubs(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "configures.py").write_text(CONFIGURES)
    server = serve(app="configures:app", cwd=tmp_path, hubs=1)
    fail_calls(server.address, 1)
    until(lambda: "ZeroDivisionError: the secret of the handler" in server.log)


#: An app that logs in handlers, and in threads.
LOGS = """
import logging, os
import actorrpc
from tests.apps.shapes_actorrpc import StatelessBase
logging.basicConfig(filename=os.devnull)
log = logging.getLogger("logs")
class Stateless(StatelessBase):
    def Unary(self, request, call):
        log.warning("here")
        self.offload(lambda: [log.warning("there") for _ in range(20)])
        log.warning("here again")
        return request
app = actorrpc.App([Stateless])
"""


def test_an_app_may_log_in_threads_too(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "logs.py").write_text(LOGS)
    server = serve(app="logs:app", cwd=tmp_path, hubs=1)
    with grpc.insecure_channel(server.address) as channel:
        stub = StatelessStub(channel)
        waiting = [stub.Unary.future(Item(), timeout=PATIENCE) for _ in range(200)]
        assert [each.result() for each in waiting] == [Item()] * 200


#: An app that has its hub's main greenlet fail, at a signal.
MORTAL = """
import gevent, signal
from tests.apps.shapes import app
def fail(signum, frame):
    hub = gevent.get_hub()
    hub.loop.run_callback(hub.parent.throw, RuntimeError("the reason\\nof its end"))
signal.signal(signal.SIGUSR1, fail)
"""


def mortal(folder: Path) -> dict[str, object]:
    (folder / "mortal.py").write_text(MORTAL)
    return {"app": "mortal:app", "cwd": folder, "hubs": 1}


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGUSR1])
@pytest.mark.parametrize("closed", [False, True], ids=["full", "closed"])
def test_a_log_that_nobody_reads_stops_no_broker(
    serve: Serve, tmp_path: Path, stalled: Stalled, signum: signal.Signals, closed: bool
) -> None:
    """It tells of a hub's death and starts it again; and the hub can die."""
    if closed:
        stalled.close_reader()
    server = serve(**mortal(tmp_path), stderr=stalled.end)
    os.kill(server.hub(0)["pid"], signum)
    until(lambda: server.hub(0)["restarts"] == 1 and server.hub(0)["state"] == "serving")
    misbehave(server.address, 10)
    assert server.run("stop").stdout == "stopped\n"
    assert server.wait() == 0


def test_a_hub_says_why_it_dies(serve: Serve, tmp_path: Path) -> None:
    server = serve(**mortal(tmp_path))
    os.kill(server.hub(0)["pid"], signal.SIGUSR1)
    until(lambda: "exited with status 1" in server.log)
    last, _, _ = server.log.partition(" WARNING broker: ")
    assert "CRITICAL hub 0: this process ends with an error that nothing has caught\n    Traceback" in last
    assert "\n    RuntimeError: the reason\n    of its end\n" in last
