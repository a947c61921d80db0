"""Behind proxies that put the calls of several users on one connection, each user has an actor of its own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

from examples.auth.auth_actorrpc import VaultStub
from examples.auth.auth_pb2 import PutRequest
from tests.interop.programs import program
from tests.interop.served import WAIT, Served, served

USERS = ("ada", "bob")

#: In a mode, between clients and a server. With `http` it keeps connections to the server, and has several
#: clients share them; each of its threads for itself.
HAPROXY = """
global
  nbthread 1
defaults
  mode {mode}
  timeout connect 10s
  timeout client 1h
  timeout server 1h
frontend clients
  bind fd@{fd} {h2}
  default_backend server
backend server
  {reuse}
  server only {address} {h2}
"""


@contextmanager
def haproxy(mode: str, address: str, folder: Path, reuse: str = "") -> Iterator[str]:
    """A proxy in front of a server. The address that clients connect to."""
    h2 = "proto h2" if mode == "http" else ""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config = folder / "haproxy.cfg"
        config.write_text(
            HAPROXY.format(mode=mode, fd=listener.fileno(), h2=h2, address=address, reuse=reuse)
        )
        with (folder / "haproxy.log").open("wb") as log:
            process = subprocess.Popen(
                [program("haproxy"), "-db", "-f", str(config)], pass_fds=[listener.fileno()], stderr=log
            )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(WAIT)


@pytest.fixture(params=[(), ("--move-every", "1")], ids=["still", "moved-every-turn"])
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    with served(*request.param, app="examples.auth.server:app") as server:
        yield server


def put(stub: VaultStub, user: str) -> tuple[str, int]:
    """Whose drawer the server says it is, and how many things are in there."""
    reply = stub.Put(
        PutRequest(thing="ring"), metadata=[("authorization", f"Bearer {user}'s token")], timeout=WAIT,
        wait_for_ready=True,
    )  # fmt: skip
    return reply.owner, reply.things


@pytest.mark.parametrize(
    ("mode", "reuse", "connections"),
    [
        ("http", "http-reuse always", 1),
        ("http", "http-reuse never", 2),
        ("tcp", "", 2),
    ],
    ids=["http, shared", "http, never shared", "tcp"],
)
def test_nobody_gets_at_what_is_anothers(server, tmp_path, mode, reuse, connections):
    with haproxy(mode, server.address, tmp_path, reuse) as address, ExitStack() as open_channels:
        stubs = {}
        for user in USERS:
            channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
            stubs[user] = VaultStub(open_channels.enter_context(channel))
        for number in range(1, 6):
            for user, stub in stubs.items():
                assert put(stub, user) == (user, number)
        # One that is on its way is on no hub's list.
        server.wait_for(
            lambda: [row["identities"] for row in server.connections()] == [2 // connections] * connections
        )
