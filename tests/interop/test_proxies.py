"""Behind proxies, as docs/operate/proxies.md has them configured: calls of every shape come through, each
user of an app that knows identities has an actor of their own, and where it knows none, shared connections
are seen.
"""

from __future__ import annotations

import queue
import re
from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import pytest

from actorrpc.config import Config
from examples.auth.auth_actorrpc import VaultStub
from examples.auth.auth_pb2 import PutRequest
from tests.apps.shapes_actorrpc import StatefulStub, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.interop.conftest import MODES
from tests.interop.proxies import CONFIGS, proxy
from tests.support.server_process import ServerProcess, served
from tests.support.waiting import PATIENCE

USERS = ("ada", "bob")

#: Whose a connection to the server is.
OWN, SHARED, EACH = "each client's own", "all clients'", "one call's"
CONNECTIONS = {
    "haproxy, tcp": OWN,
    "nginx, stream": OWN,
    "haproxy, http, never shared": OWN,
    "haproxy, http": SHARED,
    "nginx, keepalive": SHARED,
    "nginx": EACH,
    "nghttpx": SHARED,
}
#: And of those, what says so by itself.
TELLS = {"nghttpx": "x-forwarded-proto"}

MOVED = MODES["moved-every-turn"]

every_proxy = pytest.mark.parametrize("name", CONFIGS)


@pytest.fixture(scope="module")
def secure() -> bool:
    """Its clients speak plaintext."""
    return False


@pytest.fixture(scope="module")
def vault(mode: tuple[str, ...]) -> Iterator[ServerProcess]:
    with served(*mode, app="examples.auth.server:app") as server:
        yield server


def bearer(user: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {user}'s token")]


def put(stub: VaultStub, user: str) -> tuple[str, int]:
    """Whose drawer the server says it is, and how many things are in there."""
    reply = stub.Put(PutRequest(thing="ring"), metadata=bearer(user), timeout=PATIENCE)
    return reply.owner, reply.things


def count(channel: grpc.Channel, user: str) -> int | str:
    """How many calls an actor has had, or what a call ended with that was refused."""
    try:
        number: int = StatefulStub(channel).Unary(Item(), metadata=bearer(user), timeout=PATIENCE).number
    except grpc.RpcError as error:
        assert "several clients seem to share this connection" in error.details(), error
        return str(error.code().name)
    return number


def shared(server: ServerProcess) -> dict[str, int]:
    """What `actorrpc status` says of shared connections, for all hubs."""
    hubs = [row["shared"] for row in server.status()["hubs"]]
    return {figure: sum(row[figure] for row in hubs) for figure in ("connections", "calls", "refused")}


def test_the_page_has_no_configuration_that_is_not_tested():
    assert CONFIGS.keys() == CONNECTIONS.keys()


@every_proxy
def test_nobody_gets_at_what_is_anothers(vault, name):
    with proxy(name, vault.address) as front, ExitStack() as opened:
        stubs = {user: VaultStub(opened.enter_context(front.channel())) for user in USERS}
        for number in range(1, 6):
            for user, stub in stubs.items():
                assert put(stub, user) == (user, 1 if CONNECTIONS[name] is EACH else number)
        # One that is on its way is on no hub's list.
        identities = {OWN: [1, 1], SHARED: [2], EACH: []}[CONNECTIONS[name]]
        vault.wait_for(lambda: [row["identities"] for row in vault.connections()] == identities)
        assert shared(vault) == {"connections": 0, "calls": 0, "refused": 0}


@every_proxy
def test_without_identities_it_is_seen_that_clients_share(name):
    with served(*MOVED) as server, proxy(name, server.address) as front, ExitStack() as opened:
        channels = {user: opened.enter_context(front.channel()) for user in USERS}
        numbers = [count(channel, user) for _ in range(3) for user, channel in channels.items()]
        assert (
            numbers == {OWN: [1, 1, 2, 2, 3, 3], SHARED: [1, 2, 3, 4, 5, 6], EACH: [1] * 6}[CONNECTIONS[name]]
        )
        if CONNECTIONS[name] is not SHARED:
            assert shared(server) == {"connections": 0, "calls": 0, "refused": 0}
            return
        # The first call came when nothing was known yet, unless the proxy tells.
        seen = {"connections": 1, "calls": 5 + (name in TELLS), "refused": 0}
        server.wait_for(lambda: shared(server) == seen)
        sign = TELLS.get(name, "authorization")
        said = server.run("status").stdout
        assert re.search(rf"^hub \d: .*`{sign}` is .*docs/operate/proxies\.md$", said, re.M)
        log = server.log
        assert f"`{sign}` is" in log and "docs/operate/proxies.md" in log


@every_proxy
def test_refused_where_that_is_wished(name):
    options = (*MOVED, "--shared-connections", "refuse")
    with served(*options) as server, proxy(name, server.address) as front, ExitStack() as opened:
        channels = {user: opened.enter_context(front.channel()) for user in USERS}
        ends = [count(channel, user) for _ in range(2) for user, channel in channels.items()]
        no = "FAILED_PRECONDITION"
        first = no if name in TELLS else 1
        assert ends == {OWN: [1, 1, 2, 2], SHARED: [first, no, no, no], EACH: [1] * 4}[CONNECTIONS[name]]
        for channel in channels.values():
            assert StatelessStub(channel).Unary(Item(number=3), timeout=PATIENCE).number == 3


@every_proxy
def test_calls_of_every_shape_come_through(server, name):
    with proxy(name, server.address) as front, front.channel() as channel:
        stub = StatelessStub(channel)
        assert stub.Unary(Item(number=3), timeout=PATIENCE).number == 3
        assert [each.number for each in stub.Expand(Item(number=3), timeout=PATIENCE)] == [0, 1, 2]
        assert stub.Collect(iter([Item(number=3), Item(number=4)]), timeout=PATIENCE).number == 7
        messages: queue.Queue[Item | None] = queue.Queue()
        replies = stub.Talk(iter(messages.get, None), timeout=PATIENCE)
        for number in (1, 2):  # in turns: each reply before the next message
            messages.put(Item(number=number))
            assert next(replies).number == number
        messages.put(None)
        assert list(replies) == []
        with pytest.raises(grpc.RpcError) as caught:
            stub.Unary(Item(status=9, text="not that"), timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.details() == "not that"
        assert ("why", "asked for") in caught.value.trailing_metadata()
        # Message and prefix, and what there is besides the body.
        largest = b"x" * (Config().max_receive_message_bytes - 100)
        assert stub.Unary(Item(body=largest), timeout=PATIENCE).body == largest


@every_proxy
def test_calls_of_a_client_that_go_on_at_once(name):
    """They share a connection, and so an actor, but behind nginx: and behind HAProxy once it has one."""
    with served() as server, proxy(name, server.address) as front, ExitStack() as opened:
        stubs = [StatefulStub(opened.enter_context(front.channel())) for _ in USERS]
        for stub in stubs:
            stub.Unary(Item(), timeout=PATIENCE)
        calls = [stub.Listen(Item(text="news"), timeout=PATIENCE) for _ in range(3) for stub in stubs]
        shares = {OWN: [3, 3], SHARED: [6], EACH: [1] * 6}
        expected = shares[EACH if name.startswith("nginx, keep") else CONNECTIONS[name]]
        server.wait_for(lambda: [row["calls"] for row in server.connections()] == expected)
        for call in calls:
            call.cancel()


@every_proxy
def test_a_call_that_is_cancelled_ends_on_the_server(server, name):
    with proxy(name, server.address) as front, front.channel() as channel:
        for end in (lambda call: call.cancel(), lambda call: channel.close()):
            call = StatefulStub(channel).Listen(Item(text="news"), timeout=PATIENCE)
            server.wait_for(lambda: sum(row["calls"] for row in server.connections()))
            end(call)
            server.wait_for(lambda: not sum(row["calls"] for row in server.connections()))


@pytest.mark.parametrize("name", [name for name, whose in CONNECTIONS.items() if whose is not EACH])
def test_a_connection_that_is_told_to_go_costs_no_call(name):
    """GOAWAY: as each connection gets that reaches its age, and all when a hub stops."""
    age = ("--max-connection-age", "0.2", "--max-connection-age-grace", "30")
    with served(*age) as server, proxy(name, server.address) as front, front.channel() as channel:
        ids: set[str] = set()

        def have_gone() -> bool:
            StatefulStub(channel).Unary(Item(), timeout=PATIENCE, wait_for_ready=True)
            ids.update(row["id"] for row in server.connections())
            return len(ids) > 2

        server.wait_for(have_gone)


def test_a_proxy_that_may_refuse_large_messages_does():
    """What the page says of nginx as it comes."""

    def as_it_comes(config: str) -> str:
        return config.replace("client_max_body_size 0;", "")

    with (
        served() as server,
        proxy("nginx", server.address, as_it_comes) as front,
        front.channel() as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        StatelessStub(channel).Unary(Item(body=b"x" * 1_100_000), timeout=PATIENCE)
    assert "413" in caught.value.details()


@pytest.mark.parametrize("name", ["haproxy, tcp", "nginx, stream", "nginx"])
def test_pings_keep_a_quiet_stream(name):
    """The server's PINGs reach the client through a proxy of bytes, and nginx takes them for life itself."""

    def impatient(config: str) -> str:
        return config.replace("1h", "2s")

    pings = ("--keepalive-time", "0.4", "--keepalive-timeout", "0.5")
    with (
        served(*pings) as server,
        proxy(name, server.address, impatient) as front,
        front.channel() as channel,
    ):
        call = StatefulStub(channel).Listen(Item(text="news"), timeout=3.5)
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
