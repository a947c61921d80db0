"""Binding, and that a port is never shared with a stranger."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from actorrpc.errors import ConfigError
from actorrpc.net import listening
from actorrpc.net.addresses import address_text, parse_address, parse_bind
from actorrpc.net.listening import open_addresses
from actorrpc.net.queue_length import queue_length


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


# ---- several at once


@pytest.fixture
def folder() -> Iterator[str]:
    with TemporaryDirectory(prefix="actorrpc-") as folder:
        yield folder


def is_open(address: str) -> bool:
    name = parse_bind(address)
    family = socket.AF_INET if isinstance(name, tuple) else socket.AF_UNIX
    with socket.socket(family) as client:
        return client.connect_ex(name) == 0


def test_all_in_their_order_each_once_for_all_or_for_each_hub(folder: str) -> None:
    binds = [f"unix:{folder}/a", "127.0.0.1:0", "unix-abstract:actorrpc-test", "[::1]:0"]
    with open_addresses(binds, 2) as bounds:
        texts = [bound.text for bound in bounds]
        assert texts[0::2] == binds[0::2]
        assert [len(bound.sockets) for bound in bounds] == [1, 2, 1, 2]
        assert [bound.shared for bound in bounds] == [True, False, True, False]
        assert all(map(is_open, (texts[0], texts[1], texts[2])))
    assert not any(map(is_open, (texts[0], texts[1], texts[2]))) and os.listdir(folder) == []
    with open_addresses(binds) as bounds:
        assert [(len(bound.sockets), bound.shared) for bound in bounds] == [(1, True)] * 4


@pytest.mark.parametrize("place", [0, 1, 2])
def test_if_one_cannot_be_had_nothing_is_left(folder: str, place: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = f"127.0.0.1:{stranger.getsockname()[1]}"
        binds = ["127.0.0.1:0", f"unix:{folder}/a"]
        binds.insert(place, taken)
        before = len(os.listdir("/proc/self/fd"))
        in_use = f"cannot listen on {taken}: Address already in use$"
        with pytest.raises(ConfigError, match=in_use), open_addresses(binds, 3):
            pass
        assert len(os.listdir("/proc/self/fd")) == before
        assert os.listdir(folder) == []


def test_nobody_can_connect_before_all_are_there(folder: str) -> None:
    """A client in a queue that is closed again would be lost."""
    with open_addresses(["127.0.0.1:0"]) as (bound,):
        port = bound.text
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{folder}/a")
        other.listen()
        tried: list[bool] = []
        connect = socket.socket.connect

        def watched(sock: socket.socket, address: Any) -> None:
            tried.append(is_open(port))
            connect(sock, address)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket.socket, "connect", watched)
            binds = [port, f"unix:{folder}/a"]
            with pytest.raises(ConfigError, match="somebody listens there"), open_addresses(binds):
                pass
        assert tried == [False]


@pytest.mark.parametrize(
    ("binds", "complaint"),
    [
        (["127.0.0.1:1", "127.0.0.1:1"], "127.0.0.1:1 is given twice"),
        (["unix:/a", "unix:///a"], "unix:///a is the same as unix:/a"),
        (["unix:/%61", "unix:/a"], "unix:/a is the same as unix:/%61"),
        (["unix-abstract:a", "unix-abstract:a"], "unix-abstract:a is given twice"),
    ],
)
def test_the_same_twice(binds: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint), open_addresses(binds):
        pass


def test_two_free_ports_are_not_the_same() -> None:
    with open_addresses(["127.0.0.1:0", "127.0.0.1:0"]) as bounds:
        assert bounds[0].text != bounds[1].text


def test_an_abstract_name_in_use() -> None:
    bind = "unix-abstract:actorrpc-in-use"
    in_use = f"cannot listen on {bind}: Address already in use"
    with open_addresses([bind]), pytest.raises(ConfigError, match=in_use), open_addresses([bind]):
        pass


def test_any_address_of_ipv6_is_any_of_ipv4_too() -> None:
    with open_addresses(["[::]:0"], 2) as (bound,):
        port = parse_address(bound.text)[1]
        assert is_open(f"127.0.0.1:{port}")
        with socket.create_connection(("::1", port)):
            pass
        other, in_use = f"0.0.0.0:{port}", "Address already in use"
        with pytest.raises(ConfigError, match=f"{other}: {in_use}"), open_addresses([other]):
            pass


def test_both_of_them_may_be_given() -> None:
    """The kernel then gives clients of IPv4 to the one of IPv4."""
    with open_addresses(["[::]:0"]) as (bound,):
        port = parse_address(bound.text)[1]
    with open_addresses([f"[::]:{port}", f"0.0.0.0:{port}"], 2) as (six, four):
        assert (six.text, four.text) == (f"[::]:{port}", f"0.0.0.0:{port}")
        for host, bound in (("127.0.0.1", four), ("::1", six)):
            with socket.create_connection((host, port)):
                assert sum(map(queue_length, bound.sockets)) == 1


def named(*addresses: str) -> Callable[..., list[Any]]:
    """A resolver that knows one name, which has these addresses."""

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [
            (socket.AF_INET6, 1, 6, "", (each, port, 0, 0)) if ":" in each else
            (socket.AF_INET, 1, 6, "", (each, port))
            for each in addresses
        ]  # fmt: skip

    return resolve


def test_a_name_is_listened_on_at_each_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", named("127.0.0.1", "::1", "127.0.0.1"))
    with open_addresses(["localhost:0"], 2) as bounds:
        port = parse_address(bounds[0].text)[1]
        assert [bound.text for bound in bounds] == [f"127.0.0.1:{port}", f"[::1]:{port}"]


def test_one_that_this_machine_does_not_have_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", named("192.0.2.1", "127.0.0.1", "2001:db8::1"))
    with open_addresses(["somewhere:0"]) as (bound,):
        assert bound.text.startswith("127.0.0.1:")
    monkeypatch.setattr(socket, "getaddrinfo", named("192.0.2.1", "2001:db8::1"))
    not_here = "cannot listen on somewhere:0: Cannot assign"
    with pytest.raises(ConfigError, match=not_here), open_addresses(["somewhere:0"]):
        pass


def test_a_port_that_is_free_on_one_of_them_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as stranger:
        port = stranger.getsockname()[1]
        monkeypatch.setattr(socket, "getaddrinfo", named("127.0.0.1", "127.0.0.2"))
        with (
            pytest.raises(ConfigError, match="Address already in use"),
            open_addresses([f"localhost:{port}"]),
        ):
            pass
        bound_at: list[int] = []
        open_tcp = listening._open_tcp

        def taken_at_first(family: int, address: Any, hubs: int | None) -> Any:
            if not bound_at:  # as if the kernel had given it that port
                address = (address[0], port)
            bound_at.append(address[1])
            return open_tcp(family, address, hubs)

        monkeypatch.setattr(listening, "_open_tcp", taken_at_first)
        with open_addresses(["localhost:0"]) as bounds:
            assert bound_at[:2] == [port, port], "the second has failed"
            assert parse_address(bounds[0].text)[1] == parse_address(bounds[1].text)[1] != port


def test_nothing_at_all() -> None:
    with pytest.raises(ConfigError, match="there is no address to listen on"), open_addresses([]):
        pass


def test_permissions_are_for_files(folder: str) -> None:
    with open_addresses([f"unix:{folder}/a", "127.0.0.1:0"], unix_mode=0o600):
        assert os.stat(f"{folder}/a").st_mode & 0o777 == 0o600
    for binds in (["127.0.0.1:0"], ["unix-abstract:actorrpc-mode"]):
        refused = pytest.raises(ConfigError, match="unix_mode is for unix:PATH")
        with refused, open_addresses(binds, unix_mode=0o600):
            pass
