"""The log of a server: what its clients cause is limited, and whether anybody reads it concerns nobody."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.apps.shapes_actorrpc import StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Serve
from tests.support.processes import ACTORRPC
from tests.support.raw_client import RawClient
from tests.support.server_process import ServerProcess
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


@contextmanager
def stopped_reader() -> Iterator[int]:
    """A pipe whose reader is a process that is stopped."""
    reader, end = os.pipe()
    with subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.DEVNULL) as cat:
        os.close(reader)
        cat.send_signal(signal.SIGSTOP)
        try:
            yield end
        finally:
            os.close(end)
            cat.kill()


@contextmanager
def gone_reader() -> Iterator[int]:
    reader, end = os.pipe()
    os.close(reader)
    yield end
    os.close(end)


@contextmanager
def full_disk() -> Iterator[int]:
    with open("/dev/full", "w") as full:
        yield full.fileno()


#: An app that logs more in each call than a pipe holds.
TALKS = """
import logging
import actorrpc
from tests.apps.shapes_actorrpc import StatelessBase
log = logging.getLogger("talks")
class Stateless(StatelessBase):
    def Unary(self, request, call):
        for _ in range(20):
            log.info("x" * 9000)
        return request
app = actorrpc.App([Stateless])
"""


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("kind", [full_disk, gone_reader, stopped_reader], ids=lambda kind: kind.__name__)
def test_what_an_app_logs_stops_no_hub_whatever_reads_it(
    serve: Serve, tmp_path: Path, kind: Callable[[], AbstractContextManager[int]], format: str
) -> None:
    """Twenty calls are 3.6 MB, and a process keeps 1 MB; the broker has to tell of a death."""
    (tmp_path / "talks.py").write_text(TALKS)
    with kind() as fd:
        server = serve("--log-format", format, app="talks:app", cwd=tmp_path, hubs=1, stderr=fd)
        for _ in range(2):
            with grpc.insecure_channel(server.address) as channel:
                stub = StatelessStub(channel)
                for _ in range(20):
                    stub.Unary(Item(), timeout=PATIENCE)
            kill_hub(server)
        assert server.run("stop").returncode == 0
        assert server.wait() == 0


def kill_hub(server: ServerProcess, hub: int = 0) -> None:
    """Kill a hub's process, and wait until another serves."""
    pid = server.hub(hub)["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: server.hub(hub)["pid"] not in (None, pid) and server.hub(hub)["state"] == "serving")


def killed(server: ServerProcess, log: Path) -> None:
    """Kill a hub, and see that the broker and the new hub go on logging into a file."""
    kill_hub(server)
    until(lambda: "serves again" in log.read_text())
    fail_calls(server.address, 1)
    until(lambda: "the secret of the handler" in log.read_text())


def test_a_log_that_is_copied_and_emptied_goes_on_at_its_beginning(serve: Serve, tmp_path: Path) -> None:
    """As logrotate does with ``copytruncate``. The file is not open for appending, and its writers have
    been far behind its new end."""
    server = serve(hubs=1)
    log = server.folder / "log"
    fail_calls(server.address, 5)
    until(lambda: log.stat().st_size > 1000)
    os.truncate(log, 0)
    killed(server, log)
    text = log.read_text()
    assert "\0" not in text
    assert re.match(r"\d{4}-\d\d-\d\d ", text)


def test_a_log_that_is_renamed_goes_on_under_its_new_name(serve: Serve) -> None:
    server = serve(hubs=1)
    log, renamed = server.folder / "log", server.folder / "log.1"
    log.rename(renamed)
    log.write_text("")
    killed(server, renamed)
    assert log.read_text() == ""
    renamed.replace(log)


def lines(server: ServerProcess) -> list[dict[str, Any]]:
    """The log of a server that writes JSON, whose last line may still be under way."""
    return [json.loads(line) for line in server.log.splitlines(keepends=True) if line.endswith("\n")]


def test_json_lines_name_what_they_are_about(serve: Serve, connect: Connect) -> None:
    server = serve("--log-format", "json", hubs=2)
    connect(server.address).call()
    fail_calls(server.address, 1)
    (failed,) = until(lambda: [line for line in lines(server) if "raised" in line["message"]])
    hub = failed["hub"]
    assert failed["role"] == f"hub {hub}"
    assert failed["pid"] == server.hub(hub)["pid"]
    assert (failed["level"], failed["logger"]) == ("ERROR", "actorrpc.hub")
    assert failed["call"].partition("/")[0] == failed["connection"]
    assert failed["exception"].splitlines()[-1] == "ZeroDivisionError: the secret of the handler"
    os.kill(server.hub(1)["pid"], signal.SIGKILL)
    died, *_ = until(lambda: [line for line in lines(server) if line["role"] == "broker"])
    assert (died["hub"], died["pid"], died["logger"]) == (1, server.pid, "actorrpc.broker")
    assert "was killed by SIGKILL" in died["message"]


def test_a_move_has_one_id_in_both_hubs(serve: Serve, connect: Connect) -> None:
    server = serve("--log-format", "json", "--log-level", "debug", hubs=2)
    client = connect(server.address)
    client.call()
    ((id, hub),) = [(row["id"], row["hub"]) for row in server.connections()]
    for target in (1 - hub, hub):
        assert server.move(id, target) == ""
    client.call()

    def moves() -> dict[str, list[tuple[int, str]]]:
        found: dict[str, list[tuple[int, str]]] = {}
        for line in lines(server):
            if "move" in line:
                assert line["connection"] == id
                found.setdefault(line["move"], []).append((line["hub"], line["message"].split()[-1]))
        return found if sum(map(len, found.values())) == 6 else {}

    there, back = until(moves, told=lambda: server.log).values()
    assert sorted(there) == sorted([(hub, "move"), (hub, "moved"), (1 - hub, "arrived")])
    assert sorted(back) == sorted([(1 - hub, "move"), (1 - hub, "moved"), (hub, "arrived")])


#: An app that has not configured logging.
LOGGING = """
import logging
import actorrpc
from tests.apps.shapes_actorrpc import StatelessBase
from tests.apps.shapes_pb2 import Item
log = logging.getLogger("shop.stock")
log.info("imported")
class Stateless(StatelessBase):
    def Unary(self, request, call):
        log.info("%s left", request.number)
        log.debug("not this")
        return Item(text=call.id)
app = actorrpc.App([Stateless])
"""


def test_an_app_s_lines_have_the_ids_of_their_call(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(LOGGING)
    server = serve("--log-format", "json", app="shop:app", cwd=tmp_path, hubs=1)
    with grpc.insecure_channel(server.address) as channel:
        call = StatelessStub(channel).Unary(Item(number=3), timeout=PATIENCE).text

    def by_shop() -> dict[str, dict[str, Any]]:
        return {line["message"]: line for line in lines(server) if line["logger"] == "shop.stock"}

    until(lambda: "3 left" in by_shop())
    said = by_shop()
    assert set(said) == {"imported", "3 left"}
    assert "call" not in said["imported"]
    assert (said["3 left"]["call"], said["3 left"]["hub"]) == (call, 0)


def test_only_what_is_as_bad_as_was_told_is_written(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(LOGGING)
    server = serve("--log-level", "warning", app="shop:app", cwd=tmp_path, hubs=1)
    with grpc.insecure_channel(server.address) as channel:
        StatelessStub(channel).Unary(Item(number=3), timeout=PATIENCE)
    misbehave(server.address, 3)
    kill_hub(server)
    assert server.run("stop").returncode == 0
    server.wait()
    assert [line.split()[2] for line in server.log.splitlines()] == ["WARNING"]


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
