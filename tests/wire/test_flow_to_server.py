"""Flow control to the server: a client that is heard is never stuck, one that is not is held back."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorrpc.config import Config
from actorrpc.wire.server import ServerSession
from actorrpc.wire.snapshot import freeze_session, thaw_session
from tests.support import raw
from tests.support.view import View

from .owner import OK, Owner
from .peer import Peer

STREAM = st.integers(0, 2)
SIZES = st.one_of(
    st.integers(0, 40), st.integers(0, 40_000), st.sampled_from([16_379, 16_380, 65_530, 100_000])
)

WINDOW = 65_535


def fixed(stream: int, connection: int, mailbox: int = 10_000) -> Config:
    """Windows that do not grow."""
    return Config(
        stream_window_bytes=stream,
        max_stream_window_bytes=stream,
        connection_window_bytes=connection,
        max_connection_window_bytes=connection,
        max_receive_message_bytes=150_000,
        max_mailbox=mailbox,
    )


BOTH_SMALL = fixed(WINDOW, WINDOW)
WIDE = fixed(WINDOW, 3 * WINDOW)
FEW_MESSAGES = fixed(WINDOW, 3 * WINDOW, mailbox=2)
MESSAGES = fixed(WINDOW, 3 * WINDOW, mailbox=3_000)


MOST = 7 << 20  # with no padding: see `push`


class ToServer:
    """A client that sends on three calls as far as it may, and a server that takes messages when told."""

    def __init__(self, config: Config) -> None:
        self.peer, self.owner = Peer(), Owner(config)
        self.ids = [self.peer.begin("Hold") for _ in range(3)]
        self.offered: dict[int, list[bytes]] = {id: [] for id in self.ids}
        self.rest = dict.fromkeys(self.ids, b"")
        self.sent: Counter[int] = Counter()
        self.deliver()

    def offer(self, index: int, size: int) -> None:
        id = self.ids[index]
        self.offered[id].append(bytes((len(self.offered[id]) % 251,)) * size)
        self.rest[id] += raw.message(self.offered[id][-1])

    def push(self, index: int, size: int) -> None:
        id = self.ids[index]
        pad = size % 7 or None
        padding = pad + 1 if pad else 0
        room = min(size + 1, self.peer.room(id) - padding)
        if self.rest[id] and room > 0:
            data, self.rest[id] = self.rest[id][:room], self.rest[id][room:]
            self.peer.send(id, data, pad=pad)
            self.sent[id] += len(data) + padding

    def consume(self, index: int, size: int) -> None:
        self.owner.consume(self.ids[index], 1 + size % 3)
        self.deliver()

    def deliver(self, *_: object) -> None:
        before = len(self.owner.sent)
        self.owner.feed(self.peer.take())
        self.peer.receive(bytes(self.owner.sent[before:]))
        self.check()

    def move(self, *_: object) -> None:
        self.deliver()
        self.owner.move()

    def check(self) -> None:
        """Nothing is acknowledged that was not received; what waits is bounded."""
        granted = View(self.owner.sent).granted
        assert all(granted[id] <= self.sent[id] for id in self.ids)
        assert granted[0] - (self.owner.config.connection_window_bytes - 65_535) <= self.sent.total()
        assert held(self.owner.session) <= bound(self.owner.config, 3)
        assert self.owner.session.inbound.waiting <= self.owner.config.max_mailbox + 3


def held(session: ServerSession) -> int:
    """Bytes of messages that a session has received and its owner has not taken, and of their parts."""
    streams = session.streams.values()
    unsplit = sum(len(stream.unsplit or b"") for stream in streams)
    assert session.inbound.held == sum(stream.held for stream in streams)
    assert session.inbound.unsplit.size == unsplit
    return session.inbound.held + unsplit + sum(stream.partial_size for stream in streams)


def bound(config: Config, streams: int) -> int:
    """What a client can make a session hold, in the terms of `held`.

    While half a window waits, a stream acknowledges nothing, so after that comes at most a window more, in
    messages that each count 64 bytes beyond their 5 on the wire. One message on each stream may be larger.
    """
    stream, connection = config.stream_window_bytes, config.connection_window_bytes
    largest = config.max_receive_message_bytes + 64 + 16_384
    return min(streams * stream * 2, connection * 2) * (5 + 64) // 5 + streams * largest


TO_SERVER = ["offer", "push", "push", "consume", "deliver", "move"]


@settings(max_examples=120)
@given(
    st.sampled_from([BOTH_SMALL, WIDE, FEW_MESSAGES]),
    st.lists(st.tuples(st.sampled_from(TO_SERVER), STREAM, SIZES), max_size=50),
)
def test_a_client_that_is_heard_is_never_stuck(config: Config, actions: list[tuple[str, int, int]]) -> None:
    to_server = ToServer(config)
    for action, index, size in actions:
        getattr(to_server, action)(index, size)
    for _ in range(200):
        for index in range(3):
            to_server.push(index, MOST)
        to_server.deliver()
        for id in to_server.ids:
            to_server.owner.consume(id)
        to_server.deliver()
    assert not any(to_server.rest.values()), "the client waits for a window that nobody opens"
    received = [to_server.owner.calls[id].received for id in to_server.ids]
    assert received == [b"".join(to_server.offered[id]) for id in to_server.ids]
    assert held(to_server.owner.session) == 0


@pytest.mark.parametrize(
    "config", (BOTH_SMALL, WIDE, MESSAGES), ids=("one window", "a wider connection", "so many messages")
)
@pytest.mark.parametrize("size", (0, 1, 100, 10_000, 40_000, 149_000))
def test_a_client_that_is_not_heard_is_held_back(config: Config, size: int) -> None:
    to_server = ToServer(config)
    more = raw.message(bytes(size))
    for id in to_server.ids:
        to_server.rest[id] = more * max(8, 250_000 // len(more))
    push_all(to_server)
    session = to_server.owner.session
    assert all(to_server.rest.values()) and held(session) > config.stream_window_bytes / 2
    waiting = thaw_session(freeze_session(session), config)
    assert (held(waiting), len(waiting.streams)) == (held(session), 3)
    for _ in range(100):
        for id in to_server.ids:
            to_server.owner.consume(id)
        to_server.deliver()
        push_all(to_server)
    assert not any(to_server.rest.values())


def push_all(to_server: ToServer) -> None:
    """Send all that the windows let go."""
    before = -1
    while before < to_server.sent.total():
        before = to_server.sent.total()
        for index in range(3):
            to_server.push(index, MOST)
        to_server.deliver()


def test_a_stream_that_is_not_heard_holds_up_no_other() -> None:
    to_server = ToServer(WIDE)
    silent, other = to_server.ids[:2]
    to_server.rest[silent] = raw.message(bytes(1000)) * 500
    to_server.rest[other] = raw.message(bytes(1000)) * 500
    for _ in range(100):
        to_server.push(0, 1 << 20)
        to_server.push(1, 1 << 20)
        to_server.deliver()
        to_server.owner.consume(other)
        to_server.deliver()
    assert to_server.rest[silent] and not to_server.rest[other]


def test_messages_of_a_call_that_ended_give_the_window_back() -> None:
    to_server = ToServer(BOTH_SMALL)
    owner = to_server.owner
    for _ in range(8):
        id = to_server.peer.begin("Hold")
        for _ in range(3):
            to_server.peer.send(id, raw.message(bytes(10_000)))
            to_server.sent[id] += 10_005
        to_server.deliver()
        call = owner.calls[id]
        owner.session.outbound.finish(call.stream, OK)
        owner.drop(id)
        to_server.deliver()
    assert owner.session.inbound.held == 0
    assert to_server.peer.h2.remote_flow_control_window(to_server.ids[0]) >= 0


@pytest.mark.parametrize("moved", [False, True], ids=["still", "moved"])
@pytest.mark.parametrize("waits", ["many", "one"])
def test_unsplit_data_that_goes_with_its_call_gives_the_window_back(waits: str, moved: bool) -> None:
    """Less than a window waits then; and the client can say nothing that would have it looked at."""
    to_server = ToServer(fixed(WINDOW, WINDOW, mailbox=2))
    owner = to_server.owner
    waiting, ended, other = to_server.ids
    to_server.rest[waiting] = raw.message(bytes(1000)) * 45 if waits == "many" else raw.message(bytes(45_000))
    push_all(to_server)
    to_server.rest[ended] = raw.message(bytes(1000)) * 100
    push_all(to_server)
    assert not to_server.rest[waiting] and to_server.rest[ended]
    assert to_server.peer.room(other) == 0
    stream = owner.calls[ended].stream
    owner.consume(ended)
    assert stream.unsplit and not stream.held
    owner.session.outbound.finish(stream, OK)
    owner.drop(ended)
    to_server.rest[ended] = b""
    if moved:
        owner.move()
    assert owner.session.eventful
    to_server.deliver()
    assert held(owner.session) < WINDOW
    assert to_server.peer.room(other) > 0


def test_the_pieces_of_a_message_are_joined_as_they_come() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Silent")) + raw.data(1, raw.message(bytes(60_000))[:5]))
    owner.feed(raw.data(1, b"xy") * 25_000)
    stream = owner.session.streams[1]
    assert stream.partial_size == 50_005 and len(stream.partial) < 20
    owner.feed(raw.data(1, b"x" * 10_000))
    assert owner.events[-1] == "1 message 60000 bytes"


def test_a_stream_that_the_client_has_ended_needs_no_window() -> None:
    owner = Owner(BOTH_SMALL)
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Hold")))
    frames = [raw.data(1, raw.message(bytes(16_379))) for _ in range(3)]
    owner.feed(b"".join(frames) + raw.data(1, b"", raw.END_STREAM))
    assert owner.events[-1] == "1 end" and not owner.calls
    granted = View(owner.sent).granted
    assert granted[0] == 2 * 16_384 and granted[1] == 0


def test_padding_counts_for_the_windows() -> None:
    owner = Owner(BOTH_SMALL)
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Silent")))
    owner.feed(raw.data(1, b"\xff" + bytes(255), raw.PADDED) * 200)
    granted = View(owner.sent).granted
    assert 51_200 - WINDOW // 2 <= granted[0] == granted[1] <= 51_200


GROWING = Config(
    stream_window_bytes=WINDOW,
    max_stream_window_bytes=8 * WINDOW,
    connection_window_bytes=WINDOW,
    max_connection_window_bytes=12 * WINDOW,
)


@pytest.mark.parametrize("move", (False, True))
def test_windows_grow_while_the_handler_keeps_up_and_no_further_than_they_may(move: bool) -> None:
    owner = Owner(GROWING)
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Silent")))
    sent = 0
    seen = []
    for _ in range(400):
        owner.feed(raw.data(1, raw.message(bytes(10_000))))
        sent += 10_005
        if move:
            owner.move()
        stream = owner.session.streams[1]
        seen.append(stream.window)
        granted = View(owner.sent).granted
        assert stream.receive_window == WINDOW + granted[1] - sent <= stream.window <= 8 * WINDOW
        assert owner.session.inbound.receive_window == WINDOW + granted[0] - sent <= 12 * WINDOW
    assert sorted(set(seen)) == [WINDOW, 2 * WINDOW, 4 * WINDOW, 8 * WINDOW]
    assert owner.session.inbound.window == 12 * WINDOW


def test_windows_stay_while_messages_wait() -> None:
    owner = Owner(GROWING)
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Hold")))
    for _ in range(200):
        owner.feed(raw.data(1, raw.message(bytes(10_000))))
        if len(owner.calls[1].held) > 1:
            owner.consume(1, 1)
    assert owner.session.streams[1].window == WINDOW == owner.session.inbound.window


def test_messages_that_wait_are_counted() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Hold")) + raw.headers(3, raw.request("Hold")))
    owner.feed(raw.data(1, raw.message(b"a") * 3) + raw.data(3, raw.message(b"b") * 2))
    assert owner.session.inbound.waiting == 5
    owner.move()
    owner.consume(1, 2)
    assert owner.session.inbound.waiting == 3
    owner.consume(1)
    owner.consume(3)
    assert owner.session.inbound.waiting == 0
