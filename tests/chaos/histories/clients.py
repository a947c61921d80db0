"""Clients of ``tests.apps.tally``, a thread each: what they note of their calls, and of what is lost."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import grpc

from tests.apps.tally_pb2 import Ask, Turn
from tests.chaos.histories.history import Operation
from tests.support.waiting import until

__all__ = ["Caller", "Clients", "Failure", "Listener"]

#: Until a call is given up that is not answered, in seconds: longer than a hub is stopped.
DEADLINE = 20.0
#: The longest rest between two calls of one client, in seconds.
THINK = 0.02
#: Actors that one call goes on to, at most.
PATH = 2
#: A connection that is lost is made again at once, as far as there is somebody to make it to.
OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 5000),  # which is how long an attempt may take
    ("grpc.max_reconnect_backoff_ms", 100),
]


@dataclass(frozen=True)
class Failure:
    """A call that did not end as it should: ``status``, or what was wrong."""

    what: str
    key: str
    began: float
    ended: float
    status: str
    why: str

    def __str__(self) -> str:
        return f"{self.what} of {self.key}, {self.began:.3f} to {self.ended:.3f}: {self.status} {self.why}"


class Client(threading.Thread):
    """What callers and listeners share: a channel, and their notes."""

    def __init__(self, number: int, channel: grpc.Channel, stopping: threading.Event) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.history: list[Operation] = []
        #: Calls that failed, though nobody wanted that.
        self.failures: list[Failure] = []
        #: What no trouble excuses.
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        #: Processes where turns of an activation have run, with the number of the last of each.
        self.places: dict[bytes, list[tuple[int, int]]] = {}
        self._channel = channel
        self._stopping = stopping
        self._calls = number << 40

    def _ask(self, key: str, **wishes: Any) -> Ask:
        self._calls += 1
        return Ask(key=key, call=self._calls, **wishes)

    def _unary(self, method: str) -> Any:
        return self._channel.unary_unary(method, Ask.SerializeToString, Turn.FromString)

    def _stream(self, method: str) -> Any:
        return self._channel.unary_stream(method, Ask.SerializeToString, Turn.FromString)

    def _answered(self, what: str, key: str, began: float, turn: Turn) -> None:
        ended = time.monotonic()
        self.counts[what] += 1
        self.history.append(Operation(key, began, ended, turn.activation, turn.number))
        self.places.setdefault(turn.activation, []).append((turn.number, turn.pid))
        if turn.fault:
            self.faults.append(f"{what} of {key} at {ended:.3f}: {turn.fault}")

    def _failed(self, what: str, key: str, began: float, error: grpc.RpcError, *, ran: bool = False) -> None:
        """``ran``: its turn is known already."""
        ended = time.monotonic()
        status = error.code()
        if not ran:
            self.history.append(Operation(key, began, ended, failed=status.name))
        self.failures.append(Failure(what, key, began, ended, status.name, error.details() or ""))


class Caller(Client):
    """Makes one call after the other, of any kind, to any key."""

    def __init__(
        self, number: int, channel: grpc.Channel, keys: Sequence[str], seed: str, stopping: threading.Event
    ) -> None:
        super().__init__(number, channel, stopping)
        self._keys = keys
        self._chance = random.Random(f"{seed} {number}")
        self._take = self._unary("/tally.Tally/Take")
        self._beside = self._unary("/tally.Tally/Beside")
        self._brief = self._unary("/tally.Brief/Take")
        self._recite = self._stream("/tally.Tally/Recite")

    def run(self) -> None:
        chance = self._chance
        kinds = {
            self._plain: 200,
            self._blocking: 20,
            self._holding: 1,
            self._at_once: 20,
            self._short: 20,
            self._cancelled: 4,
            self._recited: 10,
            self._chained: 60,
        }
        while not self._stopping.is_set():
            (kind,) = chance.choices([*kinds], weights=[*kinds.values()])
            kind(chance.choice(self._keys))
            time.sleep(chance.uniform(0, THINK))

    def _plain(self, key: str) -> None:
        self._call("Take", self._take, key)

    def _chained(self, key: str) -> None:
        """A turn of one actor, within which are those of others: each has its place in the history of its
        key. They are called in the order of the keys, so that no two wait for each other."""
        path = sorted({key, *self._chance.sample(self._keys, self._chance.randint(1, PATH))})
        request = self._ask(path[0], path=path[1:])
        began = time.monotonic()
        try:
            turn = self._take(request, timeout=DEADLINE)
        except grpc.RpcError as error:
            self._failed("Take of a path", path[0], began, error)
            ended = self.history[-1].ended
            self.history += [Operation(each, began, ended, failed=error.code().name) for each in path[1:]]
        else:
            for each in path:
                self._answered("Take of a path" if each == path[0] else "Take by an actor", each, began, turn)
                turn = turn.next

    def _blocking(self, key: str) -> None:
        self._call("Take that blocks", self._take, key, sleep=self._chance.uniform(0, 0.1))

    def _holding(self, key: str) -> None:
        self._call("Take that holds the loop", self._take, key, hold=self._chance.uniform(0.2, 0.5))

    def _at_once(self, key: str) -> None:
        self._call("Beside", self._beside, key, sleep=self._chance.uniform(0, 0.05))

    def _short(self, key: str) -> None:
        """An activation that ends as soon as there is nothing to do."""
        self._call("Take of a brief one", self._brief, f"brief {key}")

    def _call(self, what: str, method: Any, key: str, **wishes: float) -> None:
        request = self._ask(key, **wishes)
        began = time.monotonic()
        try:
            turn = method(request, timeout=DEADLINE)
        except grpc.RpcError as error:
            self._failed(what, key, began, error)
        else:
            self._answered(what, key, began, turn)

    def _cancelled(self, key: str) -> None:
        """One that the client gives up, so that it may run, or not."""
        request = self._ask(key, sleep=self._chance.uniform(0, 0.1))
        began = time.monotonic()
        call = self._take.future(request, timeout=DEADLINE)
        time.sleep(self._chance.uniform(0, 0.05))
        call.cancel()
        try:
            turn = call.result()
        except grpc.FutureCancelledError:
            self.counts["cancelled"] += 1
            self.history.append(Operation(key, began, time.monotonic(), failed="CANCELLED"))
        except grpc.RpcError as error:
            self._failed("Take that is cancelled", key, began, error)
        else:
            self._answered("Take", key, began, turn)

    def _recited(self, key: str) -> None:
        """A stream whose messages are numbered, and which is one turn."""
        wanted = self._chance.randrange(1, 60)
        request = self._ask(key, replies=wanted)
        began = time.monotonic()
        due = 1
        try:
            for turn in self._recite(request, timeout=2 * DEADLINE):
                if due == 1:
                    self._answered("Recite", key, began, turn)
                    first = turn
                if (turn.at, turn.activation, turn.number) != (due, first.activation, first.number):
                    self.faults.append(f"Recite of {key} by {first}: {turn} where {due} was due")
                due = turn.at + 1
        except grpc.RpcError as error:
            self._failed("Recite", key, began, error, ran=due > 1)
        else:
            self.counts["messages of Recite"] += wanted
            if due != wanted + 1:
                self.faults.append(f"Recite of {key} from {began:.3f}: it ended before {due} of {wanted}")


class Listener(Client):
    """Hears of every turn of Take of one key, for as long as its stream lasts; then it opens another."""

    def __init__(self, number: int, channel: grpc.Channel, key: str, stopping: threading.Event) -> None:
        super().__init__(number, channel, stopping)
        self.key = key
        self._listen = self._stream("/tally.Tally/Listen")
        self._call: Any = None
        #: What it heard last.
        self.heard = Turn()

    def run(self) -> None:
        while not self._stopping.is_set():
            self._hear()

    def _hear(self) -> None:
        began = time.monotonic()
        self.heard = Turn()
        self._call = self._listen(self._ask(self.key))
        try:
            for turn in self._call:
                if not self.heard.activation:
                    self._answered("Listen", self.key, began, turn)
                elif (turn.at, turn.activation) != (self.heard.at + 1, self.heard.activation):
                    self.faults.append(
                        f"Listen of {self.key} at {time.monotonic():.3f}: {turn} after {self.heard}"
                    )
                else:
                    self.counts["messages of Listen"] += 1
                self.heard = turn
            self.faults.append(f"Listen of {self.key} has ended")
        except grpc.RpcError as error:
            if not self._stopping.is_set():
                known = bool(self.heard.activation)
                # What it may have missed was lost when it failed, not since it was opened.
                self._failed("Listen", self.key, time.monotonic() if known else began, error, ran=known)
                time.sleep(THINK)

    def hear_last(self) -> None:
        """Make a call, of which it is to hear."""
        take, began = self._unary("/tally.Tally/Take"), time.monotonic()
        last = take(self._ask(self.key), timeout=DEADLINE)
        self._answered("Take", self.key, began, last)
        until(
            lambda: self.heard == last, told=lambda: f"{self.key}: {last} is due, {self.heard} was heard last"
        )

    def stop(self) -> None:
        if self._call is not None:
            self._call.cancel()


class Clients:
    """So many callers on so many connections, and listeners to the first keys, until the block ends."""

    def __init__(
        self, address: str, *, callers: int, connections: int, keys: Sequence[str], listeners: int, seed: str
    ) -> None:
        self._stopping, self._deaf = threading.Event(), threading.Event()
        self._channels = [grpc.insecure_channel(address, OPTIONS) for _ in range(connections)]
        self.callers = [
            Caller(number, self._channels[number % connections], keys, seed, self._stopping)
            for number in range(callers)
        ]
        self.listeners = [
            Listener(callers + number, self._channels[-1 - number % connections], key, self._deaf)
            for number, key in enumerate(keys[:listeners])
        ]

    @property
    def all(self) -> Iterable[Client]:
        return [*self.callers, *self.listeners]

    def __enter__(self) -> Clients:
        for client in self.all:
            client.start()
        return self

    def end(self) -> None:
        """No more calls. Whoever listens has heard of the last."""
        self._stopping.set()
        for caller in self.callers:
            caller.join()
        for listener in self.listeners:
            listener.hear_last()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._deaf.set()
        for listener in self.listeners:
            listener.stop()
        for channel in self._channels:
            channel.close()
        for client in self.all:
            client.join()

    # ---- what they have noted

    @property
    def history(self) -> list[Operation]:
        return [each for client in self.all for each in client.history]

    @property
    def failures(self) -> list[Failure]:
        return [each for client in self.all for each in client.failures]

    @property
    def faults(self) -> list[str]:
        return [each for client in self.all for each in client.faults]

    @property
    def counts(self) -> Counter[str]:
        return sum((client.counts for client in self.all), Counter())

    @property
    def moved(self) -> int:
        """How often a turn of an activation ran in another process than the one before."""
        places: dict[bytes, list[tuple[int, int]]] = {}
        for client in self.all:
            for activation, turns in client.places.items():
                places.setdefault(activation, []).extend(turns)
        return sum(
            before[1] != after[1] for turns in places.values() for before, after in pairwise(sorted(turns))
        )
