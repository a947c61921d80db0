"""Puts things away for whom a certificate names: ``python -m examples.auth.mutual_client ca.pem ada ring``.

``ada.pem`` and ``ada.key`` are the certificate and its key.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import grpc

from examples.auth.auth_actorrpc import VaultStub
from examples.auth.auth_pb2 import PutRequest

__all__ = ["main"]


def main(ca: str, user: str, things: Sequence[str], address: str = "localhost:50443") -> int:
    """Put each thing away, over one connection. Returns the exit status."""
    credentials = grpc.ssl_channel_credentials(
        Path(ca).read_bytes(), Path(f"{user}.key").read_bytes(), Path(f"{user}.pem").read_bytes()
    )
    with grpc.secure_channel(address, credentials) as channel:
        vault = VaultStub(channel)
        for thing in things:
            try:
                reply = vault.Put(PutRequest(thing=thing), timeout=5)
            except grpc.RpcError as error:
                print(f"{error.code().name}: {error.details()}", file=sys.stderr)
                return 1
            print(f"{thing} is in {reply.owner}'s drawer, with {reply.things - 1} before it")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: python -m examples.auth.mutual_client CA USER THING...")
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
