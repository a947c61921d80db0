"""What the service manager hears, what it does not, and that nothing ever waits for it."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from actorrpc.broker.host import notify as module
from actorrpc.broker.host.notify import Notify, serving_line
from tests.support.waiting import until

Listen = Callable[[str], socket.socket]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Open sockets as the service manager does."""
    opened = []

    def start(address: str) -> socket.socket:
        opened.append(sock := socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        sock.setblocking(False)
        sock.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        return sock

    yield start
    for sock in opened:
        sock.close()


def heard(sock: socket.socket) -> list[list[str]]:
    """What has come, by lines."""
    found = []
    while True:
        try:
            found.append(sock.recv(4096).decode().split("\n"))
        except BlockingIOError:
            return found


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "abstract":
        return f"@actorrpc-test-{os.getpid()}-{time.monotonic_ns()}"
    return str(tmp_path / "notify")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN", 0.01)


def test_each_message_is_as_the_protocol_has_it(listen: Listen, address: str) -> None:
    sock = listen(address)
    with Notify(address) as notify:
        notify.start(lambda: "2 of 2 hubs serving, connections: 0")
        notify.ready()
        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        notify.reloading()
        after = time.clock_gettime(time.CLOCK_MONOTONIC)
        notify.ready()
        notify.stopping(7.5)
        ready, (reloading, at, *rest), again, stopping = heard(sock)
    status = "STATUS=2 of 2 hubs serving, connections: 0"
    assert ready == again == ["READY=1", f"MAINPID={os.getpid()}", status]
    assert (reloading, rest) == ("RELOADING=1", [status.replace("=", "=reloading: ")])
    name, _, microseconds = at.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before - 1e-6 <= int(microseconds) / 1e6 <= after
    assert stopping == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=7500000", status.replace("=", "=stopping: ")]


def test_a_status_is_told_when_it_is_another(listen: Listen, address: str) -> None:
    sock = listen(address)
    texts = iter(["a", "a", "a", "b", "b"])
    done = gevent.event.Event()

    def describe() -> str:
        text = next(texts, "")
        if not text:
            done.set()
        return text or "b"

    with Notify(address) as notify:
        notify.start(describe)
        assert done.wait(10)
        assert heard(sock) == [["STATUS=a"], ["STATUS=b"]]


def test_the_watchdog_hears_the_loop_twice_in_its_time(listen: Listen, address: str) -> None:
    sock = listen(address)
    beats: list[float] = []

    def listening() -> bool:
        beats.extend(time.monotonic() for message in heard(sock) if message == ["WATCHDOG=1"])
        return len(beats) >= 5

    with Notify(address, watchdog=0.1) as notify:
        notify.start(str)
        began = time.monotonic()
        until(listening, sleep=gevent.sleep)
        assert beats[-1] - began >= 4 * 0.05 - 0.02
        # A loop that hangs says nothing.
        time.sleep(0.3)
        assert [message for message in heard(sock) if message == ["WATCHDOG=1"]] == []


def test_a_socket_that_is_full_blocks_nothing_and_loses_nothing(
    listen: Listen, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    sock = listen(address)
    with Notify(address) as notify:
        notify.start(lambda: "fine")
        while notify._send("WATCHDOG=1"):
            pass
        began = time.monotonic()
        notify.ready()
        notify.reloading()
        notify.ready()
        assert time.monotonic() - began < 1.0
        (told,) = [text for text in caplog.messages if "cannot be told" in text]
        assert told.endswith(": [Errno 11] Resource temporarily unavailable; it is tried again")
        found: list[str] = []

        def all_heard() -> bool:
            found.extend(message[0] for message in heard(sock))
            return [each for each in found if each != "WATCHDOG=1"] == ["READY=1", "RELOADING=1", "READY=1"]

        until(all_heard, sleep=gevent.sleep)


def test_a_socket_that_has_gone_is_tried_again_and_few_messages_wait(listen: Listen, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with Notify(address) as notify:
        notify.start(lambda: "fine")
        for _ in range(1000):
            notify.reloading()
        notify.ready()
        assert len(notify._waiting) <= 16
        sock = listen(address)
        found: list[str] = []

        def ready_is_heard() -> bool:
            found.extend(message[0] for message in heard(sock))
            return "READY=1" in found

        until(ready_is_heard, sleep=gevent.sleep)
        assert found[-1] == "READY=1"


def test_without_a_service_manager_there_is_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with Notify() as notify:
        notify.start(lambda: pytest.fail("nobody asks"))
        notify.ready()
        notify.reloading()
        notify.stopping(1.0)
        assert (notify._timers, list(notify._waiting), notify.descriptors()) == ([], [], [])
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("told", "watchdog"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "-1"}, 0.0),
    ],
)
def test_the_environment_is_read_and_forgets(
    told: dict[str, str], watchdog: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"NOTIFY_SOCKET": "@somewhere", **told}.items():
        monkeypatch.setenv(name, value)
    with Notify.from_environment() as notify:
        assert (notify._address, notify._watchdog) == ("\0somewhere", watchdog)
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()


def test_another_kind_of_address_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "vsock:2:1234")
    with caplog.at_level(logging.WARNING), Notify.from_environment() as notify:
        assert notify._address == ""
    assert "NOTIFY_SOCKET is not understood" in caplog.text


def test_the_line_for_people() -> None:
    assert serving_line({0: "serving", 1: "silent"}, 12) == "1 of 2 hubs serving, connections: 12"
