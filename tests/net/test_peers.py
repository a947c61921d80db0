"""Who is at the other end, whose PROXY headers are believed, and how many wait."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.net.peers import peer_text
from actorrpc.net.queue_length import queue_length
from actorrpc.net.trusted import Trusted


def accepted(listener: socket.socket, client: socket.socket) -> tuple[socket.socket, Any]:
    client.connect(listener.getsockname())
    return listener.accept()


def test_a_client_of_ipv4_is_shown_as_such_everywhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        sock, address = accepted(listener, client)
        with sock:
            assert peer_text(sock, address) == f"127.0.0.1:{client.getsockname()[1]}"
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
        with socket.create_connection(("127.0.0.1", both.getsockname()[1])) as client:
            sock, address = both.accept()
            with sock:
                assert address[0] == "::ffff:127.0.0.1"
                assert peer_text(sock, address) == f"127.0.0.1:{client.getsockname()[1]}"
        with socket.create_connection(("::1", both.getsockname()[1])) as client:
            sock, address = both.accept()
            with sock:
                assert peer_text(sock, address) == f"[::1]:{client.getsockname()[1]}"


def test_a_client_of_a_unix_socket_is_a_process() -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind("")
        listener.listen()
        sock, address = accepted(listener, client)
        with sock:
            assert peer_text(sock, address) == f"unix:pid={os.getpid()},uid={os.getuid()}"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind("")
        listener.listen()
        client.bind("\0a name of its own")
        sock, address = accepted(listener, client)
        with sock:
            assert peer_text(sock, address) == "unix-abstract:a%20name%20of%20its%20own"


@pytest.mark.parametrize(
    ("sources", "family", "address", "trusted"),
    [
        (["10.0.0.0/8"], socket.AF_INET, ("10.1.2.3", 1), True),
        (["10.0.0.0/8"], socket.AF_INET, ("11.1.2.3", 1), False),
        (["10.0.0.0/8"], socket.AF_INET6, ("::ffff:10.1.2.3", 1, 0, 0), True),
        (["10.0.0.0/8"], socket.AF_UNIX, "", False),
        (["192.0.2.1", "2001:db8::/32"], socket.AF_INET, ("192.0.2.1", 1), True),
        (["192.0.2.1", "2001:db8::/32"], socket.AF_INET6, ("2001:db8::5", 1, 0, 0), True),
        (["192.0.2.1", "2001:db8::/32"], socket.AF_INET6, ("2001:db9::5", 1, 0, 0), False),
        (["fe80::/10"], socket.AF_INET6, ("fe80::1%eth0", 1, 0, 2), True),
        (["0.0.0.0/0"], socket.AF_INET6, ("::1", 1, 0, 0), False),
        (["unix"], socket.AF_UNIX, "", True),
        (["unix"], socket.AF_UNIX, b"\0name", True),
        (["unix"], socket.AF_INET, ("127.0.0.1", 1), False),
        ([], socket.AF_INET, ("127.0.0.1", 1), False),
    ],
)
def test_who_is_trusted(sources: list[str], family: int, address: Any, trusted: bool) -> None:
    assert ((family, address) in Trusted(sources)) == trusted
    assert bool(Trusted(sources)) == bool(sources)


@pytest.mark.parametrize(
    "source", ["10.0.0.1/8", "10.0.0.0/33", "localhost", "", "Unix", "::ffff/200", "10.0.0.0-10.0.0.9"]
)
def test_what_names_nobody(source: str) -> None:
    with pytest.raises(
        ConfigError, match=r"proxy_protocol cannot be .*; write an address, a network such as"
    ):
        Config(proxy_protocol=("::1", source))


def test_a_program_may_give_a_list_or_one_text() -> None:
    given: Any = ["::1", "unix"]
    assert Config(proxy_protocol=given) == Config(proxy_protocol=("::1", "unix"))
    one: Any = "unix"
    assert Config(proxy_protocol=one) == Config(proxy_protocol=("unix",))
    config = Config(proxy_protocol=("::1", "unix"))
    assert Config.from_message(config.to_message()) == config


@pytest.mark.parametrize("kind", ["TCP", "unix"])
def test_how_many_wait(kind: str) -> None:
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family) as listener, ExitStack() as opened:
        listener.bind("" if kind == "unix" else ("127.0.0.1", 0))
        listener.listen()
        for count in range(5):
            assert queue_length(listener) == count
            opened.enter_context(socket.socket(family)).connect(listener.getsockname())
        opened.enter_context(listener.accept()[0])
        assert queue_length(listener) == 4


def test_a_kernel_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorrpc.net.queue_length._NETLINK_SOCK_DIAG", 31)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")
        listener.listen()
        assert queue_length(listener) == 0
