"""The notes example: a store for each hub, what is found through moves, and a Watch that leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from examples.notes.notes_actorrpc import NotesStub
from examples.notes.notes_pb2 import AddRequest, FindRequest
from tests.support.server_process import ServerProcess, served
from tests.support.waiting import PATIENCE

from .conftest import ROOT


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "notes.sqlite"
    monkeypatch.setenv("NOTES_FILE", str(file))
    return file


@pytest.fixture
def server(file: Path) -> Iterator[ServerProcess]:
    with served("--accept", "acceptor", app="examples.notes.server:app") as server:
        yield server


def connect(server: ServerProcess) -> grpc.Channel:
    return grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)])


def watch(stub: Any, word: str) -> Any:
    """A Watch that has begun."""
    watching = stub.Watch(FindRequest(word=word), timeout=PATIENCE)
    dict(watching.initial_metadata())
    return watching


def test_each_hub_has_one_store_which_it_closes(server):
    """However many connections there are, and however often they move."""
    channels = [connect(server) for _ in range(6)]
    stubs = [NotesStub(channel) for channel in channels]
    for number, stub in enumerate(stubs):
        assert stub.Add(AddRequest(text=f"note {number}"), timeout=PATIENCE).id == number + 1
    server.wait_for(lambda: len(server.connections()) == 6)
    for shown in server.connections():
        assert server.move(shown["id"], 1 - shown["hub"]) == ""
    for stub in stubs:
        assert len(list(stub.Find(FindRequest(word="note"), timeout=PATIENCE))) == 6
    for channel in channels:
        channel.close()
    server.close()
    log = server.log
    assert (log.count("the store is open"), log.count("the store is closed")) == (2, 2), log


def test_what_is_found_is_complete_through_moves(server):
    with connect(server) as channel:
        stub = NotesStub(channel)
        texts = [f"note {number}" for number in range(250)]
        for text in texts:
            stub.Add(AddRequest(text=text), timeout=PATIENCE)
        found, finding = [], stub.Find(FindRequest(word="note"), timeout=PATIENCE)
        for number, note in enumerate(finding):
            found.append(note.text)
            if number % 50 == 0:
                (shown,) = server.connections()
                assert server.move(shown["id"], 1 - shown["hub"]) == ""
        assert found == texts


def test_who_watches_hears_what_comes_and_nothing_is_left_when_it_ends(server):
    with connect(server) as channel:
        stub = NotesStub(channel)
        milk, tea = watch(stub, "milk"), watch(stub, "tea")
        # Of the connection's own, which come after its subscription, whenever that is in force.
        stub.Add(AddRequest(text="buy milk"), timeout=PATIENCE)
        stub.Add(AddRequest(text="tea with milk"), timeout=PATIENCE)
        (shown,) = server.connections()
        assert server.move(shown["id"], 1 - shown["hub"]) == ""
        stub.Add(AddRequest(text="more milk"), timeout=PATIENCE)
        assert [next(milk).text for _ in range(3)] == ["buy milk", "tea with milk", "more milk"]
        assert next(tea).text == "tea with milk"
        assert server.connections()[0]["state_bytes"] > 0
        milk.cancel()
        tea.cancel()
        server.wait_for(lambda: server.connections()[0]["state_bytes"] == 0)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Add(AddRequest(text=" "), timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_the_client_as_its_readme_has_it(server):
    def run(*arguments: str) -> tuple[str, str, int]:
        command = [sys.executable, "-m", "examples.notes.client", "--address", server.address, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT)
        return done.stdout, done.stderr, done.returncode

    assert run("add", "bread") == ("1: bread\n", "", 0)
    assert run("add", "buy", "milk") == ("2: buy milk\n", "", 0)
    assert run("find", "b") == ("1: bread\n2: buy milk\n", "", 0)
    assert run("find", "tea") == ("", "", 0)
    assert run("add") == ("", "INVALID_ARGUMENT: there is nothing in the note\n", 1)
