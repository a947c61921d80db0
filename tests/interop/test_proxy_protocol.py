"""Real proxies that say who their clients are, as docs/operate/listening.md has them configured."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import pytest

from actorrpc.hub.serving.connection import Connection
from actorrpc.net.listening import open_addresses
from actorrpc.net.proxy_header import ProxyFacts
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.interop.proxies import STREAM_MODULE
from tests.support.hubs import Hubs, serving
from tests.support.processes import ROOT
from tests.support.programs import program
from tests.support.waiting import PATIENCE, until

PAGE = (ROOT / "docs" / "operate" / "listening.md").read_text()
CONFIGS: dict[str, str] = dict(re.findall(r"^<!-- ([^\n]+?) -->\n```\n(.*?)^```$", PAGE, re.M | re.S))

#: What HAProxy is told of the server, in place of what the page has.
VARIANTS = {
    "as on the page": "send-proxy-v2 proxy-v2-options ssl,cert-cn,authority",
    "version 1": "send-proxy",
    "version 2": "send-proxy-v2",
    "with a checksum and an id": "send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl,ssl-cipher,cert-cn",
    "with health checks": "send-proxy-v2 check inter 50ms",
}


class Certificates:
    """An authority's, a site's, and a client's that the authority has signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._make("authority", "-x509", "-subj", "/CN=authority")
        for name, subject in (("site", "localhost"), ("client", "ada")):
            self._make(name, "-x509", "-CA", folder / "authority.pem", "-CAkey", folder / "authority.key",
                       "-subj", f"/CN={subject}", "-addext", f"subjectAltName=DNS:{subject}",
                       "-addext", "basicConstraints=critical,CA:FALSE")  # fmt: skip
        (folder / "both.pem").write_bytes(self.read("site.pem") + self.read("site.key"))

    def _make(self, name: str, *options: object) -> None:
        command = [
            program("openssl"), "req", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-days", "1", "-keyout", self._folder / f"{name}.key", "-out", self._folder / f"{name}.pem",
            *options,
        ]  # fmt: skip
        subprocess.run([str(each) for each in command], check=True, capture_output=True, timeout=PATIENCE)

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="actorrpc-") as folder:
        yield Path(folder)


@pytest.fixture
def certificates(folder: Path) -> Certificates:
    return Certificates(folder)


@contextmanager
def proxy(folder: Path, name: str, server: str, change: Callable[[str], str] = str) -> Iterator[int]:
    """A proxy as the page has it, with some of its text changed. Gives its port."""
    with open_addresses(["127.0.0.1:0"]) as (bound,):
        port = bound.text.rpartition(":")[2]
    config = CONFIGS[name].replace("/etc/ssl/site.pem", f"{folder}/both.pem")
    for meant, here in ((" :443", f" 127.0.0.1:{port}"), ("listen 443", f"listen 127.0.0.1:{port}")):
        config = config.replace(meant, here)
    config = change(config.replace("127.0.0.1:50051", server))
    if name.startswith("nginx"):
        module = f"load_module {STREAM_MODULE};" if STREAM_MODULE.exists() else ""
        config = f"daemon off; master_process off; pid {folder}/pid; {module} events {{ }}\n{config}"
    (folder / "config").write_text(config)
    command = {
        "haproxy": [program("haproxy"), "-db", "-f", f"{folder}/config"],
        "nginx": [program("nginx"), "-c", f"{folder}/config", "-e", f"{folder}/log"],
    }[name.partition(",")[0]]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: _listens(int(port), process), told=(folder / "log").read_text)
        yield int(port)
    finally:
        process.kill()
        process.wait(PATIENCE)


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def channel(port: int, certificates: Certificates, *, client: bool = False) -> grpc.Channel:
    own = (certificates.read("client.key"), certificates.read("client.pem")) if client else (None, None)
    return grpc.secure_channel(
        f"127.0.0.1:{port}",
        grpc.ssl_channel_credentials(certificates.read("authority.pem"), *own),
        options=[("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)],
    )


def one_of(hubs: Hubs, client: grpc.Channel) -> Connection:
    """A client's connection, moved once, between two calls."""
    stub = StatefulStub(client)
    assert stub.Unary(Item(), timeout=PATIENCE).number == 1

    def served() -> list[Connection]:
        """Those of clients that have called: what only looks whether a proxy listens has not."""
        return [each for node in hubs.nodes for each in node.connections.values() if each.cells.values()]

    (connection,) = hubs.wait_for(served)
    hubs.move(1, connection.id)
    assert stub.Unary(Item(), timeout=PATIENCE).number == 2
    (connection,) = served()
    return connection


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("over", ["TCP", "unix"])
def test_haproxy(folder: Path, certificates: Certificates, variant: str, over: str) -> None:
    def change(config: str) -> str:
        config = config.replace(VARIANTS["as on the page"], VARIANTS[variant])
        config = config.replace(" alpn h2", f" alpn h2 ca-file {folder}/authority.pem verify optional")
        return config.replace("mode tcp", "mode tcp\n    unique-id-format %ci-%cp")

    sources: dict[str, Any] = {"proxy_protocol": ("127.0.0.0/8", "unix")}
    with serving(app, 2, **sources) as hubs, ExitStack() as opened:
        address = hubs.address
        if over == "unix":
            (bound,) = opened.enter_context(open_addresses([f"unix:{folder}/server"]))
            address = f"unix@{folder}/server"
            hubs.ask(lambda: hubs.nodes[0].reception.listen(bound.sockets[0].dup(), 1))
        port = opened.enter_context(proxy(folder, "haproxy, PROXY", address, change))
        client = opened.enter_context(channel(port, certificates, client=True))
        found = one_of(hubs, client)
        host, _, number = found.peer.partition(":")
        assert host == "127.0.0.1" and int(number) not in (port, int(hubs.address.rpartition(":")[2]))
        facts = found.proxied
        if "ssl" in VARIANTS[variant]:
            assert facts is not None
            assert (facts.tls, facts.certificate, facts.verified) == (True, True, True)
            assert (facts.common_name, facts.tls_version) == ("ada", "TLSv1.3")
        else:
            assert facts == (None if VARIANTS[variant] == "send-proxy" else ProxyFacts(alpn=b"h2"))
        if "authority" in VARIANTS[variant]:
            assert facts is not None and facts.authority == "localhost"
        if "ssl-cipher" in VARIANTS[variant]:
            assert facts is not None and facts.cipher.startswith("TLS_")
            assert facts.unique_id == f"127.0.0.1-{number}".encode()


def test_haproxys_clients_without_a_certificate_have_shown_none(
    folder: Path, certificates: Certificates
) -> None:
    with (
        serving(app, 2, proxy_protocol=("127.0.0.1",)) as hubs,
        proxy(folder, "haproxy, PROXY", hubs.address) as port,
        channel(port, certificates) as client,
    ):
        facts = one_of(hubs, client).proxied
        assert facts is not None
        assert (facts.tls, facts.certificate, facts.verified, facts.common_name) == (True, False, False, "")


def test_nginx(folder: Path, certificates: Certificates) -> None:
    with (
        serving(app, 2, proxy_protocol=("127.0.0.1",)) as hubs,
        proxy(folder, "nginx, PROXY", hubs.address) as port,
        channel(port, certificates) as client,
    ):
        found = one_of(hubs, client)
        assert found.peer.startswith("127.0.0.1:") and found.proxied is None


def test_a_proxy_that_is_not_trusted_gets_no_client_through(
    folder: Path, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with (
        serving(app, 2, proxy_protocol=("10.0.0.0/8",)) as hubs,
        proxy(folder, "haproxy, PROXY", hubs.address) as port,
        channel(port, certificates) as client,
        pytest.raises(grpc.RpcError),
    ):
        StatefulStub(client).Unary(Item(), timeout=5)
    assert "a PROXY header, which is taken only from proxies that --proxy-protocol names" in caplog.text
