"""Each public interoperability case with each client, on connections that stay and on ones that move."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tests.interop.cases import CASES, CLIENTS, NOT_APPLICABLE, NOTES, TIMES, Flags
from tests.interop.clients import node
from tests.interop.clients.client import Client
from tests.interop.clients.grpcio_aio import GrpcioAio
from tests.interop.clients.grpcio_sync import CHANNEL_OPTIONS, GrpcioSync, serialization
from tests.interop.clients.grpclib_client import Grpclib
from tests.interop.conftest import plaintext_only
from tests.interop.procedures import LARGE_REPLY, PROCEDURES, SERVICE, YES, large
from tests.interop.service import CALLS, ENCODING, IDENTITY
from tests.interop.testing_pb2 import SimpleRequest
from tests.interop.wiretap import Wiretap, wiretap
from tests.support.endpoints import NAME, Endpoint

IN_PYTHON: dict[str, type[Client]] = {"grpcio": GrpcioSync, "grpcio.aio": GrpcioAio, "grpclib": Grpclib}

APPLICABLE = [(client, case) for client in CLIENTS for case in CASES if (client, case) not in NOT_APPLICABLE]


@pytest.fixture(scope="module")
def app() -> str:
    return "tests.interop.service:app"


def run(client: str, case: str, endpoint: Endpoint) -> None:
    if client not in IN_PYTHON:
        node.run(case, endpoint, TIMES)
        return

    async def procedure() -> None:
        async with IN_PYTHON[client].connect(endpoint) as connected:
            for _ in range(TIMES):
                await PROCEDURES[case](connected)

    asyncio.run(procedure())


def check(flags: Flags, tap: Wiretap) -> None:
    """Compare the Compressed-Flags with the case's. A client that cannot decode gets nothing compressed."""
    replies = flags.replies if "gzip" in tap.accepted_encodings() else [0] * len(flags.replies)
    assert tap.request_flags() == flags.requests * TIMES
    assert tap.reply_flags() == replies * TIMES


@pytest.mark.parametrize(("client", "case"), APPLICABLE)
def test_case(client: str, case: str, endpoint: Endpoint) -> None:
    """What it proves stands in ``CASES``. In TLS nobody sees the flags."""
    flags = CASES[case].flags
    if flags is None or endpoint.identity is not None:
        run(client, case, endpoint)
        return
    with wiretap(endpoint.address) as tap:
        run(client, case, Endpoint(tap.address))
    check(flags, tap)


@pytest.mark.parametrize("client", CLIENTS)
def test_it_is_known_by_its_certificate(client: str, endpoint: Endpoint) -> None:
    """Its first alternative name, also after moves; nothing in plaintext."""
    if client not in IN_PYTHON:
        node.run("is_known", endpoint, TIMES)
        return

    async def procedure() -> None:
        async with IN_PYTHON[client].connect(endpoint) as connected:
            for _ in range(TIMES):
                outcome = await connected.unary(f"{SERVICE}/UnaryCall", SimpleRequest(fill_server_id=True))
                assert (IDENTITY, NAME if endpoint.identity else "") in outcome.trailing

    asyncio.run(procedure())


@plaintext_only
def test_deflate(endpoint: Endpoint) -> None:
    """What gRPC calls deflate has zlib's header; grpcio and the server read each other's."""
    request = large(expect_compressed=YES, response_compressed=YES)
    with wiretap(endpoint.address) as tap, grpc.insecure_channel(tap.address) as channel:
        method = channel.unary_unary(f"{SERVICE}/UnaryCall", **serialization(f"{SERVICE}/UnaryCall"))
        reply = method(
            request, metadata=[(ENCODING, "deflate")], compression=grpc.Compression.Deflate, timeout=60
        )
    assert reply == LARGE_REPLY
    [(client, server)] = tap.connections
    for side in (client, server):
        assert side.compressed_flags() == [1] and side.headers()[0]["grpc-encoding"] == "deflate"


def test_a_connection_stays_or_moves(endpoint: Endpoint, mode: tuple[str, ...]) -> None:
    """What the columns differ in: one hub serves a connection, or both do. Its actor is the same one."""
    hubs, calls = set(), []
    with endpoint.channel(CHANNEL_OPTIONS) as channel:
        method = channel.unary_unary(f"{SERVICE}/UnaryCall", **serialization(f"{SERVICE}/UnaryCall"))
        for _ in range(20):
            reply, call = method.with_call(SimpleRequest(fill_server_id=True), timeout=60)
            hubs.add(reply.server_id)
            calls.append(dict(call.trailing_metadata())[CALLS])
    assert len(hubs) == (2 if mode else 1)
    assert calls == [str(number) for number in range(1, 21)]


def test_cases_are_those_of_the_procedures() -> None:
    assert list(PROCEDURES) == list(CASES)
    told = {*NOT_APPLICABLE, *NOTES}
    assert {client for client, _ in told} <= set(CLIENTS) and {case for _, case in told} <= set(CASES)
