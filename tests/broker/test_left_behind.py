"""Who is named when hubs end that could not give everything away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from actorrpc.broker.deploying import left_behind
from actorrpc.broker.deploying.left_behind import NAMED, LeftBehind
from actorrpc.cli.deploy import _describe_ended
from actorrpc.hub.moving import drain
from actorrpc.pb import control_pb2
from actorrpc.pb.control_pb2 import Draining, Load, Stay, Stopping

NOTHING = Load()


def process(words: Stopping | None, load: Load = NOTHING) -> Any:
    return SimpleNamespace(last_words=words, load=load)


def words(count: int, *first: tuple[str, str]) -> Stopping:
    stays = [Stay(connection=id, why=why) for id, why in first]
    return Stopping(left_behind=control_pb2.LeftBehind(count=count, first=stays))


def test_nobody() -> None:
    assert LeftBehind.of([]) == LeftBehind.of([process(words(0))])
    assert LeftBehind().row() == {"count": 0, "first": []}


def test_all_by_name() -> None:
    left = LeftBehind.of([process(words(1, ("0-1-1", "tired"))), process(words(1, ("1-2-1", "ill")))])
    assert str(left) == "0-1-1 (tired), 1-2-1 (ill)"
    assert left.row() == {
        "count": 2,
        "first": [{"id": "0-1-1", "why": "tired"}, {"id": "1-2-1", "why": "ill"}],
    }


def test_of_many_hubs_no_more_are_named_than_of_one() -> None:
    assert left_behind.NAMED == drain.NAMED
    many = [
        process(words(1000, *((f"{hub}-1-{each}", "tired") for each in range(NAMED)))) for hub in range(3)
    ]
    left = LeftBehind.of(many)
    assert left.count == 3000
    assert len(left.row()["first"]) == NAMED
    assert str(left).endswith("0-1-9 (tired) and 2990 more")


def test_a_hub_that_says_nothing_is_known_by_its_report() -> None:
    """It hangs, or is of a version that does not name them."""
    load = Load(connections=5, draining=Draining(left=5, stays={"tired": 2, "ill": 1}))
    left = LeftBehind.of(
        [process(None, load), process(Stopping(), load), process(words(1, ("0-1-1", "old")))]
    )
    assert left.count == 11
    assert str(left) == "0-1-1 (old), 4: tired, 2: ill and 4 more"


def test_the_operator_reads_the_same_and_no_more_names() -> None:
    assert _describe_ended({"ended": LeftBehind().row()}) == ""
    many = LeftBehind.of([process(words(12, *((f"0-1-{each}", "tired") for each in range(NAMED))))])
    assert _describe_ended({"ended": many.row()}) == f"; 12 ended: {many}"
