"""The handoff: its tables, and the real source and target under every interleaving that hypothesis finds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorrpc.handoff.states import SOURCE, TARGET, SourceState, TargetState
from tests.handoff.model import World


def run(world: World, *names: str) -> World:
    for name in names:
        (world.steps() | world.chaos())[name]()
        world.check()
    return world


def test_ends_have_no_way_out():
    ends = {SourceState.SERVING, SourceState.MOVED, SourceState.GONE}
    assert {state for state, _ in SOURCE}.isdisjoint(ends)
    assert {state for state, _ in SOURCE} | ends == set(SourceState)
    target_ends = {TargetState.SERVING, TargetState.REFUSED, TargetState.DISCARDED}
    assert {state for state, _ in TARGET} | target_ends == set(TargetState)


def test_a_move():
    world = run(World(), "come to rest", "deliver to target", "deliver to source", "deliver to target")
    assert world.owners == ["target"]
    assert world.outcomes == [""]
    world.check_end()


@pytest.mark.parametrize(
    ("world", "steps", "why"),
    [
        (World(), ["fire a timer"], "handler Lookup running for 3.2 s"),
        (World(unfit=True), ["come to rest"], "too large"),
        (World(refuses=True), ["come to rest", "deliver to target", "deliver to source"], "aborted"),
        (World(), ["come to rest", "kill target", "source sees the link's end"], "the hub has died"),
        (
            World(),
            ["come to rest", "deliver to target", "kill target", "deliver to source"],
            "",  # the target was ready, so it owns the connection, and dies with it
        ),
        (
            World(),
            ["come to rest", "fire a timer", "deliver to target", "deliver to target", "deliver to source"],
            "the target hub did not answer",
        ),
    ],
)
def test_what_ends_an_attempt(world, steps, why):
    run(world, *steps)
    assert world.outcomes == [why]
    world.check_end()


def test_a_source_that_dies_after_ready_leaves_the_connection_to_the_target():
    world = run(World(), "come to rest", "deliver to target", "kill source", "target sees the link's end")
    assert world.owners == ["target"]


def test_an_abort_that_the_kernel_does_not_take_keeps_the_source_from_serving():
    world = run(World(), "come to rest", "deliver to target", "stall", "fire a timer")
    assert world.owners == []
    run(world, "unstall")
    assert world.owners == ["source"]
    run(world, "deliver to target", "deliver to source")
    world.check_end()


@settings(max_examples=3_000, deadline=None, derandomize=True)
@given(
    choices=st.lists(st.integers(0, 11), max_size=25),
    unlucky=st.sets(st.integers(0, 24), max_size=4),
    unfit=st.booleans(),
    refuses=st.booleans(),
)
def test_one_owner_whatever_happens(choices, unlucky, unfit, refuses):
    world = World(unfit=unfit, refuses=refuses)
    for number, choice in enumerate(choices):
        steps = world.steps()
        if number in unlucky or not steps:
            steps = world.chaos() or steps
        if not steps:
            break
        names = sorted(steps)
        steps[names[choice % len(names)]]()
        world.check()
    world.unstall()
    while steps := world.steps():
        steps[sorted(steps)[0]]()
        world.check()
    world.check_end()
