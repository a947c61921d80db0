"""The demo's clients: they number their lines and remember all that they hear. Plain grpcio, and threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle

import grpc

from examples.chat.chat_actorrpc import ChatStub
from examples.chat.chat_pb2 import Event, JoinRequest, LeaveRequest, SayRequest

__all__ = ["Chatter"]

TIMEOUT = 10.0
PHRASES = (
    "did you notice anything?",
    "me neither",
    "which hub are you on?",
    "who cares",
    "still here",
    "go on",
)


class Chatter:
    """A member of ``room`` with a connection of its own, who says a line every ``pace`` seconds, or slower.

    What it heard is in ``heard``, as pairs of a sender's nick and the number of the sender's line.
    """

    def __init__(self, address: str, nick: str, room: str, pace: float) -> None:
        self.nick = nick
        self.room = room
        #: Its connection, as ``actorrpc connections`` shows it; known once it has joined.
        self.id = ""
        self.said = 0
        self.heard: list[tuple[str, int]] = []
        #: What went wrong.
        self.errors: list[str] = []
        self._pace = pace
        # Channels of one process share their connections otherwise, and would be one actor.
        self._channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._chat = ChatStub(self._channel)
        self._joined = False
        self._present: set[str] = set()
        self._changed = threading.Condition()
        self._hush = threading.Event()
        self._ears = threading.Thread(target=self._listen, daemon=True)
        self._mouth = threading.Thread(target=self._talk, daemon=True)

    def join(self) -> None:
        """Enter the room. Raises TimeoutError if that does not come about."""
        self._ears.start()
        self._wait_until("has not joined", lambda: self._joined)

    def wait_for(self, nicks: set[str]) -> None:
        """Wait until all of ``nicks`` are in the room. Raises TimeoutError."""
        self._wait_until("misses somebody", lambda: nicks <= self._present)

    def wait_for_lines(self, count: int, deadline: float) -> None:
        """Wait until ``count`` lines have been heard, or ``deadline`` on ``time.monotonic``'s clock."""
        with self._changed:
            seconds = max(0.0, deadline - time.monotonic())
            self._changed.wait_for(lambda: self.errors or len(self.heard) >= count, seconds)

    def start_talking(self) -> None:
        self._mouth.start()

    def stop_talking(self) -> None:
        """Say no more; the line on the lips is said first."""
        self._hush.set()
        if self._mouth.ident is not None:
            self._mouth.join(TIMEOUT)

    def leave(self) -> None:
        """Leave the room and close the connection; all that was heard is in ``heard``. May be repeated."""
        self._hush.set()
        if self._ears.is_alive():
            with suppress(grpc.RpcError):
                self._chat.Leave(LeaveRequest(), timeout=TIMEOUT)
            self._ears.join(TIMEOUT)
        self._channel.close()

    def _talk(self) -> None:
        for phrase in cycle(PHRASES):
            if self._hush.wait(self._pace):
                return
            try:
                self._chat.Say(SayRequest(text=f"{self.said + 1} {phrase}"), timeout=TIMEOUT)
            except grpc.RpcError as error:
                self._fail("Say", error)
                return
            self.said += 1

    def _listen(self) -> None:
        try:
            for event in self._chat.Join(JoinRequest(nick=self.nick, room=self.room)):
                with self._changed:
                    self._on_event(event)
                    self._changed.notify_all()
        except grpc.RpcError as error:
            self._fail("Join", error)

    def _on_event(self, event: Event) -> None:
        kind = event.WhichOneof("kind")
        if kind == "said":
            self.heard.append((event.said.by.nick, int(event.said.text.split()[0])))
        elif kind == "welcome":
            self.id = event.welcome.id
        elif kind == "joined":
            self._present.add(event.joined.nick)
            self._joined |= event.joined.id == self.id
        elif kind == "here":
            self._present.add(event.here.nick)

    def _fail(self, what: str, error: grpc.RpcError) -> None:
        with self._changed:
            self.errors.append(f"{what} of {self.nick} ended with {error.code().name}: {error.details()}")
            self._changed.notify_all()

    def _wait_until(self, otherwise: str, condition: Callable[[], bool]) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self.errors or condition(), TIMEOUT) or self.errors:
                raise TimeoutError(", ".join(self.errors) or f"{self.nick} {otherwise} after {TIMEOUT:.0f} s")

    def __repr__(self) -> str:
        return f"<Chatter {self.nick} in {self.room}, said {self.said}, heard {len(self.heard)}>"
