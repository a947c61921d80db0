"""The storm's own judgement: what it excuses once a hub has been killed, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.deaths import Death
from tests.chaos.logs import unexpected
from tests.chaos.reloads import Reloaded
from tests.chaos.storm import AFTERMATH, compare_thaws, judge

DEATH = Death(hub=1, pid=4242, at=100.0, there={"there"}, moving={"moving"}, moved={"moved"})
DIED = "2026-01-01 00:00:00,000 WARNING broker: hub 1 (pid 4242) was killed by SIGKILL"
STARTS = "2026-01-01 00:00:00,000 INFO broker: hub 1 starts again in 0.5 s"


def odd(peer: str, number: int, due: int, at: float) -> dict[str, Any]:
    return {"who": "member 0, call", "peer": peer, "publisher": "x", "number": number, "due": due, "at": at}


@pytest.mark.parametrize(
    ("what", "verdict"),
    [
        (odd("here", 3, 4, 101.0), "again"),
        (odd("moving", 6, 4, 101.0), "lost"),
        (odd("moved", 6, 4, 101.0), "lost"),
        (odd("here", 6, 4, 101.0), "fault"),
        (odd("here", 3, 4, 99.0), "fault"),
        (odd("here", 3, 4, 101.0 + AFTERMATH), "fault"),
    ],
)
def test_only_what_a_death_explains_is_excused(what, verdict):
    assert judge(what, [DEATH]) == verdict
    assert judge(what, []) == "fault"


@pytest.mark.parametrize(
    ("moves", "thaws", "aborted", "wrong"),
    [
        ({"x": 2, "y": 10}, {"x": 1, "y": 9}, 0, []),
        ({"x": 2}, {"x": 3}, 1, []),
        ({"x": 2}, {"x": 3}, 0, ["x was moved 2 times, and its actor counts 3"]),
        ({"x": 2, "y": 10}, {"x": 0, "y": 10}, 0, ["x was moved 2 times, and its actor counts 0"]),
        ({"x": 10, "y": 10}, {"x": 4, "y": 5}, 0, ["of 20 moves 11 led to no thaw"]),
        ({}, {"x": 0}, 0, []),
    ],
)
def test_each_move_is_known_to_the_actor_unless_the_next_came_before(moves, thaws, aborted, wrong):
    assert compare_thaws(moves, thaws, aborted)[0] == wrong


def test_the_log_may_speak_of_the_dead():
    assert unexpected([DIED, STARTS], [DEATH]) == []


def test_the_log_may_speak_of_nothing_else():
    assert unexpected([STARTS], []) == [STARTS]
    other = DIED.replace("4242", "4243")
    assert unexpected([other], [DEATH]) == [other, "nothing about hub 1 (pid 4242), which was killed"]
    assert unexpected([DIED, DIED], [DEATH]) == [DIED], "it has died once"


def test_the_log_may_speak_of_clients_that_have_gone_with_their_hub():
    left = (
        "2026-01-01 00:00:00,000 INFO hub 0: a TLS handshake has failed: "
        "the client has closed the connection before its handshake was over (from 127.0.0.1:1234)"
    )
    assert unexpected([DIED, left], [DEATH]) == []
    assert unexpected([left], []) == [left]
    failed = left.replace("closed the connection before its handshake was over", "ended its handshake: bad")
    assert unexpected([DIED, failed], [DEATH]) == [failed]


RELOAD = Reloaded(at=0.0, generation=2, seconds=3.0, moved=20)
BROKER = "2026-01-01 00:00:00,000 INFO broker: "
RELOADED = [
    f"{BROKER}reload: generation 2 starts",
    f"{BROKER}reload: generation 2 serves, and the old one has ended, after 3.0 s",
]


def test_the_log_may_speak_of_reloads():
    assert unexpected(RELOADED, [], [RELOAD]) == []


def test_the_log_may_speak_of_no_other_reloads_and_has_to_speak_of_these():
    assert unexpected(RELOADED, []) == RELOADED
    assert unexpected(RELOADED[:1], [], [RELOAD]) == ["nothing about generation 2, which serves"]
    ended = (
        "2026-01-01 00:00:00,000 WARNING broker: reload: 1 connection could not move and is ended: 0-1-1 (x)"
    )
    assert unexpected([*RELOADED, ended], [], [RELOAD]) == [ended]
