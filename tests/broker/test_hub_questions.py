"""What the broker makes of its hubs' answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from gevent.event import AsyncResult

from actorrpc.broker.moves import hub_questions as questions
from actorrpc.broker.moves.hub_questions import Verdict, judge
from actorrpc.broker.processes.hub_process import Answer
from actorrpc.pb.control_pb2 import Connection, Connections, MoveResult, ToHub

UNKNOWN = MoveResult(outcome=MoveResult.UNKNOWN_CONNECTION)
MOVED = MoveResult(outcome=MoveResult.MOVED)
MISSING = Verdict(False, "0-1-7 is not on any hub that answers, and hub 0 does not answer")


def aborted(why: str) -> MoveResult:
    return MoveResult(outcome=MoveResult.ABORTED, why=why)


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ({0: MOVED, 1: UNKNOWN}, Verdict(True, "moved 0-1-7 to hub 1")),
        ({0: MOVED, 1: None}, Verdict(True, "moved 0-1-7 to hub 1")),
        ({0: UNKNOWN, 1: MOVED}, Verdict(True, "0-1-7 is already on hub 1")),
        ({1: MOVED, 2: MOVED}, Verdict(True, "moved 0-1-7 to hub 1")),
        ({0: aborted("a turn runs"), 1: UNKNOWN}, Verdict(False, "0-1-7 stays on hub 0: a turn runs")),
        (
            {0: MoveResult(outcome=MoveResult.UNKNOWN_HUB), 1: UNKNOWN},
            Verdict(False, "0-1-7 stays on hub 0: it has no link to hub 1"),
        ),
        ({0: UNKNOWN, 1: UNKNOWN}, Verdict(False, "no such connection: 0-1-7", unknown=True)),
        ({0: None, 1: UNKNOWN}, MISSING),
    ],
)
def test_judge(answers: dict[int, MoveResult | None], wanted: Verdict) -> None:
    processes: dict[int, Any] = {hub: FakeProcess(hub, None) for hub in {*answers, 1}}
    assert judge({processes[hub]: answer for hub, answer in answers.items()}, "0-1-7", processes[1]) == wanted


class FakeProcess:
    """A hub that answers with what it is given; None: never."""

    def __init__(self, hub: int, *answers: Answer | None) -> None:
        self.hub = hub
        self.serial = 1000 + hub
        self.generation = 3
        self.asked: list[ToHub] = []
        self._answers = list(answers)

    def ask(self, question: ToHub) -> AsyncResult[Answer | None]:
        self.asked.append(question)
        result: AsyncResult[Answer | None] = AsyncResult()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is not None:
            result.set(answer)
        return result


class DeadProcess(FakeProcess):
    """A hub that has died, and is not known to have."""

    def __init__(self, hub: int) -> None:
        super().__init__(hub, None)

    def ask(self, question: ToHub) -> AsyncResult[Answer | None]:
        result = super().ask(question)
        result.set(None)
        return result


Move = Callable[..., Verdict]


@pytest.fixture
def move() -> Move:
    def ask(
        *processes: FakeProcess, timeout: float = 0.05, first: int | None = None, arriving: bool = False
    ) -> Verdict:
        target = next(each for each in processes if each.hub == 1)
        serial = None if first is None else 1000 + first
        return questions.move(processes, "0-1-7", target, timeout, serial, arriving)  # type: ignore[arg-type]

    return ask


def test_a_connection_that_moves_meanwhile_is_looked_for_again(move: Move) -> None:
    source, target = FakeProcess(0, UNKNOWN, UNKNOWN, MOVED), FakeProcess(1, UNKNOWN)
    assert move(source, target).moved
    assert len(source.asked) == 3
    assert source.asked[0].move.connection == "0-1-7"
    assert source.asked[0].move.target == 1001


def test_it_is_looked_for_also_while_a_third_hub_is_dead(move: Move) -> None:
    source, target = FakeProcess(0, UNKNOWN, MOVED), FakeProcess(1, UNKNOWN)
    assert move(source, target, DeadProcess(2)).moved


def test_it_is_looked_for_also_while_a_third_hub_hangs(move: Move) -> None:
    source, target, hanging = FakeProcess(0, UNKNOWN, MOVED), FakeProcess(1, UNKNOWN), FakeProcess(2, None)
    assert move(source, target, hanging, timeout=60).moved
    assert len(hanging.asked) == 1


def test_the_hub_that_most_likely_has_it_is_asked_alone(move: Move) -> None:
    source, target = FakeProcess(0, MOVED), FakeProcess(1, UNKNOWN)
    assert move(source, target, first=0) == Verdict(True, "moved 0-1-7 to hub 1")
    assert (len(source.asked), len(target.asked)) == (1, 0)


@pytest.mark.parametrize("answer", [UNKNOWN, None], ids=["does not know it", "is silent"])
def test_where_that_hub_does_not_answer_for_it_the_others_are_asked(
    move: Move, monkeypatch: pytest.MonkeyPatch, answer: MoveResult | None
) -> None:
    monkeypatch.setattr(questions, "HEAD_START", 0.01)
    wrong, source = FakeProcess(2, answer), FakeProcess(0, MOVED)
    assert move(wrong, source, FakeProcess(1, UNKNOWN), first=2, timeout=60).moved
    assert (len(wrong.asked), len(source.asked)) == (1, 1), "nobody is asked twice: a move may have begun"


def test_a_hub_that_has_gone_is_not_asked_first(move: Move) -> None:
    assert move(FakeProcess(0, MOVED), FakeProcess(1, UNKNOWN), first=2).moved


def test_a_connection_that_nobody_has_is_unknown_after_a_while(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "SEARCH", 0.1)
    assert move(FakeProcess(0, UNKNOWN), FakeProcess(1, UNKNOWN)).unknown


def test_an_answer_is_not_held_up_by_a_silent_hub(move: Move) -> None:
    assert move(FakeProcess(0, MOVED), FakeProcess(1, None), timeout=60).moved


def test_silence_is_bounded(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "SEARCH", 0.1)
    verdict = move(FakeProcess(0, None), FakeProcess(1, UNKNOWN))
    assert verdict == MISSING


def test_connections_of_all_hubs_but_the_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "LISTING", 0.05)
    one = Connection(
        id="0-1-1", peer="127.0.0.1:9", services=["a.B"], calls=2, state_bytes=3, cpu=0.5,
        actors={"a.B": 0.5}, load=0.25, freeze_ms=1.5, age=7, identities=2, move_ms=12.34, running=3.21,
        moves=4,
    )  # fmt: skip
    two = Connection(id="1-1-1", movable=True, awaits="handshake")
    processes = [
        FakeProcess(0, Connections(connections=[one])),
        FakeProcess(1, None),
        FakeProcess(2, Connections(connections=[two, one])),  # one has just moved from hub 0
    ]
    rows, silent = questions.list_connections(processes)  # type: ignore[arg-type]
    assert [each.hub for each in silent] == [1]
    assert rows == [
        {
            "id": "0-1-1", "hub": 2, "generation": 3, "serial": 1002, "peer": "127.0.0.1:9",
            "services": ["a.B"], "calls": 2, "state_bytes": 3, "cpu": 0.5, "movable": False, "why": "",
            "actors": {"a.B": 0.5}, "load": 0.25, "freeze_ms": 1.5, "age": 7.0,
            "identities": 2, "move_ms": 12.3, "running": 3.2, "moved": 4, "awaits": "",
        },
        {
            "id": "1-1-1", "hub": 2, "generation": 3, "serial": 1002, "peer": "", "services": [], "calls": 0,
            "state_bytes": 0, "cpu": 0.0, "movable": True, "why": "",
            "actors": {}, "load": 0.0, "freeze_ms": 0.0, "age": 0.0,
            "identities": 0, "move_ms": 0.0, "running": 0.0, "moved": 0, "awaits": "handshake",
        },
    ]  # fmt: skip


def _page(*ids: str, more: int = 0) -> Connections:
    return Connections(connections=[Connection(id=id) for id in ids], more=more)


def test_connections_are_asked_for_until_all_are_named() -> None:
    one = FakeProcess(0, _page("a", "b", more=7), _page("c", more=9), _page())
    other = FakeProcess(1, _page("d"))
    rows, silent = questions.list_connections([one, other])  # type: ignore[list-item]
    assert [(row["id"], row["hub"]) for row in rows] == [("a", 0), ("b", 0), ("c", 0), ("d", 1)]
    assert silent == []
    assert [question.list_connections.after for question in one.asked] == [0, 7, 9]


def test_a_hub_that_falls_silent_in_between_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "LISTING", 0.01)
    rows, silent = questions.list_connections(
        [FakeProcess(0, _page("a", more=1), None), FakeProcess(1, _page("b"))]  # type: ignore[list-item]
    )
    assert [row["id"] for row in rows] == ["a", "b"]
    assert [each.hub for each in silent] == [0]


def test_one_that_is_on_its_way_is_looked_for_longer(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub that it goes to may be too busy to read that it has it."""
    monkeypatch.setattr(questions, "SEARCH", 0.0)
    busy = [UNKNOWN] * 6
    assert move(FakeProcess(0, *busy, MOVED), FakeProcess(1, UNKNOWN), arriving=True).moved
    assert move(FakeProcess(0, *busy, MOVED), FakeProcess(1, UNKNOWN)).unknown


def listed(*ids: str) -> Connections:
    return Connections(connections=[Connection(id=id) for id in ids])


def test_who_has_just_moved_is_asked_for_again_where_its_new_hub_does_not_name_it() -> None:
    """COMMIT lies in its link, and it has not read that."""
    source, target = FakeProcess(0, listed("0-1000-1")), FakeProcess(1, listed(), listed("0-1000-2"))
    arriving = {"0-1000-1": 1000, "0-1000-2": 1001, "0-1000-3": 1002}
    rows, silent = questions.list_connections([source, target], arriving)  # type: ignore[list-item]
    assert [(row["id"], row["hub"]) for row in rows] == [("0-1000-1", 0), ("0-1000-2", 1)]
    assert (len(source.asked), len(target.asked), silent) == (1, 2, [])


def test_one_that_has_moved_and_ended_is_not_asked_for_for_ever() -> None:
    target = FakeProcess(1, listed())
    assert questions.list_connections([target], {"0-1000-1": 1001}) == ([], [])  # type: ignore[list-item]
    assert len(target.asked) == 1 + questions.MORE_LOOKS
