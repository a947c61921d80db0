"""The handoff: its tables, and the real code under every interleaving that hypothesis finds."""

from __future__ import annotations

import os

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from actorrpc.hub.moving.states import SOURCE, TARGET, SourceState, TargetState
from actorrpc.hub.moving.target import Target
from actorrpc.loop.duties import LONGEST, reason
from tests.moving.model import FAILING, REFUSALS, World


def run(world: World, *names: str) -> World:
    for name in names:
        (world.steps() | world.moves() | world.chaos())[name]()
        world.check()
    return world


def outcomes(world: World) -> list[str]:
    return [why for _, answers in world.answers for why in answers]


@pytest.fixture
def world():
    with World() as world:
        yield world


def test_ends_have_no_way_out():
    ends = {SourceState.SERVING, SourceState.MOVED, SourceState.GONE}
    assert {state for state, _ in SOURCE}.isdisjoint(ends)
    assert {state for state, _ in SOURCE} | ends == set(SourceState)
    target_ends = {TargetState.SERVING, TargetState.REFUSED, TargetState.DISCARDED}
    assert {state for state, _ in TARGET} | target_ends == set(TargetState)


OFFERED = ["move 0 to 1", "0 comes to rest"]
READY = [*OFFERED, "1 hears 0"]
COMMITTED = [*READY, "0 hears 1"]
MOVED = [*COMMITTED, "1 hears 0"]
COMMITTING = [*READY, "0 to 1 stalls", "0 hears 1"]
GIVEN_UP = [*READY, "0's time is up"]
LEFT = ["move 0 to 2", "0 comes to rest", "2 hears 0", "0's time is up"]
TWO_OFFERS = [*LEFT, *MOVED, "move 1 to 2", "1 comes to rest"]
STARTS = [[], OFFERED, READY, COMMITTED, MOVED, COMMITTING, GIVEN_UP, TWO_OFFERS]


def test_a_move(world):
    run(world, "the client says more", *MOVED, "the client says more")
    assert world.serving == [1]
    assert outcomes(world) == [""]
    world.settle()


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        (["move 0 to 1", "0's time is up"], "handler Lookup running"),
        (["0 unfit", *OFFERED], "its state is too large"),
        ([*OFFERED, "kill 1", "0 sees the end of 1"], "the link to hub 1 has ended"),
        ([*READY, "kill 1", "0 hears 1"], "the target hub has gone"),
        ([*COMMITTING, "kill 1"], "the link to hub 1 has ended"),
        ([*OFFERED, "0's time is up", *["1 hears 0"] * 2, "0 hears 1"], "the target hub did not answer"),
        (["1 crowded", *READY, "0 hears 1"], "OSError: Too many open files"),
        *((["1 refuses " + name, *READY, "0 hears 1"], reason(error())) for name, error in REFUSALS.items()),
    ],
)  # fmt: skip
def test_an_attempt_that_fails_leaves_the_connection_where_it_is(world, steps, why):
    run(world, "the client says more", *steps, "the client says more")
    world.settle()
    assert outcomes(world) == [why]
    assert world.serving == [0]


@pytest.mark.parametrize("steps", [["move 0 to 1"], OFFERED, READY, COMMITTING])
def test_a_source_that_dies_before_the_target_has_the_socket_closes_the_connection(world, steps):
    """At once, also where its messages lie unread: the target never had the socket."""
    run(world, *steps, "1 stopped", "kill 0")
    assert world.client_sees_close()
    world.settle()


@pytest.mark.parametrize("steps", [COMMITTED, MOVED])
def test_a_target_that_dies_when_it_has_been_given_the_connection_closes_it(world, steps):
    """At once, also where the socket lies in the kernel's queue for it."""
    run(world, *steps, "kill 1")
    assert world.client_sees_close()
    world.settle()


def test_a_source_that_dies_after_commit_takes_nothing_with_it(world):
    run(world, *COMMITTED, "1 stopped", "kill 0", "the client says more", "1 stopped")
    world.settle()
    assert world.serving == [1]


@pytest.mark.parametrize("who", ["0 breaks off 1", "1 breaks off 0"])
@pytest.mark.parametrize("steps", [["move 0 to 1"], OFFERED, READY, COMMITTING])
def test_a_link_that_breaks_between_living_hubs_makes_one_of_them_serve(world, steps, who):
    run(world, *steps, who)
    world.settle()
    assert world.serving == [0]


@pytest.mark.parametrize("who", ["0 breaks off 1", "1 breaks off 0"])
@pytest.mark.parametrize("steps", [OFFERED, READY, COMMITTING])
def test_after_a_link_has_broken_the_connection_moves_over_the_next(world, steps, who):
    """Also where the target, whose COMMIT waited in the old link, hears of the new one before the old one's
    end."""
    linked = ["1 and 0 get a link", "1 is linked to 0 again", "0 is linked to 1 again"]
    run(world, *steps, who, *linked, *OFFERED, "1 hears 0", "0 hears 1", "1 hears 0")
    assert world.serving == [1]
    world.settle()


def test_a_link_that_ended_after_commit_is_read_before_the_next_is_used(world):
    run(world, *COMMITTED, "0 breaks off 1", "1 and 0 get a link", "1 is linked to 0 again")
    assert world.serving == [1]
    run(world, "0 is linked to 1 again", "move 1 to 0")
    world.settle()
    assert world.serving == [0]


def test_an_answer_to_an_attempt_that_was_given_up_is_not_one_to_the_next(world):
    """Else COMMIT would follow, and the target, which refuses this time, would drop the connection."""
    run(world, *GIVEN_UP, *OFFERED, "1 refuses draining", "1 hears 0", "1 hears 0")
    run(world, "0 hears 1")
    assert world.serving == []
    run(world, "0 hears 1")
    assert world.serving == [0]
    world.settle()


def test_offers_of_one_connection_by_two_hubs_are_told_apart(world):
    """Hub 2 is slow to read hub 0's ABORT, and hub 1 offers the same connection meanwhile."""
    run(world, *TWO_OFFERS, "2 hears 1", "2 hears 0", "1 hears 2", "2 hears 1")
    assert world.serving == [2]
    world.settle()


def test_a_hub_that_stops_takes_back_what_it_can(world):
    run(world, *READY, "0 gives up")
    assert world.serving == [0]
    run(world, "1 hears 0", "0 hears 1", *OFFERED, "1 hears 0", "0 to 1 stalls", "0 hears 1", "0 gives up")
    assert world.serving == [], "COMMIT cannot be taken back"
    world.settle()
    assert world.serving == [1]


@pytest.mark.parametrize("what", FAILING)
def test_what_raises_on_the_way_leaves_one_owner_and_nothing_behind(world, what):
    run(world, f"0 fails to {what}", f"1 fails to {what}", "move 0 to 1")
    world.settle()
    assert len(outcomes(world)) == 1
    assert len(world.serving) == 1


@pytest.mark.parametrize(
    ("steps", "of_connection"),
    [
        (["move 0 to 1", "0's time is up"], True),
        (["0 unfit", *OFFERED], True),
        (["move 0 to 1", "the client closes", "0 reads"], True),
        (["1 refuses app", *READY, "0 hears 1"], False),
        ([*OFFERED, "0's time is up"], False),
        ([*OFFERED, "kill 1", "0 sees the end of 1"], False),
    ],
)
def test_whose_fault_it_was_that_nothing_moved(world, steps, of_connection):
    """What lies with the connection says nothing of the two hubs."""
    faults = []
    world.notice = lambda source, why: faults.append(source.of_connection)
    run(world, *steps)
    assert faults == [of_connection]


def test_a_source_that_cannot_let_go_in_peace_has_let_go(world):
    """Its descriptor is closed and its handoff over, so that the new owner's death is seen."""
    run(world, "0 fails to release", "0 fails to done", *MOVED)
    assert not world.hubs[0].handoffs
    run(world, "kill 1")
    assert world.client_sees_close()


@pytest.mark.parametrize("refusal", ["long", "unsendable"])
def test_the_text_of_a_refusal_can_be_sent(world, refusal):
    run(world, f"1 refuses {refusal}", "move 0 to 1")
    world.settle()
    (why,) = outcomes(world)
    assert why.startswith("ZeroDivisionError: ")
    assert len(why) <= LONGEST
    assert world.serving == [0]


def test_a_second_move_at_once_is_refused(world):
    run(world, "move 0 to 1", "move 0 to 2", "0 comes to rest")
    world.settle()
    assert outcomes(world) == ["", "it is being moved already"]
    assert world.serving == [1]


def test_a_connection_that_the_client_ends_is_moved_by_nobody(world):
    run(world, "move 0 to 1", "the client closes", "0 reads", "move 0 to 1")
    world.settle()
    assert outcomes(world) == ["the connection was closed", "unknown connection"]


def test_a_target_that_fails_to_serve_closes_the_connection(world):
    run(world, "1 unable", *MOVED)
    assert world.client_sees_close()
    world.settle()


def test_a_link_that_ends_while_the_target_says_ready_leaves_nothing(world, monkeypatch):
    run(world, *OFFERED)
    hub = world.hubs[1]
    end = hub.ends[0]
    send = end.send
    monkeypatch.setattr(end, "send", lambda *message: end.lose() or send(*message))
    run(world, "1 hears 0")
    assert not hub.handoffs
    world.settle()
    assert world.serving == [0]


def test_commit_without_room_for_its_socket_discards_the_connection(world):
    run(world, *READY)
    (target,) = world.hubs[1].handoffs.targets.values()
    assert isinstance(target, Target)
    target.commit(())
    assert target.state is TargetState.DISCARDED
    assert world.hubs[1].ends[0].reserved == 0


def test_a_commit_that_nobody_waits_for_is_closed(world):
    """So that the client sees it."""
    run(world, *READY)
    world.hubs[1].handoffs.targets.clear()
    world.excuse = "the target has forgotten it"
    (world.steps())["0 hears 1"]()
    world.steps()["1 hears 0"]()
    assert world.client_sees_close()


# What to choose from. Most of a run is moves that go on, or nothing would ever be in flight.
KINDS = [World.steps] * 12 + [World.moves] * 3 + [World.chaos] * 2
CHOICES = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 400)), min_size=1, max_size=80)


@settings(max_examples=int(os.environ.get("HANDOFF_EXAMPLES", "800")), deadline=None, derandomize=True)
@given(start=st.sampled_from(STARTS), choices=CHOICES)
def test_one_owner_whatever_happens(start, choices):
    with World() as world:
        run(world, *start)
        for kind, choice in choices:
            if steps := kind(world):
                name = sorted(steps)[choice % len(steps)]
                steps[name]()
                world.check()
        world.settle()
        event(f"connection {'over' if world.over else 'alive'}")
        event(f"moved {min(outcomes(world).count(''), 3)} times or more")
