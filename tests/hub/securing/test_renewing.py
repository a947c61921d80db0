"""A hub that is told to go by other files than those that it was started with."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

import actorrpc
from actorrpc.errors import ConfigError
from tests.apps.shapes import Stateful
from tests.hub.securing.clients import openssl
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
