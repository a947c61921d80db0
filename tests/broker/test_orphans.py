"""A broker that gets other processes' children, as process 1 of a container does: it reaps them only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from actorrpc.broker.host import orphans as module
from actorrpc.broker.host.orphans import Orphans, adopts
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Serve
from tests.support.processes import ACTORRPC
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until

#: Is a subreaper (PR_SET_CHILD_SUBREAPER is 36), and then the server.
SUBREAPER = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
)

#: An app of which each hub leaves a child's child behind when it is imported.
APP = """
import subprocess, sys
from tests.apps.shapes import app
subprocess.run(["sh", "-c", "sleep 1000 >/dev/null 2>&1 &"], check=True)
"""


def stat(pid: int) -> tuple[str, int] | None:
    """The state and the parent of a process; None if there is none."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return state, int(parent)


def children(pid: int) -> list[int]:
    """All of a process, those that have ended too."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [each for each in pids if (found := stat(each)) is not None and found[1] == pid]


def orphans(broker: int) -> list[int]:
    """The sleepers that the broker has got."""
    return [each for each in children(broker) if "sleep" in Path(f"/proc/{each}/cmdline").read_text()]


def served(serve: Serve, tmp_path: Path, *program: str) -> ServerProcess:
    (tmp_path / "leaves.py").write_text(APP)
    return serve(
        app="leaves:app",
        cwd=tmp_path,
        program=(*program, *ACTORRPC, "serve"),
        variables={"PYTHONWARNINGS": ""},
    )


def is_hub(pid: int) -> bool:
    """By the command line, or the title that has taken its place."""
    line = Path(f"/proc/{pid}/cmdline").read_text()
    return "actorrpc.hub" in line or line.startswith("actorrpc: hub")


def reaps(server: ServerProcess, broker: int, connect: Callable[[str], CountingClient]) -> None:
    """It reaps orphans, and knows how its own hubs have ended."""
    left = until(lambda: found if len(found := orphans(broker)) == 2 else [])
    client = connect(server.address)
    client.call()
    for pid in left:
        os.kill(pid, signal.SIGTERM)
    until(lambda: all(stat(pid) is None for pid in left))
    hubs = [each for each in children(broker) if is_hub(each)]
    assert len(hubs) == 2
    for hub in hubs:
        os.kill(hub, signal.SIGKILL)
    until(lambda: server.log.count("was killed by SIGKILL") == 2)
    # Those of the next two processes.
    later = until(lambda: found if len(found := orphans(broker)) == 2 else [])
    for pid in later:
        os.kill(pid, signal.SIGKILL)
    until(lambda: all(stat(pid) is None for pid in later))


def test_a_subreaper_reaps_what_it_gets(
    serve: Serve, tmp_path: Path, connect: Callable[[str], CountingClient]
) -> None:
    server = served(serve, tmp_path, sys.executable, "-c", SUBREAPER)
    reaps(server, server.pid, connect)


def test_process_1_of_a_container_reaps_and_is_stopped_by_sigterm(
    serve: Serve, tmp_path: Path, connect: Callable[[str], CountingClient]
) -> None:
    alone = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    tried = subprocess.run([*alone, "true"], capture_output=True, text=True, timeout=PATIENCE)
    if tried.returncode:
        pytest.skip(f"no namespace can be made here: {tried.stderr.strip()}")
    server = served(serve, tmp_path, *alone)
    (broker,) = children(server.pid)
    assert server.status()["broker_pid"] == 1
    reaps(server, broker, connect)
    os.kill(broker, signal.SIGTERM)
    assert server.wait() == 0


def test_a_broker_that_gets_nobody_looks_for_nobody(serve: Serve) -> None:
    assert not adopts()
    server = serve()
    assert server.run("stop").returncode == 0


# ---- the look itself


@pytest.fixture
def zombie() -> subprocess.Popen[bytes]:
    """A child that has ended, and whose status nobody has asked for."""
    popen = subprocess.Popen(["true"])
    until(lambda: (stat(popen.pid) or ("", 0))[0] == "Z")
    return popen


def test_it_is_reaped_in_the_second_look(zombie: subprocess.Popen[bytes]) -> None:
    look = Orphans(set).look
    look()
    assert stat(zombie.pid) == ("Z", os.getpid())
    look()
    assert stat(zombie.pid) is None
    look()
    assert zombie.wait() == 0  # which Python takes for granted


def test_whom_others_wait_for_is_left(zombie: subprocess.Popen[bytes]) -> None:
    look = Orphans(lambda: {zombie.pid}).look
    for _ in range(3):
        look()
    assert stat(zombie.pid) == ("Z", os.getpid())
    assert zombie.wait() == 0


def test_who_lives_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "1000"]) as popen:
        look = Orphans(set).look
        # Nothing is read while no child has ended.
        monkeypatch.setattr(module, "_zombies", lambda: pytest.fail("no child has ended"))
        look()
        look()
        assert popen.poll() is None
        popen.kill()
        assert popen.wait() == -signal.SIGKILL


def test_who_was_faster_is_no_trouble(
    zombie: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Orphans(set).look
    look()
    monkeypatch.setattr(module, "_any_ended", lambda: True)
    monkeypatch.setattr(module, "_zombies", lambda: {zombie.pid})
    assert zombie.wait() == 0
    look()
