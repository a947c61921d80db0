"""A hub that is told to go by other files than those that it was started with."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import actorrpc
from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.hub.securing.serving import handshakes_of
from tests.apps.shapes import Stateful
from tests.hub.securing.clients import dial, openssl
from tests.support.certificates import Authority, Pair
from tests.support.hubs import Hubs, serving

APP = actorrpc.App([Stateful])


def served(hubs: Hubs, authority: Authority) -> str:
    """The names of the certificate that a new client sees."""
    with openssl(hubs.address, authority) as client:
        found: Any = client.getpeercert()
        return str(found["subject"][0][0][1])


def test_other_files_are_gone_by_from_then_on(pair: Pair, authority: Authority, tmp_path: Path) -> None:
    other = authority.sign("another", ["localhost"])
    with serving(APP, tls_cert=pair.cert, tls_key=pair.key) as hubs:
        node = hubs.nodes[0]
        assert served(hubs, authority) == "localhost"
        hubs.ask(lambda: node.renew_tls(actorrpc.Tls(other.cert, other.key)))
        assert served(hubs, authority) == "another"
        hubs.ask(node.renew_tls)
        assert served(hubs, authority) == "another", "they are those that are read again"
        with pytest.raises(ConfigError, match="No such file"):
            hubs.ask(lambda: node.renew_tls(actorrpc.Tls(str(tmp_path / "none"), other.key)))
        assert served(hubs, authority) == "another"
        hubs.ask(node.renew_tls)


def test_a_hub_without_a_certificate_closes_who_comes_for_tls(caplog: pytest.LogCaptureFixture) -> None:
    with serving(APP) as hubs:
        node = hubs.nodes[0]
        node.reception.tls = frozenset({0})
        listener = socket.create_server(("127.0.0.1", 0))
        hubs.ask(lambda: node.reception.listen(listener.dup()))
        with listener, closing(dial("{}:{}".format(*listener.getsockname()))) as sock:
            assert sock.recv(1) == b""
        with pytest.raises(ConfigError, match="TLS is not served here"):
            hubs.ask(lambda: node.renew_tls(actorrpc.Tls("cert", "key")))
    assert "TLS is not served here: there is no certificate (from 127.0.0.1:" in caplog.text


def test_files_that_are_wrong_leave_no_descriptor_behind(tmp_path: Path) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).write_text("nothing")
    config = Config(tls_cert=str(tmp_path / "cert"), tls_key=str(tmp_path / "key"))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ConfigError):
        handshakes_of(config, lambda *served: None, lambda: None)
    assert os.listdir("/proc/self/fd") == before


def test_what_is_asked_of_clients_is_what_was_told(pair: Pair, authority: Authority) -> None:
    """Those that came before are judged by it as well."""
    tls = actorrpc.Tls(pair.cert, pair.key, authority.file, "required")
    with (
        serving(APP, tls_cert=pair.cert, tls_key=pair.key) as hubs,
        openssl(hubs.address, authority) as client,
    ):
        node = hubs.nodes[0]
        hubs.wait_for(lambda: node.connections)
        hubs.ask(lambda: node.renew_tls(tls))
        hubs.wait_for(lambda: not node.connections)
        while client.recv(65536):
            pass
        with openssl(hubs.address, authority) as late, pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
            late.recv(65536)
