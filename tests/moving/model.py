"""Hubs, their links, a broker that asks for moves and a client, as a model in which each step can be chosen.

The real ``Handoffs``, ``Source``, ``Target``, frames and descriptors are used; processes, timers and the
kernel's queues are fakes, so that a test can deliver in pieces, stall, break, kill and fire timers in any
order. The client's connection is a real pair of sockets: whether it sees a close is for the kernel to say.
What the hubs answer goes through a real record layer of TLS, whose client opens it in order, each record
once.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from actorrpc.errors import SnapshotError
from actorrpc.hub.moving.handoffs import Handoffs
from actorrpc.hub.moving.source import Source
from actorrpc.ipc.framing import FrameReader, close_all, encode
from actorrpc.pb import control_pb2
from actorrpc.pb.tls_pb2 import TlsSnapshot
from actorrpc.tls.ownership import Ownership
from actorrpc.tls.record_layer import RecordLayer
from actorrpc.tls.snapshot import freeze_records, thaw_records
from tests.support.tls_client import AES_128, DATA, Client

Steps = dict[str, Callable[[], None]]

#: Why a target may refuse.
REFUSALS: dict[str, Callable[[], Exception]] = {
    "format": lambda: SnapshotError("snapshot format 2, where this hub reads 1"),
    "size": lambda: SnapshotError("over the limit"),
    "draining": lambda: RuntimeError("the hub is stopping"),
    "memory": lambda: MemoryError(),
    "app": lambda: ZeroDivisionError("the app's own mistake"),
    "long": lambda: ZeroDivisionError("x" * 100_000),
    "unsendable": lambda: ZeroDivisionError("\ud800"),
}


#: What may raise, in a hub. An error in what is done when a move is over must not touch the move.
FAILING = ("quiesce", "freeze", "resume", "release", "discard", "done", "send")


class Mistake(Exception):
    """What the model raises on purpose. Its text is none that can be sent, and too long to be kept."""

    def __str__(self) -> str:
        return "\ud800" * 100_000


class Frame:
    """What a hub has sent and the kernel has not taken yet. ``fds`` are dups, as the real link's."""

    def __init__(self, data: bytes, fds: Sequence[int], then: Callable[[], None] | None) -> None:
        self.data = data
        self.fds = tuple(os.dup(fd) for fd in fds)
        self.then = then


class End:
    """One hub's end of a link: as ``actorrpc.ipc.link.Link``, with the kernel's queue of what comes in."""

    other: End

    def __init__(self, hub: Hub, peer: int) -> None:
        self.hub = hub
        self.peer = peer
        self.closed = False
        #: The kernel takes nothing.
        self.stalled = False
        self.reserved = 0
        self._unsent: deque[Frame] = deque()
        self._inbox: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._frames = FrameReader()

    def send(
        self,
        message: Any,
        fds: Sequence[int] = (),
        then: Callable[[], None] | None = None,
    ) -> bool:
        if self.closed or self.other.closed:
            return False
        if not message.HasField("abort"):  # which needs neither a descriptor nor much memory
            self.hub.fail("send")
        if message.HasField("commit"):
            then = self._moves_ownership(then)
        self._unsent.append(Frame(encode(message, len(fds)), fds, then))
        self.push()
        return True

    def _moves_ownership(self, then: Callable[[], None] | None) -> Callable[[], None]:
        def taken() -> None:
            self.hub.world.owner = self.peer
            if then is not None:
                then()

        return taken

    def reserve(self) -> None:
        if self.hub.crowded:
            raise OSError("Too many open files")
        self.reserved += 1

    def unreserve(self) -> None:
        self.reserved -= 1

    @property
    def unsent(self) -> bool:
        return bool(self._unsent) and not self.other.closed

    @property
    def readable(self) -> bool:
        return bool(self._inbox)

    @property
    def holds_socket(self) -> bool:
        """A COMMIT lies here unread, at least in part."""
        return any(fds for _, fds in self._inbox) or bool(self._frames._fds)

    @property
    def at_eof(self) -> bool:
        return not self.closed and self.other.closed and not self._inbox

    def push(self) -> None:
        """The kernel takes what it can."""
        while self.unsent and not self.stalled and not self.closed:
            self.push_piece(None)

    def push_piece(self, size: int | None) -> None:
        """The kernel takes a part of the first frame; a small one, such as COMMIT, as a whole."""
        frame = self._unsent[0]
        if frame.fds:
            size = None
        self.other._inbox.append((frame.data[:size], frame.fds))
        frame.fds = ()
        frame.data = b"" if size is None else frame.data[size:]
        if not frame.data:
            self._unsent.popleft()
            if frame.then is not None:
                with suppress(Mistake):  # the real link logs it
                    frame.then()

    def deliver(self, size: int | None = None) -> None:
        """The hub reads what the kernel holds first, or a part of it."""
        data, fds = self._inbox.popleft()
        if size is not None and data[size:]:
            self._inbox.appendleft((data[size:], ()))
        self._frames.receive(data[:size], fds)
        while not self.closed and (frame := self._frames.next_frame()):
            with suppress(Mistake):  # likewise
                self.hub.handoffs.receive(self, control_pb2.HubToHub.FromString(frame[0]), frame[1])

    def lose(self) -> None:
        """The hub sees the link's end, or ends it."""
        self.close()
        if self.hub.ends.get(self.peer) is self:
            del self.hub.ends[self.peer]
        self.hub.handoffs.link_lost(self, f"the link to hub {self.peer} has ended")

    def close(self) -> None:
        """What the kernel does with a descriptor of a unix socket."""
        self.closed = True
        self.stalled = False
        for frame in self._unsent:
            close_all(frame.fds)
        for _, fds in self._inbox:
            close_all(fds)
        self._unsent.clear()
        self._inbox.clear()
        self._frames.close()
        self.reserved = 0


class FakeConnection:
    """The connection at one hub, before, in or after a move: its state is the count of bytes handled."""

    id = "c"
    unquiet = "handler Lookup running"

    def __init__(self, hub: Hub, fd: int, count: int, records: RecordLayer) -> None:
        self.hub = hub
        self.fd = fd
        self.count = count
        #: What it answers goes through: each byte it has handled is a record.
        self.records = records
        self.serving = False
        self.pinned = ""
        self.on_quiet: Callable[[], None] | None = None

    def read(self) -> None:
        """Handle one byte of the client's, or its end."""
        data = os.read(self.fd, 1)
        if data:
            assert data[0] == self.count % 256, "lost, doubled or out of order"
            self.count += 1
            self.hub.world.handled += 1
            self.hub.world.answer(self.records.send(data))
        else:
            self._close()

    def _close(self) -> None:
        self.hub.world.excuse = "the client has ended it"
        self.serving = False
        self.on_quiet = None
        with socket.socket(fileno=self.fd) as sock:
            sock.shutdown(socket.SHUT_RDWR)
        self.hub.forget(self)

    # ---- as its source sees it

    def quiesce(self, on_quiet: Callable[[], None]) -> None:
        self.hub.fail("quiesce")
        self.on_quiet = on_quiet

    def freeze(self) -> bytes:
        self.hub.fail("freeze")
        self.serving = False
        if self.hub.unfit:
            raise SnapshotError("its state is too large")
        return b"%d " % self.count + freeze_records(self.records).SerializeToString()

    @property
    def freezes(self) -> int:
        return self.records.freezes

    def fileno(self) -> int:
        return self.fd

    def resume(self) -> None:
        self.on_quiet = None
        self.serving = True
        if self.records.ownership is Ownership.FROZEN:
            self.records.resume()
        self.hub.fail("resume")

    def release(self) -> None:
        os.close(self.fd)
        self.records.release()
        self.hub.forget(self)
        self.hub.fail("release")

    # ---- as its target sees it

    def serve(self, fd: int, freezes: int) -> None:
        self.fd = fd
        self.records.own(freezes)
        if self.hub.unable:
            self.hub.world.excuse = "the target failed to serve"
            raise RuntimeError("a hook's mistake")
        self.hub.connections[self.id] = self
        self.serving = True

    def discard(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.records.release()
        self.hub.fail("discard")


class Hub:
    """One process."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.alive = True
        self.stopped = False
        self.refusal = ""
        self.crowded = self.unfit = self.unable = False
        #: What raises, when it has done its work or before it begins.
        self.failing: set[str] = set()
        self.ends: dict[int, End] = {}
        #: New links that it has not heard of yet.
        self.due: deque[End] = deque()
        self.connections: dict[str, FakeConnection] = {}
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.handoffs = Handoffs(timer=self._timer, quiesce_timeout=1.0, thaw=self._thaw)

    def _timer(self, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        entry = (seconds, function)
        self.timers.append(entry)
        return lambda: self.timers.remove(entry) if entry in self.timers else None

    def _thaw(self, prepare: control_pb2.Prepare, fds: tuple[int, ...]) -> FakeConnection:
        if self.refusal:
            raise REFUSALS[self.refusal]()
        count, _, records = prepare.snapshot.partition(b" ")
        return FakeConnection(self, -1, int(count), thaw_records(TlsSnapshot.FromString(records)))

    def forget(self, connection: FakeConnection) -> None:
        del self.connections[connection.id]
        self.handoffs.closed(connection.id)

    def toggle(self, what: str) -> None:
        setattr(self, what, not getattr(self, what))

    def fail(self, what: str) -> None:
        """Raise, if it is to: a mistake of the app, of the hub, or no memory or descriptor left."""
        if what in self.failing:
            raise Mistake(what)

    def fire(self) -> None:
        self.timers.pop(0)[1]()

    def kill(self) -> None:
        """What the kernel does with a process."""
        self.alive = False
        for end in (*self.ends.values(), *self.due):
            end.close()
        self.due.clear()
        close_all(connection.fd for connection in self.connections.values())
        self.connections.clear()
        self.timers.clear()


class World:
    """All of it: ``steps`` are what happens by itself, ``chaos`` what an unlucky day brings."""

    def __init__(self, hubs: int = 3) -> None:
        self._fds = len(os.listdir("/proc/self/fd"))
        self.owner = 0
        #: Why nobody need serve although the owner lives.
        self.excuse = ""
        self.sent = self.handled = 0
        self.client_ended = False
        #: Each request for a move: the hub asked, and its answers.
        self.answers: list[tuple[Hub, list[str]]] = []
        #: Is shown each attempt that has ended.
        self.notice: Callable[[Source, str], None] = lambda source, why: None
        self.client, server = socket.socketpair()
        self.hubs = [Hub(self, number) for number in range(hubs)]
        for one in self.hubs:
            for two in self.hubs[: one.number]:
                self._link(one, two)
                one.ends[two.number], two.ends[one.number] = one.due.popleft(), two.due.popleft()
        #: The client's end of TLS: it finds what is sealed out of order, or twice.
        self.records = Client(AES_128)
        self.heard = 0
        connection = FakeConnection(self.hubs[0], server.detach(), 0, self.records.server())
        self.hubs[0].connections["c"] = connection
        connection.serving = True

    @staticmethod
    def _link(one: Hub, two: Hub) -> None:
        left, right = End(one, two.number), End(two, one.number)
        left.other, right.other = right, left
        one.due.append(left)
        two.due.append(right)

    def answer(self, records: bytes) -> None:
        """What a hub has sealed reaches the client."""
        for kind, content in self.records.read(records):
            assert (kind, content) == (DATA, bytes([self.heard % 256])), "lost, doubled or out of order"
            self.heard += 1

    # ---- what can happen

    def steps(self) -> Steps:
        """What happens, sooner or later, where nobody is dead or stopped."""
        steps: Steps = {}
        for hub in self.hubs:
            if hub.alive and not hub.stopped:
                steps |= self._steps_of(hub)
        return steps

    def _steps_of(self, hub: Hub) -> Steps:
        n = hub.number
        steps: Steps = {}
        for connection in hub.connections.values():
            if connection.on_quiet is not None:
                steps[f"{n} comes to rest"] = self._rests(connection)
            if connection.serving and (self.handled < self.sent or self.client_ended):
                steps[f"{n} reads"] = connection.read
        for peer, end in hub.ends.items():
            if end.readable:
                steps[f"{n} hears {peer}"] = end.deliver
            if end.at_eof:
                steps[f"{n} sees the end of {peer}"] = end.lose
        if hub.due:
            steps[f"{n} is linked to {hub.due[0].peer} again"] = partial(self._begin_link, hub)
        if hub.timers:
            steps[f"{n}'s time is up"] = hub.fire
        return steps

    @staticmethod
    def _rests(connection: FakeConnection) -> Callable[[], None]:
        def rest() -> None:
            on_quiet, connection.on_quiet = connection.on_quiet, None
            assert on_quiet is not None
            on_quiet()

        return rest

    def moves(self) -> Steps:
        """What the broker may ask for, of whoever lives."""
        return {
            f"move {hub.number} to {target}": partial(self.move, hub.number, target)
            for hub in self.hubs
            if hub.alive
            for target in range(len(self.hubs))
            if target != hub.number
        }

    def chaos(self) -> Steps:
        chaos: Steps = {}
        for hub in self.hubs:
            if hub.alive:
                chaos |= self._chaos_of(hub)
        if not self.client_ended:
            chaos["the client says more"] = self.say
            chaos["the client half-closes"] = lambda: self._end(lambda: self.client.shutdown(socket.SHUT_WR))
            chaos["the client closes"] = lambda: self._end(lambda: self.client.shutdown(socket.SHUT_RDWR))
        return chaos

    def _chaos_of(self, hub: Hub) -> Steps:
        n = hub.number
        chaos: Steps = {f"kill {n}": hub.kill}
        chaos[f"{n} gives up"] = lambda: hub.handoffs.give_up("the hub is stopping")
        for change in ("stopped", "crowded", "unfit", "unable"):
            chaos[f"{n} {change}"] = partial(hub.toggle, change)
        for what in FAILING:
            chaos[f"{n} fails to {what}"] = partial(hub.failing.symmetric_difference_update, {what})
        for refusal in ["", *REFUSALS]:
            chaos[f"{n} refuses {refusal}"] = partial(setattr, hub, "refusal", refusal)
        for other in self.hubs[:n]:
            if other.alive and self._lack_a_link(hub, other):
                chaos[f"{n} and {other.number} get a link"] = partial(self._link, hub, other)
        for peer, end in hub.ends.items():
            chaos[f"{n} breaks off {peer}"] = partial(self._break, end)
            if not end.stalled:
                chaos[f"{n} to {peer} stalls"] = partial(setattr, end, "stalled", True)
            else:
                chaos[f"{n} to {peer} flows"] = partial(self._flow, end)
                if end.unsent:
                    chaos[f"{n} to {peer}: a piece"] = partial(end.push_piece, 3)
            if end.readable and not hub.stopped:
                chaos[f"{n} hears {peer}: a piece"] = partial(end.deliver, 4)
        return chaos

    def say(self) -> None:
        try:
            self.client.send(bytes([self.sent % 256]), socket.MSG_NOSIGNAL)
        except OSError:
            assert self.over
        else:
            self.sent += 1

    def _end(self, how: Callable[[], None]) -> None:
        self.client_ended = True
        how()

    def move(self, hub: int, target: int) -> None:
        """As ``Node.move``."""
        asked = self.hubs[hub]
        answers: list[str] = []
        self.answers.append((asked, answers))
        connection = asked.connections.get("c")
        if connection is None:
            answers.append("unknown connection")
        elif target not in asked.ends:
            answers.append("unknown hub")
        elif "c" in asked.handoffs.sources:
            answers.append("it is being moved already")
        else:
            asked.handoffs.begin(
                connection, asked.ends[target], lambda source, why: self._answer(asked, answers, source, why)
            )

    def _answer(self, asked: Hub, answers: list[str], source: Source, why: str) -> None:
        answers.append(why)
        self.notice(source, why)
        asked.fail("done")

    @staticmethod
    def _flow(end: End) -> None:
        end.stalled = False
        end.push()

    def _break(self, end: End) -> None:
        """A hub ends a link while both live: it could not follow what came."""
        if end.holds_socket:
            self.excuse = self.excuse or "COMMIT lay unread in the link that its reader broke off"
        end.lose()

    @staticmethod
    def _lack_a_link(one: Hub, two: Hub) -> bool:
        """The broker has heard so from one of them."""
        due = any(end.peer == two.number for end in one.due) or any(end.peer == one.number for end in two.due)
        return not due and (two.number not in one.ends or one.number not in two.ends)

    @staticmethod
    def _begin_link(hub: Hub) -> None:
        """As ``Links.add``: what the link before has brought comes first."""
        end = hub.due.popleft()
        old = hub.ends.get(end.peer)
        while old is not None and old.readable:
            old.deliver()
        if old is not None and not old.closed:
            old.lose()
        hub.ends[end.peer] = end

    def settle(self) -> None:
        """Nothing is stopped or stalled any more, and all that can happen happens."""
        for hub in self.hubs:
            hub.stopped = False
            for end in list(hub.ends.values()):
                if hub.alive:
                    self._flow(end)
        while steps := self.steps():
            steps[min(steps, key=lambda name: ("time is up" in name, name))]()
            self.check()
        self.check_end()

    # ---- what must hold

    @property
    def serving(self) -> list[int]:
        """The hubs that read from the client and write to it."""
        return [hub.number for hub in self.hubs for each in hub.connections.values() if each.serving]

    @property
    def over(self) -> bool:
        """The connection need not live on."""
        return bool(self.excuse) or not self.hubs[self.owner].alive

    def client_sees_close(self) -> bool:
        try:
            return self.client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def check(self) -> None:
        """After every step: nobody but the owner serves, and its death is seen at once."""
        assert self.serving in ([], [self.owner])
        assert self.client_sees_close() == self.over or self.client_ended
        assert all(len(answers) <= 1 for _, answers in self.answers)
        assert all(len(hub.timers) <= len(hub.handoffs.sources) for hub in self.hubs), "a timer of nothing"

    def check_end(self) -> None:
        """When nothing more can happen: one owner, which has handled all; all answered; no leaks."""
        assert self.serving == ([] if self.over else [self.owner])
        assert self.over or self.handled == self.sent
        assert all(len(answers) == 1 for hub, answers in self.answers if hub.alive)
        for hub in self.hubs:
            if hub.alive:
                assert not hub.handoffs, "a handoff that nobody will end"
                assert not any(end.reserved for end in hub.ends.values())
        open_here = len(os.listdir("/proc/self/fd")) - self._fds
        assert open_here == 1 + len(self.serving), "descriptors leak"

    def close(self) -> None:
        """Let go of everything, whatever the outcome."""
        self.client.close()
        for hub in self.hubs:
            if hub.alive:
                hub.kill()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
