"""The keys of keyed actors: what may be one, and which actor a call is for.

A key is a non-empty ``str`` of at most 256 bytes of UTF-8. What is wrong with the key of a call is the status
of the call.
"""

from __future__ import annotations

from google.protobuf.message import Message

from actorrpc.errors import RpcError, StatusCode
from actorrpc.metadata import Metadata
from actorrpc.service import Keyed, KeyFrom

__all__ = ["BINARY", "LONGEST", "TEXT", "check_key", "key_in", "key_of_call"]

#: Bytes of a key.
LONGEST = 256

#: The metadata that has the key of a call: printable ASCII, and bytes of UTF-8.
TEXT = "actor-key"
BINARY = "actor-key-bin"


def check_key(key: str, what: str = "a key") -> None:
    """Raise RpcError with INVALID_ARGUMENT for what cannot be a key; TypeError for what is no str.

    ``what`` is what the caller calls it.
    """
    if not isinstance(key, str):
        raise TypeError(f"{what} must be a str, not {key!r}")
    if not key:
        raise _invalid(f"{what} must not be empty")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise _invalid(f"{what} is not Unicode") from None
    if size > LONGEST:
        raise _invalid(f"{what} is too long: {size} bytes of UTF-8, and at most {LONGEST} may be")


def key_in(keyed: Keyed, message: Message | None) -> str:
    """The key in a call's first message, which is in the field ``keyed.field``.

    None: the client has half-closed before it sent any. Raises RpcError with INVALID_ARGUMENT for no key, or
    for what cannot be one; metadata is not looked at.
    """
    where = f"the field {keyed.field}"
    if message is None:
        raise _invalid(f"{where} of the first message has the actor's key, and no message was sent")
    key: str = getattr(message, keyed.field)
    check_key(key, f"{where} of {message.DESCRIPTOR.full_name}, which is the actor's key,")
    return key


def key_of_call(keyed: Keyed, metadata: Metadata, identity: str) -> str:
    """The key of a call whose requests have none: its ``identity``, or in its metadata.

    Raises RpcError: INVALID_ARGUMENT for no key, two keys, or what cannot be one; UNAUTHENTICATED where it is
    the identity, and there is none.
    """
    if keyed.key_from is not KeyFrom.IDENTITY:
        return _in_metadata(metadata)
    if not identity:
        raise RpcError(
            StatusCode.UNAUTHENTICATED,
            "the actor's key is the caller's identity, and the call has none: send credentials",
        )
    check_key(identity, "the identity, which is the actor's key,")
    return identity


def _in_metadata(metadata: Metadata) -> str:
    text, binary = _single(metadata, TEXT), _single(metadata, BINARY)
    if text is None and binary is None:
        raise _invalid(f"the actor's key is missing: send it in the metadata {TEXT}, or {BINARY}")
    keys = {
        _checked(_text(value), name) for name, value in ((TEXT, text), (BINARY, binary)) if value is not None
    }
    if len(keys) > 1:
        raise _invalid(f"the metadata {TEXT} and {BINARY} are not the same key: send one of them")
    return keys.pop()


def _single(metadata: Metadata, name: str) -> str | bytes | None:
    values = metadata.get_all(name)
    if len(values) > 1:
        raise _invalid(f"the metadata {name} has {len(values)} values: send one key")
    return values[0] if values else None


def _checked(key: str, name: str) -> str:
    check_key(key, f"the metadata {name}")
    return key


def _text(value: str | bytes) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise _invalid(f"the metadata {BINARY} is not UTF-8") from None
    if not value.isascii():
        raise _invalid(f"the metadata {TEXT} is not ASCII: send the key's UTF-8 in {BINARY}")
    return value


def _invalid(message: str) -> RpcError:
    return RpcError(StatusCode.INVALID_ARGUMENT, message)
