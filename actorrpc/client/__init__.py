"""The client side: typed stubs over any channel. Imports neither gevent nor grpc."""

from __future__ import annotations

from actorrpc.client.channel import (
    Channel,
    MetadataPairs,
    ReplyFuture,
    ReplyStream,
    StreamStream,
    StreamUnary,
    Stub,
    UnaryStream,
    UnaryUnary,
)

__all__ = [
    "Channel",
    "MetadataPairs",
    "ReplyFuture",
    "ReplyStream",
    "StreamStream",
    "StreamUnary",
    "Stub",
    "UnaryStream",
    "UnaryUnary",
]
