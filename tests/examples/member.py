"""A member of a chat room, as tests see it: plain grpcio; what it waits for is an event, never time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import Empty, Queue
from types import TracebackType
from typing import Any, Protocol

import grpc

from examples.chat.chat_actorrpc import ChatStub
from examples.chat.chat_pb2 import Event, JoinRequest, LeaveRequest, SayRequest, WhoRequest
from tests.support.waiting import PATIENCE


class Ended(Exception):
    """The Join call has ended: with this status, and these details."""

    def __init__(self, code: grpc.StatusCode, details: str | None = "") -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


class Enter(Protocol):
    """Enters a room and returns the new member, who is welcome."""

    def __call__(self, nick: str, room: str = ..., address: str = ...) -> Member: ...


class Member:
    """A connection. ``enter`` enters a room; ``next`` takes the events of a kind one by one."""

    def __init__(self, address: str, options: Sequence[tuple[str, Any]] = ()) -> None:
        self.id = ""
        own = ("grpc.use_local_subchannel_pool", 1)
        self.channel = grpc.insecure_channel(address, options=[own, *options])
        self.chat = ChatStub(self.channel)
        self.call: Any = None
        self._events: Queue[Event | Ended] = Queue()
        self._unread: list[Event] = []

    def join(self, nick: str, room: str) -> None:
        """Begin a Join whose events are heard from now on, and no others'."""
        self.call = self.chat.Join(JoinRequest(nick=nick, room=room))
        self._events = Queue()
        self._unread = []
        threading.Thread(target=_hear, args=(self.call, self._events), daemon=True).start()

    def say(self, text: str) -> None:
        self.chat.Say(SayRequest(text=text), timeout=PATIENCE)

    def who(self) -> None:
        self.chat.Who(WhoRequest(), timeout=PATIENCE)

    def leave(self) -> None:
        self.chat.Leave(LeaveRequest(), timeout=PATIENCE)

    def enter(self, nick: str, room: str) -> None:
        """Join, and wait until that is done."""
        self.join(nick, room)
        self.wait_until_joined()

    def wait_until_joined(self) -> None:
        """Learn one's id, and wait until the room has been told. Raises Ended."""
        self.id = self.next("welcome").id
        while self.next("joined").id != self.id:
            pass

    def next(self, kind: str) -> Any:
        """Return the next event of a kind; the others stay. Raises Ended if the call ends before."""
        for event in self._unread:
            if event.WhichOneof("kind") == kind:
                self._unread.remove(event)
                return getattr(event, kind)
        while (event := self._take()).WhichOneof("kind") != kind:
            self._unread.append(event)
        return getattr(event, kind)

    def _take(self) -> Event:
        try:
            event = self._events.get(timeout=PATIENCE)
        except Empty:
            raise AssertionError(f"nothing came within {PATIENCE} s, after {self._unread}") from None
        if isinstance(event, Ended):
            raise event
        return event

    def lines(self, count: int) -> list[tuple[str, str]]:
        """Return the next lines: who said them, and what."""
        said = [self.next("said") for _ in range(count)]
        return [(line.by.nick, line.text) for line in said]

    def here(self, count: int) -> dict[str, str]:
        """Return the ids and nicks of the next ``count`` members to answer a roll call, each once."""
        found: dict[str, str] = {}
        while len(found) < count:
            member = self.next("here")
            found[member.id] = member.nick
        return found

    def end(self) -> Ended:
        """Wait for the end of the call."""
        try:
            while True:
                self._take()
        except Ended as end:
            return end

    def __enter__(self) -> Member:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.channel.close()


def _hear(call: Any, events: Queue[Event | Ended]) -> None:
    try:
        for event in call:
            events.put(event)
        events.put(Ended(call.code(), call.details()))
    except grpc.RpcError as error:
        events.put(Ended(error.code(), error.details()))
