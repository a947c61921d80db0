"""Statuses, metadata and deadlines, as grpcio's client and the bytes themselves show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import actorrpc
from actorrpc import RpcError, StatusCode
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.hub.calls.replies import drained
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient
from tests.support.view import View

CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


@pytest.fixture(scope="module", params=[0, 1], ids=["still", "moved-every-turn"])
def hubs(request: pytest.FixtureRequest) -> Iterator[Hubs]:
    with serving(app, 2, move_every=request.param) as hubs:
        yield hubs


@pytest.fixture
def stub(hubs: Hubs) -> Iterator[StatelessStub]:
    with connect(hubs) as channel:
        yield StatelessStub(channel)


def one(item: Item) -> Iterator[Item]:
    return iter([item])


#: How to call each shape: a thing with ``code()``, ``details()`` and metadata.
SHAPES: dict[str, Callable[[StatelessStub, Item, Any], Any]] = {
    "unary": lambda stub, item, metadata: stub.Unary.future(item, metadata=metadata),
    "response stream": lambda stub, item, metadata: drained(stub.Expand(item, metadata=metadata)),
    "request stream": lambda stub, item, metadata: stub.Collect.future(one(item), metadata=metadata),
    "both": lambda stub, item, metadata: drained(stub.Talk(one(item), metadata=metadata)),
}
shapes = pytest.mark.parametrize("begin", SHAPES.values(), ids=SHAPES)


@shapes
@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_every_status_from_every_shape(stub, begin, code):
    call = begin(stub, Item(status=code.value[0], text="so it is"), ())
    assert (call.code(), call.details()) == (code, "so it is")
    assert ("why", "asked for") in [tuple(pair) for pair in call.trailing_metadata()]


@shapes
@pytest.mark.parametrize(
    "message",
    ["", "100%", "%41%zz", "a\r\nb\tc\0\x7f", " spaces ", "zoë ☃ 𝄞", '"quoted" \\ /', "x" * 4000],
    ids=ascii,
)
def test_messages_of_statuses_arrive_as_they_are(stub, begin, message):
    call = begin(stub, Item(status=5, text=message), ())
    assert (call.code(), call.details()) == (grpc.StatusCode.NOT_FOUND, message)


@shapes
@pytest.mark.parametrize("status", [0, 5])
def test_metadata_goes_both_ways_in_all_shapes(stub, begin, status):
    """Initial and trailing; repeated keys; bytes that are no text, and the bytes of a comma."""
    values = [b"\0\xff", b"", b"a,b", bytes(range(256))]
    sent = [("initial", "one two"), *(("trailing-bin", value) for value in values)]
    call = begin(stub, Item(number=1, status=status), sent)
    assert ("initial", "one two") in [tuple(pair) for pair in call.initial_metadata()]
    assert [value for key, value in call.trailing_metadata() if key == "trailing-bin"] == values
    assert call.code().value[0] == status


class Telling(StatelessBase):
    """Replies with the request's metadata, or sends what a client of its own asks for."""

    def Unary(self, request, call):
        if request.text:
            method = getattr(call, request.text)
            for name in RESERVED:
                with pytest.raises(ValueError, match=r"reserved|use lower-case"):
                    method({name: "x"})
                with pytest.raises(ValueError, match=r"reserved|use lower-case"):
                    method({name: []})
        return Item(text=repr({key: call.metadata.get_all(key) for key in sorted(call.metadata)}))

    def Expand(self, request, call):
        return [Item(text=repr(call.time_remaining()))]


RESERVED = [
    "grpc-status",
    "grpc-message",
    "grpc-timeout",
    ":status",
    ":path",
    "content-type",
    "te",
    "Upper",
    "",
]


@pytest.mark.parametrize("method", ["send_initial_metadata", "set_initial_metadata", "set_trailing_metadata"])
def test_reserved_names_are_refused(method):
    with serving(actorrpc.App([Telling])) as hubs, connect(hubs) as channel:
        call = StatelessStub(channel).Unary.future(Item(text=method))
        assert call.exception(10) is None
        assert [key for key, _ in (*call.initial_metadata(), *call.trailing_metadata())] == []


def test_handlers_see_all_values_and_none_of_the_protocols_own():
    sent = [("k", "1"), ("b-bin", b"\0"), ("k", "2, 3"), ("b-bin", b","), ("k", ""), ("user-agent-x", "u")]
    with serving(actorrpc.App([Telling])) as hubs, connect(hubs) as channel:
        seen = eval(StatelessStub(channel).Unary(Item(), metadata=sent, timeout=10).text)
    assert seen.pop("user-agent")[0].startswith("grpc-python")
    assert seen == {"k": ("1", "2, 3", ""), "b-bin": (b"\0", b","), "user-agent-x": ("u",)}


# ---- on the wire


def exchange(hubs: Hubs, *requests: bytes) -> dict[int, list[tuple[str, Any]]]:
    """What a client sees of each stream that these frames begin, once all have ended."""
    with RawClient(hubs.address, raw.OPEN + b"".join(requests)) as client:
        while sum(map(ends, client.frames)) < len(requests):
            client.receive()
    return View(b"".join(raw.frame(*each) for each in client.frames)).streams


def ends(frame: raw.Frame) -> bool:
    """Whether it ends a stream."""
    return frame[0] == raw.HEADERS and bool(frame[1] & raw.END_STREAM)


def request(stream: int, path: str, item: Item | None, *extra: tuple[str, str], end: bool = True) -> bytes:
    fields = [(name, path if name == ":path" else value) for name, value in raw.request("", *extra)]
    last = raw.END_STREAM if end else 0
    if item is None:
        return raw.headers(stream, fields, raw.END_HEADERS | last)
    return raw.headers(stream, fields) + raw.data(stream, raw.message(item.SerializeToString()), last)


RESPONSE = [(b":status", b"200"), (b"content-type", b"application/grpc")]


@pytest.mark.parametrize("method", ["Unary", "Expand", "Collect", "Talk"])
def test_an_immediate_error_is_trailers_only(hubs, method):
    item = Item(status=5, text="50%")
    seen = exchange(hubs, request(1, f"/shapes.Stateless/{method}", item))
    status = [(b"grpc-status", b"5"), (b"grpc-message", b"50%25"), (b"why", b"asked for")]
    assert seen[1] == [("headers", [*RESPONSE, *status])]


def test_errors_before_any_handler_are_trailers_only(hubs):
    """And where the client has not ended its side, RST_STREAM tells it to stop."""
    item = Item()
    seen = exchange(
        hubs,
        request(1, "/shapes.Stateless/Nope", item),
        request(3, "/shapes.Stateless/Nope", None, end=False),
        request(5, "/shapes.Stateless/Unary", None),
        request(7, "/shapes.Stateless/Unary", item, ("grpc-timeout", "0S")),
        request(9, "/shapes.Stateless/Unary", item, ("grpc-timeout", "soon")),
        request(11, "/shapes.Stateless/Unary", None, ("grpc-timeout", "1m"), end=False),
        request(13, "/shapes.Stateful/Talk", Item(status=9), end=False),
    )
    statuses = {}
    for stream, (first, *rest) in seen.items():
        assert first[0] == "headers" and first[1][:2] == RESPONSE
        statuses[stream] = int(dict(first[1])[b"grpc-status"])
        assert rest == ([("reset", 0)] if stream in (3, 11, 13) else [])
    assert statuses == {1: 12, 3: 12, 5: 12, 7: 4, 9: 13, 11: 4, 13: 9}


# ---- deadlines


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1H", 3600), ("1M", 60), ("30S", 30), ("90000m", 90), ("90000000u", 90), ("99999999n", 0.099999999),
        ("99999999H", 99999999 * 3600.0), ("00000010S", 10),
    ],
)  # fmt: skip
def test_all_units_of_timeouts_reach_the_handler(text, seconds):
    with serving(actorrpc.App([Telling])) as hubs:
        seen = exchange(hubs, request(1, "/shapes.Stateless/Expand", Item(), ("grpc-timeout", text)))
    (_, _), (kind, data), _ = seen[1]
    assert kind == "data"
    remaining = float(Item.FromString(data[5:]).text)
    assert seconds - 5 < remaining <= seconds


def test_a_deadline_beyond_all_clocks_does_no_harm(hubs):
    slow = Item(sleep=0.01)  # so that a timer is started
    seen = exchange(hubs, request(1, "/shapes.Stateless/Unary", slow, ("grpc-timeout", "99999999H")))
    assert seen[1][-1] == ("trailers", [(b"grpc-status", b"0")])


def test_a_deadline_that_has_passed_at_the_client(stub):
    call = stub.Unary.future(Item(), timeout=-1)
    assert call.exception(10).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.Unary(Item(number=1), timeout=10).number == 1


@pytest.mark.parametrize("timeout", ["1n", "1u", "0H"])
def test_a_deadline_that_passes_at_once_is_told_by_the_server(hubs, timeout):
    seen = exchange(hubs, request(1, "/shapes.Stateless/Unary", Item(sleep=60), ("grpc-timeout", timeout)))
    assert (b"grpc-status", b"4") in seen[1][0][1]


def test_a_deadline_in_mid_stream_comes_after_what_was_sent(stub):
    def requests() -> Iterator[Item]:
        yield Item(number=1)
        yield Item(sleep=60)

    for timeout in (0.5, 2, 8):  # as short as the machine allows
        replies = stub.Talk(requests(), timeout=timeout)
        heard: list[int] = []
        with pytest.raises(grpc.RpcError) as caught:
            for reply in replies:
                heard.append(reply.number)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if heard:
            break
    assert heard == [1]


# ---- google.rpc.Status

VIOLATION = error_details_pb2.BadRequest.FieldViolation(field="nick", description="zu kurz ☃")
BAD_REQUEST = error_details_pb2.BadRequest(field_violations=[VIOLATION])
RETRY = error_details_pb2.RetryInfo()
RETRY.retry_delay.FromMilliseconds(1500)


class Detailed(StatelessBase):
    def _fail(self, request: Item) -> None:
        details: list[Any] = [BAD_REQUEST, RETRY]
        if request.number:
            details = [error_details_pb2.DebugInfo(detail="d" * request.number)]
        packed = AnyMessage()
        packed.Pack(request)
        raise RpcError(StatusCode.INVALID_ARGUMENT, "fünf: 5 %", {"also": "this"}, [*details, packed])

    def Unary(self, request, call):
        self._fail(request)

    def Expand(self, request, call):
        self._fail(request)

    def Collect(self, message, call):
        self._fail(message)

    def Talk(self, message, call):
        call.send(message)
        self._fail(message)


@shapes
def test_details_are_read_by_grpcios_status_client(begin):
    with serving(actorrpc.App([Detailed])) as hubs, connect(hubs) as channel:
        call = begin(StatelessStub(channel), Item(text="the request"), ())
        assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
        status = rpc_status.from_call(call)
        assert ("also", "this") in [tuple(pair) for pair in call.trailing_metadata()]
    assert (status.code, status.message) == (3, "fünf: 5 %")
    bad_request, retry, request = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo(), Item()
    for any_, message in zip(status.details, (bad_request, retry, request), strict=True):
        assert any_.Unpack(message)
    assert (bad_request, retry, request) == (BAD_REQUEST, RETRY, Item(text="the request"))


@pytest.mark.parametrize("size", [5_000, 30_000])
def test_details_over_the_clients_limit_cost_the_status(size):
    """grpcio takes 8 kB of metadata for sure, and over 16 kB never, unless it is told to take more."""
    with serving(actorrpc.App([Detailed])) as hubs:
        for limit, read in ((None, size < 8_000), (100_000, True)):
            options = [("grpc.use_local_subchannel_pool", 1)]
            if limit:
                options += [
                    ("grpc.max_metadata_size", limit),
                    ("grpc.absolute_max_metadata_size", limit),
                ]
            with grpc.insecure_channel(hubs.address, options=options) as channel:
                call = StatelessStub(channel).Unary.future(Item(number=size))
                error = call.exception(10)
                if read:
                    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
                    assert len(rpc_status.from_call(call).details) == 2
                else:
                    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                    assert "metadata size exceeds" in error.details()


def test_details_need_messages_and_a_status_and_its_package(monkeypatch):
    with pytest.raises(TypeError, match=r"are Protobuf messages, not 'no message'"):
        RpcError(StatusCode.ABORTED, details=["no message"])  # type: ignore[list-item]
    assert RpcError(StatusCode.ABORTED, "\ud800", details=[RETRY]).metadata["grpc-status-details-bin"]
    assert RpcError(StatusCode.ABORTED).metadata == {}
    own = RpcError(StatusCode.ABORTED, "", {"grpc-status-details-bin": b"own"})
    assert own.metadata == {"grpc-status-details-bin": b"own"}
    monkeypatch.setitem(__import__("sys").modules, "google.rpc.status_pb2", None)
    with pytest.raises(ImportError, match=r"pip install 'actorrpc\[status\]'"):
        RpcError(StatusCode.ABORTED, details=[RETRY])


RETRIES = """{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.01s",
"maxBackoff": "0.01s", "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}"""


def test_a_handler_sees_which_attempt_it_serves() -> None:
    """A client that retries says how often it has tried before (gRFC A6), and nothing the first time."""
    attempts: list[Any] = []

    class Unreliable(StatelessBase):
        def Unary(self, request, call):
            attempts.append(call.metadata.get("grpc-previous-rpc-attempts"))
            if len(attempts) < 3:
                raise RpcError(StatusCode.UNAVAILABLE)
            return Item(number=len(attempts))

    options = [("grpc.service_config", RETRIES), ("grpc.use_local_subchannel_pool", 1)]
    with serving(actorrpc.App([Unreliable])) as hubs, grpc.insecure_channel(hubs.address, options) as channel:
        assert StatelessStub(channel).Unary(Item(), timeout=60).number == 3
    assert attempts == [None, "1", "2"]
