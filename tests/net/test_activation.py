"""The sockets that a service manager has opened, in a process of its own: descriptor 3 is what it is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

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
    with activated() as bounds:
        sockets = [(sock, bound.tls) for bound in bounds for sock in bound.sockets]
        print([(sock.fileno(), sock.getsockname(), os.get_inheritable(sock.fileno())) for sock, _ in sockets])
        if any(tls for _, tls in sockets):
            print("TLS:", [sock.fileno() for sock, tls in sockets if tls])
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
        assert told == f"[(3, {sock.getsockname()}, False)]"
        assert left == "[]"


@pytest.mark.parametrize("variables", [{}, {"LISTEN_PID": "own"}, {"LISTEN_PID": "own", "LISTEN_FDS": "0"}])
def test_without_one_there_is_none(variables: dict[str, str]) -> None:
    assert ask(**variables) == ["[]", "[]"]


def test_what_is_for_another_process_is_told_of_and_left() -> None:
    none, left, warning = ask(LISTEN_PID="1", LISTEN_FDS="1")
    assert (none, left) == ("[]", "[]")
    assert warning.startswith("LISTEN_FDS is ignored: it is for process 1, and this one is ")


def test_several_are_taken_in_their_order(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        told, left = ask(tcp.fileno(), unix.fileno(), LISTEN_PID="own", LISTEN_FDS="2")
        assert told == f"[(3, {tcp.getsockname()}, False), (4, {path!r}, False)]"
        assert left == "[]"


def test_those_that_are_named_tls_come_last() -> None:
    given = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    fds = [sock.fileno() for sock in given]
    told = {"LISTEN_PID": "own", "LISTEN_FDS": "3"}
    order, tls, _ = ask(*fds, **told, LISTEN_FDNAMES="tls:tls.socket:tls")
    assert [each.split(",")[0] for each in order.split("(")[1::2]] == ["4", "3", "5"]
    assert tls == "TLS: [3, 5]"
    refused, _ = ask(*fds, **told, LISTEN_FDNAMES="tls")
    assert refused == "refused: LISTEN_FDNAMES has 1 names, and LISTEN_FDS is 3"
    for sock in given:
        sock.close()


def test_of_several_the_wrong_one_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as good, socket.socket() as silent:
        refused, _ = ask(good.fileno(), silent.fileno(), LISTEN_PID="own", LISTEN_FDS="2")
    assert refused == (
        "refused: socket 2 of the service manager (LISTEN_FDS) does not listen: write Accept=no"
    )


def test_what_is_no_number() -> None:
    assert ask(LISTEN_PID="own", LISTEN_FDS="one") == ["refused: LISTEN_FDS is not a number: 'one'", "[]"]


def test_what_is_no_socket() -> None:
    with open(os.devnull) as file:
        refused, _ = ask(file.fileno(), **OURS)
    assert refused.startswith("refused: LISTEN_FDS names descriptor 3, which is no socket: ")


@pytest.mark.parametrize(
    ("family", "kind", "listens", "what"),
    [
        (
            socket.AF_UNIX,
            socket.SOCK_DGRAM,
            False,
            "has no connections: write ListenStream=, not ListenDatagram=",
        ),
        (
            socket.AF_INET,
            socket.SOCK_DGRAM,
            False,
            "has no connections: write ListenStream=, not ListenDatagram=",
        ),
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
