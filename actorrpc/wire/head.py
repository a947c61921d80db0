"""The head of a request: header fields checked and read as gRPC reads them.

A client repeats itself: the fields of two calls of one method differ at most in ``grpc-timeout``. So that
one is taken out, and what the others mean is remembered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from actorrpc.errors import StatusCode, StreamFault
from actorrpc.wire.frames import ErrorCode
from actorrpc.wire.hpack import Field

__all__ = ["Refusal", "RequestHead", "check_trailers", "parse_head", "parse_timeout"]

_NAME = re.compile(r":?[!#$%&'*+.^_`|~0-9a-z-]+")  # a token (RFC 9110, 5.6.2) in lower case
_BAD_VALUE = re.compile(r"[\0\r\n]|^[ \t]|[ \t]$")
_PSEUDO = frozenset((":method", ":scheme", ":path", ":authority"))
_CONNECTION_SPECIFIC = frozenset(
    ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
)

#: Seconds in each TimeoutUnit (PROTOCOL-HTTP2, "Timeout").
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT = re.compile(r"[0-9]{1,8}[HMSmun]", re.ASCII)

#: Heads remembered by their fields, shared by all connections; emptied when full.
_memo: dict[tuple[Field, ...], RequestHead] = {}
_MEMO_ENTRIES = 1024
_MEMO_BYTES = 2048


@dataclass(frozen=True)
class Refusal:
    """Why a well-formed request is not a call: answered with ``http`` if that is not 200, else a status."""

    http: int
    status: StatusCode
    message: str


class RequestHead:
    """What the fields of a request say. Shared between the calls that sent the same; never changed."""

    __slots__ = ("fields", "path", "refusal", "size")

    def __init__(self, fields: tuple[Field, ...], path: str, size: int, refusal: Refusal | None) -> None:
        self.fields = fields
        self.path = path
        #: As SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113, 6.5.2).
        self.size = size
        self.refusal = refusal

    def __repr__(self) -> str:
        return f"<RequestHead {self.path} {len(self.fields)} fields>"


def parse_head(fields: tuple[Field, ...]) -> tuple[RequestHead, str]:
    """The head, and the text of ``grpc-timeout`` ("" if there is none).

    Raises StreamFault for a malformed request (RFC 9113, 8.1.1).
    """
    timeout = ""
    for position, (name, value) in enumerate(fields):
        if name == "grpc-timeout" and 1 < len(value) < 10:  # of another length, it is left in and refused
            timeout = value
            fields = fields[:position] + fields[position + 1 :]
            if position < len(_PSEUDO) and fields[position:] and fields[position][0][:1] == ":":
                raise _malformed("pseudo-header after grpc-timeout")
            break
    head = _memo.get(fields)
    if head is None:
        head = _parse(fields)
        if head.size <= _MEMO_BYTES:
            if len(_memo) >= _MEMO_ENTRIES:
                _memo.clear()
            _memo[fields] = head
    return head, timeout


def parse_timeout(text: str) -> float | None:
    """Seconds; None if the text is no timeout."""
    if not _TIMEOUT.fullmatch(text):
        return None
    return int(text[:-1]) * _UNITS[text[-1]]


def check_trailers(fields: tuple[Field, ...]) -> None:
    """Raise StreamFault for malformed trailers (RFC 9113, 8.1). What they say is nothing to gRPC."""
    for field in dict.fromkeys(fields):
        _check(field)
        if field[0][:1] == ":":
            raise _malformed(f"pseudo-header {field[0]!r} in trailers")


def _parse(fields: tuple[Field, ...]) -> RequestHead:
    pseudo: dict[str, str] = {}
    ordinary: dict[str, str] = {}
    size = 0
    for field in dict.fromkeys(fields):  # once each: a block can repeat a field of 4 kB 16,000 times
        _check(field)
    for name, value in fields:
        size += len(name) + len(value) + 32
        if name[:1] != ":":
            ordinary[name] = value
        elif ordinary or name in pseudo or name not in _PSEUDO:
            raise _malformed(f"pseudo-header {name!r} that is late, repeated or unknown")
        else:
            pseudo[name] = value
    method, path = pseudo.get(":method"), pseudo.get(":path")
    if not method or not path or not pseudo.get(":scheme"):
        raise _malformed("request without :method, :scheme or :path")
    return RequestHead(fields, path, size, _refusal(method, ordinary))


def _check(field: Field) -> None:
    """Raise StreamFault for a field that HTTP/2 forbids anywhere (RFC 9113, 8.2)."""
    name, value = field
    if not _NAME.fullmatch(name):
        raise _malformed(f"header name {name!r}")
    if name in _CONNECTION_SPECIFIC or (name == "te" and value != "trailers"):
        raise _malformed(f"connection-specific header {name!r}")
    if _BAD_VALUE.search(value):
        raise _malformed(f"value of header {name!r}")


def _malformed(what: str) -> StreamFault:
    return StreamFault(ErrorCode.PROTOCOL_ERROR, f"malformed request: {what}")


def _refusal(method: str, headers: dict[str, str]) -> Refusal | None:
    if method != "POST":
        return Refusal(405, StatusCode.INTERNAL, f"gRPC calls are POST requests, not {method}")
    content_type = headers.get("content-type", "")
    if not content_type.startswith("application/grpc") or content_type[16:17] not in ("", "+", ";"):
        return Refusal(415, StatusCode.INTERNAL, f"not a gRPC content-type: {content_type!r}")
    if "grpc-timeout" in headers:
        return Refusal(200, StatusCode.INTERNAL, "grpc-timeout is malformed, or was sent more than once")
    encoding = headers.get("grpc-encoding", "identity")
    if encoding != "identity":
        return Refusal(
            200, StatusCode.UNIMPLEMENTED, f"grpc-encoding {encoding[:32]!r} is not supported: use identity"
        )
    return None
