"""The auth example: a refused call makes no actor, and what a token says travels with the call."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

import actorrpc
from actorrpc import testing
from examples.auth.auth_actorrpc import VaultStub
from examples.auth.auth_pb2 import Drawer, PutReply, PutRequest
from examples.auth.server import Auth, Vault
from tests.support.server_process import ServerProcess, served

from .conftest import ROOT


@pytest.fixture(params=[(), ("--move-every", "1")], ids=["still", "moved-every-turn"])
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with served(*request.param, app="examples.auth.server:app") as server:
        yield server


def run_client(server: ServerProcess, token: str, *things: str) -> subprocess.CompletedProcess[str]:
    """The client as its module has it, but for the address."""
    call = f"main({token!r}, {things!r}, {server.address!r})"
    program = f"import sys; from examples.auth.client import main; sys.exit({call})"
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)


def test_without_a_good_token_no_actor_is_made(server):
    with grpc.insecure_channel(server.address) as channel:
        for authorization in (None, "Bearer wrong", "Basic ada's token", "Bearer", "ada's token"):
            metadata = [] if authorization is None else [("authorization", authorization)]
            with pytest.raises(grpc.RpcError) as caught:
                VaultStub(channel).Put(PutRequest(thing="ring"), metadata=metadata, timeout=10)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        # One that is on its way is on no hub's list.
        server.wait_for(lambda: [shown["services"] for shown in server.connections()] == [[]])
    refusal = "/auth.Vault/Put of nobody: UNAUTHENTICATED send authorization"
    server.wait_for(lambda: server.log.count(refusal) == 5)
    assert "a drawer is made" not in server.log, "on_connect ran"


def test_a_good_token_gets_through(server):
    done = run_client(server, "ada's token", *("thing" for _ in range(20)))
    lines = [f"thing is in ada's drawer, with {number} before it" for number in range(20)]
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (lines, "", 0)
    refused = run_client(server, "no token", "thing")
    assert refused.stderr == "UNAUTHENTICATED: send authorization: Bearer TOKEN, with a good token\n"
    assert refused.returncode == 1
    server.wait_for(lambda: "of nobody: UNAUTHENTICATED" in server.log)
    log = server.log
    assert log.count("/auth.Vault/Put of ada: OK") == 20
    assert log.count("a drawer is made") == 1


def test_who_gives_nothing_is_told_what_to_give():
    command = [sys.executable, "-m", "examples.auth.client", "ada's token"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stderr == "usage: python -m examples.auth.client TOKEN THING...\n"
    assert done.returncode == 1


def test_a_token_says_whose_a_call_is():
    vault = testing.actor(Vault, state=Drawer(things=["ring"]))
    call = testing.call(vault.Put, metadata={"authorization": "Bearer bob's token"})
    Auth().on_call(call)
    assert vault.Put(PutRequest(thing="watch"), call) == PutReply(owner="bob", things=2)
    with pytest.raises(actorrpc.RpcError, match="good token"):
        Auth().on_call(testing.call(vault.Put))


def test_a_certificate_says_whose_a_call_is(tmp_path: Path) -> None:
    """As the example's README has it, moved after every turn."""
    readme = (ROOT / "examples" / "auth" / "README.md").read_text()
    script = readme.partition("```sh\n")[2].partition("```")[0]
    subprocess.run(["sh", "-eu", "-c", script], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    files = {"--tls-cert": "localhost.pem", "--tls-key": "localhost.key", "--tls-client-ca": "ca.pem"}
    options = [word for option, file in files.items() for word in (option, tmp_path / file)]
    options += ["--tls-bind", "127.0.0.1:0", "--move-every", "1"]
    with served(*options, app="examples.auth.mutual:app", bind=None) as server:
        port = server.address.rpartition(":")[2]
        call = f"main('ca.pem', 'ada', ['ring', 'letter'], 'localhost:{port}')"
        program = f"import sys; from examples.auth.mutual_client import main; sys.exit({call})"
        command = [sys.executable, "-c", program]
        path = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=path)
        lines = ["ring is in ada's drawer, with 0 before it", "letter is in ada's drawer, with 1 before it"]
        assert (done.stdout.splitlines(), done.stderr, done.returncode) == (lines, "", 0)
        server.wait_for(lambda: server.log.count("/auth.Vault/Put of ada: OK") == 2)
