"""DATA on closed streams (RFC 9113, 5.1 and 6.1): on its way, or an error; counted in any case."""

from __future__ import annotations

import pytest

from actorrpc.config import Config
from tests.support import raw
from tests.support.view import View

from .owner import Owner

BOTH = raw.END_HEADERS | raw.END_STREAM
STREAM_CLOSED, FLOW_CONTROL_ERROR = 5, 3
CONFIG = Config(connection_window_bytes=65_535, max_connection_window_bytes=65_535)

#: How stream 1 has been closed, and what DATA on it is answered with then.
CLOSED: dict[str, tuple[bytes, str]] = {
    "by END_STREAM of both": (raw.headers(1, raw.request("Unary"), BOTH), "200, , status 0, reset 5"),
    "by the client's RST_STREAM": (
        raw.headers(1, raw.request("Silent")) + raw.frame(raw.RST_STREAM, 0, 1, bytes(4)),
        "reset 5",
    ),
    "by an early answer": (raw.headers(1, raw.request("Fail")), "200, status 5, reset 0"),
    "by the server's RST_STREAM": (
        raw.headers(1, raw.request("Silent")) + raw.window_update(1, 0),
        "reset 1",
    ),
    "by its refusal": (raw.headers(1, raw.request("Unary", ("X-Id", "1"))), "reset 1"),
    "by a larger id": (raw.headers(3, raw.request("Silent")), "reset 5"),
}


@pytest.mark.parametrize("moves", (False, True), ids=("stays", "moves"))
@pytest.mark.parametrize(("before", "answer"), CLOSED.values(), ids=CLOSED)
def test_data_is_answered_once_and_counted(before: bytes, answer: str, moves: bool) -> None:
    owner = Owner(CONFIG)
    owner.feed(raw.OPEN + before)
    for _ in range(20):  # five windows
        if moves:
            owner.move()
        owner.feed(raw.data(1, bytes(16_384)))
    assert not owner.session.faulted
    view = View(owner.sent)
    assert view.brief()[1] == answer
    assert view.granted[0] >= 19 * 16_384 - 65_535


def test_data_beyond_the_window_of_the_connection_ends_it() -> None:
    owner = Owner(CONFIG)
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Fail")) + raw.headers(3, raw.request("Hold")))
    owner.feed(raw.data(3, raw.message(bytes(16_379))) * 4)  # more than a window waits: it stays as it is
    room = owner.session.inbound.receive_window
    owner.feed(raw.data(1, b"x" * 1000) * (room // 1000))
    assert not owner.session.faulted
    owner.feed(raw.data(1, b"x" * 1000))
    assert owner.events[-1] == f"fault {FLOW_CONTROL_ERROR}"


def test_of_streams_that_were_reset_as_many_are_known_as_may_be_open() -> None:
    config = Config(max_concurrent_streams=200, flood_burst=0)
    owner = Owner(config)
    owner.feed(raw.OPEN)
    for id in range(1, 802, 2):
        owner.feed(raw.headers(id, raw.request("Fail")))
    assert len(owner.session.outbound.reset_streams) == 200
    owner.move()
    owner.output()
    owner.feed(b"".join(raw.data(id, b"late") for id in range(403, 802, 2)))
    assert owner.output() == b""
    owner.feed(raw.data(1, b"late") * 3)
    assert owner.output() == raw.frame(raw.RST_STREAM, 0, 1, bytes((0, 0, 0, STREAM_CLOSED)))


def test_a_smaller_limit_at_the_target_keeps_the_last_of_them() -> None:
    owner = Owner(Config(max_concurrent_streams=300))
    owner.feed(raw.OPEN + b"".join(raw.headers(id, raw.request("Fail")) for id in range(1, 400, 2)))
    owner.config = Config(max_concurrent_streams=1)
    owner.move()
    assert list(owner.session.outbound.reset_streams) == list(range(201, 400, 2))


def test_calls_that_end_as_they_should_leave_nothing() -> None:
    owner = Owner()
    owner.feed(raw.OPEN)
    for id in range(1, 400, 2):
        owner.feed(raw.headers(id, raw.request("Unary"), BOTH))
    assert not owner.session.outbound.reset_streams


def test_each_error_has_its_price() -> None:
    owner = Owner(Config(flood_burst=10_000, flood_rate=1))
    owner.feed(raw.OPEN + raw.headers(9001, raw.request("Unary"), BOTH))
    for id in range(1, 9000, 2):
        owner.feed(raw.data(id, b"x"))
        if owner.session.faulted:
            break
    assert owner.events[-1] == "fault 11" and 180 <= id >> 1 <= 240
