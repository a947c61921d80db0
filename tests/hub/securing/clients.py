"""Clients that speak TLS to hubs of the test's own."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from tests.support.certificates import Authority, Pair
from tests.support.openssl_client import OpenSslClient, client_context
from tests.support.waiting import PATIENCE

__all__ = ["Wire", "dial", "openssl", "secure_channel"]


def secure_channel(address: str, authority: Authority, pair: Pair | None = None) -> grpc.Channel:
    """A channel of a connection of its own, with a certificate of the client's if ``pair`` is one."""
    shown = (Path(pair.key).read_bytes(), Path(pair.cert).read_bytes()) if pair is not None else (None, None)
    credentials = grpc.ssl_channel_credentials(Path(authority.file).read_bytes(), *shown)
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.secure_channel(address, credentials, options=options)


@contextmanager
def openssl(
    address: str, authority: Authority, *, protocols: tuple[str, ...] = ("h2",), **context: Any
) -> Iterator[ssl.SSLSocket]:
    """A connection of OpenSSL's, whose handshake is over, with nothing said in it."""
    host, _, port = address.rpartition(":")
    made = ssl.create_default_context(cafile=authority.file)
    made.set_alpn_protocols(protocols)
    for name, value in context.items():
        setattr(made, name, value)
    with (
        socket.create_connection((host, int(port)), PATIENCE) as plain,
        made.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        yield secure


def dial(address: str, receive_buffer: int = 0) -> socket.socket:
    """A connected socket, which takes little at once with a small ``receive_buffer``."""
    host, _, port = address.rpartition(":")
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect((host, int(port)))
    return sock


class Wire:
    """A client of OpenSSL's whose records can be changed on their way."""

    def __init__(
        self, address: str, authority: Authority, *, receive_buffer: int = 0, **context: Any
    ) -> None:
        self.sock = dial(address, receive_buffer)
        self.client = OpenSslClient(client_context(authority, **context))
        self.client.feed(b"")
        try:
            while not self.client.established:
                self.sock.sendall(self.client.output())
                self.client.feed(self.sock.recv(65536))
        except ssl.SSLError:
            self.sock.close()
            raise
        self.sock.sendall(self.client.output())

    def say(self, data: bytes) -> None:
        self.sock.sendall(self.client.write(data))

    def hear(self, size: int) -> bytes:
        """So much data, or more."""
        data = self.client.read()
        while len(data) < size:
            received = self.sock.recv(65536)
            assert received, "the server has closed"
            self.client.feed(received)
            data += self.client.read()
        return data

    def close(self) -> None:
        self.sock.close()
