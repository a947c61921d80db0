"""The storm's grpcio clients: each a channel, and on it calls of all four shapes that never stop.

Run as a process of its own by ``tests.chaos.storm``; see ``tests.chaos.crew`` for what it says and hears.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from array import array
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import grpc.aio

from tests.apps.storm import body
from tests.apps.storm_actorrpc import StormStub
from tests.apps.storm_pb2 import Number, Post
from tests.chaos.crew import Orders, tell
from tests.chaos.figures import summary

OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
]
#: A conversation that comes no further for so long has stalled.
STALL = 10.0
#: Messages of Talk after which it ends and a new one begins; and of Recite, whose messages are replied to
#: by up to so many.
TALK = 300
RECITE, REPLIES = 8, 6
#: Up to so many replies of Murmur are read before it is cancelled.
PATIENCE = 20
#: The body of a message that is worth compressing.
COMPRESSIBLE = 500
#: By so many times their conversations rest longer, which are more to the server than a message is.
LONGER = 3.0
GZIP = grpc.Compression.Gzip
#: One message in so many is larger than what a window or a read takes.
LARGE_EVERY, LARGE = 200, 200_000


class Member:
    """One client on one connection: it counts, watches, uploads, talks, recites, publishes and listens, and
    changes its mind."""

    def __init__(self, channel: Any, name: str, room: str, publishers: int, think: float) -> None:
        self.name = name
        self.ledger: Any = None
        self.sent: Counter[str] = Counter()
        self.got: Counter[str] = Counter()
        self.pauses = array("f")
        #: Calls so far, and the messages of those that send one.
        self.calls: Counter[str] = Counter()
        self._stub: Any = StormStub(channel)
        self._room = room
        self._publishers = publishers
        self._think = think
        self._chance = random.Random(name)
        self._stopping = asyncio.Event()
        self._heard: Counter[str] = Counter()
        self._finals: set[str] = set()
        self._knocked = asyncio.Event()
        self._all_final = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        #: Since when each conversation has come no further.
        self._since: dict[str, float] = {}

    # ---- the course of things

    async def begin(self) -> None:
        """Open what stays open, and wait until the subscription stands."""
        self._watching = self._call("Watch", Number())
        self._listening = self._call("Listen", Post(room=self._room))
        self._run("watch", self._watch)
        self._run("listen", self._listen)
        assert await self._watching.initial_metadata()
        while not self._knocked.is_set():
            await self._call("Publish", Post(room=self._room, publisher=self.name))
            await asyncio.sleep(0.05)

    def go(self) -> None:
        self._active = [
            self._run("count", self._count),
            self._run("upload", self._upload),
            self._run("talk", self._talk),
            self._run("recite", self._recite),
            self._run("murmur", self._murmur),
            self._run("publish", self._publish),
        ]

    async def end(self) -> None:
        """Let all come to its end; what does not has stalled, and is a fault."""
        self._stopping.set()
        await asyncio.gather(*self._active)
        await self._all_final.wait()
        while len((await self._call("Report", Number())).finals) < self._publishers:
            await asyncio.sleep(0.05)
        self.ledger = await self._call("Finish", Number(body=self._room.encode()))
        await asyncio.gather(*self._tasks)
        self._check("Watch in all", self.got["watched"], self.sent["counted"])
        for what in ("counted", "uploaded", "talked", "recited", "published"):
            self._check(f"{what}, as the actor has it", getattr(self.ledger, what), self.sent[what])
        self._check("publishers, as the actor has it", len(set(self.ledger.finals)), self._publishers)
        self._check("on_thaw, after on_freeze", self.ledger.thaws, self.ledger.freezes)
        if dict(self.ledger.heard) != dict(self._heard):
            self._fault(f"the actor heard {dict(self.ledger.heard)}, the call {dict(self._heard)}")
        for fault in self.ledger.faults:
            self._fault(f"the actor: {fault}")

    @property
    def endings(self) -> dict[str, int]:
        """What the server's interceptors should have noted about this connection, when all has ended."""
        calls = self.calls.total()
        streams = sum(self.calls[method] for method in ("Upload", "Talk", "Recite", "Murmur"))
        return {
            "calls": calls,
            "cancelled": self.sent["cancelled"],
            "streams": calls**2,  # 1, 3, 5 and so on
            "requests": calls - streams + self.sent["uploaded"] + self.sent["talked"],
        }

    def _call(self, method: str, *request: Any, **options: Any) -> Any:
        self.calls[method] += 1
        return getattr(self._stub, method)(*request, **options)

    def _run(self, what: str, conversation: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                await conversation()
            except grpc.RpcError as error:
                self._fault(f"{what} failed: {error.code().name}, {error.details()}")
            except Exception as error:
                self._fault(f"{what} failed: {error!r}")
            finally:
                self._since.pop(what, None)

        task = asyncio.create_task(run())
        self._tasks.append(task)
        return task

    def stalled(self, now: float) -> list[str]:
        """The conversations that have stalled, each told once."""
        found = [what for what, since in self._since.items() if now - since > STALL]
        for what in found:
            del self._since[what]
        return found

    def _fault(self, text: str) -> None:
        tell({"fault": f"{self.name}: {text}"})

    def _check(self, what: str, number: int, expected: int) -> None:
        if number != expected:
            self._fault(f"{what}: {number} where {expected} was due")

    def _message(self, number: int, replies: int = 0) -> Number:
        size = LARGE if self._chance.randrange(LARGE_EVERY) == 0 else self._chance.randrange(100)
        return Number(number=number, body=body(number, size), replies=replies)

    def _check_message(self, what: str, message: Number, expected: int) -> None:
        self._check(what, message.number, expected)
        if message.body != body(message.number, len(message.body)):
            self._fault(f"{what}: the body of {message.number} is not its own")

    async def _await(self, what: str, step: Any) -> Any:
        """One step of a conversation: it is noted how long it takes."""
        began = self._since[what] = time.monotonic()
        result = await step
        self._since.pop(what, None)
        self.pauses.append(time.monotonic() - began)
        return result

    async def _rest(self, longer: float = 1.0) -> None:
        await asyncio.sleep(self._chance.expovariate(1 / (self._think * longer)))

    # ---- the conversations

    async def _count(self) -> None:
        while not self._stopping.is_set():
            self.sent["counted"] += 1
            number = self.sent["counted"]
            reply = await self._await("count", self._call("Count", self._message(number)))
            self._check_message("Count", reply, number)
            await self._rest()

    async def _watch(self) -> None:
        while (message := await self._watching.read()) is not grpc.aio.EOF:
            self.got["watched"] += 1
            self._check_message("Watch", message, self.got["watched"])

    async def _upload(self) -> None:
        while not self._stopping.is_set():
            call = self._call("Upload")
            length = self._chance.randint(1, 30)
            for number in range(1, length + 1):
                await self._await("upload", call.write(self._message(number)))
                self.sent["uploaded"] += 1
                if number % 3 == 0:
                    await self._rest()
            await call.done_writing()
            self._check("Upload", (await self._await("upload", call)).number, length)
            self.got["uploads"] += 1
            await self._rest()

    async def _talk(self) -> None:
        while not self._stopping.is_set():
            call = self._call("Talk")
            wanted = 0
            reading = asyncio.create_task(self._read_numbers("Talk", call))
            for number in range(1, TALK + 1):
                replies = self._chance.randrange(3)
                wanted += replies
                await self._await("talk", call.write(self._message(number, replies)))
                self.sent["talked"] += 1
                if self._stopping.is_set():
                    break
                await self._rest()
            await call.done_writing()
            self._check("Talk in all", await self._await("talk", reading), wanted)

    async def _read_numbers(self, method: str, call: Any) -> int:
        count = 0
        while (message := await call.read()) is not grpc.aio.EOF:
            count += 1
            self.got[f"replies of {method}"] += 1
            self._check_message(method, message, count)
        code = await call.code()
        if code is not grpc.StatusCode.OK:
            self._fault(f"{method} ended with {code.name}: {await call.details()}")
        return count

    async def _recite(self) -> None:
        """All messages at once, so that they wait for the iterables of those before."""
        while not self._stopping.is_set():
            call = self._call("Recite", compression=GZIP)
            wanted = 0
            for number in range(1, RECITE + 1):
                replies = self._chance.randrange(REPLIES)
                wanted += replies
                await self._await("recite", call.write(_compressible(number, replies)))
                self.sent["recited"] += 1
            await call.done_writing()
            self._check(
                "Recite in all", await self._await("recite", self._read_numbers("Recite", call)), wanted
            )
            await self._rest(LONGER)

    async def _murmur(self) -> None:
        """Hear some to their end, and cancel as many in the midst."""
        while not self._stopping.is_set():
            length = self._chance.randint(1, PATIENCE)
            call = self._call("Murmur", _compressible(1, length), compression=GZIP)
            heard = self._read_numbers("Murmur", call)
            self._check("Murmur in all", await self._await("murmur", heard), length)
            await self._rest(LONGER)
            call = self._call("Murmur", _compressible(1), compression=GZIP)
            for number in range(1, length + 1):
                self._check_message("Murmur", await self._await("murmur", call.read()), number)
            call.cancel()
            self.sent["cancelled"] += 1
            await self._rest(LONGER)

    async def _publish(self) -> None:
        last = False
        while not last:
            last = self._stopping.is_set()
            self.sent["published"] += 1
            number = self.sent["published"]
            post = Post(room=self._room, publisher=self.name, number=number, last=last)
            self._check("Publish", (await self._await("publish", self._call("Publish", post))).number, number)
            await self._rest()

    async def _listen(self) -> None:
        while (post := await self._listening.read()) is not grpc.aio.EOF:
            if not post.number:
                if post.publisher == self.name:
                    self._knocked.set()
                continue
            self.got["heard"] += 1
            self._heard[post.publisher] += 1
            self._check(f"Listen, {post.publisher}", post.number, self._heard[post.publisher])
            if post.last:
                self._finals.add(post.publisher)
                if len(self._finals) == self._publishers:
                    self._all_final.set()


def _compressible(number: int, replies: int = 0) -> Number:
    return Number(number=number, body=body(number, COMPRESSIBLE), replies=replies)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--members", type=int, required=True, help="in all processes")
    parser.add_argument("--rooms", type=int, required=True)
    parser.add_argument("--think", type=float, required=True)
    arguments = parser.parse_args()
    loop = asyncio.get_running_loop()
    going, stopping = asyncio.Event(), asyncio.Event()
    Orders(
        lambda: loop.call_soon_threadsafe(going.set),
        lambda: (loop.call_soon_threadsafe(going.set), loop.call_soon_threadsafe(stopping.set)),
    )
    channels = [grpc.aio.insecure_channel(arguments.address, options=OPTIONS) for _ in range(arguments.count)]
    members = []
    for number, channel in enumerate(channels, arguments.first):
        room = number % arguments.rooms
        publishers = len(range(room, arguments.members, arguments.rooms))
        members.append(Member(channel, f"member {number}", f"room/{room}", publishers, arguments.think))
    await asyncio.gather(*(member.begin() for member in members))
    tell("ready")
    await going.wait()
    for member in members:
        member.go()
    watchdog = asyncio.create_task(_watch_for_stalls(members))
    await stopping.wait()
    ends = [asyncio.create_task(member.end()) for member in members]
    await asyncio.wait(ends, timeout=3 * STALL)
    for member, end in zip(members, ends, strict=True):
        if not end.done():
            tell({"fault": f"{member.name} did not come to its end: {_describe(member)}"})
            end.cancel()
        elif error := end.exception():
            tell({"fault": f"{member.name} did not come to its end: {error!r}"})
    watchdog.cancel()
    _report(members)
    for channel in channels:
        await channel.close()


async def _watch_for_stalls(members: list[Member]) -> None:
    while True:
        await asyncio.sleep(1)
        for member in members:
            for what in member.stalled(time.monotonic()):
                tell({"fault": f"{member.name}: {what} has stalled for {STALL} s: {_describe(member)}"})


def _describe(member: Member) -> str:
    return f"sent {dict(member.sent)}, got {dict(member.got)}"


def _report(members: list[Member]) -> None:
    numbers: Counter[str] = Counter()
    pauses = array("f")
    for member in members:
        numbers.update(member.sent)
        numbers.update(member.got)
        pauses.extend(member.pauses)
    ended = [member for member in members if member.ledger]
    thaws = {member.ledger.connection: member.ledger.thaws for member in ended}
    endings = {member.ledger.connection: member.endings for member in ended}
    tell({"numbers": numbers, "pauses": summary(pauses), "thaws": thaws, "endings": endings})


if __name__ == "__main__":
    asyncio.run(main())
