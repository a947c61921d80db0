"""What greenlets and threads do: each once, some at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import grpc
from greenlet import greenlet

from actorrpc.hub.runtime.living import LIVING, Living
from actorrpc.hub.watching import stacks
from actorrpc.hub.watching.stacks import list_stacks
from actorrpc.pb.control_pb2 import Stack, Stacks
from tests.apps.blocking import app
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.hubs import serving


def wait() -> None:
    gevent.sleep(1000)


def fall(depth: int) -> None:
    if depth:
        fall(depth - 1)
    else:
        wait()


@contextmanager
def waiting(living: Living, *greenlets: gevent.Greenlet) -> Iterator[None]:
    """They wait, in this thread's loop."""
    for each in greenlets:
        living.add(each)
    while not all(each.gr_frame or each.dead for each in greenlets):
        gevent.sleep(0)
    try:
        yield
    finally:
        gevent.killall(greenlets)


def pages(living: Living) -> list[Stacks]:
    """All that it tells; on a busy machine little is told in one page."""
    found = [list_stacks(0, living)]
    while found[-1].more:
        found.append(list_stacks(found[-1].more, living))
    return found


def greenlets(*pages: Stacks) -> list[Stack]:
    return [stack for page in pages for stack in page.stacks if stack.kind == Stack.GREENLET]


def functions(stack: Stack) -> list[str]:
    return [frame.function for frame in stack.frames]


def test_those_that_do_the_same_are_together_and_each_is_counted_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(stacks, "LISTING", 0.0005)
    living = Living()
    with waiting(living, *(gevent.spawn((wait, fall)[each % 2], *[3] * (each % 2)) for each in range(2000))):
        found = pages(living)
        rows = greenlets(*found)
        counts = {name: sum(row.count for row in rows if row.runs == name) for name in ("wait", "fall")}
    assert counts == {"wait": 1000, "fall": 1000}
    assert len(found) > 2, "others have the loop meanwhile"
    assert all(len(greenlets(page)) <= 2 for page in found)
    fell = next(row for row in rows if row.runs == "fall")
    assert functions(fell) == ["fall"] * 4 + ["wait", "sleep"]


def test_a_deep_stack_shows_its_innermost_places() -> None:
    living = Living()
    with waiting(living, gevent.spawn(fall, 500)):
        (stack,) = greenlets(*pages(living))
    assert len(stack.frames) == 100
    assert functions(stack)[-3:] == ["fall", "wait", "sleep"]


def test_who_has_not_begun_has_ended_or_is_gone_is_not_there() -> None:
    living = Living()
    later = greenlet(wait)
    living.add(later)
    living.add(greenlet(wait))
    with waiting(living, gevent.spawn(lambda: None)):
        assert greenlets(*pages(living)) == []
        assert len(list(living.after(0))) == 2


def test_threads_are_there_but_for_the_one_that_looks() -> None:
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        end.wait()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        begun.wait()
        page = pages(Living())[-1]
    finally:
        end.set()
        thread.join()
    rows = [functions(stack) for stack in page.stacks if stack.kind == Stack.THREAD]
    assert any("work" in row for row in rows)
    assert not any("list_stacks" in row for row in rows)


def test_the_turns_of_a_hub_have_their_names() -> None:
    with serving(app) as hubs, grpc.insecure_channel(hubs.address) as channel:
        stub = StatefulStub(channel)
        calls = [stub.Beside.future(Item(text="wait", sleep=1000)) for _ in range(2)]
        calls.append(stub.Unary.future(Item(text="wait", sleep=1000)))
        stub.Beside(Item())
        id = hubs.connection().id
        wanted = {("shapes.Stateful/Beside", 2), ("shapes.Stateful/Unary", 1)}

        def look() -> list[Stack]:
            rows = [row for row in greenlets(*pages(LIVING)) if id in row.connections]
            return rows if {(row.runs, row.count) for row in rows} == wanted else []

        rows = hubs.wait_for(look)
        for call in calls:
            call.cancel()
    assert all("obey" in functions(row) and functions(row)[-1] == "sleep" for row in rows)
