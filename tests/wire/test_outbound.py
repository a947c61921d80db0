"""What goes out for each thing that a hub may ask for, as a strict client sees it."""

from __future__ import annotations

import pytest

from actorrpc.errors import StatusCode
from actorrpc.wire.responses import trailers
from tests.support import raw
from tests.support.view import View

from .owner import OK, Owner
from .peer import Peer

HEADERS = ("headers", [(b":status", b"200"), (b"content-type", b"application/grpc")])
ENDED = ("trailers", [(b"grpc-status", b"0")])


def opened(*, ended: bool = True, settings: bytes = b"", count: int = 1) -> Owner:
    """A server with calls of Silent open on streams 1, 3, ..."""
    flags = raw.END_HEADERS | (raw.END_STREAM if ended else 0)
    owner = Owner()
    owner.feed(
        raw.OPEN
        + settings
        + b"".join(raw.headers(1 + 2 * n, raw.request("Silent"), flags) for n in range(count))
    )
    return owner


def seen(owner: Owner) -> list[tuple[str, object]]:
    owner.flush()
    return View(owner.sent).streams[1]


@pytest.mark.parametrize("ended", (True, False))
def test_reply(ended: bool) -> None:
    owner = opened(ended=ended)
    owner.session.outbound.reply(owner.calls[1].stream, b"hi")
    assert seen(owner) == [HEADERS, ("data", raw.message(b"hi")), ENDED] + [("reset", 0)] * (not ended)
    assert not owner.session.streams


def test_the_short_way_to_reply_says_what_the_long_way_says() -> None:
    ways = []
    for before in (0, 1):
        owner = opened(count=2)
        if before:  # the first header block of a connection carries the size of the table: no short way
            owner.session.outbound.reply(owner.calls[1].stream, b"first")
        owner.session.outbound.reply(owner.calls[3].stream, b"hello")
        owner.flush()
        assert 3 not in owner.session.streams and owner.calls[3].stream.closed
        ways.append(View(owner.sent).streams[3])
    assert ways[0] == ways[1] == [HEADERS, ("data", raw.message(b"hello")), ENDED]


@pytest.mark.parametrize("size", (0, 1, 16_378, 16_379, 16_380, 65_530, 65_531, 300_000))
@pytest.mark.parametrize("first", (True, False))
def test_replies_of_all_sizes(size: int, first: bool) -> None:
    peer, owner = Peer(), Owner()
    if not first:
        peer.call("Unary", b"")
    id = peer.call("Burst", b"1x%d" % size) if first else peer.begin("Silent", end=True)
    owner.feed(peer.take())
    if not first:
        owner.session.outbound.reply(owner.calls[id].stream, bytes(size))
        owner.flush()
    peer.receive(owner.output())
    peer.h2.increment_flow_control_window(1 << 20)
    if not peer.replies[id].ended:
        assert size >= 65_530
        peer.h2.increment_flow_control_window(1 << 20, id)
    owner.feed(peer.take())
    peer.receive(owner.output())
    assert [len(message) for message in peer.replies[id].messages] == [size]
    assert peer.replies[id].status == 0 and peer.replies[id].ended


def test_replies_keep_to_the_connection_window() -> None:
    peer, owner = Peer(), Owner()
    sizes = [1000] * 65 + [205, 0, 1, 2000]  # with their prefixes, 65 and a half of them fit
    ids = [peer.begin("Silent", end=True) for _ in sizes]
    owner.feed(peer.take())
    for id, size in zip(ids, sizes, strict=True):
        owner.session.outbound.reply(owner.calls[id].stream, bytes(size))
        owner.drop(id)
    owner.flush()
    peer.receive(owner.output())
    assert peer.h2.remote_flow_control_window(ids[-1]) == 0
    peer.h2.increment_flow_control_window(20_000)
    owner.feed(peer.take())
    peer.receive(owner.output())
    assert [len(peer.replies[id].messages[0]) for id in ids] == sizes


def test_messages_and_a_status() -> None:
    owner = opened()
    outbound, stream = owner.session.outbound, owner.calls[1].stream
    outbound.message(stream, b"a")
    outbound.message(stream, b"")
    outbound.finish(stream, trailers(StatusCode.ABORTED, "50% done ", [(b"x-bin", b"YQ")]))
    assert seen(owner) == [
        HEADERS,
        ("data", raw.message(b"a") + raw.message(b"")),
        ("trailers", [(b"grpc-status", b"10"), (b"grpc-message", b"50%25 done%20"), (b"x-bin", b"YQ")]),
    ]


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        (trailers(StatusCode.OK), [(b"grpc-status", b"0")]),
        (trailers(StatusCode.NOT_FOUND), [(b"grpc-status", b"5")]),
        (trailers(StatusCode.OK, "fine"), [(b"grpc-status", b"0"), (b"grpc-message", b"fine")]),
        (trailers(StatusCode.OK, "", [(b"x", b"1")]), [(b"grpc-status", b"0"), (b"x", b"1")]),
    ],
)
def test_a_status_alone_is_one_block(block: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    owner = opened()
    owner.session.outbound.finish(owner.calls[1].stream, block)
    assert seen(owner) == [("headers", [*HEADERS[1], *fields])]


def test_a_reply_waits_for_its_own_window() -> None:
    owner = opened(settings=raw.settings((raw.INITIAL_WINDOW_SIZE, 8)), count=2)
    for id, payload in ((1, b"abc"), (3, b"abcd")):
        owner.session.outbound.reply(owner.calls[id].stream, payload)
        owner.drop(id)
    owner.flush()
    assert View(owner.sent).brief() == {1: "200, abc, status 0", 3: "200, part of a message"}
    owner.feed(raw.window_update(3, 1))
    assert View(owner.sent).brief()[3] == "200, abcd, status 0"


def test_the_first_status_is_the_one_that_counts() -> None:
    owner = opened(settings=raw.settings((raw.INITIAL_WINDOW_SIZE, 3)))
    outbound, stream = owner.session.outbound, owner.calls[1].stream
    outbound.message(stream, b"hello")
    outbound.finish(stream, OK)
    outbound.finish(stream, trailers(StatusCode.ABORTED))
    owner.feed(raw.window_update(1, 100))
    assert seen(owner) == [HEADERS, ("data", raw.message(b"hello")), ENDED]


@pytest.mark.parametrize("id", (1, 3))
def test_initial_metadata_goes_out_once_and_before_all_else(id: int) -> None:
    owner = opened(count=2)
    outbound = owner.session.outbound
    if id == 3:
        outbound.finish(owner.calls[1].stream, OK)
    outbound.headers(owner.calls[id].stream, [(b"x", b"1")])
    outbound.headers(owner.calls[id].stream, [(b"x", b"2")])
    outbound.reply(owner.calls[id].stream, b"a")
    owner.flush()
    assert View(owner.sent).streams[id] == [
        ("headers", [*HEADERS[1], (b"x", b"1")]),
        ("data", raw.message(b"a")),
        ENDED,
    ]


def test_header_blocks_larger_than_a_frame() -> None:
    long = [(b"x-%d" % number, b"v" * 9000) for number in range(5)]
    owner = opened()
    outbound, stream = owner.session.outbound, owner.calls[1].stream
    outbound.headers(stream, long)
    outbound.finish(stream, trailers(StatusCode.OK, "", long))
    assert seen(owner) == [("headers", [*HEADERS[1], *long]), ("trailers", [*ENDED[1], *long])]


@pytest.mark.parametrize("length", (16_383, 16_384, 16_385, 32_768, 32_769))
def test_header_blocks_at_the_borders_of_frames(length: int) -> None:
    owner = opened(count=2)
    outbound, stream = owner.session.outbound, owner.calls[3].stream
    outbound.finish(owner.calls[1].stream, OK)  # with the size update, which would count too
    block = trailers(StatusCode.OK, "", [(b"x", b"v" * (length - 100))])
    outbound.headers(stream)
    outbound.finish(stream, block + raw.block([("pad", "v" * (length - len(block) - 6))]))
    owner.flush()
    frames = [len(payload) for _, _, id, payload in raw.frames(owner.sent) if id == 3][1:]  # of the trailers
    assert frames == [16_384] * (length // 16_384) + [length % 16_384] * (length % 16_384 > 0)
    assert View(owner.sent).streams[3][-1][0] == "trailers"


def test_a_reset_drops_what_waits() -> None:
    owner = opened(settings=raw.settings((raw.INITIAL_WINDOW_SIZE, 3)))
    outbound, stream = owner.session.outbound, owner.calls[1].stream
    outbound.message(stream, b"hello")
    outbound.reset(stream, 2)
    outbound.reset(stream, 2)
    owner.feed(raw.window_update(1, 100))
    assert seen(owner) == [HEADERS, ("data", raw.message(b"hello")[:3]), ("reset", 2)]
    assert outbound.idle and not owner.session.streams
    assert not stream.unsent and stream.unsent_bytes == 0


def test_the_table_is_given_up_once_in_the_first_block_of_all() -> None:
    owner = opened(count=3)
    for id in (1, 3, 5):
        owner.session.outbound.finish(owner.calls[id].stream, OK)
        owner.drop(id)
        owner.move()
    owner.flush()
    blocks = bytes(owner.sent).split(raw.frame(raw.SETTINGS, raw.ACK, 0))[1]
    assert blocks.count(b"\x20\x88") == 1 and blocks.count(b"\x88") == 3
    assert blocks[9:11] == b"\x20\x88"


def test_pending_tells_how_much_there_is_to_take() -> None:
    owner = opened()
    outbound, stream = owner.session.outbound, owner.calls[1].stream
    assert outbound.pending == 0
    outbound.message(stream, bytes(1000))
    outbound.finish(stream, OK)
    owner.session.receive_data(raw.frame(raw.PING, 0, 0, bytes(8)) + raw.window_update(1, 0))
    framed = outbound.framed()
    assert len(framed) - 9 <= outbound.pending <= len(framed)  # give or take the header of a DATA frame
    assert outbound.take() == framed and outbound.pending == 0


def test_not_idle_with_one_byte_of_the_connection_window() -> None:
    owner = opened(settings=raw.settings((raw.INITIAL_WINDOW_SIZE, 1 << 20)))
    outbound = owner.session.outbound
    outbound.message(owner.calls[1].stream, bytes(65_540))
    owner.flush()
    assert outbound.idle
    owner.session.receive_data(raw.window_update(0, 1))
    assert not outbound.idle and len(outbound.take()) == 10 and outbound.idle


def test_idle_tells_whether_there_is_anything_to_take() -> None:
    owner = opened(settings=raw.settings((raw.INITIAL_WINDOW_SIZE, 3)))
    outbound, stream = owner.session.outbound, owner.calls[1].stream
    assert outbound.idle
    outbound.message(stream, b"hello")
    assert not outbound.idle
    owner.flush()
    assert outbound.idle and stream.unsent_bytes == 7
    owner.feed(raw.window_update(1, 1))
    assert outbound.idle
    owner.session.outbound.finish(stream, OK)
    assert outbound.idle, "the trailers wait behind the message"
    owner.session.receive_data(raw.window_update(1, 100))
    assert not outbound.idle
