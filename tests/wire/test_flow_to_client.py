"""Flow control to the client, which is `h2`: it raises where a window is overstepped."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorrpc.wire.events import Drained
from actorrpc.wire.outbound import PORTION
from tests.support import raw

from .owner import OK, Owner
from .peer import Peer

STREAM = st.integers(0, 2)
SIZES = st.one_of(
    st.integers(0, 40), st.integers(0, 40_000), st.sampled_from([16_379, 16_380, 65_530, 100_000])
)


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
    for type_, _, stream, payload in raw.frames(sent):
        if type_ == raw.DATA:
            found.setdefault(stream, []).append(len(payload))
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


def test_frames_are_as_large_as_the_client_lets_them_be() -> None:
    peer, owner, [id] = connected("Silent", initial_window_size=1 << 20)
    for size, sizes in ((16_384, [16_384, 3_621]), (20_000, [20_000, 5]), (16_384, [16_384, 3_621])):
        peer.h2.update_settings({raw.MAX_FRAME_SIZE: size})
        owner.feed(peer.take())
        owner.session.outbound.message(owner.session.streams[id], bytes(20_000))
        owner.flush()
        assert data_frames(owner.sent)[id] == sizes
        peer.receive(owner.output())


def test_the_connection_window_may_open_by_the_byte() -> None:
    peer, owner, [id] = connected("Silent", initial_window_size=1 << 20)
    owner.session.outbound.message(owner.session.streams[id], bytes(65_540))
    owner.flush()
    peer.receive(owner.output())
    for _ in range(10):
        peer.h2.increment_flow_control_window(1)
        owner.feed(peer.take())
        assert data_frames(owner.sent)[id] == [1]
        peer.receive(owner.output())
    assert peer.replies[id].messages == [bytes(65_540)]


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
    assert owner.drained == [id]
    owner.feed(b"")
    assert owner.drained == [id]


@pytest.mark.parametrize("asked", (True, False))
def test_drained_is_said_with_the_output_that_it_tells_of(asked: bool) -> None:
    _, owner, [id] = connected("Silent", initial_window_size=1 << 20)
    owner.session.outbound.message(owner.session.streams[id], bytes(100_000))
    owner.flush()
    assert owner.session.receive_data(raw.window_update(0, 100_000)) == []
    assert owner.session.drain_events() == [] and owner.session.data_to_send()
    [event] = owner.session.drain_events() if asked else owner.session.receive_data(b"")
    assert isinstance(event, Drained) and event.stream.id == id
    assert owner.session.drain_events() == []


def test_a_window_update_of_a_closed_stream_is_not_the_connections() -> None:
    peer, owner, [gone, id] = connected("Silent", "Silent", initial_window_size=1 << 20)
    peer.h2.reset_stream(gone)
    owner.session.outbound.message(owner.session.streams[id], bytes(100_000))
    owner.feed(peer.take() + raw.window_update(gone, 50_000))
    peer.receive(owner.output())
    assert len(peer.replies[id].data) == 65_535


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


def test_on_a_closed_stream_nothing_is_sent() -> None:
    peer, owner, [id] = connected("Silent")
    outbound, stream = owner.session.outbound, owner.session.streams[id]
    peer.h2.reset_stream(id)
    owner.feed(peer.take())
    outbound.headers(stream, [(b"x", b"1")])
    outbound.message(stream, b"nobody listens")
    outbound.reply(stream, b"nobody listens")
    outbound.finish(stream, OK)
    outbound.reset(stream, 2)
    assert outbound.take() == b""
