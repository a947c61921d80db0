"""How one greenlet, or one thread without a loop, waits for another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gevent
import pytest

from actorrpc.loop.wakeup import WakeUp

PATIENCE = 30.0


def in_a_greenlet(function: Callable[[], Any]) -> Any:
    result = gevent.spawn(function).get()
    gevent.get_hub().destroy(destroy_loop=True)
    return result


@pytest.fixture(params=[lambda function: function(), in_a_greenlet], ids=["thread", "greenlet"])
def run(request: Any) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Calls a function in a thread of its own, which has a loop or none."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda function: pool.submit(request.param, function).result(PATIENCE)


def waits(timeout: float | None, ready: Callable[[Callable[[], None]], object]) -> bool:
    """Whether it was woken before the time was over."""
    wakeup = WakeUp()
    woken = threading.Event()

    def wake() -> None:
        woken.set()
        wakeup.wake()

    try:
        ready(wake)
        wakeup.wait(timeout)
        return woken.is_set()
    finally:
        wakeup.close()


@pytest.mark.parametrize("timeout", [None, PATIENCE, 1e30])
def test_it_is_woken_before_or_while_it_waits(run: Any, timeout: float | None) -> None:
    assert run(lambda: waits(timeout, lambda wake: wake()))
    assert run(lambda: waits(timeout, lambda wake: threading.Thread(target=wake).start()))


@pytest.mark.parametrize("timeout", [-1.0, 0.0, 0.01])
def test_it_waits_no_longer_than_it_is_told(run: Any, timeout: float) -> None:
    assert not run(lambda: waits(timeout, lambda wake: None))
