"""The head of a request: header fields checked and read as gRPC reads them.

A client repeats itself: the fields of two calls of one method differ in nothing but ``grpc-timeout``. So that
field is taken out, and what the others mean is remembered: in one table for all connections, and for each
connection from its last request.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from actorrpc.errors import StatusCode
from actorrpc.wire.caller import caller_of
from actorrpc.wire.compression import ENCODINGS, IDENTITY, KNOWN
from actorrpc.wire.fields import FIELD_OVERHEAD, check_fields, content_length, list_size, malformed, pairs
from actorrpc.wire.hpack import Field

__all__ = [
    "FEW_FIELDS",
    "HeadReader",
    "Refusal",
    "RequestHead",
    "freeze_head",
    "parse_timeout",
    "thaw_head",
]

_PSEUDO = frozenset((":method", ":scheme", ":path", ":authority"))

#: Seconds in each TimeoutUnit (PROTOCOL-HTTP2, "Timeout").
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT_DIGITS = 8

#: Heads by their fields, for all connections; emptied when full. A larger head is not kept.
_memo: dict[tuple[Field, ...], RequestHead] = {}
_MEMO_ENTRIES = 1024
_MEMO_BYTES = 2048

#: A list of more fields is not kept as objects, neither between calls nor while one waits: each field takes
#: 200 bytes.
FEW_FIELDS = 64

#: More than servers usually allow in a header list.
_LONGEST_TEXT = 128 * 1024


@dataclass(frozen=True)
class Refusal:
    """Why a well-formed request is not a call: answered with ``http`` if that is not 200, else a status."""

    http: int
    status: StatusCode
    message: str


@dataclass(slots=True, eq=False, repr=False)
class RequestHead:
    """What the fields of a request say. Shared between the calls that sent the same.

    Each open call has one. So the fields are kept as one text: 440 small ones take 3 kB, and as tuples 89.
    """

    #: Names and values in turn, with NUL between them, which none of them contains (RFC 9113, 8.2.1). Or the
    #: fields themselves, if the text would be long: a small block can name one entry 16,000 times.
    _packed: str | tuple[Field, ...]
    path: str
    #: As SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113, 6.5.2).
    size: int
    #: ``grpc-encoding``: what a message with the Compressed-Flag is compressed with.
    encoding: str = IDENTITY
    accept_encoding: str = ""
    refusal: Refusal | None = None
    #: How many bytes all DATA must have; None if the client does not say.
    content_length: int | None = None
    #: Whether the client may wait for an interim response before it sends DATA (RFC 9110, 10.1.1). Anything
    #: else that it expects is ignored, as nginx, Envoy and Go's HTTP/2 do: a server may refuse it with 417,
    #: and need not.
    expects_continue: bool = False
    #: What ``find_caller`` has found; None until it is called. Not a property, which would take as long as
    #: the comparison that the value is for.
    caller: bytes | None = None

    def find_caller(self) -> bytes:
        """The caller (``caller_of``), found once and then kept."""
        if self.caller is None:
            self.caller = caller_of(self.fields)
        return self.caller

    @property
    def fields(self) -> tuple[Field, ...]:
        """All but ``grpc-timeout``, in order."""
        packed = self._packed
        return pairs(packed.split("\0")) if isinstance(packed, str) else packed

    @property
    def count(self) -> int:
        """How many fields there are."""
        packed = self._packed
        return (packed.count("\0") + 1) // 2 if isinstance(packed, str) else len(packed)

    def __repr__(self) -> str:
        return f"<RequestHead {self.path} {self.count} fields>"


@dataclass(slots=True, eq=False, repr=False)
class HeadReader:
    """Reads the requests of one connection."""

    _fields: tuple[Field, ...] = ()
    _found: tuple[RequestHead, str] | None = None
    #: Where ``grpc-timeout`` was among the fields; -1 if nowhere.
    _timeout_at: int = -1

    def read(self, fields: tuple[Field, ...]) -> tuple[RequestHead, str]:
        """The head, and the text of ``grpc-timeout`` ("" if there is none).

        Raises StreamFault for a malformed request (RFC 9113, 8.1.1). Fast where nothing but the timeout
        differs from the last time: the fields are the same objects then, from HPACK's tables, so it takes
        little time to compare them.
        """
        last, found = self._fields, self._found
        if fields is last and found is not None:
            return found
        at = self._timeout_at
        if (
            found is not None
            and 0 <= at < len(fields)
            and _is_timeout(fields[at])
            and fields[:at] == last[:at]
            and fields[at + 1 :] == last[at + 1 :]
        ):
            found = (found[0], fields[at][1])
        else:
            at = _timeout_at(fields)
            found = _read(fields, at)
            self._timeout_at = at
        if len(fields) <= FEW_FIELDS:
            self._fields, self._found = fields, found
        else:
            self._fields, self._found = (), None
        return found


def _is_timeout(field: Field) -> bool:
    """Whether it looks like a timeout. If not, it stays among the fields, and is refused with them."""
    return field[0] == "grpc-timeout" and 1 < len(field[1]) <= _TIMEOUT_DIGITS + 1 and field[1].isalnum()


def _timeout_at(fields: tuple[Field, ...]) -> int:
    """Where the timeout is, or -1."""
    for position, field in enumerate(fields):
        if _is_timeout(field):
            return position
    return -1


def _read(fields: tuple[Field, ...], at: int) -> tuple[RequestHead, str]:
    """The head and the timeout's text, where it is known at which position that is."""
    timeout = ""
    if at >= 0:
        timeout = fields[at][1]
        fields = fields[:at] + fields[at + 1 :]
        if at < len(_PSEUDO) and fields[at:] and fields[at][0][:1] == ":":
            raise malformed("pseudo-header after grpc-timeout")
    head = _memo.get(fields)
    if head is None:
        head = _parse(fields)
        _remember(fields, head)
    return head, timeout


def _remember(fields: tuple[Field, ...], head: RequestHead) -> None:
    if head.size <= _MEMO_BYTES:
        if len(_memo) >= _MEMO_ENTRIES:
            _memo.clear()
        _memo[fields] = head


def parse_timeout(text: str) -> float | None:
    """Seconds; None if the text is not a timeout."""
    digits = text[:-1]
    unit = _UNITS.get(text[-1:])
    if unit is None or len(digits) > _TIMEOUT_DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits) * unit


def freeze_head(head: RequestHead) -> bytes:
    """The head as it is kept, for a snapshot. (Protobuf strings took 80 µs for 440 fields.)"""
    packed = head._packed
    return (packed if isinstance(packed, str) else "\0".join(chain.from_iterable(packed))).encode("latin-1")


def thaw_head(packed: bytes) -> RequestHead:
    """The head that ``freeze_head`` saw. It was checked when it came, and is not checked again: that would
    take 400 µs for 440 fields, where this takes 60.

    Raises ValueError for a name without a value, and for what is not a request.
    """
    fields = pairs(packed.decode("latin-1").split("\0"))
    head = _memo.get(fields) if len(packed) <= _MEMO_BYTES else None
    if head is not None:
        return head
    values = dict(fields)  # the last one of a name, as `_parse` takes it
    if not values.get(":path"):
        raise ValueError("a head without a path")
    # As `list_size` counts: without the NULs, which are one less than the texts.
    size = len(packed) + 1 + (FIELD_OVERHEAD - 2) * len(fields)
    head = _make(fields, values[":path"], size, values.get(":method", ""), values)
    _remember(fields, head)
    return head


def _parse(fields: tuple[Field, ...]) -> RequestHead:
    pseudo: dict[str, str] = {}
    ordinary: dict[str, str] = {}
    check_fields(fields)
    for name, value in fields:
        if name[:1] != ":":
            ordinary[name] = value
        elif ordinary or name in pseudo or name not in _PSEUDO:
            raise malformed(f"pseudo-header {name!r} that is late, repeated or unknown")
        else:
            pseudo[name] = value
    method, path = pseudo.get(":method"), pseudo.get(":path")
    if not method or not path or not pseudo.get(":scheme"):
        raise malformed("request without :method, :scheme or :path")
    return _make(fields, path, list_size(fields), method, ordinary)


def _make(
    fields: tuple[Field, ...], path: str, size: int, method: str, ordinary: dict[str, str]
) -> RequestHead:
    return RequestHead(
        "\0".join(chain.from_iterable(fields)) if size <= _LONGEST_TEXT else fields,
        path,
        size,
        ordinary.get("grpc-encoding", IDENTITY),
        ordinary.get("grpc-accept-encoding", ""),
        _refusal(method, ordinary),
        content_length(fields) if "content-length" in ordinary else None,
        "expect" in ordinary and _has_token(ordinary["expect"], "100-continue"),
    )


def _has_token(value: str, token: str) -> bool:
    """Whether a list (RFC 9110, 5.6.1) has a token, in upper or lower case."""
    return token in [each.strip().lower() for each in value.split(",")]


def _refusal(method: str, headers: dict[str, str]) -> Refusal | None:
    if method != "POST":
        return Refusal(405, StatusCode.INTERNAL, f"gRPC calls are POST requests, not {method}")
    content_type = headers.get("content-type", "")
    if not content_type.startswith("application/grpc") or content_type[16:17] not in ("", "+", ";"):
        return Refusal(415, StatusCode.INTERNAL, f"not a gRPC content-type: {content_type!r}")
    if "grpc-timeout" in headers:
        return Refusal(200, StatusCode.INTERNAL, "grpc-timeout is malformed, or was sent more than once")
    encoding = headers.get("grpc-encoding", IDENTITY)
    if encoding != IDENTITY and encoding not in ENCODINGS:
        return Refusal(
            200, StatusCode.UNIMPLEMENTED, f"grpc-encoding {encoding[:32]!r} is not supported: use {KNOWN}"
        )
    return None
