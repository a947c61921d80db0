"""Client processes of a storm, and how they are told what to do: a word a line in, JSON a line out.

A crew says ``"ready"`` when all its conversations stand, ``{"fault": text}`` as soon as something is wrong,
``{"lost": peer, "at": seconds, "why": text}`` when a client's connection has gone with its hub,
``{"back": peer}`` when there is another for it, and its report, an object, at the end. It is told ``death``
before a hub is killed, ``go`` and ``stop``; the end of its input means stop, too, so that no crew outlives
who started it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.processes import ROOT

__all__ = ["Crew", "Deaths", "Lost", "Orders", "tell"]

#: What a crew may take to begin, and to end what it has begun.
PATIENCE = 60.0
#: How much later than the loss of a connection a crew may hear that a hub was to be killed.
NEWS = 5.0


@dataclass(frozen=True)
class Lost:
    """A client that has lost its connection: its address, when it knew, and what told it so."""

    peer: str
    at: float
    why: str


class Crew:
    """A client process, as its storm sees it."""

    def __init__(self, module: str, *arguments: object) -> None:
        self.name = module.rpartition(".")[2]
        self.faults: list[str] = []
        self.report: dict[str, Any] = {}
        #: Clients whose hub has died, and the addresses of those that took their places.
        self.lost: list[Lost] = []
        self.back: list[str] = []
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            env={**os.environ, "GRPC_VERBOSITY": "NONE"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if said == "ready":
                self._ready.set()
            elif "fault" in said:
                self.faults.append(f"{self.name}: {said['fault']}")
            elif "lost" in said:
                self.lost.append(Lost(said["lost"], said["at"], said["why"]))
            elif "back" in said:
                self.back.append(said["back"])
            else:
                self.report = said
        if not self.report:
            self.faults.append(f"{self.name}: ended without a report")
        self._ready.set()

    def wait_until_ready(self) -> None:
        if not self._ready.wait(PATIENCE):
            self.faults.append(f"{self.name}: not ready after {PATIENCE} s")

    def say(self, word: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.faults.append(f"{self.name}: has gone")

    def wait(self) -> None:
        """For its end, with the report. One that does not end is killed."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.faults.append(f"{self.name}: does not end")
        self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:  # what it was not told any more
                pass


def tell(said: Any) -> None:
    """Say something to the storm, from the crew."""
    print(json.dumps(said), flush=True)


class Deaths:
    """How many hubs have been killed, as far as the crew has been told. Any thread may ask."""

    def __init__(self) -> None:
        self.count = 0

    async def since(self, count: int) -> bool:
        """Whether there are more than so many, or will be within a moment."""
        end = time.monotonic() + NEWS
        while self.count <= count and time.monotonic() < end:
            await asyncio.sleep(0.02)
        return self.count > count

    def wait(self, count: int) -> bool:
        """The same, for a thread."""
        end = time.monotonic() + NEWS
        while self.count <= count and time.monotonic() < end:
            time.sleep(0.02)
        return self.count > count


class Orders(threading.Thread):
    """The crew's ear: calls ``on_go()`` and ``on_stop()``, each once, from a thread of its own, and counts
    deaths."""

    def __init__(
        self,
        on_go: Callable[[], object],
        on_stop: Callable[[], object],
        deaths: Deaths | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self._on_go = on_go
        self._on_stop = on_stop
        self._deaths = deaths or Deaths()
        self.start()

    def run(self) -> None:
        for line in sys.stdin:
            word = line.strip()
            if word == "go":
                self._on_go()
            elif word == "death":
                self._deaths.count += 1
            else:
                break
        self._on_stop()
