"""Connections that are made one after the other, greeted in HTTP/2, and closed when the server has answered.

With ``--tls`` each makes a whole handshake of TLS first: no session is resumed.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import sys

from hyperframe.frame import SettingsFrame

from actorrpc.net.addresses import parse_address
from benchmarks.http2 import PREFACE

_TIMEOUT = 10.0

_GREETING = PREFACE + SettingsFrame(0).serialize()


def greet(address: tuple[str, int], context: ssl.SSLContext | None) -> None:
    with socket.create_connection(address, _TIMEOUT) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is None:
            _exchange(sock)
            return
        with context.wrap_socket(sock) as secure:
            if secure.version() != "TLSv1.3" or secure.session_reused:
                raise ValueError(f"not a whole handshake: {secure.version()}, {secure.session_reused}")
            _exchange(secure)


def _exchange(sock: socket.socket) -> None:
    sock.sendall(_GREETING)
    if not sock.recv(65_536):
        raise ValueError("the server has closed the connection")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    host, port = parse_address(options.address)
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
    try:
        for _ in range(options.count):
            greet((host, port), context)
    except (OSError, ValueError) as error:
        sys.exit(f"a connection failed: {error}")


if __name__ == "__main__":
    main()
