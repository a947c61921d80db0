"""Files that are wrong are refused with the reason; those that soon will be are warned of."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from actorrpc.errors import ConfigError
from actorrpc.tls.handshake.contexts import Contexts
from actorrpc.tls.handshake.key_log import KeyLog
from actorrpc.tls.handshake.settings import Tls
from tests.support.certificates import Authority, Pair

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (lambda: Tls(["a", "b"], ["a"]), "each TLS certificate needs a key: 2 and 1 are given"),
        (lambda: Tls([], []), "each TLS certificate needs a key: 0 and 0 are given"),
        (lambda: Tls("a", "b", minimum="1.1"), "the least version of TLS is one of 1.2, 1.3, not '1.1'"),
        (
            lambda: Tls("a", "b", client="some"),
            "clients' certificates are one of none, optional, required, not",
        ),
        (lambda: Tls("a", "b", client="required"), "clients' certificates are required, and no CA is given"),
    ],
)
def test_settings_that_do_not_fit(given: Callable[[], Tls], why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        given()
    assert str(caught.value).startswith(why)


def test_what_clients_have_to_show() -> None:
    assert Tls("a", "b").clients == "none"
    assert Tls("a", "b", "ca").clients == "required"
    assert Tls("a", "b", "ca", "none").clients == "none"
    assert Tls("a", "b").pairs == (("a", "b"),)


@pytest.fixture
def files(tmp_path: Path, authority: Authority, server_pair: Pair) -> dict[str, str]:
    other = authority.sign("other")
    locked = authority.sign("locked", password=b"secret")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    empty = tmp_path / "empty.pem"
    empty.touch()
    return {
        "cert": server_pair.cert,
        "key": server_pair.key,
        "ca": authority.file,
        "other": other.key,
        "locked cert": locked.cert,
        "locked": locked.key,
        "garbage": str(garbage),
        "empty": str(empty),
        "nothing": str(tmp_path / "nothing.pem"),
        "folder": str(tmp_path),
    }


@pytest.mark.parametrize(
    ("cert", "key", "ca", "why"),
    [
        ("nothing", "key", None, "the certificate {nothing} cannot be read: No such file or directory"),
        ("folder", "key", None, "the certificate {folder} cannot be read: Is a directory"),
        ("garbage", "key", None, "{garbage} has no certificate in PEM"),
        ("empty", "key", None, "{empty} has no certificate in PEM"),
        ("key", "key", None, "{key} has no certificate in PEM"),
        ("cert", "nothing", None, "{nothing} is not there"),
        ("cert", "other", None, "the key {other} is not that of the certificate {cert}"),
        ("cert", "cert", None, "the certificate {cert} or its key {cert} cannot be used: "),
        ("cert", "empty", None, "the certificate {cert} or its key {empty} cannot be used: "),
        ("locked cert", "locked", None, "the key {locked} is encrypted, and nobody can be asked for its"),
        ("cert", "key", "nothing", "the CA of clients {nothing} cannot be used: No such file or directory"),
        ("cert", "key", "garbage", "the CA of clients {garbage} cannot be used: "),
        ("cert", "key", "empty", "the CA of clients {empty} cannot be used: "),
    ],
)
def test_files_that_are_wrong(
    log: KeyLog, files: dict[str, str], cert: str, key: str, ca: str | None, why: str
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigError) as caught:
        Contexts(Tls(files[cert], files[key], files[ca] if ca else None), log)
    assert str(caught.value).startswith(why.format(**files))
    assert "\n" not in str(caught.value)
    del caught
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_operator_is_warned(log: KeyLog, authority: Authority) -> None:
    pair = authority.sign("warned", days=20)
    contexts = Contexts(Tls(pair.cert, pair.key), log)
    now = datetime.now(timezone.utc)
    assert contexts.warnings() == []
    assert contexts.warnings(now + 10 * DAY) == [
        f"the certificate {pair.cert} expires on {now + 20 * DAY:%Y-%m-%d}, in 9 days"
    ]
    assert contexts.warnings(now + 21 * DAY) == [
        f"the certificate {pair.cert} has expired, on {now + 20 * DAY:%Y-%m-%d}"
    ]
    [early] = contexts.warnings(now - 2 * DAY)
    assert early.startswith(f"the certificate {pair.cert} is not valid before ")
    os.chmod(pair.key, 0o644)
    assert contexts.warnings() == [
        f"the key {pair.key} can be used by every user of this machine: its mode is 644"
    ]
