"""Floods: frames that are valid, or nearly, and cost the server more than they cost their sender.

Each is one connection that sends as fast as its socket takes it. Where the flood serves no call, the answer
is GOAWAY with ENHANCE_YOUR_CALM (RFC 9113, 7 and 10.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat

import pytest

from tests.apps.shapes_pb2 import Item
from tests.hostile.attacker import ENHANCE_YOUR_CALM, WIDE, Attacker, Requests
from tests.hostile.hub import MB, Hub
from tests.support import raw

Flood = Callable[[Requests], Iterable[bytes]]

#: No call of the bystander takes longer, in seconds, beside calls that are many and each of them quick.
SLOWEST = 0.2

EMPTY = raw.message(b"")
#: A message for the actor, which keeps its mailbox closed for as long as the attacks take.
BLOCK = Item(sleep=30).SerializeToString()


def calm(attacker: Attacker) -> str:
    """The debug data of the GOAWAY that ended the flood, which must say ENHANCE_YOUR_CALM."""
    attacker.wait(lambda: attacker.goaway is not None, 5)
    assert attacker.goaway is not None, repr(attacker)
    assert attacker.goaway[0] == ENHANCE_YOUR_CALM, attacker.goaway
    return attacker.goaway[1]


# ---- calls that are begun and ended at once


def rapid_reset(requests: Requests) -> Iterator[bytes]:
    for _ in range(30_000):
        yield requests.open() + requests.reset()


def rapid_reset_of_whole_calls(requests: Requests) -> Iterator[bytes]:
    for _ in range(30_000):
        yield requests.call() + requests.reset()


def rapid_reset_behind_a_blocked_actor(requests: Requests) -> Iterator[bytes]:
    yield requests.call(BLOCK, "Stateful/Unary")
    for _ in range(30_000):
        yield requests.call(b"", "Stateful/Unary") + requests.reset()


def rapid_reset_of_half_closed_streams(requests: Requests) -> Iterator[bytes]:
    """No message, so that no window holds it back: only the turn for the half-close is queued."""
    yield requests.call(BLOCK, "Stateful/Unary")
    for _ in range(30_000):
        yield requests.open("Stateful/Collect", flags=raw.END_STREAM) + requests.reset()


RAPID_RESETS = [
    rapid_reset,
    rapid_reset_of_whole_calls,
    rapid_reset_behind_a_blocked_actor,
    rapid_reset_of_half_closed_streams,
]


@pytest.mark.parametrize("flood", RAPID_RESETS, ids=lambda flood: flood.__name__)
def test_rapid_reset(hub: Hub, flood: Flood):
    """CVE-2023-44487: HEADERS and RST_STREAM in turn, so that no limit of concurrent streams is met."""
    with hub.unharmed(), Attacker(hub.address) as attacker:
        calm(attacker.flood(flood(Requests())))


def window_update_of_0(stream: int) -> bytes:
    return raw.window_update(stream, 0)


def window_overflow(stream: int) -> bytes:
    return raw.window_update(stream, 2**31 - 1)


def data_after_end_stream(stream: int) -> bytes:
    return raw.data(stream, EMPTY, raw.END_STREAM) + raw.data(stream, EMPTY)


def headers_after_end_stream(stream: int) -> bytes:
    return raw.data(stream, EMPTY, raw.END_STREAM) + raw.headers(stream, [("late", "yes")])


def priority_of_4_bytes(stream: int) -> bytes:
    return raw.frame(raw.PRIORITY, 0, stream, bytes(4))


def headers_without_end_stream(stream: int) -> bytes:
    return raw.headers(stream, [("second", "yes")])


def trailers_in_upper_case(stream: int) -> bytes:
    return raw.headers(stream, [("UPPER", "case")], raw.END_HEADERS | raw.END_STREAM)


PROVOCATIONS = [
    window_update_of_0,
    window_overflow,
    data_after_end_stream,
    headers_after_end_stream,
    priority_of_4_bytes,
    headers_without_end_stream,
    trailers_in_upper_case,
]


@pytest.mark.parametrize("provocation", PROVOCATIONS, ids=lambda each: each.__name__)
def test_made_you_reset(hub: Hub, provocation: Callable[[int], bytes]):
    """CVE-2025-8671: a stream error makes the server send the RST_STREAM, which counts all the same."""

    def flood(requests: Requests) -> Iterator[bytes]:
        yield requests.call(BLOCK, "Stateful/Unary")
        for _ in range(30_000):
            yield requests.open("Stateful/Unary") + provocation(requests.last)

    with hub.unharmed(), Attacker(hub.address) as attacker:
        calm(attacker.flood(flood(Requests())))


def malformed_requests(requests: Requests) -> Iterator[bytes]:
    for _ in range(60_000):
        yield requests.open("Stateless/Unary", ("connection", "close"))


def refused_streams(requests: Requests) -> Iterator[bytes]:
    """One more than SETTINGS_MAX_CONCURRENT_STREAMS allows, again and again."""
    for _ in range(60_000):
        yield requests.open("Stateful/Talk")


@pytest.mark.parametrize("flood", [malformed_requests, refused_streams], ids=lambda flood: flood.__name__)
def test_reset_flood(hub: Hub, flood: Flood):
    """CVE-2019-9514: requests to be refused with a RST_STREAM each, which fill the server's output."""
    with hub.unharmed(), Attacker(hub.address) as attacker:
        calm(attacker.flood(flood(Requests())))


def test_calls_whose_deadline_passes_behind_a_blocked_actor(hub: Hub):
    """As rapid reset, but the server ends the calls: a deadline of 1 ns costs the client no frame at all.

    Nothing is wrong with a single one of them, so that they may be answered with any status; but what waits
    in the mailbox must not grow with them. Half-closed at once, they are not held back by a window either.
    """
    with hub.unharmed(cpu=8, memory=32 * MB), Attacker(hub.address) as attacker:
        requests = Requests()
        attacker.send(requests.call(BLOCK, "Stateful/Unary"))
        for _ in range(100):
            calls = (
                requests.open("Stateful/Collect", ("grpc-timeout", "1n"), flags=raw.END_STREAM)
                for _ in range(900)
            )
            attacker.send(b"".join(calls))
            if attacker.wait(lambda: attacker.goaway or requests.last in attacker.fields).goaway:
                break


# ---- control frames

FLOODS: dict[str, Iterable[bytes]] = {
    # CVE-2019-9515
    "settings": repeat(raw.settings(), 300_000),
    "settings of 2,730 values": repeat(raw.settings(*[(raw.INITIAL_WINDOW_SIZE, 65_535)] * 2730), 2_000),
    "settings acknowledged": repeat(raw.frame(raw.SETTINGS, raw.ACK, 0), 700_000),
    # CVE-2019-9512
    "ping": repeat(raw.frame(raw.PING, 0, 0, b"12345678"), 300_000),
    "ping acknowledged": repeat(raw.frame(raw.PING, raw.ACK, 0, b"12345678"), 500_000),
    # CVE-2019-9513
    "priority": (
        raw.frame(raw.PRIORITY, 0, stream, (stream + 2).to_bytes(4, "big") + b"\xff")
        for stream in range(1, 1_000_000, 2)
    ),
    # CVE-2019-9518, and their kin
    "unknown frame type": repeat(raw.frame(0xEE, 0xFF, 3), 500_000),
    "priority update": repeat(raw.frame(0x10, 0, 0, b"\0\0\0\1u=0"), 500_000),
    "goaway": repeat(raw.frame(raw.GOAWAY, 0, 0, bytes(8)), 300_000),
    "window update of the connection": repeat(raw.window_update(0, 1), 900_000),
}


@pytest.mark.parametrize("name", FLOODS)
def test_control_frames(hub: Hub, name: str):
    """CVE-2019-9512 (PING), 9513 (PRIORITY), 9515 (SETTINGS) and what else needs no stream."""
    with hub.unharmed(), Attacker(hub.address) as attacker:
        said = calm(attacker.flood(FLOODS[name]))
    if name == "ping":
        assert said == "too_many_pings"  # gRPC A8


def test_resizing_windows_of_many_streams(hub: Hub):
    """SETTINGS_INITIAL_WINDOW_SIZE up and down on 1000 open streams: 15 bytes, and a step for each stream.

    RFC 9113, 6.9.2 demands the steps; their cost must count, not that of one frame.
    """

    def flood(requests: Requests) -> Iterator[bytes]:
        for _ in range(1000):
            yield requests.open("Stateful/Talk")
        up, down = (raw.settings((raw.INITIAL_WINDOW_SIZE, size)) for size in (65_535, 65_534))
        yield from repeat(up + down, 50_000)

    with hub.unharmed(), Attacker(hub.address) as attacker:
        calm(attacker.flood(flood(Requests())))


# ---- frames on streams

ON_STREAMS: dict[str, tuple[Callable[[int], bytes], int]] = {
    # CVE-2019-9518
    "empty data": (lambda stream: raw.data(stream, b""), 400_000),
    "padded empty data": (lambda stream: raw.frame(raw.DATA, raw.PADDED, stream, b"\0"), 400_000),
    "window update": (lambda stream: raw.window_update(stream, 1), 900_000),
    "window update of an ended stream": (lambda stream: raw.window_update(1, 1), 900_000),
    "reset of an ended stream": (lambda stream: raw.frame(raw.RST_STREAM, 0, 1, bytes(4)), 400_000),
    "empty data on an ended stream": (lambda stream: raw.data(1, b""), 400_000),
    "trailers on an ended stream": (
        lambda stream: raw.headers(1, [], raw.END_HEADERS | raw.END_STREAM),
        400_000,
    ),
}


@pytest.mark.parametrize("name", ON_STREAMS)
def test_frames_on_streams(hub: Hub, name: str):
    """CVE-2019-9518 (empty frames), WINDOW_UPDATEs by the byte, and what is ignored (RFC 9113, 5.1)."""
    make, count = ON_STREAMS[name]

    def flood(requests: Requests) -> Iterator[bytes]:
        yield requests.call()
        yield requests.reset()
        yield requests.open("Stateful/Talk")
        yield from repeat(make(requests.last), count)

    with hub.unharmed(), Attacker(hub.address) as attacker:
        calm(attacker.flood(flood(Requests())))


CONTINUATIONS = {
    "empty": (b"", 400_000),
    "by the byte": (b"\x82", 400_000),
    "full": (bytes(16_384), 1000),
}


@pytest.mark.parametrize("size", CONTINUATIONS)
def test_continuation_flood(hub: Hub, size: str):
    """CVE-2024-27983 and its kin: a header block without an end. A block over the limit, or one of frames
    that hold nothing, ends the connection: to skip it would leave the HPACK table unknown."""
    payload, count = CONTINUATIONS[size]
    begin = raw.frame(raw.HEADERS, 0, 1, b"\x83\x86")
    with hub.unharmed(), Attacker(hub.address) as attacker:
        calm(
            attacker.flood([begin, *repeat(raw.frame(raw.CONTINUATION, 0, 1, payload), count)]),
        )


def test_data_by_the_byte(hub: Hub):
    """CVE-2019-9517, 9511 from the client's side: a message in DATA frames of one byte. This is allowed, and
    costs the others at most their share of the hub."""

    def flood(requests: Requests) -> Iterator[bytes]:
        yield requests.open("Stateful/Talk")
        yield raw.data(requests.last, (200_000).to_bytes(5, "big"))
        yield from repeat(raw.data(requests.last, b"x"), 200_000)

    with hub.unharmed(cpu=5), Attacker(hub.address) as attacker:
        attacker.flood(flood(Requests()))


# ---- after the answer, and without it


@pytest.mark.parametrize("name", ["settings", "ping", "priority"])
def test_a_flood_that_never_reads(hub: Hub, name: str):
    """CVE-2019-9517: answers that the client does not take may not pile up, and the connection ends."""
    pieces = {
        "settings": repeat(raw.settings(), 700_000),
        "ping": repeat(raw.frame(raw.PING, 0, 0, b"12345678"), 500_000),
        "priority": repeat(raw.frame(raw.PRIORITY, 0, 1, bytes(5)), 500_000),
    }[name]
    with hub.unharmed(), Attacker(hub.address, receive_buffer=4096) as attacker:
        attacker.flood(pieces, read=False, seconds=3)
        calm(attacker)


def test_a_flood_that_does_not_end_with_the_goaway(hub: Hub):
    """A client that goes on after GOAWAY costs nothing to speak of, and is cut off (RFC 9113, 5.4.1)."""
    with hub.unharmed(), Attacker(hub.address) as attacker:
        ping = raw.frame(raw.PING, 0, 0, b"12345678") * 4096
        calm(attacker.flood(repeat(ping, 1000)))
        for _ in range(5_000):
            if attacker.send(ping).ended:
                break
        attacker.wait_closed(3)


# ---- expensive calls, which are nobody's fault

EXPENSIVE: dict[str, Callable[[Requests], bytes]] = {
    "calls": lambda requests: requests.call(),
    "unknown method": lambda requests: requests.call(b"", "Stateless/None"),
    "no gRPC": lambda requests: requests.open("Stateless/Unary", ("content-type", "text/html"), flags=1),
    "no message": lambda requests: requests.open("Stateless/Unary", flags=raw.END_STREAM),
    "deadline of 0": lambda requests: requests.call(b"", "Stateless/Unary", ("grpc-timeout", "0n")),
}


@pytest.mark.parametrize("name", EXPENSIVE)
def test_calls_as_many_as_the_socket_takes(hub: Hub, name: str):
    """Pipelined calls of a few bytes each: a quarter of a megabyte of them is one read. The others get
    their share of the hub nevertheless, whether or not the connection is ended for it."""
    make = EXPENSIVE[name]
    with hub.unharmed(cpu=6), Attacker(hub.address) as attacker:
        requests = Requests()
        attacker.flood((make(requests) for _ in range(60_000)), seconds=4)


def test_calls_within_the_limit(hub: Hub):
    """Bursts of 900 calls, each answered before the next comes: nothing is wrong with them, so that all are
    served, and the others with them."""
    with hub.unharmed(cpu=5, slowest=SLOWEST), Attacker(hub.address, WIDE) as attacker:
        requests = Requests()
        for _ in range(30):
            attacker.send(b"".join(requests.call() for _ in range(900)))
            assert attacker.status(requests.last) == 0
        assert attacker.goaway is None


def test_empty_messages(hub: Hub):
    """5 bytes each, 3276 in a DATA frame, and a reply to each: 52,000 turns are one read. Turns have 2 ms at
    a time, and what has come for others is read in between."""
    frames = raw.data(1, EMPTY * 3276) * 8  # half a window of the stream
    length, rounds = 8 * len(EMPTY) * 3276, 10
    with hub.unharmed(cpu=6, slow=0.02, slowest=SLOWEST), Attacker(hub.address, WIDE) as attacker:
        attacker.send(Requests().open("Stateless/Talk"))
        for used in range(length, (rounds + 1) * length, length):
            attacker.wait(lambda used=used: attacker.granted[1] + 262_144 >= used)
            attacker.send(frames)
        attacker.wait(lambda: attacker.received[1] == rounds * length)


def test_many_connections_flood_at_once(hub: Hub):
    """Ten connections share the attack; the budget is each connection's own, and so is its end."""
    with hub.unharmed(cpu=4, lines=10, memory=64 * MB):
        attackers = [Attacker(hub.address) for _ in range(10)]
        pings = raw.frame(raw.PING, 0, 0, b"12345678") * 2000
        for _ in range(20):
            for attacker in attackers:
                attacker.flood([pings])
        for attacker in attackers:
            calm(attacker)
            attacker.close()
