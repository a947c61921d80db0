"""The plain reference: what each turn may do, and what has to have happened whenever the loop is at rest.

It shares no code with the product, and predicts no schedule. It is told what handlers and hooks do, as they
do it, and what the clients have sent and got; it knows the rules, and raises ``Fault`` where one is broken.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

from .client import Client, Stream
from .program import SHAPES, Op

__all__ = ["Call", "Cell", "Fault", "Gate", "Publication", "Subscription"]

#: Numbers of topics' messages begin here.
TOPIC_BASE = 1_000_000_000
UNKNOWN, DEADLINE, NOT_FOUND = 2, 4, 5
#: What a call may end with if this was raised.
CODES = {"rpc": {NOT_FOUND}, "bug": {UNKNOWN}, "odd": {NOT_FOUND, UNKNOWN}, "exit": {UNKNOWN}}


class Fault(AssertionError):
    """A rule is broken. ``kind`` is the rule's name."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


@dataclass(eq=False)
class Gate:
    """Where something waits until a step of the program lets it go on."""

    event: Any
    what: str
    client: int
    cell: Cell | None
    call: Call | None


@dataclass(eq=False)
class Publication:
    number: int
    topic: str
    client: int
    batch: int


@dataclass(eq=False)
class Subscription:
    topic: str
    client: int
    batch: int
    active: bool = True
    got: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Cell:
    """One service on one client's connection."""

    client: int
    service: str
    #: Which of its hooks the class has.
    hooks: tuple[str, ...]
    instance: weakref.ref[Any] | None = None
    #: How often the connection had moved when that instance came.
    moved: int = 0
    connected: bool = False
    making: int = 0
    #: The turn that runs, of those that run one at a time.
    serial: str = ""
    hook: str = ""
    thaw_due: bool = False
    count: int = 0
    disconnects: int = 0
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    def make(self) -> None:
        if self.making:
            raise Fault("instances", f"{self} is made while it is being made")
        self.making += 1

    def enter(self, instance: Any, moved: int, serial: bool, what: str) -> None:
        """A turn begins."""
        old = self.instance and self.instance()
        if old is not instance:
            if self.instance is not None and moved == self.moved:
                raise Fault("instances", f"{what} runs on another instance of {self}")
            if self.instance is not None and self.connected and "on_thaw" in self.hooks:
                self.thaw_due = True
            self.instance, self.moved = weakref.ref(instance), moved
        if what != "on_connect" and "on_connect" in self.hooks and not self.connected:
            raise Fault("order", f"{what} of {self} begins before on_connect has ended")
        if self.thaw_due and what != "on_thaw":
            raise Fault("order", f"{what} of {self} begins before on_thaw")
        if self.hook in ("on_connect", "on_thaw"):
            raise Fault("order", f"{what} of {self} begins while {self.hook} runs")
        if serial:
            if self.serial:
                raise Fault("overlap", f"{what} of {self} begins while {self.serial} runs")
            self.serial = what
            if self.service != "S":
                if instance.state.count != self.count:
                    raise Fault("state", f"{self} has counted {instance.state.count}, not {self.count}")
                self.count += 1
                instance.state.count += 1

    def leave(self, serial: bool) -> None:
        if serial:
            self.serial = ""

    def dropped(self) -> None:
        """It could not be made: the next call makes another one."""
        self.instance = None
        self.connected = False
        self.count = 0
        for each in self.subscriptions.values():
            each.active = False
        self.subscriptions.clear()

    def __str__(self) -> str:
        return f"{self.service} of client {self.client}"


@dataclass(eq=False)
class Iteration:
    """An iterable that is not exhausted: which message made it, and the next reply."""

    message: int
    op: Op
    at: int = 0


@dataclass(eq=False)
class Call:
    """One call, as client and handlers see it."""

    number: int
    client: Client
    cell: Cell
    method: str
    stream: Stream
    on_call: Op
    timeout: float = 0.0
    #: When the deadline passes, at the earliest and at the latest.
    earliest: float = float("inf")
    latest: float = float("inf")
    #: ``(on_request, script)`` of each message.
    messages: list[Any] = field(default_factory=list)
    end_script: Any = None
    half_closed: bool = False
    #: How the interceptors' on_call has fared: "", "runs", "done".
    admission: str = ""
    #: Messages whose turn has begun; the last one stands for the half-close.
    handled: int = 0
    ended: bool = False
    turn: str = ""
    iteration: Iteration | None = None
    #: Replies that were sent: number and size on the wire.
    sent: list[tuple[int, int]] = field(default_factory=list)
    sent_bytes: int = 0
    #: Replies that the client has got, and of their bytes those of topics.
    got: int = 0
    topic_bytes: int = 0
    #: The statuses that it may end with, once it must end; and those that it may end with unhandled.
    due: set[int] | None = None
    maybe: set[int] = field(default_factory=set)
    denied: bool = False
    cancelled: bool = False
    #: The server knows that it has ended.
    dead: bool = False
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    told: list[tuple[int, str]] = field(default_factory=list)
    #: A handler of it has begun; its iterables that run; and the statuses that its actor was told.
    seen: bool = False
    iterating: int = 0
    actor_told: list[int] = field(default_factory=list)

    @property
    def shape(self) -> tuple[bool, bool]:
        return SHAPES[self.method[2:].lstrip("X")]

    @property
    def serial(self) -> bool:
        return self.cell.service != "S" and self.method[2] != "X"

    @property
    def over(self) -> bool:
        """It has ended, or its client does not care."""
        return self.cancelled or self.client.gone or self.due is not None or self.stream.status is not None

    def send(self, number: int, size: int) -> None:
        self.sent.append((number, 5 + size))
        self.sent_bytes += 5 + size

    def finish(self, codes: set[int]) -> None:
        if self.due is None:
            self.due = codes

    # ---- turns

    def begin(self, instance: Any, moved: int, what: str) -> None:
        """A turn of the call begins."""
        if self.dead:
            raise Fault("ended", f"{what} of {self} begins after it was cancelled")
        if self.due is not None or self.stream.status is not None:
            kind = "denied" if self.denied else "ended"
            raise Fault(kind, f"{what} of {self} begins although the call has ended: {self.due}")
        if self.turn:
            raise Fault("overlap", f"{what} of {self} begins while {self.turn} runs")
        if self.admission == "runs":
            raise Fault("order", f"{what} of {self} begins before on_call has ended")
        self.cell.enter(instance, moved, self.serial, what)
        self.turn = what

    def done(self) -> None:
        """The turn has ended."""
        self.turn = ""
        self.cell.leave(self.serial)

    def hear_end(self, instance: Any, moved: int, status: int) -> None:
        """on_call_end begins."""
        if not self.seen:
            raise Fault("on_call_end", f"it runs for {self}, which no handler has seen")
        if self.actor_told:
            raise Fault("on_call_end", f"it runs for {self} again, after {self.actor_told}")
        if self.turn or self.iterating:
            raise Fault("on_call_end", f"it runs for {self} before {self.turn or 'its iterable is closed'}")
        if self.cell.disconnects:
            raise Fault("on_call_end", f"it runs for {self} after on_disconnect")
        self.actor_told.append(status)
        self.cell.enter(instance, moved, True, f"on_call_end of {self}")

    def take(self, index: int) -> bool:
        """The handler is given a message. Whether for the first time: not after a move of its iterable."""
        if self.iteration is not None:
            if self.iteration.message != index:
                raise Fault("messages", f"{self} takes message {index} before its iterable is exhausted")
            return False
        if index != self.handled:
            raise Fault("messages", f"{self} takes message {index}, and {self.handled} is next")
        self.handled += 1
        return True

    def take_end(self) -> bool:
        """As ``take``, for the half-close."""
        if self.iteration is not None:
            if self.iteration.message != -1:
                raise Fault("messages", f"{self} takes its end before its iterable is exhausted")
            return False
        if self.ended or self.handled != self.stream.sent:
            raise Fault("messages", f"{self} takes its end after {self.handled} of {self.stream.sent}")
        self.ended = True
        return True

    # ---- at rest

    @property
    def behind(self) -> int:
        """Bytes that the client has not got."""
        return self.sent_bytes - (self.stream.received - self.topic_bytes - len(self.stream.rest))

    def next_turn(self) -> str:
        """The turn that would be next; "" if none is due."""
        if self.over:
            return ""
        if self.iteration is not None:
            return f"reply {self.iteration.at} of its iterable"
        client_streams, _ = self.shape
        if not client_streams:
            return "its request" if self.stream.closed and not self.handled else ""
        if self.handled < self.stream.sent:
            return f"message {self.handled} of {self.stream.sent}"
        return "its half-close" if self.stream.closed and not self.ended else ""

    def why_not(self, gates: list[Gate], admits: bool) -> str:
        """What keeps the next turn from running; "" if nothing does."""
        for gate in gates:
            if gate.call is self:
                return f"its {gate.what} waits"
            if gate.cell is not self.cell:
                continue
            if gate.what in ("init", "on_connect", "on_thaw"):
                return f"{gate.what} waits"
            if self.serial and (gate.call is None or (gate.call.serial and gate.what != "on_call")):
                return f"{gate.what} waits, and turns run one at a time"
        if self.behind > 0:
            return "the client is behind"
        if self.subscriptions and (self.stream.granted <= 0 or self.client.granted <= 0):
            return "the client is behind with a topic"
        return ""

    def owes_end(self, gates: list[Gate]) -> bool:
        """Whether its on_call_end has not run, though it has ended, and nothing keeps it."""
        if self.actor_told or not self.seen or self.cell.service == "S" or self.turn or self.iterating:
            return False
        return not any(
            gate.cell is self.cell and (gate.call in (None, self) or gate.call.serial) for gate in gates
        )

    def acceptable(self, status: int, now: float) -> bool:
        """Whether it may end with a status."""
        if self.due is not None and status in self.due:
            return True
        if status == DEADLINE and now >= self.earliest:
            return True
        return status in self.maybe and not self.handled

    def __str__(self) -> str:
        return f"call {self.number} ({self.method} of client {self.cell.client})"
