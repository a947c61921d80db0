"""What to answer a client that does not speak HTTP/2: one polite sentence in its own protocol."""

from __future__ import annotations

from actorrpc.errors import ConnectionFault
from actorrpc.wire.frames import ErrorCode, goaway

__all__ = ["BadPreface"]

_HTTP1_BODY = b"This port speaks gRPC over HTTP/2 with prior knowledge.\n"
_HTTP1_REPLY = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_HTTP1_BODY), _HTTP1_BODY)
)
#: How PROXY headers begin, of versions 1 and 2: a proxy of which this server has not been told.
_PROXY_HEADERS = (b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n")
#: A fatal alert, protocol_version (RFC 8446, 6): a TLS client then names the cause.
_TLS_ALERT = b"\x15\x03\x01\x00\x02\x02\x46"


class BadPreface(ConnectionFault):
    """The first bytes were not HTTP/2's. ``answer`` is what to send before closing, and nothing before it.

    The first byte alone decides what it is, so that it does not depend on how many bytes came at once.
    """

    def __init__(self, received: bytes) -> None:
        if received[:1] == b"\x16":
            what, self.answer = "TLS, where this port has none", _TLS_ALERT
        elif received[:1].isupper():  # as HTTP's methods do; or it is a person, who can read the answer
            what, self.answer = f"{received[:16]!r}, as HTTP/1.x does", _HTTP1_REPLY
        else:
            what, self.answer = f"{received[:16]!r}", goaway(0, ErrorCode.PROTOCOL_ERROR, b"not HTTP/2")
        if any(received[: len(begin)] == begin[: len(received)] for begin in _PROXY_HEADERS):
            what = "a PROXY header, which is taken only from proxies that --proxy-protocol names"
        super().__init__(ErrorCode.PROTOCOL_ERROR, f"the client does not speak HTTP/2: it sent {what}")
