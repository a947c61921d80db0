"""A reload, with hubs that do what is unlucky at each of its steps."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from actorrpc.errors import ConfigError
from tests.broker.supervised import FakeHub, Supervised, settle, supervised
from tests.support.waiting import PATIENCE

#: So long that what depends on it does not end by itself.
LONG = 10 * PATIENCE


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervised]:
    with supervised(monkeypatch, drain_timeout=LONG) as server:
        yield server


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervised]:
    """One whose drain timeout is over at once."""
    with supervised(monkeypatch, drain_timeout=0.0) as server:
        yield server


def statuses(server: Supervised) -> list[tuple[int, int, str]]:
    rows = server.supervisor.status()["hubs"]
    return [(row["id"], row["generation"], row["state"]) for row in rows]


def test_all_goes_well(server: Supervised) -> None:
    old = server.own()
    for process in old:
        process.has(3)
    new = server.successors()
    assert [(each.hub, each.generation) for each in new] == [(0, 2), (1, 2)]
    assert (server.phase(), server.own()) == ("starting", old)
    assert statuses(server) == [
        (0, 1, "serving"), (1, 1, "serving"), (0, 2, "starting"), (1, 2, "starting"),
    ]  # fmt: skip
    new[1].start()
    assert server.phase() == "starting", "until all are ready"
    new[0].start()
    server.until_phase("moving")
    assert server.own() == new
    assert [each.targets for each in old] == [{new[0].serial: 0}, {new[1].serial: 0}], "each to its successor"
    assert statuses(server) == [
        (0, 2, "serving"), (1, 2, "serving"), (0, 1, "draining"), (1, 1, "draining"),
    ]  # fmt: skip
    assert [each.serial for each in server.supervisor.members.balanced] == [each.serial for each in new]
    old[0].has(0)
    assert server.phase() == "moving"
    old[1].has(0)
    server.until_phase("done")
    assert server.living == new
    assert [each.exit_code for each in old] == [0, 0]
    assert server.deployment.generation.number == 2
    status = server.deployment.status()
    assert status is not None
    assert (status["generation"], status["error"], status["left"]) == (2, "", 0)


def test_one_after_the_other(server: Supervised) -> None:
    for generation in (2, 3, 4):
        for process in server.successors():
            process.start()
        server.until_phase("done")
        assert [each.generation for each in server.living] == [generation] * 2


def test_who_cannot_move_is_told_to_end_when_the_time_is_up(hasty: Supervised) -> None:
    old = hasty.own()
    old[0].has(2)
    old[0].stubborn = True
    for process in hasty.successors():
        process.start()
    hasty.until_phase("ending")
    assert [each.drain_timeout for each in old] == [0.0, 0.0]
    status = hasty.deployment.status()
    assert status is not None
    assert (status["left"], status["stays"]) == (2, {"a handler runs": 2})
    assert hasty.phase() == "ending", "as long as its process lives"
    old[0].die(0)
    hasty.until_phase("done")
    status = hasty.deployment.status()
    assert status is not None
    named = [{"id": id, "why": "a handler runs"} for id in ("0-1-0", "0-1-1")]
    assert status["ended"] == {"count": 2, "first": named}, "who it was is known afterwards"


def test_who_does_not_end_is_killed(hasty: Supervised, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorrpc.broker.deploying.endings.GRACE", 0.0)
    old = hasty.own()
    old[0].stubborn = True
    for process in hasty.successors():
        process.start()
    hasty.until_phase("done")
    assert [each.exit_code for each in old] == [-9, 0]


# ---- the new generation serves, and then does not


def stalled(server: Supervised) -> list[FakeHub]:
    """Have all new hubs of a reload die once they serve. Returns the old ones; one has connections."""
    old, new = server.own(), server.successors()
    old[0].has(3)
    for process in new:
        process.start()
    server.until_phase("moving")
    for process in new:
        process.die()
    server.until(lambda: [each for each in old if each.held] == old)
    return list(old)


def test_old_hubs_serve_on_as_long_as_no_new_one_does(server: Supervised) -> None:
    old = stalled(server)
    assert statuses(server)[2:] == [(0, 1, "serving"), (1, 1, "serving")]
    again = server.until(lambda: server.started[4:] if len(server.started) == 6 else [])
    again[1].unproven = True  # the last one has died quickly
    again[1].start()
    for process in old:
        process.has(0)
    settle()
    assert server.phase() == "moving" and all(each.held for each in old)
    again[0].start()
    server.until_phase("done")
    assert server.living == again


def test_another_reload_replaces_one_that_is_stalled(server: Supervised) -> None:
    old = stalled(server)
    status = server.deployment.status()
    assert status is not None and status["stalled"] > 0 and status["drain_timeout"] == LONG
    first = server.deployment._reload
    assert first is not None
    server.until(lambda: len(server.started) == 6)  # those that have died start again
    with pytest.raises(ConfigError, match="a reload is under way"):
        server.drain(0)
    newest = server.successors()
    with pytest.raises(ConfigError, match="a reload is under way"):
        server.deployment.reload()
    for process in newest:
        process.start()
    server.until_phase("moving")
    assert (first.phase.value, first.error) == ("abandoned", "generation 3 has replaced it")
    assert server.own() == newest
    assert [each.targets for each in old] == [{newest[0].serial: 0}, {newest[1].serial: 0}]
    assert not any(each.held or each.stopping for each in old)
    old[0].has(0)
    server.until_phase("done")
    assert server.living == newest


def test_another_reload_that_fails_leaves_one_that_is_stalled_as_it_is(server: Supervised) -> None:
    old = stalled(server)
    again = server.until(lambda: server.started[4:] if len(server.started) == 6 else [])
    server.successors()[0].start("no such module")
    server.until_phase("abandoned")
    settle()
    assert [each.held for each in old] == [True, True] and server.living == [*old, *again]
    for process in server.successors():  # once more
        process.start("still no such module")
    server.until_phase("abandoned")
    for process in again:
        process.start()
    assert [each.targets for each in old] == [{each.serial: 0 for each in again}] * 2


def test_a_reload_that_goes_on_is_not_replaced(server: Supervised) -> None:
    stalled(server)
    again = server.until(lambda: server.started[4:] if len(server.started) == 6 else [])
    again[0].start()
    with pytest.raises(ConfigError, match="a reload is under way"):
        server.deployment.reload()


# ---- the new generation cannot start


@pytest.mark.parametrize("failing", [0, 1])
def test_a_successor_that_cannot_be_started(server: Supervised, failing: int) -> None:
    old = server.own()
    server.launcher.failing = failing
    server.deployment.reload()
    server.until_phase("abandoned")
    settle()
    assert server.living == old == server.own(), "also the successors of other hubs have ended"
    status = server.deployment.status()
    assert status is not None
    assert status["error"] == "out of memory"
    assert server.deployment.generation.number == 1


def test_a_successor_that_cannot_load_the_app_says_why(server: Supervised) -> None:
    old = server.own()
    new = server.successors()
    new[1].start("app.py:3: no such module", "Traceback ...")  # while the other one goes on starting
    server.until_phase("abandoned")
    settle()
    assert server.living == old == server.own()
    status = server.deployment.status()
    assert status is not None
    assert (status["error"], status["trace"]) == ("app.py:3: no such module", "Traceback ...")
    assert statuses(server) == [(0, 1, "serving"), (1, 1, "serving")]
    assert [each.targets for each in old] == [None, None], "nothing has moved"


def test_a_successor_that_dies_while_it_starts(server: Supervised) -> None:
    old, new = server.own(), server.successors()
    new[0].start()
    new[1].die(-11)
    server.until_phase("abandoned")
    settle()
    assert server.living == old
    status = server.deployment.status()
    assert status is not None
    assert status["error"] == "hub 1 exited with -11 while it was starting"


def test_a_successor_that_dies_before_the_last_one_is_ready(server: Supervised) -> None:
    old, new = server.own(), server.successors()
    new[0].start()
    new[0].die()
    new[1].start()
    server.until_phase("abandoned")
    settle()
    assert server.living == old == server.own()


def test_one_that_starts_too_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    with supervised(monkeypatch, start_timeout=0.2, drain_timeout=LONG) as server:
        old, new = server.own(), server.successors()
        new[0].start()
        server.until_phase("abandoned")
        settle()
        status = server.deployment.status()
        assert status is not None
        assert status["error"] == "hub 1 still does not serve after 0.2 s (--start-timeout)"
        assert server.living == old


def test_after_one_that_was_abandoned_the_next_may_do(server: Supervised) -> None:
    server.successors()[0].start(error="a typo")
    server.until_phase("abandoned")
    for process in server.successors():
        process.start()
    server.until_phase("done")
    assert [each.generation for each in server.living] == [3, 3], "one that was abandoned counts"


def test_one_that_is_ready_after_all_does_not_serve(server: Supervised) -> None:
    """Its reload was abandoned, and it was killed, but has said so before."""
    new = server.successors()
    new[1].die(1)
    new[0].ready = True
    server.supervisor.hub_ready(new[0], "")  # type: ignore[arg-type]
    server.until_phase("abandoned")
    settle()
    assert new[0] not in server.supervisor.members  # type: ignore[operator]


# ---- deaths on the way


def test_a_successor_that_dies_just_after_is_started_again_in_the_new_code(server: Supervised) -> None:
    old = server.own()
    old[0].has(5)
    new = server.successors()
    for process in new:
        process.start()
    server.until_phase("moving")
    new[0].die()
    again = server.until(lambda: server.started[4] if len(server.started) == 5 else None)
    assert (again.hub, again.generation) == (0, 2)
    assert old[0].targets == {new[1].serial: 0}, "meanwhile to another"
    again.start()
    server.until(lambda: again.serial in (old[0].targets or {}))
    old[0].has(0)
    server.until_phase("done")
    assert server.living == [new[1], again]


def test_if_all_successors_die_the_old_ones_wait_for_the_next(server: Supervised) -> None:
    old = server.own()
    for process in old:
        process.has(5)
    new = server.successors()
    for process in new:
        process.start()
    server.until_phase("moving")
    for process in new:
        process.die()
    again = server.until(lambda: server.started[4:] if len(server.started) == 6 else [])
    assert server.phase() == "moving"
    for process in again:
        process.start()
    assert server.until(lambda: set(old[0].targets or {}) <= {each.serial for each in again})
    for process in old:
        process.has(0)
    server.until_phase("done")


def test_an_old_process_that_dies_while_it_is_drained(server: Supervised) -> None:
    old = server.own()
    old[0].has(5)
    for process in server.successors():
        process.start()
    server.until_phase("moving")
    old[0].die()
    server.until_phase("done")
    settle()
    assert len(server.started) == 4, "nobody starts it again"


def test_a_hub_that_dies_while_its_successor_starts_is_started_again_and_replaced(server: Supervised) -> None:
    old = server.own()
    new = server.successors()
    old[0].die()
    again = server.until(lambda: server.started[4] if len(server.started) == 5 else None)
    assert again.generation == 1
    again.start()
    assert server.own() == [again, old[1]]
    again.has(4)
    for process in new:
        process.start()
    server.until_phase("moving")
    assert (again.targets, server.own()) == ({new[0].serial: 0}, new)
    again.has(0)
    server.until_phase("done")
    assert server.living == new


def test_a_hub_that_is_still_starting_again_ends(server: Supervised) -> None:
    old = server.own()
    new = server.successors()
    old[0].die()
    again = server.until(lambda: server.started[4] if len(server.started) == 5 else None)
    for process in new:
        process.start()
    server.until_phase("done")
    settle()
    assert (server.living, again.targets) == (new, None)
    again.ready = True
    server.supervisor.hub_ready(again, "")  # type: ignore[arg-type]
    settle()
    assert again not in server.supervisor.members  # type: ignore[operator]


def test_a_hub_that_would_start_again_only_later_starts_no_second_process(
    server: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    delayed = []
    monkeypatch.setattr("actorrpc.broker.supervisor.after", lambda seconds, *call: delayed.append(call))
    old = server.own()
    new = server.successors()
    delayed.clear()  # the timers of their start
    old[0].die()
    server.until(lambda: delayed)
    for process in new:
        process.start()
    server.until_phase("done")
    ((function, *args),) = delayed
    function(*args)
    settle()
    assert (server.living, server.own()) == (new, new)


# ---- others want something meanwhile


@pytest.mark.parametrize("phase", ["starting", "moving", "ending"])
def test_a_second_reload_or_a_drain_waits_its_turn(server: Supervised, phase: str) -> None:
    old = server.own()
    _bring(server, phase)
    with pytest.raises(ConfigError, match="a reload is under way already"):
        server.deployment.reload()
    with pytest.raises(ConfigError, match="a reload is under way already"):
        server.drain(0)
    server.deployment.reload_soon()  # SIGHUP: the log says so
    settle()
    assert len(server.started) == 4
    for process in old:
        process.stubborn = False


@pytest.mark.parametrize("phase", ["starting", "moving", "ending"])
def test_the_server_stops_in_the_midst(monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    with supervised(monkeypatch, drain_timeout=1.0) as server:
        _bring(server, phase)
        for process in server.started:
            process.stubborn = False
            if process.stopping:
                process.die(0)
        server.supervisor.stop_soon()
        server.until(lambda: not server.living)
        server.until(lambda: not server.deployment._reload.under_way)  # type: ignore[union-attr]
        assert len(server.started) == 4, "nothing is started any more"
        with pytest.raises(ConfigError, match="the server is stopping"):
            server.deployment.reload()


def test_a_change_that_waits_when_the_server_stops_is_refused(server: Supervised) -> None:
    """Or a reload would start hubs that nobody stops."""
    server.supervisor.stop_soon()
    waiting = gevent.spawn(server.supervisor.events.change, lambda: server.launcher.start(0, None))  # type: ignore[arg-type]
    waiting.join(PATIENCE)
    assert isinstance(waiting.exception, ConfigError)
    assert len(server.started) == 2


def _bring(server: Supervised, phase: str) -> None:
    """Have a reload get that far and no further."""
    for process in server.own():
        process.has(1)
        process.stubborn = True
    old = server.own()
    new = server.successors()
    if phase != "starting":
        for process in new:
            process.start()
        server.until_phase("moving")
    if phase == "ending":
        for process in old:
            process.has(0)
        server.until_phase("ending")
