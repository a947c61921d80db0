"""The public interoperability cases that need no cloud: their names, what each proves, and who cannot tell.

After https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md; how a case goes, step by
step, is in ``procedures.py`` for the clients in Python and in ``js/client.js`` for the one in JavaScript.
"""

from __future__ import annotations

from typing import NamedTuple

#: How often each case is run on one connection: where connections move, all but the first run begin on one
#: that has moved already.
TIMES = 3


class Flags(NamedTuple):
    """The Compressed-Flag of each message of a case on the wire, if the client can decode gzip."""

    requests: list[int]
    replies: list[int]


class Case(NamedTuple):
    proves: str
    flags: Flags | None = None


CASES = {
    "empty_unary": Case("messages of no bytes travel"),
    "large_unary": Case("messages larger than a window travel, both ways"),
    "client_compressed_unary": Case(
        "the server tells compressed requests from plain ones, and reads both",
        Flags(requests=[0, 1, 0], replies=[0, 0]),
    ),
    "server_compressed_unary": Case(
        "the server compresses the replies that are to be compressed, and no others",
        Flags(requests=[0, 0], replies=[1, 0]),
    ),
    "client_streaming": Case("many requests have one reply"),
    "client_compressed_streaming": Case(
        "on one stream, compressed and plain requests are told apart",
        Flags(requests=[0, 1, 0], replies=[0]),
    ),
    "server_streaming": Case("one request has many replies, whole and in order"),
    "server_compressed_streaming": Case(
        "on one stream, compression is switched for each reply",
        Flags(requests=[0], replies=[1, 0]),
    ),
    "ping_pong": Case("requests and replies take turns on one stream"),
    "empty_stream": Case("a stream may end without a message in either direction"),
    "custom_metadata": Case("text and binary metadata come back, as headers and as trailers"),
    "status_code_and_message": Case("a status and its message arrive, with and without a stream"),
    "special_status_message": Case("whitespace and Unicode in a status message survive"),
    "unimplemented_method": Case("a method that is not implemented is UNIMPLEMENTED"),
    "unimplemented_service": Case("a service that is not served is UNIMPLEMENTED"),
    "cancel_after_begin": Case("a call is cancelled before its first message"),
    "cancel_after_first_response": Case("a call is cancelled between messages"),
    "timeout_on_sleeping_server": Case("a deadline ends a call that would never end"),
    "rpc_soak": Case("large_unary, 20 times on one channel"),
    "channel_soak": Case("large_unary, 5 times, each on a channel of its own"),
}

#: Clients by the name of their library.
CLIENTS = ["grpcio", "grpcio.aio", "grpclib", "@grpc/grpc-js"]

_NO_COMPRESSION = "grpclib has no compression, so it cannot send a compressed message."
_INCOMPRESSIBLE = (
    "grpcio has no switch for a single message, but leaves the flag off one that would not shrink: "
    "the plain message of the stream is one of random bytes."
)
_UNCOMPRESSED = (
    "grpclib has no compression and does not offer to decode any: the server must answer it with plain "
    "messages, and does."
)

#: Cases that a client's public API cannot express.
NOT_APPLICABLE = {
    ("grpclib", "client_compressed_unary"): _NO_COMPRESSION,
    ("grpclib", "client_compressed_streaming"): _NO_COMPRESSION,
}

#: What else there is to say about a result.
NOTES = {
    ("grpcio", "client_compressed_streaming"): _INCOMPRESSIBLE,
    ("grpcio.aio", "client_compressed_streaming"): _INCOMPRESSIBLE,
    ("grpclib", "server_compressed_unary"): _UNCOMPRESSED,
    ("grpclib", "server_compressed_streaming"): _UNCOMPRESSED,
    ("grpclib", "cancel_after_begin"): "grpclib names no status for a call that it has cancelled itself.",
    ("grpclib", "cancel_after_first_response"): (
        "grpclib names no status for a call that it has cancelled itself."
    ),
}
