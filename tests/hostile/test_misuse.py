"""What no client may send: each a precise error (RFC 9113), for the stream where that is enough.

The connection of the bystander is on the same hub, and must not notice.
"""

from __future__ import annotations

import pytest

from tests.apps.shapes_pb2 import Item
from tests.hostile.attacker import (
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
    Attacker,
    Requests,
)
from tests.hostile.hub import Hub, lines_since
from tests.support import raw

#: How often each is tried, on a new connection each time.
TIMES = 5

frame, END_STREAM, END_HEADERS = raw.frame, raw.END_STREAM, raw.END_HEADERS


def begun(method: str = "Stateful/Talk") -> bytes:
    """Stream 1, open."""
    return Requests().open(method)


#: Stream 1 is over, and the server has answered.
ENDED = Requests().call()
#: Stream 3, from a client that has used 1.
LATER = raw.headers(3, raw.request("None"))
TALK = raw.message(b"")

#: Messages for an actor that is busy: 60 streams' windows are more than the connection's, twice over.
BLOCKED = raw.message(Item(sleep=5).SerializeToString())
BUSY = Requests()
BEYOND = BUSY.open("Stateful/Talk") + raw.data(1, BLOCKED)
for _ in range(60):
    BEYOND += BUSY.open("Stateful/Talk") + raw.data(BUSY.last, raw.message(bytes(10_000))) * 25

#: By RFC 9113: the section, what is sent after the opening, and the code of the GOAWAY.
FATAL: dict[str, tuple[bytes, int]] = {
    # stream ids (5.1.1)
    "even stream id": (raw.headers(2, raw.request("X")), PROTOCOL_ERROR),
    "stream id 0": (raw.headers(0, raw.request("X")), PROTOCOL_ERROR),
    "smaller stream id": (LATER + raw.headers(1, raw.request("X")), PROTOCOL_ERROR),
    # idle streams (5.1)
    "data on an idle stream": (raw.data(1, TALK), PROTOCOL_ERROR),
    "data on stream 0": (raw.data(0, TALK), PROTOCOL_ERROR),
    "data on the server's stream": (raw.data(2, TALK), PROTOCOL_ERROR),
    "reset of an idle stream": (frame(raw.RST_STREAM, 0, 1, bytes(4)), PROTOCOL_ERROR),
    "reset of stream 0": (frame(raw.RST_STREAM, 0, 0, bytes(4)), PROTOCOL_ERROR),
    "window update of an idle stream": (raw.window_update(1, 1), PROTOCOL_ERROR),
    "continuation without headers": (frame(raw.CONTINUATION, END_HEADERS, 1, b"\x83"), PROTOCOL_ERROR),
    # the connection's own stream, and others (6)
    "settings on a stream": (frame(raw.SETTINGS, 0, 1), PROTOCOL_ERROR),
    "ping on a stream": (frame(raw.PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "goaway on a stream": (frame(raw.GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "priority on stream 0": (frame(raw.PRIORITY, 0, 0, bytes(5)), PROTOCOL_ERROR),
    "push promise": (begun() + frame(raw.PUSH_PROMISE, END_HEADERS, 1, bytes(4)), PROTOCOL_ERROR),
    # sizes (4.2, 6)
    "oversize frame": (begun() + raw.data(1, bytes(16_385)), FRAME_SIZE_ERROR),
    "oversize unknown frame": (frame(0xEE, 0, 0, bytes(16_385)), FRAME_SIZE_ERROR),
    "frame of 16 MB announced": (b"\xff\xff\xff\0\0\0\0\0\1", FRAME_SIZE_ERROR),
    "settings of 5 bytes": (frame(raw.SETTINGS, 0, 0, bytes(5)), FRAME_SIZE_ERROR),
    "settings ack of 6 bytes": (frame(raw.SETTINGS, raw.ACK, 0, bytes(6)), FRAME_SIZE_ERROR),
    "ping of 7 bytes": (frame(raw.PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    "goaway of 7 bytes": (frame(raw.GOAWAY, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    "reset of 3 bytes": (begun() + frame(raw.RST_STREAM, 0, 1, bytes(3)), FRAME_SIZE_ERROR),
    "window update of 5 bytes": (frame(raw.WINDOW_UPDATE, 0, 0, bytes(5)), FRAME_SIZE_ERROR),
    "priority of 4 bytes on an idle stream": (frame(raw.PRIORITY, 0, 1, bytes(4)), FRAME_SIZE_ERROR),
    # padding (6.1, 6.2)
    "padding longer than its data": (begun() + frame(raw.DATA, raw.PADDED, 1, b"\5abcd"), PROTOCOL_ERROR),
    "padding of all data and one": (begun() + frame(raw.DATA, raw.PADDED, 1, b"\1"), PROTOCOL_ERROR),
    "padded data without a length": (begun() + frame(raw.DATA, raw.PADDED, 1), FRAME_SIZE_ERROR),
    "padding longer than its headers": (
        frame(raw.HEADERS, raw.PADDED | END_HEADERS, 1, b"\xff\x83"),
        PROTOCOL_ERROR,
    ),
    "headers too short for a priority": (
        frame(raw.HEADERS, raw.HAS_PRIORITY | END_HEADERS, 1, b"abcd"),
        FRAME_SIZE_ERROR,
    ),
    # header blocks (4.3, 6.10)
    "ping inside a header block": (
        frame(raw.HEADERS, 0, 1, b"\x83") + frame(raw.PING, 0, 0, bytes(8)),
        PROTOCOL_ERROR,
    ),
    "unknown frame inside a header block": (
        frame(raw.HEADERS, 0, 1, b"\x83") + frame(0xEE, 0, 1),
        PROTOCOL_ERROR,
    ),
    "continuation of another stream": (
        frame(raw.HEADERS, 0, 1, b"\x83") + frame(raw.CONTINUATION, END_HEADERS, 3, b"\x86"),
        PROTOCOL_ERROR,
    ),
    # windows (6.9)
    "window update of 0": (raw.window_update(0, 0), PROTOCOL_ERROR),
    "window overflow": (raw.window_update(0, 2**31 - 1), FLOW_CONTROL_ERROR),
    "window overflow in two steps": (raw.window_update(0, 2**30) * 2, FLOW_CONTROL_ERROR),
    "initial window of 2 GB": (raw.settings((raw.INITIAL_WINDOW_SIZE, 2**31)), FLOW_CONTROL_ERROR),
    "settings overflow a stream's window": (
        begun() + raw.window_update(1, 2**30) + raw.settings((raw.INITIAL_WINDOW_SIZE, 2**31 - 1)),
        FLOW_CONTROL_ERROR,
    ),
    "data beyond the connection's window": (BEYOND, FLOW_CONTROL_ERROR),
    # settings (6.5.2)
    "maximum frame size of 16,383": (raw.settings((raw.MAX_FRAME_SIZE, 16_383)), PROTOCOL_ERROR),
    "maximum frame size of 16 MB": (raw.settings((raw.MAX_FRAME_SIZE, 2**24)), PROTOCOL_ERROR),
    "enable push of 2": (raw.settings((raw.ENABLE_PUSH, 2)), PROTOCOL_ERROR),
}


@pytest.mark.parametrize("name", FATAL)
def test_connection_errors(hub: Hub, name: str):
    """GOAWAY with the code of RFC 9113, then the end of the connection; one line in the log at most."""
    data, code = FATAL[name]
    logged = len(hub.server.log)
    for _ in range(TIMES):
        with Attacker(hub.address) as attacker:
            attacker.send(data)
            attacker.wait(lambda attacker=attacker: attacker.goaway)
            assert attacker.goaway and attacker.goaway[0] == code, repr(attacker)
            attacker.end().wait_closed()
    calls = hub.bystander.take(5)
    assert not calls.failures and max(calls.seconds) < 1, str(calls)
    assert len(lines_since(hub.server.log, logged)) <= TIMES


#: What is sent after stream 1 was begun, and the code of its RST_STREAM.
ON_STREAM: dict[str, tuple[bytes, int]] = {
    "data after END_STREAM": (raw.data(1, b"", END_STREAM) + raw.data(1, TALK), STREAM_CLOSED),
    "headers after END_STREAM": (raw.data(1, b"", END_STREAM) + raw.headers(1, [("a", "b")]), STREAM_CLOSED),
    "headers in the middle": (raw.headers(1, [("a", "b")]), PROTOCOL_ERROR),
    "priority of 6 bytes": (frame(raw.PRIORITY, 0, 1, bytes(6)), FRAME_SIZE_ERROR),
    "window update of 0": (raw.window_update(1, 0), PROTOCOL_ERROR),
    "window overflow": (raw.window_update(1, 2**31 - 1), FLOW_CONTROL_ERROR),
    # Whole messages, for a handler that takes none: an incomplete one is acknowledged as it comes.
    "data beyond the window": (
        raw.data(1, BLOCKED) + raw.data(1, raw.message(bytes(10_000))) * 30,
        FLOW_CONTROL_ERROR,
    ),
}


@pytest.mark.parametrize("name", ON_STREAM)
def test_stream_errors(hub: Hub, name: str):
    """RST_STREAM for the one stream; calls beside it on the same connection go on."""
    data, code = ON_STREAM[name]
    requests = Requests()
    with Attacker(hub.address) as attacker:
        attacker.send(requests.open("Stateful/Talk") + data)
        assert attacker.reset(1) == code, repr(attacker)
        attacker.send(requests.call())
        assert attacker.status(requests.last) == 0
        assert attacker.goaway is None
    assert not hub.bystander.take(5).failures


def test_closed_streams(hub: Hub):
    """Frames on a stream that has ended: the client may not know yet of its end, but of its own END_STREAM it
    does (RFC 9113, 5.1 and 6.1). In neither case does the connection end.
    """
    requests = Requests()
    with Attacker(hub.address) as attacker:
        attacker.send(requests.call())
        assert attacker.status(1) == 0
        attacker.send(raw.window_update(1, 1) + frame(raw.RST_STREAM, 0, 1, bytes(4)))
        attacker.send(frame(raw.PRIORITY, 0, 1, bytes(5)) + raw.data(1, TALK, END_STREAM))
        attacker.send(raw.headers(1, [("late", "yes")], END_STREAM | END_HEADERS))
        assert attacker.reset(1) == STREAM_CLOSED
        attacker.send(requests.call())
        assert attacker.status(requests.last) == 0
        assert attacker.goaway is None


def test_padding_counts_for_the_windows(hub: Hub):
    """DATA of padding only is flow-controlled whole (6.9.1) and given back: the connection works for ever."""
    requests = Requests()
    padded = frame(raw.DATA, raw.PADDED, 1, b"\xff" + bytes(255))
    with hub.unharmed(cpu=3), Attacker(hub.address) as attacker:
        attacker.send(requests.open("Stateful/Talk"))
        for _ in range(50):  # 12 MB, three of the connection's windows
            attacker.send(padded * 900 + requests.call())
            if attacker.wait(lambda: attacker.goaway or requests.last in attacker.fields).goaway:
                break
        else:
            assert attacker.granted[1] > 11_000_000


PREFACES = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "wrong preface": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    "garbage": bytes(range(256)) * 100,
    "a frame before SETTINGS": raw.PREFACE + frame(raw.PING, 0, 0, bytes(8)),
}


@pytest.mark.parametrize("name", PREFACES)
def test_bad_preface(hub: Hub, name: str):
    """Answered in the client's language or with PROTOCOL_ERROR (RFC 9113, 3.4), or closed without a word."""
    with hub.unharmed(lines=TIMES):
        for _ in range(TIMES):
            with Attacker(hub.address, PREFACES[name]) as attacker:
                attacker.wait(lambda attacker=attacker: attacker.goaway or attacker.text)
                if name in ("HTTP/1.1", "wrong preface"):  # it may be a person who types
                    assert attacker.text.startswith(b"HTTP/1.1 ")
                elif name == "TLS":
                    assert attacker.text.startswith(b"\x15\x03")  # an alert
                else:
                    assert attacker.goaway and attacker.goaway[0] == PROTOCOL_ERROR, repr(attacker)
                attacker.wait_closed(5)


TRUNCATED = {
    "nothing": b"",
    "half a preface": raw.PREFACE[:10],
    "half a frame header": raw.OPEN + b"\0\0\x08\6",
    "half a frame": raw.OPEN + frame(raw.PING, 0, 0, bytes(8))[:-1],
    "half a header block": raw.OPEN + frame(raw.HEADERS, 0, 1, b"\x83"),
    "half a message": raw.OPEN + begun() + raw.data(1, b"\0\0\x10\0\0abc"),
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_truncated(hub: Hub, name: str):
    """A connection that ends in the middle of anything is forgotten, and nothing of it is logged."""
    with hub.unharmed(lines=0):
        for _ in range(TIMES * 10):
            with Attacker(hub.address, TRUNCATED[name]) as attacker:
                attacker.end().wait_closed()
                assert attacker.goaway is None or attacker.goaway[0] == NO_ERROR
    hub.server.wait_for(lambda: hub.server.status()["hubs"][0]["connections"] == 1)
