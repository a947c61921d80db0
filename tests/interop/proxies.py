"""Proxies in front of a server, with the very configurations that docs/operate/proxies.md gives."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc

from tests.support.processes import ROOT
from tests.support.programs import program
from tests.support.waiting import PATIENCE, until

__all__ = ["CONFIGS", "Proxy", "proxy"]

PAGE = ROOT / "docs" / "operate" / "proxies.md"
#: What is wrapped in the page in ``<!-- name -->`` and a fence.
CONFIGS: dict[str, str] = dict(re.findall(r"^<!-- (.+?) -->\n```\n(.*?)^```$", PAGE.read_text(), re.M | re.S))

#: nginx's own part of every configuration: one process, whose files are where the test's are.
NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/log;
{modules}
events {{ }}
{config}
"""
NGINX_FILES = """
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
"""
#: Where distributions have it that do not build it in.
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


class Proxy:
    """A running proxy, which clients reach at a unix socket, with TLS."""

    def __init__(self, path: Path, certificate: bytes) -> None:
        self._path = path
        self._certificate = certificate

    def channel(self, **options: int | str) -> grpc.Channel:
        """A channel that shares its connection with no other."""
        return grpc.secure_channel(
            f"unix:{self._path}",
            grpc.ssl_channel_credentials(self._certificate),
            options=[
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.ssl_target_name_override", "localhost"),
                *((f"grpc.{name}", value) for name, value in options.items()),
            ],
        )


@contextmanager
def proxy(name: str, address: str, change: Callable[[str], str] = str) -> Iterator[Proxy]:
    """A proxy as the page has it under a name, in front of a server. ``change`` is done to the text."""
    kind = name.partition(",")[0]
    folder = Path(tempfile.mkdtemp(prefix="actorrpc-proxy-"))  # short, for the socket's path
    try:
        certificate = _certify(folder)
        config = _here(change(CONFIGS[name]), folder, address)
        command = _COMMANDS[kind](folder, config)
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_until_it_listens(process, folder)
            yield Proxy(folder / "socket", certificate)
        finally:
            process.kill()
            process.wait(PATIENCE)
    finally:
        shutil.rmtree(folder)


def _certify(folder: Path) -> bytes:
    """Make a certificate and its key, in one file, as the page's configurations have it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [
        program("openssl"), "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        "-days", "1", "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    (folder / "site.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
    return certificate.read_bytes()


def _here(config: str, folder: Path, address: str) -> str:
    """The configuration with this test's addresses and files."""
    meant = {
        "/etc/ssl/site.pem": f"{folder}/site.pem",
        "bind :443": f"bind unix@{folder}/socket",
        "listen 443": f"listen unix:{folder}/socket",
        "frontend=*,443": f"frontend=unix:{folder}/socket",
        "127.0.0.1:50051": address,
        "127.0.0.1,50051": address.replace(":", ","),
    }
    said = set()

    def translate(found: re.Match[str]) -> str:
        said.add(meant[found[0]])
        return meant[found[0]]

    config = re.sub("|".join(map(re.escape, meant)), translate, config)
    assert len(said) == 3, f"where it listens, the certificate, or the server is not as expected: {config}"
    return config


def _haproxy(folder: Path, config: str) -> list[str]:
    (folder / "config").write_text(config)
    return [program("haproxy"), "-db", "-f", str(folder / "config")]


def _nginx(folder: Path, config: str) -> list[str]:
    modules = f"load_module {STREAM_MODULE};" if STREAM_MODULE.exists() else ""
    config = config.replace("http {\n", "http {" + NGINX_FILES.format(folder=folder))
    (folder / "config").write_text(NGINX.format(folder=folder, modules=modules, config=config))
    return [program("nginx"), "-c", str(folder / "config"), "-e", str(folder / "log")]


def _nghttpx(folder: Path, config: str) -> list[str]:
    (folder / "config").write_text(config)
    return [program("nghttpx"), f"--conf={folder}/config", "--single-process"]


_COMMANDS: dict[str, Callable[[Path, str], list[str]]] = {
    "haproxy": _haproxy,
    "nginx": _nginx,
    "nghttpx": _nghttpx,
}


def _wait_until_it_listens(process: subprocess.Popen[bytes], folder: Path) -> None:
    def listens() -> bool:
        with closing(socket.socket(socket.AF_UNIX)) as tried:
            if tried.connect_ex(str(folder / "socket")) == 0:
                return True
        assert process.poll() is None, f"the proxy has ended: {log()}"
        return False

    def log() -> str:
        return (folder / "log").read_text()

    until(listens, told=log)
