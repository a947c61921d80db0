"""Which hubs are told to be the home of topics, and when one is not needed for them any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from actorrpc.broker.sharing import members as broker_members
from actorrpc.broker.sharing.members import Members
from actorrpc.pb.control_pb2 import Directory, Homes, ToHub
from tests.support.waiting import PATIENCE


class FakeProcess:
    """A hub's process, and the homes that it has been told of."""

    def __init__(self, hub: int, keyed: bool = False) -> None:
        self.hub = self.serial = hub
        self.exit_code: int | None = None
        self.stopping = False
        self.keyed, self.state = keyed, "serving"
        self.hello: object | None = object()
        self.told: list[Homes] = []
        #: And those of keyed actors; each with the number of messages of both kinds before.
        self.directories: list[tuple[int, Directory]] = []

    def send(self, message: ToHub) -> bool:
        if message.HasField("directory"):
            self.directories.append((len(self.told), message.directory))
        else:
            self.told.append(message.homes)
        return True

    @property
    def homes(self) -> Homes:
        return self.told[-1]

    @property
    def origins(self) -> dict[int, int]:
        """Those who still hand slots over, by how many."""
        return {origin.hub: len(origin.slots) for origin in self.homes.origins}


@pytest.fixture
def due() -> list[tuple[float, Callable[[], None]]]:
    """What is to happen, and after how many seconds."""
    return []


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch, due: list[tuple[float, Callable[[], None]]]) -> Members:
    monkeypatch.setattr(broker_members, "introduce", lambda one, other, number: None)
    queues: Any = SimpleNamespace(assign=len, why_not=lambda hello: "")
    return Members(queues, later=lambda *event: due.append(event))


@pytest.fixture
def processes(members: Members) -> list[Any]:
    """Three that have joined."""
    processes: list[Any] = [FakeProcess(hub) for hub in range(3)]
    members.join(processes)
    return processes


def test_a_hub_that_is_to_have_no_topics_gives_them_away(members: Members, processes: list[Any]) -> None:
    members.set_homeless([1])
    assert {*processes[0].homes.homes} == {0, 2}
    assert [process.homes for process in processes] == [processes[0].homes] * 3
    assert [*processes[0].origins] == [1]
    assert members.needs(1)
    version = processes[0].homes.version
    members.settled(processes[0], version)
    assert members.needs(1)
    members.settled(processes[2], version)
    assert not members.needs(1)
    assert processes[0].homes.version == version  # there is nothing to tell
    members.leave(processes[2])
    assert {*processes[0].homes.homes} == {0}


def test_what_is_on_its_way_to_a_hub_goes_on_when_it_has_arrived(
    members: Members, processes: list[Any]
) -> None:
    members.set_homeless([1])
    first = processes[0].homes.version
    members.set_homeless([1, 2])
    assert {*processes[0].homes.homes} == {0, 2}  # hub 2 does not have all yet
    members.settled(processes[2], first)
    assert {*processes[0].homes.homes} == {0}
    members.settled(processes[0], first)
    for version in range(first + 1, processes[0].homes.version + 1):
        members.settled(processes[0], version)
    assert not members.needs(1) and not members.needs(2)


def test_who_waits_for_a_hub_to_be_emptied_hears_of_it(members: Members, processes: list[Any]) -> None:
    members.set_homeless([1])
    waiting = gevent.spawn(members.wait_until_homeless, [1], PATIENCE)
    gevent.sleep(0)
    members.settled(processes[0], 2)
    gevent.sleep(0)
    assert not waiting.ready()
    members.settled(processes[2], 2)
    assert waiting.get(timeout=PATIENCE) is True


def test_who_waits_hears_of_a_hub_that_dies_meanwhile(members: Members, processes: list[Any]) -> None:
    members.set_homeless([1])
    waiting = gevent.spawn(members.wait_until_homeless, [1], PATIENCE)
    gevent.sleep(0)
    members.leave(processes[1])
    assert waiting.get(timeout=PATIENCE) is True


def test_who_waits_too_long_is_told(members: Members, processes: list[Any]) -> None:
    assert members.wait_until_homeless([1], 0) is False


def test_a_newcomer_gets_its_share_if_that_is_wanted(members: Members, processes: list[Any]) -> None:
    late, later = FakeProcess(3), FakeProcess(4)
    members.join([late])  # type: ignore[list-item]
    assert 3 not in late.homes.homes
    members.join([later], share=True)  # type: ignore[list-item]
    counts = Counter(later.homes.homes)
    assert {*counts} == {0, 1, 2, 3, 4}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert {*later.origins} == {0, 1, 2}


def test_a_newcomer_without_all_links_gets_none(
    members: Members, processes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def introduce(one: FakeProcess, other: FakeProcess, number: int) -> None:
        if other.hub == 1:
            raise OSError("out of file descriptors")

    monkeypatch.setattr(broker_members, "introduce", introduce)
    late = FakeProcess(3)
    members.join([late], share=True)  # type: ignore[list-item]
    assert {*late.homes.homes} == {0, 1, 2}


def test_what_is_said_by_a_process_that_has_left_is_ignored(members: Members, processes: list[Any]) -> None:
    members.set_homeless([1])
    members.leave(processes[0])
    members.settled(processes[0], 2)
    assert members.needs(1)


def test_who_was_to_have_no_topics_gets_its_share_again(members: Members, processes: list[Any]) -> None:
    members.set_homeless([1])
    for process in processes:
        members.settled(process, 2)
    members.set_homeless([])
    assert 1 not in processes[0].homes.homes
    members.set_homeless([], share=True)
    assert Counter(processes[0].homes.homes)[1] > 300


def test_hubs_hear_who_lives(members: Members, processes: list[Any]) -> None:
    assert [*processes[0].homes.living] == [0, 1, 2]
    members.leave(processes[1])
    assert [*processes[0].homes.living] == [0, 2]


def test_a_link_between_two_members_that_has_broken_is_made_again(
    members: Members,
    processes: list[Any],
    due: list[tuple[float, Callable[[], None]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    monkeypatch.setattr(broker_members, "introduce", lambda one, other, number: made.append((one, other)))
    numbers = members.introductions.numbers
    members.broken(processes[2], 0, numbers[frozenset({0, 2})])
    members.broken(processes[2], 7, 1)  # nobody knows that one
    ((_, event),) = due
    event()
    assert made == [(processes[2], processes[0])]
    members.leave(processes[0])
    members.broken(processes[2], 0, 0)
    members.broken(processes[0], 2, 0)
    assert {*members.introductions.numbers} == {frozenset({1, 2})}


# ---- the directory of keyed actors


@pytest.fixture
def keyed(members: Members) -> list[Any]:
    """Three that have joined, of which the last has no keyed services."""
    processes: list[Any] = [FakeProcess(hub, keyed=hub < 2) for hub in range(3)]
    members.join(processes)
    return processes


def latest(process: Any) -> Directory:
    return process.directories[-1][1]


def test_who_has_no_keyed_services_is_told_of_no_directory(members: Members, keyed: list[Any]) -> None:
    assert [len(process.directories) for process in keyed] == [1, 1, 0]
    assert Counter(latest(keyed[0]).homes) == {0: 128, 1: 128}
    assert latest(keyed[0]) == latest(keyed[1]) == members.directory


def test_without_keyed_services_there_is_no_directory(members: Members, processes: list[Any]) -> None:
    assert not members.directory.version
    members.go_on()
    assert not members.directory.version
    assert not any(process.directories for process in processes)


def test_the_directory_comes_after_the_homes_of_topics(members: Members, keyed: list[Any]) -> None:
    assert keyed[0].directories[0][0] == len(keyed[0].told) == 1


def test_it_is_written_down_before_it_is_told(keyed: list[Any], members: Members) -> None:
    written: list[tuple[int, int]] = []
    members._before_telling = lambda: written.append((members.directory.version, latest(keyed[1]).version))
    members.leave(keyed[0])
    assert written == [(2, 1)]
    keyed[1].state = "silent"
    members.assign_queues()
    assert written == [(2, 1), (3, 2)]


@pytest.mark.parametrize("state", ["silent", "draining", "stopping"])
def test_who_does_not_serve_is_the_home_of_nothing_as_long_as_there_are_others(
    members: Members, keyed: list[Any], state: str
) -> None:
    keyed[0].state = state
    members.assign_queues()
    assert {*latest(keyed[0]).homes} == {1}
    assert latest(keyed[1]) == latest(keyed[0])
    assert [*latest(keyed[0]).silent] == [0] * (state == "silent")
    keyed[0].state = "serving"
    members.assign_queues()
    assert {*latest(keyed[0]).homes} == {1}, "they are not to go to and fro"
    assert not latest(keyed[0]).silent
    assert len(keyed[0].directories) == 2 + (state == "silent")


def test_where_all_are_silent_that_is_told(members: Members, keyed: list[Any]) -> None:
    for process in keyed:
        process.state = "silent"
    members.assign_queues()
    assert [*latest(keyed[0]).silent] == [0, 1]
    assert [*latest(keyed[0]).homes] == [*keyed[0].directories[0][1].homes]
    keyed[1].state = "serving"
    members.assign_queues()
    assert [*latest(keyed[0]).silent] == [0]
    assert {*latest(keyed[0]).homes} == {1}


def test_a_newcomer_gets_its_share_of_keys_and_nothing_else_moves(members: Members, keyed: list[Any]) -> None:
    before = latest(keyed[0]).homes
    members.join([newcomer := FakeProcess(3, keyed=True)])  # type: ignore[list-item]
    after = latest(keyed[0]).homes
    assert sorted(Counter(after).values()) == [85, 85, 86]
    assert all(now == was for now, was in zip(after, before, strict=True) if now != 3)
    assert latest(newcomer) == latest(keyed[0])


def test_one_that_is_drained_and_joins_is_told_although_it_gets_nothing(
    members: Members, keyed: list[Any]
) -> None:
    drained: Any = FakeProcess(3, keyed=True)
    drained.state = "draining"
    members.join([drained])
    assert 3 not in latest(drained).homes


def test_the_next_broker_goes_on_with_later_versions(members: Members, keyed: list[Any]) -> None:
    keyed[1].hello = None  # it has said nothing yet, and is taken for silent
    keyed[1].keyed = False
    told = members.directory
    members.restore(keyed, members.homes, told)
    members.go_on()
    assert latest(keyed[0]).version == told.version + 1
    assert latest(keyed[1]) == latest(keyed[0])
    assert {*latest(keyed[0]).homes} == {0}
