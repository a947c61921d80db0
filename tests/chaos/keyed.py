"""Clients of keyed actors that call each other, through whatever hub their connection is on.

Run as a process of its own by ``tests.chaos.storm``. Where a hub is killed, calls may fail whose actors were
there: the storm knows which these can be.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from itertools import count, cycle
from typing import Any

import grpc
import grpc.aio

from tests.apps.bodies import body
from tests.apps.peers import GUEST, KEYS, answered, continued
from tests.apps.peers_actorrpc import GuestStub, PeerStub
from tests.apps.peers_pb2 import CALL, FUTURE, STREAM, Ask, Known, Turn
from tests.chaos.client import Client, Ended
from tests.chaos.crew import Deaths
from tests.chaos.lives import arguments_of_a_crew, live

#: Actors that a call passes through, at most, and those that are told in its turn.
PATH, TELLS = 3, 2
#: Messages of a stream that is read to its end, up to so many; of one that an actor reads in its turn; and of
#: one that the client cancels.
STREAM_LENGTH, TURN_LENGTH, ENDLESS = 60, 12, 1_000_000
#: Seconds after which a call is cancelled, up to so many; messages of a stream that would last longer.
CANCELLED, LASTS = 0.05, 60
#: It then rests so many times longer: as long as it lasts the actors of its row do nothing else.
LONGER = 4.0


class KeyedClient(Client):
    """It calls actors, one or more of a row, which go on to others, and tell others; reads streams that come
    from behind several actors, or cancels them; visits actors that live for one call; and listens to one."""

    conversations = ("count", "ask", "recite", "cancel", "visit")

    def __init__(self, channel: Any, name: str, think: float, deaths: Deaths, *, key: str) -> None:
        """``key``: of the actor that it listens to."""
        super().__init__(channel, name, think, deaths)
        #: Calls that a death may explain.
        self.failures: list[dict[str, Any]] = []
        self._peers: Any = PeerStub(channel)
        self._guests: Any = GuestStub(channel)
        self._key = key
        self._known = {each: Known() for each in KEYS}
        #: What each conversation is called by actors. The storm before this one had others.
        self._callers = {each: random.getrandbits(63) for each in (*self.conversations, "listen")}
        self._numbers = count(1)
        self._listening = True

    # ---- the course of things

    async def begin(self) -> None:
        await super().begin()
        self._run("listen", self._listen)

    async def _last_words(self) -> None:
        self._listening = False
        if (call := self._kept.pop("listen", None)) is not None and call.cancel():
            self.got["calls cancelled"] += 1
        await super()._last_words()

    async def leave(self) -> None:
        self._peers = self._guests = None
        await super().leave()

    @property
    def endings(self) -> dict[str, int]:
        return {**super().endings, "cancelled": self.got["calls cancelled"], "requests": self.calls.total()}

    # ---- what conversations are made of

    def _begin(self, stub: Any, method: str, request: Ask) -> Any:
        if self._broken:
            raise asyncio.InvalidStateError("grpcio would connect again")
        self.calls[f"a keyed actor's {method}"] += 1
        call = getattr(stub, method)(request)
        self._open.add(call)
        return call

    def _request(self, conversation: str, key: str, number: int = 0, **fields: Any) -> Ask:
        me: dict[str, Any] = {"caller": self._callers[conversation], "call": next(self._numbers)}
        return Ask(key=key, number=number, **me, **fields)

    def _path(self) -> list[str]:
        """Some keys, in their order: else two actors could wait for each other."""
        return sorted(self._chance.sample(KEYS, self._chance.randint(1, PATH)))

    async def _or_failed(self, what: str, path: Sequence[str], step: Any) -> Any:
        """What a step of a call comes to, or None where the hub of an actor has ended."""
        began = time.monotonic()
        try:
            return await self._await(what, step)
        except (grpc.aio.AioRpcError, Ended) as error:
            self._since.pop(what, None)
            if not _is_of_an_actor(error):
                raise
            at = time.monotonic()
            why = str(error) if isinstance(error, Ended) else error.details()
            who = {"who": f"{self.name}, {what}", "peer": self.peer, "actors": [*path]}
            self.failures.append({**who, "began": began, "ended": at, "why": why})
            self.got["calls that failed with an actor's hub"] += 1
            return None

    # ---- the conversations

    async def _ask(self) -> None:
        """One row of actors after the other: each number is an actor's next one from here."""
        ways = cycle((CALL, FUTURE, STREAM))
        while not self._stopping.is_set():
            key, *path = self._path()
            known = self._known[key]
            known.called += 1
            sure, known.unsure = not known.unsure, True
            content = self._message(known.called).body
            tells = self._chance.sample(
                [each for each in KEYS if each != key], self._chance.randint(0, TELLS)
            )
            wishes = {"path": path, "way": next(ways), "tells": tells, "last": TURN_LENGTH if path else 0}
            request = self._request("ask", key, known.called, body=content, **wishes)
            turn = await self._or_failed("ask", [key, *path], self._begin(self._peers, "Call", request))
            if turn is not None:
                if wrong := answered(known, known.called, turn, sure=sure):
                    self._fault(f"Call of {key}: {wrong}")
                self._came("actors asked", turn)
            await self._rest()

    async def _recite(self) -> None:
        """A stream to its end, and one that is cancelled."""
        while not self._stopping.is_set():
            length = self._chance.randint(1, STREAM_LENGTH)
            await self._read("recite", length, length)
            await self._rest()
            await self._read("recite", ENDLESS, length)
            await self._rest()

    async def _read(self, what: str, last: int, wanted: int) -> None:
        """Read so many messages, of a stream of ``last``."""
        path = self._path()
        key, *others = path
        request = self._request(what, key, path=others, last=last)
        call = self._begin(self._peers, "Recite", request)
        activation = 0
        for number in range(wanted):
            turn = await self._or_failed(what, path, call.read())
            if turn is None:
                return
            if turn is grpc.aio.EOF:
                self._fault(f"Recite of {path}: the end where {number + 1} was due")
                return
            if wrong := continued(turn, number, activation):
                self._fault(f"Recite of {path}: {wrong}")
            activation = turn.activation
            self._came("recited by actors", turn)
        if wanted == last:
            end = await self._or_failed(what, path, call.read())
            if end not in (None, grpc.aio.EOF):
                self._fault(f"Recite of {path}: {end.number} where the end was due")
        else:
            call.cancel()
            self.got["calls cancelled"] += 1

    async def _cancel(self) -> None:
        """Calls in whose turns actors wait for others."""
        while not self._stopping.is_set():
            path = sorted(self._chance.sample(KEYS, PATH))
            number = next(self._numbers)
            wishes = {"path": path[1:], "way": STREAM, "last": LASTS, "body": body(number, 1)}
            call = self._begin(self._peers, "Hold", self._request("cancel", path[0], number, **wishes))
            turn = await self._or_failed("cancel", path, call.read())
            if turn is not None:
                self._check(f"Hold of {path}", turn.number, number)
                await asyncio.sleep(self._chance.uniform(0, CANCELLED))
                if call.cancel():
                    self.got["calls cancelled"] += 1
            await self._rest(LONGER)

    async def _visit(self) -> None:
        """Actors that live for one call, from here, and from an actor."""
        while not self._stopping.is_set():
            guest = f"{GUEST}{random.getrandbits(63):x}"
            turn = await self._or_failed(
                "visit", [guest], self._begin(self._guests, "Call", self._request("visit", guest, 1))
            )
            if turn is not None:
                self._check(f"Call of {guest}", turn.turn, 1)
                self._came("guests visited", turn)
            await self._rest()
            key, guest = self._chance.choice(KEYS), f"{GUEST}{random.getrandbits(63):x}"
            request = self._request("visit", key, next(self._numbers), path=[guest])
            request.body = body(request.number, 1)
            turn = await self._or_failed("visit", [key, guest], self._begin(self._peers, "Call", request))
            if turn is not None:
                self._came("guests visited by actors", turn)
            await self._rest()

    async def _listen(self) -> None:
        """Hear of every turn of one actor, of one activation after the other."""
        while self._listening:
            call = self._kept["listen"] = self._begin(
                self._peers, "Listen", self._request("listen", self._key)
            )
            heard = Turn()
            while (turn := await self._heard(call)) is not None:
                if heard.activation:
                    if wrong := continued(turn, heard.number, heard.activation):
                        self._fault(f"Listen of {self._key}: {wrong}")
                    self._came("turns of actors heard", turn)
                heard = turn
            await self._rest()

    async def _heard(self, call: Any) -> Any:
        """The next message, or None at the end."""
        try:
            turn = await self._or_failed("listen", [self._key], call.read())
        except asyncio.CancelledError:
            if self._listening:
                raise
            return None
        if turn is grpc.aio.EOF:
            self._fault(f"Listen of {self._key} has ended")
            return None
        return turn

    def _came(self, what: str, turn: Turn) -> None:
        self.got[what] += 1
        self.pids.add(turn.pid)


def _is_of_an_actor(error: grpc.aio.AioRpcError | Ended) -> bool:
    """Whether it says that the hub of an actor has ended, and not that of the connection."""
    if isinstance(error, Ended):
        return error.code is grpc.StatusCode.UNAVAILABLE
    return error.code() is grpc.StatusCode.UNAVAILABLE and "the hub " in (error.details() or "")


async def main() -> None:
    arguments = arguments_of_a_crew().parse_args()

    def make(number: int, life: int, channel: Any, deaths: Deaths) -> KeyedClient:
        name = f"client of actors {number}, life {life}"
        return KeyedClient(channel, name, arguments.think, deaths, key=KEYS[number % len(KEYS)])

    await live(arguments, range(arguments.count), make)


if __name__ == "__main__":
    asyncio.run(main())
