"""Puts things away: ``python -m examples.auth.client "ada's token" ring letter``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import grpc

from examples.auth.auth_actorrpc import VaultStub
from examples.auth.auth_pb2 import PutRequest

__all__ = ["main"]


def main(token: str, things: Sequence[str], address: str = "127.0.0.1:50051") -> int:
    """Put each thing away, over one connection. Returns the exit status."""
    with grpc.insecure_channel(address) as channel:
        vault = VaultStub(channel)
        for thing in things:
            try:
                reply = vault.Put(
                    PutRequest(thing=thing), metadata=[("authorization", f"Bearer {token}")], timeout=5
                )
            except grpc.RpcError as error:
                print(f"{error.code().name}: {error.details()}", file=sys.stderr)
                return 1
            print(f"{thing} is in {reply.owner}'s drawer, with {reply.things - 1} before it")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python -m examples.auth.client TOKEN THING...")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
