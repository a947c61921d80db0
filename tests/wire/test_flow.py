"""Flow control, with `h2` as the client: it raises where a window is overstepped."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorrpc.config import Config
from actorrpc.wire.outbound import PORTION
from actorrpc.wire.session import Session

from . import raw
from .owner import OK, Owner
from .peer import Peer
from .view import View

STREAM = st.integers(0, 2)
SIZES = st.one_of(
    st.integers(0, 40), st.integers(0, 40_000), st.sampled_from([16_379, 16_380, 65_530, 100_000])
)

# ---- to the client


class ToClient:
    """A server that sends on three calls, and a client that lets it. Bytes lie on the way until delivered."""

    def __init__(self, initial_window: int) -> None:
        self.peer = Peer(initial_window_size=initial_window)
        self.owner = Owner()
        self.ids = [self.peer.begin("Silent", end=True) for _ in range(3)]
        self.wanted: dict[int, list[bytes]] = {id: [] for id in self.ids}
        self.finished: set[int] = set()
        self.deliver()

    def send(self, index: int, size: int) -> None:
        id = self.ids[index]
        if id not in self.finished:
            self.wanted[id].append(bytes((len(self.wanted[id]) % 251,)) * size)
            self.owner.session.outbound.message(self.owner.session.streams[id], self.wanted[id][-1])

    def finish(self, index: int, _: object) -> None:
        id = self.ids[index]
        if id not in self.finished:
            self.finished.add(id)
            self.owner.session.outbound.finish(self.owner.session.streams[id], OK)
            self.owner.drop(id)

    def open(self, index: int, size: int) -> None:
        id = self.ids[index]
        if not self.peer.replies[id].ended:
            self.peer.h2.increment_flow_control_window(size + 1, id)

    def open_connection(self, _: object, size: int) -> None:
        self.peer.h2.increment_flow_control_window(size + 1)

    def set_window(self, _: object, size: int) -> None:
        self._set(raw.INITIAL_WINDOW_SIZE, size)

    def set_frame(self, _: object, size: int) -> None:
        self._set(raw.MAX_FRAME_SIZE, 16_384 + size)

    def _set(self, key: int, value: int) -> None:
        if self.unacknowledged:  # `h2` counts wrong with two SETTINGS on the way
            self.deliver()
        self.unacknowledged = True
        self.peer.h2.update_settings({key: value})

    def deliver(self, *_: object) -> None:
        self.owner.feed(self.peer.take())
        self.read()
        self.unacknowledged = False

    def read(self, *_: object) -> None:
        self.owner.flush()
        self.peer.receive(self.owner.output())

    def move(self, *_: object) -> None:
        self.owner.move()


TO_CLIENT = [
    "send",
    "send",
    "finish",
    "open",
    "open_connection",
    "set_window",
    "set_frame",
    "deliver",
    "read",
    "move",
]


@settings(max_examples=200)
@given(
    st.sampled_from([0, 1, 100, 65_535, 200_000]),
    st.lists(st.tuples(st.sampled_from(TO_CLIENT), STREAM, SIZES), max_size=40),
)
def test_all_arrives_and_no_window_is_overstepped(initial: int, actions: list[tuple[str, int, int]]) -> None:
    to_client = ToClient(initial)
    for action, index, size in actions:
        getattr(to_client, action)(index, size)
    to_client.deliver()
    peer = to_client.peer
    peer.h2.increment_flow_control_window(1 << 26)
    for index in range(3):
        to_client.finish(index, None)
        to_client.open(index, 1 << 26)
    to_client.deliver()
    for id, messages in to_client.wanted.items():
        assert peer.replies[id].messages == messages
        assert peer.replies[id].status == 0 and peer.replies[id].ended and peer.replies[id].reset is None
    assert not to_client.owner.session.streams and to_client.owner.session.outbound.idle


def connected(*methods: str, **options: int) -> tuple[Peer, Owner, list[int]]:
    """A client and a server with calls open."""
    peer, owner = Peer(**options), Owner()
    ids = [peer.begin(method) for method in methods]
    owner.feed(peer.take())
    peer.receive(owner.output())
    return peer, owner, ids


def data_frames(sent: bytes | bytearray) -> dict[int, list[int]]:
    """The sizes of the DATA frames on each stream."""
    found: dict[int, list[int]] = {}
    while sent:
        length = int.from_bytes(sent[:3], "big")
        if sent[3] == raw.DATA:
            found.setdefault(int.from_bytes(sent[5:9], "big"), []).append(length)
        sent = sent[9 + length :]
    return found


@pytest.mark.parametrize("moved", (False, True))
def test_streams_that_wait_for_the_connection_take_turns(moved: bool) -> None:
    peer, owner, ids = connected("Silent", "Silent", "Silent", initial_window_size=1 << 20)
    for id in ids:
        for _ in range(10):
            owner.session.outbound.message(owner.session.streams[id], bytes(40_000))
    owner.flush()
    peer.receive(owner.output())
    for _ in range(7):
        if moved:
            owner.move()
        peer.h2.increment_flow_control_window(3 * 16_384)
        owner.feed(peer.take())
        turns = [len(sizes) for sizes in data_frames(owner.output()).values()]
        assert len(turns) == 3 and max(turns) - min(turns) <= 1


@pytest.mark.parametrize(("method", "turns"), [("Echo", 24), ("Unary", 5)])
def test_short_replies_do_not_starve_a_long_one(method: str, turns: int) -> None:
    peer, owner, [long, short] = connected("Silent", "Echo", initial_window_size=1 << 20)
    owner.session.outbound.message(owner.session.streams[long], bytes(500_000))
    owner.flush()
    peer.receive(owner.output())
    for _ in range(50):  # each time the client opens the window by as much as one short reply takes
        peer.h2.increment_flow_control_window(105)
        if method == "Echo":
            peer.send(short, raw.message(bytes(100)))
        else:
            peer.call("Unary", bytes(100))
        owner.feed(peer.take())
    assert data_frames(owner.sent)[long].count(105) >= turns
    peer.h2.increment_flow_control_window(1 << 20)
    owner.feed(peer.take())
    peer.receive(owner.output())
    assert {reply.status for id, reply in peer.replies.items() if id not in (long, short)} <= {0}


def test_a_stream_whose_own_window_is_shut_holds_up_no_other() -> None:
    peer, owner, [shut, other] = connected("Silent", "Silent", initial_window_size=10)
    peer.h2.increment_flow_control_window(1 << 20, other)
    owner.feed(peer.take())
    for id in (shut, other):
        owner.session.outbound.message(owner.session.streams[id], bytes(50_000))
    owner.flush()
    assert {id: sum(sizes) for id, sizes in data_frames(owner.sent).items()} == {shut: 10, other: 50_005}


def test_output_comes_in_portions_and_the_rest_waits_on_its_stream() -> None:
    peer, owner, [id] = connected("Silent", initial_window_size=1 << 22)
    peer.h2.increment_flow_control_window(1 << 22)
    owner.feed(peer.take())
    outbound, stream = owner.session.outbound, owner.session.streams[id]
    for _ in range(20):
        outbound.message(stream, bytes(100_000))
    sizes = []
    while data := owner.session.data_to_send():
        sizes.append(len(data))
        peer.receive(data)
    assert max(sizes) < PORTION + 16_384 + 1000 and len(sizes) == 8
    assert [len(message) for message in peer.replies[id].messages] == [100_000] * 20


# ---- Drained


def test_drained_is_said_once_after_something_waited() -> None:
    peer, owner, [id] = connected("Silent", initial_window_size=100)
    outbound, stream = owner.session.outbound, owner.session.streams[id]
    outbound.message(stream, bytes(90))
    owner.flush()
    assert owner.drained == []
    outbound.message(stream, bytes(20))
    outbound.message(stream, bytes(20))
    owner.flush()
    peer.h2.increment_flow_control_window(25, id)
    owner.feed(peer.take())
    assert owner.drained == [] and stream.unsent_bytes == 20
    peer.h2.increment_flow_control_window(25, id)
    owner.feed(peer.take())
    owner.feed(b"")
    assert owner.drained == [id]


def test_drained_is_not_said_where_nothing_waited() -> None:
    _, owner, [id] = connected("Silent")
    owner.session.outbound.message(owner.session.streams[id], bytes(40_000))  # three frames, all at once
    owner.flush()
    assert owner.drained == []


def test_drained_is_said_once_though_both_windows_open() -> None:
    peer, owner, [id] = connected("Silent")
    owner.session.outbound.message(owner.session.streams[id], bytes(100_000))
    owner.flush()
    peer.h2.increment_flow_control_window(100_000)
    peer.h2.increment_flow_control_window(100_000, id)
    owner.feed(peer.take())
    owner.feed(b"")
    assert owner.drained == [id]


def test_drained_is_not_said_of_a_call_that_ended() -> None:
    peer, owner, [id] = connected("Silent", initial_window_size=5)
    outbound, stream = owner.session.outbound, owner.session.streams[id]
    outbound.message(stream, bytes(20))
    outbound.finish(stream, OK)
    outbound.finish(stream, OK)
    peer.h2.increment_flow_control_window(25, id)
    owner.feed(peer.take())
    assert owner.drained == [] and stream.closed
    peer.receive(owner.output())
    assert peer.replies[id].messages == [bytes(20)]
    outbound.message(stream, b"nobody listens")
    outbound.reply(stream, b"nobody listens")
    assert outbound.take() == b""


# ---- to the server

WINDOW = 65_535
BOTH_SMALL = Config(
    stream_window_bytes=WINDOW, connection_window_bytes=WINDOW, max_receive_message_bytes=150_000
)
WIDE = Config(
    stream_window_bytes=WINDOW, connection_window_bytes=3 * WINDOW, max_receive_message_bytes=150_000
)


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
        room = min(size + 1, self.peer.room(id) - 8)
        if self.rest[id] and room > 0:
            data, self.rest[id] = self.rest[id][:room], self.rest[id][room:]
            self.peer.send(id, data, pad=pad)
            self.sent[id] += len(data) + (pad + 1 if pad else 0)

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


def held(session: Session) -> int:
    """Bytes of messages that a session has received and its owner has not taken, and of their parts."""
    assert session._held == sum(stream.held for stream in session.streams.values())
    return session._held + sum(stream.partial_size for stream in session.streams.values())


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
    st.sampled_from([BOTH_SMALL, WIDE]),
    st.lists(st.tuples(st.sampled_from(TO_SERVER), STREAM, SIZES), max_size=50),
)
def test_a_client_that_is_heard_is_never_stuck(config: Config, actions: list[tuple[str, int, int]]) -> None:
    to_server = ToServer(config)
    for action, index, size in actions:
        getattr(to_server, action)(index, size)
    for _ in range(200):
        for index in range(3):
            to_server.push(index, 1 << 20)
        to_server.deliver()
        for id in to_server.ids:
            to_server.owner.consume(id)
        to_server.deliver()
    assert not any(to_server.rest.values()), "the client waits for a window that nobody opens"
    received = [to_server.owner.calls[id].received for id in to_server.ids]
    assert received == [b"".join(to_server.offered[id]) for id in to_server.ids]
    assert held(to_server.owner.session) == 0


@pytest.mark.parametrize("config", (BOTH_SMALL, WIDE), ids=("one window", "a wider connection"))
@pytest.mark.parametrize("size", (0, 1, 100, 10_000, 40_000, 149_000))
def test_a_client_that_is_not_heard_is_held_back(config: Config, size: int) -> None:
    to_server = ToServer(config)
    more = raw.message(bytes(size))
    for id in to_server.ids:
        to_server.rest[id] = more * (2_000_000 // len(more))
    while True:
        before = to_server.sent.total()
        for index in range(3):
            to_server.push(index, 1 << 20)
        to_server.deliver()
        if to_server.sent.total() == before:
            break
    session = to_server.owner.session
    assert all(to_server.rest.values()) and held(session) > config.stream_window_bytes / 2
    waiting = Session.thaw(session.freeze(), config)
    assert (held(waiting), len(waiting.streams)) == (held(session), 3)
    for id in to_server.ids:
        to_server.owner.consume(id)
    to_server.deliver()
    assert to_server.peer.room(to_server.ids[0]) > 0


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
    assert owner.session._held == 0
    assert to_server.peer.h2.remote_flow_control_window(to_server.ids[0]) >= 0


def test_the_pieces_of_a_message_are_joined_as_they_come() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Silent")) + raw.data(1, raw.message(bytes(60_000))[:5]))
    owner.feed(raw.data(1, b"xy") * 25_000)
    stream = owner.session.streams[1]
    assert stream.partial_size == 50_005 and len(stream.partial) < 20
    owner.feed(raw.data(1, b"x" * 10_000))
    assert owner.events[-1] == "1 message 60000 bytes"


def test_padding_counts_for_the_windows() -> None:
    owner = Owner(BOTH_SMALL)
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Silent")))
    owner.feed(raw.data(1, b"\xff" + bytes(255), raw.PADDED) * 200)
    granted = View(owner.sent).granted
    assert 51_200 - WINDOW // 2 <= granted[0] == granted[1] <= 51_200
