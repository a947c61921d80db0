"""Binding, and that a port is never shared with a stranger."""

from __future__ import annotations

import socket

import pytest

from actorrpc.errors import ConfigError
from actorrpc.net.addresses import address_text, parse_address
from actorrpc.net.listening import open_addresses


@pytest.mark.parametrize("bind", ["", "localhost", "::1:50051", "localhost:http"])
def test_what_is_not_an_address(bind: str) -> None:
    with (
        pytest.raises(ConfigError, match=r"cannot bind to '.*': (write|the port must be) "),
        open_addresses([bind]),
    ):
        pass


@pytest.mark.parametrize("bind", ["192.0.2.1:0", "a..b:0", f"{'x' * 99}:0"])
def test_an_address_that_is_not_ours(bind: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot (bind to|listen on)"), open_addresses([bind]):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_all_share_one_free_port_and_all_get_connections(host: str) -> None:
    with open_addresses([f"{host}:0"], 4) as (bound,):
        address, *others = [address_text(listener.getsockname()) for listener in bound.sockets]
        assert others == [address] * 3
        assert parse_address(address)[1] > 0
        clients = [socket.create_connection(parse_address(address)) for _ in range(200)]
        accepted = []
        for listener in bound.sockets:
            listener.setblocking(False)
            accepted.append(0)
            while True:
                try:
                    listener.accept()[0].close()
                except BlockingIOError:
                    break
                accepted[-1] += 1
        assert sum(accepted) == 200
        assert min(accepted) > 0
        for client in clients:
            client.close()


@pytest.mark.parametrize("options", [(), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT, socket.SO_REUSEADDR)])
@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_a_port_in_use_by_anybody(options: tuple[int, ...], host: str) -> None:
    with socket.socket() as stranger:
        for option in options:
            stranger.setsockopt(socket.SOL_SOCKET, option, 1)
        stranger.bind((host, 0))
        stranger.listen()
        bind = f"127.0.0.1:{stranger.getsockname()[1]}"
        in_use = f"cannot listen on {bind}: Address already in use"
        with pytest.raises(ConfigError, match=in_use), open_addresses([bind], 2):
            pass


def test_a_port_with_connections_in_time_wait_is_free() -> None:
    with open_addresses(["127.0.0.1:0"], 2) as (bound,):
        address = address_text(bound.sockets[0].getsockname())
        client = socket.create_connection(parse_address(address))
    client.close()
    with open_addresses([address], 2) as (bound,):
        assert address_text(bound.sockets[1].getsockname()) == address
