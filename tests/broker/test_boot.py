"""Servers that cannot start: one clear line, with a traceback where code of the app's has raised something,
exit status 2, and nothing left running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from actorrpc.broker.processes.spawning import HUB_MODULE
from tests.support.fixtures import Serve
from tests.support.processes import environment, group_members
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until


def fails(server: ServerProcess, *complaints: str) -> list[str]:
    """The server says one line with all of ``complaints``, and leaves nothing. Returns the traceback that
    follows."""
    assert server.read_line() == ""
    assert server.wait() == 2
    error, *trace = server.log.splitlines()
    assert error.startswith("actorrpc: error: ")
    assert all(line.startswith("    ") for line in trace)
    for complaint in complaints:
        assert complaint in error
    assert group_members(server.pid) == []
    assert not server.runtime_dir.exists()
    return [line[4:] for line in trace]


def module(server_folder: Path, source: str) -> dict[str, object]:
    """Options of a server whose app is the module ``broken``, in a working directory of its own."""
    (server_folder / "broken.py").write_text(source)
    return {"app": "broken:app", "cwd": server_folder, "ready": False}


@pytest.mark.parametrize(
    ("app", "complaint"),
    [
        ("nonsense", "give it as package.module:attribute"),
        ("no_such_module:app", "No module named 'no_such_module'"),
        ("tests.apps.shapes:nothing", "has no attribute 'nothing'"),
        ("os:path", "not an actorrpc.App"),
    ],
)
def test_an_app_that_cannot_be_served(serve: Serve, app: str, complaint: str) -> None:
    assert fails(serve(app=app, ready=False), app, complaint) == []


def test_an_app_whose_module_raises(serve: Serve, tmp_path: Path) -> None:
    source = """
def connect():
    raise ValueError('two\\nlines, \\x1b[31mred')
try:
    connect()
except ValueError as error:
    raise RuntimeError("no database") from error
"""
    trace = fails(serve(**module(tmp_path, source)), "RuntimeError: no database (broken.py, line 7)")
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[1].endswith('broken.py", line 5, in <module>'), "none of the import's own machinery"
    assert any(line.endswith('broken.py", line 3, in connect') for line in trace)
    assert "ValueError: two" in trace and "lines, \\x1b[31mred" in trace
    assert trace[-1] == "RuntimeError: no database"


def test_an_app_with_a_mistake_in_its_syntax(serve: Serve, tmp_path: Path) -> None:
    trace = fails(serve(**module(tmp_path, "import actorrpc\ndef oops(:\n")), "SyntaxError")
    assert trace[-1] == "SyntaxError: invalid syntax"
    assert "    def oops(:" in trace


def test_a_traceback_that_is_too_long_keeps_its_end(serve: Serve, tmp_path: Path) -> None:
    trace = fails(serve(**module(tmp_path, "raise ValueError('x' * 100_000 + 'the end')")), "ValueError")
    assert len("\n".join(trace)) <= 10_000
    assert trace[-1].endswith("xxthe end")


def test_an_app_without_services(serve: Serve, tmp_path: Path) -> None:
    assert fails(serve(**module(tmp_path, "import actorrpc\napp = actorrpc.App([])")), "no services") == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import os; os._exit(3)", "exited with status 3 while it was starting"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "was killed by SIGKILL while it was starting",
        ),
    ],
)
def test_a_hub_that_dies_at_start(serve: Serve, tmp_path: Path, source: str, complaint: str) -> None:
    fails(serve(**module(tmp_path, source)), complaint)


def test_hubs_that_still_import_are_ended_with_the_one_that_failed(serve: Serve, tmp_path: Path) -> None:
    """The first hub to come fails, the other one would sleep for long."""
    source = """
import os, time
try:
    os.mkdir("first")
except FileExistsError:
    time.sleep(1000)
while len(os.listdir("server-0/run")) < 4:  # the other one has been started
    time.sleep(0.01)
raise RuntimeError("the first fails")
"""
    fails(serve(**module(tmp_path, source)), "the first fails")


@pytest.mark.parametrize("bind", ["nonsense", "::1:0", "127.0.0.1:65536", "192.0.2.1:0"])
def test_an_address_that_cannot_be_bound(serve: Serve, bind: str) -> None:
    fails(serve(bind=bind, ready=False), bind)


def test_a_port_in_use(serve: Serve) -> None:
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        bind = f"127.0.0.1:{stranger.getsockname()[1]}"
        fails(serve(bind=bind, ready=False), f"cannot listen on {bind}: Address already in use")


@pytest.mark.parametrize("hubs", [0, -3])
def test_too_few_hubs(serve: Serve, hubs: int) -> None:
    fails(serve(hubs=hubs, ready=False), f"Invalid value for '--hubs': {hubs} is not in the range")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_hubs_start(serve: Serve, tmp_path: Path, signum: signal.Signals) -> None:
    options = module(tmp_path, "import os, time\nos.mkdir('importing')\ntime.sleep(1000)")
    server = serve(**options, hubs=1)
    until((tmp_path / "importing").exists)
    os.kill(server.pid, signum)
    assert server.wait() == 0
    assert server.log == ""


#: Ways to hang: in gevent's loop, and without a word to it.
HANGS = {
    "waiting": ("gevent.sleep(1000)", "waits here"),
    "blocking": ("ctypes.CDLL(None).sleep(1000)", "most recent call first"),
}


@pytest.mark.parametrize("how", HANGS)
def test_an_app_whose_import_hangs(serve: Serve, tmp_path: Path, how: str) -> None:
    hang, shown = HANGS[how]
    options = module(tmp_path, f"import ctypes, gevent\n{hang}")
    server = serve("--start-timeout", 5, **options, hubs=1)
    assert server.read_line() == ""
    assert server.wait() == 2
    assert shown in server.log
    assert "broken.py" in server.log, "where it hangs"
    assert "actorrpc: error: hub 0 still does not serve after 5 s (--start-timeout)" in server.log
    assert group_members(server.pid) == []


def test_a_restarted_hub_whose_import_hangs_is_killed_and_started_again(serve: Serve, tmp_path: Path) -> None:
    source = """
import os, time
if os.path.exists("hang"):
    time.sleep(1000)
from tests.apps.shapes import app
"""
    options = module(tmp_path, source) | {"ready": True}
    server = serve("--start-timeout", 8, **options)
    (tmp_path / "hang").touch()
    os.kill(server.hub(1)["pid"], signal.SIGKILL)
    until(lambda: "hub 1 still does not serve after 8 s (--start-timeout): killed" in server.log)
    assert "broken.py" in server.log, "where it hangs"
    (tmp_path / "hang").unlink()
    until(lambda: server.hub(1)["state"] == "serving")
    assert server.hub(0)["state"] == "serving"


def test_a_hub_whose_broker_goes_before_it_has_said_anything_ends_without_a_word(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_UNIX) as calls, open(tmp_path / "lock", "w") as lock:
        calls.bind(str(tmp_path / "calls"))
        calls.listen()
        given = {"--control-fd": theirs.fileno(), "--lock-fd": lock.fileno(), "--call-fd": calls.fileno()}
        hub = subprocess.Popen(
            [sys.executable, *HUB_MODULE, *(str(each) for item in given.items() for each in item)],
            env=environment(strict=True),
            pass_fds=[*given.values()],
            stderr=subprocess.PIPE,
        )
    with hub:
        _, said = hub.communicate(timeout=PATIENCE)
    assert (hub.returncode, said) == (1, b"")
