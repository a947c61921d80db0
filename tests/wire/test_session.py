"""The life of a session: its first bytes, its last words, and what a snapshot may say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actorrpc.config import Config
from actorrpc.errors import SnapshotError
from actorrpc.pb.snapshot_pb2 import SessionSnapshot
from actorrpc.wire.events import MessageReceived, StreamReset
from actorrpc.wire.server import ServerSession
from actorrpc.wire.snapshot import freeze_session, thaw_session
from tests.support import raw
from tests.support.view import View

from .owner import OK, Owner


def test_its_settings_are_its_limits() -> None:
    config = Config(
        max_concurrent_streams=7,
        stream_window_bytes=70_000,
        connection_window_bytes=80_000,
        max_header_list_bytes=900,
    )
    session = ServerSession(config)
    session.receive_data(raw.PREFACE)
    assert session.data_to_send() == raw.settings((3, 7), (4, 70_000), (6, 900)) + raw.window_update(
        0, 80_000 - 65_535
    )
    assert session.receive_data(raw.settings()) == []
    assert session.data_to_send() == raw.frame(raw.SETTINGS, raw.ACK, 0)


def test_the_default_connection_window_needs_no_word() -> None:
    session = ServerSession(Config(connection_window_bytes=65_535))
    session.receive_data(raw.PREFACE)
    assert not View(session.data_to_send()).granted


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (b"GET /", b"HTTP/1.1 505 HTTP Version Not Supported\r\n"),
        (b"POST", b"HTTP/1.1 505 "),
        (b"HELLO?\n", b"HTTP/1.1 505 "),
        (b"\x16\x03\x01", b"\x15\x03\x01\x00\x02\x02\x46"),
        (b"\0\0\0\x04", raw.frame(raw.GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x01not HTTP/2")),
        (b"get /", raw.frame(raw.GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x01not HTTP/2")),
    ],
)
@pytest.mark.parametrize("by_byte", (False, True))
def test_who_speaks_another_protocol_is_told_so_in_it(first: bytes, answer: bytes, by_byte: bool) -> None:
    owner = Owner()
    for piece in map(bytes, zip(first, strict=True)) if by_byte else [first]:
        owner.feed(piece)
    assert owner.sent.startswith(answer) and owner.events == ["fault 1"]


def test_the_http_1_answer_is_whole() -> None:
    session = ServerSession(Config())
    session.receive_data(b"GET / HTTP/1.1\r\n\r\n")
    head, _, body = session.data_to_send().partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head and b"connection: close" in head and b"gRPC" in body


# ---- shutdown


def test_shutdown_comes_behind_the_settings_even_before_the_preface() -> None:
    for received in (b"", raw.PREFACE[:10]):
        owner = Owner()
        owner.feed(received)
        owner.session.shutdown()
        owner.session.shutdown()
        owner.flush()
        owner.move()
        owner.feed(raw.PREFACE[len(received) :] + raw.settings())
        owner.flush()
        control = View(owner.sent).control
        assert control == ["settings", "goaway 0 after 2147483647", "ping goaway\0\0", "settings ack"]


def test_over_once_the_client_knows_and_all_calls_have_ended() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Shutdown")))
    assert not owner.session.over
    owner.feed(raw.frame(raw.PING, raw.ACK, 0, b"goaway\0\0"))
    assert not owner.session.over
    owner.move()
    owner.feed(raw.frame(raw.PING, raw.ACK, 0, b"goaway\0\0"))
    owner.feed(raw.data(1, b"", raw.END_STREAM))
    assert owner.session.over
    assert View(owner.sent).brief() == {1: "200, , status 0"}
    assert View(owner.sent).control[2:] == [
        "goaway 0 after 2147483647",
        "ping goaway\0\0",
        "goaway 0 after 1",
    ]


def test_an_acknowledgement_that_nobody_awaits_ends_nothing() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.frame(raw.PING, raw.ACK, 0, b"goaway\0\0"))
    assert not owner.session.over and View(owner.sent).control == ["settings", "settings ack"]


def test_after_a_fault_there_is_nothing_to_shut_down() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.frame(raw.PING, 0, 0, b""))
    owner.sent.clear()
    owner.session.shutdown()
    owner.flush()
    assert not owner.sent


def test_the_client_may_say_goaway() -> None:
    owner = Owner()
    owner.feed(raw.OPEN)
    assert not owner.session.goaway_received
    owner.feed(raw.frame(raw.GOAWAY, 0, 0, bytes(8)))
    owner.move()
    assert owner.session.goaway_received and not owner.session.over


# ---- messages and the owner


def test_what_is_not_consumed_is_counted_until_it_is_even_on_a_closed_stream() -> None:
    session = ServerSession(Config())
    call = raw.headers(1, raw.request("Silent")) + raw.data(1, raw.message(b"abc") + raw.message(b""))
    events = session.receive_data(raw.OPEN + call + raw.frame(raw.RST_STREAM, 0, 1, bytes(4)))
    messages = [event for event in events if isinstance(event, MessageReceived)]
    assert isinstance(events[-1], StreamReset) and session.inbound.held == 3 + 2 * 64
    for event in messages:
        session.inbound.consumed(event.stream, len(event.payload))
    assert session.inbound.held == 0


def test_a_slot_is_free_again_when_a_call_has_ended() -> None:
    owner = Owner(Config(max_concurrent_streams=2))
    both = raw.END_HEADERS | raw.END_STREAM
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Silent")) + raw.headers(3, raw.request("Silent")))
    owner.feed(raw.headers(5, raw.request("Unary"), both))
    owner.feed(raw.frame(raw.RST_STREAM, 0, 1, bytes(4)) + raw.headers(7, raw.request("Unary"), both))
    assert View(owner.sent).brief() == {5: "reset 7", 7: "200, , status 0"}


# ---- snapshots


def frozen() -> SessionSnapshot:
    """A session with something in each corner."""
    owner = Owner()
    call = raw.headers(1, raw.request("Echo")) + raw.data(1, raw.message(b"hello") + raw.message(b"more")[:7])
    stored = raw.frame(raw.HEADERS, 0, 3, b"\x40" + raw.literal("x-id") + raw.literal("7"))
    owner.feed(raw.OPEN + raw.settings((raw.INITIAL_WINDOW_SIZE, 3)) + call + stored)
    owner.session.outbound.finish(owner.calls[1].stream, OK)
    return freeze_session(owner.session, b"unsent")


def test_freezing_changes_nothing() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Echo")) + raw.data(1, raw.message(b"hello")[:7]))
    assert freeze_session(owner.session) == freeze_session(owner.session)
    owner.feed(raw.data(1, raw.message(b"hello")[7:], raw.END_STREAM))
    assert View(owner.sent).brief() == {1: "200, hello, status 0"}


def test_a_snapshot_survives_being_thawed() -> None:
    snapshot = frozen()
    assert freeze_session(thaw_session(snapshot, Config())) == snapshot
    assert snapshot.unsent_output == b"unsent"
    assert snapshot.streams[0].unsent and snapshot.streams[0].trailers and snapshot.streams[0].partial_message


def test_calls_that_sent_the_same_share_their_head_on_the_way() -> None:
    owner = Owner()
    owner.feed(raw.OPEN)
    for stream in range(1, 41, 2):
        owner.feed(raw.headers(stream, raw.request("Echo", ("which", "odd" if stream % 4 == 1 else "even"))))
    snapshot = freeze_session(owner.session)
    assert [each.head for each in snapshot.streams] == [0, 1] * 10 and len(snapshot.heads) == 2
    streams = thaw_session(snapshot, Config()).streams
    assert [dict(each.head.fields)["which"] for each in streams.values()] == ["odd", "even"] * 10
    assert len({id(each.head) for each in streams.values()}) == 2


def test_a_snapshot_names_no_clock_and_no_table_of_ours() -> None:
    fields = {field.name for field in SessionSnapshot.DESCRIPTOR.fields}
    assert not {name for name in fields if "time" in name or "deadline" in name}


@pytest.mark.parametrize(
    ("field", "value"),
    [("hpack_max_size", 5000), ("preface_left", 25), ("peer_max_frame_size", 0), ("last_stream", 0)],
)
def test_a_session_that_cannot_be_is_refused(field: str, value: int) -> None:
    snapshot = frozen()
    setattr(snapshot, field, value)
    with pytest.raises(SnapshotError, match="cannot be"):
        thaw_session(snapshot, Config())


def test_a_stream_that_cannot_be_is_refused() -> None:
    nameless, pathless, headless, even, twice = frozen(), frozen(), frozen(), frozen(), frozen()
    nameless.heads[0] = nameless.heads[0].partition(b"\0")[2]
    pathless.heads[0] = b"te\0trailers"
    headless.streams[0].head = 1
    even.streams[0].id, even.last_stream = 2, 9
    twice.streams.append(twice.streams[0])
    for snapshot in (nameless, pathless, headless, even, twice):
        with pytest.raises(SnapshotError, match="cannot be"):
            thaw_session(snapshot, Config())


def test_the_target_may_have_smaller_limits() -> None:
    session = thaw_session(frozen(), replace(Config(), max_concurrent_streams=1, max_header_list_bytes=100))
    assert len(session.streams) == 1


# ---- for whoever debugs


def test_everything_long_lived_says_what_it_is() -> None:
    session = thaw_session(frozen(), Config())
    assert repr(session) == "<ServerSession 1 streams, last 1, 0 bytes held>"
    assert repr(session.outbound) == "<Responses window 65532, 6 bytes framed, 0 blocked>"
    assert repr(session.streams[1]) == (
        "<Stream 1 /test.Test/Echo windows 0/262127, 7 bytes partial, 7 unsent>"
    )
    assert repr(session.streams[1].head) == "<RequestHead /test.Test/Echo 6 fields>"
    assert repr(session.decoder) == "<Decoder 0 entries, 0 of 4096 bytes>"
    stream = session.streams[1]
    shown = f"MessageReceived(stream={stream!r}, payload=b'x', last=False)"
    assert repr(MessageReceived(stream, b"x", False)) == shown
