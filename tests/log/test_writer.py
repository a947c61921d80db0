"""Writing never blocks who logs, whatever is at the other end; what is lost is counted, and told."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorrpc.log import writer as module
from actorrpc.log.writer import AT_ONCE, OVERHEAD, Writer
from tests.support.waiting import PATIENCE, until

LEFT_OUT = re.compile(rb"^(\d+) lines are left out here: (.*)$", re.MULTILINE)


class Pipe:
    """A pipe, with a writer to it."""

    def __init__(self, limit: int) -> None:
        self.reader, self.end = os.pipe()
        self.writer = Writer(self.end, limit)
        self.put = 0

    def fill(self) -> int:
        """Fill it with newlines, without the writer. Returns how many there are."""
        os.set_blocking(self.end, False)
        filled = 0
        try:
            while True:
                filled += os.write(self.end, b"\n" * 4096)
        except BlockingIOError:
            os.set_blocking(self.end, True)
            return filled

    def write(self, count: int, size: int = 100) -> None:
        """Put numbered lines of one size."""
        for _ in range(count):
            self.writer.put(b"%d".ljust(size - 1) % self.put + b"\n")
            self.put += 1

    def read(self, skip: int, words: bytes) -> bytes:
        """What comes after ``skip`` bytes, until these words have."""
        data = b""
        while skip:
            skip -= len(os.read(self.reader, skip))
        while words not in data:
            data += os.read(self.reader, 65536)
        return data


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe(100_000)
    yield pipe
    os.set_blocking(pipe.reader, False)
    deadline = time.monotonic() + PATIENCE
    while not pipe.writer.flush(0.01):  # its thread must not write to another file
        assert time.monotonic() < deadline
        try:
            os.read(pipe.reader, 65536)
        except BlockingIOError:
            pass
    os.close(pipe.reader)
    os.close(pipe.end)


def numbers(data: bytes) -> list[int]:
    return [int(line.split()[0]) for line in data.splitlines() if line.strip() and not LEFT_OUT.match(line)]


def left_out(data: bytes) -> int:
    return sum(int(count) for count, _ in LEFT_OUT.findall(data))


def test_lines_come_in_order(pipe: Pipe) -> None:
    pipe.write(300)
    pipe.writer.put(b"the end\n")
    data = pipe.read(0, b"the end\n")
    assert numbers(data[: -len(b"the end\n")]) == list(range(300))


def test_nobody_waits_for_a_reader_that_stalls(pipe: Pipe) -> None:
    filled = pipe.fill()
    pipe.write(5000)
    assert pipe.writer._waiting <= 100_000
    assert not pipe.writer.flush(0.01)
    data = pipe.read(filled, b"are left out here: it was not read\n")  # though nothing more comes
    while len(numbers(data)) + left_out(data) < 5000:  # the thread may have made room once for a few of them
        data += os.read(pipe.reader, 65536)
    found = numbers(data)
    assert found == sorted(set(found)) and found[0] == 0
    assert 0 < len(found) <= 100_000 / (100 + OVERHEAD) + 2 * AT_ONCE / 100
    assert len(found) + left_out(data) == 5000
    assert pipe.writer.flush(PATIENCE)
    assert pipe.writer._waiting == 0


def test_the_count_stands_where_the_lines_should(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_start_thread", lambda function, args: None)
    pipe.write(600)
    fit = len(pipe.writer._chunks)
    chunk = pipe.writer._take(False)
    assert chunk is not None and pipe.writer._write(chunk)
    pipe.write(1)  # there is room again
    pipe.writer._run()
    data = pipe.read(0, b"\n600 ")
    assert numbers(data) == [*range(fit), 600]
    assert data.splitlines()[fit] == b"%d lines are left out here: it was not read" % (600 - fit)


def test_one_write_is_of_whole_lines_and_no_longer_than_a_pipe_keeps_together() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        writer = Writer(ours.fileno())
        for number in range(500):
            writer.put(b"%d\n" % number * 50)
        writer.put(b"the end\n")
        packets = []
        while not packets or not packets[-1].endswith(b"the end\n"):
            packets.append(theirs.recv(65536))
        assert writer.flush(PATIENCE)
    assert max(map(len, packets)) <= AT_ONCE
    assert all(packet.endswith(b"\n") for packet in packets)
    assert b"".join(packets).count(b"\n") == 500 * 50 + 1


@pytest.mark.parametrize("text", ["x", "é", "€", "\N{CRAB}", "xé€\N{CRAB}"])
@pytest.mark.parametrize("short", range(8))
def test_what_is_longer_goes_on_in_lines_that_are_indented(text: str, short: int) -> None:
    """Else another process's line may come in its middle, and a client's text begins a line."""
    first, trace = "2026 ERROR: " + "a" * short + text * 5000, "    Error: " + "a" * short + text * 9000
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        writer = Writer(ours.fileno())
        writer.put(f"{first}\n    Traceback\n{trace}\n".encode())
        writer.put(b"the end\n")
        packets: list[str] = []
        while not packets or not packets[-1].endswith("the end\n"):
            packets.append(theirs.recv(65536).decode())
        assert writer.flush(PATIENCE)
    assert max(len(packet.encode()) for packet in packets) <= AT_ONCE
    lines = "".join(packets).split("\n")
    assert lines[-2:] == ["the end", ""]
    del lines[-2:]
    assert [line[:4] for line in lines] == ["2026", *["    "] * (len(lines) - 1)]
    at = lines.index("    Traceback")
    assert "".join([lines[0], *(line[4:] for line in lines[1:at])]) == first
    assert "    " + "".join(line[4:] for line in lines[at + 1 :]) == trace


def test_a_pipe_that_is_closed(pipe: Pipe) -> None:
    reader, end = os.pipe()
    writer = Writer(end)
    os.close(reader)
    for _ in range(10):
        writer.put(b"a line\n")
    assert writer.flush(PATIENCE)
    assert (writer._left_out, writer._waiting) == (10, 0)
    os.dup2(pipe.end, end)
    writer.put(b"the end\n")
    assert pipe.read(0, b"the end") == b"10 lines are left out here: Broken pipe\nthe end\n"
    assert writer.flush(PATIENCE)
    os.close(end)


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    writer = Writer(fd)
    for _ in range(3):
        writer.put(b"a line\n")
        assert writer.flush(PATIENCE)
    room = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(room, fd)
    writer.put(b"the end\n")
    assert writer.flush(PATIENCE)
    os.close(room)
    os.close(fd)
    assert (tmp_path / "log").read_text() == "3 lines are left out here: No space left on device\nthe end\n"


def test_a_line_that_was_cut_is_ended(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    results = iter([lambda data: write(pipe.end, data[:3]), lambda data: fail()])

    def fail() -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", lambda fd, data: next(results)(data))
    pipe.writer.put(b"a line\n")
    assert pipe.writer.flush(PATIENCE)
    monkeypatch.undo()
    pipe.writer.put(b"the end\n")
    data = pipe.read(0, b"the end\n")
    assert data == b"a l\n1 lines are left out here: No space left on device\nthe end\n"


def test_a_descriptor_that_somebody_has_made_non_blocking(pipe: Pipe) -> None:
    filled = pipe.fill()
    os.set_blocking(pipe.end, False)
    pipe.write(100)
    assert not pipe.writer.flush(0.01)
    pipe.writer.put(b"the end\n")
    data = pipe.read(filled, b"the end\n")
    assert numbers(data[: -len(b"the end\n")]) == list(range(100))


def test_without_room_for_a_thread(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*args: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "_start_thread", start)
    pipe.write(10)
    assert numbers(pipe.read(0, b"\n9")) == list(range(10))
    filled = pipe.fill()
    pipe.write(10)  # does not wait
    monkeypatch.undo()
    pipe.write(1)
    assert numbers(pipe.read(filled, b"\n20")) == list(range(10, 21))


def test_a_fault_in_the_thread_costs_no_more_than_its_line(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", faults.append)
    monkeypatch.setattr(pipe.writer, "_write", lambda chunk: 1 / 0)
    pipe.write(1)
    until(lambda: faults)
    monkeypatch.undo()
    pipe.write(1)
    assert numbers(pipe.read(0, b"\n")) == [1]


def test_a_child_writes_what_is_its_own(pipe: Pipe) -> None:
    filled = pipe.fill()
    pipe.write(100)
    child = Writer(pipe.end)
    child.put(b"the parent's\n")
    child.forked()
    child.put(b"the end\n")
    data = pipe.read(filled, b"the end\n")
    assert child.flush(PATIENCE)
    assert data.count(b"the parent's") <= 1


def test_a_file_that_is_emptied_at_any_moment_has_no_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also just before a write, after whatever has been looked at: another process does so when it likes."""
    write = os.write
    with open(tmp_path / "log", "wb") as file:

        def empty_and_write(fd: int, data: bytes) -> int:
            if fd == file.fileno():
                os.truncate(file.name, 0)
            return write(fd, data)

        monkeypatch.setattr(os, "write", empty_and_write)
        writer = Writer(file.fileno())
        for line in (b"a line\n", b"the last line\n"):
            writer.put(line)
            assert writer.flush(PATIENCE)
    assert (tmp_path / "log").read_bytes() == b"the last line\n"
