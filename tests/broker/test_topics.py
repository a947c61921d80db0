"""Topics between real processes: a home that is killed, hubs that are stopped, and what the others keep."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from zlib import crc32

import grpc
import pytest

from actorrpc.broker.sharing.topic_homes import SLOTS, assign
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until

FIRST = assign([-1] * SLOTS, range(3))
#: Hub 2 has died.
NEXT = assign(FIRST, [0, 1])

MEGABYTE = bytes(1_000_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    # What has waited for a home or a hub comes to a client at once, which may be slow to read it.
    server = ServerProcess("--max-unsent-bytes", 64 * len(MEGABYTE), folder=tmp_path, hubs=3)
    try:
        server.until_ready()
        yield server
    finally:
        server.close()


def topic_of(home: int, later: int) -> str:
    """A topic whose home is one hub, and another when hub 2 has died."""
    slots = {name: crc32(name.encode()) % SLOTS for name in map(str, range(1000))}
    return next(name for name, slot in slots.items() if (FIRST[slot], NEXT[slot]) == (home, later))


@contextmanager
def client_in(server: ServerProcess, hub: int) -> Iterator[Any]:
    """A client whose connection is in a hub."""
    before = {each["id"] for each in server.connections()}
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server.address, options=options) as channel:
        stub: Any = StatefulStub(channel)
        stub.Unary(Item(), timeout=PATIENCE)
        (own,) = {each["id"] for each in server.connections()} - before
        assert server.run("move", own, hub).returncode == 0
        yield stub


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def listen(stub: Any, topic: str, publisher: Any) -> Iterator[Item]:
    """A call that has subscribed, and hears what the publisher publishes."""
    replies: Iterator[Item] = stub.Listen(Item(text=topic), timeout=3 * PATIENCE)
    dict(replies.initial_metadata())  # type: ignore[attr-defined]
    # The subscription is in force when its own connection's publication comes back.
    stub.Publish(Item(text=topic, number=-1), timeout=PATIENCE)
    assert next(replies).number == -1
    publisher.Publish(Item(text=topic, number=0), timeout=PATIENCE)
    assert next(replies).number == 0
    return replies


def resident(pid: int) -> int:
    """What a process has in memory, in megabytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    code: grpc.StatusCode = caught.value.code()  # type: ignore[attr-defined]
    return code


@pytest.mark.parametrize("later", [0, 1])
def test_a_home_dies_while_a_subscribers_hub_is_held(server: ServerProcess, later: int) -> None:
    """What the dead home had sent is unread there, and the publications after it come before the hub can ask
    its new home for them."""
    topic = topic_of(2, later)
    home = server.hub(2)["pid"]
    with client_in(server, 0) as subscriber, client_in(server, 1) as publisher:
        replies = listen(subscriber, topic, publisher)
        with stopped(server.hub(0)["pid"]):
            for number in range(1, 6):
                publisher.Publish(Item(text=topic, number=number), timeout=PATIENCE)
            # All that came over the link before has been heard by the home when it answers for this one.
            until(lambda: not_held(server, 1))
            os.kill(home, signal.SIGKILL)
            for number in range(6, 11):
                publisher.Publish(Item(text=topic, number=number), timeout=PATIENCE)
            until(lambda: server.hub(2)["pid"] not in (home, None) and server.hub(2)["state"] == "serving")
            for number in range(11, 16):
                publisher.Publish(Item(text=topic, number=number), timeout=PATIENCE)
        heard = [next(replies).number for _ in range(15)]
        assert heard == [*range(1, 16)]


def not_held(server: ServerProcess, hub: int) -> bool:
    """Whether nothing of a hub's connections waits for a topic's home."""
    rows = [each for each in server.connections() if each["hub"] == hub]
    return bool(rows) and not any("acknowledged" in each["why"] for each in rows)


def test_a_hub_that_comes_back_gets_its_share_of_topics_and_nobody_notices(server: ServerProcess) -> None:
    """They are handed over by hubs that live, while messages are published."""
    shared = assign(NEXT, [0, 1, 2], share=True)
    slots = {name: crc32(name.encode()) % SLOTS for name in map(str, range(5000))}
    topic = next(name for name, slot in slots.items() if (FIRST[slot], shared[slot]) == (1, 2))
    numbers = count(1)
    with client_in(server, 0) as subscriber, client_in(server, 1) as publisher:
        replies = listen(subscriber, topic, publisher)

        def publish() -> int:
            number = next(numbers)
            publisher.Publish(Item(text=topic, number=number), timeout=PATIENCE)
            return number

        def at_its_home() -> bool:
            with stopped(server.hub(2)["pid"]):
                publish()
                return not not_held(server, 1)  # if another hub is the home, it has answered

        os.kill(server.hub(2)["pid"], signal.SIGKILL)
        until(lambda: publish() and "hub 2 serves again" in server.log)
        until(at_its_home)
        last = publish()
        assert [next(replies).number for _ in range(last)] == [*range(1, last + 1)]


def test_a_stopped_subscriber_makes_no_other_hub_grow(server: ServerProcess) -> None:
    topic = topic_of(1, 1)
    pid = server.hub(1)["pid"]
    with client_in(server, 0) as subscriber, client_in(server, 1) as publisher:
        replies = listen(subscriber, topic, publisher)
        before = resident(pid)
        with stopped(server.hub(0)["pid"]):
            for number in range(1, 101):
                publisher.Publish(Item(text=topic, number=number, body=MEGABYTE), timeout=PATIENCE)
            grown = resident(pid) - before
        assert grown < 80, f"{grown} MB for 100 MB that nobody reads"
        heard = []
        with pytest.raises(grpc.RpcError) as caught:
            heard.extend(each.number for each in replies)
        assert caught.value.code() is grpc.StatusCode.DATA_LOSS  # type: ignore[attr-defined]
        assert heard == [*range(1, len(heard) + 1)]


def test_a_stopped_home_makes_no_other_hub_grow(server: ServerProcess) -> None:
    topic = topic_of(0, 0)
    pid = server.hub(1)["pid"]
    with client_in(server, 2) as subscriber, client_in(server, 1) as publisher:
        replies = listen(subscriber, topic, publisher)
        before, accepted = resident(pid), 0
        with stopped(server.hub(0)["pid"]):

            def publish() -> None:
                nonlocal accepted
                for number in range(1, 101):
                    publisher.Publish(Item(text=topic, number=number, body=MEGABYTE), timeout=PATIENCE)
                    accepted = number

            assert code_of(publish) is grpc.StatusCode.UNAVAILABLE
            grown = resident(pid) - before
        assert 0 < accepted < 40
        assert grown < 80, f"{grown} MB for a home that does not answer"
        assert [next(replies).number for _ in range(accepted)] == [*range(1, accepted + 1)]
        until(lambda: "a publication was refused" in server.log)
