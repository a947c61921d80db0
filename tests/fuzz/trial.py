"""One session under trial: a client's bytes go in, its owner answers, and the model judges every step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from actorrpc.config import Config
from actorrpc.errors import RpcError, SnapshotError, StatusCode
from actorrpc.metadata import Metadata
from actorrpc.pb.snapshot_pb2 import SessionSnapshot
from actorrpc.wire.compression import IDENTITY, Compressed, decompress
from actorrpc.wire.events import (
    Drained,
    Event,
    Faulted,
    MessageReceived,
    RequestReceived,
    StreamEnded,
    StreamRefused,
    StreamReset,
)
from actorrpc.wire.head import parse_timeout
from actorrpc.wire.responses import trailers
from actorrpc.wire.server import ServerSession
from actorrpc.wire.snapshot import freeze_session, thaw_session
from actorrpc.wire.stream import Stream
from tests.support.raw import SETTINGS, WINDOW_UPDATE

from .bounds import check_bounds
from .grammar import MESSAGE_LIMIT, Step
from .model import CANCEL, ENHANCE_YOUR_CALM, Act, Model, Wrong

__all__ = ["CONFIG", "IMPATIENT", "PINGED", "STEADY", "Trial"]

#: Limits that a fuzzed client reaches, and the smallest windows there are.
CONFIG = Config(
    max_concurrent_streams=10,
    max_receive_message_bytes=MESSAGE_LIMIT,
    max_header_list_bytes=1000,
    stream_window_bytes=65_535,
    max_stream_window_bytes=200_000,
    connection_window_bytes=100_000,
    max_connection_window_bytes=300_000,
    flood_burst=0,
    permit_keepalive_time=0.0,
)
#: Windows that stay as they are.
STEADY = replace(CONFIG, max_stream_window_bytes=65_535, max_connection_window_bytes=100_000)
#: A server that loses its patience with floods, and with PINGs.
IMPATIENT = replace(CONFIG, flood_burst=1500, flood_rate=1000)
PINGED = replace(CONFIG, permit_keepalive_time=300.0)

#: Bytes that an owner lets wait on a stream, and output that no input has to be worth.
ENOUGH = 200_000

#: What an owner does of its own accord, by ``id >> 1 & 7``: most answer, some are slow, some end early.
ECHO, UNARY, HOLD, SILENT, EARLY, BURST, RESET, TAKE = range(8)


@dataclass
class Call:
    """An open call, and the lengths of the messages that its owner has not taken."""

    stream: Stream
    held: list[int] = field(default_factory=list)


class Trial:
    """A session, its owner and its client's model.

    ``restless``: the session moves at each opportunity. ``seen`` and ``sent`` are then as without.
    """

    def __init__(self, config: Config = CONFIG, *, restless: bool = False, record: bool = False) -> None:
        self.config = config
        self.session = ServerSession(config)
        self.model = Model(config)
        self.restless = restless
        self.moves = 0
        #: All events and all output, if they are to be recorded.
        self.seen: list[Act] = []
        self.sent = bytearray()
        self._record = record
        #: Where two streams wait for one window, a move may change whose turn is next.
        self.contended = False
        self._calls: dict[int, Call] = {}
        #: What the owner did since the model last followed.
        self._acts: list[Act] = []
        #: Streams whose bytes had to wait: they owe a ``Drained``.
        self._waited: set[int] = set()

    # ---- the client

    def feed(self, data: bytes) -> None:
        """The client's next bytes, in one read, or in as few as leave no doubt about its windows."""
        while data:
            end = self._end_of_piece(data)
            self._receive(data[:end])
            data = data[end:]

    def _end_of_piece(self, data: bytes) -> int:
        """Where to cut: behind a frame that lets waiting bytes go, so that both sides count the same."""
        if not self.model.waiting:
            return len(data)
        begun = len(self.model.buffer)
        whole = self.model.buffer + data
        at = 0
        while len(whole) - at > 3:
            type_ = whole[at + 3]
            at += 9 + int.from_bytes(whole[at : at + 3], "big")
            if type_ in (SETTINGS, WINDOW_UPDATE) and begun < at <= len(whole):
                return at - begun
        return len(data)

    def _receive(self, piece: bytes) -> None:
        session = self.session
        events = session.receive_data(piece)
        if not session.faulted:  # else the hub closes it, and nobody reacts
            for event in events:
                self._react(event)
        if self.restless:
            self._move()
        output = self._flush()
        self.model.granted(output)
        due = self.model.receive(piece)
        seen = [name for event in events for name in _names(event)]
        if seen[-1:] == [("fault", ENHANCE_YOUR_CALM)] and self.model.impatient:
            self.model.calm(seen, due)
            self._acts.clear()
            return
        if seen != due:
            raise Wrong(f"the session reports {_brief(seen)}, not {_brief(due)}")
        self._follow(output)
        if self._record:
            self.seen += seen

    # ---- the owner

    def own(self, step: Step) -> None:
        """A step of the owner's: consume, answer, finish, reset, shutdown or move."""
        kind, a, b, c = step
        if self.session.faulted:
            return
        calls = list(self._calls.values())
        call = calls[a % len(calls)] if calls else None
        if kind == "move":
            self._move()
        elif kind == "keepalive":
            if self.session.greeted:
                self.session.ping()
                self._acts.append(("ping",))
        elif kind in ("shutdown", "end_shutdown"):
            getattr(self.session, kind)()
            self._acts.append((kind,))
        elif call is None:
            return
        elif kind == "consume":
            self._consume(call, 1 + b % 4)
        elif kind == "answer":
            self._message(call, bytes((c,)) * (b * c))
        elif kind == "finish":
            self._finish(call)
        else:
            self._reset(call)
        self._answer()

    def _answer(self) -> None:
        if self.restless:
            self._move()
        output = self._flush()
        self.model.granted(output)
        self._follow(output)

    def _react(self, event: Event) -> None:
        """What the hub does with an event, at once; it ignores those of calls that it has ended."""
        if isinstance(event, Drained):
            self._drained(event)
            return
        if isinstance(event, StreamRefused):
            self.session.outbound.cut_off(event.stream, trailers(event.status, event.message))
            self._acts.append(("refuse", event.stream.id, int(event.status)))
            event = StreamReset(event.stream, CANCEL)
        assert isinstance(event, (RequestReceived, MessageReceived, StreamEnded, StreamReset))
        id = event.stream.id
        if isinstance(event, RequestReceived):
            self._calls[id] = Call(event.stream)
            if event.stream.head.encoding != IDENTITY:
                event.stream.encoding = event.stream.head.encoding
            Metadata(event.stream.head.fields)  # as a handler sees it, whatever the client put there
            parse_timeout(event.stream.timeout)
            return
        call = self._calls.get(id)
        if call is None:
            if isinstance(event, MessageReceived):
                self.session.inbound.consumed(event.stream, len(event.payload))
                self._acts.append(("consumed", id, len(event.payload)))
        elif isinstance(event, StreamReset):
            self._drop(call)
        elif isinstance(event, StreamEnded):
            self._ended(call)
        else:
            self._take(call, event.payload)
            if event.last and id in self._calls:
                self._ended(call)

    def _take(self, call: Call, payload: bytes) -> None:
        habit = call.stream.id >> 1 & 7
        call.held.append(len(payload))
        if isinstance(payload, Compressed):
            try:
                decompress(call.stream.head.encoding, payload, MESSAGE_LIMIT)
            except RpcError:
                pass  # which is how its call would end
        if habit != HOLD:
            self._consume(call)
        if habit == ECHO:
            self._message(call, payload)
        elif habit == BURST:
            for count in range(5):
                self._message(call, b"%d" % count * len(payload))
        elif habit == EARLY:
            self._finish(call)
        elif habit == RESET:
            self._reset(call)

    def _ended(self, call: Call) -> None:
        habit = call.stream.id >> 1 & 7
        if habit == UNARY:
            self.session.outbound.reply(call.stream, b"reply")
            self._acts += [("message", call.stream.id, b"reply", False), ("finish", call.stream.id, 0)]
            self._drop(call)
        elif habit not in (HOLD, SILENT):
            self._finish(call)

    def _consume(self, call: Call, count: int = 1 << 30) -> None:
        while call.held and count:
            count -= 1
            length = call.held.pop(0)
            self.session.inbound.consumed(call.stream, length)
            self._acts.append(("consumed", call.stream.id, length))

    def _message(self, call: Call, payload: bytes) -> None:
        if call.stream.unsent_bytes < ENOUGH:
            self.session.outbound.message(call.stream, payload)
            self._acts.append(("message", call.stream.id, payload, isinstance(payload, Compressed)))
            if call.stream.unsent:
                self._waited.add(call.stream.id)

    def _finish(self, call: Call) -> None:
        id = call.stream.id
        status = StatusCode.OK if id & 16 else StatusCode.NOT_FOUND
        if id & 32:  # response metadata of its own; now and then, more than a frame holds
            value = b"1" * 17_000 if id & 64 else b"1"
            self.session.outbound.headers(call.stream, [(b"x-initial", value)])
            self._acts.append(("headers", id))
        self.session.outbound.finish(call.stream, trailers(status, "", [(b"x-trailing", b"1")]))
        self._acts.append(("finish", id, int(status)))
        self._waited.discard(id)  # nothing is said of a call that goes with its last byte
        self._drop(call)

    def _reset(self, call: Call) -> None:
        self.session.outbound.reset(call.stream, 2)
        self._acts.append(("reset", call.stream.id, 2))
        self._drop(call)

    def _drop(self, call: Call) -> None:
        """A call that is over for its owner, with what it held."""
        del self._calls[call.stream.id]
        self._consume(call)

    def _drained(self, event: Drained) -> None:
        id = event.stream.id
        if id not in self._calls:
            return
        if id not in self._waited:
            raise Wrong(f"stream {id} is said to be drained, and never waited")
        if not event.stream.unsent:  # else its owner, reacting to an earlier event, has sent more since
            self._waited.remove(id)

    # ---- the transport

    def _flush(self) -> bytes:
        """All that the session has to send."""
        output = b""
        while data := self.session.data_to_send():
            output += data
            for event in self.session.drain_events():
                assert isinstance(event, Drained)
                self._drained(event)
        return output

    def _move(self) -> None:
        """Freeze, serialize, thaw; in between, half of the next portion has been taken and not sent."""
        if self.session.faulted:
            try:
                freeze_session(self.session)
            except SnapshotError:
                return
            raise Wrong("a session that has faulted was frozen")
        self.moves += 1
        unsent = self.session.data_to_send() if self.moves % 2 else b""
        for event in self.session.drain_events():
            assert isinstance(event, Drained)
            self._drained(event)
        frozen = freeze_session(self.session, unsent)
        arrived = SessionSnapshot.FromString(frozen.SerializeToString())
        self.session = thaw_session(arrived, self.config)
        if freeze_session(self.session) != frozen:
            raise Wrong("a thawed session freezes to something else")
        for id, call in self._calls.items():
            call.stream = self.session.streams[id]

    # ---- the judgement

    def _follow(self, output: bytes) -> None:
        """The model does what the owner did, and judges what came out."""
        model = self.model
        for name, *values in self._acts:
            getattr(model, name)(*values)
        self._acts.clear()
        model.read(output)
        model.settle()
        if self._record:
            self.sent += output
        if not self.session.faulted:
            self._check_state()
        self.contended |= model.waiting > 1

    def _check_state(self) -> None:
        model, session = self.model, self.session
        if session.streams.keys() != model.open.keys():
            raise Wrong(f"streams {list(session.streams)} are open, not {list(model.open)}")
        if (session.last_stream, session.outbound.send_window) != (model.last, model.window):
            raise Wrong(f"{session} {session.outbound}: the model has {model.last}, {model.window}")
        table = (session.decoder.max_size, session.decoder.size)
        if table != model.table:
            raise Wrong(f"an HPACK table of {table} bytes, not {model.table}")
        for id, stream in session.streams.items():
            twin = model.open[id]
            if (stream.send_window, stream.receive_window, stream.remote_closed, stream.partial_size) != (
                twin.window,
                twin.credit,
                twin.remote_closed,
                len(twin.received),
            ):
                raise Wrong(
                    f"{stream}: the model has windows {twin.window}/{twin.credit}, {len(twin.received)} bytes"
                    f" partial, half-closed {twin.remote_closed}"
                )
            if id in self._waited and not stream.unsent:
                raise Wrong(f"stream {id} is drained, and nobody was told")
        waiting = sum(len(call.held) for call in self._calls.values())
        if session.inbound.waiting != waiting:
            raise Wrong(f"{session.inbound.waiting} messages are said to wait, where {waiting} do")
        check_bounds(session)


def _names(event: Event) -> list[Act]:
    """An event as the model names it; a last message is two events."""
    if isinstance(event, Drained):
        return []
    if isinstance(event, Faulted):
        return [("fault", event.error.code)]
    if isinstance(event, StreamRefused):
        return [("refused", event.stream.id, int(event.status))]
    assert isinstance(event, (RequestReceived, MessageReceived, StreamEnded, StreamReset))
    id = event.stream.id
    if isinstance(event, RequestReceived):
        return [("request", id, event.stream.head.path, event.stream.timeout)]
    if isinstance(event, StreamEnded):
        return [("ended", id)]
    if isinstance(event, StreamReset):
        return [("reset", id, event.code)]
    compressed = isinstance(event.payload, Compressed)
    return [("message", id, event.payload, compressed), *([("ended", id)] if event.last else [])]


def _brief(names: list[Act]) -> str:
    texts = [repr(name) for name in names]
    return ", ".join(text if len(text) < 80 else f"{text[:76]}...)" for text in texts) or "none"
