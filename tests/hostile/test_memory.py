"""The memory that one client can make a hub hold: each term of the formula in docs/operate/security.md, as a
hub's process takes it when a client does its worst: no more than the formula says, and not much less."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from actorrpc.config import Config
from tests.apps.shapes_pb2 import Item
from tests.hostile.attacker import SHUT, WIDE, Attacker, Requests
from tests.hostile.hub import MB, Hub
from tests.support import raw
from tests.support.server_process import served

DOCS = Path(__file__).parents[2] / "docs" / "operate" / "security.md"

#: A term of the formula may be so many times what can be made of it.
TOO_MUCH = 4

#: Connections that do the same: what a process takes grows in steps of megabytes.
CLIENTS = 8

LIMITS = {
    "max_concurrent_streams": 200,
    "max_connection_window_bytes": MB,
    "connection_window_bytes": MB,
    "stream_window_bytes": MB,
    "max_stream_window_bytes": MB,
    "max_mailbox": 2000,
    "max_incomplete_bytes": 4 * MB,
    "max_receive_message_bytes": 2 * MB,
    "max_parsed_bytes": 4 * MB,
    "max_unsent_bytes": 2 * MB,
    "max_unsent_connection_bytes": 4 * MB,
    "flood_burst": 0,
    "permit_keepalive_time": 0,
}
CONFIG = Config(**LIMITS)
STREAMS = CONFIG.max_concurrent_streams

SLEEP = Item(sleep=3600).SerializeToString()


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A new one for each: what it has given back to the allocator would be taken again without a trace."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in LIMITS.items()]
    with served(*options, hubs=1) as server:
        hub = Hub(server)
        try:
            yield hub
        finally:
            hub.close()
            print(server.log[-3000:])


def formula() -> dict[str, str]:
    """The terms: what it is for, and an expression of the options."""
    section = DOCS.read_text().split("What one connection may hold", 1)[1]
    return dict(re.findall(r"^\| ([^|]+?) \| `([^`]+)` \|$", section, re.MULTILINE))


def value_of(term: str) -> int:
    options: dict[str, Any] = {name: getattr(CONFIG, name) for name in Config.__dataclass_fields__}
    return int(eval(formula()[term], {"__builtins__": {}, "max": max, "kB": 1000, "MB": 10**6}, options))


class Client(Attacker):
    """An attacker that knows when the server has done all that it was asked."""

    def __init__(self, address: str, opening: bytes = WIDE) -> None:
        super().__init__(address, opening)
        self.requests = Requests()

    def settle(self, data: bytes = b"") -> None:
        """Send it, in one piece with what asks for an answer, and wait until all has been read."""
        pings = self.seen[raw.PING]
        self.send(data + raw.frame(raw.PING, 0, 0, b"settled?"))
        self.wait(lambda: self.seen[raw.PING] > pings)

    def settle_turns(self) -> None:
        """Wait until what was sent before has had its turn."""
        self.send(self.requests.call(b"", "Stateless/Unary"))
        assert self.status(self.requests.last) == 0


@contextmanager
def clients(
    hub: Hub, fill: Callable[[Client], None], count: int = CLIENTS, opening: bytes = WIDE
) -> Iterator[float]:
    """What one of them makes the hub hold, in bytes."""
    with ExitStack() as opened:

        def one_more() -> Client:
            client = opened.enter_context(Client(hub.address, opening))
            fill(client)
            assert client.goaway is None and not client.ended
            return client

        one_more()  # what is made once
        before = hub.resident()
        for _ in range(count):
            one_more()
        hub.bystander.take(1)
        yield (hub.resident() - before) / count


def check(term: str, taken: float) -> None:
    said = value_of(term)
    print(f"{term}: {taken:,.0f} bytes, of {said:,}")
    assert said / TOO_MUCH <= taken <= said


# ---- the terms


def test_a_connection(hub: Hub) -> None:
    """Without a call: its table of headers is full, and so is all else that it remembers: header blocks, the
    last request, calls that it has reset. Half a frame has come."""
    table = b"".join(b"\x40" + raw.literal(f"{number:02}") + raw.literal("") for number in range(130))
    last = raw.block([(f"a{number:02}", f"b{number:02}") for number in range(50)])
    blocks = [table, *[raw.block([("n", f"{number:03}")] * 20) for number in range(STREAMS)], last]

    def fill(client: Client) -> None:
        head = raw.block(raw.request("Unknown"))
        frames = [
            raw.frame(raw.HEADERS, raw.END_HEADERS, 2 * number + 1, head + block)
            for number, block in enumerate(blocks)
        ]
        client.settle(b"".join(frames))
        assert len(client.resets) == len(blocks)
        client.send(raw.data(1, bytes(16_000))[:-1])
        wait_until_read(hub, client)

    with clients(hub, fill, count=50) as taken:
        check("a connection", taken)


#: What fills a header list up to the limit, for one call: many small fields, or a large one.
FILLERS = {
    "small fields": lambda stream: raw.block(
        [(f"x{number % 100:02}", f"{number // 100:02}") for number in range(430)]
    ),
    "a large field": lambda stream: raw.block([("x", f"{stream}" + "x" * 15_900)]),
}


@pytest.mark.parametrize("filler", FILLERS)
def test_open_calls(hub: Hub, filler: str) -> None:
    """Calls that send no message. What they are told in small fields takes no more than in large ones."""

    def fill(client: Client) -> None:
        warm = client.requests.open("Stateless/Collect", ("grpc-timeout", "1H"))
        client.send(warm + raw.frame(raw.RST_STREAM, 0, 1, bytes(4)))
        warm = client.requests.open("Stateless/Collect", ("grpc-timeout", "1H"))[9:]
        for stream in range(3, 3 + 2 * STREAMS, 2):
            client.send(raw.frame(raw.HEADERS, raw.END_HEADERS, stream, warm + FILLERS[filler](stream)))
        client.settle()
        assert not client.resets and not client.fields

    with clients(hub, fill) as taken:
        if filler == "a large field":
            check("open calls", taken)
        assert taken <= value_of("open calls")


def sleep(client: Client) -> None:
    for _ in range(STREAMS - 1):
        client.send(client.requests.call(SLEEP, "Stateless/Unary"))
    client.settle_turns()


def test_handlers_that_wait(hub: Hub) -> None:
    with clients(hub, sleep) as taken:
        check("handlers that wait", taken)


def all_that_the_windows_take(client: Client, messages: bytes) -> None:
    """Messages for an actor that is busy, on many calls, until no window is opened for more. The connection's
    is opened while no more than one of messages waits, also for messages that do not wait: so two may."""
    window = CONFIG.max_connection_window_bytes
    taken = Item(body=bytes(15_000)).SerializeToString()
    client.send(client.requests.call(SLEEP, "Stateful/Unary"))
    on_stream, sent, waiting = window, len(raw.message(SLEEP)), 0
    while 65_535 + client.granted[0] - sent >= len(messages) + len(taken):
        if on_stream + len(messages) > window // 2:
            client.send(client.requests.open("Stateful/Talk"))
            on_stream = 0
        client.settle(raw.data(client.requests.last, messages))
        sent, waiting, on_stream = sent + len(messages), waiting + len(messages), on_stream + len(messages)
        if 0.93 * window < waiting < 0.97 * window:
            talk, sent = client.requests.last, sent + len(raw.message(taken))
            client.send(client.requests.call(taken, "Stateless/Unary"))
            assert client.status(client.requests.last) == 0
            client.requests.last = talk
    assert waiting > 1.4 * window  # twice, less what each message counts beside its bytes


@pytest.mark.parametrize(
    "messages", [raw.message(bytes(16_000)), raw.message(b"") * 3200], ids=["large", "empty"]
)
def test_messages_that_wait(hub: Hub, messages: bytes) -> None:
    with clients(hub, lambda client: all_that_the_windows_take(client, messages)) as taken:
        check("messages that wait", taken)


def never_end(client: Client) -> None:
    """Messages that lack their last byte."""
    size = CONFIG.max_receive_message_bytes
    left = max(CONFIG.max_incomplete_bytes, size)
    while left > size // 2:
        client.send(client.requests.open("Stateless/Collect"))
        part = min(left, size) - 1000
        client.send(
            b"".join(
                raw.data(client.requests.last, piece) for piece in pieces(raw.message(bytes(size))[:part])
            )
        )
        left -= part
    client.settle()


def pieces(data: bytes) -> list[bytes]:
    return [data[at : at + 16_000] for at in range(0, len(data), 16_000)]


def test_incomplete_messages(hub: Hub) -> None:
    with clients(hub, never_end) as taken:
        check("incomplete messages", taken)


def hold(client: Client) -> None:
    """Messages that are small on the wire, until there is no room for more."""
    body = gzip.compress(Item(sleep=3600, body=bytes(MB)).SerializeToString(), 9)
    for _ in range(20):
        client.send(client.requests.open("Stateless/Unary", ("grpc-encoding", "gzip")))
        client.send(raw.data(client.requests.last, raw.message(body, 1), raw.END_STREAM))
    assert client.status(client.requests.last) == 8
    client.settle_turns()


def test_what_handlers_have(hub: Hub) -> None:
    with clients(hub, hold) as taken:
        check("what handlers have", taken)


def read_nothing(client: Client) -> None:
    """Replies that find no window, until there is no room for more."""
    request = Item(number=4, body=bytes(400_000)).SerializeToString()
    for _ in range(5):
        client.send(client.requests.open("Stateful/Expand"))
        framed = pieces(raw.message(request))
        client.send(b"".join(raw.data(client.requests.last, piece) for piece in framed[:-1]))
        client.send(raw.data(client.requests.last, framed[-1], raw.END_STREAM))
    client.settle()


def test_replies(hub: Hub) -> None:
    with clients(hub, read_nothing, opening=SHUT) as taken:
        check("replies", taken)


def test_a_header_block(hub: Hub) -> None:
    """One that never ends."""

    def fill(client: Client) -> None:
        client.send(raw.frame(raw.HEADERS, 0, 1, bytes(16_000)))
        for _ in range(64):
            client.send(raw.frame(raw.CONTINUATION, 0, 1, bytes(16_000)))
        wait_until_read(hub, client)

    with clients(hub, fill) as taken:
        check("a header block", taken)


def wait_until_read(hub: Hub, client: Client) -> None:
    """As ``settle``, where no PING may come: in the midst of a frame, or of a header block."""
    while unread(client):
        hub.bystander.take(1)
    hub.bystander.take(1)


def unread(client: Client) -> int:
    """Bytes of it that the server has not read, by the kernel's table of sockets (proc_pid_net(5))."""
    port = f":{int(client.name.rpartition(':')[2]):04X}"
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        sent, received = queues.split(":")
        if local.endswith(port):
            count += int(sent, 16)
        elif remote.endswith(port):
            count += int(received, 16)
    return count


def test_each_term_is_measured() -> None:
    measured = set(re.findall(r'check\("([^"]+)"', Path(__file__).read_text()))
    assert measured == set(formula())
