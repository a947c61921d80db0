"""Running a policy: its decisions are begun, and whatever it does harms nobody."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import GreenletExit
from gevent.event import AsyncResult, Event

from actorrpc.balancing import view as view_module
from actorrpc.balancing.decide import MOVES_AT_ONCE
from actorrpc.balancing.policies.simple import Nothing
from actorrpc.balancing.recorder import Recorder, recording_to
from actorrpc.balancing.view import Move, Stay, View
from actorrpc.broker.moves import rebalancer as module
from actorrpc.broker.moves.rebalancer import Rebalancer, hub_load
from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.pb import control_pb2
from actorrpc.pb.control_pb2 import ConnectionLoad, Load, Moved, MoveResult, ToHub

MOVE = Move("0-1-1", 0, 1, "hub 0 is at 90 %", 0.25)


class FakeHub:
    """A hub's process that notes what it is asked."""

    def __init__(self, hub: int) -> None:
        self.hub = hub
        self.serial = 1000 + hub
        self.state = "serving"
        self.reported = time.monotonic()
        self.load = Load(
            connections=3,
            busy=0.5,
            heaviest=[
                ConnectionLoad(
                    id=f"{hub}-1-1",
                    load=0.25,
                    recent=0.5,
                    why="heavy",
                    group="room/1",
                    move_ms=340.5,
                    too_heavy=True,
                )
            ],
            groups={"room/1": 2.5},
        )
        self.asked: list[tuple[str, int, AsyncResult[Any]]] = []

    def ask(self, question: ToHub) -> AsyncResult[Any]:
        result: AsyncResult[Any] = AsyncResult()
        self.by = question.move.by
        self.asked.append((question.move.connection, question.move.target, result))
        return result


class Scripted:
    """Plans what the test says."""

    def __init__(self, plan: Callable[[View], Iterable[Move | Stay]]) -> None:
        self.plan = plan


@pytest.fixture
def hubs() -> list[Any]:
    return [FakeHub(0), FakeHub(1)]


@pytest.fixture
def started(hubs: list[Any], monkeypatch: pytest.MonkeyPatch) -> Iterable[Callable[..., Rebalancer]]:
    """Make rebalancers that plan only when they are told to."""
    monkeypatch.setattr(module, "PERIOD", None)
    made = []

    def start(plan: Callable[[View], Iterable[Move | Stay]], **config: Any) -> Rebalancer:
        rebalancer = Rebalancer("scripted", Scripted(plan))
        made.append(rebalancer)
        told = Config(**config)
        rebalancer.start(lambda: hubs, lambda: told, None)
        return rebalancer

    yield start
    for rebalancer in made:
        rebalancer.__exit__(None, None, None)


def rows(rebalancer: Rebalancer) -> list[tuple[str, str, str]]:
    return [(row["what"], row["outcome"], row["why"]) for row in rebalancer.journal.rows(100)]


def test_a_move_is_asked_of_its_source(started: Any, hubs: list[Any]) -> None:
    seen = []

    def plan(view: View) -> list[Move]:
        seen.append([(past.move, past.aborted) for past in view.history.past])
        return [] if view.history.past else [MOVE]

    rebalancer = started(plan)
    assert rebalancer.now() == "1 move begun\n0-1-1 from hub 0 to 1: hub 0 is at 90 %"
    gevent.sleep(0)
    ((connection, target, answer),) = hubs[0].asked
    assert (connection, target, hubs[1].asked) == ("0-1-1", 1001, [])
    assert hubs[0].by == control_pb2.Move.POLICY  # which its source may refuse for what it costs
    assert rebalancer.status()["under_way"] == 1
    rebalancer.hub_moved(0, 1, Moved(connection="0-1-1", target=1001, pause_ms=1.5))
    answer.set(MoveResult(outcome=MoveResult.MOVED))
    gevent.sleep(0)
    rebalancer.now()
    assert seen == [[], [(MOVE, "")]]
    assert rows(rebalancer) == [("0-1-1", "moved", "")]
    assert rebalancer.status()["under_way"] == 0


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (MoveResult(outcome=MoveResult.ABORTED, why="a handler runs"), "a handler runs"),
        (MoveResult(outcome=MoveResult.UNKNOWN_CONNECTION, why="no connection"), "no connection"),
        (MoveResult(outcome=MoveResult.UNKNOWN_HUB), "it cannot be moved"),
        (None, "hub 0 does not answer"),
    ],
)
def test_a_move_that_fails_is_history(started: Any, hubs: list[Any], answer: Any, why: str) -> None:
    histories = []

    def plan(view: View) -> list[Move]:
        histories.append([past.aborted for past in view.history.past])
        return [] if view.history.past else [MOVE]

    rebalancer = started(plan)
    rebalancer.now()
    gevent.sleep(0)
    hubs[0].asked[0][2].set(answer)
    gevent.sleep(0)
    rebalancer.now()
    assert rows(rebalancer) == [("0-1-1", "aborted", why)]
    assert histories == [[], [why]]


def test_what_others_move_is_history_too(started: Any, hubs: list[Any]) -> None:
    histories = []
    rebalancer = started(lambda view: histories.append(list(view.history.past)) or ())
    rebalancer.hub_moved(1, 0, Moved(connection="1-1-9", target=1000, pause_ms=1))
    rebalancer.hub_moved(1, 0, Moved(connection="1-1-8", target=1000, aborted="it is being closed"))
    rebalancer.now()
    assert [(past.move.connection, past.move.source, past.aborted) for past in histories[0]] == [
        ("1-1-9", 1, ""), ("1-1-8", 1, "it is being closed"),
    ]  # fmt: skip


def test_the_policy_sees_what_was_reported(started: Any, hubs: list[Any]) -> None:
    views = []
    hubs[1].state = "silent"
    started(lambda view: views.append(view) or (), max_connections=4).now()
    (view,) = views
    assert view.loads[0].connections == 3
    assert (view.loads[0].busy, view.loads[0].room, view.loads[0].groups) == (0.5, 1, {"room/1": 2.5})
    assert [view.loads[hub].serving for hub in (0, 1)] == [True, False]
    (connection,) = view.loads[0].heaviest
    assert (connection.id, connection.load, connection.recent, connection.group) == (
        "0-1-1", 0.25, 0.5, "room/1",
    )  # fmt: skip
    assert (connection.why, connection.move_ms, connection.too_heavy) == ("heavy", 340.5, True)
    assert hub_load(hubs[0], hubs[0].reported + 7.0, 0).stale == pytest.approx(7.0)
    assert hub_load(hubs[0], 7.0, 0).room is None
    assert hub_load(hubs[0], 7.0, 2).room == 0  # it had more when the limit came


def test_a_hub_near_its_memory_has_no_room(hubs: list[Any]) -> None:
    hubs[0].load.memory = 91
    assert hub_load(hubs[0], 7.0, 0, 100).room == 0
    assert hub_load(hubs[0], 7.0, 9, 100).room == 0
    assert hub_load(hubs[0], 7.0, 9, 0).room == 6
    hubs[0].load.memory = 89
    assert hub_load(hubs[0], 7.0, 9, 100).room == 6
    assert hub_load(hubs[0], 7.0, 0, 100).room is None


def test_too_much_memory_is_relieved_whatever_the_policy_does(
    hubs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it does not come back; and not while a person has paused all moves."""
    monkeypatch.setattr(module, "PERIOD", 0.001)
    monkeypatch.setattr(module, "PLAN_TIMEOUT", 0.01)
    returns = threading.Event()
    heard = []

    def plan(view: View) -> Iterable[Move]:
        returns.wait()
        heard.append([(past.move.connection, past.aborted) for past in view.history.past])
        return [Move("0-1-1", 0, 1, "the policy wants it too")]

    memory = 100 * 2**20
    config = Config()
    rebalancer = Rebalancer("scripted", Scripted(plan))
    rebalancer.pause()
    hubs[0].load.largest.add(id="0-1-1", state_bytes=2**20)
    hubs[0].load.memory, hubs[0].load.over_memory = 2 * memory, True
    rebalancer.start(lambda: hubs, lambda: config, None)
    for _ in range(20):
        gevent.sleep(0.001)
    assert hubs[0].asked == []
    rebalancer.resume()
    for _ in range(20):
        gevent.sleep(0.001)
    assert hubs[0].asked == [], "there is no limit yet"
    config = Config(max_memory=memory)  # a reload
    while not hubs[0].asked:
        gevent.sleep(0.001)
    for _ in range(20):
        gevent.sleep(0.001)
    ((connection, target, answer),) = hubs[0].asked
    assert (connection, target) == ("0-1-1", 1001)
    assert hubs[0].by == control_pb2.Move.POLICY, "its source may refuse it for what it costs"
    hubs[0].load.over_memory = False
    answer.set(MoveResult(outcome=MoveResult.MOVED))
    while rebalancer.status()["under_way"]:
        gevent.sleep(0.001)
    (row,) = rebalancer.journal.rows(10)
    assert (row["by"], row["what"], row["outcome"]) == ("--max-memory", "0-1-1", "moved")
    assert row["reason"] == "hub 0 has 200.0 MiB, over --max-memory of 100.0 MiB"
    returns.set()
    while [("0-1-1", "")] not in heard:
        gevent.sleep(0.001)
    rebalancer.__exit__(None, None, None)


def test_a_reload_may_change_what_a_hub_has_room_for(
    hubs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PERIOD", None)
    rooms: list[int | None] = []

    def plan(view: View) -> list[Move]:
        rooms.append(view.loads[0].room)
        return []

    config = Config()
    rebalancer = Rebalancer("scripted", Scripted(plan))
    rebalancer.start(lambda: hubs, lambda: config, None)
    rebalancer.now()
    config = Config(max_connections=10)
    rebalancer.now()
    rebalancer.__exit__(None, None, None)
    assert rooms == [None, 7]


def test_nonsense_is_logged_and_the_rest_is_done(
    started: Any, hubs: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    rebalancer = started(lambda view: ["gibberish", MOVE, MOVE, *(Move("x", 0, 7, "") for _ in range(100))])
    assert rebalancer.now().startswith("1 move begun")
    gevent.sleep(0)
    assert len(hubs[0].asked) == 1
    assert "neither a Move nor a Stay, as in 'gibberish'" in caplog.text
    assert "there is no hub 7" in caplog.text
    assert len(caplog.records) == 3  # with the move that was decided twice
    rebalancer.now()
    assert len(caplog.records) == 3  # not the same complaint again so soon


@pytest.mark.parametrize("error", (SystemExit(3), KeyboardInterrupt(), GreenletExit()))
def test_a_policy_that_would_end_the_broker_does_not(started: Any, error: BaseException) -> None:
    def plan(view: View) -> Iterable[Move]:
        raise error

    rebalancer = started(plan)
    assert rebalancer.now().startswith(f"policy scripted raised {type(error).__name__}")
    assert rebalancer.now().startswith(f"policy scripted raised {type(error).__name__}")


def test_a_policy_that_spoils_its_history_gets_a_new_one(
    started: Any, hubs: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    spoilt = []

    def plan(view: View) -> list[Move]:
        if not spoilt:
            spoilt.append(view.history)
            view.history.in_flight = view.history.past = None  # type: ignore[assignment]
        return []

    rebalancer = started(plan)
    rebalancer.now()
    rebalancer.hub_moved(1, 0, Moved(connection="1-1-9", target=1000, pause_ms=1))
    assert rebalancer.now() == "0 moves begun"
    assert "has changed its history" in caplog.text
    rebalancer.hub_moved(1, 0, Moved(connection="1-1-9", target=1000, pause_ms=1))
    assert rebalancer.now() == "0 moves begun"
    assert rebalancer.status()["under_way"] == 0


def test_what_has_ended_is_not_under_way_while_the_policy_is_paused(started: Any, hubs: list[Any]) -> None:
    rebalancer = started(lambda view: [MOVE])
    rebalancer.now()
    rebalancer.pause()
    gevent.sleep(0)
    hubs[0].asked[0][2].set(MoveResult(outcome=MoveResult.MOVED))
    gevent.sleep(0)
    assert rebalancer.status()["under_way"] == 0


def test_another_move_of_the_same_connection_is_not_the_policys(started: Any, hubs: list[Any]) -> None:
    histories = []

    def plan(view: View) -> list[Move]:
        histories.append([(past.move.target, past.aborted) for past in view.history.past])
        return [] if len(histories) > 1 else [MOVE]

    rebalancer = started(plan)
    rebalancer.now()
    rebalancer.hub_moved(0, 2, Moved(connection="0-1-1", target=1002, pause_ms=1))  # a user was faster
    gevent.sleep(0)
    hubs[0].asked[0][2].set(MoveResult(outcome=MoveResult.UNKNOWN_CONNECTION, why="no connection 0-1-1"))
    gevent.sleep(0)
    rebalancer.now()
    assert histories[1] == [(2, ""), (1, "no connection 0-1-1")]
    found = [(row["by"], row["target"], row["outcome"], row["why"]) for row in rebalancer.journal.rows(10)]
    assert found == [
        ("scripted", 1, "aborted", "no connection 0-1-1"), ("asked for", 2, "moved", ""),
    ]  # fmt: skip


def test_only_so_many_moves_at_once(started: Any, hubs: list[Any]) -> None:
    rebalancer = started(lambda view: [Move(f"0-1-{number}", 0, 1, "") for number in range(200)])
    rebalancer.now()
    gevent.sleep(0)
    assert len(hubs[0].asked) == MOVES_AT_ONCE


def test_a_policy_that_raises(started: Any, caplog: pytest.LogCaptureFixture) -> None:
    def plan(view: View) -> Iterable[Move]:
        yield MOVE
        raise KeyError("oh")

    rebalancer = started(plan)
    assert rebalancer.now() == "policy scripted raised KeyError: 'oh'"
    assert rows(rebalancer) == []
    rebalancer.resume()  # as the loop does it: logged, and it goes on
    gevent.idle()
    for _ in range(1000):
        if caplog.records:
            break
        gevent.sleep(0.01)
    assert "policy scripted raised KeyError: 'oh'" in caplog.text
    assert rebalancer.now() == "policy scripted raised KeyError: 'oh'"


def test_a_policy_that_does_not_come_back(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLAN_TIMEOUT", 0.05)
    plans = []
    go_on = threading.Event()

    def plan(view: View) -> list[Move]:
        plans.append(view)
        assert go_on.wait(20)
        return [MOVE]

    rebalancer = started(plan)
    assert "takes longer than 0.05 s" in rebalancer.now()
    assert rebalancer.now() == "the policy is still busy with its last plan"
    assert len(plans) == 1
    go_on.set()
    while rebalancer.now() == "the policy is still busy with its last plan":
        gevent.sleep(0.001)
    assert len(plans) == 2
    assert rows(rebalancer) == [("0-1-1", "under way", "")]  # of the second plan: the first came too late


def test_pause_and_resume(started: Any) -> None:
    planned = Event()
    plans: list[View] = []
    loop = gevent.get_hub().loop

    def plan(view: View) -> list[Stay]:
        plans.append(view)
        loop.run_callback_threadsafe(planned.set)
        return [Stay("", "all is well")]

    rebalancer = started(plan)
    rebalancer.pause()
    assert rebalancer.status()["paused"]
    rebalancer._wake.set()  # as after a period
    gevent.sleep(0)
    gevent.sleep(0)
    assert plans == []
    assert rebalancer.now() == "0 moves begun\nnothing stays: all is well"
    planned.clear()
    rebalancer.resume()
    assert planned.wait(20)
    assert not rebalancer.status()["paused"]


def test_a_recording(hubs: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "record"
    with recording_to(str(path)) as recorder:
        assert recorder is not None
        recorder.reported([hub_load(hub, 1.0, 0) for hub in hubs])
        recorder.reported([])  # within the same second
        rebalancer = Rebalancer("scripted", Scripted(lambda view: ()))
        rebalancer.start(lambda: hubs, Config, recorder)
        rebalancer.hub_moved(0, 1, Moved(connection="0-1-1", target=1001, aborted="it hangs"))
        rebalancer.__exit__(None, None, None)
    recorder.reported([])  # after the end: nothing
    first, second = map(json.loads, path.read_text().splitlines())
    assert [(hub["hub"], hub["busy"], hub["heaviest"][0]["id"]) for hub in first["hubs"]] == [
        (0, 0.5, "0-1-1"), (1, 0.5, "1-1-1"),
    ]  # fmt: skip
    assert second["moved"] == {"connection": "0-1-1", "source": 0, "target": 1, "aborted": "it hangs"}


def test_a_recording_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot record to"), recording_to(str(tmp_path / "no" / "folder")):
        pass


def test_a_full_disk_ends_the_recording_only(hubs: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(open("/dev/full", "a", encoding="utf-8"))  # noqa: SIM115
    recorder.moved("0-1-1", 0, 1, "")
    recorder.moved("0-1-1", 1, 0, "")
    assert "the recording ends" in caplog.text


# ---- why a connection stays


CONNECTION = view_module.ConnectionLoad("0-1-1", 0.25, 0.5)


class Explaining(Scripted):
    """Says why a connection stays."""

    def __init__(self, say: Callable[[View, int, str], str]) -> None:
        super().__init__(lambda view: ())
        self._say = say

    def why_stays(self, view: View, hub: int, connection: view_module.ConnectionLoad) -> str:
        return self._say(view, hub, connection.id)


def explaining(say: Callable[[View, int, str], str], hubs: list[Any]) -> Rebalancer:
    rebalancer = Rebalancer("explaining", Explaining(say))
    rebalancer._serving = lambda: hubs
    return rebalancer


def test_a_policy_says_why_a_connection_stays(hubs: list[Any]) -> None:
    threads = set()

    def say(view: View, hub: int, connection: str) -> str:
        threads.add(threading.current_thread())
        return f"{connection} of {hub}, of {sorted(view.loads)}" + 1000 * "!"

    rebalancer = explaining(say, hubs)
    assert rebalancer.why_stays(0, CONNECTION).startswith("0-1-1 of 0, of [0, 1]!!!")
    assert len(rebalancer.why_stays(0, CONNECTION)) <= 500
    assert threading.current_thread() not in threads


def test_a_policy_that_cannot_say_it(hubs: list[Any]) -> None:
    def say(view: View, hub: int, connection: str) -> str:
        raise SystemExit("on purpose")

    rebalancer = explaining(say, hubs)
    assert rebalancer.why_stays(0, CONNECTION) == "the policy cannot say: SystemExit: on purpose"
    assert not rebalancer._planning


def test_a_policy_that_does_not_come_back_is_asked_nothing_else(
    hubs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLAN_TIMEOUT", 0.05)
    go_on = threading.Event()
    rebalancer = explaining(lambda *given: str(go_on.wait(60)), hubs)
    assert rebalancer.why_stays(0, CONNECTION) == ""
    assert rebalancer.why_stays(0, CONNECTION) == ""
    assert rebalancer.now() == "the policy is still busy with its last plan"
    go_on.set()
    while rebalancer._planning:
        gevent.sleep(0.001)
    assert rebalancer.why_stays(0, CONNECTION) == "True"


def test_of_a_policy_that_does_not_explain_its_last_words_are_given(started: Any) -> None:
    decided: list[Stay] = []
    rebalancer = started(lambda view: decided)
    assert rebalancer.why_stays(0, CONNECTION) == ""
    decided[:] = [Stay("hub 1", "is busy")]
    rebalancer.now()
    assert rebalancer.why_stays(0, CONNECTION) == ""
    for what, said in (("", "it rests"), ("hub 0", "hub 0: is busy"), ("0-1-1", "0-1-1: is busy")):
        decided[:] = [Stay(what, said.rpartition(": ")[2])]
        rebalancer.now()
        assert rebalancer.why_stays(0, CONNECTION) == said


def test_words_of_long_ago_are_not(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rebalancer = started(lambda view: [Stay("0-1-1", "is busy")])
    rebalancer.now()
    monkeypatch.setattr(module, "LATELY", -10.0)
    assert rebalancer.why_stays(0, CONNECTION) == ""


def test_what_comes_before_the_policy(started: Any, hubs: list[Any]) -> None:
    rebalancer = started(lambda view: [MOVE])
    rebalancer.now()
    assert rebalancer.why_stays(0, CONNECTION) == "it is being moved"
    other = view_module.ConnectionLoad("0-1-2", 0.1, 0.1)
    rebalancer.pause()
    assert "paused" in rebalancer.why_stays(0, other)
    assert Rebalancer("none", Nothing()).why_stays(0, other) == "the policy none moves nothing"
