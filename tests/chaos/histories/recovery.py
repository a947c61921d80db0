"""How long a key is without an actor when the hub that has it is killed: docs/evidence/actors.md.

A client whose connection is on another hub calls again every 5 ms until it is answered. In half of the kills
the hub that dies is also the directory's home of the key, so that the broker has to name another first.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from itertools import count
from typing import Any

import grpc

from actorrpc.broker.host.record import Record
from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.hub.directory.names import slot_of
from actorrpc.percentile import percentile
from tests.apps.tally_actorrpc import TallyStub
from tests.apps.tally_pb2 import Ask
from tests.chaos.histories.saboteur import HUBS, Brokers
from tests.chaos.histories.trial import APP
from tests.support.server_process import served

__all__ = ["recoveries"]

#: Between two calls, in seconds, and until one is given up.
AGAIN, DEADLINE = 0.005, 30.0
#: The goal of the median, in seconds.
GOAL = 0.1

ELSEWHERE, WITH_IT = "the key's home lives", "the key's home dies with it"


class Victim:
    """Kills hubs that have a key, and counts how long it is without an actor."""

    def __init__(self, brokers: Brokers, chance: random.Random) -> None:
        self._brokers = brokers
        self._chance = chance
        self._keys = map("key {}".format, count())
        self._calls = count(1)

    def kill(self, stub: TallyStub, connection: str, home: str) -> float:
        """The seconds from a kill to the first answer."""
        self._brokers.settle()
        victim, other, _ = self._chance.sample(self._brokers.serving, HUBS)
        key = self._key(victim, home)
        self._ask(stub, key)
        for what, hub in ((f"tally.Tally/{key}", victim), (connection, other)):
            self._move(what, hub["id"])
        assert self._ask(stub, key) == victim["pid"]
        os.kill(victim["pid"], signal.SIGKILL)
        killed = time.monotonic()
        while True:
            try:
                where = self._ask(stub, key)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE, error
                time.sleep(AGAIN)
            else:
                assert where != victim["pid"]
                return time.monotonic() - killed

    def _move(self, what: str, hub: int) -> None:
        self._brokers.now.wait_for(lambda: not self._brokers.now.move(what, hub))

    def _key(self, victim: dict[str, Any], home: str) -> str:
        """One that was never called, and whose home is the victim, or is not."""
        record = Record(RuntimeDir(str(self._brokers.now.runtime_dir))).read()
        assert record is not None
        homes = record.directory.homes
        serial = victim["serial"]
        return next(
            key
            for key in self._keys
            if (homes[slot_of(("tally.Tally", key), len(homes))] == serial) == (home == WITH_IT)
        )

    def _ask(self, stub: TallyStub, key: str) -> int:
        turn = stub.Take(Ask(key=key, call=next(self._calls)), timeout=DEADLINE)
        assert not turn.fault, turn.fault
        return turn.pid


def recoveries(kills: int, seed: int) -> dict[str, list[float]]:
    """Seconds, of so many kills by turns of each kind."""
    found: dict[str, list[float]] = {ELSEWHERE: [], WITH_IT: []}
    with served(app=APP, hubs=HUBS) as server, grpc.insecure_channel(server.address) as channel:
        victim = Victim(Brokers(server), random.Random(seed))
        stub = TallyStub(channel)
        grpc.channel_ready_future(channel).result(DEADLINE)
        (connection,) = server.wait_for(server.connections)
        for kill in range(kills):
            home = (ELSEWHERE, WITH_IT)[kill % 2]
            found[home].append(victim.kill(stub, connection["id"], home))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.histories.recovery", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    found = recoveries(arguments.kills, arguments.seed)
    everything = [each for seconds in found.values() for each in seconds]
    for what, seconds in {**found, "all": everything}.items():
        if seconds:
            half, most = (1000 * percentile(seconds, each) for each in (50, 99))
            print(f"{what}: {len(seconds)} kills, median {half:.1f} ms, p99 {most:.1f} ms")
    return 0 if percentile(everything, 50) <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
