"""A program: what the services do, what the clients do, and when connections move. Plain data.

A program is a ``Program(...)`` as its ``repr`` prints it, so that a fault can be run again from its text. It
has batches of steps; what is in one batch happens at once, and after each batch the model lets the loop
come to rest and looks at everything.

What a handler does for a message is a script, a tuple of ops, which the client chooses:

    ("gate",)               wait until a step releases it
    ("nap",)                let the loop come round
    ("burn",)               use up the slice of turns
    ("send", n, size)       call.send, n times
    ("push", n, size)       call.send on all other open calls of the service, n times
    ("finish", code)        call.finish
    ("end others",)         call.finish on all other open calls of the service
    ("raise", kind)         see ``RAISES``
    ("var",)                set the ContextVar
    ("sub", t), ("unsub", t), ("listen", t)   subscribe to a topic, the actor or the call
    ("pub", t, n)           publish
    ("yield", n, size, cursor, between)   return an iterable of n replies, which does the op ``between``
                            before each, and "var" also when it is closed, and sets call.cursor or does not

Messages are ``(how many, on_request, script)``; ``on_request`` is an op for the interceptor's hook, or ().

Steps are
    ("call", client, method, timeout, on_call, messages, end)   ``end`` is a script: half-close; None: do not
    ("say", call, messages), ("half", call, script), ("cancel", call)
    ("grant", call, bytes), ("grant all", client), ("deaf", client), ("hear", client), ("ping", client)
    ("release", n), ("release all",), ("move", client, hub), ("advance", seconds), ("leave", client)
where a call is the n-th of those that the step can mean, modulo their number.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

__all__ = ["METHODS", "Op", "Program", "Script", "programs", "random_program"]

Op = tuple[Any, ...]
Script = tuple[Op, ...]

#: Shapes by name: the client streams, the server streams.
SHAPES = {"One": (False, False), "Many": (False, True), "Up": (True, False), "Talk": (True, True)}

#: A and B are actors, where X is for concurrent; S is stateless.
METHODS = [
    *(f"{service}.{x}{shape}" for service in "AB" for x in ("", "X") for shape in SHAPES),
    *(f"S.{shape}" for shape in SHAPES),
]

RAISES = ["rpc", "bug", "odd", "exit"]
HOOKS = ["init", "on_connect", "on_disconnect", "on_freeze", "on_thaw", "on_topic", "on_call_end"]
INTERCEPTORS = ["on_call", "on_request", "on_reply", "on_end"]


@dataclass(frozen=True)
class Program:
    """See the module's docstring."""

    batches: tuple[tuple[Op, ...], ...]
    #: How each client reads: its window, whether it is late, whether its connection's window is wide.
    clients: tuple[tuple[int, bool, bool], ...] = ((65_535, False, True),)
    #: What each hook does, each time that it runs; the last script again and again.
    hooks: tuple[tuple[str, tuple[Script, ...]], ...] = ()
    #: The interceptor's hooks.
    interceptors: tuple[str, ...] = ()
    hubs: int = 2
    #: Seconds that a look at the clock takes.
    tick: float = 1e-6
    max_mailbox: int = 10_000
    move_every: int = 0
    #: Turns that may wait in a mailbox before topics wait at home.
    topic_room: int = 1024


# ---- how a program is drawn: by numbers, since strategies inside of strategies take longer than a run


T = TypeVar("T")


class _Dice:
    """Choices. ``number(n)`` gives one below n; hypothesis chooses it, or a random generator."""

    def __init__(self, number: Callable[[int], int]) -> None:
        self.number = number

    def pick(self, *choices: T) -> T:
        """One of these; the first is the simplest."""
        return choices[self.number(len(choices))]

    def weighed(self, weights: dict[str, int]) -> str:
        return self.pick(*(name for name, weight in weights.items() for _ in range(weight)))

    def some(self, most: int, part: Callable[[], Any]) -> tuple[Any, ...]:
        """At most so many parts."""
        return tuple(part() for _ in range(self.number(most + 1)))

    def many(self, most: int, part: Callable[[], Any]) -> tuple[Any, ...]:
        """At least one, and rarely more than five."""
        found = [part()]
        while len(found) < most and self.number(5):
            found.append(part())
        return tuple(found)


OPS = {
    "nap": 2, "gate": 6, "burn": 1, "send": 5, "push": 3, "finish": 1, "end others": 1, "raise": 2, "var": 1,
    "sub": 2, "unsub": 1, "listen": 2, "pub": 3,
}  # fmt: skip
INIT_OPS = {"nap": 1, "gate": 3, "raise": 1, "var": 1}
HOOK_OPS = {"nap": 1, "gate": 3, "raise": 2, "var": 1, "sub": 2, "pub": 1}
STEPS = {
    "call": 16, "say": 3, "half": 2, "cancel": 2, "grant": 3, "grant all": 1, "deaf": 1, "hear": 1, "ping": 1,
    "release": 6, "release all": 2, "move": 4, "advance": 1, "leave": 1,
}  # fmt: skip
SIZES = (0, 10, 30_000, 70_000)
TIMES = (0, 0, 0, 0, 0, 400, 2500)
WINDOWS = (65_535, 1000, 0, 1 << 20)


class _Scripts(_Dice):
    """Choices of what handlers do. ``most``: replies of an iterable, where each may come with a move.

    ``ops`` are those that the program has at all: programs of a few kinds of ops find more than programs of
    all kinds.
    """

    most = 1500
    ops: dict[str, int]

    def op(self, ops: dict[str, int] | None = None) -> Op:
        name = self.weighed(ops or self.ops)
        if name in ("sub", "unsub", "listen"):
            return name, self.pick("t", "u")
        match name:
            case "send":
                return name, self.pick(1, 1, 2, 3, 5), self.pick(*SIZES)
            case "push":
                return name, self.pick(1, 3), self.pick(*SIZES)
            case "pub":
                return name, self.pick("t", "u"), self.pick(1, 1, 2, 8)
            case "finish":
                return name, self.pick(0, 7)
            case "raise":
                return name, self.pick(*RAISES)
        return (name,)

    def hook(self, name: str) -> Script:
        """What a hook does at its first run."""
        ops = INIT_OPS if name == "init" else HOOK_OPS
        return tuple(self.op(ops) for _ in range(self.pick(1, 1, 0, 2, 3)))

    def iterable(self) -> Op:
        count = min(self.pick(1, 0, 2, 3, 3, 8, 8, 40, self.pick(200, 200, 1500)), self.most)
        size = min(self.pick(0, 10, 10, 3000, 30_000), 600_000 // max(count, 1))
        between = self.pick((), (), ("nap",), ("gate",), ("var",), ("burn",), ("send", 1, 10))
        return "yield", count, size, self.pick(False, True), between

    def script(self, streaming: bool) -> Script:
        """``streaming``: the server streams."""
        if not streaming:
            return self.some(3, self.op)
        match self.pick("ops", "finish", "yield", "yield", "op, yield"):
            case "finish":
                return (("finish", 0),)
            case "yield":
                return (self.iterable(),)
            case "op, yield":
                return self.op(), self.iterable()
        return self.some(3, self.op)

    def on_request(self) -> Op:
        return self.pick((), (), (), (), (), ("finish", 7), ("raise", "rpc"), ("raise", "bug"), ("gate",))

    def on_call(self) -> Op:
        return self.pick(
            (), (), (), (), ("nap",), ("gate",), ("raise", "rpc"), ("raise", "bug"), ("finish", 7)
        )

    def messages(self, streaming: bool) -> Op:
        """Several of the same kind."""
        script = self.script(streaming)
        many = self.pick(1, 1, 2, 12, 40)
        if any(op[0] == "yield" and op[1] * many > self.most for op in script):
            many = 1
        return many, self.on_request(), script


class _Programs(_Scripts):
    """Choices of whole programs."""

    def program(self) -> Program:
        values = self.settings()
        self.most = 8 if values["move_every"] else 1500
        self.methods = sorted({self.pick(*METHODS) for _ in range(self.pick(1, 2, 3, 4))})
        steps = {"call", "release", *(self.weighed(STEPS) for _ in range(self.pick(2, 3, 4, 6, 8)))}
        ops = {self.weighed(OPS) for _ in range(self.pick(1, 2, 3, 4, 6))}
        self.steps = {name: weight for name, weight in STEPS.items() if name in steps}
        self.ops = {name: weight for name, weight in OPS.items() if name in ops}
        self.clients, self.hubs = len(values["clients"]), values["hubs"]
        return Program(self.many(10, lambda: self.many(5, self.step)), **values)

    def settings(self) -> dict[str, Any]:
        """All of a program but its steps."""
        hubs = self.pick(2, 1, 2, 3)
        return {
            "clients": tuple(
                (self.pick(*WINDOWS), self.pick(False, True), self.pick(True, False))
                for _ in range(self.pick(1, 1, 2))
            ),
            "hooks": tuple((name, (self.hook(name), *self.pick((), ((),)))) for name in self.names(HOOKS)),
            "interceptors": self.names(INTERCEPTORS),
            "hubs": hubs,
            "tick": self.pick(1e-6, 1e-4, 2e-3),
            "max_mailbox": self.pick(10_000, 8, 8),
            "move_every": self.pick(0, 0, 0, 0, 1, 3) if hubs > 1 else 0,
            "topic_room": self.pick(1024, 4),
        }

    def names(self, choices: list[str]) -> tuple[str, ...]:
        """None of these, or a few."""
        return tuple(sorted(set(self.some(3, lambda: self.pick(*choices))))) if self.number(2) else ()

    def step(self) -> Op:
        name = self.weighed(self.steps)
        number = self.number(8)
        client = number % self.clients
        match name:
            case "call":
                return self.call(client)
            case "say":
                return name, number, (self.messages(True),)
            case "half":
                return name, number, self.script(True)
            case "cancel" | "release":
                return name, number
            case "grant":
                return name, number, self.pick(100, 20_000, 70_000, 1_000_000)
            case "release all":
                return (name,)
            case "move":
                return name, client, self.number(self.hubs)
            case "advance":
                return name, self.pick(0.1, 0.5, 3.0)
        return name, client

    def call(self, client: int) -> Op:
        method = self.pick(*self.methods)
        client_streams, server_streams = SHAPES[method[2:].lstrip("X")]
        timeout, on_call = self.pick(*TIMES), self.on_call()
        if not client_streams:
            message = (1, self.on_request(), self.script(server_streams))
            return "call", client, method, timeout, on_call, (message,), ()
        messages = self.some(2, lambda: self.messages(server_streams))
        end = self.script(server_streams) if self.number(2) else None
        return "call", client, method, timeout, on_call, messages, end


@cache
def _below(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


@st.composite
def programs(draw: Any) -> Program:
    """All programs."""
    return _Programs(lambda count: draw(_below(count))).program()


def random_program(chosen: random.Random) -> Program:
    """One of them, without hypothesis: a hundred times as fast."""
    return _Programs(chosen.randrange).program()
