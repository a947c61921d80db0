"""A grpcio client of the storm: its conversations, what it checks in all of them, and how it takes a death.

When a hub is killed, the clients on it lose their connection: that is no fault if the storm has said so
before. Such a client is over, and another takes its place (``lives``).
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from array import array
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import WeakSet

import grpc
import grpc.aio

from tests.apps.bodies import body
from tests.apps.storm_actorrpc import StormStub
from tests.apps.storm_pb2 import Ledger, Number
from tests.chaos.crew import Deaths, tell

__all__ = ["STALL", "Client", "Ended"]

#: A conversation that comes no further for so long has stalled.
STALL = 10.0
#: One message in so many is larger than what a window or a read takes.
LARGE_EVERY, LARGE = 200, 200_000


class Ended(Exception):
    """A call ended with a status that it should not have."""

    def __init__(self, method: str, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{method} ended with {code.name}: {details}")
        self.code = code


class Client:
    """One client on one connection. Subclasses have conversations, and say what should be known of them.

    ``deaths``: what the crew has been told of hubs that are killed.
    """

    #: The conversations that "go" begins, by the name of their method.
    conversations: tuple[str, ...] = ()

    def __init__(self, channel: Any, name: str, think: float, deaths: Deaths) -> None:
        self.name = name
        self.ledger: Any = None
        #: Its address, as the server sees it.
        self.peer = ""
        self.sent: Counter[str] = Counter()
        self.got: Counter[str] = Counter()
        #: The processes that have answered.
        self.pids: set[int] = set()
        self.pauses = array("f")
        #: Calls so far, and the messages of those that send one.
        self.calls: Counter[str] = Counter()
        #: The connection has gone with its hub, and what told so.
        self.lost = asyncio.Event()
        self.why = ""
        #: How many hubs had been killed when it began.
        self.born = deaths.count
        self._deaths = deaths
        self._stub: Any = StormStub(channel)
        self._think = think
        self._chance = random.Random(name)
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._active: list[asyncio.Task[None]] = []
        #: What parts of conversations run beside them.
        self._parts: WeakSet[asyncio.Task[int]] = WeakSet()
        self._open: WeakSet[Any] = WeakSet()
        #: The calls that stay open, by the conversation that reads them.
        self._kept: dict[str, Any] = {}
        #: A call has ended as all do when the connection has gone.
        self._broken = False
        #: Since when each conversation has come no further.
        self._since: dict[str, float] = {}

    # ---- the course of things

    async def begin(self) -> None:
        """Open what stays open.

        A call is open all the time: grpcio connects again by itself, and who had no call at the moment would
        talk to another actor without having noticed.
        """
        watching = self._kept["watch"] = self._call("Watch", Number())
        self._run("watch", self._watch)
        assert await watching.initial_metadata()
        await self._learn_where()

    async def _learn_where(self) -> None:
        self.peer = (await self._call("Report", Number())).peer

    def go(self) -> None:
        self._active = [self._run(each, getattr(self, f"_{each}")) for each in self.conversations]

    async def end(self) -> None:
        """Let all come to its end; what does not has stalled, and is a fault."""
        self._stopping.set()
        await asyncio.gather(*self._active)
        await self._last_words()
        await asyncio.gather(*self._tasks)
        self._compare(self.ledger)
        self._check("on_thaw, after on_freeze", self.ledger.thaws, self.ledger.freezes)
        for fault in self.ledger.faults:
            self._fault(f"the actor: {fault}")

    async def _last_words(self) -> None:
        """When all conversations are over: what remains to be called."""
        self.ledger = await self._call("Finish", Number())

    def _compare(self, ledger: Ledger) -> None:
        """With what the actor has counted."""
        self._check("counted, as the actor has it", ledger.counted, self.sent["counted"])
        self._check("Watch in all", self.got["watched"], self.sent["counted"])

    async def leave(self) -> None:
        """It is over: its hub has died."""
        for task in self._tasks:
            task.cancel()
        for call in list(self._open):
            call.cancel()
        # All of them: grpcio keeps a channel, and what it has connected to again, for as long as there is a
        # call of it, be it in the traceback of what has ended a part of a conversation.
        await asyncio.gather(*self._tasks, *self._parts, return_exceptions=True)
        self._tasks.clear()
        self._active.clear()
        self._kept.clear()
        self._stub = None
        gc.collect()
        self._since.clear()

    @property
    def endings(self) -> dict[str, int]:
        """What the server's interceptors should have noted about this connection, when all has ended."""
        calls = self.calls.total()
        return {"calls": calls, "streams": calls**2}  # 1, 3, 5 and so on

    # ---- what conversations are made of

    def _call(self, method: str, *request: Any, **options: Any) -> Any:
        if self._broken:
            raise asyncio.InvalidStateError("grpcio would connect again")
        self.calls[method] += 1
        call = getattr(self._stub, method)(*request, **options)
        self._open.add(call)
        return call

    def _run(self, what: str, conversation: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                await conversation()
            except (Exception, asyncio.CancelledError) as error:
                # asyncio's own error is that of a call which grpcio has cancelled.
                if not await self._is_struck(error):
                    self._fault(f"{what} failed: {_describe(error)}")
            finally:
                self._since.pop(what, None)

        task = asyncio.create_task(run())
        self._tasks.append(task)
        return task

    async def _is_struck(self, error: BaseException) -> bool:
        """Whether this is what a hub's death looks like from here, and one has died."""
        if self.lost.is_set():
            return True
        code = getattr(error, "code", None)
        code = code() if callable(code) else code
        gone = code is grpc.StatusCode.UNAVAILABLE or isinstance(error, asyncio.InvalidStateError)
        # What grpcio says where it could not write any more.
        gone = gone or (code is grpc.StatusCode.INTERNAL and "Internal error from Core" in _describe(error))
        if code is grpc.StatusCode.DATA_LOSS:
            struck = self._deaths.count > 0
        elif gone:
            self._broken = True
            struck = await self._deaths.since(self.born)
        else:
            struck = False
        if struck:
            self.why = _describe(error)
            self.lost.set()
        return struck

    def _beside(self, conversation: Coroutine[Any, Any, int]) -> asyncio.Task[int]:
        """Part of a conversation, at the same time. What it raises is for who awaits it, if anybody does."""
        task = asyncio.create_task(conversation)
        self._parts.add(task)
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return task

    def stalled(self, now: float) -> list[str]:
        """The conversations that have stalled, each told once."""
        found = [what for what, since in self._since.items() if now - since > STALL]
        for what in found:
            del self._since[what]
        return found

    def _fault(self, text: str) -> None:
        if not self.lost.is_set():  # else it may have been about another connection
            tell({"fault": f"{self.name}: {text}"})

    def _check(self, what: str, number: int, expected: int) -> None:
        if number != expected:
            self._fault(f"{what}: {number} where {expected} was due")

    def _message(self, number: int, replies: int = 0) -> Number:
        size = LARGE if self._chance.randrange(LARGE_EVERY) == 0 else self._chance.randrange(100)
        return Number(number=number, body=body(number, size), replies=replies)

    def _check_message(self, what: str, message: Any, expected: int) -> None:
        if message is grpc.aio.EOF:
            self._fault(f"{what}: the end where {expected} was due")
            raise asyncio.InvalidStateError(what)
        self._check(what, message.number, expected)
        if message.body != body(message.number, len(message.body)):
            self._fault(f"{what}: the body of {message.number} is not its own")
        if message.pid:
            self.pids.add(message.pid)

    async def _await(self, what: str, step: Any) -> Any:
        """One step of a conversation: it is noted how long it takes."""
        began = self._since[what] = time.monotonic()
        result = await step
        self._since.pop(what, None)
        self.pauses.append(time.monotonic() - began)
        return result

    async def _rest(self, longer: float = 1.0) -> None:
        await asyncio.sleep(self._chance.expovariate(1 / (self._think * longer)))

    async def _read_numbers(self, method: str, call: Any) -> int:
        count = 0
        while (message := await call.read()) is not grpc.aio.EOF:
            count += 1
            self.got[f"replies of {method}"] += 1
            self._check_message(method, message, count)
        await self._expect_status(method, call, grpc.StatusCode.OK)
        return count

    async def _expect_status(self, method: str, call: Any, expected: grpc.StatusCode) -> None:
        code = await call.code()
        if code is not expected:
            raise Ended(method, code, await call.details())

    # ---- the conversations that all have

    async def _watch(self) -> None:
        while (message := await self._kept["watch"].read()) is not grpc.aio.EOF:
            self.got["watched"] += 1
            self._check_message("Watch", message, self.got["watched"])

    async def _count(self) -> None:
        while not self._stopping.is_set():
            await self._count_once("count")
            await self._rest()

    async def _count_once(self, what: str) -> None:
        self.sent["counted"] += 1
        number = self.sent["counted"]
        reply = await self._await(what, self._call("Count", self._message(number)))
        self._check_message("Count", reply, number)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: sent {dict(self.sent)}, got {dict(self.got)}>"


def _describe(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}, {error.details()}"
    return repr(error)
