"""Plays the hub for one session: answers calls by the name of their method, and can move at any byte."""

from __future__ import annotations

from dataclasses import dataclass, field

from actorrpc.config import Config
from actorrpc.errors import StatusCode
from actorrpc.pb import snapshot_pb2
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
from actorrpc.wire.responses import trailers
from actorrpc.wire.server import ServerSession
from actorrpc.wire.snapshot import freeze_session, thaw_session
from actorrpc.wire.stream import Stream
from tests.support.view import shown

OK = trailers(StatusCode.OK)


@dataclass
class Call:
    """One open call, as a hub keeps it: what it has received, and the messages that it has not taken."""

    stream: Stream
    received: bytes = b""
    held: list[bytes] = field(default_factory=list)

    @property
    def method(self) -> str:
        return self.stream.head.path.rpartition("/")[2]


class Owner:
    """The owner of one session. ``events`` are those that a hub would act on, ``sent`` what went out.

    As a hub does, it ignores events of calls that it has ended: where the client's bytes are cut decides
    whether they were on their way already.
    """

    def __init__(self, config: Config | None = None, accepts: int = 1 << 30) -> None:
        """``accepts``: how many bytes the transport takes at each ``feed``."""
        self.config = config or Config()
        self.session = ServerSession(self.config)
        self.calls: dict[int, Call] = {}
        self.events: list[str] = []
        self.drained: list[int] = []
        self.sent = bytearray()
        self.unwritten = b""
        self.accepts = accepts

    def feed(self, data: bytes) -> None:
        """One read from the socket, the turns that it leads to, and one write."""
        for event in self.session.receive_data(data):
            self._handle(event)
        self.flush(self.accepts)

    def flush(self, room: int = 1 << 30) -> None:
        """Write, until the transport or the session has no more."""
        while room > 0:
            self.unwritten = self.unwritten or self.session.data_to_send()
            if not self.unwritten:
                break
            self.sent += self.unwritten[:room]
            self.unwritten, room = self.unwritten[room:], room - len(self.unwritten)
        for event in self.session.drain_events():
            self._handle(event)

    def output(self) -> bytes:
        """What has been sent since this was last asked."""
        data = bytes(self.sent)
        self.sent.clear()
        return data

    def consume(self, id: int, count: int = 1 << 30) -> None:
        """Take messages that the call holds, all of them if it is not told how many."""
        call = self.calls[id]
        while call.held and count:
            count -= 1
            payload = call.held.pop(0)
            call.received += payload
            self.session.inbound.consumed(call.stream, len(payload))

    # ---- moving

    def snapshot(self) -> snapshot_pb2.ConnectionSnapshot:
        """All that travels."""
        calls = [
            snapshot_pb2.CallSnapshot(stream=id, cursor=call.received, held=call.held)
            for id, call in self.calls.items()
        ]
        return snapshot_pb2.ConnectionSnapshot(
            session=freeze_session(self.session, self.unwritten), calls=calls
        )

    def move(self) -> None:
        """Serialize everything, forget it, and go on with what was serialized."""
        arrived = snapshot_pb2.ConnectionSnapshot.FromString(self.snapshot().SerializeToString())
        self.session = thaw_session(arrived.session, self.config)
        self.unwritten = b""
        self.calls = {
            call.stream: Call(self.session.streams[call.stream], call.cursor, list(call.held))
            for call in arrived.calls
        }

    # ---- events

    def _handle(self, event: Event) -> None:
        if isinstance(event, Faulted):
            self.events.append(f"fault {event.error.code}")
            self.calls.clear()
            return
        if isinstance(event, StreamRefused):
            self.session.outbound.cut_off(event.stream, trailers(event.status, event.message))
            event = StreamReset(event.stream, 8)
        assert isinstance(event, (RequestReceived, MessageReceived, StreamEnded, StreamReset, Drained))
        id = event.stream.id
        if isinstance(event, RequestReceived):
            call = self.calls[id] = Call(event.stream)
            timeout = f" within {event.stream.timeout}" if event.stream.timeout else ""
            self._on_request(call, f"{id} request {call.method}{timeout}")
        elif id not in self.calls:
            if isinstance(event, MessageReceived):
                self.session.inbound.consumed(event.stream, len(event.payload))
        elif isinstance(event, Drained):
            self.drained.append(id)
        elif isinstance(event, MessageReceived):
            self._on_message(self.calls[id], event.payload)
            if event.last and id in self.calls:
                self._on_end(self.calls[id])
        elif isinstance(event, StreamEnded):
            self._on_end(self.calls[id])
        else:
            self.events.append(f"{id} reset {event.code}")
            self.drop(id)

    def _on_request(self, call: Call, text: str) -> None:
        self.events.append(text)
        outbound = self.session.outbound
        if call.method == "Shutdown":
            self.session.shutdown()
        elif call.method == "Greet":
            outbound.headers(call.stream, [(b"greeting", b"hello")])
        elif call.method == "Fail":
            outbound.finish(call.stream, trailers(StatusCode.NOT_FOUND, "no such thing"))
            self.drop(call.stream.id)

    def _on_message(self, call: Call, payload: bytes) -> None:
        id = call.stream.id
        self.events.append(f"{id} message {shown(payload)}")
        call.held.append(payload)
        if call.method != "Hold":
            self.consume(id)
        if call.method == "Echo":
            self.session.outbound.message(call.stream, payload)
        elif call.method == "Early":
            self.session.outbound.finish(call.stream, trailers(StatusCode.RESOURCE_EXHAUSTED, "enough"))
            self.drop(id)

    def _on_end(self, call: Call) -> None:
        id = call.stream.id
        self.events.append(f"{id} end")
        outbound = self.session.outbound
        if call.method == "Silent":
            return
        self.consume(id)
        if call.method == "Burst":  # "5x100": five messages of a hundred bytes
            count, size = map(int, call.received.split(b"x"))
            for number in range(count):
                outbound.message(call.stream, b"%d" % (number % 10) * size)
        elif call.method == "Collect":
            outbound.message(call.stream, call.received)
        elif call.method != "Echo":
            outbound.reply(call.stream, call.received)
        outbound.finish(call.stream, OK)
        self.drop(id)

    def drop(self, id: int) -> None:
        """Forget a call that has been finished, with the messages that it held."""
        call = self.calls.pop(id)
        for payload in call.held:
            self.session.inbound.consumed(call.stream, len(payload))
