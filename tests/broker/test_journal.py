"""What `actorrpc moves` shows, and `actorrpc status` of moves."""

from __future__ import annotations

from typing import Any

from actorrpc.balancing.view import Move, Stay
from actorrpc.broker.moves.journal import BY_OTHERS, KEPT, KEPT_PAUSES, Journal, MoveStatistics
from actorrpc.pb.control_pb2 import Moved

MOVE = Move("0-1-1", 0, 1, "hub 0 is at 90 %", 0.25)


def only(journal: Journal) -> dict[str, Any]:
    (row,) = journal.rows(10)
    return row


def test_a_move_from_its_reason_to_its_outcome() -> None:
    journal = Journal()
    journal.begun(MOVE, "steady")
    row = only(journal)
    assert (row["kind"], row["by"], row["what"], row["source"], row["target"]) == (
        "move", "steady", "0-1-1", 0, 1,
    )  # fmt: skip
    assert (row["load"], row["reason"], row["outcome"]) == (0.25, "hub 0 is at 90 %", "under way")
    journal.ended(MOVE, "", 1.23456)
    row = only(journal)
    assert (row["outcome"], row["why"], row["pause_ms"]) == ("moved", "", 1.235)
    journal.settled(MOVE, "")  # the answer to the question, which comes later
    assert only(journal) == row


def test_an_aborted_move_says_why() -> None:
    journal = Journal()
    journal.begun(MOVE, "steady")
    journal.ended(MOVE, "a handler runs", 1000.0)
    row = only(journal)
    assert (row["outcome"], row["why"], row["pause_ms"]) == ("aborted", "a handler runs", None)


def test_a_move_that_led_to_no_handoff() -> None:
    journal = Journal()
    journal.begun(MOVE, "steady")
    journal.settled(MOVE, "no connection 0-1-1 here")
    assert (only(journal)["outcome"], only(journal)["why"]) == ("aborted", "no connection 0-1-1 here")


def test_a_move_that_others_asked_for() -> None:
    journal = Journal()
    journal.ended(Move("0-1-1", 0, 1, "asked for"), "", 2.0)
    row = only(journal)
    assert (row["by"], row["outcome"], row["pause_ms"]) == (BY_OTHERS, "moved", 2.0)


def test_repeated_decisions_are_counted() -> None:
    journal = Journal()
    journal.stayed(Stay("0-1-1", "it alone takes 95 % of hub 0"), "steady")
    journal.stayed(Stay("0-1-1", "it alone takes 96.5 % of hub 0"), "steady")
    row = only(journal)
    assert (row["times"], row["reason"]) == (2, "it alone takes 96.5 % of hub 0")
    journal.stayed(Stay("0-1-1", "it cools down"), "steady")
    journal.stayed(Stay("0-1-2", "it cools down"), "steady")
    assert [(row["what"], row["times"]) for row in journal.rows(10)] == [
        ("0-1-1", 2), ("0-1-1", 1), ("0-1-2", 1),
    ]  # fmt: skip


def test_only_so_much_is_kept() -> None:
    journal = Journal()
    for number in range(KEPT + 10):
        journal.begun(Move(f"0-1-{number}", 0, 1, ""), "steady")
        journal.stayed(Stay(f"0-1-{number}", "it cools down"), "steady")
    assert len(journal.rows(10 * KEPT)) == KEPT
    assert len(journal.rows(5)) == 5
    assert repr(journal) == f"<Journal of {KEPT} decisions, {KEPT // 2} moves under way>"
    journal.stayed(Stay("0-1-1", "it cools down"), "steady")  # forgotten: it is news again
    assert journal.rows(1)[0]["times"] == 1


def test_nothing_has_moved() -> None:
    assert MoveStatistics().summary() == {"done": 0, "aborted": 0, "pause_ms_p50": 0.0, "pause_ms_p99": 0.0}


def test_counts_and_percentiles() -> None:
    moves = MoveStatistics()
    for pause in range(100, 0, -1):
        moves.record(Moved(pause_ms=pause))
    moves.record(Moved(aborted="a handler runs", pause_ms=1000))
    assert moves.summary() == {"done": 100, "aborted": 1, "pause_ms_p50": 50.0, "pause_ms_p99": 99.0}


def test_one_pause_is_all_percentiles() -> None:
    moves = MoveStatistics()
    moves.record(Moved(pause_ms=1.23456))
    assert moves.summary() == {"done": 1, "aborted": 0, "pause_ms_p50": 1.235, "pause_ms_p99": 1.235}


def test_old_pauses_are_forgotten() -> None:
    moves = MoveStatistics()
    for pause in [1000.0] * 50 + [1.0] * KEPT_PAUSES:
        moves.record(Moved(pause_ms=pause))
    assert moves.summary() == {
        "done": KEPT_PAUSES + 50,
        "aborted": 0,
        "pause_ms_p50": 1.0,
        "pause_ms_p99": 1.0,
    }
