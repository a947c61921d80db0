"""Settings: what they may be, and how they travel between processes whose versions may differ."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from actorrpc.config import Config, settings
from actorrpc.errors import ConfigError
from actorrpc.tls.handshake.settings import Tls


def test_each_field_is_a_setting_and_says_what_it_is_for() -> None:
    assert [each.name for each in settings()] == [field.name for field in fields(Config)]
    for each in settings():
        assert each.help.endswith(".")
        assert (each.unit == "seconds") == isinstance(each.default, float)
        assert (each.unit == "bytes") == (each.name.endswith("_bytes") or each.name == "max_memory")
        each.check(each.default)


NO_CERTIFICATE = "clients cannot show certificates without one of the server: give tls_cert, tls_key"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"max_connections": -1}, "max_connections must not be negative: -1"),
        ({"drain_timeout": -0.5}, "drain_timeout must not be negative: -0.5"),
        ({"stream_window_bytes": 1}, "stream_window_bytes must be from 65,535 to 2,147,483,647: 1"),
        ({"max_unsent_bytes": 2**32}, "max_unsent_bytes must be from 0 to 4,294,967,295: 4294967296"),
        ({"tls_cert": "a"}, "each TLS certificate needs a key: 1 and 0 are given"),
        ({"tls_key": ["a", "b"]}, "each TLS certificate needs a key: 0 and 2 are given"),
        ({"tls_client_ca": "a"}, NO_CERTIFICATE),
        ({"tls_client": "optional"}, NO_CERTIFICATE),
        (
            {"tls_cert": "a", "tls_key": "b", "tls_client": "required"},
            "clients' certificates are required, and no CA is given that signs them",
        ),
        ({"tls_client": "perhaps"}, "tls_client must be none, optional or required, not 'perhaps'"),
        ({"tls_min": "1.1"}, "tls_min must be 1.2 or 1.3, not '1.1'"),
        ({"shared_connections": "allow"}, "shared_connections must be warn or refuse, not 'allow'"),
    ],
)
def test_what_a_setting_cannot_be(given: dict[str, Any], error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**given)
    assert str(caught.value) == error


OTHER = Config(
    max_parsed_hub_bytes=2**50 + 1, drain_timeout=7, compression=False, shared_connections="refuse"
)


def test_a_config_arrives_as_it_was_sent() -> None:
    arrived = Config.from_message(Struct.FromString(OTHER.to_message().SerializeToString()))
    assert arrived == OTHER
    assert [type(getattr(arrived, each.name)) for each in settings()] == [
        type(each.default) for each in settings()
    ]


def test_what_a_config_says_of_tls() -> None:
    assert Config().tls is None and Config(tls_client="none").tls is None
    config = Config(tls_cert=["a", "b"], tls_key=("c", "d"), tls_client_ca="ca", tls_min="1.2")
    tls = Tls(("a", "b"), ("c", "d"), "ca", minimum="1.2")
    assert config.tls == tls and tls.clients == "required"
    assert Config.from_message(config.to_message()) == config
    assert config.with_tls(None) is config
    other = Config(max_mailbox=3).with_tls(tls)
    assert other.tls is not None and other.tls.pairs == tls.pairs and other.tls.clients == "required"
    assert other.max_mailbox == 3 and other.tls_min == "1.2"
    moved = Config(tls_cert="a", tls_key="/b", tls_client_ca="c").with_paths_from("/etc")
    assert (moved.tls_cert, moved.tls_key, moved.tls_client_ca) == (("/etc/a",), ("/b",), "/etc/c")
    assert Config().with_paths_from("/etc") == Config()


def test_a_setting_that_the_sender_does_not_know_has_its_default() -> None:
    message = Config(max_mailbox=7, flood_rate=3).to_message()
    del message["max_mailbox"]
    assert Config.from_message(message) == Config(flood_rate=3)


def test_a_setting_that_only_the_sender_knows_is_ignored() -> None:
    message = OTHER.to_message()
    message["of_a_later_version"] = "on"
    assert Config.from_message(message) == OTHER
