"""The socket that a service manager has opened, in a process of its own: descriptor 3 is what it is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.support.processes import environment

#: Has descriptors from 3 on, as many as are given, and the variables; LISTEN_PID is the process's own.
PROGRAM = """
import os, sys
from actorrpc.errors import ConfigError
from actorrpc.net.activation import activated
if os.environ.get("LISTEN_PID") == "own":
    os.environ["LISTEN_PID"] = str(os.getpid())
try:
    with activated() as sock:
        print(sock and (sock.fileno(), sock.getsockname(), os.get_inheritable(sock.fileno())))
except ConfigError as error:
    print("refused:", error)
print(sorted(name for name in os.environ if name.startswith("LISTEN")))
"""


def ask(*given: int, **variables: str) -> list[str]:
    """What the program prints, which has these descriptors as 3, 4 and so on."""
    moves = "".join(f"os.dup2({fd + 100}, {3 + number})\n" for number, fd in enumerate(given))
    high = [os.dup2(fd, fd + 100) for fd in given]
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import os\n{moves}{PROGRAM}"],
            env={**environment(), **variables},
            pass_fds=high,
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        for fd in high:
            os.close(fd)
    assert done.returncode == 0, done.stderr
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


OURS = {"LISTEN_PID": "own", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "grpc.socket"}


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_listening_socket_is_taken_and_the_environment_forgets(
    family: socket.AddressFamily, host: str
) -> None:
    with socket.create_server((host, 0), family=family) as sock:
        told, left = ask(sock.fileno(), **OURS)
        assert told == f"(3, {sock.getsockname()}, False)"
        assert left == "[]"


@pytest.mark.parametrize("variables", [{}, {"LISTEN_PID": "own"}, {"LISTEN_PID": "own", "LISTEN_FDS": "0"}])
def test_without_one_there_is_none(variables: dict[str, str]) -> None:
    assert ask(**variables) == ["None", "[]"]


def test_what_is_for_another_process_is_told_of_and_left() -> None:
    none, left, warning = ask(LISTEN_PID="1", LISTEN_FDS="1")
    assert (none, left) == ("None", "[]")
    assert warning.startswith("LISTEN_FDS is ignored: it is for process 1, and this one is ")


def test_two_are_one_too_many() -> None:
    refused, left = ask(LISTEN_PID="own", LISTEN_FDS="2", LISTEN_FDNAMES="grpc:other")
    assert refused == (
        "refused: the service manager has opened 2 sockets (grpc:other), and one is needed, from which the "
        "acceptor accepts for all hubs: write one ListenStream="
    )
    assert left == "[]"


def test_what_is_no_number() -> None:
    assert ask(LISTEN_PID="own", LISTEN_FDS="one") == ["refused: LISTEN_FDS is not a number: 'one'", "[]"]


def test_what_is_no_socket() -> None:
    with open(os.devnull) as file:
        refused, _ = ask(file.fileno(), **OURS)
    assert refused.startswith("refused: LISTEN_FDS names descriptor 3, which is no socket: ")


@pytest.mark.parametrize(
    ("family", "kind", "listens", "what"),
    [
        (socket.AF_UNIX, socket.SOCK_STREAM, True, "is not of TCP: write ListenStream=PORT or ADDRESS:PORT"),
        (socket.AF_INET, socket.SOCK_DGRAM, False, "is not of TCP: write ListenStream=, not ListenDatagram="),
        (socket.AF_INET, socket.SOCK_STREAM, False, "does not listen: write Accept=no"),
    ],
)
def test_a_socket_that_cannot_be_served_from(
    family: socket.AddressFamily, kind: socket.SocketKind, listens: bool, what: str
) -> None:
    with socket.socket(family, kind) as sock:
        if listens:
            sock.bind("")
            sock.listen()
        refused, _ = ask(sock.fileno(), **OURS)
    assert refused == f"refused: the socket of the service manager (LISTEN_FDS) {what}"
