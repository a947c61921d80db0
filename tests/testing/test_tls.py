"""Servers in programs and in tests of apps, with addresses of which clients speak TLS."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

import actorrpc
from actorrpc import testing
from actorrpc.errors import ConfigError
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.certificates import Authority, Pair
from tests.support.processes import ROOT, environment
from tests.support.waiting import PATIENCE

LOCALHOST = ("grpc.ssl_target_name_override", "localhost")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.sign("localhost", ["localhost"])


def test_a_tests_server_serves_both_and_connections_move(authority: Authority, pair: Pair) -> None:
    tls = actorrpc.Tls(pair.cert, pair.key)
    credentials = grpc.ssl_channel_credentials(Path(authority.file).read_bytes())
    with testing.serve(app, bind="127.0.0.1:0", tls_bind="127.0.0.1:0", tls=tls, move_every=1) as server:
        assert len(server.addresses) == 2 and server.address == server.addresses[0]
        stubs = [
            StatefulStub(server.channel()),
            StatefulStub(server.channel(LOCALHOST, credentials=credentials)),
        ]
        for number in range(1, 10):
            for stub in stubs:
                assert stub.Unary(Item(), timeout=PATIENCE).number == number
        assert server.moves > 10
        assert server.errors == []


def test_with_tls_alone_there_is_no_plaintext_address(authority: Authority, pair: Pair) -> None:
    with testing.serve(app, tls_bind="127.0.0.1:0", tls=actorrpc.Tls(pair.cert, pair.key)) as server:
        assert len(server.addresses) == 1
        with pytest.raises(grpc.RpcError):
            StatefulStub(server.channel()).Unary(Item(), timeout=PATIENCE)


def enter(app: actorrpc.App, **more: Any) -> object:
    return testing.serve(app, **more).__enter__()


@pytest.mark.parametrize("serve", [actorrpc.Server, enter])
def test_what_does_not_go_together(serve: Callable[..., object], pair: Pair) -> None:
    tls = actorrpc.Tls(pair.cert, pair.key)
    with pytest.raises(ConfigError, match="needs a certificate: give tls_cert and tls_key"):
        serve(app, tls_bind="127.0.0.1:0")
    with pytest.raises(ConfigError, match="no address of which clients speak TLS: give tls_bind"):
        serve(app, tls=tls)
    with pytest.raises(ConfigError, match="/nothing cannot be read"):
        serve(app, tls_bind="127.0.0.1:0", tls=actorrpc.Tls("/nothing", pair.key))


def served(host: str, port: int) -> bytes | None:
    """The certificate that a new client sees, in DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection((host, port), PATIENCE) as sock, context.wrap_socket(sock) as secure:
        return secure.getpeercert(binary_form=True)


#: Serves, renews when it reads a line, and says how that went.
PROGRAM = """
import sys
from gevent.monkey import patch_all; patch_all()
import gevent
from gevent.fileobject import FileObject
import actorrpc
from tests.apps.shapes import app
tls = actorrpc.Tls("server.pem", "server.key")
with actorrpc.Server(app, bind="127.0.0.1:0", tls_bind=["127.0.0.1:0"], tls=tls) as server:
    print(*server.addresses, flush=True)
    for _ in FileObject(sys.stdin.buffer):
        try:
            server.renew_tls()
        except actorrpc.ConfigError as error:
            print("refused:", error, flush=True)
        else:
            print("renewed", flush=True)
"""


def test_a_program_renews_its_certificates(tmp_path: Path, authority: Authority, pair: Pair) -> None:
    shutil.copy(pair.cert, tmp_path / "server.pem")
    shutil.copy(pair.key, tmp_path / "server.key")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        plain, secure = process.stdout.readline().split()
        with grpc.insecure_channel(plain) as channel:
            StatefulStub(channel).Unary(Item(), timeout=PATIENCE)
        host, _, port = secure.rpartition(":")
        before = served(host, int(port))
        other = authority.sign("localhost other", ["localhost"], days=3.5)

        def renew() -> str:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            return process.stdout.readline()

        shutil.copy(other.cert, tmp_path / "server.pem")
        assert renew().startswith("refused: the key ")
        assert served(host, int(port)) == before
        shutil.copy(other.key, tmp_path / "server.key")
        assert renew() == "renewed\n"
        assert served(host, int(port)) == ssl.PEM_cert_to_DER_cert(Path(other.cert).read_text()) != before
    finally:
        _, log = process.communicate(timeout=PATIENCE)
    assert log.count(f"the certificate {tmp_path}/server.pem expires on ") == 1
