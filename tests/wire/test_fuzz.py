"""Bytes that nobody planned: no exception, no more output than they are worth, and the contract holds."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorrpc.config import Config
from actorrpc.errors import SnapshotError
from actorrpc.pb.snapshot_pb2 import SessionSnapshot
from actorrpc.wire.events import Faulted, MessageReceived, RequestReceived
from actorrpc.wire.server import ServerSession
from actorrpc.wire.snapshot import freeze_session, thaw_session
from tests.support import raw

from .faults import FAULTS
from .scenarios import SCENARIOS

CONFIG = Config(max_concurrent_streams=3, max_receive_message_bytes=200, max_header_list_bytes=1000)


class Listener:
    """A session whose owner says nothing: all its output is the session's own."""

    def __init__(self, pieces: Iterable[bytes], *, move: bool = False) -> None:
        self.session = ServerSession(CONFIG)
        self.events: list[str] = []
        self.sent = b""
        for piece in pieces:
            self._feed(piece)
            if move and not self.session.faulted:
                self.session = thaw_session(
                    SessionSnapshot.FromString(freeze_session(self.session).SerializeToString()), CONFIG
                )

    def _feed(self, piece: bytes) -> None:
        for event in self.session.receive_data(piece):
            if isinstance(event, Faulted):
                self.events.append(f"fault {event.error.code}")
                continue
            stream = event.stream  # type: ignore[attr-defined]
            self.events.append(f"{stream.id} {type(event).__name__}")
            if isinstance(event, RequestReceived):
                self.events.append(f"{stream.head.path} {stream.timeout} {stream.head.fields}")
            elif isinstance(event, MessageReceived):
                self.events.append(repr(event.payload))
                self.session.inbound.consumed(stream, len(event.payload))
        self.sent += self.session.data_to_send()


def check(data: bytes, cuts: Iterable[int]) -> None:
    """Whatever ``data`` is: the same whole, or in pieces with a move after each."""
    whole = Listener([data])
    assert len(whole.sent) <= 1000 + 40 * len(data)
    assert len(whole.events) <= 10 + len(data)
    session = whole.session
    if session.faulted:
        with pytest.raises(SnapshotError):
            freeze_session(session)
        assert whole.events[-1].startswith("fault")
    else:
        frozen = freeze_session(session)
        assert freeze_session(thaw_session(frozen, CONFIG)) == frozen
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    moved = Listener([data[begin:end] for begin, end in pairwise(edges)], move=True)
    assert (moved.events, moved.sent) == (whole.events, whole.sent)
    if not session.faulted:
        assert freeze_session(moved.session) == freeze_session(session)


CUTS = st.lists(st.integers(0, 2000), max_size=6)

IDS = st.one_of(st.integers(0, 9), st.sampled_from([0, 1, 1, 1, 3, 3, 2**31 - 1, 2**31, 2**31 + 1]))
FLAGS = st.one_of(st.sampled_from([0, 1, 4, 4, 5, 5, 8, 0x20, 0x2D]), st.integers(0, 255))
FIELD = st.sampled_from(
    [
        *raw.request("Silent"),
        ("grpc-timeout", "1S"),
        ("x-id", "1"),
        ("X-Bad", "1"),
        ("", ""),
        (":path", ""),
        ("x", "y" * 300),
    ]
)
BLOCK = st.one_of(
    st.just(raw.block(raw.request("Silent"))),
    st.lists(FIELD, max_size=8).map(raw.block),
    st.lists(FIELD, max_size=8).map(lambda fields: hpack.Encoder().encode(fields)),
)
SETTING = st.tuples(st.integers(0, 9), st.one_of(st.integers(0, 70_000), st.integers(0, 2**32 - 1)))
MESSAGES = st.lists(st.one_of(st.binary(max_size=20), st.just(bytes(200)), st.just(bytes(201))), max_size=4)
PAYLOAD = st.one_of(
    st.binary(max_size=20),
    st.integers(0, 2**32 - 1).map(lambda number: number.to_bytes(4, "big")),
    BLOCK,
    MESSAGES.map(lambda messages: b"".join(map(raw.message, messages))),
)
FRAME = st.one_of(
    st.builds(raw.frame, st.integers(0, 11), FLAGS, IDS, PAYLOAD),
    st.builds(
        raw.frame, st.just(raw.HEADERS), st.sampled_from([0, 4, 5]), st.sampled_from([1, 3, 5, 7]), BLOCK
    ),
    st.builds(raw.frame, st.just(raw.DATA), st.sampled_from([0, 0, 1]), st.sampled_from([1, 3, 5]), PAYLOAD),
    st.builds(raw.window_update, st.sampled_from([0, 1, 3]), st.integers(0, 2**31)),
    st.lists(SETTING, max_size=3).map(lambda values: raw.settings(*values)),
)


@settings(max_examples=500)
@given(st.lists(FRAME, max_size=12), CUTS)
def test_random_frames(frames: list[bytes], cuts: list[int]) -> None:
    check(raw.OPEN + b"".join(frames), cuts)


@settings(max_examples=200)
@given(st.sampled_from([b"", raw.PREFACE, raw.OPEN]), st.binary(max_size=100), CUTS)
def test_random_bytes(before: bytes, data: bytes, cuts: list[int]) -> None:
    check(before + data, cuts)


TRANSCRIPTS = [data for data in (b"".join(each.steps) for each in SCENARIOS) if len(data) < 2000]
TRANSCRIPTS += [each.before + each.bad for each in FAULTS if len(each.bad) < 2000]
CHANGE = st.tuples(
    st.sampled_from(["flip", "set", "cut", "double", "insert"]), st.integers(0, 2000), st.integers(0, 255)
)


@settings(max_examples=500)
@given(st.sampled_from(TRANSCRIPTS), st.lists(CHANGE, min_size=1, max_size=4), CUTS)
def test_transcripts_with_errors(
    transcript: bytes, changes: list[tuple[str, int, int]], cuts: list[int]
) -> None:
    data = bytearray(transcript)
    for change, position, byte in changes:
        at = position % (len(data) + 1)
        if change == "flip":
            data[at : at + 1] = bytes(each ^ (1 << byte % 8) for each in data[at : at + 1])
        elif change == "set":
            data[at : at + 1] = bytes((byte,))
        elif change == "cut":
            del data[at : at + byte]
        elif change == "double":
            data[at:at] = data[at : at + byte]
        else:
            data[at:at] = raw.frame(byte % 11, byte, byte % 4, bytes(byte % 9))
    check(bytes(data), cuts)
