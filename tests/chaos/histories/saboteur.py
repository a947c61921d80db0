"""Moves all that moves, and does to hubs and brokers what may happen to them, one after the other."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actorrpc.pb.admin_pb2 import Request
from tests.support.server_process import ServerProcess
from tests.support.waiting import until

__all__ = ["CALM", "VIOLENT", "Brokers", "Mover", "Saboteur", "Trouble"]

#: What clients must not notice, and what may cost them calls.
CALM = ("reload", "drain", "scale", "kill the broker")
VIOLENT = ("kill a hub", "stop a hub")
#: Of hubs at first; and the most that there are.
HUBS, MOST_HUBS = 3, 4
#: For so many seconds a hub is stopped.
STOPPED = (0.5, 3.0)
#: So long after a hub goes on, or its next process serves, what it has held up may still fail.
AFTERMATH = 1.0
#: Between two troubles, in seconds, at most.
PAUSE = 0.5


class Brokers:
    """One after the other; ``now`` is the one that lives."""

    def __init__(self, first: ServerProcess, *options: object, **named: Any) -> None:
        """The others are started with the same options and arguments."""
        self._all = [first]
        self._options = options
        self._named = named

    @property
    def now(self) -> ServerProcess:
        return self._all[-1]

    def kill(self) -> None:
        os.kill(self.now.pid, signal.SIGKILL)
        self.now.wait()

    def follow(self) -> None:
        self._all.append(self.now.successor(*self._options, **self._named))
        self.now.until_ready()

    @property
    def serving(self) -> list[dict[str, Any]]:
        """The hubs that serve, and are to."""
        return [row for row in self.now.status()["hubs"] if _serves(row)]

    def settled(self) -> bool:
        """Whether nothing is under way, and all hubs serve."""
        status = self.now.status()
        under_way = {each["phase"] for each in (status["reload"], status["scale"]) if each is not None}
        rows = status["hubs"]
        return (
            under_way <= {"done", "abandoned"}
            and len({row["id"] for row in rows}) == len(rows)
            and all(map(_serves, rows))
        )

    def settle(self) -> None:
        until(self.settled, told=lambda: f"{self.now.status()}\n{self.now.log}")

    def close(self) -> None:
        for broker in reversed(self._all[1:]):
            broker.close()


def _serves(row: dict[str, Any]) -> bool:
    return bool(row["state"] == "serving") and row["draining"] is None


@dataclass(frozen=True)
class Trouble:
    """What happened, from when until when it may have cost somebody a call."""

    what: str
    began: float
    ended: float

    @property
    def violent(self) -> bool:
        return self.what in VIOLENT


class Saboteur:
    """``kinds``: what it may do."""

    def __init__(self, brokers: Brokers, kinds: tuple[str, ...], chance: random.Random) -> None:
        self.troubles: list[Trouble] = []
        self._brokers = brokers
        self._kinds = kinds
        self._left: list[str] = []
        self._chance = chance
        self._ways: dict[str, Callable[[], None]] = {
            "reload": self._reload,
            "drain": self._drain,
            "scale": self._scale,
            "kill the broker": self._kill_the_broker,
            "kill a hub": self._kill_a_hub,
            "stop a hub": self._stop_a_hub,
        }

    def step(self) -> None:
        """Make some trouble, and wait until all is well. No kind comes again before each has come."""
        if not self._left:
            self._left = self._chance.sample(self._kinds, len(self._kinds))
        what = self._left.pop()
        began = time.monotonic()
        self._ways[what]()
        self._brokers.settle()
        if what in VIOLENT:
            time.sleep(AFTERMATH)
        self.troubles.append(Trouble(what, began, time.monotonic()))
        time.sleep(self._chance.uniform(0, PAUSE))

    def _reload(self) -> None:
        self._brokers.now.ask(Request(reload=Request.Reload()))

    def _drain(self) -> None:
        hub = self._hub()["id"]
        self._brokers.now.request(Request(drain=Request.Drain(hub=hub)))
        time.sleep(self._chance.uniform(0, 1.5))
        self._brokers.now.request(Request(drain=Request.Drain(hub=hub, undo=True)))

    def _scale(self) -> None:
        hubs = len(self._brokers.serving)
        self._brokers.now.ask(Request(scale=Request.Scale(hubs=MOST_HUBS if hubs == HUBS else HUBS)))

    def _kill_the_broker(self) -> None:
        self._brokers.kill()
        time.sleep(self._chance.uniform(0, 1.0))
        self._brokers.follow()

    def _kill_a_hub(self) -> None:
        pid = self._hub()["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid not in [row["pid"] for row in self._brokers.now.status()["hubs"]])

    def _stop_a_hub(self) -> None:
        pid = self._hub()["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(self._chance.uniform(*STOPPED))
        finally:
            os.kill(pid, signal.SIGCONT)

    def _hub(self) -> dict[str, Any]:
        found: dict[str, Any] = self._chance.choice(self._brokers.serving)
        return found

    @property
    def counts(self) -> Counter[str]:
        return Counter(each.what for each in self.troubles)


class Mover(threading.Thread):
    """Moves keyed actors and connections by hand, by turns, beside whatever else goes on."""

    def __init__(self, brokers: Brokers, actors: list[str], pause: float, chance: random.Random) -> None:
        super().__init__(name="mover", daemon=True)
        #: How many were moved, and why others were not.
        self.moved: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._brokers = brokers
        self._actors = actors
        self._pause = pause
        self._chance = chance
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(self._chance.uniform(0, self._pause)):
            try:
                self._move()
            except (OSError, ValueError) as error:  # there is no broker
                self.refused[type(error).__name__] += 1

    def _move(self) -> None:
        server = self._brokers.now
        hubs = [row["id"] for row in self._brokers.serving]
        if not hubs:
            return
        connections = [row["id"] for row in server.connections()]
        for what, ids in (("actors", self._actors), ("connections", connections)):
            if not ids:
                continue
            id = self._chance.choice(ids)
            if why := server.move(id, self._chance.choice(hubs)):
                self.refused[why.replace(id, "it")] += 1
            else:
                self.moved[what] += 1

    def stop(self) -> None:
        self._stopping.set()
        self.join()
