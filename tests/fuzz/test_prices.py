"""No frame is free: each one gets a call further, or is paid for out of the flood budget."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorrpc.config import Config
from actorrpc.errors import StatusCode
from actorrpc.wire.events import Event, MessageReceived, RequestReceived, StreamEnded
from actorrpc.wire.responses import trailers
from actorrpc.wire.server import ServerSession
from tests.support.raw import DATA, END_HEADERS, HEADERS, WINDOW_UPDATE

from .grammar import BEGIN, KINDS, MESSAGE_LIMIT, Client, Step, random_steps

CONFIG = Config(
    max_concurrent_streams=20,
    max_mailbox=10,
    max_receive_message_bytes=MESSAGE_LIMIT,
    max_header_list_bytes=1000,
    flood_burst=0,
    permit_keepalive_time=0,
)

#: What a call gains by: the hub has been told of it, and turns come of it.
GAINS = (RequestReceived, MessageReceived, StreamEnded)

#: DATA of as many bytes is no trick to have each of them looked at.
LARGE = 64
PREFIX = 5

NUMBER = st.integers(0, 255)
STEPS = st.lists(st.tuples(st.sampled_from([*KINDS, "answer", "take"]), NUMBER, NUMBER, NUMBER), max_size=40)


class Accountant:
    """Plays client and hub for one session, a frame at a time, and looks what each one has cost."""

    def __init__(self) -> None:
        self.session = ServerSession(CONFIG)
        self.client = Client()
        self.waiting: list[MessageReceived] = []
        self._feed(BEGIN)

    def take(self, step: Step) -> None:
        kind, a, _, _ = step
        if kind == "answer":
            self._answer(a)
        elif kind == "take":
            self._take(a)
        else:
            for type_, flags, each in frames(self.client.write(step)):
                if self.session.faulted:
                    return
                self._charge(type_, flags, each)

    def _charge(self, type_: int, flags: int, frame: bytes) -> None:
        session = self.session
        free_updates, before = session.allowance.earned(session.outbound.frames), paid(session)
        stream = session.streams.get(int.from_bytes(frame[5:9], "big"))
        open_before = stream is not None and not stream.remote_closed
        had = 0 if stream is None else stream.partial_size
        gained = any(isinstance(event, GAINS) for event in self._feed(frame))
        if gained or session.faulted:
            return
        if stream is not None and open_before and stream.remote_closed and not stream.closed:
            return  # the end of the request, which each call has once
        if type_ == HEADERS and not flags & END_HEADERS:
            return  # the CONTINUATION that has to follow is paid for
        if type_ == WINDOW_UPDATE and free_updates:
            return
        if type_ == DATA and stream is not None and not stream.closed and open_before:
            least = PREFIX if stream.unsplit is not None else LARGE
            if len(frame) - 9 >= least or had < PREFIX <= stream.partial_size:
                return
        assert paid(session) > before, f"{frame[:60]!r} is free"

    def _feed(self, data: bytes) -> list[Event]:
        events = self.session.receive_data(data)
        self.waiting += [event for event in events if isinstance(event, MessageReceived)]
        self.session.data_to_send()
        return events

    def _answer(self, a: int) -> None:
        """End a call: an early answer, if the client has not half-closed."""
        streams = list(self.session.streams.values())
        if streams and not self.session.faulted:
            self.session.outbound.finish(streams[a % len(streams)], trailers(StatusCode.OK))
            self.session.data_to_send()

    def _take(self, a: int) -> None:
        for event in self.waiting[: 1 + a % 16]:
            self.session.inbound.consumed(event.stream, len(event.payload))
        del self.waiting[: 1 + a % 16]
        self.waiting += [each for each in self.session.drain_events() if isinstance(each, MessageReceived)]


def paid(session: ServerSession) -> float:
    return session.flood.spent + session.flood.unsettled


def frames(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and bytes of each whole frame; what is none is left out."""
    while len(data) >= 9 and len(data) >= (size := 9 + int.from_bytes(data[:3], "big")):
        yield data[3], data[4], data[:size]
        data = data[size:]


@given(STEPS)
def test_no_frame_is_free(steps: list[Step]) -> None:
    accountant = Accountant()
    for step in steps:
        accountant.take(step)


@pytest.mark.parametrize("seed", range(40))
def test_no_frame_is_free_in_long_connections(seed: int) -> None:
    random = Random(seed)
    accountant = Accountant()
    for step in random_steps(random, 300):
        accountant.take(step)
        if random.random() < 0.2:
            accountant.take((random.choice(("answer", "take")), random.randrange(256), 0, 0))
