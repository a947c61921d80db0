"""What connections are charged: the arithmetic under a clock that the test moves, then real hubs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from time import thread_time
from typing import Any

import gevent
import gevent.event
import grpc
import pytest

import actorrpc
from actorrpc.hub.metering.rates import Rates, counted_as
from actorrpc.hub.metering.usage import LIGHT, LONG, SHORT, Meter, Part, Usage, shares
from actorrpc.hub.moving.obstacles import why_unquiet
from tests.apps.shapes import obey
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support.hubs import Hubs, serving


class Clock:
    """Seconds, and those that were computed, which the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.cpu = 0.0

    def compute(self, seconds: float) -> None:
        self.now += seconds
        self.cpu += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> Meter:
    return Meter(lambda: clock.now, lambda: clock.cpu)


def spend(usage: Usage, clock: Clock, computing: float, waiting: float = 0.0) -> None:
    mark = usage.begin(clock.now)
    clock.compute(computing)
    clock.now += waiting
    usage.spend(mark)


def turn_over(meter: Meter, clock: Clock, waited: float = 0.0) -> float:
    """End an interval between two reports."""
    busy = meter.measure(clock.now, waited)
    for usage in meter.active:
        usage.settle(clock.now)
        usage.listed = False
    meter.active.clear()
    meter.since = clock.now
    return busy


def work(usage: Usage, clock: Clock, share: float, seconds: float) -> None:
    """Take a share of the time for so long, in intervals of a quarter of a second."""
    for _ in range(round(seconds * 4)):
        spend(usage, clock, share / 4)
        clock.now += (1 - share) / 4
        turn_over(usage.meter, clock)


# ---- brackets


def test_a_bracket_inside_another_is_not_the_outer_ones(meter: Meter, clock: Clock) -> None:
    outer, inner = Usage(meter, "outer"), Usage(meter, "inner")
    mark = outer.begin(clock.now)
    clock.compute(0.1)
    spend(inner, clock, 0.2)
    inside = outer.begin(clock.now)
    clock.compute(0.3)
    outer.spend(inside)
    clock.compute(0.4)
    outer.spend(mark)
    assert (outer.spent, inner.spent) == (pytest.approx(0.8), pytest.approx(0.2))
    assert meter.charged == pytest.approx(1.0)


def test_who_spends_is_listed_once(meter: Meter, clock: Clock) -> None:
    one, other = Usage(meter, "one"), Usage(meter, "other")
    for usage in (one, other, one, one):
        spend(usage, clock, 0.001)
    assert meter.active == [one, other]


def test_a_wait_for_the_core_is_not_charged_and_a_blocking_call_is(meter: Meter, clock: Clock) -> None:
    preempted, blocking = Usage(meter, "preempted"), Usage(meter, "blocking")
    turn_over(meter, clock)
    spend(preempted, clock, 0.01, waiting=0.05)
    assert turn_over(meter, clock, waited=0.05) == pytest.approx(0.01 / 0.06)
    assert meter.off == pytest.approx(1.0)
    assert preempted.spent == pytest.approx(0.06)
    spend(blocking, clock, 0.01, waiting=0.05)
    assert turn_over(meter, clock, waited=0.05) == pytest.approx(1.0)  # no more than before
    assert meter.off == 0.0
    assert (preempted.taken, blocking.taken) == (pytest.approx(0.01), pytest.approx(0.06))


def test_what_the_kernel_took_is_taken_off_in_proportion(meter: Meter, clock: Clock) -> None:
    usages = [Usage(meter, name) for name in "ab"]
    turn_over(meter, clock)
    for usage, waiting in zip(usages, (0.02, 0.06), strict=True):
        spend(usage, clock, 0.01, waiting)
    meter.measure(clock.now, 0.04)
    assert meter.off == pytest.approx(0.5)
    assert [usage.due for usage in usages] == [pytest.approx(0.02), pytest.approx(0.04)]


@pytest.mark.parametrize("long", [False, True])
def test_a_bracket_inside_another_is_not_taken_for_a_wait(meter: Meter, clock: Clock, long: bool) -> None:
    usage = Usage(meter, "")
    mark = usage.begin(clock.now)
    clock.compute(0.01)
    spend(usage, clock, 0.001 if long else 0.0004)
    clock.compute(0.02)
    usage.spend(mark)
    # At the end of a long one inside, what the outer has computed by then has not been charged yet.
    assert usage.doubted == pytest.approx(0.01 if long else 0.0)


def test_what_another_connection_computes_inside_a_bracket_is_no_wait_made_good(
    meter: Meter, clock: Clock
) -> None:
    outer, inner = Usage(meter, "outer"), Usage(meter, "inner")
    mark = outer.begin(clock.now)
    clock.compute(0.001)
    for _ in range(50):
        spend(inner, clock, 0.0004)
    spend(inner, clock, 0.0, waiting=0.0004)
    clock.now += 0.01
    outer.spend(mark)
    # A wait in a short bracket is put down to the next long one.
    assert (outer.doubted, inner.doubted) == (pytest.approx(0.0104), 0.0)


def test_what_nobody_is_charged_for_hides_as_much_of_a_wait(meter: Meter, clock: Clock) -> None:
    usage = Usage(meter, "")
    clock.compute(0.003)
    spend(usage, clock, 0.01, waiting=0.005)
    assert usage.doubted == pytest.approx(0.002)
    clock.compute(0.003)
    turn_over(meter, clock)  # which reads the thread's CPU, too
    spend(usage, clock, 0.01, waiting=0.005)
    assert usage.doubted == pytest.approx(0.007)


def test_no_more_is_in_doubt_than_was_charged(meter: Meter, clock: Clock) -> None:
    usage, light = Usage(meter, ""), Usage(meter, "light")
    for _ in range(10):
        spend(light, clock, 0.0, waiting=0.0004)
    spend(usage, clock, 0.001)
    assert usage.doubted == pytest.approx(0.001)


def test_a_share_is_never_negative(meter: Meter, clock: Clock) -> None:
    """What had been charged when it was asked for may turn out to have been a wait."""
    turn_over(meter, clock)
    usage = Usage(meter, "")
    spend(usage, clock, 0.01, waiting=0.05)
    assert usage.share() == pytest.approx(1.0)
    turn_over(meter, clock, waited=0.05)
    clock.now += 1
    assert usage.share() == 0.0


def test_light_connections_never_read_the_cpu(clock: Clock) -> None:
    def cpu() -> float:
        raise AssertionError("this takes a microsecond")

    usage = Usage(Meter(lambda: clock.now, cpu), "light")
    for _ in range(100):
        spend(usage, clock, 0.0004)
    assert usage.spent == pytest.approx(0.04) and usage.doubted == 0


def test_a_handler_that_blocks_is_measured_in_each_of_its_parts(meter: Meter, clock: Clock) -> None:
    usage = Usage(meter, "")
    spend(usage, clock, 0.002)
    before = usage.doubted
    for _ in range(10):
        for part in (0.00005, 0.002, 0.00005, 0.00005, 0.002):
            spend(usage, clock, part, waiting=0.003)
    assert usage.doubted - before == pytest.approx(50 * 0.003)


def test_busy_is_what_was_computed_or_held(meter: Meter, clock: Clock) -> None:
    turn_over(meter, clock)
    usage = Usage(meter, "")
    clock.compute(0.1)  # by nobody: a greenlet that was spawned
    spend(usage, clock, 0.05)
    clock.now += 0.1
    assert turn_over(meter, clock) == pytest.approx(0.6)
    assert turn_over(meter, clock) == 0.0  # no time has passed


# ---- averages


@pytest.mark.parametrize("age", [1.0, 3.0, 30.0, 300.0])
def test_a_steady_load_is_right_after_a_second(meter: Meter, clock: Clock, age: float) -> None:
    usage = Usage(meter, "")
    work(usage, clock, 0.3, age)
    assert usage.load(clock.now) == pytest.approx(0.3)
    assert usage.recent(clock.now) == pytest.approx(0.3)


def test_the_first_millisecond_does_not_fill_the_hub(meter: Meter, clock: Clock) -> None:
    usage = Usage(meter, "")
    spend(usage, clock, 0.001)
    turn_over(meter, clock)
    assert usage.load(clock.now) < 0.002 and usage.recent(clock.now) < 0.002


def test_loads_fade_at_their_own_pace(meter: Meter, clock: Clock) -> None:
    usage = Usage(meter, "")
    work(usage, clock, 0.5, 100)
    clock.now += 5
    load, recent = usage.load(clock.now), usage.recent(clock.now)
    assert load == pytest.approx(0.5 * math.exp(-5 / LONG), rel=1e-3)
    assert recent == pytest.approx(0.5 * math.exp(-5 / SHORT), rel=1e-3)
    usage.settle(clock.now)  # says the same
    assert (usage.load(clock.now), usage.recent(clock.now)) == (pytest.approx(load), pytest.approx(recent))


def test_what_came_after_an_idle_hour_is_no_average_over_it(meter: Meter, clock: Clock) -> None:
    idle, lively = Usage(meter, "idle"), Usage(meter, "lively")
    clock.now += 3600
    turn_over(meter, clock)
    work(idle, clock, 0.8, 0.25)
    assert idle.recent(clock.now) == pytest.approx(0.8 * (1 - math.exp(-0.25)), rel=1e-6)
    assert lively.load(clock.now) == 0


def test_uneven_intervals_make_no_difference(meter: Meter, clock: Clock) -> None:
    even, uneven = Usage(meter, "even"), Usage(meter, "uneven")
    for interval in (0.1, 0.4, 0.05, 0.45, 1.0) * 6:
        for usage in (even, uneven):
            spend(usage, clock, interval * 0.2)
        clock.now += interval * 0.6
        turn_over(meter, clock)
    assert even.load(clock.now) == pytest.approx(0.2) == uneven.recent(clock.now)


def test_an_average_goes_on_elsewhere(meter: Meter, clock: Clock) -> None:
    here, there = Usage(meter, ""), Usage(meter, "")
    clock.now += 3
    work(here, clock, 0.4, 2)
    there.restore(here.load(clock.now), here.recent(clock.now), clock.now, here.born)
    for usage in (here, there):
        assert usage.load(clock.now + 2) == pytest.approx(here.load(clock.now + 2))
        assert usage.recent(clock.now + 2) == pytest.approx(here.recent(clock.now + 2))


def test_settling_twice_at_a_time_loses_nothing(meter: Meter, clock: Clock) -> None:
    usage = Usage(meter, "")
    clock.now += 1
    usage.settle(clock.now)
    usage.spent += 0.5  # in no time at all
    usage.settle(clock.now)
    assert usage.due == 0.5
    clock.now += 1
    usage.settle(clock.now)
    assert usage.due == 0 and usage.recent(clock.now) > 0.2


def test_shares_of_services(meter: Meter, clock: Clock) -> None:
    usage = Usage(meter, "")
    one, other = Part(usage), Part(usage)
    mark = usage.begin(clock.now)
    one.within(lambda: clock.compute(0.1))
    other.within(lambda: clock.compute(0.3))
    clock.compute(0.1)  # to write what both have sent
    usage.spend(mark)
    resumed = usage.begin(clock.now)
    clock.compute(0.4)
    one.spent += usage.spend(resumed)
    assert usage.spent == pytest.approx(0.9)
    both = [("a", one), ("b", other)]
    assert shares(both, 0.8) == {"a": pytest.approx(0.5), "b": pytest.approx(0.3)}
    assert shares(both, 0.0) == {"a": 0.0, "b": 0.0}
    assert shares([("a", one)], 0.3) == {"a": 0.3}
    assert shares([], 0.3) == {}


def test_a_service_has_the_share_of_all_its_actors(meter: Meter, clock: Clock) -> None:
    usage = Usage(meter, "")
    parts = [("a", Part(usage)), ("b", Part(usage)), ("a", Part(usage))]
    mark = usage.begin(clock.now)
    for _, part in parts:
        part.within(lambda: clock.compute(0.1))
    usage.spend(mark)
    assert shares(parts, 0.3) == {"a": pytest.approx(0.2), "b": pytest.approx(0.1)}


def test_unsent_bytes_are_exact_when_connections_go(meter: Meter) -> None:
    one, other = Usage(meter, "one"), Usage(meter, "other")
    one.waits(1000)
    other.waits(10)
    one.waits(300)
    assert meter.unsent == 310
    one.close()
    one.close()
    assert meter.unsent == 10


# ---- rates of topics


def test_rates_are_in_messages_a_second() -> None:
    rates = Rates(4)
    for tick in range(1000):
        rates.count("news", tick / 10)
    assert rates.rate("news", 100.0) == pytest.approx(10, rel=0.02)
    assert rates.rate("news", 110.0) == pytest.approx(10 / math.e, rel=0.02)
    assert rates.rate("other", 100.0) == 0


def test_the_quieter_half_of_many_topics_is_forgotten() -> None:
    rates = Rates(4)
    for topic in "abcd":
        rates.count(topic, 0.0)
    for topic in "cd":
        rates.count(topic, 1.0)
    rates.count("e", 1.0)
    assert set(rates) == {"c", "d"}


def test_long_names_are_counted_under_short_ones() -> None:
    assert counted_as("x" * 64) == "x" * 64
    long = "room of " + "x" * 1_000_000
    names = {counted_as(long), counted_as(long + "x"), counted_as("ü" * 65), counted_as("\udc80" * 65)}
    assert len(names) == 4 and {len(name) for name in names} == {65}  # which no name that stays has
    # Hubs must agree, whatever they run on.
    assert counted_as("x" * 65) == "x" * 32 + "…" + "9381e91d2e26ce9e95e4783b94d3c23f"


# ---- real hubs


def burn(seconds: float) -> None:
    end = thread_time() + seconds
    while thread_time() < end:
        pass


class Gates:
    """Where handlers wait until the test lets them go on; in the hubs' thread."""

    def __init__(self) -> None:
        self.waiting = 0
        self._events: list[gevent.event.Event] = []

    def wait(self) -> None:
        event = gevent.event.Event()
        self._events.append(event)
        self.waiting += 1
        event.wait()

    def open(self) -> None:
        events, self._events = self._events, []
        self.waiting = 0
        for event in events:
            event.set()


gates = Gates()


class Burning(StatefulBase):
    """Obeys ``text``; ``sleep`` is how many seconds of CPU it takes."""

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        if request.text == "blocks":
            burn(request.sleep / 4)
            gates.wait()
            burn(request.sleep * 3 / 4)
        elif request.text == "spawns":
            gevent.spawn(burn, request.sleep).join()
        else:
            burn(request.sleep)
        return request

    def Publish(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self.publish(request.text, request)
        return request

    def Listen(self, request: Item, call: actorrpc.Call[Item]) -> None:
        self.subscribe(request.text, call)
        call.send_initial_metadata({"listening": "yes"})


class Plain(StatelessBase):
    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        burn(request.sleep)
        return obey(Item(), call)


@pytest.fixture
def hubs() -> Iterator[Hubs]:
    gates.open()
    with serving(actorrpc.App([Burning, Plain]), 2) as hubs:
        yield hubs


@pytest.fixture
def connect(hubs: Hubs) -> Iterator[Callable[[], tuple[Any, Any]]]:
    """Makes a client; with it comes its connection, of which nothing has been asked yet."""
    channels = []

    def make() -> tuple[grpc.Channel, Any]:
        before = hubs.ask(lambda: set(hubs.nodes[0].connections))
        channels.append(
            channel := grpc.insecure_channel(hubs.address, [("grpc.use_local_subchannel_pool", 1)])
        )
        grpc.channel_ready_future(channel).result(20)
        (id,) = hubs.wait_for(lambda: set(hubs.nodes[0].connections) - before)
        return channel, hubs.nodes[0].connections[id]

    yield make
    for channel in channels:
        channel.close()


#: Far above what a call takes besides, on however slow a machine.
CPU = 0.3


def charged(connection: Any) -> float:
    """What it was charged, if all that is in doubt was a wait for the core."""
    return float(connection.usage.spent - connection.usage.doubted)


def test_a_handler_that_blocks_is_charged_for_all_it_does(hubs, connect):
    """What it burns after it was resumed is its own, and not that of who let it go on, or ran meanwhile."""
    (blocking, blocked), (other, bystander) = connect(), connect()
    before = hubs.ask(lambda: blocked.usage.spent)
    answer = StatefulStub(blocking).Unary.future(Item(text="blocks", sleep=CPU))
    hubs.wait_for(lambda: gates.waiting)
    assert hubs.ask(lambda: blocked.usage.spent) - before >= CPU / 4
    StatefulStub(other).Unary(Item())
    hubs.ask(gates.open)
    answer.result(20)
    assert hubs.ask(lambda: blocked.usage.spent) - before >= CPU
    assert hubs.ask(lambda: charged(bystander)) < CPU / 4


def test_what_a_cancelled_handler_does_at_its_end_is_charged_once(hubs, connect):
    channel, connection = connect()
    call = StatefulStub(channel).Unary.future(Item(text="blocks", sleep=0))
    hubs.wait_for(lambda: gates.waiting)
    charges = []

    def end() -> None:
        runner = next(iter(connection.calls.values())).runner
        before, all_before = connection.usage.spent, hubs.nodes[0].resources.meter.charged
        mark = connection.usage.begin(connection.usage.meter.clock())
        runner.throw(actorrpc.RpcError(actorrpc.StatusCode.ABORTED, "enough"))
        inside = connection.usage.spent - before
        connection.usage.spend(mark)
        charges.extend(
            [inside, connection.usage.spent - before, hubs.nodes[0].resources.meter.charged - all_before]
        )

    hubs.ask(end)
    inside, of_connection, of_all = charges
    assert 0 < inside < of_connection
    assert of_connection == pytest.approx(of_all)
    assert call.exception(20).code() is grpc.StatusCode.ABORTED


def test_what_a_spawned_greenlet_does_is_nobodys_but_keeps_the_hub_busy(hubs, connect):
    channel, connection = connect()
    hubs.ask(hubs.nodes[0].report)
    StatefulStub(channel).Unary(Item(text="spawns", sleep=CPU))
    assert hubs.ask(hubs.nodes[0].report).busy > 0
    assert hubs.ask(lambda: charged(connection)) < CPU / 2


def test_a_moved_connection_keeps_its_load(hubs, connect):
    channel, connection = connect()
    StatefulStub(channel).Unary(Item(sleep=CPU))
    hubs.ask(hubs.nodes[0].report)
    left = connection.usage
    assert hubs.ask(lambda: left.load(left.meter.clock())) > CPU / 100
    result = hubs.move(1)
    assert (result.outcome, result.why) == (result.MOVED, "")
    arrived = hubs.connection().usage
    assert arrived is not left and abs(arrived.born - left.born) < 1

    def look() -> tuple[Any, float, float]:
        report = hubs.nodes[1].report()
        return report, left.load(arrived._at), left.recent(arrived._at)

    report, load, recent = hubs.ask(look)
    (row,) = report.heaviest
    # Here it has spent a little on its arrival, and nothing has been forgotten.
    assert row.load >= load * 0.99 and row.recent >= recent * 0.99
    assert row.freeze_ms == left.freeze_ms > 0 and row.age > 0
    assert list(hubs.ask(hubs.nodes[0].report).heaviest) == []


def test_a_closed_connection_leaves_the_tables(hubs, connect):
    channel, connection = connect()
    StatefulStub(channel).Unary(Item(sleep=0.01))
    assert [row.id for row in hubs.ask(hubs.nodes[0].report).heaviest] == [connection.id]
    channel.close()
    hubs.wait_for(lambda: not hubs.nodes[0].connections)
    node = hubs.nodes[0]
    report = hubs.ask(node.report)
    assert (list(report.heaviest), list(report.others), report.connections) == ([], [], 0)
    assert node._reporter._warm == [] and node.resources.meter.active == []


def test_services_of_a_connection_have_their_shares(hubs, connect):
    channel, _ = connect()
    StatefulStub(channel).Unary(Item(sleep=0.001))
    StatelessStub(channel).Unary(Item(sleep=0.001))
    hubs.ask(hubs.nodes[0].list_connections)
    StatefulStub(channel).Unary(Item(sleep=CPU))
    StatelessStub(channel).Unary(Item(sleep=CPU / 10))
    (row,) = hubs.ask(hubs.nodes[0].list_connections)
    assert set(row.actors) == {"shapes.Stateful", "shapes.Stateless"}
    assert sum(row.actors.values()) == pytest.approx(row.cpu)
    assert row.actors["shapes.Stateful"] > 0 < row.actors["shapes.Stateless"]


def test_groups_are_what_is_said_the_most(hubs, connect):
    (talking, talker), (listening, listener), (quiet, _) = connect(), connect(), connect()
    heard = StatefulStub(listening).Listen(Item(text="room"))
    dict(heard.initial_metadata())
    for number in range(40):
        StatefulStub(talking).Publish(Item(text="room", number=number))
        assert next(heard).number == number
    for channel in (talking, listening, quiet):
        StatefulStub(channel).Unary(Item(sleep=0.01))
    # Rates fade within ten seconds, which forty calls do not take, even here.
    report = hubs.ask(hubs.nodes[0].report)
    groups = {row.id: row.group for row in report.heaviest}
    assert (groups[talker.id], groups[listener.id]) == ("room", "room")
    assert sorted(groups.values()) == ["", "room", "room"]
    assert report.groups["room"] > 2


def test_long_names_of_topics_make_no_long_reports(hubs, connect):
    (talking, talker), (listening, listener) = connect(), connect()
    room = "room " * 20_000
    heard = StatefulStub(listening).Listen(Item(text=room))
    dict(heard.initial_metadata())
    for number in range(40):
        StatefulStub(talking).Publish(Item(text=room, number=number))
        assert next(heard).number == number
    for channel in (talking, listening):
        StatefulStub(channel).Unary(Item(sleep=0.01))
    report = hubs.ask(hubs.nodes[0].report)
    group = counted_as(room)
    assert {row.id: row.group for row in report.heaviest} == {talker.id: group, listener.id: group}
    assert report.groups[group] > 4  # published, and sent to one
    assert report.ByteSize() < 2000
    topics = hubs.nodes[0].resources.topics
    counted = [talker.usage.published, topics._published, topics._delivered, topics._feeds._groups]
    assert {name for each in counted for name in each} == {group}
    heard.cancel()
    hubs.wait_for(lambda: not topics._feeds._groups)


def test_why_a_connection_cannot_move_is_short(hubs, connect):
    """Its subscription waits for a home that does not answer."""
    channel, connection = connect()

    hubs.ask(lambda: hubs.nodes[0].set_homes([7], 2))
    heard = StatefulStub(channel).Listen(Item(text="room " * 20_000))
    dict(heard.initial_metadata())
    why = hubs.ask(lambda: why_unquiet(connection))
    assert why.startswith("the subscription to 'room ") and len(why) < 120
    heard.cancel()
    hubs.wait_for(lambda: not connection.host.subscriptions)


def test_bytes_that_a_client_does_not_take_are_counted(hubs, connect):
    channel, connection = connect()
    usage, meter = connection.usage, hubs.nodes[0].resources.meter
    # A real backlog needs a client that does not read: see test_limits. Here, that the figure comes and goes.
    hubs.ask(lambda: usage.waits(70_000))
    assert hubs.ask(hubs.nodes[0].report).unsent_bytes == 70_000
    StatefulStub(channel).Unary(Item())
    assert hubs.ask(hubs.nodes[0].report).unsent_bytes == 0
    hubs.ask(lambda: usage.waits(70_000))
    channel.close()
    hubs.wait_for(lambda: not hubs.nodes[0].connections)
    assert meter.unsent == 0


def test_light_spending_waits_until_it_is_worth_a_look(meter: Meter, clock: Clock) -> None:
    usage = Usage(meter, "")
    spend(usage, clock, LIGHT / 2)
    assert usage.due < LIGHT
    spend(usage, clock, LIGHT)
    assert usage.due >= LIGHT
