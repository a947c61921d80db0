"""The server that tlsfuzzer's scripts are run against is no other than it should be."""

from __future__ import annotations

import socket
import ssl

import pytest

from actorrpc.tls.handshake.settings import Tls
from tests.support.certificates import Authority, Pair
from tests.support.openssl_client import client_context
from tests.support.waiting import PATIENCE
from tests.tls.tlsfuzzer.server import ANSWER, http1_server


@pytest.mark.parametrize("moves", [False, True])
def test_it_answers_openssl(authority: Authority, server_pair: Pair, moves: bool) -> None:
    with http1_server(Tls(server_pair.cert, server_pair.key), moves=moves) as address:
        host, _, port = address.rpartition(":")
        context = client_context(authority, alpn=())
        with (
            socket.create_connection((host, int(port)), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            for _ in range(3):
                secure.sendall(b"GET / HTTP/1.0\r\nx: " + bytes(10_000))
                secure.sendall(b"\r\n\r\n")
                assert secure.recv(1000) == ANSWER
            secure.unwrap()


def test_it_tells_what_is_wrong(authority: Authority, server_pair: Pair) -> None:
    with http1_server(Tls(server_pair.cert, server_pair.key), moves=True) as address:
        host, _, port = address.rpartition(":")
        context = client_context(authority, alpn=())
        with (
            socket.create_connection((host, int(port)), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            socket.socket.sendall(secure, b"\x17\x03\x03\x00\x20" + bytes(32))
            with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
                secure.recv(1000)
