"""`actorrpc top` in a real terminal, on a real server: what it shows, what its keys do, and that every way
out leaves the terminal as it was."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.fixtures import Connect, Follow, Serve
from tests.support.processes import ACTORRPC, actorrpc
from tests.support.screen import Screen
from tests.support.server_process import ServerProcess
from tests.support.waiting import until

Watch = Callable[..., Screen]


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Starts `actorrpc top` for a server, and waits until it shows something."""
    with ExitStack() as opened:

        def start(server: ServerProcess, *options: object, ready: bool = True, **named: int) -> Screen:
            command = [*ACTORRPC, "top", "--runtime-dir", str(server.runtime_dir), *map(str, options)]
            screen = opened.enter_context(Screen(command, **named))
            if ready:
                screen.until("broker ", "q quit")
            return screen

        yield start


def row_of(screen: Screen, id: str) -> list[str]:
    """The cells of a connection's line."""
    return next((line.split() for line in screen.lines if line.startswith(f"{id} ")), [])


def ids(screen: Screen) -> list[str]:
    """The connections, in their order on the screen."""
    at = next(at for at, line in enumerate(screen.lines) if line.startswith("id"))
    return [line.split()[0] for line in screen.lines[at + 1 : -2] if line]


def is_left(screen: Screen) -> bool:
    """Whether the terminal is as it was before."""
    return (screen.is_other, screen.shows_cursor, screen.line_mode) == (False, True, True)


# ---- what it shows, and what keys do


def test_what_it_shows_and_how_it_sorts_and_filters(serve: Serve, connect: Connect, watch: Watch) -> None:
    server = serve("--accept", "acceptor")
    clients = [connect(server.address) for _ in range(4)]
    for client in clients:
        client.call()
    screen = watch(server, "--interval", 0.25)
    assert screen.is_other and not screen.shows_cursor
    screen.until(f"actorrpc {server.address}  broker {server.pid}  policy none", "4 connections")
    rows = {row["id"]: row for row in server.connections()}
    screen.wait_for(lambda: sorted(ids(screen)) == sorted(rows))
    for id, row in rows.items():
        assert row_of(screen, id)[1] == str(row["hub"])
        assert row["peer"][:10] in screen.line_with(id)
    for hub in server.status()["hubs"]:
        assert str(hub["pid"]) in screen.text

    screen.press(7 * "s")
    screen.until("sorted by id", "id*")
    assert ids(screen) == sorted(rows)
    screen.press("r")
    screen.wait_for(lambda: ids(screen) == sorted(rows, reverse=True))

    one = sorted(rows)[0]
    screen.press(f"/{rows[one]['peer']}")
    screen.wait_for(lambda: ids(screen) == [one])
    screen.until(f"with '{rows[one]['peer']}': 1")
    screen.press("\x1b")
    screen.wait_for(lambda: len(ids(screen)) == 4)

    calls = 0
    while not calls:  # calls that begin are a rate of their hub
        for client in clients:
            client.call()
        screen.read()
        calls = int(screen.lines[0].rpartition(", ")[2].split()[0])
    screen.press("?")
    screen.until("drain a hub, after a question")
    screen.press("x")
    screen.until("id^")
    screen.press("q")
    assert screen.end() == 0
    assert is_left(screen)


def test_it_moves_says_why_drains_and_pauses(serve: Serve, connect: Connect, watch: Watch) -> None:
    server = serve("--policy", "steady")
    client = connect(server.address)
    client.call()
    (row,) = server.connections()
    id, hub = row["id"], row["hub"]
    other = 1 - hub
    screen = watch(server)
    screen.until(id)

    screen.press("m")
    screen.until(f"move {id}, which is on hub {hub}, to hub: _")
    screen.press(f"{other}\r")
    screen.until(f"moved {id} to hub {other}")
    screen.wait_for(lambda: row_of(screen, id)[1:2] == [str(other)])
    assert row_of(screen, id)[7] == "1"
    client.call()

    screen.press("\r")
    screen.until(f"Connection {id} from")
    screen.wait_for(lambda: "by hand, with a pause of" in " ".join(screen.text.split()), "its past")
    screen.press(" ")
    screen.until("1s")

    screen.press(f"d\x15{other}\r")
    screen.until(f"move all that hub {other} has to the others? (y/n)")
    assert not server.hub(other)["draining"]
    screen.press("n")
    screen.until("not done")
    screen.press(f"d\x15{other}\ry")
    screen.until(f"hub {other} is being drained", "draining")
    screen.wait_for(lambda: row_of(screen, id)[1:2] == [str(hub)])
    screen.press("u\r")
    screen.until(f"hub {other} takes connections again", absent="draining")

    screen.press("p")
    screen.until("PAUSED")
    assert server.status()["rebalance"]["paused"]
    screen.press("p")
    screen.until("policy steady moves connections", absent="PAUSED")

    screen.press("m9\r")
    screen.until("no such hub: '9' (there are hubs 0 to 1)")
    screen.press(f"m{hub}\r")
    screen.until(f"{id} is already on hub {hub}")
    client.call()
    screen.press("q")
    assert screen.end() == 0


def test_it_reloads_and_goes_on(serve: Serve, connect: Connect, watch: Watch) -> None:
    server = serve()
    client = connect(server.address)
    client.call()
    old = {str(hub["pid"]) for hub in server.status()["hubs"]}
    screen = watch(server)
    screen.press("R")
    screen.until("reload: run the code that is there now? (y/n)")
    screen.press("y")
    screen.until("generation 2 starts")
    server.wait_for(lambda: {hub["generation"] for hub in server.status()["hubs"]} == {2})
    screen.wait_for(lambda: not any(pid in screen.text for pid in old) and " serving" in screen.text)
    client.call()
    screen.press("q")
    assert screen.end() == 0


def test_it_survives_the_broker_and_goes_on_with_its_successor(
    serve: Serve, follow: Follow, connect: Connect, watch: Watch
) -> None:
    server = serve()
    client = connect(server.address)
    client.call()
    (row,) = server.connections()
    screen = watch(server)
    screen.until(row["id"])
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    screen.until("hubs of a dead broker serve on", row["id"])
    screen.press("m1\r")
    screen.until("hubs of a dead broker serve on")
    after = follow(server)
    screen.until(f"broker {after.pid}", f"another broker (pid {after.pid}) has the hubs now", row["id"])
    assert server.run("stop").returncode == 0
    after.wait()
    screen.until("waiting for a broker: no broker runs in ")
    screen.press("q")
    assert screen.end() == 0
    assert is_left(screen)


# ---- the terminal


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (72, 14)])
def test_sizes_and_resizes(server: ServerProcess, watch: Watch, size: tuple[int, int]) -> None:
    columns, lines = size
    screen = watch(server, columns=columns, lines=lines)
    screen.until("serving")
    assert screen.lines[-1].startswith("q quit")
    screen.resize(40, 8)
    screen.until("40 x 8 is too small: top needs")
    screen.resize(100, 30)
    screen.until("serving", absent="too small")
    assert screen.lines[29].startswith("q quit")
    screen.press("q")
    assert screen.end() == 0


def test_a_terminal_that_is_too_small_from_the_beginning(server: ServerProcess, watch: Watch) -> None:
    screen = watch(server, columns=50, lines=10, ready=False)
    screen.until("50 x 10 is too small: top needs 72 x 14")
    screen.press("q")
    assert screen.end() == 0
    assert is_left(screen)


@pytest.mark.parametrize(
    "signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT], ids=lambda each: each.name
)
def test_signals_leave_the_terminal_as_it_was(
    server: ServerProcess, watch: Watch, signum: signal.Signals
) -> None:
    screen = watch(server)
    os.kill(screen.pid, signum)
    assert screen.end() == (130 if signum == signal.SIGINT else -signum)
    assert is_left(screen)


def test_ctrl_c_and_ctrl_backslash(server: ServerProcess, watch: Watch) -> None:
    for key, status in (("\x03", 130), ("\x1c", -signal.SIGQUIT)):
        screen = watch(server)
        screen.press(key)
        assert screen.end() == status
        assert is_left(screen)


def test_a_signal_while_something_is_asked(serve: Serve, watch: Watch) -> None:
    server = serve("--hang-timeout", 0)
    screen = watch(server)
    pids = [server.pid, *[hub["pid"] for hub in server.status()["hubs"]]]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        screen.press("p")
        screen.until("pausing rebalancing ...")
        os.kill(screen.pid, signal.SIGTERM)
        assert screen.end() == -signal.SIGTERM
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert is_left(screen)


def test_ctrl_z_and_back(server: ServerProcess) -> None:
    """Under a shell with job control, as people have it."""
    command = " ".join([*ACTORRPC, "top", "--runtime-dir", str(server.runtime_dir)])
    with Screen(["bash", "--norc", "--noprofile", "-i"], variables={"PS1": "prompt> "}) as screen:
        screen.until("prompt>")
        screen.press(f"{command}\r")
        screen.until("q quit", "serving")
        assert screen.is_other
        screen.press("\x1a")
        screen.wait_for(lambda: not screen.is_other, "the shell's screen")
        screen.until("Stopped", "prompt>")
        assert screen.shows_cursor
        screen.press("echo it is a sh''ell\r")
        screen.until("it is a shell")
        screen.press("fg\r")
        screen.wait_for(lambda: screen.is_other and "serving" in screen.text, "it again")
        screen.press("?")
        screen.until("drain a hub, after a question")
        screen.press("xq")
        screen.wait_for(lambda: not screen.is_other, "the shell's screen")
        screen.press('echo "status=$?"\r')
        screen.until("status=0")
        assert screen.shows_cursor
        screen.press("exit\r")
        assert screen.end() == 0


def test_a_terminal_that_goes(server: ServerProcess, watch: Watch) -> None:
    screen = watch(server)
    screen.hang_up()
    assert screen.end_unread() in (-signal.SIGHUP, 129)


def test_a_terminal_that_takes_nothing_keeps_it_from_nothing(server: ServerProcess, watch: Watch) -> None:
    """A line that hangs: nobody reads what is written, until the kernel takes no more."""
    screen = watch(server, "--interval", 0.25, columns=300, lines=100)
    fd = os.open(os.readlink(f"/proc/{screen.pid}/fd/1"), os.O_WRONLY | os.O_NOCTTY)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLOUT)

        def is_full() -> bool:
            screen.resize(299, 100)  # whatever is shown is written anew
            screen.resize(300, 100)
            return not poll.poll(0)

        until(is_full)
        screen.press("q")  # is heard, and what cannot be written is left out
        assert screen.end_unread() == 0
    finally:
        os.close(fd)
    assert screen.line_mode


def test_a_screen_that_does_not_change_is_not_written(server: ServerProcess, watch: Watch) -> None:
    screen = watch(server, "--interval", 60)
    screen.until("serving")
    while screen.read(1.0) and screen.written != (before := screen.written):
        pass
    assert not screen.read(0.0) or screen.written == before
    screen.press("\x0c")  # and all of it is, where it is asked for
    screen.wait_for(lambda: screen.written > before + 500)
    screen.press("q")
    assert screen.end() == 0


# ---- where it cannot be


def test_no_terminal(server: ServerProcess) -> None:
    done = server.run("top")
    assert (done.returncode, done.stdout) == (2, "")
    assert "top needs a terminal on its standard input and output; `actorrpc status` and" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_move_its_cursor(server: ServerProcess, term: str) -> None:
    command = [*ACTORRPC, "top", "--runtime-dir", str(server.runtime_dir)]
    with Screen(command, columns=200, variables={"TERM": term}) as screen:
        assert screen.end() == 2
        assert f"top needs a terminal that can move its cursor, and TERM is '{term}'" in screen.text


def test_rich_is_not_installed(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "rich.py").write_text("raise ImportError('it is not installed')\n")
    command = [*ACTORRPC, "top", "--runtime-dir", str(server.runtime_dir)]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with Screen(command, columns=200, variables={"PYTHONPATH": path}) as screen:
        assert screen.end() == 2
        assert "top needs rich, which the extra `top` brings: pip install rich" in screen.text


def test_no_server(tmp_path: Path) -> None:
    command = [*ACTORRPC, "top", "--runtime-dir", str(tmp_path / "nobody")]
    with Screen(command, columns=200) as screen:
        assert screen.end() == 2
        assert "no broker runs in " in screen.text
        assert not screen.is_other
    done = actorrpc("top", "--interval", "0.01")
    assert done.returncode == 2
    assert "Invalid value for '--interval'" in done.stderr
