"""Who the client is whose call a keyed actor, or one by reference, serves: as on the client's own connection,
in whichever hub, and nobody where no client's call is behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import gevent
import pytest

import actorrpc
from actorrpc import ActorRef
from actorrpc.errors import SnapshotError
from actorrpc.hub.exchange.incoming import IncomingCall
from actorrpc.hub.moving.clients import Clients
from actorrpc.hub.securing.facts import SecureFacts, auth_context_of, client_from, client_written
from actorrpc.net.proxy_header import ProxyFacts
from actorrpc.pb import control_pb2
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.hub.connected.members import Member, does
from tests.hub.invoking.acting import Room, acts
from tests.hub.securing.clients import secure_channel
from tests.support import raw
from tests.support.certificates import Authority, Pair
from tests.support.hubs import Hubs, serving
from tests.support.keyed import move, rooms, where
from tests.support.proxy_headers import binary, tls
from tests.support.raw_client import RawClient
from tests.support.waiting import PATIENCE

APP = actorrpc.App([Room, Member])
ROOM = "rooms.Room/a"
MOVED = control_pb2.MoveResult.MOVED

Seen = list[tuple[str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def nothing_done() -> Iterator[None]:
    acts.clear()
    does.clear()
    yield
    acts.clear()
    does.clear()


@pytest.fixture
def config(pair: Pair, authority: Authority) -> dict[str, Any]:
    return {"tls_cert": (pair.cert,), "tls_key": (pair.key,), "tls_client_ca": authority.file}


def shown(call: Any) -> tuple[str, dict[str, Any]]:
    return call.identity, dict(call.auth_context)


@pytest.fixture
def seen() -> Seen:
    """What has been seen of clients by the room "a", and of one on its own connection."""
    seen: Seen = []

    def note(actor: Any, request: Any, call: Any) -> Any:
        seen.append(shown(call))
        return request

    acts["a.Post"] = note
    does["Unary"] = note
    return seen


def place(hubs: Hubs, hub: int, id: str = ROOM) -> None:
    if where(hubs, id) != [hub]:
        assert move(hubs, id, hub).outcome == MOVED
        hubs.wait_for(lambda: id in hubs.nodes[hub].actors.by_id)


def test_a_room_sees_the_client_through_whichever_hub(
    config: dict[str, Any], authority: Authority, client_pair: Pair, seen: Seen
) -> None:
    with (
        serving(APP, 3, **config) as hubs,
        secure_channel(hubs.address, authority, client_pair) as channel,
    ):
        StatefulStub(channel).Unary(Item(), timeout=PATIENCE)
        room = RoomStub(channel)
        room.Post(Line(room="a"), timeout=PATIENCE)
        for client, actor in ((0, 1), (0, 2), (1, 2), (1, 1), (2, 0)):
            if client not in [node.hub for node in hubs.nodes if node.connections]:
                hubs.move(client)
            place(hubs, actor)
            room.Post(Line(room="a"), timeout=PATIENCE)
    own, *others = seen
    assert own[0] == "ann.example" and own[1]["x509_common_name"] == (b"ann",)
    assert len(others) == 6 and all(each == own for each in others)


def test_each_open_call_keeps_its_client_where_the_room_moves(
    config: dict[str, Any], authority: Authority, client_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also once it has ended, for whoever is to hear of that; and each client travels once."""
    ends: Seen = []
    travelled: list[Clients] = []

    class Noted(Clients):
        def __init__(self, written: Iterable[bytes] = ()) -> None:
            super().__init__(written)
            travelled.append(self)

    monkeypatch.setattr("actorrpc.hub.moving.keyed_snapshot.Clients", Noted)

    class Hears(Room):
        def on_call_end(self, call: Any, status: Any, message: str) -> None:
            if call.method.endswith("Listen"):
                ends.append(shown(call))

    acts["a.Listen"] = lambda room, request, call: call.send(request)
    listed: list[Seen] = []

    def post(room: Room, request: Line, call: Any) -> Line:
        listed.append(sorted(shown(each) for each in room.calls if each is not call))
        return request

    acts["a.Post"] = post
    dora = authority.sign("dora")
    with (
        serving(actorrpc.App([Hears]), 2, **config) as hubs,
        secure_channel(hubs.address, authority, client_pair) as one,
        secure_channel(hubs.address, authority, dora) as other,
    ):
        rooms_of = [RoomStub(one), RoomStub(other)]
        open_calls = [room.Listen(Line(room="a"), timeout=PATIENCE) for room in rooms_of for _ in range(3)]
        for call in open_calls:
            next(call)
        for hub in (0, 1, 0, 1):
            place(hubs, hub)
            rooms_of[0].Post(Line(room="a"), timeout=PATIENCE)
        for call in open_calls:
            call.cancel()
        hubs.wait_for(lambda: len(ends) == 6)
    assert [identity for identity, _ in listed[0]] == ["ann.example"] * 3 + ["dora"] * 3
    assert [context["x509_common_name"] for _, context in listed[0]] == [(b"ann",)] * 3 + [(b"dora",)] * 3
    assert all(each == listed[0] for each in listed)
    assert len(travelled) >= 6 and {len(each.written) for each in travelled} == {2}
    assert sorted(ends) == listed[0]


def test_what_a_room_asks_of_others_is_for_the_same_client(
    config: dict[str, Any], authority: Authority, client_pair: Pair, seen: Seen
) -> None:
    """As the identity: where it asks in the client's call, also over several, and not of itself."""

    def asks(room: Room, request: Line, call: Any) -> Line:
        RoomStub(room.actor("a")).Post(Line(room="a"))
        gevent.spawn(RoomStub(room.actor("a")).Post, Line(room="a")).get()
        return request

    acts["b.Post"] = lambda room, request, call: RoomStub(room.actor("c")).Post(Line(room="c"))
    acts["c.Post"] = asks
    acts["c.on_activate"] = lambda room, request, call: RoomStub(room.actor("a")).Post(Line(room="a"))
    with (
        serving(APP, 2, **config) as hubs,
        secure_channel(hubs.address, authority, client_pair) as channel,
    ):
        StatefulStub(channel).Unary(Item(), timeout=PATIENCE)
        RoomStub(channel).Post(Line(room="b"), timeout=PATIENCE)
        place(hubs, 1, "rooms.Room/b")
        place(hubs, 0, "rooms.Room/c")
        RoomStub(channel).Post(Line(room="b"), timeout=PATIENCE)
    own, hook, *others = seen
    nobody = ("", {})
    assert [hook, *others] == [nobody, own, nobody, own, nobody]


def test_a_reference_leads_to_an_actor_that_sees_who_asks_and_not_its_own_client(
    config: dict[str, Any], authority: Authority, client_pair: Pair, seen: Seen
) -> None:
    held: list[ActorRef] = []
    does["Beside"] = lambda member, request, call: held.append(member.ref) or request
    acts["b.Post"] = lambda room, request, call: bool(StatefulStub(held[0]).Unary(Item())) and request
    with (
        serving(APP, 2, **config) as hubs,
        secure_channel(hubs.address, authority, authority.sign("dora")) as called,
        secure_channel(hubs.address, authority, client_pair) as asking,
    ):
        StatefulStub(called).Beside(Item(), timeout=PATIENCE)
        for hub in (0, 1):
            RoomStub(asking).Post(Line(room="b"), timeout=PATIENCE)
            place(hubs, hub, "rooms.Room/b")
            hubs.move(1, held[0].connection)
        RoomStub(asking).Post(Line(room="b"), timeout=PATIENCE)
    assert [identity for identity, _ in seen] == ["ann.example"] * 3
    assert [context["x509_common_name"] for _, context in seen] == [(b"ann",)] * 3


def test_what_a_proxy_says_goes_along(seen: Seen) -> None:
    addresses = bytes([203, 0, 113, 9, 127, 0, 0, 1]) + b"\x9c\x40\x01\xbb"
    told = binary(0x21, 0x11, addresses + tls(3, 0, name=b"ada", version=b"TLSv1.3"))
    request = Line(room="a").SerializeToString()
    fields = [*raw.request(""), (":path", "/rooms.Room/Post")]
    fields.remove((":path", "/test.Test/"))
    fields.sort(key=lambda field: not field[0].startswith(":"))
    call = raw.headers(1, fields) + raw.data(1, raw.message(request), raw.END_STREAM)
    with serving(APP, 2, proxy_protocol=("127.0.0.0/8",)) as hubs:
        for hub in (0, 1):
            with RawClient(hubs.address, told + raw.OPEN + call) as client:
                client.wait_for(raw.HEADERS)
            place(hubs, hub)
    expected = {
        "transport_security_type": (b"ssl",),
        "ssl_version": (b"TLSv1.3",),
        "x509_common_name": (b"ada",),
    }
    assert [context for _, context in seen] == [expected] * 2


def test_of_a_plaintext_client_nothing_is_known_and_nothing_sent(seen: Seen) -> None:
    with rooms(APP, 2) as (hubs, room):
        room.Post(Line(room="a"), timeout=PATIENCE)
        place(hubs, 1)
        room.Post(Line(room="a"), timeout=PATIENCE)
    assert seen == [("", {})] * 2
    for nothing in (None, ProxyFacts(authority="a.example")):
        assert client_written(nothing) == b"" and not auth_context_of(nothing)


# ---- as it travels


def test_what_handlers_do_not_see_stays_where_it_is(client_pair: Pair) -> None:
    secure = SecureFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256", "host", b"", (b"CA" * 500,), b"judged")
    written = client_written(secure)
    assert len(written) < 60
    read = client_from(written)
    assert auth_context_of(read) == secure.auth_context
    assert isinstance(read, SecureFacts) and (read.server_name, read.admitted_by) == ("", b"")


def test_calls_of_one_client_share_what_is_known() -> None:
    secure = SecureFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256")
    assert client_from(client_written(secure)) is client_from(bytes(bytearray(client_written(secure))))
    assert client_written(secure) is client_written(secure), "it is written once for a connection"


def test_a_snapshot_that_names_a_client_it_has_not_is_refused() -> None:
    call = object.__new__(IncomingCall)
    clients = Clients([client_written(SecureFacts("TLSv1.3", "A")), b"\xff"])
    for place in (3, 1 << 31):
        with pytest.raises(SnapshotError, match="a client that is not told"):
            clients.tell(call, place)
    with pytest.raises(SnapshotError, match="a client that cannot be"):
        clients.tell(call, 2)
    clients.tell(call, 1)
    assert auth_context_of(call.client_facts)["ssl_cipher"] == (b"A",)
