"""Topics under every interleaving that hypothesis finds, and those that went wrong before."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from actorrpc.errors import StatusCode
from actorrpc.hub import links
from actorrpc.hub.actors import sinks
from actorrpc.hub.topics import handover
from actorrpc.hub.topics import numbered_log as topic_log
from tests.apps.shapes_pb2 import Item
from tests.topics.model import HUBS, KERNEL, Subscriber, World

#: Programs that hypothesis tries; more by `ACTORRPC_TOPIC_PROGRAMS=20000 pytest tests/topics`.
EXAMPLES = int(os.environ.get("ACTORRPC_TOPIC_PROGRAMS", "100"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Limits that a few messages reach."""
    monkeypatch.setattr(sinks, "MAX_WAITING", 2)
    monkeypatch.setattr(links, "MAX_UNSENT_TOPICS", 100)
    monkeypatch.setattr(handover, "PIECE", 500)
    return monkeypatch


@pytest.fixture
def world(small: pytest.MonkeyPatch) -> Iterator[World]:
    with World() as world:
        yield world


def finish(world: World) -> None:
    world.settle()
    world.check()


# ---- a home dies


def call(world: World, hub: int, topic: str) -> Subscriber:
    """A call that has subscribed."""
    subscriber = world.subscribe(world.hub(hub), topic, actor=False)
    world.settle()
    return subscriber


def publish(world: World, hub: int, topic: str, times: int = 1) -> None:
    for _ in range(times):
        world.publish(world.hub(hub), topic)


def numbers(subscriber: Subscriber) -> list[int]:
    return [Item.FromString(payload).number for payload in subscriber.heard]


def settle_without(world: World, *beginnings: str) -> None:
    """Let everything go on but some steps."""
    while steps := [name for name in world.steps() if not name.startswith(beginnings)]:
        world.run(min(steps))


HOME_DIES = ("2 dies", "the broker notices that 2 has died")


def test_a_new_home_misses_nothing_until_subscribers_come(world):
    """Hub 0 is in a long turn while hub 1 becomes the home and numbers what is published."""
    subscriber = call(world, 0, "b")
    world.run(*HOME_DIES, "1 hears the broker")
    publish(world, 1, "b", 5)
    assert world.publishers[0].connection.host.unacknowledged == 0
    finish(world)
    assert numbers(subscriber) == [1, 2, 3, 4, 5]


def test_what_a_dead_home_had_sent_is_heard_before_the_new_one_is_asked(world):
    subscriber = call(world, 0, "b")
    publish(world, 1, "b", 3)
    world.run("2 reads 1", "2 reads 1", "2 reads 1", *HOME_DIES, "0 hears the broker")
    publish(world, 1, "b")
    finish(world)
    assert numbers(subscriber) == [1, 2, 3, 4]


def test_two_homes_die_one_after_the_other(world):
    subscriber = call(world, 0, "b")
    publish(world, 1, "b")
    world.settle()
    world.run(*HOME_DIES, "1 hears the broker", "2 starts again", *["2 hears the broker"] * 3)
    publish(world, 2, "b")
    world.run("1 dies", "the broker notices that 1 has died")
    publish(world, 2, "b")
    finish(world)
    assert numbers(subscriber)[0] == 1


def test_a_publisher_that_knows_the_new_home_before_it_knows_itself(world):
    subscriber = call(world, 1, "b")
    publish(world, 0, "b")
    world.settle()
    world.run(*HOME_DIES, "0 hears the broker")
    publish(world, 0, "b", 2)
    world.run("1 reads 0")  # hub 1 is not the home yet, as far as it knows
    finish(world)
    assert numbers(subscriber) == [1, 2, 3]


def test_a_subscription_that_moves_while_its_home_dies(world):
    subscriber = call(world, 0, "b")
    world.run("s0 moves to 1", *HOME_DIES, "1 hears the broker")
    publish(world, 1, "b", 2)
    world.run("s0 is let go", "s0 serves again")
    finish(world)
    assert numbers(subscriber) == [1, 2]


def test_what_was_sent_to_a_dead_home_comes_before_what_waited_for_it(world):
    """The publisher's own hub becomes the home: its subscription, which is then in force, lets go what waited
    for that."""
    subscriber = call(world, 1, "f")
    publish(world, 0, "f")
    world.run("p0 subscribes to f")
    publish(world, 0, "f")
    world.run(*HOME_DIES, "0 hears the broker")
    finish(world)
    assert numbers(subscriber) == [1, 2]


@pytest.mark.parametrize(("moves", "heard"), [(["s0 stays"], [1]), (["0 reads 2", "s0 is let go"], [])])
def test_what_comes_of_a_dead_home_is_lost_only_for_a_subscription_that_moves(world, moves, heard):
    subscriber = call(world, 0, "b")
    publish(world, 1, "b")
    world.run("2 reads 1", "1 reads 2", "2 dies", "s0 moves to 1", *moves)
    finish(world)
    assert numbers(subscriber) == heard
    assert len(subscriber.excused) == 1 - len(heard)


def test_what_a_new_home_cannot_keep_for_those_to_come_is_told_as_lost(world, small):
    small.setattr(topic_log, "LOGS_BYTES", 8000)
    subscriber, other = call(world, 0, "b"), call(world, 0, "a")
    world.run(*HOME_DIES, "1 hears the broker")
    publish(world, 1, "b", 60)
    world.settle()
    assert subscriber.told and subscriber.call.ended
    assert not other.told
    assert world.hub(1).topics._home.logs.size <= 8000


def test_topics_that_a_new_home_had_to_forget_are_told_as_lost(world, small):
    small.setattr(topic_log, "LOGS_BYTES", 8000)
    subscriber = call(world, 0, "b")
    world.run(*HOME_DIES, "1 hears the broker")
    publish(world, 1, "b")
    home = world.hub(1)
    others = (name for name in map(str, range(1000)) if home.topics.home_of(name) == 1)
    for name in islice(others, 50):
        publish(world, 1, name)
    assert "b" not in home.topics._home.logs.logs
    world.settle()
    assert subscriber.told
    assert home.topics._home.logs.size <= 8000


# ---- a home hands its topics over, and lives


def epochs(world: World, topic: str) -> set[str]:
    """The numberings in which a topic's messages have been."""
    history = world.history
    return {history.epochs[each] for name, each, _ in history.published if name == topic}


def test_a_living_home_hands_its_topics_over_and_nobody_notices(world):
    subscribers = [call(world, hub, "b") for hub in range(3)]
    publish(world, 1, "b", 3)
    world.run("2 reads 1", "2 is emptied", "2 hears the broker")
    publish(world, 1, "b", 3)  # hub 1 has not heard of it
    publish(world, 2, "b", 3)
    world.run("1 hears the broker")
    publish(world, 1, "b", 3)
    finish(world)
    assert world.home("b") != 2
    assert not world.homes.needs(2)
    heard = [numbers(subscriber) for subscriber in subscribers]
    assert sorted(heard[0]) == sorted([*range(1, 10), *range(1, 4)])
    assert heard == [heard[0]] * 3
    assert len(epochs(world, "b")) == 1
    publish(world, 0, "b")
    finish(world)
    assert len(epochs(world, "b")) == 1


def test_large_logs_go_in_pieces_that_fit_into_the_link(world):
    subscriber = call(world, 0, "b")
    publish(world, 2, "b", 60)
    world.run("2 is emptied")
    finish(world)
    assert world.most_unsent < 1000
    assert numbers(subscriber) == [*range(1, 61)]


def test_a_subscriber_that_moves_while_its_home_changes(world):
    subscriber = call(world, 0, "b")
    world.run("s0 moves to 1")
    publish(world, 2, "b", 5)
    world.run("2 is emptied", "2 hears the broker", "1 hears the broker", "s0 is let go", "s0 serves again")
    finish(world)
    assert numbers(subscriber) == [1, 2, 3, 4, 5]


def test_what_a_subscriber_has_not_read_when_its_home_changes_comes_before_what_the_new_one_sends(world):
    """The new home is asked when the old one has said its last, and not for what lies in the link."""
    subscriber = call(world, 0, "b")
    publish(world, 2, "b", 3)
    world.run("2 is emptied", *["2 hears the broker", "0 hears the broker", "1 hears the broker"])
    for _ in range(3):
        assert world.hub(0).topics.home_of("b") == 2
        world.run("0 reads 2")
    assert numbers(subscriber) == [1, 2, 3]
    finish(world)
    assert numbers(subscriber) == [1, 2, 3]


def test_a_home_that_is_stopped_is_waited_for(world):
    """Nobody is the home before it has let go: hub 2 hears nothing of the broker."""
    subscriber = call(world, 1, "b")
    world.run("2 is emptied", "0 hears the broker", "1 hears the broker")
    publish(world, 0, "b", 2)
    settle_without(world, "2 ")
    assert {hub.topics.home_of("b") for hub in world.hubs} == {2}
    assert not any(hub.topics._home.logs.logs.get("b") for hub in (world.hub(0), world.hub(1)))
    finish(world)
    assert numbers(subscriber) == [1, 2]


def test_a_new_home_dies_while_it_is_handed_over_to(world):
    subscriber = call(world, 0, "b")
    world.run("s0 moves to 1")
    publish(world, 2, "b", 10)
    world.run("2 is emptied", "2 hears the broker")
    assert world.home("b") == 1
    world.run("1 reads 2", "1 dies", "the broker notices that 1 has died")
    finish(world)
    assert numbers(subscriber) == [*range(1, 11)]
    publish(world, 2, "b")
    finish(world)
    assert len(epochs(world, "b")) == 1


def test_a_former_home_dies_before_it_has_let_go(world):
    """Its topics begin anew, and who published to it does so again."""
    subscriber = call(world, 0, "b")
    publish(world, 0, "b")
    world.settle()
    world.run("2 is emptied", "2 hears the broker", "0 hears the broker", "1 hears the broker")
    publish(world, 0, "b", 2)
    world.run("2 dies", "the broker notices that 2 has died")
    finish(world)
    assert numbers(subscriber) == [1, 2, 3]
    assert len(epochs(world, "b")) == 2


def test_a_hub_that_hears_of_the_release_before_it_hears_of_the_new_home(world):
    subscriber = call(world, 0, "b")
    world.run("2 is emptied", "2 hears the broker")
    orders, world.hub(0).orders = world.hub(0).orders, deque()
    publish(world, 2, "b")
    world.settle()
    publish(world, 0, "b")  # to a home that is none any more
    world.hub(0).orders = orders
    finish(world)
    assert numbers(subscriber) == [1, 1]


def test_a_newcomer_gets_its_share_of_topics_with_all_that_is_in_them(world):
    subscriber = call(world, 0, "b")
    world.run("2 dies", "the broker notices that 2 has died")
    world.settle()
    publish(world, 0, "b", 3)
    world.run("2 starts again and gets its share")
    publish(world, 1, "b", 3)
    finish(world)
    assert 2 in world.homes.homes
    assert sorted(numbers(subscriber)) == [1, 1, 2, 2, 3, 3]
    assert len(epochs(world, "b")) == 1


def test_topics_nobody_has_subscribed_to_begin_no_log_at_their_next_home(world):
    world.run("2 is emptied")
    world.settle()
    publish(world, 0, "b")
    world.settle()
    assert not any(hub.topics._home.logs.logs for hub in world.hubs)


def test_what_cannot_be_kept_of_logs_that_are_handed_over_is_told_as_lost(world, small):
    subscriber, other = call(world, 0, "b"), call(world, 0, "g")
    world.run("s0 moves to 1")
    publish(world, 2, "b", 60)
    world.run("2 is emptied", "2 hears the broker")
    small.setattr(topic_log, "LOGS_BYTES", 8000)
    world.settle()
    assert subscriber.told and subscriber.call.ended
    assert not other.told
    assert all(hub.topics._home.logs.size <= 8000 for hub in world.hubs)


def test_slots_that_come_from_two_homes_have_settled_when_both_have_let_go(world):
    """Hub 2 is through with its own long before hub 1 is with its, and turns to hub 0 for these last."""
    call(world, 2, "g")
    world.homeless |= {1, 2}
    world._assign()
    world.run("2 hears the broker", "0 hears the broker")
    settle_without(world, "1 ")
    assert world.homes.needs(1) and world.homes.needs(2)
    settle_without(world, "2 reads 1")
    assert world.hub(0).topics.home_of("g") == 0
    assert world.homes.needs(1) and world.homes.needs(2)
    finish(world)
    assert not world.homes.needs(1) and not world.homes.needs(2)


def test_a_home_has_let_go_of_a_topic_and_gets_it_back_when_the_next_one_dies(world):
    """What is published there before a subscriber comes is kept for it: the home knows it has no logs."""
    subscriber = call(world, 0, "b")
    world.run("1 is emptied")
    world.settle()
    world.run("1 gets its share")
    settle_without(world, "the broker hears")
    assert world.home("b") == 1
    world.run("1 dies", "the broker notices that 1 has died", "2 hears the broker")
    assert world.home("b") == 2
    publish(world, 2, "b")
    finish(world)
    assert numbers(subscriber) == [1]


def test_a_home_after_a_dead_one_hands_on_what_it_does_not_know(world):
    """Hub 0, whose subscription nobody knows, hears of nothing until its topic has its third home."""
    subscriber = call(world, 0, "b")
    world.run(*HOME_DIES, "2 starts again", "1 is emptied")
    assert world.home("b") == 2
    settle_without(world, "0 ")
    publish(world, 2, "b")
    finish(world)
    assert numbers(subscriber) == [1]


def test_a_hub_gives_on_what_a_home_that_has_died_was_to_give_it(world):
    subscriber = call(world, 0, "b")
    world.run("2 is emptied", "1 hears the broker", "0 hears the broker")
    assert world.home("b") == 1
    publish(world, 1, "b")
    world.run("2 dies", "the broker notices that 2 has died", "1 is emptied")
    assert world.home("b") == 0
    settle_without(world, "1 sees that 2 has gone")
    finish(world)
    assert numbers(subscriber) == [1]


def test_a_hub_gives_on_what_it_has_not_got_from_one_that_has_died_unnoticed(world):
    """All that hub 1 gives to hub 2 in a version it releases at once; so it must have it all before."""
    died = "the broker notices that {} has died".format
    world.run("0 dies", died(0), "2 dies", died(2), "0 starts again and gets its share")
    world.run("2 starts again and gets its share", "0 is emptied", "1 dies", died(1), "1 starts again")
    world.run("0 dies", "2 dies", died(2), "1 is emptied", "1 hears the broker", died(0))
    world.run("1 hears the broker", "2 starts again and gets its share", "1 hears the broker")
    publish(world, 1, "g")
    finish(world)
    world.check_nothing_is_kept()


# ---- what is full


def test_an_actor_with_much_other_work_goes_on_hearing(world):
    subscriber = world.subscribe(world.hub(0), "a", actor=True)
    world.run("s0 gets other work")
    publish(world, 0, "a")
    finish(world)
    publish(world, 0, "a", 5)
    finish(world)
    assert numbers(subscriber) == [1, 2, 3, 4, 5, 6]


def test_a_full_link_to_a_subscriber_is_gone_on_with_although_nothing_more_is_published(world):
    subscriber = call(world, 0, "g")
    publish(world, 1, "g", 50)  # hub 0 reads nothing
    assert world.most_unsent < 300
    finish(world)
    assert numbers(subscriber) == [*range(1, 51)]


@pytest.mark.parametrize(("full", "other"), [(1, 0), (0, 1)], ids=["to a subscriber", "to the home"])
def test_a_link_that_handoffs_have_filled_is_gone_on_with(world, full, other):
    subscriber = call(world, 0, "g")
    world.run(*[f"{full} offers {other} a connection"] * (KERNEL + 1))  # the other reads nothing
    publish(world, full, "g")
    finish(world)
    assert numbers(subscriber) == [1]


def test_a_full_link_to_a_home_keeps_publications_back(world):
    subscriber = call(world, 0, "g")
    publish(world, 0, "g", 50)  # hub 1 reads nothing
    assert world.most_unsent < 300
    finish(world)
    assert numbers(subscriber) == [*range(1, 51)]


def test_questions_do_not_pile_up_while_a_home_is_stuck(world):
    for _ in range(200):  # hub 1 reads nothing
        subscriber = world.subscribe(world.hub(0), "g", actor=False)
        subscriber.call.stop(StatusCode.OK)
    assert world.most_unsent < 300
    assert len(world.hub(0).topics._outboxes._outboxes[1].topics) <= 1
    finish(world)
    assert not world.hub(1).topics._home.logs.logs["g"].subscribers


def test_what_a_stuck_subscriber_misses_is_told(world, small):
    small.setattr(topic_log, "KEEP_MESSAGES", 5)
    small.setattr(topic_log, "BEHIND_MESSAGES", 10)
    subscriber, other = call(world, 0, "g"), call(world, 1, "g")
    publish(world, 1, "g", 50)
    world.settle()
    assert subscriber.told and numbers(subscriber) == [*range(1, len(subscriber.heard) + 1)]
    assert numbers(other) == [*range(1, 51)]


def test_a_burst_that_no_link_holds_is_kept_for_those_who_are_behind(world, small):
    small.setattr(topic_log, "KEEP_MESSAGES", 5)
    subscriber = call(world, 0, "g")
    publish(world, 1, "g", 100)
    finish(world)
    assert numbers(subscriber) == [*range(1, 101)]
    assert len(world.hub(1).topics._home.logs.logs["g"].entries) == 5


def test_a_message_that_has_not_come_is_asked_for(world):
    subscriber = call(world, 0, "g")
    publish(world, 1, "g", 3)
    del world.hub(0)._links[1].inbox[1]
    finish(world)
    assert numbers(subscriber) == [1, 2, 3]


# ---- any order


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_order(small: pytest.MonkeyPatch, data: st.DataObject) -> None:
    chaos = data.draw(st.sampled_from([0, 2]), "deaths")
    breaks = data.draw(st.sampled_from([0, 2]), "broken links")
    with World(body=bytes(data.draw(st.sampled_from([0, 30]), "size of messages"))) as world:
        for _ in range(data.draw(st.integers(1, 120), "steps")):
            # Most of the time what goes on goes on; a death is rarer than all else.
            kind = data.draw(
                st.sampled_from(
                    ["steps"] * 8 + ["wishes"] * 10 + ["orders"] * 2 + ["chaos"] * chaos + ["breaks"] * breaks
                ),
                "kind",
            )
            steps = getattr(world, kind)()
            if steps:
                steps[data.draw(st.sampled_from(sorted(steps)), "step")]()
                world.after()
        event(f"{sum(world.generations.values()) - HUBS} hubs started again")
        finish(world)
        world.check_nothing_is_kept()
