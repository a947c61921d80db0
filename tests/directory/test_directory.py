"""What the model does not see, since in the end all is well there: how soon an answer comes, and what it is.

The processes, links and broker are those of the model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.directory import directory as directory_file
from actorrpc.hub.directory import store
from actorrpc.hub.directory.directory import NOWHERE, Directory, Location, Name
from actorrpc.hub.directory.names import slot_of
from actorrpc.ipc.directory_files import JOURNAL
from tests.directory.model import SLOTS, Hub, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Three processes that have heard of each other; each is the home of one slot."""
    with World(tmp_path, lambda kind, options: options[0], chaos=False) as world:
        world.settle()
        yield world


def key_in(slot: int) -> Name:
    return next(name for name in (("s", f"key {n}") for n in range(1000)) if slot_of(name, SLOTS) == slot)


def find(world: World, hub: Hub, name: Name, **how: Any) -> list[Any]:
    """What it is told, as soon as it is."""
    told: list[Any] = []
    world._run(hub, lambda: hub.directory.find(name, told.append, **how))
    return told


def names(world: World, homes: list[int], silent: tuple[int, ...] = (), tell: tuple[int, ...] = ()) -> None:
    """The broker names other homes, and tells these processes, or all."""
    world.version += 1
    world.homes = homes
    for hub in world.hubs:
        if not tell or hub.serial in tell:
            world._run(hub, lambda hub=hub: hub.directory.set_homes(world.version, homes, silent))  # type: ignore[misc]


def test_who_asks_first_owns_it_and_all_others_hear_so(world: World) -> None:
    one, two, _ = world.hubs
    name = key_in(0)
    first = find(world, two, name)
    world.settle()
    assert first[0].hub == two.serial
    assert find(world, one, name) == first


def test_a_home_is_told_before_find_returns(world: World) -> None:
    one = world.hubs[0]
    assert find(world, one, key_in(0)) != []


def test_what_is_found_elsewhere_is_remembered_until_it_proves_wrong(world: World) -> None:
    one, two, _ = world.hubs
    name = key_in(0)
    (first,) = find(world, one, name)
    found = find(world, two, name)
    world.settle()
    assert found == [first] == find(world, two, name)
    world._run(one, lambda: one.directory.release(name, first.epoch))
    assert find(world, two, name) == [first]
    again = find(world, two, name, stale=first)
    assert again == []
    world.settle()
    assert again[0].hub == two.serial and again[0].epoch > first.epoch
    assert find(world, two, name, stale=first) == []  # its own is not remembered


def test_a_location_that_is_remembered_and_newer_than_the_stale_one_is_told(world: World) -> None:
    one, two, _ = world.hubs
    name = key_in(0)
    (first,) = find(world, one, name)
    find(world, two, name)
    world.settle()
    assert find(world, two, name, stale=Location(one.serial, first.epoch - 1)) == [first]


def test_no_more_than_so_many_are_remembered(world: World) -> None:
    one, two, _ = world.hubs
    found = [("s", f"{n}") for n in range(40)]
    for name in found:
        find(world, one, name)
        world.settle()
        find(world, two, name)
        world.settle()
    assert len(two.directory._remembered) == directory_file.MAX_REMEMBERED


def test_who_would_not_own_it_has_another_own_it(world: World) -> None:
    one = world.hubs[0]
    owners = [find(world, one, name, may_own=False)[0].hub for name in list_in(0, 4)]
    assert {*owners} == {hub.serial for hub in world.hubs[1:]}


def list_in(slot: int, count: int) -> list[Name]:
    every = (("s", f"key {n}") for n in range(1000))
    return [name for name in every if slot_of(name, SLOTS) == slot][:count]


def test_where_there_is_nobody_else_that_is_told(world: World) -> None:
    one, two, three = world.hubs
    two.die()
    three.die()
    (error,) = find(world, one, key_in(0), may_own=False)
    assert isinstance(error, RpcError) and error.code is StatusCode.UNAVAILABLE
    assert "there is no hub that could have s 'key" in str(error)


def test_many_who_look_for_one_key_ask_once(world: World) -> None:
    one, two, _ = world.hubs
    told = [find(world, two, key_in(0)) for _ in range(3)]
    assert len(two.links[one.serial].inbox[one.serial]) == 1
    world.settle()
    assert told[0] and told == [told[0]] * 3


# ---- a home that cannot be asked


def test_without_a_link_to_the_home_another_is_waited_for(world: World) -> None:
    one, two, _ = world.hubs
    one.die()
    world.settle()
    told = find(world, two, key_in(0))
    assert told == []
    names(world, [two.serial] * SLOTS)
    assert told[0].hub == two.serial


def test_without_a_broker_it_is_told_at_once_that_it_cannot_be_reached(world: World) -> None:
    one, two, _ = world.hubs
    asked = find(world, two, key_in(0))
    one.die()
    world.settle()
    assert asked == []
    two.directory.broker_gone()
    waited = find(world, two, key_in(0))
    for (error,) in (asked, waited):
        assert isinstance(error, RpcError) and error.code is StatusCode.UNAVAILABLE
        assert "cannot be reached, and there is no broker" in str(error)
    assert two.directory._questions._open == {}


def test_a_link_that_ends_without_a_broker_ends_what_is_asked_over_it(world: World) -> None:
    one, two, _ = world.hubs
    two.directory.broker_gone()
    told = find(world, two, key_in(0))
    assert told == []
    one.die()
    world.settle()
    assert isinstance(told[0], RpcError)


def test_a_home_that_the_broker_says_is_silent_is_not_waited_for(world: World) -> None:
    one, two, _ = world.hubs
    asked = find(world, two, key_in(0))
    names(world, [hub.serial for hub in world.hubs], silent=(one.serial,), tell=(two.serial,))
    for (error,) in (asked, find(world, two, key_in(0))):
        assert isinstance(error, RpcError) and error.code is StatusCode.UNAVAILABLE
        assert str(error).endswith("does not answer") and f"hub {one.serial}, which knows where" in str(error)
    assert find(world, two, key_in(1))[0].hub == two.serial


def test_a_home_is_asked_only_where_it_has_heard_of_the_version(world: World) -> None:
    """It keeps what it is asked until then."""
    one, _, three = world.hubs
    names(world, [three.serial] * SLOTS, tell=(one.serial,))
    told = find(world, one, key_in(0))
    world.settle()
    assert told == [] and len(three.directory._early) == 1
    names(world, [three.serial] * SLOTS, tell=(three.serial,))
    world.settle()
    assert told[0].hub == one.serial


def test_who_was_fenced_off_by_a_slow_one_is_the_home_again(world: World) -> None:
    """Hub 3 hears late of a version by which it is the home, and nobody of another one."""
    one, two, three = world.hubs
    (first,) = find(world, one, key_in(0))
    names(world, [three.serial] * SLOTS, tell=(two.serial,))
    late = world.version
    names(world, [one.serial] * SLOTS, tell=(one.serial, two.serial))
    world._run(three, lambda: three.directory.set_homes(late, [three.serial] * SLOTS, ()))
    told = find(world, two, key_in(0))
    world.settle()
    assert told == [first]


def test_what_the_last_home_grants_when_its_log_has_been_read_is_told_to_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = world.hubs
    name = key_in(0)
    read, told = store.read_log, []

    def read_and_wait(*arguments: Any) -> Any:
        tables = read(*arguments)
        told.append(find(world, one, name))
        return tables

    with monkeypatch.context() as patch:
        patch.setattr(store, "read_log", read_and_wait)
        names(world, [two.serial] * SLOTS, tell=(two.serial,))
    assert told and told[0] == []
    (location,) = find(world, two, name)
    assert location.hub == two.serial
    names(world, [two.serial] * SLOTS)
    world.settle()
    assert told[0] == [location]


def test_what_a_home_wrote_when_it_was_the_home_before_is_no_longer_so(world: World) -> None:
    one, two, three = world.hubs
    name = key_in(0)
    (first,) = find(world, one, name)
    names(world, [two.serial] * SLOTS)
    world._run(one, lambda: one.directory.release(name, first.epoch))
    world.settle()
    names(world, [one.serial] * SLOTS)
    world.settle()
    names(world, [three.serial] * SLOTS)
    (again,) = find(world, three, name)
    assert again.hub == three.serial and again.epoch > first.epoch


def test_a_log_is_not_written_anew_as_long_as_the_next_home_may_need_it(world: World) -> None:
    """Hub 2 has claimed a slot, and not said yet that it has all, when hub 1 writes its log anew."""
    one, two, three = world.hubs
    names(world, [one.serial] * SLOTS)
    (first,) = find(world, one, key_in(0))
    names(world, [two.serial, one.serial, one.serial], tell=(two.serial,))
    assert find(world, one, key_in(0)) == []  # it sees the claim
    two.stopped = True
    for _ in range(20):
        (location,) = find(world, one, key_in(1))
        world._run(one, lambda epoch=location.epoch: one.directory.release(key_in(1), epoch))  # type: ignore[misc]
    names(world, [three.serial, one.serial, one.serial])
    told = find(world, three, key_in(0))
    assert told == [first]


def test_who_is_told_that_it_is_not_the_home_when_it_is_again_asks_again(world: World) -> None:
    one, two, three = world.hubs
    told = find(world, two, key_in(0))
    names(world, [three.serial] * SLOTS, tell=(one.serial,))
    one.read(two.serial, one.links[two.serial])
    names(world, [one.serial] * SLOTS)
    assert told == []
    world.settle()
    assert told[0].hub == two.serial


def test_what_could_not_be_known_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transfer is not over because the next home cannot read what the one before has written."""
    one, two, three = world.hubs
    name = key_in(0)
    (first,) = find(world, one, name)
    told: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr("actorrpc.hub.directory.store.read_log", _cannot_read)
        names(world, [two.serial] * SLOTS)
        one.directory.transfer(name, first.epoch, three.serial, told.append)
        failed = find(world, three, name)
        world.settle()
        assert "cannot find out where s 'key" in str(failed[0]) and "no such luck" in str(failed[0])
        one.directory.retry()
        world.settle()
        assert told == []
    one.directory.retry()
    world.settle()
    assert told == [Location(three.serial, first.epoch + 1)]


def _cannot_read(*_: object) -> None:
    raise OSError("no such luck")


# ---- transfers


def test_a_transfer_makes_another_the_owner_once(world: World) -> None:
    one, two, _ = world.hubs
    name = key_in(0)
    (first,) = find(world, one, name)
    told: list[Any] = []
    for _ in range(2):  # as where the answer has been lost
        one.directory.transfer(name, first.epoch, two.serial, told.append)
    assert told == [Location(two.serial, first.epoch + 1)] * 2
    found = find(world, two, name)
    world.settle()
    assert found == told[:1]
    world._run(two, lambda: two.directory.release(name, found[0].epoch))
    world.settle()
    one.directory.transfer(name, first.epoch, two.serial, told.append)
    assert told[2] == NOWHERE


def test_nothing_is_transferred_to_the_dead(world: World) -> None:
    one, two, _ = world.hubs
    (first,) = find(world, one, key_in(0))
    two.die()
    told: list[Any] = []
    one.directory.transfer(key_in(0), first.epoch, two.serial, told.append)
    assert isinstance(told[0], RpcError) and f"hub {two.serial} has ended" in str(told[0])
    assert find(world, one, key_in(0)) == [first]


def test_only_what_one_owns_now_can_be_transferred(world: World) -> None:
    one, two, _ = world.hubs
    name = key_in(0)
    (first,) = find(world, one, name)
    one.directory.release(name, first.epoch)
    (second,) = find(world, one, name)
    told: list[Any] = []
    one.directory.transfer(name, first.epoch, two.serial, told.append)
    assert told == [NOWHERE]
    assert find(world, one, name) == [second]


# ---- the release that is lost


def test_an_owner_that_does_not_have_the_actor_learns_that_it_owns_it(world: World) -> None:
    """As where its release was lost, or another's question had it granted to it."""
    one = world.hubs[0]
    name = key_in(0)
    (location,) = find(world, one, name, may_own=False)
    (owner,) = [hub for hub in world.hubs if hub.serial == location.hub]
    told = find(world, owner, name)
    world.settle()
    assert told == [location]


# ---- without others, and without files


def test_a_hub_alone_is_the_home_of_all() -> None:
    alone = Directory(0, lambda serial, message: None, None)
    told: list[Any] = []
    alone.find(("s", "a"), told.append)
    alone.release(("s", "a"), told[0].epoch)
    alone.find(("s", "a"), told.append)
    assert [each.hub for each in told] == [0, 0] and told[0].epoch < told[1].epoch
    alone.close()


@pytest.mark.parametrize(("path", "why"), [("", "knows no keyed actors"), ("/nowhere", "cannot be used")])
def test_without_files_nothing_can_be_found(path: str, why: str, caplog: pytest.LogCaptureFixture) -> None:
    directory = Directory(1001, lambda serial, message: None, path)
    told: list[Any] = []
    directory.set_homes(1, [1001], ())
    directory.find(("s", "a"), told.append)
    assert isinstance(told[0], RpcError) and why in str(told[0]) and why in directory.unusable
    assert bool(caplog.records) == bool(path)
    directory.close()


def test_a_log_that_has_been_removed_has_nobody_own_a_key_twice(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    one, two, _ = world.hubs
    name = key_in(0)
    find(world, one, name)
    (world.path / f"hub-{one.serial}.log").unlink()
    with caplog.at_level(logging.ERROR):
        names(world, [two.serial] * SLOTS)
    assert "cannot find out where keyed actors are" in caplog.text
    (error,) = find(world, two, name)
    assert "cannot find out where s 'key" in str(error)


def test_logs_of_the_dead_that_nobody_needs_are_removed(world: World) -> None:
    one, two, three = world.hubs
    one.die()
    names(world, [two.serial] * SLOTS)
    assert (world.path / f"hub-{one.serial}.log").exists()
    world._run(two, two.directory.retry)
    assert sorted(each.name for each in world.path.iterdir()) == sorted(
        [JOURNAL, f"hub-{two.serial}.log", f"hub-{three.serial}.log"]
    )


def test_who_waits_for_a_transfer_does_not_take_a_new_grant_for_it(world: World) -> None:
    """A target that holds what it was offered goes by the epoch that follows on the source's."""
    one, name = world.hubs[0], key_in(0)
    (offered,) = find(world, one, name)
    one.directory.release(name, offered.epoch)
    (anew,) = find(world, one, name)
    assert anew.epoch > offered.epoch + 1
