"""Brokers and hubs under every interleaving that hypothesis finds, and what went wrong before."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from tests.broker.life.world import PLACES, World

#: Programs that hypothesis tries; more by `ACTORRPC_LIFE_PROGRAMS=20000 pytest tests/broker/test_life.py`.
EXAMPLES = int(os.environ.get("ACTORRPC_LIFE_PROGRAMS", "60"))


@pytest.fixture(params=["reuseport", "acceptor"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with World(request.param) as world:
        world.boot()
        yield world


def test_all_goes_well(world: World) -> None:
    assert world.served is not None
    world.run("clients come to 1001", "reload", "1003 is ready", "1004 is ready")
    world.settle()
    assert [hub.serial for hub in world.living] == [1003, 1004]
    world.run("scale 3", "1005 is ready", "the broker is killed", "a broker starts", "drain 2")
    world.run("another broker takes over")
    world.settle()
    assert world.hub(1005).resting
    world.finish()


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "not mended"])
@pytest.mark.parametrize("dies", ["no", "before", "meanwhile"])
def test_new_hubs_that_die_as_soon_as_they_serve(world: World, mended: bool, dies: str) -> None:
    """The old ones serve on, also those that come meanwhile, until there is somebody to take them."""
    old = world.hubs[:2]
    world.run("clients come to 1001", "reload", "1003 is ready", "1004 is ready", "1003 dies", "1004 dies")
    if dies == "before":
        world.run("the broker is killed", "a broker starts")
    world.run("half a minute passes", "half a minute passes")
    assert [(hub.alive, hub.able, hub.stopping) for hub in old] == [(True, True, False)] * 2
    world.run("clients come to 1002", "a second passes")
    served = world.served
    assert served is not None
    status = served.supervisor.deployment.status()
    assert status is not None and status["phase"] == "moving" and status["stalled"] > 50
    world.run("reload")
    new = [hub for hub in world.living if hub.generation == 3]
    assert len(new) == 2
    world.run(f"{new[0].serial} is ready", *[f"{new[1].serial} is ready"][:mended])
    if dies == "meanwhile":
        world.run("the broker is killed", "a broker starts")
    if mended:
        world.run("a second passes")
        assert world.broker.supervisor.deployment.generation.number == 3
    else:
        if new[1].alive:
            world.run(f"{new[1].serial} cannot start")
        world.run("half a minute passes")
        assert [(hub.alive, hub.able, hub.stopping) for hub in old] == [(True, True, False)] * 2
    world.settle()
    assert not any(hub.alive for hub in old)
    assert {hub.generation for hub in world.living} == {3 if mended else 2}
    assert sum(hub.connections for hub in world.living) == 2, "nobody was left behind"
    world.finish()


def test_fewer_hubs_of_which_none_serves_are_given_up(world: World) -> None:
    world.run("clients come to 1002", "scale 1", "1001 dies", "half a minute passes", "half a minute passes")
    one = world.hub(1002)
    assert one.able and not one.resting and one.connections == 1
    served = world.served
    assert served is not None and len(served.supervisor.hubs) == 2
    assert served.supervisor.deployment.scale_status()["phase"] == "abandoned"  # type: ignore[index]
    world.settle()
    world.run("scale 1")
    world.settle()
    assert not one.alive and [hub.connections for hub in world.living] == [1]
    world.finish()


READY = ["a broker starts", "1001 is ready", "1002 is ready"]
HALF_A_MINUTE = "half a minute passes"

#: What went wrong before.
PROGRAMS: dict[str, list[str]] = {
    "fewer hubs, and the one that stays dies with the broker": [
        *READY, "scale 1", "the broker is killed", "1001 dies",
    ],
    "a reload is done when the old hubs have ended while there was no broker": [
        *READY, "clients come to 1001", "reload", "1003 is ready", "1004 is ready", "the broker is killed",
        "1001 dies", "1002 dies",
    ],
    "no hub has a listening socket any more": [
        *READY, "drain 1", "1001 dies", "the broker is killed", "a broker starts",
    ],
    "a hub says what it has when its queue has another socket": [
        *READY, "drain 0", "the broker is killed", "1001 hangs", "a broker starts", HALF_A_MINUTE,
    ],
    "a socket that only a hub has that hangs": [
        *READY, "scale 1", "1001 hangs", "a second passes", "another broker takes over", HALF_A_MINUTE,
    ],
    "new code that dies as soon as it serves is replaced": [
        *READY, "clients come to 1001", "reload", "1003 is ready", "1004 is ready", "1003 dies", "1004 dies",
        HALF_A_MINUTE, "clients come to 1002", "reload", "1005 is ready", "1007 is ready", "1005 dies",
        "1008 is ready",
    ],
    "who was told to end is to be drained no more": [
        *READY, "clients come to 1002", "1002 is told to end", "drain 1 --undo",
    ],
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("accept", ["reuseport", "acceptor"])
def test_again(accept: str, program: list[str]) -> None:
    with World(accept) as world:
        world.run(*program)
        world.finish()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("accept", ["reuseport", "acceptor"])
@pytest.mark.parametrize(
    "begun",
    [["scale 1"], ["reload", "1003 is ready"], ["drain 0"], ["scale 3"], ["1001 is told to end"]],
    ids=lambda begun: begun[0],
)
def test_a_broker_that_dies_as_it_takes_over(accept: str, begun: list[str], place: int) -> None:
    """Nothing of what is under way is forgotten, nor done by half."""
    with World(accept) as world:
        world.run(*READY, "clients come to 1001", "clients come to 1002", *begun)
        world.run(f"the broker will be killed at {place}", "the broker is killed")
        if "1003 is ready" in begun:
            world.run("1004 is ready")
        world.run("a broker starts")
        world.finish()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_order(data: st.DataObject) -> None:
    with World(data.draw(st.sampled_from(["reuseport", "acceptor"]))) as world:
        try:
            if data.draw(st.booleans(), "begins at rest"):
                world.boot()
            for _ in range(data.draw(st.integers(1, 60), "steps")):
                kind = data.draw(st.sampled_from(["steps"] * 8 + ["wishes"] * 5 + ["chaos"] * 3), "kind")
                steps = getattr(world, kind)()
                if steps:
                    world.run(data.draw(st.sampled_from(sorted(steps)), "step"))
            world.finish()
        finally:
            note(f"{world.accept}: {world.program}")
        event(f"{len(world.brokers)} brokers")
