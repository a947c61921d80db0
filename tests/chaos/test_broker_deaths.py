"""Brokers that are killed in the middle of moves, drains, reloads and scales, one after the other, and
followed by others, while real clients go on: none of them may notice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from actorrpc.pb.admin_pb2 import Request
from tests.chaos.callers import Callers
from tests.chaos.releases import Releases
from tests.support.server_process import ServerProcess, served

CALLERS = 12
#: The broker is killed so long, or less, after something has been begun.
LATEST = 0.8


class Brokers:
    """One after the other; ``now`` is the one that lives."""

    def __init__(self, first: ServerProcess, releases: Releases, options: tuple[object, ...]) -> None:
        self._all = [first]
        self._named = {"app": "life:app", "cwd": releases.current}
        self._options = options
        self.releases = releases

    @property
    def now(self) -> ServerProcess:
        return self._all[-1]

    def kill(self) -> None:
        os.kill(self.now.pid, signal.SIGKILL)
        self.now.wait()

    def follow(self) -> None:
        self._all.append(self.now.successor(*self._options, **self._named))
        self.now.until_ready()

    def settled(self) -> bool:
        """Whether nothing is under way, and all hubs serve."""
        status = self.now.status()
        under_way = {each["phase"] for each in (status["reload"], status["scale"]) if each is not None}
        rows = status["hubs"]
        return (
            under_way <= {"done", "abandoned"}
            and len({row["id"] for row in rows}) == len(rows)
            and all(row["state"] in ("serving", "draining") for row in rows)
        )

    def close(self) -> None:
        for broker in reversed(self._all[1:]):
            broker.close()


# ---- what is under way when the broker is killed


def moves(brokers: Brokers) -> None:
    """By hand, as fast as that goes, until there is no broker."""

    def go_on() -> None:
        try:
            while True:
                hubs = len({row["id"] for row in server.status()["hubs"]})
                for row in server.connections():
                    server.move(row["id"], (row["hub"] + 1) % hubs)
        except (OSError, ValueError):  # it has been killed
            pass

    server = brokers.now
    threading.Thread(target=go_on, daemon=True).start()


def reload(brokers: Brokers) -> None:
    brokers.releases.make()
    brokers.now.request(Request(reload=Request.Reload()))


def drain(brokers: Brokers) -> None:
    brokers.now.request(Request(drain=Request.Drain(hub=1)))


def undo(brokers: Brokers) -> None:
    brokers.now.request(Request(drain=Request.Drain(hub=1, undo=True)))


def more_hubs(brokers: Brokers) -> None:
    brokers.now.request(Request(scale=Request.Scale(hubs=3)))


def fewer_hubs(brokers: Brokers) -> None:
    brokers.now.request(Request(scale=Request.Scale(hubs=2)))


def end_of_a_hub(brokers: Brokers) -> None:
    """By a signal to it alone."""
    os.kill(brokers.now.hub(0)["pid"], signal.SIGTERM)


STEPS = [moves, reload, drain, undo, reload, moves, more_hubs, fewer_hubs, end_of_a_hub, reload]


@contextmanager
def deployed(releases: Releases, *options: object) -> Iterator[Brokers]:
    with served(*options, app="life:app", cwd=releases.current) as server:
        brokers = Brokers(server, releases, options)
        try:
            yield brokers
        finally:
            brokers.close()


@pytest.mark.parametrize("accept", ["reuseport", "acceptor"])
def test_brokers_that_are_killed_one_after_the_other(
    tmp_path: Path,
    contracts: Path,
    contract: Any,
    accept: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    releases = Releases(tmp_path, contracts)
    releases.make()
    monkeypatch.setenv("PWD", str(releases.current))
    when = random.Random(accept)
    options = ("--accept", accept, "--drain-timeout", 30, "--policy", "none")
    with deployed(releases, *options) as brokers, Callers(CALLERS, brokers.now.address, *contract) as callers:
        for step in STEPS:
            step(brokers)
            time.sleep(when.uniform(0, LATEST))  # it may come at any moment
            brokers.kill()
            refused = brokers.now.run("move", "0-1001-1", 1)
            assert (refused.returncode, "hubs of a dead broker" in refused.stderr) == (2, True)
            brokers.follow()
            brokers.now.wait_for(brokers.settled)
            assert len(brokers.now.connections()) == CALLERS
            assert callers.faults == [], step.__name__
        release = releases.make()
        done = brokers.now.run("reload")
        assert done.returncode == 0, done.stderr + brokers.now.log
        brokers.now.wait_for(lambda: all(each.releases[-1] == release for each in callers.all))
        callers.end()
        assert callers.faults == []
        assert "Traceback" not in brokers.now.log, brokers.now.log
        with capsys.disabled():
            print(f"\n{accept}, {len(STEPS)} brokers killed: {callers.figures()}")
