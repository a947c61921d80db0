"""The storm's members: each a client that has calls of all four shapes which never stop, and a room.

Run as a process of its own by ``tests.chaos.storm``; see ``tests.chaos.crew`` for what it says and hears.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import grpc
import grpc.aio

from tests.apps.bodies import body
from tests.apps.storm_pb2 import Ledger, Number, Post
from tests.chaos.client import Client
from tests.chaos.crew import Deaths
from tests.chaos.lives import arguments_of_a_crew, live

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


class Member(Client):
    """One client on one connection: it counts, watches, uploads, talks, recites, publishes and listens, and
    changes its mind."""

    conversations = ("count", "upload", "talk", "recite", "murmur", "publish")

    def __init__(
        self,
        channel: Any,
        name: str,
        think: float,
        deaths: Deaths,
        *,
        room: str,
        publishers: int,
        late: bool,
    ) -> None:
        """``late``: the others in the room may have published before."""
        super().__init__(channel, name, think, deaths)
        #: What it and its actor heard otherwise than in order.
        self.oddities: list[dict[str, Any]] = []
        self._room = room
        self._publishers = publishers
        self._late = late
        self._heard: Counter[str] = Counter()
        self._finals: set[str] = set()
        self._knocked = asyncio.Event()
        self._all_final = asyncio.Event()

    # ---- the course of things

    async def begin(self) -> None:
        """Open what stays open, and wait until the subscription stands."""
        await super().begin()
        self._kept["listen"] = self._call("Listen", Post(room=self._room, late=self._late))
        self._run("listen", self._listen)
        while not self._knocked.is_set():
            await self._call("Publish", Post(room=self._room, publisher=self.name))
            await asyncio.sleep(0.05)

    async def _last_words(self) -> None:
        await self._all_final.wait()
        while len(set((await self._call("Report", Number())).finals)) < self._publishers:
            await asyncio.sleep(0.05)
        self.ledger = await self._call("Finish", Number(body=self._room.encode()))

    def _compare(self, ledger: Ledger) -> None:
        super()._compare(ledger)
        for what in ("uploaded", "talked", "recited", "published"):
            self._check(f"{what}, as the actor has it", getattr(ledger, what), self.sent[what])
        self._check("publishers, as the actor has it", len(set(ledger.finals)), self._publishers)
        if dict(ledger.heard) != dict(self._heard):
            self._fault(f"the actor heard {dict(ledger.heard)}, the call {dict(self._heard)}")
        for each in ledger.oddities:
            self._note(each.publisher, each.number, each.due, each.at, who="actor")

    @property
    def endings(self) -> dict[str, int]:
        """What the server's interceptors should have noted about this connection, when all has ended."""
        streams = sum(self.calls[method] for method in ("Upload", "Talk", "Recite", "Murmur"))
        return {
            **super().endings,
            "cancelled": self.sent["cancelled"],
            "requests": self.calls.total() - streams + self.sent["uploaded"] + self.sent["talked"],
        }

    # ---- the conversations

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
            reading = self._beside(self._read_numbers("Talk", call))
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
        while (post := await self._kept["listen"].read()) is not grpc.aio.EOF:
            if not post.number:
                if post.publisher == self.name:
                    self._knocked.set()
                continue
            self.got["heard"] += 1
            publisher, number = post.publisher, post.number
            due = self._heard[publisher] + 1
            if number != due and not (due == 1 and self._late):
                self._note(publisher, number, due, time.monotonic(), who="call")
                if number < due:
                    continue
            self._heard[publisher] = number
            if post.last:
                self._finals.add(post.publisher)
                if len(self._finals) == self._publishers:
                    self._all_final.set()

    def _note(self, publisher: str, number: int, due: int, at: float, *, who: str) -> None:
        """Something of the topic came again, or before what was due: the storm knows whether its home had
        died. Where none can have, it is a fault at once."""
        if self._deaths.count:
            odd = {"who": f"{self.name}, {who}", "peer": self.peer, "publisher": publisher}
            self.oddities.append({**odd, "number": number, "due": due, "at": at})
        else:
            self._fault(f"Listen, {who}, {publisher}: {number} where {due} was due")


def _compressible(number: int, replies: int = 0) -> Number:
    return Number(number=number, body=body(number, COMPRESSIBLE), replies=replies)


async def main() -> None:
    parser = arguments_of_a_crew()
    parser.add_argument("--members", type=int, required=True, help="in all processes")
    parser.add_argument("--rooms", type=int, required=True)
    arguments = parser.parse_args()

    def make(number: int, life: int, channel: Any, deaths: Deaths) -> Member:
        room = number % arguments.rooms
        return Member(
            channel,
            f"member {number}" + (f", life {life}" if life else ""),
            arguments.think,
            deaths,
            room=f"room/{room}",
            publishers=len(range(room, arguments.members, arguments.rooms)),
            late=life > 0,
        )

    numbers = range(arguments.first, arguments.first + arguments.count)
    await live(arguments, numbers, make)


if __name__ == "__main__":
    asyncio.run(main())
