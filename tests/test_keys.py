"""The key of a call: where it is, and what is said where it is missing, or wrong."""

from __future__ import annotations

from base64 import b64encode

import pytest

from actorrpc import Keyed, KeyFrom, Metadata, RpcError, StatusCode
from actorrpc.keys import LONGEST, check_key, key_in, key_of_call
from tests.apps.shapes_pb2 import Item

IN_METADATA = Keyed()
IN_FIELD = Keyed(field="text")
OF_IDENTITY = Keyed(key_from=KeyFrom.IDENTITY)

#: One of two bytes in UTF-8, one of four.
TWO, FOUR = "\u00fc", "\U0001f600"


def binary(*keys: bytes) -> tuple[str, str]:
    return "actor-key-bin", ",".join(b64encode(key).rstrip(b"=").decode() for key in keys)


@pytest.mark.parametrize(
    "key",
    ["a", " ", "x" * LONGEST, TWO * (LONGEST // 2), FOUR * (LONGEST // 4), "a/b,c\n\0", "0"],
)
def test_what_may_be_a_key(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("", "a key must not be empty"),
        ("x" * (LONGEST + 1), "a key is too long: 257 bytes of UTF-8, and at most 256 may be"),
        (TWO * (LONGEST // 2) + "x", "a key is too long: 257 bytes of UTF-8, and at most 256 may be"),
        ("a\ud800", "a key is not Unicode"),
    ],
)
def test_what_may_not(key: str, complaint: str) -> None:
    with pytest.raises(RpcError) as raised:
        check_key(key)
    assert (raised.value.code, raised.value.message) == (StatusCode.INVALID_ARGUMENT, complaint)


@pytest.mark.parametrize("key", [None, 5, b"lobby"])
def test_no_client_gives_anything_but_text(key: object) -> None:
    with pytest.raises(TypeError, match="a key must be a str, not"):
        check_key(key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ([("actor-key", "lobby")], "lobby"),
        ([("actor-key", "a, b")], "a, b"),
        ([binary(b"lobby")], "lobby"),
        ([binary(f"caf{TWO}{FOUR}".encode())], f"caf{TWO}{FOUR}"),
        ([binary(b" padded ")], " padded "),
        ([("actor-key", "lobby"), binary(b"lobby")], "lobby"),
        ([("x-actor-key", "no"), ("actor-key", "yes"), ("key", "no")], "yes"),
    ],
)
def test_a_key_in_the_metadata(fields: list[tuple[str, str]], key: str) -> None:
    assert key_of_call(IN_METADATA, Metadata(fields), "ada") == key


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ([], "the actor's key is missing: send it in the metadata actor-key, or actor-key-bin"),
        ([("key", "a")], "the actor's key is missing: send it in the metadata actor-key, or actor-key-bin"),
        ([("actor-key", "")], "the metadata actor-key must not be empty"),
        ([binary(b"")], "the metadata actor-key-bin must not be empty"),
        ([("actor-key", ""), binary(b"a")], "the metadata actor-key must not be empty"),
        ([("actor-key", "a"), binary(b"")], "the metadata actor-key-bin must not be empty"),
        ([("actor-key", "a"), ("actor-key", "a")], "the metadata actor-key has 2 values: send one key"),
        ([binary(b"a", b"a", b"a")], "the metadata actor-key-bin has 3 values: send one key"),
        (
            [("actor-key", "a"), binary(b"b")],
            "the metadata actor-key and actor-key-bin are not the same key: send one of them",
        ),
        (
            [("actor-key", "caf\u00e9")],
            "the metadata actor-key is not ASCII: send the key's UTF-8 in actor-key-bin",
        ),
        ([binary(b"caf\xe9")], "the metadata actor-key-bin is not UTF-8"),
        (
            [("actor-key", "x" * 257)],
            "the metadata actor-key is too long: 257 bytes of UTF-8, and at most 256 may be",
        ),
        (
            [binary(b"x" * 300)],
            "the metadata actor-key-bin is too long: 300 bytes of UTF-8, and at most 256 may be",
        ),
    ],
)
def test_no_key_in_the_metadata(fields: list[tuple[str, str]], complaint: str) -> None:
    with pytest.raises(RpcError) as raised:
        key_of_call(IN_METADATA, Metadata(fields), "ada")
    assert (raised.value.code, raised.value.message) == (StatusCode.INVALID_ARGUMENT, complaint)


def test_the_identity_is_the_key() -> None:
    assert key_of_call(OF_IDENTITY, Metadata([("actor-key", "eve")]), "ada") == "ada"


def test_nobody_is_not_authenticated() -> None:
    with pytest.raises(RpcError) as raised:
        key_of_call(OF_IDENTITY, Metadata([("actor-key", "eve")]), "")
    assert (raised.value.code, raised.value.message) == (
        StatusCode.UNAUTHENTICATED,
        "the actor's key is the caller's identity, and the call has none: send credentials",
    )


def test_an_identity_may_be_too_long_for_a_key() -> None:
    with pytest.raises(RpcError) as raised:
        key_of_call(OF_IDENTITY, Metadata([]), "x" * 257)
    assert (raised.value.code, raised.value.message) == (
        StatusCode.INVALID_ARGUMENT,
        "the identity, which is the actor's key, is too long: 257 bytes of UTF-8, and at most 256 may be",
    )


@pytest.mark.parametrize("key", ["lobby", TWO * 128, " "])
def test_a_key_in_a_field(key: str) -> None:
    assert key_in(IN_FIELD, Item(text=key, number=5)) == key


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (
            Item(number=5),
            "the field text of shapes.Item, which is the actor's key, must not be empty",
        ),
        (
            Item(text=FOUR * 65),
            "the field text of shapes.Item, which is the actor's key, is too long: 260 bytes of UTF-8, "
            "and at most 256 may be",
        ),
        (None, "the field text of the first message has the actor's key, and no message was sent"),
    ],
)
def test_no_key_in_a_field(message: Item | None, complaint: str) -> None:
    with pytest.raises(RpcError) as raised:
        key_in(IN_FIELD, message)
    assert (raised.value.code, raised.value.message) == (StatusCode.INVALID_ARGUMENT, complaint)
