"""Bad frames, one by one: the exact answer, and that nothing else suffers."""

from __future__ import annotations

from collections.abc import ValuesView

import pytest

from actorrpc.errors import SnapshotError
from actorrpc.wire.snapshot import freeze_session
from actorrpc.wire.stream import Stream
from tests.support import raw
from tests.support.view import View

from .faults import FAULTS, Fault
from .owner import Owner


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_fault(fault: Fault) -> None:
    owner = Owner(fault.config)
    owner.feed(fault.before)
    owner.sent.clear()
    owner.feed(fault.bad + raw.frame(raw.PING, 0, 0, b"are you?"))
    view = answer_of(owner)
    if fault.goaway is not None:
        opened = [int(event.split()[0]) for event in owner.events if " request " in event]
        code, _, last = view.goaway.partition(" after ")
        assert int(code) == fault.goaway and int(last) >= max(opened, default=0)
        assert view.control[-1].startswith("goaway") and not view.streams
        assert owner.events[-1] == f"fault {fault.goaway}"
    else:
        assert view.streams == ({fault.reset[0]: [("reset", fault.reset[1])]} if fault.reset else {})
        assert view.control[-1] == "ping ack are you?"
        assert not view.goaway and not owner.session.faulted


def answer_of(owner: Owner) -> View:
    """What was sent since the preface, which a View wants to see."""
    return View(raw.settings() + bytes(owner.sent))


def test_a_reset_stream_is_gone_and_its_call_cancelled() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Silent")) + raw.headers(3, raw.request("Silent")))
    owner.feed(raw.window_update(1, 0))
    assert owner.events[2:] == ["1 reset 1"]
    assert list(owner.session.streams) == [3]


def test_after_a_fault_nothing_is_read_and_nothing_moves() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.frame(raw.PING, 0, 1, bytes(8)))
    events, sent = owner.events[:], bytes(owner.sent)
    owner.feed(raw.headers(1, raw.request("Unary"), raw.END_HEADERS | raw.END_STREAM))
    assert (owner.events, bytes(owner.sent)) == (events, sent)
    with pytest.raises(SnapshotError, match="being closed"):
        freeze_session(owner.session)


def test_what_came_before_a_fault_in_the_same_bytes_is_reported() -> None:
    owner = Owner()
    call = raw.headers(1, raw.request("Silent")) + raw.data(1, raw.message(b"hi"), raw.END_STREAM)
    owner.feed(raw.OPEN + call + raw.frame(raw.PING, 0, 0, b""))
    assert owner.events == ["1 request Silent", "1 message hi", "1 end", "fault 6"]


def test_empty_continuations_cost_nothing_that_stays() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Silent"), 0))
    owner.feed(raw.frame(raw.CONTINUATION, 0, 1) * 10_000)
    assert len(freeze_session(owner.session).continuation_block) == len(raw.block(raw.request("Silent")))
    owner.feed(raw.frame(raw.CONTINUATION, raw.END_HEADERS, 1))
    assert owner.events == ["1 request Silent"]


def test_a_settings_frame_changes_each_window_once() -> None:
    # 2,730 changes in a frame of 16 kB, on 1,000 streams, would cost the hub half a second.
    class Counted(dict[int, Stream]):
        walks = 0

        def values(self) -> ValuesView[Stream]:
            self.walks += 1
            return super().values()

    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Silent")) + raw.headers(3, raw.request("Silent")))
    streams = owner.session.streams = owner.session.outbound.streams = Counted(owner.session.streams)
    owner.feed(raw.settings(*((raw.INITIAL_WINDOW_SIZE, size) for size in range(1000))))
    assert streams.walks == 1 and streams[3].send_window == 999


def test_the_last_stream_of_a_goaway_never_grows() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Shutdown")))
    ping = next(line for line in View(bytes(owner.sent)).control if line.startswith("ping"))
    owner.feed(raw.frame(raw.PING, raw.ACK, 0, ping.removeprefix("ping ").encode("latin-1")))
    refused = raw.headers(3, raw.request("Silent")) + raw.data(3, b"abc") + raw.window_update(3, 5)
    owner.feed(refused + raw.frame(raw.RST_STREAM, 0, 3, bytes(4)))
    assert not owner.session.faulted
    owner.feed(raw.frame(raw.PING, 0, 1, bytes(8)))
    sent = View(bytes(owner.sent))
    assert [line for line in sent.control if line.startswith("goaway")][1:] == [
        "goaway 0 after 1",
        "goaway 1 after 1",
    ]
    assert sent.brief() == {3: "reset 7"}
