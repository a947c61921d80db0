"""Frames and descriptors, cut at every place."""

from __future__ import annotations

import os

import pytest

from actorrpc.ipc.framing import BrokenFrame, FrameReader, encode
from actorrpc.pb.control_pb2 import Prepare


def text(value: str) -> Prepare:
    return Prepare(connection=value)


def test_a_frame_is_length_count_payload() -> None:
    payload = text("x").SerializeToString()
    assert encode(text("x"), 2) == len(payload).to_bytes(4, "big") + b"\x02" + payload


@pytest.mark.parametrize("cut", range(len(encode(text("0-1-7"), 1) + encode(text("second")))))
def test_frames_split_at_every_offset(cut: int) -> None:
    stream = encode(text("0-1-7"), 1) + encode(text("second"))
    reader, frames = FrameReader(), []
    for chunk, fds in ((stream[:cut], [77] if cut else []), (stream[cut:], [] if cut else [77])):
        reader.receive(chunk, fds)
        while frame := reader.next_frame():
            frames.append(frame)
    assert [(text("0-1-7").SerializeToString(), (77,)), (text("second").SerializeToString(), ())] == frames


def test_the_reader_refuses_a_frame_at_its_header() -> None:
    reader = FrameReader(max_frame=10)
    reader.receive((11).to_bytes(4, "big") + b"\x00")
    with pytest.raises(BrokenFrame, match="11 bytes; at most 10"):
        reader.next_frame()


def test_the_reader_refuses_a_frame_without_its_descriptors() -> None:
    reader = FrameReader()
    kept = os.open("/dev/null", os.O_RDONLY)
    reader.receive(encode(text("x"), 2), [kept])
    with pytest.raises(BrokenFrame, match="1 of its 2 descriptors"):
        reader.next_frame()


def test_lost_descriptors_leave_the_next_frames_alone() -> None:
    reader = FrameReader()
    first, second = (os.open("/dev/null", os.O_RDONLY) for _ in range(2))
    reader.receive(encode(text("a"), 3), [first], truncated=True)
    reader.receive(encode(text("b"), 1), [second])
    assert reader.next_frame() == (text("a").SerializeToString(), ())
    assert reader.next_frame() == (text("b").SerializeToString(), (second,))
    os.close(second)
