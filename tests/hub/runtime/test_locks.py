"""A lock that greenlets of several threads take: one at a time has it, and nobody who waits is forgotten."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.threadpool import ThreadPool

from actorrpc.hub.runtime.locks import SharedRLock
from tests.support.processes import ROOT, environment
from tests.support.waiting import PATIENCE


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    pool = ThreadPool(8)
    yield pool
    pool.kill()


@pytest.fixture
def lock() -> SharedRLock:
    return SharedRLock()


def held(lock: SharedRLock, until: Event) -> gevent.Greenlet[..., Any]:
    """A greenlet that has the lock."""

    def hold() -> None:
        with lock:
            until.wait()

    holder = gevent.spawn(hold)
    gevent.sleep(0)
    return holder


def test_a_greenlet_takes_it_several_times(lock: SharedRLock) -> None:
    with lock, lock:
        assert lock.acquire(False)
        lock.release()
    with pytest.raises(RuntimeError, match="not this greenlet's"):
        lock.release()


def test_another_greenlet_waits(lock: SharedRLock) -> None:
    door = Event()
    holder = held(lock, door)
    assert not lock.acquire(False)
    assert not lock.acquire(True, 0.001)
    with pytest.raises(RuntimeError, match="not this greenlet's"):
        lock.release()
    door.set()
    with lock:
        assert holder.dead


def test_another_thread_waits_and_the_loop_goes_on(lock: SharedRLock, pool: ThreadPool) -> None:
    door = Event()
    held(lock, door)

    def take() -> str:
        with lock:
            return "taken"

    waiting = pool.spawn(take)
    gevent.spawn_later(0.01, door.set)
    assert waiting.get(timeout=PATIENCE) == "taken"


def test_who_holds_it_may_be_a_thread(lock: SharedRLock, pool: ThreadPool) -> None:
    taken, door = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            door.wait()

    holder = pool.spawn(hold)
    assert taken.wait(PATIENCE)
    turned = []
    gevent.spawn(turned.append, 1)
    assert not lock.acquire(True, 0.001)
    assert turned == [1], "the loop stood still"
    door.set()
    with lock:
        pass
    holder.get(timeout=PATIENCE)


def test_many_of_all_kinds(lock: SharedRLock, pool: ThreadPool) -> None:
    inside: list[int] = []
    found: list[int] = []

    def work(yields: bool, make_hub: bool) -> None:
        if make_hub:
            gevent.get_hub()
        for number in range(50):
            with lock:
                inside.append(1)
                if yields:
                    gevent.sleep(0)
                found.append(len(inside))
                inside.pop()
            if not yields and not make_hub and number % 10 == 0:
                gevent.sleep(0)

    jobs = [pool.spawn(work, False, index % 2 == 0) for index in range(16)]
    jobs += [gevent.spawn(work, index % 2 == 0, False) for index in range(16)]
    with gevent.Timeout(PATIENCE):
        for job in jobs:
            job.get()
    assert found == [1] * 32 * 50


def test_a_condition_has_it(lock: SharedRLock, pool: ThreadPool) -> None:
    condition = threading.Condition(lock)  # type: ignore[arg-type]
    ready: list[int] = []

    def wait() -> bool:
        with lock, condition:  # twice: both are given back meanwhile
            return condition.wait_for(lambda: bool(ready), PATIENCE)

    waiting = pool.spawn(wait)
    while not condition._waiters:  # type: ignore[attr-defined]
        gevent.sleep(0.001)
    with condition:
        ready.append(1)
        condition.notify_all()
    assert waiting.get(timeout=PATIENCE)


def test_a_child_has_it_free(lock: SharedRLock) -> None:
    lock.acquire()
    lock._at_fork_reinit()
    assert gevent.spawn(lock.acquire, False).get()


LOGS = """
from gevent import monkey
monkey.patch_all()
import logging, os, sys
logging.basicConfig(filename=os.devnull)
from actorrpc.hub.runtime.locks import share_logging
share_logging()
other = logging.FileHandler(os.devnull)
log = logging.getLogger("app")
log.addHandler(other)
import gevent
from gevent.threadpool import ThreadPool
def work(pause):
    for _ in range(100):
        log.error("a line")
        pause()
pool = ThreadPool(10)
jobs = [pool.spawn(work, int) for _ in range(20)] + [gevent.spawn(work, gevent.sleep) for _ in range(20)]
for job in jobs:
    job.get(timeout=PATIENCE)
pid = os.fork()
if pid == 0:
    log.error("a line")
    os._exit(0)
assert monkey.get_original("os", "waitpid")(pid, 0)[1] == 0  # gevent's may miss a child that ends at once
print("done")
"""


def test_threads_and_greenlets_log() -> None:
    """With gevent's locks they hang, most of the times."""
    command = [sys.executable, "-c", LOGS.replace("PATIENCE", str(PATIENCE))]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, timeout=90)
    assert done.stdout == "done\n"
