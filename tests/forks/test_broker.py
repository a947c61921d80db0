"""Children of a broker: policies that start one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.forks.bystander import Bystander
from tests.forks.ways import Child, descriptors
from tests.support.fixtures import Serve


def test_a_child_of_the_broker_has_no_part_in_it(
    serve: Serve,
    connect: Callable[[str], Bystander],
    child: Child,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORKS_FOLDER", str(child.folder))
    server = serve("--policy", "tests.forks.policy:Forking", app="tests.forks.app:app")
    child.wait()
    hubs = {hub["pid"] for hub in server.status()["hubs"]}
    assert connect(server.address).answered_by() in hubs
    of_broker, of_child = descriptors(server.pid), child.descriptors()
    sockets = {name for name in of_broker.values() if name.startswith("socket:")}
    assert len(sockets) > 3
    assert not sockets & set(of_child.values())
    assert not [name for name in of_child.values() if "pidfd" in name or name.endswith("broker.lock")]
    server.kill()
    again = serve("--runtime-dir", server.runtime_dir, app="tests.forks.app:app", bind=server.address)
    assert again.address == server.address
    assert child.alive
    child.end()


def test_a_child_that_comes_out_of_a_plan_ends(
    serve: Serve,
    connect: Callable[[str], Bystander],
    child: Child,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORKS_FOLDER", str(child.folder))
    server = serve("--policy", "tests.forks.policy:Forking", app="tests.forks.app:app", hubs=1)
    child.wait()
    child.finish()
    assert connect(server.address).answered_by() == server.hub(0)["pid"]
    assert server.run("stop").returncode == 0


def test_no_child_is_forked_in_the_midst_of_a_hubs_start(
    serve: Serve,
    connect: Callable[[str], Bystander],
    child: Child,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such a child would have both ends of the hub's link, and the broker would wait for its end."""
    monkeypatch.setenv("FORKS_FOLDER", str(child.folder))
    policy = "tests.forks.policy:Threaded"
    server = serve("--policy", policy, app="tests.forks.app:app", hubs=1, ready=False)
    child.wait()
    of_child = [name for fd, name in child.descriptors().items() if fd > 2]
    assert not [name for name in of_child if name.startswith(("socket:", "pipe:")) or name.endswith(".pid")]
    server.until_ready()
    assert connect(server.address).answered_by() == server.hub(0)["pid"]
    assert server.run("stop").returncode == 0
    assert child.alive
    child.end()
