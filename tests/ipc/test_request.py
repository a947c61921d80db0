"""The blocking request over a unix socket."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from actorrpc.ipc.framing import FrameReader, encode
from actorrpc.ipc.request import request
from actorrpc.pb.control_pb2 import Peer, Prepare, ToHub
from tests.support.waiting import PATIENCE


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
    assert request(path, ToHub(peer=Peer(hub=3)), Prepare, PATIENCE) == big
    thread.join()
    assert asked[0].peer.hub == 3


def test_request_tells_an_early_end_and_silence(tmp_path: Path) -> None:
    thread = answering(f"{tmp_path}/a", lambda conn: conn.recv(99) and conn.sendall(b"\0\0"))
    with pytest.raises(ConnectionError):
        request(f"{tmp_path}/a", Prepare(connection="x"), Prepare, PATIENCE)
    thread.join()
    thread = answering(f"{tmp_path}/b", lambda conn: conn.recv(99) and conn.recv(99))
    with pytest.raises(TimeoutError):
        request(f"{tmp_path}/b", Prepare(connection="x"), Prepare, 0.05)
    thread.join()
    thread = answering(f"{tmp_path}/d", lambda conn: conn.recv(99) and conn.sendall(b"\xff" * 5))
    with pytest.raises(OSError, match="a frame of 4294967295 bytes"):
        request(f"{tmp_path}/d", Prepare(connection="x"), Prepare, PATIENCE)
    thread.join()
    with pytest.raises(FileNotFoundError):
        request(f"{tmp_path}/c", Prepare(connection="x"), Prepare, PATIENCE)


def test_the_command_lines_half_imports_no_gevent() -> None:
    check = "import sys, actorrpc.ipc.request; sys.exit('gevent' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
