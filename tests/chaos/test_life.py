"""A server that is deployed at noon: reloads and drains under load, with real processes and clients."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.chaos.callers import Callers
from tests.chaos.releases import BROKEN, Releases
from tests.support.processes import Result
from tests.support.server_process import ServerProcess, served

CALLERS = 12
#: Of so many connections, one has a state that cannot be upgraded.
MANY = 100

Deploy = Callable[..., AbstractContextManager[ServerProcess]]


@pytest.fixture
def releases(tmp_path: Path, contracts: Path) -> Releases:
    """The first one is there."""
    releases = Releases(tmp_path, contracts)
    releases.make()
    return releases


@pytest.fixture
def deployed(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """Serve the current release, as somebody does who has gone there in a shell."""

    @contextmanager
    def deployed(*options: object) -> Iterator[ServerProcess]:
        monkeypatch.setenv("PWD", str(releases.current))
        with served(*options, app="life:app", cwd=releases.current) as server:
            yield server

    return deployed


def reload(server: ServerProcess, *options: object) -> Result:
    return server.run("reload", *options)


def generations(server: ServerProcess) -> list[tuple[int, int]]:
    return [(row["id"], row["generation"]) for row in server.status()["hubs"]]


def in_background(function: Callable[[], Any]) -> Callable[[], Any]:
    """Call a function meanwhile. Returns what waits for its result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()

    def wait() -> Any:
        thread.join()
        return results[0]

    return wait


def phase(server: ServerProcess) -> str:
    state = server.status()["reload"]
    return str(state["phase"]) if state else ""


@pytest.mark.parametrize("accept", ["reuseport", "acceptor"])
def test_reloads_in_a_row_under_load(
    releases: Releases, deployed: Deploy, contract: Any, accept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """New code in another directory, whose contract and state have grown, without that any client notices."""
    with deployed("--accept", accept, "--drain-timeout", 30) as server:
        with Callers(CALLERS, server.address, *contract) as callers:
            for _ in range(8 if accept == "reuseport" else 1):
                release = releases.make()
                done = reload(server)
                assert done.returncode == 0, done.stderr + server.log
                assert f"generation {release} serves: {CALLERS} moved" in done.stdout
                assert generations(server) == [(0, release), (1, release)]
            # By a signal it is the same, and a hub may be drained as well.
            release = releases.make()
            os.kill(server.pid, signal.SIGHUP)
            server.wait_for(lambda: server.status()["reload"]["generation"] == release)
            server.wait_for(lambda: phase(server) == "done")
            done = server.run("drain", 1)
            assert done.returncode == 0, done.stderr + server.log
            assert server.run("status").stdout.count("draining") == 1
            assert {row["hub"] for row in server.connections()} == {0}
            done = server.run("move", server.connections()[0]["id"], 1)
            assert (done.returncode, "hub 1 is draining" in done.stderr) == (1, True)
            assert server.run("drain", 1, "--undo").returncode == 0
            assert server.move(server.connections()[0]["id"], 1) == ""
            release = releases.make()
            assert reload(server).returncode == 0
            server.wait_for(lambda: all(each.releases[-1] == release for each in callers.all))
            callers.end()
            assert callers.faults == []
            with grpc.insecure_channel(server.address) as channel:
                newer = channel.unary_unary("/life.Life/Doubled", lambda _: b"", lambda reply: reply)
                newer(None, timeout=30)  # a method that the first release did not have
            with capsys.disabled():
                print(f"\n{accept}, {release - 1} reloads and a drain: {callers.figures()}")
        assert "Traceback" not in server.log


def test_code_that_cannot_be_imported_is_not_served(
    releases: Releases, deployed: Deploy, contract: Any
) -> None:
    with deployed() as server, Callers(4, server.address, *contract) as callers:
        pids = [row["pid"] for row in server.status()["hubs"]]
        releases.make(BROKEN)
        done = reload(server)
        assert done.returncode == 1
        assert "generation 2 is abandoned" in done.stderr
        assert "no_such_module_of_this_release" in done.stderr
        trace = [line.strip() for line in done.stderr.splitlines()]
        assert "import no_such_module_of_this_release" in trace, "the traceback"
        server.wait_for(lambda: generations(server) == [(0, 1), (1, 1)])
        assert [row["pid"] for row in server.status()["hubs"]] == pids
        release = releases.make()
        done = reload(server)
        assert done.returncode == 0, done.stderr + server.log
        server.wait_for(lambda: all(each.releases == [1, release] for each in callers.all))
        callers.end()
        assert callers.faults == []


def test_one_in_a_hundred_whose_state_cannot_be_upgraded_stays_until_its_time_is_up(
    releases: Releases, deployed: Deploy, contract: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with deployed() as server, Callers(MANY, server.address, *contract, think=1.0) as callers:
        unlucky = callers.all[5]
        callers.ask(unlucky.curse())
        assert len(server.connections()) == MANY
        releases.make()
        waiting = in_background(lambda: reload(server, "--drain-timeout", 3))
        server.wait_for(lambda: phase(server) == "moving" and server.status()["reload"]["left"] == 1)
        (left,) = [row for row in server.connections() if row["generation"] == 1]
        done = waiting()
        assert done.returncode == 0
        # It is named: when it is refused, in the log when its time is up, and where the operator typed.
        why = "ValueError: this state cannot be upgraded"
        assert re.search(f"connection {left['id']} is refused: .*{why}", server.log)
        assert re.search(
            rf"reload: 1 connection could not move and is ended: {left['id']} \(.*{why}\)", server.log
        )
        last = done.stdout.splitlines()[-1]
        assert f"generation 2 serves: {MANY - 1} moved" in last
        assert re.search(rf"; 1 ended: {left['id']} \(.*{why}\)$", last)
        callers.end()
        with capsys.disabled():
            print(f"\none of {MANY} could not move: {callers.figures()}")
        struck = [caller for caller in callers.all if caller.ended is not None]
        assert struck == [unlucky], callers.faults
        # After GOAWAY its next call is on a new connection, and finds a new actor.
        assert unlucky.ended in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS)
        assert callers.ask(unlucky.watch_ended()) is grpc.StatusCode.UNAVAILABLE
        assert callers.faults == unlucky.faults


def test_a_handler_that_runs_for_long_ends_where_it_began(
    releases: Releases, deployed: Deploy, contract: Any
) -> None:
    with deployed("--drain-timeout", 30) as server, Callers(4, server.address, *contract) as callers:
        callers.end()
        slow = in_background(lambda: callers.ask(callers.all[0].call(takes=6.0)))
        server.wait_for(lambda: any("Count running" in row["why"] for row in server.connections()))
        releases.make()
        done = reload(server)
        slow()
        assert done.returncode == 0, done.stderr + server.log
        assert "1 of 4 connections cannot move now: handler Count running" in done.stdout
        assert ": 4 moved" in done.stdout
        assert callers.faults == []
        answered = callers.all[0].releases[:]
        callers.ask(callers.all[0].call())
        assert (answered[-1], callers.all[0].releases[-1]) == (1, 2), "it ended in the code that it began in"


@pytest.mark.parametrize("when", ["starting", "moving"])
def test_a_hub_that_is_killed_in_the_midst_takes_only_its_own_with_it(
    releases: Releases, deployed: Deploy, contract: Any, when: str
) -> None:
    with deployed("--drain-timeout", 10) as server, Callers(CALLERS, server.address, *contract) as callers:
        release = releases.make()
        old = {row["serial"]: row["pid"] for row in server.status()["hubs"]}
        waiting = in_background(lambda: reload(server))
        server.wait_for(lambda: phase(server) == when)
        victim = min(old)
        os.kill(old[victim], signal.SIGKILL)
        done = waiting()
        assert done.returncode == 0, done.stderr + server.log
        server.wait_for(lambda: generations(server) == [(0, release), (1, release)])
        callers.end()
        struck = [caller for caller in callers.all if caller.ended is not None]
        assert len(struck) < CALLERS, "the other hub's clients have noticed nothing"
        # Or grpcio has connected again, and found a new actor, before it told of the end.
        assert {caller.ended for caller in struck} <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS}
        assert len(callers.faults) == sum(len(caller.faults) for caller in struck), callers.faults
