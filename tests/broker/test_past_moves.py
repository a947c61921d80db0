"""Where connections have been: how much of it is kept, who asked, and what the next broker knows of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from actorrpc.balancing.view import Move
from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.broker.moves import past_file, past_moves
from actorrpc.broker.moves.journal import Journal
from actorrpc.broker.moves.past_file import PastFile
from actorrpc.broker.moves.past_moves import EACH, PastMove, PastMoves

MOVE = Move("0-1-1", 0, 1, "hub 0 is at 90 %", 0.25)


def moved(number: int = 0, target: int = 1) -> PastMove:
    return PastMove(f"2026-01-01T00:00:{number:02}", 0, target, "steady", "", "moved", pause_ms=1.5)


def refused(why: str = "a handler runs", by: str = "steady") -> PastMove:
    return PastMove("2026-01-01T00:00:00", 0, 1, by, "", "aborted", why)


def test_of_each_connection_the_last_are_kept() -> None:
    past = PastMoves()
    for number in range(EACH + 3):
        past.add("0-1-1", moved(number))
    past.add("0-1-2", moved())
    assert [each.at[-2:] for each in past.of("0-1-1")] == [f"{n:02}" for n in range(3, EACH + 3)]
    assert len(past.of("0-1-2")) == 1
    assert past.of("0-1-3") == []
    assert past.rows("0-1-2") == [
        {
            "at": "2026-01-01T00:00:00", "source": 0, "target": 1, "by": "steady", "reason": "",
            "outcome": "moved", "why": "", "pause_ms": 1.5, "generation": None, "times": 1,
        }
    ]  # fmt: skip


def test_connections_of_which_nothing_is_heard_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_moves, "KEPT", 4)
    past = PastMoves()
    for id in ("a", "b", "a", "c", "d"):
        past.add(id, moved())
    assert [len(past.of(id)) for id in "abcd"] == [2, 0, 1, 1]
    assert repr(past) == "<PastMoves: 4 of 3 connections>"


def test_attempts_that_come_to_nothing_in_the_same_way_are_counted() -> None:
    past = PastMoves()
    for each in (refused(), refused(), refused(), refused("it is closed"), refused(by="x"), moved(), moved()):
        past.add("0-1-1", each)
    assert [(each.outcome, each.times) for each in past.of("0-1-1")] == [
        ("aborted", 3), ("aborted", 1), ("aborted", 1), ("moved", 1), ("moved", 1),
    ]  # fmt: skip


# ---- who asked


def last(journal: Journal, id: str = "0-1-1") -> tuple[Any, ...]:
    past = journal.past.of(id)[-1]
    return past.by, past.reason, past.outcome, past.why, past.pause_ms


def test_a_policy() -> None:
    journal = Journal()
    journal.begun(MOVE, "steady")
    journal.ended(MOVE, "", 1.2345, "drain of hub 0", 3)
    assert last(journal) == ("steady", "hub 0 is at 90 %", "moved", "", 1.234)
    assert journal.past.of("0-1-1")[0].generation == 3
    journal.settled(MOVE, "")
    assert len(journal.past.of("0-1-1")) == 1


def test_a_policy_that_is_refused_before_anything_begins() -> None:
    journal = Journal()
    journal.begun(MOVE, "steady")
    journal.settled(MOVE, "it is too heavy")
    assert last(journal) == ("steady", "hub 0 is at 90 %", "aborted", "it is too heavy", None)


def test_a_person() -> None:
    journal = Journal()
    journal.asked("0-1-1", 1)
    journal.ended(MOVE, "", 2.0, "drain of hub 0")
    assert last(journal) == ("asked for", "by hand", "moved", "", 2.0)
    journal.answered("0-1-1", None, 1, "")
    assert len(journal.past.of("0-1-1")) == 1
    assert journal.rows(1)[0]["reason"] == "by hand"
    # What comes after that is somebody else's.
    journal.ended(MOVE, "", 2.0, "drain of hub 0")
    assert last(journal)[1] == "drain of hub 0"


def test_a_person_who_is_refused_before_anything_begins() -> None:
    journal = Journal()
    journal.asked("0-1-1", 1)
    journal.answered("0-1-1", 0, 1, "it has no link to hub 1")
    assert last(journal) == ("asked for", "by hand", "aborted", "it has no link to hub 1", None)
    assert journal.rows(1)[0]["why"] == "it has no link to hub 1"


def test_a_person_who_is_refused_in_the_handoff_is_told_of_it_once() -> None:
    journal = Journal()
    journal.asked("0-1-1", 1)
    journal.ended(MOVE, "a handler runs", 0.0)
    journal.answered("0-1-1", 0, 1, "a handler runs")
    assert [(each.outcome, each.times) for each in journal.past.of("0-1-1")] == [("aborted", 1)]


def test_what_goes_to_the_next_process_of_its_hub_is_in_no_line_of_the_journal() -> None:
    journal = Journal()
    journal.ended(Move("0-1-1", 0, 0, ""), "", 3.0, "reload to generation 2", 2)
    assert last(journal) == ("asked for", "reload to generation 2", "moved", "", 3.0)
    assert journal.rows(10) == []


# ---- for the next broker


@pytest.fixture
def directory(tmp_path: Path) -> RuntimeDir:
    return RuntimeDir(str(tmp_path))


def restored(directory: RuntimeDir) -> PastMoves:
    past = PastMoves()
    PastFile(directory, past).restore()
    return past


def test_the_next_broker_knows_it(directory: RuntimeDir) -> None:
    past = PastMoves()
    file = PastFile(directory, past)
    file.write()
    assert not os.path.exists(directory.past_path)
    past.add("0-1-1", moved())
    past.add("rooms.Room/a", refused())
    file.write()
    past.add("rooms.Room/a", refused())
    past.add("0-1-1", PastMove("later", 1, 1, "asked for", "reload", "moved", pause_ms=0.0, generation=2))
    file.write()
    again = restored(directory)
    assert [*again.all()] == [*past.all()]
    assert again.of("rooms.Room/a")[0].times == 2
    assert again.take_news() == []


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_a_broker_that_dies_as_it_writes_spoils_nothing_else(directory: RuntimeDir, cut: int) -> None:
    past = PastMoves()
    file = PastFile(directory, past)
    past.add("0-1-1", moved())
    file.write()
    past.add("0-1-2", moved())
    file.write()
    os.truncate(directory.past_path, os.path.getsize(directory.past_path) - cut)
    again = restored(directory)
    assert [id for id, _ in again.all()] == ["0-1-1"]
    # And what comes then is read by the one after it.
    file = PastFile(directory, again)
    file.restore()
    again.add("0-1-3", moved())
    file.write()
    assert {id for id, _ in restored(directory).all()} == {"0-1-1", "0-1-3"}


def test_what_is_no_such_file_is_let_be(directory: RuntimeDir, caplog: pytest.LogCaptureFixture) -> None:
    Path(directory.past_path).write_bytes(b"\x04\0\0\0\xff\xff\xff\xff")
    assert [*restored(directory).all()] == []
    assert "not all known to the next broker" in caplog.text


def test_the_file_does_not_grow_without_end(directory: RuntimeDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_file, "MOST", 2000)
    monkeypatch.setattr(past_moves, "KEPT", 8)
    past = PastMoves()
    file = PastFile(directory, past)
    for number in range(200):
        past.add(f"0-1-{number}", moved())
        file.write()
        assert os.path.getsize(directory.past_path) <= 2000
    assert [id for id, _ in restored(directory).all()] == [f"0-1-{number}" for number in range(192, 200)]


def test_a_file_that_cannot_be_written_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    past = PastMoves()
    file = PastFile(RuntimeDir(str(tmp_path / "nowhere")), past)
    for _ in range(3):
        past.add("0-1-1", moved())
        file.write()
    assert caplog.text.count("not all known") == 1
    assert len(past.of("0-1-1")) == 3


def test_a_server_that_starts_anew_has_no_past(directory: RuntimeDir) -> None:
    past = PastMoves()
    past.add("0-1-1", moved())
    PastFile(directory, past).write()
    PastFile(directory, PastMoves()).clear()
    assert [*restored(directory).all()] == []
