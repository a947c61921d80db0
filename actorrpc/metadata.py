"""gRPC metadata: what users see of headers and trailers (PROTOCOL-HTTP2, "Requests", Custom-Metadata)."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["Metadata", "Pairs", "decode_pairs", "encode_metadata", "encode_request"]

Value = str | bytes
#: Keys and values in their order, as clients have metadata.
Pairs = tuple[tuple[str, Value], ...]

_NAME = re.compile(r"[0-9a-z_.-]+")
_PRINTABLE = re.compile(r"[ -~]*")

#: Header names that are the protocol's, not the user's.
_RESERVED = frozenset(
    (
        "connection",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    )
)
#: The names that begin with "grpc-" and tell a handler something: which attempt of a retried call it serves
#: (gRFC A6). Those that end in "-bin" carry a client's traces and tags; all others are the protocol's.
_SHOWN = frozenset(("grpc-previous-rpc-attempts",))


class Metadata(Mapping[str, Value]):
    """Read-only metadata: keys in lower case; values ``str``, or ``bytes`` where the key ends in ``-bin``.

    A key may come more than once: ``metadata[key]`` and ``get`` give its first value, ``get_all`` all.
    """

    __slots__ = ("_values",)

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[Value]] = {}
        for name, value in fields:
            if not _is_shown(name):
                continue
            self._values.setdefault(name, []).extend(_decode(name, value))

    def __getitem__(self, key: str) -> Value:
        return self._values[key][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get_all(self, key: str) -> tuple[Value, ...]:
        """All values of a key, in the order received; empty if there is none."""
        return tuple(self._values.get(key, ()))

    def __repr__(self) -> str:
        return f"Metadata({self._values!r})"


def _is_shown(name: str) -> bool:
    """Whether a handler sees a request's header of that name."""
    if name[0] == ":" or name in _RESERVED:
        return False
    return not name.startswith("grpc-") or name in _SHOWN or name.endswith("-bin")


def _is_sent(name: str) -> bool:
    """Whether a handler may give metadata of that name."""
    return name not in _RESERVED and (not name.startswith("grpc-") or name == "grpc-status-details-bin")


def _decode(name: str, value: str) -> list[Value]:
    if not name.endswith("-bin"):
        return [value]
    return [_decode_base64(part.strip()) for part in value.split(",")]


def _decode_base64(text: str) -> bytes:
    """Padded or not (both must be accepted). What is not base64 is thrown away rather than refused."""
    try:
        return b64decode(text + "=" * (-len(text) % 4))
    except (Base64Error, ValueError):
        return b""


def decode_pairs(fields: Iterable[tuple[bytes, bytes]]) -> Pairs:
    """What a handler has sent, as it was sent, from header fields."""
    named = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
    return tuple((name, value) for name, text in named for value in _decode(name, text))


def encode_metadata(metadata: Mapping[str, Value | Iterable[Value]]) -> list[tuple[bytes, bytes]]:
    """Metadata as header fields. A value may be a list or tuple of values: the key is then repeated.

    Raises ValueError for a name that is reserved or not in the form of "Header-Name", and for a ``str``
    that is not printable ASCII; TypeError for a value of the wrong type.
    """
    return _encode_all(metadata, _is_sent)


def encode_request(metadata: Mapping[str, Value | Iterable[Value]]) -> list[tuple[bytes, bytes]]:
    """A client's metadata as header fields: any name that ``Metadata`` shows is allowed."""
    return _encode_all(metadata, _is_shown)


def _encode_all(
    metadata: Mapping[str, Value | Iterable[Value]], allows: Callable[[str], bool]
) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    for name, value in metadata.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"metadata key {name!r}: use lower-case letters, digits, '_', '-' and '.'")
        if not allows(name):
            raise ValueError(f"metadata key {name!r} is reserved for the protocol")
        values = value if isinstance(value, (list, tuple)) else (value,)
        fields.extend((name.encode(), _encode(name, each)) for each in values)
    return fields


def _encode(name: str, value: object) -> bytes:
    if name.endswith("-bin"):
        if not isinstance(value, bytes):
            raise TypeError(f"metadata key {name!r} ends in -bin: its value must be bytes, not {value!r}")
        return b64encode(value).rstrip(b"=")
    if not isinstance(value, str):
        raise TypeError(
            f"metadata key {name!r}: its value must be str, not {value!r} (bytes need a -bin key)"
        )
    if not _PRINTABLE.fullmatch(value):
        raise ValueError(f"metadata key {name!r}: {value!r} is not printable ASCII (use a -bin key)")
    return value.strip(" ").encode()
