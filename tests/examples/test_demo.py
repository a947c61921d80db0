"""The demo of moves: that it ends well, that it ends all its processes, and that its proof can fail."""

from __future__ import annotations

import io
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.chat.demo import choose_move
from examples.chat.demo_proof import Tally, check
from examples.chat.demo_screen import HubRow, Screen
from examples.demo_server import CommandFailed, Server
from tests.support.processes import untitled
from tests.support.waiting import PATIENCE

from .conftest import ROOT

SAID = {"ada": 3, "bob": 1}
HEARD = [("ada", 1), ("bob", 1), ("ada", 2), ("ada", 3)]


@contextmanager
def demo(*arguments: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run the demo for the length of the block. What it started ends too, also where the block fails."""
    command = [sys.executable, "-m", "examples.chat.demo", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True) as running:
        try:
            yield running
        finally:
            running.terminate()  # it ends its server; killed, it could not
            try:
                running.communicate(timeout=PATIENCE)
            finally:
                running.kill()


def test_the_demo_proves_its_point() -> None:
    with demo("--seconds", "3") as running:
        out, error = running.communicate(timeout=PATIENCE)
    assert (running.returncode, error) == (0, ""), out
    assert "\x1b" not in out
    found = re.search(
        r"^12 clients, ([\d,]+) lines seen, 0 lost, 0 doubled, 0 out of order, "
        r"(\d+) moves, median pause [\d.]+ ms$",
        out,
        re.MULTILINE,
    )
    assert found, out
    assert int(found[1].replace(",", "")) > 100
    assert int(found[2]) == len(re.findall(r"hub \d → hub \d", out)) > 0
    for hub in (0, 1):
        assert re.search(rf"hub {hub} \(pid \d+\)", out)


def test_all_moves_are_the_demo_s_own(tmp_path: Path) -> None:
    """So that as many are counted in the end as are shown. A title would hide the server's command line."""
    with demo(env=untitled(tmp_path)) as running:
        assert running.stdout is not None
        (pid,) = next(found for line in running.stdout if (found := re.findall(r"hub 0 \(pid (\d+)\)", line)))
        (broker,) = re.findall(r"^PPid:\s+(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        assert b"\0--policy\0none\0" in Path(f"/proc/{broker}/cmdline").read_bytes()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_no_process_is_left_when_it_is_interrupted(number: signal.Signals, status: int) -> None:
    with demo() as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "serving on" in line:
                pids = [int(pid) for pid in re.findall(r"pid (\d+)", line)]
            if "All go onto hub" in line:
                break
        hubs = [os.pidfd_open(pid) for pid in pids]
        running.send_signal(number)
        running.communicate(timeout=PATIENCE)  # what it still says is read, so that it can say it
    assert running.returncode == status
    assert len(hubs) == 2
    for hub in hubs:  # readable: the process has ended
        assert select.select([hub], [], [], 0)[0] == [hub]
        os.close(hub)


def test_a_server_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="no_such_module"), Server("no_such_module:app", folder=tmp_path):
        pass


@pytest.mark.parametrize(
    ("heard", "tally"),
    [
        (HEARD, Tally(4)),
        (HEARD[:-1], Tally(3, lost=1)),
        ([*HEARD, ("ada", 3)], Tally(5, doubled=1)),
        ([("ada", 2), ("bob", 1), ("ada", 1), ("ada", 3)], Tally(4, out_of_order=3)),
        ([], Tally(0, lost=4)),
    ],
    ids=["as said", "lost", "doubled", "out of order", "deaf"],
)
def test_the_proof(heard: list[tuple[str, int]], tally: Tally) -> None:
    assert check(heard, SAID, HEARD) == tally
    assert tally.flawless == (heard == HEARD)


def test_two_members_who_heard_different_orders() -> None:
    heard = [("bob", 1), ("ada", 1), ("ada", 2), ("ada", 3)]
    assert check(heard, SAID, HEARD).out_of_order == 2


def rows(*loads: tuple[int, float]) -> list[dict[str, object]]:
    return [{"id": f"c{n}", "hub": hub, "cpu": cpu, "movable": True} for n, (hub, cpu) in enumerate(loads)]


@pytest.mark.parametrize(
    ("connections", "chosen"),
    [
        (rows((0, 0.3), (0, 0.2), (0, 0.1)), ("c0", 1)),
        (rows((0, 0.3), (0, 0.2), (0, 0.05), (1, 0.2)), ("c1", 1)),
        (rows((1, 0.9)), None),  # alone on its hub: the other would be as busy
        (rows((0, 0.2), (1, 0.19)), None),
        (rows(), None),
        ([{**row, "movable": False} for row in rows((0, 0.3), (0, 0.2))], None),
    ],
    ids=["onto an idle hub", "half the gap", "one connection", "even", "nobody", "not movable"],
)
def test_the_rule(connections: list[dict[str, object]], chosen: tuple[str, int] | None) -> None:
    choice = choose_move(connections, [0, 1])
    assert (choice and (choice[0]["id"], choice[1])) == chosen


class FakeTerminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_the_hubs_stay_below_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = FakeTerminal()
    screen = Screen(terminal)
    hubs = [HubRow(0, 0.5, 0.75, ["ada"] * 30), HubRow(1, 0.1, 0.25, [])]
    screen.show(hubs, "7 lines seen")
    first = terminal.getvalue().replace("\x1b[K", "").split("\n")
    assert [line[:5] for line in first] == ["", "hub 0", "hub 1", "     ", ""]
    assert all(len(line) < 80 for line in first)
    terminal.truncate(terminal.seek(0))
    screen.tell("moved")
    # Up over the four lines, all that is below them erased, and they again after what was told.
    told, *again = terminal.getvalue().replace("\x1b[K", "").split("\n")
    assert told.startswith("\x1b[4A\r\x1b[J") and told.endswith("moved")
    assert again == first


def test_a_log_gets_plain_ascii_where_it_takes_no_more() -> None:
    log = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="")
    Screen(log).show([HubRow(0, 0.5, 0.5, [])], "no lines seen")
    log.seek(0)
    assert "hub 0 #####.....  50%  0 conn." in log.read()
