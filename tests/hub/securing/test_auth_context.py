"""Who the client is by its certificate, as handlers and interceptors see it, before and after a move."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

import actorrpc
from tests.apps.rooms import Room
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.apps.shapes import Stateful
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.hub.securing.clients import secure_channel
from tests.support.certificates import Authority, Pair
from tests.support.hubs import serving
from tests.support.waiting import PATIENCE

LIKE_GRPCIO = (
    "transport_security_type",
    "x509_common_name",
    "x509_subject_alternative_name",
    "x509_pem_cert",
    "security_level",
)


class Shows(Stateful):
    """Notes what it sees of its clients."""

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        seen.append((call.identity, dict(call.auth_context)))
        return Item(number=request.number)


seen: list[tuple[str, dict[str, Any]]] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    seen.clear()
    yield


def mutual(pair: Pair, authority: Authority, **config: Any) -> dict[str, Any]:
    return {"tls_cert": (pair.cert,), "tls_key": (pair.key,), "tls_client_ca": authority.file} | config


def seen_by_grpcio(pair: Pair, authority: Authority, client: Pair) -> dict[str, Any]:
    """What grpcio's own server sees of the same client."""
    found: list[dict[str, Any]] = []

    def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
        found.append(dict(context.auth_context()))
        return request

    handlers = {"Unary": grpc.unary_unary_rpc_method_handler(unary)}
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shapes.Stateful", handlers),))
    credentials = grpc.ssl_server_credentials(
        [(Path(pair.key).read_bytes(), Path(pair.cert).read_bytes())],
        Path(authority.file).read_bytes(),
        require_client_auth=True,
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        with secure_channel(f"127.0.0.1:{port}", authority, client) as channel:
            StatefulStub(channel).Unary(Item(number=1), timeout=PATIENCE)
    finally:
        server.stop(None).wait()
    return found[0]


def test_it_is_what_grpcio_shows_and_travels(authority: Authority, pair: Pair, client_pair: Pair) -> None:
    expected = seen_by_grpcio(pair, authority, client_pair)
    with (
        serving(actorrpc.App([Shows]), 2, **mutual(pair, authority)) as hubs,
        secure_channel(hubs.address, authority, client_pair) as channel,
    ):
        stub = StatefulStub(channel)
        stub.Unary(Item(number=1), timeout=PATIENCE)
        hubs.move(1)
        stub.Unary(Item(number=1), timeout=PATIENCE)
    (identity, before), (_, after) = seen
    assert identity == "ann.example"
    assert before == after
    shown = {name: sorted(before[name]) for name in LIKE_GRPCIO}
    assert shown == {name: sorted(expected[name]) for name in LIKE_GRPCIO}, json.dumps(str(expected))
    assert before["ssl_version"] == (b"TLSv1.3",)


def test_without_a_certificate_there_is_nobody(authority: Authority, pair: Pair) -> None:
    with (
        serving(actorrpc.App([Shows]), **mutual(pair, authority, tls_client="optional")) as hubs,
        secure_channel(hubs.address, authority) as channel,
    ):
        StatefulStub(channel).Unary(Item(number=1), timeout=PATIENCE)
    ((identity, context),) = seen
    assert identity == "" and context["transport_security_type"] == (b"ssl",)
    assert not any(name.startswith("x509") for name in context)


def test_the_common_name_where_there_is_no_other(authority: Authority, pair: Pair) -> None:
    with (
        serving(actorrpc.App([Shows]), **mutual(pair, authority)) as hubs,
        secure_channel(hubs.address, authority, authority.sign("bob")) as channel,
    ):
        StatefulStub(channel).Unary(Item(number=1), timeout=PATIENCE)
    assert [identity for identity, _ in seen] == ["bob"]


def test_an_app_may_say_otherwise(authority: Authority, pair: Pair, client_pair: Pair) -> None:
    app = actorrpc.App([Shows], identity=lambda call: str(call.metadata["user"]))
    with (
        serving(app, **mutual(pair, authority)) as hubs,
        secure_channel(hubs.address, authority, client_pair) as channel,
    ):
        StatefulStub(channel).Unary(Item(number=1), metadata=[("user", "carl")], timeout=PATIENCE)
    assert [identity for identity, _ in seen] == ["carl"]


def test_two_certificates_have_two_actors_behind_one_room(
    authority: Authority, pair: Pair, client_pair: Pair
) -> None:
    """The identity goes on to keyed actors."""
    whose: list[str] = []

    class Asks(Room):
        def Post(self, request: Line, call: actorrpc.Call[Line]) -> Line:
            whose.append(call.identity)
            return request

    with serving(actorrpc.App([Asks]), 2, **mutual(pair, authority)) as hubs:
        for client in (client_pair, authority.sign("dora")):
            with secure_channel(hubs.address, authority, client) as channel:
                RoomStub(channel).Post(Line(room="a"), timeout=PATIENCE)
    assert whose == ["ann.example", "dora"]


@pytest.mark.parametrize("who", ["nobody", "a stranger", "one that has expired"])
def test_others_are_not_admitted(
    who: str, authority: Authority, pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = Authority(tmp_path / "other", "another CA").sign("eve", ["ann.example"])
    clients = {
        "nobody": None,
        "a stranger": stranger,
        "one that has expired": authority.sign("old", days=-0.5),
    }
    caplog.set_level("INFO", "actorrpc.hub")
    with serving(actorrpc.App([Shows]), **mutual(pair, authority)) as hubs:
        with (
            secure_channel(hubs.address, authority, clients[who]) as channel,
            pytest.raises(grpc.RpcError) as raised,
        ):
            StatefulStub(channel).Unary(Item(number=1), timeout=PATIENCE)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        hubs.wait_for(lambda: not hubs.nodes[0].handshakes)
    assert not seen
    assert "a TLS handshake has failed: the client has" in caplog.text


def test_a_plaintext_client_has_an_empty_one() -> None:
    with serving(actorrpc.App([Shows])) as hubs, grpc.insecure_channel(hubs.address) as channel:
        StatefulStub(channel).Unary(Item(number=1), timeout=PATIENCE)
    assert seen == [("", {})]
