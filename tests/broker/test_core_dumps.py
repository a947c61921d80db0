"""Real servers without core dumps: who else may read the memory of their processes, and what still works.

They run as an ordinary user: root reads everything, and owns /proc of those who cannot be dumped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.certificates import Authority, Pair
from tests.support.counting_client import CountingClient
from tests.support.processes import ACTORRPC, python
from tests.support.server_process import ServerProcess

#: Become somebody else, who may read what root has made for the tests, and nothing else.
_NOBODY = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
)  # fmt: skip
USER = _NOBODY if os.getuid() == 0 else ()
#: With a /proc that shows nobody what he may not trace.
_HIDING = (
    "unshare", "--mount", "--propagation=private", "sh", "-c",
    'mount -t proc -o hidepid=2 proc /proc && exec "$@"', "sh",
)  # fmt: skip
_WITH_CORES = ("sh", "-c", 'ulimit -c 1000 && exec "$@"', "sh")


def _works(*command: str) -> bool:
    try:
        return subprocess.run([*command, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not _works(*USER), reason="nobody else can be become here")

Start = Callable[..., ServerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers as that user, or have one take over what another has left (``after``)."""
    servers: list[ServerProcess] = []

    def start(
        *options: object, after: ServerProcess | None = None, before: tuple[str, ...] = (), **named: Any
    ) -> ServerProcess:
        named["program"] = (*before, *USER, *ACTORRPC, "serve")
        if after is not None:
            server = after.successor(*options, **named)
        else:
            folder = tmp_path / f"server-{len(servers)}"
            folder.mkdir()
            if USER:
                os.chown(folder, 65534, 65534)
            server = ServerProcess(*options, folder=folder, **{"cwd": folder, **named})
        servers.append(server)
        server.until_ready()
        return server

    yield start
    assert [server.close() for server in reversed(servers)] == [[] for _ in servers]


def processes(server: ServerProcess) -> list[int]:
    status = server.status()
    return [status["broker_pid"], *[row["pid"] for row in status["hubs"]]]


def read(server: ServerProcess) -> list[bool]:
    """Whether others of its user can read the memory of each of its processes, the broker first: who cannot
    read its environment, cannot trace it either (ptrace(2))."""
    return [
        subprocess.run([*USER, "cat", f"/proc/{pid}/environ"], capture_output=True).returncode == 0
        for pid in processes(server)
    ]


def served_with(folder: Path) -> tuple[Authority, Pair]:
    authority = Authority(folder / "ca")
    return authority, authority.sign("localhost", ["localhost"])


def test_nobody_reads_them_and_all_else_works(start: Start, tmp_path: Path) -> None:
    """Handshakes and their key log, moves, renewals; hubs that start again, or later; another broker."""
    authority, pair = served_with(tmp_path)
    secure = ("--tls-bind", "127.0.0.1:0", "--tls-cert", pair.cert, "--tls-key", pair.key)
    options = (*secure, "--no-core-dumps")
    server = start(*options, bind=None)
    client = CountingClient(server.address, grpc.ssl_channel_credentials(Path(authority.file).read_bytes()))
    try:
        client.call()
        assert read(server) == [False] * 3
        (row,) = server.connections()
        assert server.move(row["id"], 1 - row["hub"]) == ""
        client.call()
        assert server.run("tls", "reload").returncode == 0
        assert server.run("reload").returncode == 0
        client.call()
        assert read(server) == [False] * 3
        hub = server.hub(0)["pid"]
        os.kill(hub, signal.SIGSTOP)
        told = server.run("stacks", 0)
        os.kill(hub, signal.SIGCONT)
        assert "it is stopped" in told.stderr, "the broker sees what it does"
        away = 1 - server.connections()[0]["hub"]
        os.kill(server.hub(away)["pid"], signal.SIGKILL)
        server.wait_for(lambda: server.hub(away)["state"] == "serving" and server.hub(away)["restarts"])
        assert read(server) == [False] * 3
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        server = start(*options, after=server, bind=None)
        assert read(server) == [False] * 3
        client.call()
        server = start(*secure, "--takeover", after=server, bind=None)
        assert read(server) == [True, False, False], "hubs are what they were told to be"
        client.call()
    finally:
        client.close()


def test_others_of_its_user_read_them_unless_it_is_told_and_a_reload_tells_it(
    start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "server.toml"
    file.write_text("")
    server = start("--config", file)
    assert read(server) == [True] * 3
    file.write_text("core_dumps = false\n")
    assert server.run("reload").returncode == 0
    assert read(server) == [False] * 3
    file.write_text("core_dumps = true\n")
    assert server.run("reload").returncode == 0
    assert read(server) == [False, True, True], "the broker has read what is secret, and stays as it is"


def _writes_files() -> bool:
    """Whether cores are files in the working directory, and not given to a program."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    return bool(pattern) and not pattern.startswith(("|", "/", "@")) and _works(*_WITH_CORES)


@pytest.mark.skipif(not _writes_files(), reason="cores are not written to the working directory here")
@pytest.mark.parametrize(("options", "written"), [((), True), (("--no-core-dumps",), False)])
def test_a_core_is_written_or_not(start: Start, options: tuple[str, ...], written: bool) -> None:
    server = start(*options, before=_WITH_CORES)
    before = set(os.listdir(server.folder))
    pid = server.hub(1)["pid"]
    os.kill(pid, signal.SIGABRT)
    server.wait_for(lambda: server.hub(1)["pid"] not in (0, None, pid))
    cores = set(os.listdir(server.folder)) - before
    assert bool(cores) == written
    assert "hub 1 (pid " in server.log and "SIGABRT" in server.log


@pytest.mark.skipif(
    not (USER and _works(*_HIDING)) or not shutil.which("setpriv"), reason="/proc cannot be mounted here"
)
def test_where_proc_shows_nobody_what_he_cannot_trace(start: Start) -> None:
    """The broker does not see the hubs there: it goes by their links, and only their stacks cannot be had."""
    server = start("--no-core-dumps", before=_HIDING)
    assert read(server) == [False] * 3
    hub = server.hub(0)["pid"]
    os.kill(hub, signal.SIGSTOP)
    told = server.run("stacks", 0)
    os.kill(hub, signal.SIGCONT)
    assert "/proc does not show its process to this one (hidepid), and its stack cannot be" in told.stderr
    assert server.run("reload").returncode == 0
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    server = start("--no-core-dumps", after=server, before=_HIDING)
    assert server.run("reload").returncode == 0


def test_a_server_in_a_program(tmp_path: Path) -> None:
    """It is so for the whole program, and for what is forked from it."""
    script = tmp_path / "program.py"
    script.write_text("""
import ctypes, os
import actorrpc
from tests.apps.shapes import app

def dumpable():
    return ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)

with actorrpc.Server(app):
    print(dumpable())
with actorrpc.Server(app, config=actorrpc.Config(core_dumps=False)):
    print(dumpable(), flush=True)
if os.fork() == 0:
    print(dumpable(), flush=True)
    os._exit(0)
os.wait()
""")
    done = python(script)
    assert (done.stdout.split(), done.stderr) == (["1", "0", "0"], "")
