"""What real clients make of a server that has no room for them: UNAVAILABLE, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.interop.clients import node
from tests.interop.clients.client import Client
from tests.interop.clients.grpcio_aio import GrpcioAio
from tests.interop.clients.grpcio_sync import GrpcioSync
from tests.interop.clients.grpclib_client import Grpclib
from tests.interop.procedures import SERVICE
from tests.interop.testing_pb2 import Empty
from tests.support.endpoints import Endpoint
from tests.support.server_process import served

UNAVAILABLE = 14
WHY = "the server is full: 1 connections"

CLIENTS: dict[str, type[Client]] = {"grpcio": GrpcioSync, "grpcio.aio": GrpcioAio, "grpclib": Grpclib}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    options = ("--max-connections", "1", "--full-timeout", "0.3")
    with served(*options, app="tests.interop.service:app", hubs=1) as server:
        yield Endpoint(server.address)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_for_whom_there_is_no_room(endpoint: Endpoint, name: str) -> None:
    async def procedure() -> None:
        path = f"{SERVICE}/EmptyCall"
        async with (
            Grpclib.connect(endpoint) as inside,
            CLIENTS[name].connect(endpoint) as outside,
        ):
            assert (await inside.unary(path, Empty())).status == 0
            outcome = await outside.unary(path, Empty())
            assert (outcome.status, outcome.message) == (UNAVAILABLE, WHY)
            assert (await inside.unary(path, Empty())).status == 0

    asyncio.run(procedure())


def test_a_client_in_node_for_whom_there_is_no_room(endpoint: Endpoint) -> None:
    async def procedure() -> None:
        path = f"{SERVICE}/EmptyCall"
        async with Grpclib.connect(endpoint) as inside:
            assert (await inside.unary(path, Empty())).status == 0
            await asyncio.to_thread(node.run, "server_is_full", endpoint, 1)
            assert (await inside.unary(path, Empty())).status == 0

    asyncio.run(procedure())
