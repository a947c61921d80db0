"""Clients whose handlers fork, offload what raises, or may not run at all.

Run as a process of its own by ``tests.chaos.storm``.
"""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import cycle
from pathlib import Path
from typing import Any

import grpc

from tests.apps.storm_pb2 import Job, Number
from tests.chaos.client import Client, Ended
from tests.chaos.crew import Deaths
from tests.chaos.lives import arguments_of_a_crew, live

#: Ways to fork whose children end within the handler's turn, and those whose children live on.
SHORT_LIVED, LONG_LIVED = ("process", "run"), ("fork", "program")
#: Seconds that children live: the long ones longer than a client waits for the word that its hub has died.
SHORT, LONG = 0.02, 15.0
#: So many times longer than others it rests between two forks: a child takes longer than a call.
LONGER = 4.0
#: What is offloaded, and what becomes of the call.
OFFLOADED = {
    "value": (grpc.StatusCode.ABORTED, "ValueError"),
    "exit": (grpc.StatusCode.ABORTED, "SystemExit"),
    "rpc": (grpc.StatusCode.FAILED_PRECONDITION, "offloaded"),
}


class Troublemaker(Client):
    """It counts, forks, offloads, and makes calls that an interceptor ends."""

    conversations: tuple[str, ...] = ("count", "fork", "offload")

    def __init__(self, channel: Any, name: str, think: float, deaths: Deaths, *, intercepted: bool) -> None:
        super().__init__(channel, name, think, deaths)
        if intercepted:
            self.conversations = (*self.conversations, "barred")
        #: Children that may live.
        self.children: set[int] = set()

    async def _fork(self) -> None:
        ways = cycle((*SHORT_LIVED, *LONG_LIVED))
        for _ in range(self._chance.randrange(4)):
            next(ways)
        while not self._stopping.is_set():
            what = next(ways)
            lasts = what in LONG_LIVED
            job = Job(what=what, seconds=LONG if lasts else SHORT)
            reply = await self._await("fork", self._call("Fork", job))
            self.pids.add(reply.pid)
            if lasts:
                self.children.add(reply.number)
            self.got[f"forked: {what}"] += 1
            await self._rest(LONGER)

    async def _offload(self) -> None:
        for what in cycle(OFFLOADED):
            if self._stopping.is_set():
                return
            code, details = OFFLOADED[what]
            await self._is_refused("offload", self._call("Offload", Job(what=what)), code, details)
            self.got[f"offloaded: {what}"] += 1
            await self._rest()

    async def _barred(self) -> None:
        while not self._stopping.is_set():
            self.sent["barred"] += 1
            call = self._call("Barred", Number(number=self.sent["barred"]))
            await self._is_refused("barred", call, grpc.StatusCode.PERMISSION_DENIED, "barred")
            await self._rest()

    async def _is_refused(self, what: str, call: Any, code: grpc.StatusCode, details: str) -> None:
        try:
            await self._await(what, call)
        except grpc.aio.AioRpcError as error:
            if error.code() is not code:
                raise
            if error.details() != details:
                self._fault(f"{what}: {error.details()!r} where {details!r} was due")
        else:
            raise Ended(what, grpc.StatusCode.OK, f"{code.name} was due")
        self._since.pop(what, None)

    def end_children(self) -> None:
        """Those that still live, if they are who we believe."""
        for pid in self.children:
            try:
                if _name_of(pid) in ("sleep", "python"):
                    os.kill(pid, signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                pass

    async def _last_words(self) -> None:
        self.end_children()
        await super()._last_words()

    @property
    def endings(self) -> dict[str, int]:
        return {**super().endings, "requests": self.calls.total() - self.sent["barred"]}


def _name_of(pid: int) -> str:
    """What program a process runs; "python" for any version, and for what has only been forked: it has the
    title of its hub."""
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    return "python" if name.startswith(("python", "actorrpc: hub")) else name


async def main() -> None:
    parser = arguments_of_a_crew()
    parser.add_argument("--plain", action="store_true", help="there are no interceptors")
    arguments = parser.parse_args()
    makers: list[Troublemaker] = []

    def make(number: int, life: int, channel: Any, deaths: Deaths) -> Troublemaker:
        name = f"troublemaker {number}, life {life}"
        maker = Troublemaker(channel, name, arguments.think, deaths, intercepted=not arguments.plain)
        makers.append(maker)
        return maker

    await live(arguments, range(arguments.count), make)
    for maker in makers:
        maker.end_children()


if __name__ == "__main__":
    asyncio.run(main())
