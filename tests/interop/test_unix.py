"""Foreign clients at unix sockets, by the names that they have for these, still and moved at every turn."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import grpc.aio
import pytest

from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.programs import program
from tests.support.server_process import ServerProcess, served
from tests.support.waiting import PATIENCE

CALLS = 20


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="actorrpc-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def server(folder: Path, mode: tuple[str, ...]) -> Iterator[ServerProcess]:
    """It listens at a path with a space in it, and at an abstract name."""
    abstract = f"unix-abstract:{folder.name}"
    with served("--bind", abstract, *mode, bind=f"unix:{folder}/a%20socket") as server:
        yield server


@pytest.fixture(params=["path", "path, as a URI", "abstract"])
def target(request: pytest.FixtureRequest, server: ServerProcess, folder: Path) -> str:
    return {
        "path": f"unix:{folder}/a%20socket",
        "path, as a URI": f"unix://{folder}/a%20socket",
        "abstract": f"unix-abstract:{folder.name}",
    }[str(request.param)]


def test_grpcio(target: str) -> None:
    with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = StatefulStub(channel)
        numbers = [stub.Unary(Item(), timeout=PATIENCE).number for _ in range(CALLS)]
    assert numbers == list(range(1, CALLS + 1)), "one actor has counted all"


def test_grpcio_aio(target: str) -> None:
    async def call() -> list[int]:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            unary = channel.unary_unary("/shapes.Stateful/Unary", Item.SerializeToString, Item.FromString)
            return [(await unary(Item(), timeout=PATIENCE)).number for _ in range(CALLS)]

    assert asyncio.run(call()) == list(range(1, CALLS + 1))


def test_what_the_server_prints_is_what_clients_take(server: ServerProcess) -> None:
    for address in [each["address"] for each in server.status()["addresses"]]:
        with grpc.insecure_channel(address) as channel:
            assert StatefulStub(channel).Unary(Item(), timeout=PATIENCE).number == 1


@pytest.mark.parametrize("name", ["path", "abstract"])
def test_curl(name: str, server: ServerProcess, folder: Path, tmp_path: Path) -> None:
    where = {
        "path": ("--unix-socket", f"{folder}/a socket"),
        "abstract": ("--abstract-unix-socket", folder.name),
    }[name]
    (tmp_path / "request").write_bytes(bytes(5))
    done = subprocess.run(
        [
            program("curl"), "-sS", "--http2-prior-knowledge", *where, "-D", "-", "-o", tmp_path / "reply",
            "-H", "content-type: application/grpc", "-H", "te: trailers",
            "--data-binary", f"@{tmp_path}/request", "http://localhost/shapes.Stateful/Unary",
        ],
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "grpc-status: 0" in done.stdout
    assert Item.FromString((tmp_path / "reply").read_bytes()[5:]).number == 1


def test_h2load(server: ServerProcess, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "request").write_bytes(bytes(5))
    done = subprocess.run(
        [
            program("h2load"), "-n", "400", "-c", "4", "-m", "8", "-d", tmp_path / "request",
            "-H", "content-type: application/grpc", "-H", "te: trailers",
            "-B", f"unix:{folder}/a socket", "http://localhost/shapes.Stateful/Unary",
        ],
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search("400 succeeded, 0 failed, 0 errored", done.stdout), done.stdout
