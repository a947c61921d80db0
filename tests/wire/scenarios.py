"""Conversations: what a client sends, and what a hub and the client must make of it.

The methods are those of `Owner`. A step is sent once the client has seen the answers to the one before;
within a step, bytes may arrive in any pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hpack

from actorrpc.config import Config
from tests.support import raw
from tests.support.raw import (
    ACK,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HAS_PRIORITY,
    HEADERS,
    OPEN,
    PADDED,
    PING,
    RST_STREAM,
)
from tests.support.view import View

from .owner import Owner
from .peer import Peer

CONFIG = Config()


@dataclass(frozen=True)
class Scenario:
    """``events`` are Owner's, joined with "; ". ``seen`` is View's ``brief``, by stream."""

    name: str
    steps: tuple[bytes, ...]
    events: str
    seen: dict[int, str]
    goaway: str = ""
    config: Config = CONFIG
    max_frame_size: int = 16_384

    def __str__(self) -> str:
        return self.name


SCENARIOS: list[Scenario] = []

Steps = bytes | tuple[bytes, ...]


def scenario(
    *, events: str = "", seen: dict[int, str] | None = None, **options: Any
) -> Callable[[Callable[[], Steps]], None]:
    """Add the scenario whose steps the decorated function makes; its name is the function's."""

    def add(make: Callable[[], Steps]) -> None:
        steps = make()
        name = make.__name__.replace("_", " ")
        SCENARIOS.append(
            Scenario(name, (steps,) if isinstance(steps, bytes) else steps, events, seen or {}, **options)
        )

    return add


# ---- calls of all shapes


@scenario(events="1 request Unary; 1 message hello; 1 end", seen={1: "200, hello, status 0"})
def unary() -> bytes:
    peer = Peer()
    peer.call("Unary", b"hello")
    return peer.take()


@scenario(events="1 request Unary; 1 message ; 1 end", seen={1: "200, , status 0"})
def an_empty_message() -> bytes:
    peer = Peer()
    peer.call("Unary", b"")
    return peer.take()


@scenario(events="1 request Unary; 1 end", seen={1: "200, , status 0"})
def no_message() -> bytes:
    peer = Peer()
    peer.call("Unary")
    return peer.take()


@scenario(
    events="; ".join(f"{id} request Unary within {id}S; {id} message m{id}; {id} end" for id in (1, 3, 5, 7)),
    seen={id: f"200, m{id}, status 0" for id in (1, 3, 5, 7)},
)
def calls_that_differ_in_their_deadline() -> bytes:
    peer = Peer()
    for id in (1, 3, 5, 7):
        peer.call("Unary", f"m{id}".encode(), extra=[("grpc-timeout", f"{id}S")])
    return peer.take()


@scenario(
    events="1 request Collect; 1 message a; 1 message bb; 1 message ; 1 message ccc; 1 end",
    seen={1: "200, abbccc, status 0"},
)
def client_streaming_with_a_frame_for_each_message() -> bytes:
    peer = Peer()
    peer.call("Collect", b"a", b"bb", b"", b"ccc")
    return peer.take()


@scenario(
    events="1 request Echo; 1 message a; 1 message bb; 1 message ; 1 message ccc; 1 end",
    seen={1: "200, a, bb, , ccc, status 0"},
)
def several_messages_in_a_frame() -> bytes:
    peer = Peer()
    id = peer.begin("Echo")
    peer.send(id, b"".join(map(raw.message, (b"a", b"bb", b"", b"ccc"))), end=True)
    return peer.take()


@scenario(events="1 request Echo; 1 message hello; 1 message hi; 1 end", seen={1: "200, hello, hi, status 0"})
def a_byte_in_each_frame() -> bytes:
    peer = Peer()
    id = peer.begin("Echo")
    for byte in raw.message(b"hello") + raw.message(b"hi"):
        peer.send(id, bytes((byte,)))
    peer.send(id, b"", end=True)
    return peer.take()


@scenario(
    events="1 request Echo; 1 message first; 1 message second; 1 message third; 1 end",
    seen={1: "200, first, second, third, status 0"},
)
def messages_that_cross_frames() -> bytes:
    peer = Peer()
    id = peer.begin("Echo")
    data = b"".join(map(raw.message, (b"first", b"second", b"third")))
    for begin in range(0, len(data), 7):
        peer.send(id, data[begin : begin + 7], end=begin + 7 >= len(data))
    return peer.take()


@scenario(
    events="1 request Collect; 1 message 12" + raw.message(b"inner").decode() + "; 1 end",
    seen={1: "200, 12" + raw.message(b"inner").decode() + ", status 0"},
)
def a_frame_that_looks_like_a_message_inside_one() -> bytes:
    peer = Peer()
    id = peer.begin("Collect")
    whole = raw.message(b"12" + raw.message(b"inner"))
    peer.send(id, whole[:7])
    peer.send(id, whole[7:], end=True)
    return peer.take()


@scenario(
    events="1 request Echo; 3 request Echo; 1 message a; 3 message x; 5 request Unary; 1 message b; "
    "5 message u; 5 end; 3 message y; 3 end; 1 end",
    seen={1: "200, a, b, status 0", 3: "200, x, y, status 0", 5: "200, u, status 0"},
)
def interleaved_calls() -> bytes:
    peer = Peer()
    one, two = peer.begin("Echo"), peer.begin("Echo")
    peer.send(one, raw.message(b"a"))
    peer.send(two, raw.message(b"x"))
    three = peer.begin("Unary")
    peer.send(one, raw.message(b"b"))
    peer.send(three, raw.message(b"u"), end=True)
    peer.send(two, raw.message(b"y"), end=True)
    peer.send(one, b"", end=True)
    return peer.take()


@scenario(
    events="1 request Burst; 1 message 5x100; 1 end",
    seen={1: ", ".join(["200", *["100 bytes"] * 5, "status 0"])},
)
def server_streaming() -> bytes:
    peer = Peer()
    peer.call("Burst", b"5x100")
    return peer.take()


@scenario(
    events="1 request Hold; 1 message a; 1 message b; 1 message c; 1 end", seen={1: "200, abc, status 0"}
)
def messages_that_wait_in_the_mailbox() -> bytes:
    peer = Peer()
    peer.call("Hold", b"a", b"b", b"c")
    return peer.take()


@scenario(
    events="1 request Greet; 1 message a; 1 end; 3 request Fail",
    seen={1: "200, a, status 0", 3: "200, status 5, reset 0"},
)
def initial_metadata_and_a_status_alone() -> bytes:
    peer = Peer()
    peer.call("Greet", b"a", extra=[("x-bin", "YQ"), ("x-id", "1"), ("x-id", "2")])
    peer.begin("Fail")
    return peer.take()


@scenario(events="1 request Early; 1 message a", seen={1: "200, status 8, reset 0"})
def a_call_that_ends_before_its_client_does() -> bytes:
    peer = Peer()
    id = peer.begin("Early")
    for payload in (b"a", b"b", b"c"):
        peer.send(id, raw.message(payload))
    return peer.take()


@scenario(
    events="1 request Collect; 1 message a; 1 message bb; 1 end; 3 request Collect; 3 message a; 3 reset 1",
    seen={1: "200, abb, status 0", 3: "reset 1"},
)
def bodies_whose_length_is_named() -> bytes:
    return OPEN + b"".join(
        raw.headers(id, raw.request("Collect", ("content-length", length)))
        + raw.data(id, raw.message(b"a"))
        + raw.data(id, raw.message(b"bb"), END_STREAM)
        for id, length in ((1, "13"), (3, "14"))
    )


@scenario(
    events="1 request Collect; 3 request Unary; 3 end; 5 request Collect; 5 message a; 5 end; "
    "7 request Fail; 1 message a; 1 end",
    seen={
        1: "100, 200, a, status 0",
        3: "200, , status 0",
        5: "200, a, status 0",
        7: "100, 200, status 5, reset 0",
    },
)
def clients_that_wait_to_be_told_to_go_on() -> tuple[bytes, ...]:
    expect = ("expect", "100-continue")
    body = raw.message(b"a")
    return (
        OPEN
        + raw.headers(1, raw.request("Collect", expect))
        + raw.headers(3, raw.request("Unary", expect), END_HEADERS | END_STREAM)
        + raw.headers(5, raw.request("Collect", ("expect", "another-thing")))
        + raw.data(5, body, END_STREAM)
        + raw.headers(7, raw.request("Fail", expect)),
        raw.data(1, body, END_STREAM),
    )


# ---- framing


@scenario(events="1 request Collect; 1 message a; 1 message bb; 1 end", seen={1: "200, abb, status 0"})
def padding() -> bytes:
    peer = Peer()
    peer.call("Collect", b"a", b"bb", pad=20)
    return peer.take()


@scenario(events="1 request Unary; 1 end", seen={1: "200, , status 0"})
def headers_with_padding_and_priority() -> bytes:
    block = b"\x04" + b"\x80\0\0\0\x0f" + raw.block(raw.request("Unary")) + bytes(4)
    return OPEN + raw.frame(HEADERS, PADDED | HAS_PRIORITY | END_HEADERS | END_STREAM, 1, block)


@scenario(
    events="1 request Unary; 1 message a; 1 end; 3 request Unary; 3 end",
    seen={1: "200, a, status 0", 3: "200, , status 0"},
)
def priorities() -> bytes:
    peer = Peer()
    id = peer.begin("Unary", priority=200)
    peer.h2.prioritize(id, weight=3)
    peer.h2.prioritize(9, weight=7, depends_on=1)
    peer.send(id, raw.message(b"a"), end=True)
    peer.begin("Unary", priority=1, end=True)
    return peer.take()


@scenario(events="1 request Unary; 1 end", seen={1: "200, , status 0"})
def continuation() -> bytes:
    block = raw.block(raw.request("Unary"))
    parts = [block[begin : begin + 30] for begin in range(0, len(block), 30)]
    return (
        OPEN
        + raw.frame(HEADERS, END_STREAM, 1, parts[0])
        + raw.frame(CONTINUATION, 0, 1)
        + b"".join(raw.frame(CONTINUATION, 0, 1, part) for part in parts[1:])
        + raw.frame(CONTINUATION, END_HEADERS, 1)
    )


@scenario(events="1 request Collect; 1 message a; 1 end", seen={1: "200, a, status 0"})
def trailers_from_the_client() -> bytes:
    peer = Peer()
    id = peer.begin("Collect")
    peer.send(id, raw.message(b"a"))
    peer.h2.send_headers(id, [("x-checksum", "17")], end_stream=True)
    return peer.take()


@scenario(events="1 request Unary; 1 message a; 1 end", seen={1: "200, a, status 0"})
def pings_and_what_has_no_meaning_in_between() -> bytes:
    peer = Peer()
    id = peer.begin("Unary")
    peer.h2.ping(b"12345678")
    noise = (
        raw.frame(PING, ACK, 0, b"whatever") + raw.frame(0xFA, 0xFF, id, b"unknown") + raw.frame(0xFB, 0, 0)
    )
    sent = peer.take() + noise
    peer.send(id, raw.message(b"a"), end=True)
    peer.h2.ping(b"87654321")
    return sent + peer.take()


# ---- HPACK


@scenario(
    events="; ".join(f"{id} request Silent; {id} end" for id in (1, 3, 5, 7, 9)),
)
def a_dynamic_table_that_evicts() -> bytes:
    peer = Peer()
    for number in range(5):
        if number == 1:
            peer.h2.encoder.header_table_size = 150
        peer.begin("Silent", ("x-id", str(number % 3) * 10), ("x-other", "y" * number), end=True)
    return peer.take()


@scenario(events="; ".join(f"{id} request Silent; {id} end" for id in (1, 3, 5)))
def a_table_that_shrinks_to_nothing_and_grows_again() -> bytes:
    encoder = hpack.Encoder()
    sent = OPEN
    for id, sizes in ((1, ()), (3, (0, 300)), (5, (100,))):
        for size in sizes:
            encoder.header_table_size = size
        fields = raw.request("Silent", ("x-id", "aaaa"), ("authorization", "secret"))
        sensitive = [
            hpack.NeverIndexedHeaderTuple(*field) if field[0] == "authorization" else field
            for field in fields
        ]
        sent += raw.frame(HEADERS, END_HEADERS | END_STREAM, id, encoder.encode(sensitive, huffman=id != 3))
    return sent


@scenario(
    events="; ".join(f"{id} request Unary; {id} message m; {id} end" for id in (1, 3, 5)),
    seen=dict.fromkeys((1, 3, 5), "200, m, status 0"),
)
def a_client_without_a_table() -> tuple[bytes, ...]:
    peer = Peer(header_table_size=0)
    peer.call("Unary", b"m")
    first = peer.take()
    peer.h2.update_settings({raw.HEADER_TABLE_SIZE: 4096})
    peer.call("Unary", b"m")
    second = peer.take()
    peer.h2.update_settings({raw.HEADER_TABLE_SIZE: 100})
    peer.call("Unary", b"m")
    return first, second, peer.take()


# ---- flow control


@scenario(
    events="1 request Burst; 1 message 3x20; 1 end; 3 request Unary; 3 message hello; 3 end",
    seen={
        1: "200, " + "0" * 20 + ", " + "1" * 20 + ", " + "2" * 20 + ", status 0",
        3: "200, hello, status 0",
    },
)
def windows_of_a_few_bytes() -> tuple[bytes, ...]:
    peer = Peer(initial_window_size=7)
    peer.call("Burst", b"3x20")
    peer.call("Unary", b"hello")
    steps = [peer.take()]
    for _ in range(8):
        peer.h2.increment_flow_control_window(9, 1)
        steps.append(peer.take())
    peer.h2.increment_flow_control_window(3, 3)
    return *steps, peer.take()


@scenario(
    events="1 request Echo; 1 message " + "a" * 24 + "; 1 message " + "b" * 24 + "; 1 message c; 1 end",
    seen={1: "200, " + "a" * 24 + ", " + "b" * 24 + ", c, status 0"},
)
def a_window_that_becomes_negative() -> tuple[bytes, ...]:
    call = OPEN + raw.settings((raw.INITIAL_WINDOW_SIZE, 40)) + raw.headers(1, raw.request("Echo"))
    return (
        call + raw.data(1, raw.message(b"a" * 24)),  # 29 of the 40 are used
        raw.settings((raw.INITIAL_WINDOW_SIZE, 0)) + raw.data(1, raw.message(b"b" * 24)),  # the window is -29
        raw.window_update(1, 28),  # -1
        raw.settings((raw.INITIAL_WINDOW_SIZE, 1)) + raw.data(1, raw.message(b"c"), END_STREAM),  # 0
        raw.settings((raw.INITIAL_WINDOW_SIZE, 2), (raw.INITIAL_WINDOW_SIZE, 12)),  # 11
        raw.window_update(1, 100),
    )


@scenario(
    events="1 request Burst; 1 message 2x40000; 1 end",
    seen={1: "200, 40000 bytes, 40000 bytes, status 0"},
    max_frame_size=20_000,
)
def larger_frames_and_the_connection_window() -> tuple[bytes, ...]:
    peer = Peer()
    peer.call("Burst", b"2x40000")
    first = peer.take()
    peer.h2.update_settings({raw.MAX_FRAME_SIZE: 20_000, raw.INITIAL_WINDOW_SIZE: 100_000})
    second = peer.take()
    peer.h2.increment_flow_control_window(10_000)
    third = peer.take()
    peer.h2.increment_flow_control_window(10_000)
    return first, second, third, peer.take()


@scenario(
    events="1 request Collect; 1 message 120000 bytes; 1 end",
    seen={1: "200, 120000 bytes, status 0"},
    config=Config(stream_window_bytes=65_535, connection_window_bytes=65_535),
)
def a_message_larger_than_the_windows() -> tuple[bytes, ...]:
    data = raw.message(bytes(120_000))
    parts = [data[begin : begin + 16_384] for begin in range(0, len(data), 16_384)]
    frames = [raw.data(1, part, END_STREAM if part is parts[-1] else 0) for part in parts]
    start = OPEN + raw.window_update(0, 100_000) + raw.settings((raw.INITIAL_WINDOW_SIZE, 200_000))
    return start + raw.headers(1, raw.request("Collect")) + b"".join(frames[:3]), *frames[3:]


# ---- ends


@scenario(events="1 request Silent; 1 message a; 1 reset 8; 3 request Silent; 3 reset 0")
def cancelled_by_the_client() -> bytes:
    peer = Peer()
    id = peer.begin("Silent")
    peer.send(id, raw.message(b"a"))
    peer.send(id, raw.message(b"bcd")[:6])
    peer.h2.reset_stream(id, 8)
    peer.h2.reset_stream(peer.begin("Silent", end=False), 0)
    return peer.take()


@scenario(
    events="1 request Burst; 1 message 9x9; 1 end; 3 request Unary; 3 message b; 3 end",
    seen={1: "200, part of a message", 3: "200, b, status 0"},
)
def cancelled_while_the_reply_waits() -> tuple[bytes, ...]:
    peer = Peer(initial_window_size=6)
    peer.call("Burst", b"9x9")
    first = peer.take()
    peer.h2.reset_stream(1, 8)
    peer.call("Unary", b"b")
    return first, peer.take()


@scenario(
    events="1 request Echo; 1 message a; 1 message b; 1 end",
    seen={1: "200, a, b, status 0"},
)
def the_client_says_goaway() -> bytes:
    peer = Peer()
    id = peer.begin("Echo")
    peer.send(id, raw.message(b"a"))
    sent = peer.take() + raw.frame(raw.GOAWAY, 0, 0, bytes(8) + b"bye")
    peer.send(id, raw.message(b"b"), end=True)
    return sent + peer.take()


def _goaway_ping(sent: bytes) -> bytes:
    """The acknowledgement of the PING in the answer to ``sent``."""
    owner = Owner()
    owner.feed(sent)
    [ping] = [line.removeprefix("ping ") for line in View(owner.sent).control if line.startswith("ping ")]
    return raw.frame(PING, ACK, 0, ping.encode("latin-1"))


@scenario(
    events="1 request Shutdown; 3 request Unary; 3 message on its way; 3 end; 1 message a; 1 end",
    seen={1: "200, a, status 0", 3: "200, on its way, status 0", 5: "reset 7"},
    goaway="0 after 3",
)
def shutdown_in_two_steps() -> tuple[bytes, ...]:
    peer = Peer()
    peer.begin("Shutdown")
    first = peer.take()
    peer.call("Unary", b"on its way")
    second = peer.take() + _goaway_ping(first)
    peer.call("Unary", b"too late")
    peer.send(1, raw.message(b"a"), end=True)
    return first, second + peer.take()


# ---- what is refused


@scenario(
    events="7 request Silent; 9 request Silent; 7 message good; 7 reset 8; 9 message x; 9 reset 8",
    seen={
        1: "405, reset 0",
        3: "415",
        5: "200, status 12",
        7: "200, status 8, reset 0",
        9: "200, status 13, reset 0",
        11: "reset 1",
        13: "200, status 8",
    },
    config=Config(max_receive_message_bytes=10, max_header_list_bytes=300),
)  # fmt: skip
def refusals() -> bytes:
    both = END_HEADERS | END_STREAM
    json = [
        (name, "application/json" if name == "content-type" else value)
        for name, value in raw.request("Unary")
    ]
    return (
        OPEN
        + raw.headers(1, [(":method", "GET"), *raw.request("Unary")[1:]])
        + raw.headers(3, json, both)
        + raw.headers(5, raw.request("Unary", ("grpc-encoding", "zstd")), both)
        + raw.headers(7, raw.request("Silent"))
        + raw.headers(9, raw.request("Silent"))
        + raw.data(7, raw.message(b"good") + raw.message(b"eleven byte")[:5])
        + raw.data(9, raw.message(b"x") + raw.message(b"x", flags=1))
        + raw.headers(11, raw.request("Unary", ("X-Id", "1")), both)
        + raw.headers(13, raw.request("Unary", ("x-long", "x" * 60)), both)
        + raw.data(1, b"late") + raw.frame(RST_STREAM, 0, 1, bytes(4))
    )  # fmt: skip


@scenario(
    events="1 request Hold; 1 message first; 3 request Hold; 3 reset 8; 9 request Unary; 9 end; 1 end",
    seen={
        1: "200, first, status 0",
        3: "200, status 8",
        5: "200, status 8, reset 0",
        7: "200, status 8",
        9: "200, , status 0",
    },
)
def header_lists_of_any_size_concern_their_call_alone() -> bytes:
    large = [("x-large", "x" * 1000)] * 40
    stored = b"\x40" + raw.literal("te") + raw.literal("trailers")
    return (
        OPEN
        + raw.headers(1, raw.request("Hold"))
        + raw.data(1, raw.message(b"first"))
        + raw.headers(3, raw.request("Hold"))
        + raw.long_headers(3, raw.block(large), END_STREAM)
        + raw.long_headers(5, raw.block(raw.request("Unary") + large))
        + raw.long_headers(7, raw.block(raw.request("Unary") + large) + stored, END_STREAM)
        + raw.frame(HEADERS, END_HEADERS | END_STREAM, 9, raw.block(raw.request("Unary")[:5]) + b"\xbe")
        + raw.data(1, b"", END_STREAM)
    )


@scenario(
    events="1 request Fail; 3 request Fail; 5 request Early; 5 message a",
    seen={1: "200, status 5, reset 0", 3: "200, status 5, reset 0", 5: "200, status 8, reset 0"},
    config=Config(max_receive_message_bytes=10),
)
def what_ends_a_call_first_is_its_status() -> bytes:
    bad = {1: raw.message(b"eleven byte"), 3: raw.message(b"x", flags=1)}
    calls = (raw.headers(id, raw.request("Fail")) + raw.data(id, data) for id, data in bad.items())
    early = raw.headers(5, raw.request("Early")) + raw.data(5, raw.message(b"a") + raw.message(b"b", 1))
    return OPEN + b"".join(calls) + early + raw.data(5, b"late")


def _last_words(name: str, sent: bytes) -> None:
    SCENARIOS.append(Scenario(name, (sent,), "fault 1", {}))


_last_words("HTTP/1.1 GET", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
_last_words("HTTP/1.1 POST, which begins as the preface does", b"POST /a.B/C HTTP/1.1\r\nHost: x\r\n\r\n")
_last_words("HTTP/1.1 that wants to upgrade", b"PRI / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n")
_last_words("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(range(32)))
_last_words("garbage", bytes(range(200, 256)))
_last_words("a preface with its last byte wrong", raw.PREFACE[:-1] + b"\r" + raw.settings())
