"""Heads of requests: what is malformed, what is refused and how, and what a call is told of the rest."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorrpc.config import Config
from actorrpc.errors import StreamFault
from actorrpc.wire import fields, head
from actorrpc.wire.events import MessageReceived, StreamRefused
from actorrpc.wire.head import HeadReader, RequestHead, freeze_head, parse_timeout, thaw_head
from actorrpc.wire.responses import trailers
from actorrpc.wire.server import ServerSession
from actorrpc.wire.snapshot import freeze_session, thaw_session
from tests.support import raw
from tests.support.view import View

from .faults import PROTOCOL_ERROR
from .owner import OK, Owner

Fields = list[tuple[str, str]]
BOTH = raw.END_HEADERS | raw.END_STREAM


def changed(change: dict[str, str | None], *extra: tuple[str, str]) -> Fields:
    """A good head with some values changed, fields left out (None), and more at the end."""
    fields = [(name, change.get(name, value)) for name, value in raw.request("Unary", *extra)]
    return [(name, value) for name, value in fields if value is not None]


GOOD = raw.request("Unary")

MALFORMED: dict[str, Fields] = {
    "nothing": [],
    "no :method": changed({":method": None}),
    "no :scheme": changed({":scheme": None}),
    "no :path": changed({":path": None}),
    "empty :method": changed({":method": ""}),
    "empty :scheme": changed({":scheme": ""}),
    "empty :path": changed({":path": ""}),
    "CONNECT, without :scheme and :path": [(":method", "CONNECT"), (":authority", "x:1")],
    "repeated :path": [(":path", "/a.B/C"), *GOOD],
    ":status": [(":status", "200"), *GOOD],
    "unknown pseudo-header": [(":what", "x"), *GOOD],
    "pseudo-header at the end": [*changed({":authority": None}), (":authority", "x")],
    "pseudo-header after grpc-timeout": [("grpc-timeout", "1S"), *GOOD],
    "pseudo-header after grpc-timeout in their midst": [*GOOD[:2], ("grpc-timeout", "1S"), *GOOD[2:]],
    "empty name": [*GOOD, ("", "x")],
    "upper-case name": [*GOOD, ("X-Id", "1")],
    "upper-case pseudo-header": [(":Path", "/a.B/C"), *GOOD],
    "name with a space": [*GOOD, ("x id", "1")],
    "name with a colon": [*GOOD, ("x:id", "1")],
    "name with NUL": [*GOOD, ("x\0", "1")],
    "name beyond ASCII": [*GOOD, ("x\xe9", "1")],
    "value with NUL": [*GOOD, ("x", "a\0b")],
    "value with CR": [*GOOD, ("x", "a\rb")],
    "value with LF": [*GOOD, ("x", "a\nb")],
    "value that ends in LF": [*GOOD, ("x", "a\n")],
    "value that begins with a space": [*GOOD, ("x", " a")],
    "value that ends with a tab": [*GOOD, ("x", "a\t")],
    ":path with LF": changed({":path": "/a.B/C\nx"}),
    ":authority with a space": changed({":authority": "a "}),
    "te: gzip": changed({"te": "gzip"}),
    "content-length without the body": [*GOOD, ("content-length", "77")],
    "content-length twice": [*GOOD, ("content-length", "0"), ("content-length", "0")],
    **{
        f"content-length: {value!r}": [*GOOD, ("content-length", value)]
        for value in ("", "-0", "+0", "0x0", "0, 0", "0 0", "\xb2", "0.", "0" * 19)
    },
    **{
        f"{name}, which is for HTTP/1.1": [*GOOD, (name, "x")]
        for name in ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
    },
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_malformed(fields: Fields) -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, fields, BOTH) + raw.headers(3, GOOD, BOTH))
    assert owner.events == ["3 request Unary", "3 end"]
    assert View(owner.sent).streams[1] == [("reset", PROTOCOL_ERROR)]


#: DATA, perhaps trailers, and whether that is what a content-length of 10 says (RFC 9113, 8.1.1).
TEN = raw.message(b"hello")
TRAILERS = raw.headers(1, [("x-sum", "1")], BOTH)
BODIES: dict[str, tuple[bytes, bool]] = {
    "as long": (raw.data(1, TEN, raw.END_STREAM), True),
    "as long, in two": (raw.data(1, TEN[:7]) + raw.data(1, TEN[7:], raw.END_STREAM), True),
    "as long, the end by itself": (raw.data(1, TEN) + raw.data(1, b"", raw.END_STREAM), True),
    "as long, with trailers": (raw.data(1, TEN) + TRAILERS, True),
    "as long, without its padding": (raw.data(1, b"\3" + TEN + bytes(3), raw.PADDED | raw.END_STREAM), True),
    "shorter": (raw.data(1, raw.message(b"hell"), raw.END_STREAM), False),
    "shorter, by a frame": (raw.data(1, TEN[:7]) + raw.data(1, b"", raw.END_STREAM), False),
    "shorter, with trailers": (raw.data(1, TEN[:7]) + TRAILERS, False),
    "nothing": (raw.data(1, b"", raw.END_STREAM), False),
    "nothing but trailers": (TRAILERS, False),
    "longer": (raw.data(1, raw.message(b"hello!"), raw.END_STREAM), False),
    "longer, and no end": (raw.data(1, raw.message(b"hello!")), False),
    "longer, by a frame": (raw.data(1, TEN) + raw.data(1, b"x"), False),
}


@pytest.mark.parametrize("moves", (False, True), ids=("stays", "moves"))
@pytest.mark.parametrize(("body", "fits"), BODIES.values(), ids=BODIES)
def test_the_content_length_is_that_of_the_body(body: bytes, fits: bool, moves: bool) -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, [*raw.request("Collect"), ("content-length", "10")]))
    for byte in body:
        owner.feed(bytes((byte,)))
        if moves:
            owner.move()
    answer = "200, hello, status 0" if fits else f"reset {PROTOCOL_ERROR}"
    assert View(owner.sent).brief() == {1: answer}
    assert owner.events[-1] == ("1 end" if fits else f"1 reset {PROTOCOL_ERROR}")
    owner.feed(raw.headers(3, GOOD, BOTH))
    assert owner.events[-1] == "3 end"


def test_a_call_from_an_older_hub_has_no_length_to_keep() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, [*raw.request("Collect"), ("content-length", "10")]))
    snapshot = freeze_session(owner.session)
    snapshot.streams[0].ClearField("body_left")
    assert thaw_session(snapshot, Config()).streams[1].body_left is None


INTERIM = [("interim", [(b":status", b"100")])]


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ([("expect", "100-continue")], True),
        ([("expect", "100-Continue")], True),
        ([("expect", "something, 100-continue")], True),
        ([("expect", "100-continue"), ("content-length", "7")], True),
        ([("expect", "100-continue"), ("content-length", "0")], False),
        ([("expect", "200-ok")], False),
        ([("expect", "")], False),
        ([], False),
    ],
    ids=str,
)
def test_a_client_that_waits_is_told_to_go_on(extra: Fields, told: bool) -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, [*GOOD, *extra]))
    assert View(owner.sent).streams == ({1: INTERIM} if told else {})
    owner.move()
    owner.feed(raw.data(1, b""))
    assert View(owner.sent).streams == ({1: INTERIM} if told else {}), "once"


def test_of_a_client_that_does_not_wait_nothing_is_said() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Unary", ("expect", "100-continue")), BOTH))
    assert View(owner.sent).brief() == {1: "200, , status 0"}


def test_a_client_that_waits_is_told_what_its_headers_are_refused_for() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, [*changed({":method": "PUT"}), ("expect", "100-continue")]))
    assert View(owner.sent).brief() == {1: "405, reset 0"}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_malformed_is_not_remembered_as_good(fields: Fields) -> None:
    test_malformed(fields)
    test_malformed(fields)


ACCEPTED: dict[str, Fields] = {
    "as grpcio sends it": GOOD,
    "over TLS, by its own word": changed({":scheme": "https"}),
    "without :authority": changed({":authority": None}),
    "without te": changed({"te": None}),
    ":authority and host": [*GOOD, ("host", "b:2")],
    "content-type with a codec": changed({"content-type": "application/grpc+proto"}),
    "content-type with a parameter": changed({"content-type": "application/grpc;charset=utf-8"}),
    "grpc-encoding: identity": [*GOOD, ("grpc-encoding", "identity")],
    "grpc-accept-encoding": [*GOOD, ("grpc-accept-encoding", "identity, deflate, gzip")],
    "a value beyond ASCII": [*GOOD, ("x", "caf\xe9")],
    "an empty value": [*GOOD, ("x", "")],
    "all characters of a name": [*GOOD, ("!#$%&'*+-.^_`|~09az", "1")],
    "content-length": [*GOOD, ("content-length", "0")],
    "content-length with zeros ahead": [*GOOD, ("content-length", "000")],
}


@pytest.mark.parametrize("fields", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(fields: Fields) -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, fields, BOTH))
    assert owner.events == ["1 request Unary", "1 end"]
    assert View(owner.sent).brief() == {1: "200, , status 0"}


LONG = ("x-long", "x" * 16_120)
REFUSED: dict[str, tuple[Fields, str]] = {
    "GET": (changed({":method": "GET"}), "405"),
    "post": (changed({":method": "post"}), "405"),
    "no content-type": (changed({"content-type": None}), "415"),
    "JSON": (changed({"content-type": "application/json"}), "415"),
    "gRPC-Web": (changed({"content-type": "application/grpc-web"}), "415"),
    "zstd": ([*GOOD, ("grpc-encoding", "zstd")], "200, status 12"),
    "an encoding with a long name": ([*GOOD, ("grpc-encoding", "z" * 2000)], "200, status 12"),
    "two timeouts": ([*GOOD, ("grpc-timeout", "1S"), ("grpc-timeout", "2S")], "200, status 13"),
    "an empty timeout": ([*GOOD, ("grpc-timeout", "")], "200, status 13"),
    "a timeout of nine digits": ([*GOOD, ("grpc-timeout", "123456789S")], "200, status 13"),
    "a long timeout": ([*GOOD, ("grpc-timeout", "1" * 16_000)], "200, status 13"),
    "headers over the limit": ([*GOOD, LONG], "200, status 8"),
}


@pytest.mark.parametrize("ended", (False, True), ids=("open", "ended"))
@pytest.mark.parametrize(("fields", "answer"), REFUSED.values(), ids=REFUSED)
def test_refused(fields: Fields, answer: str, ended: bool) -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, fields, BOTH if ended else raw.END_HEADERS))
    assert owner.events == [] and not owner.session.streams
    assert View(owner.sent).brief() == {1: answer if ended else f"{answer}, reset 0"}
    assert len(owner.sent) < 300


def test_a_refused_encoding_says_what_is_accepted() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, [*GOOD, ("grpc-encoding", "br")], BOTH))
    [(_, fields)] = View(owner.sent).streams[1]
    assert dict(fields)[b"grpc-accept-encoding"] == b"identity,gzip,deflate"
    assert b"'br' is not supported" in dict(fields)[b"grpc-message"]


def test_the_limit_counts_as_rfc_9113_does() -> None:
    size = sum(len(name) + len(value) + 32 for name, value in GOOD)
    for limit, answer in ((size - 1, "200, status 8"), (size, "200, , status 0")):
        owner = Owner(Config(max_header_list_bytes=limit))
        owner.feed(raw.OPEN + raw.headers(1, GOOD, BOTH))
        assert View(owner.sent).brief() == {1: answer}


def test_a_small_block_that_stands_for_much_is_checked_once_for_each_field() -> None:
    owner = Owner()
    stored = b"\x40" + raw.literal("x") + raw.literal("v" * 4000)
    owner.feed(raw.OPEN + raw.frame(raw.HEADERS, BOTH, 1, raw.block(GOOD) + stored))
    checked: list[str] = []
    is_bad = fields._is_bad

    def counting(value: str) -> bool:
        checked.append(value)
        return is_bad(value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields, "_is_bad", counting)
        owner.feed(raw.frame(raw.HEADERS, BOTH, 3, raw.block(GOOD) + b"\xbe" * 16_000))
    assert len(checked) == len(GOOD) + 1
    assert View(owner.sent).brief()[3] == "200, status 8"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1H", 3600.0), ("2M", 120.0), ("3S", 3.0), ("4m", 0.004), ("5u", 5e-6), ("6n", 6e-9),
        ("0S", 0.0), ("00000001S", 1.0), ("99999999H", 99999999 * 3600.0),
    ],
)  # fmt: skip
def test_timeouts(text: str, seconds: float) -> None:
    assert parse_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "S",
        "1",
        "1s",
        "1 S",
        " 1S",
        "1S ",
        "1S\n",
        "-1S",
        "+1S",
        "1.5S",
        "0x1S",
        "1_0S",
        "\u0661S",
        "123456789S",
    ],
)
def test_no_timeouts(text: str) -> None:
    assert parse_timeout(text) is None


def test_the_timeout_comes_with_its_call_and_the_head_is_shared() -> None:
    owner = Owner()
    for stream, text in ((1, "1S"), (3, "250m"), (5, "1S")):
        owner.feed(
            (raw.OPEN if stream == 1 else b"")
            + raw.headers(stream, raw.request("Silent", ("grpc-timeout", text)))
        )
    streams = owner.session.streams
    assert [stream.timeout for stream in streams.values()] == ["1S", "250m", "1S"]
    assert streams[1].head is streams[3].head


def test_the_memo_of_heads_is_bounded() -> None:
    head._memo.clear()
    owner = Owner(Config(max_concurrent_streams=10_000))
    calls = (raw.headers(1 + 2 * n, raw.request("Silent", ("x-id", str(n)))) for n in range(1500))
    owner.feed(raw.OPEN + b"".join(calls))
    assert len(owner.session.streams) == 1500
    assert 0 < len(head._memo) <= head._MEMO_ENTRIES
    owner.feed(raw.headers(3001, raw.request("Silent", ("x-id", "x" * 2048))))
    assert all(each.size <= head._MEMO_BYTES for each in head._memo.values())


MESSAGES: dict[str, tuple[bytes, str]] = {
    "compressed, though no encoding was agreed": (raw.message(b"x", flags=1), "200, status 13, reset 0"),
    "with flags that mean nothing": (raw.message(b"x", flags=2), "200, status 13, reset 0"),
    "over the limit": (raw.message(bytes(101)), "200, status 8, reset 0"),
    "over the limit, by its prefix alone": (raw.message(bytes(101))[:5], "200, status 8, reset 0"),
    "as long as four bytes can say": (b"\0\xff\xff\xff\xff", "200, status 8, reset 0"),
    "at the limit": (raw.message(bytes(100)), ""),
}


@pytest.mark.parametrize("whole", (True, False), ids=("in one frame", "byte by byte"))
@pytest.mark.parametrize(("data", "answer"), MESSAGES.values(), ids=MESSAGES)
def test_messages(data: bytes, answer: str, whole: bool) -> None:
    owner = Owner(Config(max_receive_message_bytes=100))
    pieces = [data] if whole else [bytes((byte,)) for byte in data]
    good = raw.data(1, raw.message(b"good"))
    owner.feed(
        raw.OPEN
        + raw.headers(1, raw.request("Silent"))
        + good
        + b"".join(raw.data(1, each) for each in pieces)
    )
    assert View(owner.sent).brief() == ({1: answer} if answer else {})
    assert owner.events[:2] == ["1 request Silent", "1 message good"]
    assert owner.events[2:] == (["1 reset 8"] if answer else ["1 message 100 bytes"])


@pytest.mark.parametrize("end", ("DATA", "empty DATA", "trailers"))
@pytest.mark.parametrize("part", (1, 4, 5, 9))
def test_a_call_that_ends_inside_a_message(end: str, part: int) -> None:
    owner = Owner()
    started = raw.message(b"hello")[:part]
    tail = {
        "DATA": raw.data(1, started, raw.END_STREAM),
        "empty DATA": raw.data(1, started) + raw.data(1, b"", raw.END_STREAM),
        "trailers": raw.data(1, started) + raw.headers(1, [("x-sum", "1")], BOTH),
    }
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Silent")) + tail[end])
    assert owner.events == ["1 request Silent", "1 reset 8"]
    assert View(owner.sent).brief() == {1: "200, status 13"}  # no RST_STREAM: both sides have ended it


def test_a_refused_message_in_the_last_frame_takes_no_reset() -> None:
    owner = Owner()
    owner.feed(
        raw.OPEN + raw.headers(1, raw.request("Silent")) + raw.data(1, raw.message(b"x", 1), raw.END_STREAM)
    )
    assert View(owner.sent).brief() == {1: "200, status 13"}


@pytest.mark.parametrize(
    "data",
    [
        raw.data(1, raw.message(bytes(101)), raw.END_STREAM),
        raw.data(1, raw.message(b"x", flags=2), raw.END_STREAM),
        raw.data(1, raw.message(b"x")[:4], raw.END_STREAM),
    ],
    ids=("over the limit", "with flags", "not whole"),
)
def test_a_call_that_is_refused_for_its_method_is_so_whatever_its_message(data: bytes) -> None:
    owner = Owner(Config(max_receive_message_bytes=100))
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Fail")) + data)
    assert View(owner.sent).brief() == {1: "200, status 5"}
    assert owner.events == ["1 request Fail"] and not owner.session.streams


def test_nothing_more_is_heard_of_a_refused_call() -> None:
    session = ServerSession(Config(max_receive_message_bytes=100, stream_window_bytes=65_535))
    call = raw.headers(1, raw.request("Silent")) + raw.data(1, raw.message(bytes(50))) * 300
    bad = raw.data(1, raw.message(b"x", flags=2)) + raw.data(1, raw.message(b"more"), raw.END_STREAM)
    events = session.receive_data(raw.OPEN + call + bad + raw.window_update(1, 0))
    assert isinstance(events[-1], StreamRefused) and not session.streams
    sent = View(session.data_to_send())
    for event in events:
        if isinstance(event, MessageReceived):
            session.inbound.consumed(event.stream, len(event.payload))
    session.outbound.message(events[-1].stream, b"what another call's handler sends meanwhile")
    session.outbound.cut_off(events[-1].stream, trailers(events[-1].status, events[-1].message))
    assert sent.streams == {} and not session.outbound.unsent_bytes
    after = [(type_, id) for type_, _, id, _ in raw.frames(session.data_to_send())]
    assert after == [(raw.HEADERS, 1), (raw.DATA, 1), (raw.HEADERS, 1), (raw.RST_STREAM, 1)]


def test_what_is_sent_on_a_refused_call_before_its_end_is_no_other_message() -> None:
    session = ServerSession(Config())
    session.receive_data(raw.OPEN + raw.settings((raw.INITIAL_WINDOW_SIZE, 100_000)))
    session.receive_data(raw.headers(1, raw.request("Silent")))
    stream = session.streams[1]
    session.outbound.message(stream, bytes(70_000))
    sent = session.data_to_send()
    bad = raw.data(1, raw.message(b"x", flags=2))
    [refused] = session.receive_data(bad + raw.window_update(0, 50_000))
    assert isinstance(refused, StreamRefused)
    session.outbound.message(stream, b"more")  # as another call's handler may, which is told first
    session.outbound.cut_off(stream, trailers(refused.status, refused.message))
    sent += session.data_to_send()
    assert View(sent).brief() == {1: "200, part of a message, status 13, reset 0"}
    assert not session.outbound.unsent_bytes and session.outbound.idle


@pytest.mark.parametrize("finished", (False, True))
def test_a_refused_message_ends_a_call_that_waits_to_send(finished: bool) -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.settings((raw.INITIAL_WINDOW_SIZE, 8)) + raw.headers(1, raw.request("Echo")))
    owner.feed(raw.data(1, raw.message(b"hello")))
    if finished:
        owner.session.outbound.finish(owner.calls[1].stream, OK)
    owner.feed(raw.data(1, raw.message(b"bad", 1)))
    assert View(owner.sent).brief() == {1: "200, part of a message, status 13, reset 0"}
    assert not owner.session.streams


# ---- on the way to another hub


def parse_head(fields: tuple[tuple[str, str], ...]) -> tuple[RequestHead, str]:
    """As a connection reads its first request."""
    return HeadReader().read(fields)


def everything(head: RequestHead) -> dict[str, Any]:
    return {name: getattr(head, name) for name in RequestHead.__slots__}


VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=20).map(str.strip)
FIELDS = st.lists(
    st.tuples(st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), VALUES)
    | st.sampled_from(
        [
            ("grpc-encoding", "gzip"),
            ("grpc-encoding", "unknown"),
            ("grpc-accept-encoding", "gzip,identity"),
            ("content-length", "12"),
            ("expect", "100-continue"),
            ("content-type", "text/html"),
            ("grpc-timeout", "1S"),
            ("x" * 3000, "large"),
        ]
    ),
    max_size=12,
)


@given(FIELDS)
def test_a_head_travels(fields: Fields) -> None:
    try:
        found, _ = parse_head((*raw.request("Unary"), *fields))
    except StreamFault:
        return
    packed = freeze_head(found)
    for _ in range(2):  # from elsewhere, and known already
        assert everything(thaw_head(packed)) == everything(found)
        head._memo.clear()


def test_what_is_no_head() -> None:
    for packed in (b"", b":path", b":path\0/a.B/C\0te"):
        with pytest.raises(ValueError, match="shorter"):
            thaw_head(packed)
    for packed in (b":path\0", b"te\0trailers"):
        with pytest.raises(ValueError, match="without a path"):
            thaw_head(packed)


SMALL_FIELDS = [(f"{number % 100:02}", f"{number // 100:02}") for number in range(440)]


def test_an_open_call_keeps_its_fields_as_one_text() -> None:
    """440 small fields are within the limit, and 89 kB as objects."""
    session = ServerSession(Config(max_header_list_bytes=16384))
    session.receive_data(raw.OPEN)
    parse_head(tuple(GOOD))
    (event,) = session.receive_data(raw.headers(1, [*GOOD, *SMALL_FIELDS]))
    fields = event.stream.head.fields
    assert fields == tuple(field for field in (*GOOD, *SMALL_FIELDS) if field[0] != "grpc-timeout")
    del fields, event
    tracemalloc.start()
    try:
        for stream in range(3, 103, 2):
            session.receive_data(raw.headers(stream, [*GOOD, *SMALL_FIELDS]))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(session.streams) == 51
    assert grown / 50 < 6000


def test_a_list_that_is_long_only_as_text_is_none() -> None:
    """As an HPACK bomb makes it: 40 MB in a frame."""
    field = ("x", "v" * 4000)
    fields = (*GOOD, *[field] * 10_000)
    tracemalloc.start()
    try:
        found, _ = parse_head(fields)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.fields == fields
    assert peak < 1_000_000


def test_a_connection_keeps_no_large_head_without_a_call() -> None:
    session = ServerSession(Config())
    session.receive_data(raw.OPEN)
    parse_head(tuple(GOOD))
    tracemalloc.start()
    try:
        (event, _) = session.receive_data(raw.headers(1, [*GOOD, *SMALL_FIELDS], BOTH))
        session.outbound.finish(event.stream, OK)
        session.data_to_send()
        del event, _
        grown, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not session.streams
    assert grown < 8000, grown


def test_a_head_with_many_fields_is_read_as_any_other() -> None:
    """It is not compared with the last one; the fields are those that came."""
    reader = head.HeadReader()
    for extra in ([], SMALL_FIELDS, SMALL_FIELDS[:50], SMALL_FIELDS, [("grpc-timeout", "1S")], SMALL_FIELDS):
        for timeout in ([], [("grpc-timeout", "2S")]):
            fields = (*GOOD, *extra, *timeout)
            assert _told(*reader.read(fields)) == _told(*parse_head(fields))


def _told(found: head.RequestHead, timeout: str) -> tuple[object, ...]:
    return (found.path, found.size, found.fields, found.refusal, timeout)
