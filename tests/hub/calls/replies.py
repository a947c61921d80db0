"""What a client reads of a call."""

from __future__ import annotations

from typing import Any

import grpc

__all__ = ["drained"]


def drained(call: Any) -> Any:
    """The call, when all of its replies have been read: grpcio shows its end only then."""
    try:
        list(call)
    except grpc.RpcError:
        pass
    return call
