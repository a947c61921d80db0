"""Greenlets that live are known, in the order in which they came."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import gevent
import pytest
from gevent.threadpool import ThreadPool
from greenlet import greenlet

from actorrpc.hub.runtime.living import Living


@pytest.fixture
def spawned() -> Iterator[Living]:
    """All that gevent spawns meanwhile."""
    living = Living()
    living.watch_gevent()
    yield living
    gevent.Greenlet.remove_spawn_callback(living.add)


def all_of(living: Living) -> list[greenlet]:
    return [one for _, one in living.after(0)]


def test_those_behind_a_place() -> None:
    living = Living()
    made = [greenlet(print) for _ in range(5)]
    for one in made:
        living.add(one)
    places = [place for place, _ in living.after(0)]
    assert places == sorted(places)
    for at, place in enumerate(places):
        assert [one for _, one in living.after(place)] == made[at + 1 :]


def test_one_that_is_gone_is_forgotten() -> None:
    living = Living()
    kept, gone = greenlet(print), greenlet(print)
    living.add(gone)
    living.add(kept)
    (first, _), *_ = living.after(0)
    del gone
    gc.collect()
    assert all_of(living) == [kept]
    assert [one for _, one in living.after(first)] == [kept], "its place still says where to go on"
    assert repr(living) == "<Living 1 greenlets>"


def test_one_that_goes_while_they_are_gone_through() -> None:
    living = Living()
    made = [greenlet(print) for _ in range(3)]
    for one in made:
        living.add(one)
    seen = []
    for place, _ in living.after(0):
        seen.append(place)
        one = None  # type: ignore[assignment]
        made.clear()
    assert len(seen) == 1


def test_whatever_gevent_spawns(spawned: Living) -> None:
    class Odd(gevent.Greenlet):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    made = [gevent.spawn(gevent.sleep, 0), gevent.spawn_later(0, print), Odd.spawn(gevent.sleep, 0)]
    assert [id(one) for one in all_of(spawned)] == [id(one) for one in made]
    gevent.killall(made)


def test_greenlets_of_other_threads(spawned: Living) -> None:
    pool = ThreadPool(2)
    try:
        pool.spawn(lambda: gevent.spawn(gevent.sleep, 0).join()).get()
    finally:
        pool.kill()
    assert all(one.dead for one in all_of(spawned))
