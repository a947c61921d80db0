"""The broker's socket: who says nothing there, or not enough, keeps nobody from being answered."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from actorrpc.broker.admin import answers
from actorrpc.ipc.framing import encode
from actorrpc.net.addresses import parse_address
from actorrpc.pb.admin_pb2 import Reply, Request
from tests.support.fixtures import Serve
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until

STATUS = encode(Request(status=Request.Status()))
#: Of a connection that nobody has: it is looked for, for a second.
MOVE = encode(Request(move=Request.Move(connection="9-9-9", hub=0)))

#: What a caller may say, and then nothing more.
WORDS = {
    "nothing": b"",
    "half a question": STATUS[:-1],
    "a question, and does not go": STATUS,
    "the beginning of a large question": b"\x07\xff\xff\xff\x00" + bytes(1000),
    "no question": b"\x00\x00\x00\x02\x00\xff\xff",
    "a question that takes long": MOVE,
}


@pytest.fixture
def call() -> Iterator[Callable[[ServerProcess], socket.socket]]:
    with ExitStack() as opened:

        def connect(server: ServerProcess) -> socket.socket:
            sock = opened.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(server.runtime_dir / "broker.sock"))
            sock.settimeout(PATIENCE)
            return sock

        yield connect


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_who_does_not_ask_keeps_nobody_waiting(
    serve: Serve, call: Callable[[ServerProcess], socket.socket], words: bytes
) -> None:
    server = serve(hubs=1)
    for _ in range(3 * answers.MAX_CALLERS):
        call(server).sendall(words)
    assert server.run("status").returncode == 0
    for _ in range(3 * answers.MAX_CALLERS):
        call(server).sendall(words)
    done = server.run("stop")
    assert done.returncode == 0, done.stderr
    assert server.wait() == 0


@pytest.mark.parametrize("at_once", [1, answers.MAX_QUESTIONS])
def test_every_question_is_answered(
    serve: Serve, call: Callable[[ServerProcess], socket.socket], at_once: int
) -> None:
    server = serve(hubs=1)
    caller = call(server)
    for _ in range(2):
        caller.sendall(at_once * STATUS)
        for _ in range(at_once):
            assert b"hubs" in answer(caller)


def test_who_asks_too_much_at_once_has_to_go(
    serve: Serve, call: Callable[[ServerProcess], socket.socket]
) -> None:
    server = serve(hubs=1)
    caller = call(server)
    caller.sendall((answers.MAX_QUESTIONS + 1) * STATUS)
    with pytest.raises((BrokenPipeError, ConnectionResetError, EOFError)):
        while True:
            answer(caller)


def answer(caller: socket.socket) -> bytes:
    """Read one. Raises EOFError at the end."""
    head = read(caller, 5)
    return read(caller, int.from_bytes(head[:4], "big"))


def read(caller: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (chunk := caller.recv(size - len(data))):
            raise EOFError
        data += chunk
    return data


def test_an_answer_may_be_larger_than_a_question(
    serve: Serve, call: Callable[[ServerProcess], socket.socket]
) -> None:
    count = 400
    server = serve("--handshake-timeout", 0, hubs=1)
    with ExitStack() as opened:
        for _ in range(count):
            opened.enter_context(socket.create_connection(parse_address(server.address)))
        until(lambda: server.hub(0)["connections"] == count)
        assert len(server.connections()) == count
        caller = call(server)
        caller.sendall(encode(Request(connections=Request.Connections())))
        assert len(answer(caller)) > answers.MAX_REQUEST
        done = server.run("connections")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > count


def test_an_answer_that_no_frame_holds_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_FRAME", 1000)
    ours, theirs = socket.socketpair()
    caller = answers._Caller(ours, lambda caller, request: None, lambda caller: None)
    with theirs:
        for text in ("x" * 2000, "small"):
            caller.answer(Reply(json=text))
        assert "at most 1000" in Reply.FromString(answer(theirs)).error
        assert Reply.FromString(answer(theirs)).json == "small"
    caller.link.close()


def test_who_asks_and_does_not_read_has_to_go(
    serve: Serve, call: Callable[[ServerProcess], socket.socket]
) -> None:
    server = serve(hubs=1)
    caller = call(server)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while True:
            caller.sendall(STATUS)
