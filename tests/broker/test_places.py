"""Where the broker believes connections to be."""

from __future__ import annotations

import pytest

from actorrpc.broker.moves import places
from actorrpc.broker.moves.places import Places
from actorrpc.pb.control_pb2 import Moved


def test_a_connection_is_where_it_was_accepted_until_it_moves() -> None:
    known = Places()
    assert known.guess("3-1002-17") == 1002
    known.record(Moved(connection="3-1002-17", target=0))
    known.record(Moved(connection="3-1002-17", target=1, aborted="refused"))
    assert known.guess("3-1002-17") == 0
    known.forget("3-1002-17")
    assert known.guess("3-1002-17") == 1002


@pytest.mark.parametrize("id", ["", "1-x-1", "1-\u00b2-1", "nobody's"])
def test_what_is_no_id_is_nowhere(id: str) -> None:
    assert Places().guess(id) is None


def test_only_so_many_are_remembered_and_none_that_came_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "KEPT", 2)
    known = Places()
    for number in range(4):
        known.record(Moved(connection=f"0-1000-{number}", target=1))
    known.record(Moved(connection="0-1000-2", target=1))  # heard of last
    known.record(Moved(connection="0-1000-9", target=1))
    assert [known.guess(f"0-1000-{number}") for number in (0, 1, 2, 3, 9)] == [1000, 1000, 1, 1000, 1]
    for number in (2, 9):
        known.record(Moved(connection=f"0-1000-{number}", target=1000))
    assert repr(known) == "<Places of 0 connections that have moved>"


def test_what_has_just_moved_may_still_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(places, "monotonic", lambda: now)
    known = Places()
    assert not known.is_arriving("0-1000-1")
    known.record(Moved(connection="0-1000-1", target=1001))
    known.record(Moved(connection="0-1000-2", target=1001, aborted="it is busy"))
    now += 9
    known.record(Moved(connection="0-1000-3", target=1000))
    assert [known.is_arriving(f"0-1000-{number}") for number in (1, 2, 3)] == [True, False, True]
    now += 2
    known.record(Moved(connection="0-1000-4", target=1001))
    assert [known.is_arriving(f"0-1000-{number}") for number in (1, 3, 4)] == [False, True, True]
    assert len(known._left) == 2


def test_those_that_have_moved_lately(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(places, "monotonic", lambda: now)
    known = Places()
    for number in (1, 2, 1):
        known.record(Moved(connection=f"0-1000-{number}", target=1000 + number))
        now += 1.0
    known.record(Moved(connection="0-1000-2", target=1000))
    known.record(Moved(connection="0-1000-3", target=1001, aborted="refused"))
    assert known.lately() == {"0-1000-1": 1001, "0-1000-2": 1000}
    now += places.LATELY - 0.5
    assert known.lately() == {"0-1000-2": 1000}
    now += 1.0
    assert known.lately() == {}
