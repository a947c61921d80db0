"""How grpcio's clients connect: with a CA's certificate over TLS, else in plaintext."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import grpc

from benchmarks.certificate import HOST

__all__ = ["add_ca", "tls_arguments"]


def add_ca(parser: ArgumentParser) -> None:
    """The option ``--ca``."""
    parser.add_argument("--ca", default="", metavar="FILE", help="speak TLS, with servers of this CA")


def tls_arguments(ca: str) -> tuple[grpc.ChannelCredentials, tuple[str, str]]:
    """Credentials of a channel, and the argument of it that says whose the certificate is."""
    credentials = grpc.ssl_channel_credentials(Path(ca).read_bytes())
    return credentials, ("grpc.ssl_target_name_override", HOST)
