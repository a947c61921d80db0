"""Calls of connections' actors by reference between real hubs, which move them, are killed, stopped and
reloaded, and taken over by another broker."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from actorrpc import ActorRef, StatusCode
from actorrpc.pb.record_pb2 import Server
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.fixtures import Follow, Serve
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until

WITHOUT_KEYS, WITH_KEYS = "tests.apps.members:app", "tests.apps.members:with_rooms"


class Member:
    """A client, with its actor."""

    def __init__(self, server: ServerProcess, hub: int | None, cleanup: ExitStack) -> None:
        self.server = server
        self.channel = grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)])
        cleanup.callback(self.channel.close)
        self.stub = StatefulStub(self.channel)
        self.ref = self.who()
        if hub is not None and self.hub != hub:
            self.move(hub)

    def who(self) -> ActorRef:
        return ActorRef.FromString(self.stub.Unary(Item(text="who"), timeout=PATIENCE).body)

    @property
    def hub(self) -> int:
        return int(next(row["hub"] for row in self.server.connections() if row["id"] == self.ref.connection))

    def move(self, hub: int) -> None:
        assert self.server.move(self.ref.connection, hub) == ""

    def begin(self, ref: ActorRef, timeout: float = PATIENCE, **fields: Any) -> Any:
        """Have the actor call another one."""
        return self.stub.Unary.future(
            Item(text="call", body=ref.SerializeToString(), **fields), timeout=timeout
        )

    def call(self, ref: ActorRef, timeout: float = PATIENCE) -> tuple[StatusCode, str]:
        reply = self.begin(ref, timeout).result()
        return StatusCode(reply.status), reply.text

    def notes(self) -> list[str]:
        text: str = self.stub.Notes(Item(), timeout=PATIENCE).text
        return text.split()


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as cleanup:
        yield cleanup


@pytest.fixture(params=[WITHOUT_KEYS, WITH_KEYS], ids=["without keyed actors", "with keyed actors"])
def app(request: Any) -> str:
    return str(request.param)


def test_both_ends_move_under_calls_and_streams(serve: Serve, cleanup: ExitStack, app: str) -> None:
    server = serve("--accept", "acceptor", app=app, hubs=3)
    caller, called = Member(server, 0, cleanup), Member(server, 1, cleanup)
    streaming = Member(server, 2, cleanup)
    calls = caller.begin(called.ref, number=400)
    stream = streaming.stub.Expand(Item(number=800, body=called.ref.SerializeToString()), timeout=PATIENCE)
    for turn in range(6):
        called.move((turn + 2) % 3)
    assert calls.result().status == 0
    assert [item.number for item in stream] == [*range(800)]
    assert called.notes() == [*map(str, range(400))]
    caller.move(1)
    streaming.move(0)
    assert caller.call(called.ref)[0] is streaming.call(called.ref)[0] is StatusCode.OK


def test_a_hub_that_is_killed_takes_its_connections_along(serve: Serve, cleanup: ExitStack, app: str) -> None:
    server = serve("--accept", "acceptor", app=app, hubs=3)
    caller, waiting = Member(server, 0, cleanup), Member(server, 1, cleanup)
    called, other = Member(server, 2, cleanup), Member(server, 2, cleanup)
    assert caller.call(called.ref)[0] is StatusCode.OK
    call = waiting.begin(called.ref, sleep=60)
    until(lambda: server_calls(server, called) == 1)
    os.kill(server.hub(2)["pid"], signal.SIGKILL)
    reply = call.result()
    assert StatusCode(reply.status) is StatusCode.UNAVAILABLE and "has ended, or its hub" in reply.text
    began = time.monotonic()
    for ref in (called.ref, other.ref):  # one was remembered to be there, the other is not known
        code, why = caller.call(ref)
        assert code in (StatusCode.NOT_FOUND, StatusCode.UNAVAILABLE), why
    until(lambda: caller.call(called.ref)[0] is StatusCode.NOT_FOUND)
    assert time.monotonic() - began < 10
    assert caller.call(waiting.ref)[0] is StatusCode.OK


def server_calls(server: ServerProcess, member: Member) -> int:
    return int(next(row["calls"] for row in server.connections() if row["id"] == member.ref.connection))


def test_a_hub_that_is_stopped_has_what_it_has(serve: Serve, cleanup: ExitStack, app: str) -> None:
    """Nobody says that a connection has ended which it may have, and nobody waits for it without end."""
    server = serve("--accept", "acceptor", app=app, hubs=3)
    caller, called, other = Member(server, 0, cleanup), Member(server, 1, cleanup), Member(server, 2, cleanup)
    fresh = Member(server, 1, cleanup)
    assert caller.call(called.ref)[0] is StatusCode.OK
    pid = server.hub(1)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert caller.call(other.ref)[0] is StatusCode.OK, "others are not held up"
        code, why = caller.call(fresh.ref)
        assert code is StatusCode.UNAVAILABLE and "does not answer, and may have it" in why
        try:  # it is sent there, and may run
            assert caller.call(called.ref, timeout=1)[0] is StatusCode.UNAVAILABLE and app == WITH_KEYS
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if app == WITH_KEYS:  # then hubs are told who is silent
            server.wait_for(lambda: server.hub(1)["state"] == "silent")
            until(lambda: "the hub that has the actor" in caller.call(called.ref)[1])
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: caller.call(fresh.ref)[0] is StatusCode.OK)
    assert caller.call(called.ref)[0] is StatusCode.OK


def test_without_a_broker_and_with_the_next_one(
    serve: Serve, follow: Follow, cleanup: ExitStack, app: str
) -> None:
    broker = serve("--accept", "acceptor", app=app)
    caller, called, ending = (Member(broker, hub, cleanup) for hub in (0, 1, 1))
    fresh = Member(broker, 1, cleanup)
    os.kill(broker.pid, signal.SIGKILL)
    broker.wait()
    for ref in (called.ref, fresh.ref):
        assert caller.call(ref)[0] is StatusCode.OK
    ending.channel.close()
    until(lambda: caller.call(ending.ref)[0] is StatusCode.NOT_FOUND)

    broker = follow(broker, "--accept", "acceptor", app=app)
    for member in (caller, called, fresh):
        member.server = broker
    assert caller.call(called.ref)[0] is StatusCode.OK
    # Hubs that another broker has started know the secret, too.
    done = broker.run("reload")
    assert done.returncode == 0, done.stderr + broker.log
    for one in (caller, called, fresh):
        for other in (caller, called, fresh):
            if one is not other:
                assert one.call(other.ref)[0] is StatusCode.OK
    assert caller.who() == caller.ref
    assert caller.call(ending.ref)[0] is StatusCode.NOT_FOUND
    # So does one that is started in place of one that has died.
    caller.move(0), called.move(0)
    before = broker.hub(1)["pid"]
    os.kill(before, signal.SIGKILL)
    broker.wait_for(lambda: broker.hub(1)["pid"] != before and broker.hub(1)["state"] == "serving")
    late = Member(broker, 1, cleanup)
    assert late.call(caller.ref)[0] is called.call(late.ref)[0] is StatusCode.OK


def test_a_server_that_is_started_anew_knows_none_of_before(serve: Serve, cleanup: ExitStack) -> None:
    first = serve(app=WITHOUT_KEYS)
    old = Member(first, None, cleanup).ref
    first.close()
    second = serve(app=WITHOUT_KEYS)
    member = Member(second, None, cleanup)
    code, why = member.call(old)
    assert code is StatusCode.NOT_FOUND and "before it was started anew" in why
    old.server = member.ref.server
    code, why = member.call(old)
    assert code is StatusCode.NOT_FOUND and "leads to no actor of shapes.Stateful" in why


def test_the_secret_is_in_one_file_and_nowhere_else(serve: Serve, cleanup: ExitStack) -> None:
    server = serve("--log-level", "debug", app=WITH_KEYS)
    caller, called = Member(server, 0, cleanup), Member(server, 1, cleanup)
    assert caller.call(called.ref)[0] is StatusCode.OK
    path = server.runtime_dir / "server"
    record = Server.FromString(path.read_bytes())
    assert len(record.secret) == 32 and record.secret != record.server
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    forms = [record.secret, record.secret.hex().encode(), repr(record.secret)[2:-1].encode()]
    said = [server.log, server.run("status", "--json").stdout, server.run("connections", "--json").stdout]
    said += [server.run("stacks", 0).stdout]
    for text in said:
        assert not any(form in text.encode() for form in forms)
    for pid in [server.pid, *[hub["pid"] for hub in server.status()["hubs"]]]:
        for name in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                content = file.read()
            assert not any(form in content for form in forms)
    for other in server.runtime_dir.rglob("*"):
        if other.is_file() and other != path:
            assert record.secret not in other.read_bytes(), other
