"""A hub that is told to end: whom it asks, for what it waits, and when it ends in any case."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest

from actorrpc.hub import retirement as hub_retirement
from actorrpc.hub.retirement import Retirement
from tests.support.waiting import until


class Hub:
    """What a retirement does with it, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.broker = self.others = True
        self.empty = False
        self.retirement = self.make(1000)

    def make(self, drain_timeout: float) -> Retirement:
        return Retirement(
            lambda: self._do("ask", self.broker),
            lambda: self._do("drain", self.others),
            lambda: self.empty,
            lambda: self.retirement.close() or self.done.append("stop"),  # type: ignore[func-returns-value]
            drain_timeout,
        )

    def _do(self, what: str, answer: bool) -> bool:
        self.done.append(what)
        return answer

    def until_done(self, *wanted: str) -> None:
        until(lambda: self.done == [*wanted], sleep=gevent.sleep)


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.retirement.close()


def test_it_asks_and_waits(hub: Hub) -> None:
    hub.retirement.told()
    hub.empty = True  # the broker sees that, and says stop
    gevent.sleep(3 * hub_retirement.LOOK)
    assert hub.done == ["ask"]


def test_a_second_signal_ends_it(hub: Hub) -> None:
    hub.retirement.told()
    hub.retirement.told()
    assert hub.done == ["ask", "stop"]


def test_a_broker_that_does_nothing_has_its_time(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_retirement, "PATIENCE", 0.01)
    hub.retirement = hub.make(0.01)
    hub.retirement.told()
    hub.until_done("ask", "stop")


def without_a_broker(hub: Hub) -> None:
    hub.broker = False
    hub.retirement.told()


def when_the_broker_dies(hub: Hub) -> None:
    hub.retirement.told()
    hub.retirement.broker_gone()


alone = pytest.mark.parametrize("begin", [without_a_broker, when_the_broker_dies])


@alone
def test_alone_it_ends_when_all_has_gone(hub: Hub, begin: Callable[[Hub], None]) -> None:
    begin(hub)
    assert hub.done == ["ask", "drain"]
    hub.empty = True
    hub.until_done("ask", "drain", "stop")


@alone
def test_alone_it_ends_when_the_time_is_up(hub: Hub, begin: Callable[[Hub], None]) -> None:
    hub.retirement = hub.make(0.01)
    begin(hub)
    hub.until_done("ask", "drain", "stop")


@alone
def test_the_last_one_ends_at_once(hub: Hub, begin: Callable[[Hub], None]) -> None:
    hub.others = False
    begin(hub)
    assert hub.done == ["ask", "drain", "stop"]


def test_a_broker_that_dies_ends_nobody_who_was_told_nothing(hub: Hub) -> None:
    hub.retirement.broker_gone()
    assert hub.done == []
