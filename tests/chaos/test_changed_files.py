"""Files that are overwritten while they are served: a hub that starts again runs what there is, and says so;
what has moved to it stays there, since the others would refuse it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from actorrpc.pb.admin_pb2 import Request
from tests.chaos.callers import Callers
from tests.chaos.releases import Releases
from tests.support.server_process import ServerProcess, served

CALLERS = 6

#: A policy that wants every connection to be on the other hub.
POLICY = """
from actorrpc.balancing.view import Move

class Restless:
    def plan(self, view):
        for load in view.loads.values():
            for each in (*load.heaviest, *load.others):
                if len(view.loads) == 2 and each.id not in view.history.in_flight:
                    yield Move(each.id, load.hub, 1 - load.hub, "it is restless")
"""
CHANGED = "hub 1 runs files that have changed since generation 1 began: life.py"
REFUSED = "the state of life.Life has version 2, and the code of hub 0 knows version 1"


@pytest.fixture
def releases(tmp_path: Path, contracts: Path) -> Releases:
    """The first is there, with a policy in its folder."""
    releases = Releases(tmp_path, contracts)
    releases.make(prepare=lambda folder: (folder / "policy.py").write_text(POLICY))
    return releases


@contextmanager
def serving(cwd: Path, *options: object) -> Iterator[ServerProcess]:
    """Served from the path of a directory, which may be a link."""
    with served(*options, app="life:app", cwd=cwd, variables={"PWD": str(cwd)}) as server:
        yield server


def start_hub_1_again(server: ServerProcess) -> None:
    os.kill(server.hub(1)["pid"], signal.SIGKILL)
    times = server.log.count("hub 1 serves again")
    server.wait_for(lambda: server.log.count("hub 1 serves again") > times)


def move_all(server: ServerProcess, hub: int) -> None:
    for row in server.connections():
        assert server.move(row["id"], hub) == ""


def test_a_hub_that_starts_again_in_changed_files_gets_what_it_can_and_gives_none_back(
    releases: Releases, contract: Any
) -> None:
    folder = releases.folder / "release-1"
    with serving(folder) as server, Callers(CALLERS, server.address, *contract) as callers:
        move_all(server, 0)
        start_hub_1_again(server)
        assert "hub 1 runs" not in server.log, "nothing has changed yet"
        releases.write(folder, 2)
        start_hub_1_again(server)
        server.wait_for(lambda: CHANGED in server.log)
        assert [row["generation"] for row in server.status()["hubs"]] == [1, 1]
        moves = server.status()["moves"]
        move_all(server, 1)  # the states are upgraded
        server.wait_for(lambda: all(each.releases == [1, 2] for each in callers.all))
        for row in server.connections():
            assert server.move(row["id"], 0).endswith(REFUSED)
        now = server.status()["moves"]
        assert (now["done"] - moves["done"], now["aborted"] - moves["aborted"]) == (CALLERS, 0)
        done = server.run("reload")
        assert done.returncode == 0
        move_all(server, 0)
        callers.end()
        assert callers.faults == []


def test_a_policy_moves_nothing_back_to_a_hub_that_would_refuse_it(releases: Releases, contract: Any) -> None:
    folder = releases.folder / "release-1"
    with (
        serving(folder, "--policy", "policy:Restless") as server,
        Callers(CALLERS, server.address, *contract) as callers,
    ):
        assert server.run("rebalance", "pause").returncode == 0
        move_all(server, 0)
        releases.write(folder, 2)
        start_hub_1_again(server)
        before = server.status()["moves"]
        assert server.run("rebalance", "resume").returncode == 0
        server.wait_for(lambda: {row["hub"] for row in server.connections()} == {1})

        def refused() -> set[str]:
            rows = server.ask(Request(moves=Request.Moves(limit=1000)))
            return {row["what"] for row in rows if row["why"] == REFUSED}

        ids = {row["id"] for row in server.connections()}
        server.wait_for(lambda: refused() >= ids)
        now = server.status()["moves"]
        assert now["done"] - before["done"] == CALLERS, "each once, and none goes back"
        assert now["aborted"] == before["aborted"], "none was even begun"
        callers.end()
        assert callers.faults == []


def test_where_the_directory_has_gone_a_hub_runs_what_its_path_leads_to(
    releases: Releases, contract: Any
) -> None:
    with serving(releases.current) as server, Callers(CALLERS, server.address, *contract) as callers:
        move_all(server, 0)
        releases.make()
        start_hub_1_again(server)
        assert "hub 1 runs" not in server.log, "its own directory is there"
        shutil.rmtree(releases.folder / "release-1")
        start_hub_1_again(server)
        gone = f"hub 1 runs what there is now: {releases.current}, since {releases.folder}/release-1 has gone"
        server.wait_for(lambda: gone in server.log)
        move_all(server, 1)
        server.wait_for(lambda: all(each.releases == [1, 2] for each in callers.all))
        callers.end()
        assert callers.faults == []
