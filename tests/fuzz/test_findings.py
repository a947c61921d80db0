"""What the fuzzers found, each as the shortest input that shows it."""

from __future__ import annotations

import pytest

from actorrpc.config import Config
from actorrpc.wire.server import ServerSession
from tests.support import raw
from tests.support.view import View


@pytest.mark.parametrize("value", ["1\n", " 1S", "1S ", "1\0S"])
def test_a_deadline_that_no_field_value_may_be_makes_a_request_malformed(value: str) -> None:
    session = ServerSession(Config())
    events = session.receive_data(raw.OPEN + raw.headers(1, raw.request("Call", ("grpc-timeout", value))))
    assert events == []
    assert View(session.data_to_send()).brief() == {1: "reset 1"}


def test_a_stream_that_is_refused_while_shutting_down_is_refused_once() -> None:
    session = ServerSession(Config())
    session.receive_data(raw.OPEN)
    session.shutdown()
    session.receive_data(raw.frame(raw.PING, raw.ACK, 0, b"goaway\0\0"))
    session.receive_data(raw.headers(1, raw.request("Call")))
    session.receive_data(raw.headers(1, [("x-sum", "1")], raw.END_HEADERS | raw.END_STREAM))
    assert View(session.data_to_send()).brief() == {1: "reset 7"}
