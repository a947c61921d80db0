"""Frames and descriptors, cut at every place, and the blocking request."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from actorrpc.ipc import framing
from actorrpc.ipc.framing import BrokenFrame, FrameReader, encode
from actorrpc.pb.control_pb2 import Peer, Prepare, ToHub

WAIT = 60


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


def answering(path: str, answer: Callable[[socket.socket], object]) -> Thread:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def run() -> None:
        conn, _ = listener.accept()
        with conn, listener:
            answer(conn)

    thread = Thread(target=run)
    thread.start()
    return thread


def test_request_sends_and_reads_whole_frames(tmp_path: Path) -> None:
    path = f"{tmp_path}/sock"
    big = Prepare(snapshot=bytes(1_000_000))
    asked = []

    def answer(conn: socket.socket) -> None:
        reader = FrameReader()
        while not (frame := reader.next_frame()):
            reader.receive(conn.recv(10))
        asked.append(ToHub.FromString(frame[0]))
        conn.sendall(encode(big))

    thread = answering(path, answer)
    assert framing.request(path, ToHub(peer=Peer(hub=3)), Prepare, WAIT) == big
    thread.join()
    assert asked[0].peer.hub == 3


def test_request_tells_an_early_end_and_silence(tmp_path: Path) -> None:
    thread = answering(f"{tmp_path}/a", lambda conn: conn.sendall(b"\0\0"))
    with pytest.raises(ConnectionError):
        framing.request(f"{tmp_path}/a", text("x"), Prepare, WAIT)
    thread.join()
    thread = answering(f"{tmp_path}/b", lambda conn: conn.recv(99) and conn.recv(99))
    with pytest.raises(TimeoutError):
        framing.request(f"{tmp_path}/b", text("x"), Prepare, 0.05)
    thread.join()
    with pytest.raises(FileNotFoundError):
        framing.request(f"{tmp_path}/c", text("x"), Prepare, WAIT)


def test_the_command_lines_half_imports_no_gevent() -> None:
    check = "import sys, actorrpc.ipc.framing; sys.exit('gevent' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
