"""The chat's terminal client: through a pipe, and on a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import actorrpc
from examples.chat import chat_pb2
from examples.chat.chat_actorrpc import ChatBase
from examples.chat.terminal import printable
from examples.demo_server import Server
from tests.support.hubs import serving

from .conftest import APP, ROOT
from .member import PATIENCE, Enter, Member

CLIENT = (sys.executable, "-m", "examples.chat.client")
#: The terminal's Ctrl-C goes to those whose controlling terminal it is.
WITH_KEYBOARD = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("examples.chat.client", run_name="__main__")
"""
ERASE = "\r\x1b[K"


def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run the client with ``typed`` in a pipe, to its end."""
    command = [*CLIENT, *arguments]
    return subprocess.run(command, cwd=ROOT, input=typed, capture_output=True, text=True, timeout=60)


@contextmanager
def piped(*arguments: str, stderr: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run the client with pipes, for the length of the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*CLIENT, *arguments], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=stderr, text=True, bufsize=1
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class OnTerminal:
    """The client on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self.fd, ours = pty.openpty()
        # The terminal has no size of its own.
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", WITH_KEYBOARD, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=ours,
            stdout=ours,
            stderr=ours,
            start_new_session=True,
        )
        os.close(ours)
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def expect(self, text: str) -> str:
        """Wait until ``text`` has appeared, and return all up to its end, since what was expected last."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{text!r} does not appear: {self.seen!r}"
            try:
                chunk = os.read(self.fd, 65536)
            except OSError:  # the other side of a terminal is closed
                chunk = b""
            assert chunk, f"{text!r} has not appeared: {self.seen!r}"
            self.seen += chunk.decode()
        before, found, self.seen = self.seen.partition(text)
        return before + found

    def __enter__(self) -> OnTerminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.fd)


def test_through_a_pipe(server: Server, enter: Enter) -> None:
    ada = enter("ada", "pipes")
    done = run("--nick", "bob", "--room", "pipes", server.address, typed="one\n\ntwo\n/who\n/help\nthree\n")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("bob: ")] == ["bob: one", "bob: two", "bob: three"]
    assert lines[0].startswith("* you are bob in pipes")
    assert "* here: ada, bob" in lines
    assert ada.lines(3) == [("bob", "one"), ("bob", "two"), ("bob", "three")]
    assert ada.next("left").nick == "bob"


def test_rooms_are_changed_and_a_bad_room_is_not_entered(server: Server) -> None:
    typed = "here\n/join no/room\nback\n/join attic\nthere\n"
    done = run("--nick", "bob", "--room", "cellar", server.address, typed=typed)
    told = [line for line in done.stdout.splitlines() if "here:" not in line]
    assert [line.partition("  (")[0] for line in told] == [
        "* you are bob in cellar",
        "bob: here",
        "* a room has 1 to 24 letters, digits, '_', '.' and '-'; back to cellar",
        "* you are bob in cellar",
        "bob: back",
        "* you are bob in attic",
        "bob: there",
    ]


def test_back_from_a_room_where_the_nick_is_taken(server: Server, enter: Enter) -> None:
    ada, witness = enter("ada", "salon"), enter("witness", "foyer")
    with OnTerminal("--nick", "ada", "--room", "foyer", server.address) as other:
        other.expect("* here: ada, witness\r\n")
        other.type("/join salon\n")
        other.expect("* the nick ada is taken in salon; back to foyer\r\n")
        other.expect("* you are ada in foyer\r\n")
        other.type("back\n")
        assert witness.lines(1) == [("ada", "back")]
    ada.say("still here")
    assert ada.lines(1) == [("ada", "still here")]


def test_no_server(server: Server) -> None:
    done = run("127.0.0.1:1", typed="hello\n")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "chat: 127.0.0.1:1: no chat server answers. This starts one: actorrpc serve "
    )
    assert len(done.stderr.splitlines()) == 1


def test_a_nick_that_is_taken(server: Server, enter: Enter) -> None:
    enter("ada", "nicks")
    with piped("--nick", "ada", "--room", "nicks", server.address, stderr=subprocess.PIPE) as client:
        # Its input does not end: the objection may come when the room has just been entered.
        assert client.wait(PATIENCE) == 1
        assert client.stderr is not None
        assert client.stderr.read() == f"chat: {server.address}: the nick ada is taken in nicks\n"


class Objecting(ChatBase):
    """Lets everybody in, and takes it back at once, as a member may that is slow to object."""

    def Join(self, request, call):
        me = chat_pb2.Member(id=self.connection_id, nick=request.nick)
        call.send(chat_pb2.Event(welcome=me))
        call.send(chat_pb2.Event(joined=me))
        call.finish(actorrpc.StatusCode.ALREADY_EXISTS, "the nick is taken")


def test_an_objection_that_comes_late_ends_the_client_once() -> None:
    """Whether it has begun to read what is typed, or not yet."""
    with serving(actorrpc.App([Objecting])) as hubs:
        for _ in range(3):
            with piped("--nick", "ada", hubs.address, stderr=subprocess.PIPE) as client:
                assert client.wait(PATIENCE) == 1
                assert client.stderr is not None
                assert client.stderr.read() == f"chat: {hubs.address}: the nick is taken\n"


def test_a_killed_client_is_told_to_have_left(server: Server, enter: Enter) -> None:
    ada = enter("ada", "crime-scene")
    with piped("--nick", "victim", "--room", "crime-scene", server.address) as client:
        victim = ada.next("joined")
        server.move(victim.id, 1)
        server.move(victim.id, 0)
        os.kill(client.pid, signal.SIGKILL)
        assert ada.next("left") == victim


def test_lines_appear_while_one_types(server: Server, enter: Enter) -> None:
    ada = enter("ada", "typing")
    with OnTerminal("--nick", "bob", "--room", "typing", server.address) as bob:
        bob.expect("* here: ada, bob\r\n> ")
        bob.type("hal")
        bob.expect("hal")
        ada.say("\x1b[2J\x1b]0;owned\x07 hi\r\n\u202eevil")
        # Above what is being typed, which is shown again; and nothing that the terminal would obey.
        shown = bob.expect("> hal")
        assert shown == f"{ERASE}ada: \ufffd[2J\ufffd]0;owned\ufffd hi\ufffd\ufffd\ufffdevil\r\n> hal"
        bob.type("f\n")
        assert ada.lines(2)[1] == ("bob", "half")
        bob.expect("bob: half\r\n")
        bob.type("/who\n")
        bob.expect("* here: ada, bob\r\n")
        bob.type("/quit\n")
        assert ada.next("left").nick == "bob"
        assert bob.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("keys", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
def test_keys_that_end_it(server: Server, enter: Enter, keys: str) -> None:
    ada = enter("ada", "keys")
    with OnTerminal("--nick", "bob", "--room", "keys", server.address) as bob:
        bob.expect("* here: ada, bob\r\n> ")
        bob.type(keys)
        assert ada.next("left").nick == "bob"
        assert bob.process.wait(PATIENCE) == 0


def test_the_client_joins_again_when_its_hub_dies() -> None:
    with Server(APP) as server, Member(server.address) as ada:
        ada.enter("ada", "lobby")
        server.move(ada.id, 0)
        with OnTerminal("--nick", "bob", server.address) as bob:
            bob.expect("* here: ada, bob\r\n> ")
            server.move(ada.next("joined").id, 1)
            os.kill(server.status()["hubs"][1]["pid"], signal.SIGKILL)
            bob.expect("joining again\r\n")
            bob.expect("* you are bob in lobby")
            bob.expect("* here: ada, bob\r\n")
            bob.type("back\n")
            assert ada.lines(1) == [("bob", "back")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢字 🙂", "plain é 漢字 🙂"),
        ("\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m"),
        ("a\tb\nc\rd\x08e\x00f", "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf"),
        ("\x9b31m\u2028\u200f\ud800", "\ufffd31m\ufffd\ufffd\ufffd"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
