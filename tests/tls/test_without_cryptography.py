"""A program that serves no TLS needs no `cryptography`; one that does is told what is missing."""

from __future__ import annotations

import sys

import pytest

from actorrpc.errors import ConfigError, SnapshotError
from actorrpc.tls import suites
from actorrpc.tls.snapshot import freeze_records, thaw_records
from tests.support.tls_client import Client


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    suites._cipher.cache_clear()


@pytest.mark.usefixtures("missing")
def test_a_connection_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'actorrpc\[tls\]'"):
        Client().server().send(b"data")


@pytest.mark.usefixtures("missing")
def test_a_move_to_a_hub_without_it_is_refused() -> None:
    snapshot = freeze_records(Client().server())
    with pytest.raises(SnapshotError, match=r"pip install 'actorrpc\[tls\]'"):
        thaw_records(snapshot)
