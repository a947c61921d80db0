"""Drains of single hubs, which an operator asks for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actorrpc.errors import ConfigError
from actorrpc.pb.control_pb2 import Draining, Load
from tests.broker.supervised import Supervised, settle, supervised
from tests.support.waiting import PATIENCE


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervised]:
    with supervised(monkeypatch, hubs=3, drain_timeout=10 * PATIENCE) as server:
        yield server


def draining(server: Supervised, hub: int) -> object:
    return server.supervisor.status()["hubs"][hub]["draining"]


def serials(*processes: object) -> set[int]:
    return {process.serial for process in processes}  # type: ignore[attr-defined]


def test_all_goes_to_all_others(server: Supervised) -> None:
    zero, one, two = server.own()
    one.has(5)
    two.has(7)
    server.drain(1)
    assert one.targets == {zero.serial: 0, two.serial: 7}
    assert draining(server, 1) == {"left": 5, "moved": 0, "stays": {"a handler runs": 5}, "empty": False}
    assert [row["state"] for row in server.supervisor.status()["hubs"]] == ["serving", "draining", "serving"]
    one.has(0)
    assert draining(server, 1) == {"left": 0, "moved": 0, "stays": {}, "empty": True}


def test_policies_have_nothing_to_do_with_it(server: Supervised) -> None:
    zero, one, two = server.own()
    server.drain(1)
    assert server.supervisor.members.balanced == [zero, two]
    server.drain(1, undo=True)
    assert server.supervisor.members.balanced == [zero, one, two]


def test_it_is_empty_when_it_is_the_home_of_no_topic(
    server: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[tuple[object, int]] = []
    monkeypatch.setattr(
        server.supervisor, "hub_settled", lambda process, version: settled.append((process, version))
    )
    server.drain(1)
    settle()
    assert not draining(server, 1)["empty"]  # type: ignore[index]
    for process, version in settled:
        server.supervisor.members.settled(process, version)  # type: ignore[arg-type]
    assert draining(server, 1)["empty"]  # type: ignore[index]


def test_undone_it_goes_on_as_before(server: Supervised) -> None:
    _, one, _ = server.own()
    server.drain(1)
    server.drain(1, undo=True)
    assert (one.targets, one.draining, draining(server, 1)) == (None, False, None)
    server.drain(1, undo=True)  # once more does no harm
    assert one.state == "serving"


def test_two_are_drained_and_the_last_one_may_not_be(server: Supervised) -> None:
    zero, one, two = server.own()
    server.drain(1)
    server.drain(0)
    assert [set(each.targets or {}) for each in (zero, one)] == [serials(two), serials(two)]
    with pytest.raises(ConfigError, match="there is no other hub to take the connections"):
        server.drain(2)
    assert (two.targets, two.draining) == (None, False)
    server.drain(0, undo=True)
    assert set(one.targets or {}) == serials(zero, two)


def test_there_must_be_such_a_hub_and_it_must_serve(server: Supervised) -> None:
    with pytest.raises(ConfigError, match=r"no such hub: 3 \(there are hubs 0 to 2\)"):
        server.drain(3)
    server.own()[1].die()
    server.until(lambda: len(server.started) == 4)
    with pytest.raises(ConfigError, match="hub 1 is starting"):
        server.drain(1)


def test_one_that_dies_is_drained_as_soon_as_it_serves_again(server: Supervised) -> None:
    zero, one, two = server.own()
    server.drain(1)
    one.die()
    again = server.until(lambda: server.started[3] if len(server.started) == 4 else None)
    assert not again.draining
    again.start()
    assert again.draining and set(again.targets or {}) == serials(zero, two)


def test_a_target_that_dies_is_none_any_more(server: Supervised) -> None:
    zero, one, two = server.own()
    server.drain(1)
    zero.die()
    server.until(lambda: set(one.targets or {}) == serials(two))
    again = server.until(lambda: server.started[3] if len(server.started) == 4 else None)
    again.start()
    assert set(one.targets or {}) == serials(again, two)


def test_if_all_others_die_it_waits_for_them(server: Supervised) -> None:
    zero, one, two = server.own()
    server.drain(1)
    zero.die()
    two.die()
    for again in server.until(lambda: server.started[3:] if len(server.started) == 5 else []):
        again.start()
    assert set(one.targets or {}) == serials(*server.started[3:])


def test_a_reload_ends_a_drain(server: Supervised) -> None:
    _, one, _ = server.own()
    server.drain(1)
    one.has(2)
    new = server.successors(3)
    for process in new:
        process.start()
    server.until_phase("moving")
    assert one.targets == {new[1].serial: 0}
    one.has(0)
    server.until_phase("done")
    assert not any(process.draining for process in new)
    new[1].die()
    again = server.until(lambda: server.started[6] if len(server.started) == 7 else None)
    again.start()
    assert not again.draining


def test_keyed_actors_are_left_as_well(server: Supervised) -> None:
    _, one, _ = server.own()
    server.drain(1)
    one.load = Load(connections=1, draining=Draining(left=3, moved=2, stays={"a handler runs": 3}))
    assert draining(server, 1) == {"left": 3, "moved": 2, "stays": {"a handler runs": 3}, "empty": False}
