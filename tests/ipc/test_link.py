"""Links between processes: pairs of sockets with real descriptors, then any frames in any chunks."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import textwrap
from array import array
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.queue import Empty, Queue
from hypothesis import given, settings
from hypothesis import strategies as st

from actorrpc.ipc.framing import encode
from actorrpc.ipc.link import Link
from actorrpc.pb.control_pb2 import Prepare
from tests.support.waiting import PATIENCE


class End:
    """One end of a link, which keeps what comes."""

    def __init__(self, sock: socket.socket, **options: Any) -> None:
        self.received: Queue[tuple[Prepare, tuple[int, ...]]] = Queue()
        self.ended = Event()
        self.ends = 0
        self.link = Link(sock, Prepare, self.on_message, self._on_end, **options)

    def on_message(self, message: Prepare, fds: tuple[int, ...]) -> None:
        self.received.put((message, fds))

    def _on_end(self, link: Link[Prepare]) -> None:
        assert link is self.link
        self.ends += 1
        self.ended.set()

    def next(self) -> tuple[Prepare, tuple[int, ...]]:
        return self.received.get(timeout=PATIENCE)

    def next_text(self) -> str:
        message, fds = self.next()
        assert fds == ()
        return message.connection


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def text(value: str) -> Prepare:
    return Prepare(connection=value)


def number(fd: int) -> int:
    """The number of a descriptor's file, so that a dup can be told."""
    try:
        return os.fstat(fd).st_ino
    finally:
        os.close(fd)


@pytest.fixture(autouse=True)
def no_descriptor_leaks() -> Iterator[None]:
    gevent.sleep(0)  # the loop makes its own descriptors
    before = open_fds()
    yield
    assert open_fds() == before


@pytest.fixture
def pair() -> Iterator[tuple[End, End]]:
    left, right = (End(sock) for sock in socket.socketpair())
    yield left, right
    left.link.close()
    right.link.close()


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, End]]:
    """A plain socket, to write to as a test likes, and a link."""
    plain, linked = socket.socketpair()
    end = End(linked)
    with plain:
        yield plain, end
    end.link.close()


def send_with_fds(sock: socket.socket, data: bytes, fds: list[int]) -> None:
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))])


def test_messages_arrive_in_order_both_ways(pair: tuple[End, End]) -> None:
    left, right = pair
    for n in range(100):
        assert left.link.send(text(f"l{n}"))
        assert right.link.send(text(f"r{n}"))
    assert [right.next_text() for _ in range(100)] == [f"l{n}" for n in range(100)]
    assert [left.next_text() for _ in range(100)] == [f"r{n}" for n in range(100)]


def test_descriptors_arrive_usable_and_close_on_exec(pair: tuple[End, End]) -> None:
    left, right = pair
    read, write = os.pipe()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        left.link.send(text("pipe and socket"), [write, theirs.fileno()])
        os.close(write)
        _, (write, sock) = right.next()
        assert fcntl.fcntl(write, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        assert fcntl.fcntl(sock, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        os.write(write, b"through the pipe")
        os.write(sock, b"through the socket")
        assert os.read(read, 99) == b"through the pipe"
        assert ours.recv(99) == b"through the socket"
    for fd in (read, write, sock):
        os.close(fd)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_any_chunking_keeps_descriptors_with_their_frames(wire: tuple[socket.socket, End], size: int) -> None:
    plain, end = wire
    with open("/dev/null") as null, open("/dev/zero") as zero:
        wanted = {"null": os.fstat(null.fileno()).st_ino, "zero": os.fstat(zero.fileno()).st_ino}
        for name, file in (("null", null), ("plain", None), ("zero", zero)):
            data = encode(text(name), 0 if file is None else 1)
            if file is not None:
                send_with_fds(plain, data[:1], [file.fileno()])
                data = data[1:]
            for at in range(0, len(data), size):
                plain.sendall(data[at : at + size])
                gevent.sleep(0)
    for name in ("null", "plain", "zero"):
        message, fds = end.next()
        assert message.connection == name
        assert [number(fd) for fd in fds] == ([wanted[name]] if name in wanted else [])


def test_descriptors_of_the_second_of_two_coalesced_frames(wire: tuple[socket.socket, End]) -> None:
    plain, end = wire
    with open("/dev/null") as null:
        send_with_fds(plain, encode(text("first")) + encode(text("second"), 1), [null.fileno()])
        assert end.next_text() == "first"
        _, (fd,) = end.next()
        assert number(fd) == os.fstat(null.fileno()).st_ino


def test_descriptors_of_two_frames_that_came_at_once(wire: tuple[socket.socket, End]) -> None:
    plain, end = wire
    with open("/dev/null") as null, open("/dev/zero") as zero:
        frames = encode(text("first"), 1) + encode(text("second"), 1)
        send_with_fds(plain, frames, [null.fileno(), zero.fileno()])
        for file in (null, zero):
            _, (fd,) = end.next()
            assert number(fd) == os.fstat(file.fileno()).st_ino


def small_buffers() -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair()
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    return left, right


def test_a_queued_frame_keeps_its_descriptors_until_they_are_sent() -> None:
    left, right = (End(sock) for sock in small_buffers())
    big = Prepare(connection="big", snapshot=bytes(1_000_000))
    before = open_fds()
    with open("/dev/null") as null:
        inode = os.fstat(null.fileno()).st_ino
        left.link.send(big, [null.fileno()])
        left.link.send(text("queued"), [null.fileno(), null.fileno()])
    assert left.link.unsent > 900_000
    assert open_fds() == before + 2, "the first went with its first byte; two are kept for the second"
    message, fds = right.next()
    assert message == big
    assert [number(fd) for fd in fds] == [inode]
    message, fds = right.next()
    assert [number(fd) for fd in fds] == [inode, inode]
    assert left.link.unsent == 0
    assert open_fds() == before
    left.link.close()
    right.link.close()


def test_then_is_called_when_the_last_byte_is_with_the_kernel() -> None:
    left, right = (End(sock) for sock in small_buffers())
    taken = []
    left.link.send(text("at once"), then=lambda: taken.append("at once"))
    assert taken == ["at once"]
    left.link.send(Prepare(snapshot=bytes(100_000)), then=lambda: taken.append("big"))
    left.link.send(text("after"), then=lambda: taken.append("after"))
    assert taken == ["at once"]
    for _ in range(3):
        right.next()
    assert taken == ["at once", "big", "after"]
    left.link.close()
    right.link.close()


def test_then_is_never_called_when_the_link_breaks_first() -> None:
    sock, other = small_buffers()
    left = End(sock)
    left.link.send(Prepare(snapshot=bytes(100_000)), then=lambda: pytest.fail("called"))
    other.close()
    assert left.ended.wait(PATIENCE)
    assert left.link.send(text("late")) is False
    assert left.link.unsent == 0


def test_then_may_send_and_may_close() -> None:
    left, right = (End(sock) for sock in small_buffers())

    def more() -> None:
        left.link.send(text("more"), then=left.link.close)

    left.link.send(Prepare(connection="big", snapshot=bytes(100_000)), then=more)
    assert right.next()[0].connection == "big"
    assert right.next_text() == "more"
    assert right.ended.wait(PATIENCE)
    assert left.ends == 0, "close() is no end that needs telling"
    right.link.close()


def test_who_has_waited_hears_that_the_kernel_has_taken_something_whoever_sent_it() -> None:
    """Also of a part of a frame, and not of what has not had to wait."""
    ours, theirs = small_buffers()
    unsent: list[int] = []
    left: End = End(ours, on_taken=lambda: unsent.append(left.link.unsent))
    right = End(theirs)
    left.link.send(text("at once"))
    assert right.next_text() == "at once"
    assert unsent == []
    left.link.send(Prepare(connection="big", snapshot=bytes(1_000_000)))
    left.link.send(text("after"))
    waiting = left.link.unsent
    assert right.next()[0].connection == "big"
    assert right.next_text() == "after"
    assert waiting > unsent[0] > 0
    assert unsent == sorted(unsent, reverse=True)
    assert unsent[-1] == 0
    left.link.close()
    right.link.close()


def test_who_hears_that_something_was_taken_may_send_may_fail_and_may_close(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours, theirs = small_buffers()
    steps = iter(["fails", "sends", "closes"])

    def on_taken() -> None:
        if left.link.unsent:
            return
        step = next(steps)
        if step == "fails":
            left.link.send(Prepare(connection=step, snapshot=bytes(100_000)))
            raise RuntimeError("cannot bear it")
        if step == "sends":
            left.link.send(Prepare(connection=step, snapshot=bytes(100_000)))
        else:
            left.link.close()

    left, right = End(ours, on_taken=on_taken), End(theirs)
    left.link.send(Prepare(connection="big", snapshot=bytes(100_000)))
    assert [right.next()[0].connection for _ in range(3)] == ["big", "fails", "sends"]
    assert right.ended.wait(PATIENCE)
    assert "cannot bear it" in caplog.text
    assert left.ends == 0
    right.link.close()


def test_a_link_may_send_larger_frames_than_it_takes(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    left, right = End(ours, max_frame=100, max_sent=1000), End(theirs)
    left.link.send(Prepare(snapshot=bytes(900)))
    assert len(right.next()[0].snapshot) == 900
    with pytest.raises(ValueError, match="at most 1000"):
        left.link.send(Prepare(snapshot=bytes(1001)))
    right.link.send(Prepare(snapshot=bytes(101)))
    assert left.ended.wait(PATIENCE)
    assert left.received.empty()
    assert "broke" in caplog.text
    right.link.close()


def test_a_frame_of_64_megabytes(pair: tuple[End, End]) -> None:
    left, right = pair
    big = Prepare(connection="big", snapshot=os.urandom(1024) * (64 * 1024))
    left.link.send(big)
    assert right.next()[0] == big


def test_too_large_a_message_is_refused_before_anything_is_written() -> None:
    left, right = (End(sock, max_frame=100) for sock in socket.socketpair())
    with pytest.raises(ValueError, match="at most 100"):
        left.link.send(Prepare(snapshot=bytes(200)))
    with pytest.raises(ValueError, match="300 descriptors"):
        left.link.send(text("x"), [0] * 300)
    left.link.send(text("fits"))
    assert right.next_text() == "fits"
    left.link.close()
    right.link.close()


def test_a_bad_descriptor_is_the_callers_error(pair: tuple[End, End]) -> None:
    left, right = pair
    with pytest.raises(OSError) as raised:
        left.link.send(text("x"), [9999])
    assert raised.value.errno == errno.EBADF
    left.link.send(text("still there"))
    assert right.next_text() == "still there"


def test_what_was_sent_before_the_end_is_delivered_first() -> None:
    left, right = (End(sock) for sock in socket.socketpair())
    for n in range(50):
        right.link.send(text(str(n)))
    right.link.close()
    # The write fails, but that must not hide what the other side said before it went.
    assert left.link.send(text("x")) is False
    assert left.ended.wait(PATIENCE)
    assert [left.next_text() for _ in range(50)] == [str(n) for n in range(50)]
    assert left.ends == 1
    assert not left.link.broken


def test_who_cannot_read_may_miss_something(
    wire: tuple[socket.socket, End], caplog: pytest.LogCaptureFixture
) -> None:
    plain, end = wire

    class OutOfMemory:
        """The kernel has no memory for what comes."""

        def recvmsg(self, *given: object) -> None:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

        def close(self) -> None:
            sock.close()

    sock = end.link._sock
    end.link._sock = OutOfMemory()  # type: ignore[assignment]
    plain.sendall(encode(text("lost")))
    assert end.ended.wait(PATIENCE)
    assert end.link.broken
    assert "Cannot allocate memory" in caplog.text


def test_a_link_that_is_given_up_ends_as_if_it_had_broken(pair: tuple[End, End]) -> None:
    left, right = pair
    left.link.give_up()
    assert (left.ends, left.link.broken) == (1, True)
    left.link.give_up()
    assert left.ends == 1
    assert right.ended.wait(PATIENCE)
    assert not right.link.broken


def test_the_end_in_mid_frame_closes_unclaimed_descriptors(wire: tuple[socket.socket, End]) -> None:
    plain, end = wire
    with open("/dev/null") as null:
        send_with_fds(plain, encode(text("never whole"), 1)[:-1], [null.fileno()])
    plain.close()
    assert end.ended.wait(PATIENCE)
    assert end.received.empty()


@pytest.mark.parametrize("garbage", [b"\xff" * 5, b"GET / HTTP/1.1\r\n\r\n", encode(text("x"), 9)])
def test_garbage_ends_the_link(
    wire: tuple[socket.socket, End], garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    plain, end = wire
    plain.sendall(encode(text("good")) + garbage)
    assert end.ended.wait(PATIENCE)
    assert end.next_text() == "good"
    assert "broke" in caplog.text
    assert end.link.broken


def test_a_payload_that_does_not_parse_is_skipped(
    wire: tuple[socket.socket, End], caplog: pytest.LogCaptureFixture
) -> None:
    plain, end = wire
    with open("/dev/null") as null:
        send_with_fds(plain, b"\0\0\0\1\1\xff" + encode(text("next")), [null.fileno()])
    assert end.next_text() == "next"
    assert "not a Prepare" in caplog.text


def test_an_exception_in_on_message_breaks_nothing(
    pair: tuple[End, End], caplog: pytest.LogCaptureFixture
) -> None:
    left, right = pair
    heard: Queue[str] = Queue()

    def on_message(message: Prepare, fds: tuple[int, ...]) -> None:
        heard.put(message.connection)
        raise RuntimeError(f"cannot bear {message.connection}")

    right.link._on_message = on_message
    left.link.send(text("one"))
    left.link.send(text("two"))
    assert [heard.get(timeout=PATIENCE), heard.get(timeout=PATIENCE)] == ["one", "two"]
    assert "cannot bear one" in caplog.text
    assert not right.link.closed


def test_close_within_on_message_drops_the_rest(pair: tuple[End, End]) -> None:
    left, right = pair
    heard = []

    def on_message(message: Prepare, fds: tuple[int, ...]) -> None:
        heard.append(message.connection)
        right.link.close()

    right.link._on_message = on_message
    with open("/dev/null") as null:
        left.link.send(text("one"))
        left.link.send(text("two"), [null.fileno()])
    assert left.ended.wait(PATIENCE)
    assert heard == ["one"]
    assert right.ends == 0


def test_close_drops_what_waits_and_its_descriptors() -> None:
    sock, other = small_buffers()
    left = End(sock)
    with other, open("/dev/null") as null:
        left.link.send(Prepare(snapshot=bytes(100_000)))
        left.link.send(text("queued"), [null.fileno()])
        left.link.close()
        left.link.close()
        assert left.link.send(text("x")) is False
        assert left.ends == 0


def test_drain_delivers_what_is_there_and_the_end() -> None:
    left, right = (End(sock) for sock in socket.socketpair())
    left.link.send(text("last words"))
    left.link.close()
    right.link.drain()
    assert right.received.get_nowait()[0].connection == "last words"
    assert right.ends == 1


def test_a_crowded_kernel_is_asked_again(pair: tuple[End, End]) -> None:
    left, right = pair
    real, refusals = left.link._sock, [errno.ETOOMANYREFS] * 3

    class Crowded:
        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def sendmsg(self, *args: object) -> int:
            if refusals:
                raise OSError(refusals.pop(), "too many references")
            return real.sendmsg(*args)  # type: ignore[arg-type]

    left.link._sock = Crowded()  # type: ignore[assignment]
    with open("/dev/null") as null:
        left.link.send(text("one"), [null.fileno()])
    left.link.send(text("two"))
    message, (fd,) = right.next()
    os.close(fd)
    assert message.connection == "one"
    assert right.next_text() == "two"
    assert not refusals


def test_a_process_out_of_descriptors_hears_the_message_without_them() -> None:
    program = """
        import os, resource, socket
        from gevent.event import AsyncResult
        from actorrpc.ipc.link import Link
        from actorrpc.pb.control_pb2 import Prepare
        heard = [AsyncResult(), AsyncResult()]
        results = iter(heard)
        def on_message(message, fds):
            next(results).set((message.connection, len(fds)))
        left, right = socket.socketpair()
        receiver = Link(right, Prepare, on_message, print)
        sender = Link(left, Prepare, on_message, print)
        full = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        try:
            while True:
                full.append(os.dup(0))
        except OSError:
            os.close(full.pop())
        sender.send(Prepare(connection="two"), [0, 0])
        print(heard[0].get(timeout=10))
        os.close(full.pop())
        sender.send(Prepare(connection="one"), [0])
        print(heard[1].get(timeout=10))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "('two', 0)\n('one', 1)\n", done.stderr


def test_room_that_was_kept_is_there_for_a_descriptor_that_comes() -> None:
    """Also after a message that was not the one it is kept for, and after one that took it meanwhile."""
    program = """
        import os, resource, socket
        from gevent.queue import Queue
        from actorrpc.ipc.link import Link
        from actorrpc.pb.control_pb2 import Prepare

        heard = Queue()
        left, right = socket.socketpair()
        receiver = Link(right, Prepare, lambda message, fds: heard.put((message.connection, fds)), print)
        sender = Link(left, Prepare, print, print)
        receiver.reserve()
        sender.send(Prepare(connection="warm up"))
        heard.get(timeout=10)
        full = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        try:
            while True:
                full.append(os.dup(0))
        except OSError:
            pass
        try:
            receiver.reserve()
        except OSError as error:
            print(error.strerror)
        sender.send(Prepare(connection="none"))
        print(heard.get(timeout=10))
        for name in ("another", "the one"):
            sender.send(Prepare(connection=name), [0])
            name, fds = heard.get(timeout=10)
            print(name, len(fds))
            os.close(*fds)
        sender.send(Prepare(connection="no more"))
        heard.get(timeout=10)
        receiver.unreserve()
        full.append(os.dup(0))
        sender.send(Prepare(connection="too many"), [0])
        print(heard.get(timeout=10))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=30
    )
    expected = ["Too many open files", "('none', ())", "another 1", "the one 1", "('too many', ())"]
    assert done.stdout.splitlines() == expected, done.stderr


def test_repr_tells_the_state(pair: tuple[End, End]) -> None:
    left, _ = pair
    assert repr(left.link).startswith("<Link open fd=")
    left.link.close()
    assert repr(left.link).startswith("<Link closed")


def test_a_slow_reader_never_blocks_the_sender_nor_the_loop(pair: tuple[End, End]) -> None:
    left, right = pair
    right.link._reader.stop()
    for _ in range(20):
        left.link.send(Prepare(snapshot=bytes(1_000_000)))
    assert left.link.unsent > 19_000_000
    gevent.sleep(0)
    right.link._reader.start(right.link._read)
    assert sum(len(right.next()[0].snapshot) for _ in range(20)) == 20_000_000


frames_strategy = st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 3)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(frames=frames_strategy, cuts=st.lists(st.integers(1, 200), min_size=1, max_size=20))
def test_any_frames_in_any_chunks(frames: list[tuple[bytes, int]], cuts: list[int]) -> None:
    """A writer between the two ends cuts and joins as it likes; each frame still has its own files."""
    plain, linked = socket.socketpair()
    end = End(linked)
    files = [os.memfd_create("numbered") for _ in range(3)]
    inodes = [os.fstat(fd).st_ino for fd in files]
    stream, rights = b"", {}
    for payload, count in frames:
        if count:
            rights[len(stream)] = files[:count]
        stream += encode(Prepare(snapshot=payload), count)
    at = 0
    for step in range(len(stream)):
        if at >= len(stream):
            break
        # A chunk may hold the starts of several frames, but Linux passes one set of descriptors with it.
        stop = min([at + cuts[step % len(cuts)], *(start for start in rights if start > at)])
        carried = rights.get(at, [])
        send_with_fds(plain, stream[at:stop], carried) if carried else plain.sendall(stream[at:stop])
        at = stop
        if step % 3 == 0:
            gevent.sleep(0)
    plain.close()
    assert end.ended.wait(PATIENCE)
    for payload, count in frames:
        message, fds = end.next()
        assert (message.snapshot, [number(fd) for fd in fds]) == (payload, inodes[:count])
    with pytest.raises(Empty):
        end.received.get_nowait()
    for fd in files:
        os.close(fd)
